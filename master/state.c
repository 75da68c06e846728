#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "master/state.h"

#define TEXT_MAX    (4u << 20)
#define NUMBER_BASE 10

void
state_wrong(struct state *s, const char *name, const char *why)
{
	if (s->why[0] == '\0')
		snprintf(s->why, sizeof s->why, "%s: %s", name, why);
}

bool
state_ok(struct state *s)
{
	if (s->saving && (fflush(s->file) != 0 || ferror(s->file)))
		state_wrong(s, "state", strerrordesc_np(errno));
	return s->why[0] == '\0';
}

/* "NAME NUMBER\n" */
static uint64_t
read_number(struct state *s, const char *name)
{
	size_t room = 0, n = strlen(name);
	char *line = NULL, *end;
	uint64_t value = 0;

	if (s->why[0] != '\0')
		return 0;
	if (getline(&line, &room, s->file) < 0) {
		state_wrong(s, name, "is missing");
	} else if (strncmp(line, name, n) != 0 || line[n] != ' ' ||
	    line[n + 1] < '0' || line[n + 1] > '9') {
		state_wrong(s, name, "is not where it should be");
	} else {
		errno = 0;
		value = strtoull(line + n + 1, &end, NUMBER_BASE);
		if (errno != 0 || *end != '\n')
			state_wrong(s, name, "is not a number");
	}
	free(line);
	return s->why[0] == '\0' ? value : 0;
}

void
state_number(struct state *s, const char *name, uint64_t *value)
{
	if (s->saving)
		fprintf(s->file, "%s %llu\n", name, (unsigned long long)*value);
	else
		*value = read_number(s, name);
}

void
state_bounded(struct state *s, const char *name, uint64_t *value, uint64_t max)
{
	state_number(s, name, value);
	if (*value <= max)
		return;
	state_wrong(s, name, "is too large");
	if (!s->saving)
		*value = 0;
}

/* "NAME LENGTH\nBYTES\n" */
static char *
read_text(struct state *s, const char *name)
{
	uint64_t n = 0;
	char *text;

	state_number(s, name, &n);
	if (n > TEXT_MAX) {
		state_wrong(s, name, "is too long");
		n = 0;
	}
	text = calloc(1, (size_t)n + 1);
	if (text == NULL) {
		state_wrong(s, name, "out of memory");
		return NULL;
	}
	if (s->why[0] == '\0' &&
	    (fread(text, 1, (size_t)n, s->file) != n || getc(s->file) != '\n' ||
		strlen(text) != n)) {
		state_wrong(s, name, "is cut off");
		text[0] = '\0';
	}
	return text;
}

void
state_text(struct state *s, const char *name, char **text)
{
	const char *p = *text != NULL ? *text : "";
	uint64_t n;

	if (!s->saving) {
		*text = read_text(s, name);
		return;
	}
	n = strlen(p);
	state_bounded(s, name, &n, TEXT_MAX);
	fprintf(s->file, "%s\n", p);
}

void
state_unsigned(struct state *s, const char *name, unsigned *value, unsigned max)
{
	uint64_t n = *value;

	state_bounded(s, name, &n, max);
	*value = (unsigned)n;
}

void
state_bool(struct state *s, const char *name, bool *value)
{
	uint64_t n = *value;

	state_bounded(s, name, &n, 1);
	*value = n == 1;
}

void
state_fd(struct state *s, const char *name, int *fd)
{
	uint64_t n = (uint64_t)((int64_t)*fd + 1);

	state_bounded(s, name, &n, INT_MAX);
	*fd = (int)n - 1;
}
