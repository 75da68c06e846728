#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "master/preforkctl/record.h"
#include "master/preforkctl/render.h"

#define CELL_BYTES 2048
#define GAP        "  "

struct field {
	const char *name, *label;
	enum control_unit unit;
};

#define FIELD(name_, label_, unit_, help)                                      \
	{ .name = #name_, .label = (label_), .unit = UNIT_##unit_ },
#define NO_FIELD(name, label, unit, help)

#define LISTENER_FIELD FIELD
#define STATUS_FIELD   FIELD
#define WORKER_FIELD   NO_FIELD
/* Both, so that their labels share a column. */
static const struct field labelled[] = {
#include "common/control_fields.def"
};
#undef LISTENER_FIELD
#undef STATUS_FIELD
#undef WORKER_FIELD

#define LISTENER_FIELD NO_FIELD
#define STATUS_FIELD   NO_FIELD
#define WORKER_FIELD   FIELD
static const struct field columns[] = {
#include "common/control_fields.def"
};
#define N_LABELLED (sizeof labelled / sizeof labelled[0])
#define N_COLUMNS  (sizeof columns / sizeof columns[0])

struct render_row {
	char *cell[N_COLUMNS];
};

/* ---- values -------------------------------------------------------------- */

static void
show_text(const char *text, char *buf, size_t buf_bytes)
{
	size_t n = 0;

	for (; *text != '\0' && n + sizeof "\\xff" <= buf_bytes; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(buf + n, buf_bytes - n, "\\x%02x",
			    (unsigned)c);
		else
			buf[n++] = (char)c;
	}
	buf[n] = '\0';
}

static void
show_bytes(uint64_t bytes, char *buf, size_t buf_bytes)
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
	double n = (double)bytes / 1024.0;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(buf, buf_bytes, "%" PRIu64 " B", bytes);
		return;
	}
	for (; n >= 1023.95 && i + 1 < sizeof unit / sizeof unit[0]; i++)
		n /= 1024.0;
	snprintf(buf, buf_bytes, "%.1f %s", n, unit[i]);
}

static void
show_seconds(uint64_t s, char *buf, size_t buf_bytes)
{
	if (s < 60)
		snprintf(buf, buf_bytes, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(buf, buf_bytes, "%" PRIu64 "m%02" PRIu64 "s", s / 60,
		    s % 60);
	else if (s < 86400)
		snprintf(buf, buf_bytes, "%" PRIu64 "h%02" PRIu64 "m", s / 3600,
		    s / 60 % 60);
	else
		snprintf(buf, buf_bytes, "%" PRIu64 "d%02" PRIu64 "h",
		    s / 86400, s / 3600 % 24);
}

static void
show_time(uint64_t s, char *buf, size_t buf_bytes)
{
	time_t t = (time_t)s;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(buf, buf_bytes, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, buf_bytes, "%" PRIu64, s);
}

void
render_value(enum control_unit unit, const char *digits, char *buf,
    size_t buf_bytes)
{
	uint64_t n = digits != NULL ? strtoull(digits, NULL, 10) : 0;

	if (digits == NULL)
		snprintf(buf, buf_bytes, "-");
	else if (unit == UNIT_BYTES)
		show_bytes(n, buf, buf_bytes);
	else if (unit == UNIT_SECONDS)
		show_seconds(n, buf, buf_bytes);
	else if (unit == UNIT_TIME)
		show_time(n, buf, buf_bytes);
	else
		show_text(digits, buf, buf_bytes);
}

/* ---- label and value ----------------------------------------------------- */

static int
label_width(void)
{
	size_t most = 0;

	for (size_t i = 0; i < N_LABELLED; i++)
		if (strlen(labelled[i].label) > most)
			most = strlen(labelled[i].label);
	return (int)most;
}

static void
print_labelled(FILE *out, const struct record *r)
{
	char value[CELL_BYTES];

	for (size_t i = 0; i < N_LABELLED; i++) {
		const struct field *f = &labelled[i];
		const char *digits = record_get(r, f->name);

		if (digits == NULL)
			continue;
		render_value(f->unit, digits, value, sizeof value);
		fprintf(out, "%-*s%s%s\n", label_width(), f->label, GAP, value);
	}
}

/* ---- the table ----------------------------------------------------------- */

static void
free_row(struct render_row *row)
{
	for (size_t i = 0; i < N_COLUMNS; i++)
		free(row->cell[i]);
}

static int
add_row(struct render *t, const struct record *r)
{
	struct render_row row = { 0 };
	struct render_row *rows =
	    reallocarray(t->rows, t->n_rows + 1, sizeof *rows);
	char value[CELL_BYTES];

	if (rows == NULL)
		return -1;
	t->rows = rows;
	for (size_t i = 0; i < N_COLUMNS; i++) {
		render_value(columns[i].unit, record_get(r, columns[i].name),
		    value, sizeof value);
		row.cell[i] = strdup(value);
		if (row.cell[i] == NULL) {
			free_row(&row);
			return -1;
		}
	}
	t->rows[t->n_rows++] = row;
	return 0;
}

static int
column_width(const struct render *t, size_t column)
{
	size_t most = strlen(columns[column].label);

	for (size_t i = 0; i < t->n_rows; i++)
		if (strlen(t->rows[i].cell[column]) > most)
			most = strlen(t->rows[i].cell[column]);
	return (int)most;
}

/* Text to the left, numbers to the right. */
static void
print_cell(const struct render *t, size_t column, const char *text)
{
	int width = column_width(t, column);

	fprintf(t->out, "%s%*s", column > 0 ? GAP : "",
	    columns[column].unit == UNIT_TEXT ? -width : width, text);
}

static void
print_table(const struct render *t)
{
	for (size_t c = 0; c < N_COLUMNS; c++)
		print_cell(t, c, columns[c].label);
	fputc('\n', t->out);
	for (size_t i = 0; i < t->n_rows; i++) {
		for (size_t c = 0; c < N_COLUMNS; c++)
			print_cell(t, c, t->rows[i].cell[c]);
		fputc('\n', t->out);
	}
}

void
render_finish(struct render *t)
{
	if (t->n_rows > 0)
		print_table(t);
	for (size_t i = 0; i < t->n_rows; i++)
		free_row(&t->rows[i]);
	free(t->rows);
	t->rows = NULL;
	t->n_rows = 0;
}

int
render_record(struct render *t, const struct record *r)
{
	const char *kind = record_get(r, "record");
	const char *text = record_get(r, "text");
	char value[CELL_BYTES];

	if (kind == NULL)
		return 0;
	if (strcmp(kind, "worker") == 0)
		return add_row(t, r);
	if (strcmp(kind, "status") == 0 || strcmp(kind, "listener") == 0)
		print_labelled(t->out, r);
	if (strcmp(kind, "note") == 0 && text != NULL) {
		show_text(text, value, sizeof value);
		fprintf(t->out, "%s\n", value);
	}
	return 0;
}
