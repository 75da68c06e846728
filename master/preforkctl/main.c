#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/control_wire.h"
#include "conf/load.h"
#include "conf/runtime.h"
#include "conf/settings.h"
#include "master/preforkctl/ask.h"
#include "master/preforkctl/record.h"
#include "master/preforkctl/render.h"
#include "master/wrap.h"

#define EXIT_NO_SERVER 3

static const struct row {
	char letter;
	const char *name, *argument, *help;
} options[] = {
#define CTL_OPTION(opt, long_name, arg, text)                                  \
	{ .letter = (opt),                                                     \
		.name = (long_name),                                           \
		.argument = (arg),                                             \
		.help = (text) },
#include "master/preforkctl/options.def"
#undef CTL_OPTION
};
#define N_OPTIONS (sizeof options / sizeof options[0])

static const struct row verbs[] = {
#define CONTROL_VERB(verb, arg, text)                                          \
	{ .name = #verb, .argument = (arg), .help = (text) },
#include "common/control_verbs.def"
#undef CONTROL_VERB
};
#define N_VERBS (sizeof verbs / sizeof verbs[0])

struct command {
	const char *socket, *file;
	bool json;
	char **words; /* the verb and its arguments; then NULL */
};

/* ---- usage --------------------------------------------------------------- */

static void
print_usage(FILE *out)
{
	fputs("usage: preforkctl [-s path | -c file] [--json] verb "
	      "[argument]\n       preforkctl -V | -h\n",
	    out);
}

static void
print_help(FILE *out)
{
	print_usage(out);
	fputc('\n', out);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		fprintf(out, "  -%c, --%s%s%s\n", options[i].letter,
		    options[i].name, options[i].argument[0] != '\0' ? " " : "",
		    options[i].argument);
		wrap_print(options[i].help, out);
	}
	fputc('\n', out);
	for (size_t i = 0; i < N_VERBS; i++) {
		fprintf(out, "  %s%s%s\n", verbs[i].name,
		    verbs[i].argument[0] != '\0' ? " " : "", verbs[i].argument);
		wrap_print(verbs[i].help, out);
	}
}

static int
usage_error(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "preforkctl: %s\n", why);
	print_usage(stderr);
	return CONTROL_USAGE;
}

/* ---- the command line ---------------------------------------------------- */

static void
fill_getopt(char *letters, struct option *longs)
{
	*letters++ = '+'; /* what follows the verb is the verb's */
	for (size_t i = 0; i < N_OPTIONS; i++) {
		bool takes = options[i].argument[0] != '\0';

		longs[i] = (struct option){ .name = options[i].name,
			.has_arg = takes ? required_argument : no_argument,
			.val = options[i].letter };
		*letters++ = options[i].letter;
		if (takes)
			*letters++ = ':';
	}
	longs[N_OPTIONS] = (struct option){ 0 };
	*letters = '\0';
}

static bool
is_verb(const char *word)
{
	for (size_t i = 0; i < N_VERBS; i++)
		if (strcmp(verbs[i].name, word) == 0)
			return true;
	return false;
}

/* The server splits at spaces and reads one line. */
static bool
is_one_word(const char *word)
{
	for (; *word != '\0'; word++)
		if (isspace((unsigned char)*word))
			return false;
	return true;
}

static int
check_words(char *const *words)
{
	if (words[0] == NULL)
		return usage_error("say what to do");
	if (!is_verb(words[0])) {
		fprintf(stderr, "preforkctl: unknown verb %s\n", words[0]);
		return usage_error(NULL);
	}
	for (; *words != NULL; words++)
		if (!is_one_word(*words))
			return usage_error("no argument has spaces in it");
	return 0;
}

/* -1: go on; or an exit status. */
static int
parse_command(struct command *c, int argc, char **argv)
{
	char letters[2 * N_OPTIONS + 2];
	struct option longs[N_OPTIONS + 1];
	int letter, status;

	fill_getopt(letters, longs);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1)
		switch (letter) {
		case 's': c->socket = optarg; break;
		case 'c': c->file = optarg; break;
		case 'j': c->json = true; break;
		case 'V': printf("preforkctl %s\n", PREFORK_VERSION); return 0;
		case 'h': print_help(stdout); return 0;
		default: return usage_error(NULL);
		}
	if (c->socket != NULL && c->file != NULL)
		return usage_error("-s and -c exclude each other");
	c->words = argv + optind;
	status = check_words(c->words);
	return status != 0 ? status : -1;
}

/* ---- asking -------------------------------------------------------------- */

/* 0, or an exit status after the complaint.  A file with mistakes says nothing
 * for sure: another server may be at the default path. */
static int
socket_of_file(const char *file, char *path, size_t path_bytes)
{
	struct settings_source source = { .file = file };
	struct settings *s = settings_load(&source, stderr);
	int status = CONTROL_FAILED;

	if (s == NULL)
		fputs("preforkctl: so the server is not asked; -s names its "
		      "socket\n",
		    stderr);
	else if (s->chdir[0] != '\0' && chdir(s->chdir) < 0)
		fprintf(stderr, "preforkctl: server.chdir = %s: %m\n",
		    s->chdir);
	else if (!runtime_control(s, path, path_bytes))
		fprintf(stderr, "preforkctl: %s has admin.control = off\n",
		    file);
	else
		status = 0;
	settings_free(&s);
	return status;
}

/* 0, or an exit status after the complaint. */
static int
find_socket(const struct command *c, char *path, size_t path_bytes)
{
	if (c->file != NULL)
		return socket_of_file(c->file, path, path_bytes);
	if (c->socket != NULL)
		snprintf(path, path_bytes, "%s", c->socket);
	else
		runtime_control(NULL, path, path_bytes);
	return 0;
}

/* 0, or -1: too long. */
static int
write_request(char *const *words, char *line, size_t line_bytes, bool *wait)
{
	size_t n = 0;

	*wait = false;
	for (; *words != NULL; words++) {
		int more = snprintf(line + n, line_bytes - n, "%s%c", *words,
		    words[1] != NULL ? ' ' : '\n');

		if (more < 0 || (size_t)more >= line_bytes - n)
			return -1;
		n += (size_t)more;
		*wait |= strcmp(*words, "--wait") == 0;
	}
	return 0;
}

struct answer {
	bool json;
	int status; /* -1: the end has not come */
	struct render render;
};

static void
take_line(struct answer *a, char *line)
{
	struct record r;
	const char *kind, *status, *reason;

	if (a->json)
		fputs(line, stdout);
	if (record_parse(line, &r) < 0)
		return;
	kind = record_get(&r, "record");
	status = record_get(&r, "exit");
	reason = record_get(&r, "reason");
	if (kind == NULL || strcmp(kind, "end") != 0) {
		if (!a->json && render_record(&a->render, &r) < 0)
			perror("preforkctl");
		return;
	}
	a->status =
	    status != NULL ? (int)strtol(status, NULL, 10) : CONTROL_FAILED;
	if (!a->json && reason != NULL)
		fprintf(stderr, "preforkctl: %s\n", reason);
}

static int
take_answer(FILE *in, bool json)
{
	struct answer a = { .json = json,
		.status = -1,
		.render = { .out = stdout } };
	char *line = NULL;
	size_t size = 0;

	while (a.status < 0 && getline(&line, &size, in) > 0)
		take_line(&a, line);
	if (a.status < 0)
		fprintf(stderr, "preforkctl: %s\n",
		    ferror(in) && errno == EAGAIN ?
			"the server does not answer" :
			"the server left without a whole answer");
	free(line);
	render_finish(&a.render);
	return a.status < 0 ? CONTROL_FAILED : a.status;
}

static int
ask(const struct command *c)
{
	char path[RUNTIME_PATH_MAX], line[CONTROL_REQUEST_BYTES], err[512];
	enum ask_result asked;
	FILE *answer;
	bool wait;
	int status = find_socket(c, path, sizeof path);

	if (status != 0)
		return status;
	if (write_request(c->words, line, sizeof line, &wait) < 0)
		return usage_error("that is too long");
	asked = ask_server(path, line, wait, &answer, err, sizeof err);
	if (asked != ASK_OK) {
		fprintf(stderr, "preforkctl: %s\n", err);
		return asked == ASK_NO_SERVER ? EXIT_NO_SERVER : CONTROL_FAILED;
	}
	status = take_answer(answer, c->json);
	fclose(answer);
	if (fflush(stdout) != 0) {
		perror("preforkctl: standard output");
		return CONTROL_FAILED;
	}
	return status;
}

int
main(int argc, char **argv)
{
	struct command c = { 0 };
	int status = parse_command(&c, argc, argv);

	return status >= 0 ? status : ask(&c);
}
