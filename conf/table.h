/* The table of settings.def, for what walks it: loading, printing, docs. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"

struct setting_type;

enum on_reload { LIVE, RESTART };

#define SECTION_APP   "app" /* of the rows that each [app:NAME] has */
#define APP_PREFIX    "app:"
#define SECTION_BYTES 64 /* a known one and its NUL are shorter */

struct setting {
	const char *section, *key, *def, *help;
	const struct setting_type *type;
	size_t offset; /* in struct settings or struct app_settings */
	uint64_t min, max;
	enum setting_row row;
	enum on_reload on_reload;
};

const struct setting *setting_at(enum setting_row);
/* NULL: there is none. */
const struct setting *setting_find(const char *section, const char *key);
bool setting_is_app(const struct setting *);

/* The field of a row; `base` is the struct settings or app_settings. */
void *setting_field(void *base, const struct setting *);
const void *setting_value(const void *base, const struct setting *);

/* NULL, or why the text is not a value of this setting (see conf/types.h). */
const char *setting_parse(void *base, const struct setting *, const char *);

#endif
