#include "conf/table.h"

#include <string.h>

#include "conf/types.h"

/* clang-format off */
static const struct setting table[N_SETTINGS] = {
#define SETTING(sec, k, t, f, d, lo, hi, rl, h)                                \
	[ROW_##sec##_##k] = { .row = ROW_##sec##_##k, .section = #sec,         \
		.key = #k, .def = (d), .help = (h), .type = &type_##t,         \
		.offset = offsetof(struct settings, f), .min = (lo),           \
		.max = (hi), .on_reload = rl },
#define APP_SETTING(k, t, f, d, lo, hi, h)                                     \
	[ROW_app_##k] = { .row = ROW_app_##k, .section = SECTION_APP,          \
		.key = #k, .def = (d), .help = (h), .type = &type_##t,         \
		.offset = offsetof(struct app_settings, f), .min = (lo),       \
		.max = (hi), .on_reload = LIVE },
#include "conf/settings.def"
#undef APP_SETTING
#undef SETTING
};
/* clang-format on */

const struct setting *
setting_at(enum setting_row row)
{
	return &table[row];
}

const struct setting *
setting_find(const char *section, const char *key)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (strcmp(table[i].section, section) == 0 &&
		    strcmp(table[i].key, key) == 0)
			return &table[i];
	return NULL;
}

bool
setting_is_app(const struct setting *s)
{
	return strcmp(s->section, SECTION_APP) == 0;
}

void *
setting_field(void *base, const struct setting *s)
{
	return (char *)base + s->offset;
}

const void *
setting_value(const void *base, const struct setting *s)
{
	return (const char *)base + s->offset;
}

const char *
setting_parse(void *base, const struct setting *s, const char *text)
{
	return s->type->parse(setting_field(base, s), s, text);
}
