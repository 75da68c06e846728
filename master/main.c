#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>

#include "common/log.h"
#include "common/title.h"
#include "conf/load.h"
#include "conf/settings.h"
#include "master/activation.h"
#include "master/check.h"
#include "master/daemon.h"
#include "master/image.h"
#include "master/master.h"
#include "master/program.h"
#include "master/wrap.h"

#define EXIT_CONFIG  1
#define EXIT_USAGE   2
#define DEFAULT_FILE "/etc/prefork/server.ini"

static const struct option_row {
	char letter;
	const char *argument, *help;
} rows[] = {
#define OPTION(opt, arg, text)                                                 \
	{ .letter = (opt), .argument = (arg), .help = (text) },
#include "master/options.def"
#undef OPTION
};
#define N_ROWS (sizeof rows / sizeof rows[0])

enum mode { MODE_SERVE, MODE_TEST, MODE_PRINT, MODE_VERSION, MODE_HELP };

struct command {
	enum mode mode;
	bool detach;
	struct settings_source source;
	const char **opts;           /* the storage of source.opts */
	char *own_file, *own_target; /* that of absolute paths; or NULL */
};

static void
print_usage(FILE *out)
{
	fputs("usage: prefork [-c file] [-t | -T] [-o section.key=value]... "
	      "[-d] [target]\n       prefork -V | -h\n",
	    out);
}

static void
print_help(FILE *out)
{
	print_usage(out);
	fputc('\n', out);
	for (size_t i = 0; i < N_ROWS; i++) {
		fprintf(out, "  -%c%s%s\n", rows[i].letter,
		    rows[i].argument[0] != '\0' ? " " : "", rows[i].argument);
		wrap_print(rows[i].help, out);
	}
	fputs("  target\n", out);
	wrap_print("Serve a directory or a module (a .so file) without a "
		   "configuration file.",
	    out);
	fputc('\n', out);
	settings_print_help(out);
}

static int
usage_error(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "prefork: %s\n", why);
	print_usage(stderr);
	return EXIT_USAGE;
}

static void
getopt_letters(char *out)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		*out++ = rows[i].letter;
		if (rows[i].argument[0] != '\0')
			*out++ = ':';
	}
	*out = '\0';
}

/* 0, or -1: it contradicts what came before. */
static int
set_mode(struct command *c, enum mode mode)
{
	if (c->mode != MODE_SERVE && c->mode != mode)
		return -1;
	c->mode = mode;
	return 0;
}

static int
take_option(struct command *c, int letter)
{
	switch (letter) {
	case 'c': c->source.file = optarg; return 0;
	case 't': return set_mode(c, MODE_TEST);
	case 'T': return set_mode(c, MODE_PRINT);
	case 'o': c->opts[c->source.n_opts++] = optarg; return 0;
	case 'd': c->detach = true; return 0;
	case 'V': return set_mode(c, MODE_VERSION);
	case 'h': return set_mode(c, MODE_HELP);
	default: return -1;
	}
}

/* 0, or an exit status after the complaint. */
static int
parse_command(struct command *c, int argc, char **argv)
{
	char letters[2 * N_ROWS + 1];
	int letter;

	getopt_letters(letters);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((letter = getopt(argc, argv, letters)) != -1) {
		if (letter == '?')
			return usage_error(NULL);
		if (take_option(c, letter) < 0)
			return usage_error("-t, -T, -V and -h exclude each "
					   "other");
	}
	c->source.opts = c->opts;
	if (argc - optind > 1)
		return usage_error("only one target is possible");
	c->source.target = argv[optind];
	if (c->mode == MODE_VERSION || c->mode == MODE_HELP)
		return 0;
	if (c->source.file == NULL && c->source.target == NULL) {
		if (access(DEFAULT_FILE, F_OK) < 0)
			return usage_error("say what to serve: -c file, or a "
					   "directory, module or Python "
					   "object as target");
		c->source.file = DEFAULT_FILE;
	}
	return 0;
}

/* Reloads may happen in another directory than the start.  *own is the
 * storage, if any is needed. */
static const char *
make_absolute(const char *path, char **own)
{
	char *cwd;

	if (path == NULL || path[0] == '/')
		return path;
	cwd = getcwd(NULL, 0);
	if (cwd == NULL || asprintf(own, "%s/%s", cwd, path) < 0)
		fatal("cannot tell the current directory");
	free(cwd);
	return *own;
}

static const char *
name_of(const struct settings_source *s)
{
	const char *path = s->file != NULL ? s->file : s->target;
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static int
run(struct command *c, struct settings *settings)
{
	struct daemon d = DAEMON_NOT;
	struct settings_source source = c->source;
	const char *name = name_of(&c->source);

	source.file = make_absolute(source.file, &c->own_file);
	if (c->detach && daemon_start(&d) < 0)
		fatal("cannot detach");
	return master_run(&source, settings, name, &d);
}

/* A program asks, before it gives way to us: could we go on with its state? */
static int
check_state(int state_fd)
{
	char err[512];

	if (master_rehearse() < 0) {
		fprintf(stderr, "prefork: cannot take over: %m\n");
		return EXIT_CONFIG;
	}
	if (image_check(state_fd, err, sizeof err) < 0) {
		fprintf(stderr, "prefork: cannot take over: %s\n", err);
		return EXIT_CONFIG;
	}
	fputs(IMAGE_UNDERSTOOD, stdout);
	return fflush(stdout) == 0 ? 0 : EXIT_CONFIG;
}

static int
load_and_go(struct command *c, char **argv)
{
	struct settings *settings;
	int status = 0, state_fd;

	if (c->mode != MODE_PRINT)
		program_change(&c->source, argv);
	state_fd = image_take_fd();
	activation_take();
	if (c->source.target != NULL && access(c->source.target, F_OK) == 0)
		c->source.target =
		    make_absolute(c->source.target, &c->own_target);
	if (c->mode == MODE_SERVE && state_fd >= 0)
		return master_take_over(&c->source, name_of(&c->source),
		    state_fd);
	settings = settings_load(&c->source, stderr);
	if (settings == NULL)
		return EXIT_CONFIG;
	switch (c->mode) {
	case MODE_PRINT: settings_print(settings, stdout); break;
	case MODE_TEST:
		status = check_run(settings, name_of(&c->source));
		if (status == 0 && state_fd >= 0)
			status = check_state(state_fd);
		break;
	case MODE_SERVE: return run(c, settings);
	case MODE_VERSION:
	case MODE_HELP: break;
	}
	settings_free(&settings);
	return status;
}

/* A closed standard stream would become somebody's socket. */
static void
open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	struct command c = { .mode = MODE_SERVE };
	int status;

	open_standard_streams();
	title_init(argc, argv);
	program_take();
	c.opts = calloc((size_t)argc + 1, sizeof *c.opts);
	if (c.opts == NULL)
		fatal("cannot start");
	status = parse_command(&c, argc, argv);
	if (status == 0)
		switch (c.mode) {
		case MODE_VERSION:
			printf("prefork %s (libev %d.%d)\n", PREFORK_VERSION,
			    ev_version_major(), ev_version_minor());
			break;
		case MODE_HELP: print_help(stdout); break;
		case MODE_SERVE:
		case MODE_TEST:
		case MODE_PRINT: status = load_and_go(&c, argv); break;
		}
	free(c.opts);
	free(c.own_file);
	free(c.own_target);
	return status;
}
