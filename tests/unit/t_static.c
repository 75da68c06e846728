#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/mock_host.h"
#include "worker/http/static.h"
#include "worker/http/static_path.h"

#define LARGE_BYTES 100000
#define MODIFIED    784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* A root of its own for every test, and a secret beside it. */
struct site {
	char dir[32], root[48];
	struct pf_app app;
	void *state;
};

static const char *
in(const struct site *s, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", s->root, name);
	return path;
}

static void
put_file(const struct site *s, const char *name, const char *text, size_t n)
{
	const struct timespec times[2] = { { .tv_sec = MODIFIED },
		{ .tv_sec = MODIFIED, .tv_nsec = 5 } };
	int fd =
	    open(in(s, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static int
site_new(void **state)
{
	struct site *s = calloc(1, sizeof *s);
	char large[LARGE_BYTES];

	assert_non_null(s);
	snprintf(s->dir, sizeof s->dir, "/tmp/pf_static_XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->root, sizeof s->root, "%s/root", s->dir);
	assert_int_equal(mkdir(s->root, 0755), 0);
	put_file(s, "../secret", "secret", 6);
	put_file(s, "index.html", "<p>home", 7);
	put_file(s, "a.css", "body {}", 7);
	put_file(s, "empty.txt", "", 0);
	put_file(s, ".hidden", "secret", 6);
	memset(large, 'x', sizeof large);
	put_file(s, "large.bin", large, sizeof large);
	assert_int_equal(mkdir(in(s, "d"), 0755), 0);
	put_file(s, "d/index.html", "<p>d", 4);
	s->app = (struct pf_app){ .name = "files", .target = s->root };
	assert_int_equal(static_module.open(&mock_host, &s->app, NULL,
			     &s->state),
	    0);
	*state = s;
	return 0;
}

static int
site_free(void **state)
{
	struct site *s = *state;
	char command[64];

	static_module.close(s->state);
	snprintf(command, sizeof command, "rm -rf %s", s->dir);
	assert_int_equal(system(command), 0); /* NOLINT: a path of our own */
	free(s);
	return 0;
}

static void
ask(struct site *s, struct pf_request *r)
{
	static_module.on_request(s->state, r, NULL);
	mock_finished(r);
}

static void
expect_status(struct site *s, const char *method, const char *target,
    unsigned status)
{
	struct pf_request r;

	mock_request(&r, method, target);
	ask(s, &r);
	if (r.status != status)
		fail_msg("%s %s: %u", method, target, r.status);
	if (r.sent != NULL)
		assert_null(strstr(r.sent, "secret"));
	mock_free(&r);
}

static void
files_are_sent_with_what_describes_them(void **state)
{
	struct site *s = *state;
	struct pf_request r;

	mock_request(&r, "GET", "/a.css");
	ask(s, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 7);
	assert_string_equal(r.sent, "body {}");
	assert_string_equal(mock_field(&r, "content-type"),
	    "text/css; charset=utf-8");
	assert_string_equal(mock_field(&r, "last-modified"),
	    "Sun, 06 Nov 1994 08:49:37 GMT");
	/* 784111777000000005 and 7 */
	assert_string_equal(mock_field(&r, "etag"), "\"ae1b981bc490a05-7\"");
	mock_free(&r);
}

static void
directories_have_an_index(void **state)
{
	struct site *s = *state;
	struct pf_request r;

	mock_request(&r, "GET", "/");
	ask(s, &r);
	assert_string_equal(r.sent, "<p>home");
	assert_string_equal(mock_field(&r, "content-type"),
	    "text/html; charset=utf-8");
	mock_free(&r);
	mock_request(&r, "GET", "/d/");
	ask(s, &r);
	assert_string_equal(r.sent, "<p>d");
	mock_free(&r);
	assert_int_equal(mkdir(in(s, "bare"), 0755), 0);
	expect_status(s, "GET", "/bare/", 404);
	assert_int_equal(mkdir(in(s, "bare/index.html"), 0755), 0);
	expect_status(s, "GET", "/bare/", 404);
}

static void
expect_redirect(struct site *s, const char *target, const char *path,
    size_t mount_len, const char *location)
{
	struct pf_request r;

	mock_request(&r, "GET", target);
	r.info.path = (pf_str){ path, strlen(path) };
	r.info.mount_len = mount_len;
	ask(s, &r);
	assert_int_equal(r.status, 301);
	assert_string_equal(mock_field(&r, "location"), location);
	mock_free(&r);
}

static void
a_directory_without_its_slash_is_redirected(void **state)
{
	struct site *s = *state;

	assert_int_equal(mkdir(in(s, "a ?%"), 0755), 0);
	expect_redirect(s, "/d", "/d", 0, "/d/");
	expect_redirect(s, "/d?a=b&c=/d", "/d", 0, "/d/?a=b&c=/d");
	expect_redirect(s, "/m/d", "/m/d", 2, "/m/d/");
	expect_redirect(s, "/m", "/m", 2, "/m/");
	expect_redirect(s, "/m?q", "/m", 2, "/m/?q");
	expect_redirect(s, "/a%20%3f%25", "/a ?%", 0, "/a%20%3F%25/");
}

/* "//host" and, for browsers, "/\host" are other servers. */
static void
a_redirect_stays_on_this_server(void **state)
{
	static const struct {
		const char *path, *location;
	} table[] = {
		{ "//evil.example", "/evil.example/" },
		{ "///evil.example/d", "/evil.example/d/" },
		{ "/\\evil.example", "/%5Cevil.example/" },
		{ "/a\r\nSet-Cookie: b", "/a%0D%0ASet-Cookie:%20b/" },
		{ "/\xc3\xa9", "/%C3%A9/" },
		{ "//", "/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		pf_info info = { .path = { table[i].path,
				     strlen(table[i].path) } };
		size_t n = 0;
		char *got = static_location_new(&info, &n);

		assert_non_null(got);
		assert_int_equal(n, strlen(table[i].location));
		assert_memory_equal(got, table[i].location, n);
		free(got);
	}
}

static void
nothing_leads_out_of_the_root(void **state)
{
	static const char *const paths[] = { "/../secret", "/d/../../secret",
		"/d/../a.css", "/./a.css", "/out", "/absolute", "/up/secret",
		"//etc/passwd", "//secret", "/.hidden", "/d/.", "/d/..",
		"/.well-known/../.hidden", "/.well-known/.hidden",
		"/.well-known", "/.well-knownx/a", "*", "/proc" };
	struct site *s = *state;

	assert_int_equal(symlink("../secret", in(s, "out")), 0);
	assert_int_equal(symlink("..", in(s, "up")), 0);
	assert_int_equal(symlink("/proc/self/root", in(s, "proc")), 0);
	assert_int_equal(symlink("/etc/passwd", in(s, "absolute")), 0);
	assert_int_equal(mkdir(in(s, ".well-known"), 0755), 0);
	put_file(s, ".well-known/.hidden", "secret", 6);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		expect_status(s, "GET", paths[i], 404);
}

static void
links_inside_and_well_known_are_served(void **state)
{
	struct site *s = *state;

	assert_int_equal(symlink("../a.css", in(s, "d/link.css")), 0);
	assert_int_equal(mkdir(in(s, ".well-known"), 0755), 0);
	put_file(s, ".well-known/security.txt", "x", 1);
	put_file(s, "a..b", "x", 1);
	expect_status(s, "GET", "/d/link.css", 200);
	expect_status(s, "GET", "/.well-known/security.txt", 200);
	expect_status(s, "GET", "/a..b", 200);
}

static void
only_what_lies_below_the_mount_is_looked_for(void **state)
{
	struct pf_info info = { .path = { "/m/a", 4 }, .mount_len = 2 };
	struct str got;

	(void)state;
	assert_true(static_path_below_mount(&info, &got));
	assert_true(str_eq(got, STR("a")));
	info = (pf_info){ .path = { "/mx", 3 }, .mount_len = 2 };
	assert_false(static_path_below_mount(&info, &got));
	info = (pf_info){ .path = { "*", 1 } };
	assert_false(static_path_below_mount(&info, &got));
	info = (pf_info){ .path = { "/m/", 3 }, .mount_len = 3 };
	assert_true(static_path_below_mount(&info, &got));
	assert_int_equal(got.n, 0);
}

static void
make_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof a.sun_path);
	memcpy(a.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
	close(fd);
}

static void
only_regular_files_are_served(void **state)
{
	struct site *s = *state;

	assert_int_equal(mkfifo(in(s, "pipe"), 0644), 0);
	make_socket(in(s, "socket"));
	expect_status(s, "GET", "/pipe", 403);
	expect_status(s, "GET", "/socket", 403);
	expect_status(s, "GET", "/a.css/", 404);
	expect_status(s, "GET", "/a.css/x", 404);
	expect_status(s, "GET", "/nothing", 404);
}

static void
a_path_longer_than_the_system_takes_is_404(void **state)
{
	struct site *s = *state;
	char path[6000];

	memset(path, 'a', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	expect_status(s, "GET", path, 404);
	path[1000] = '\0'; /* a name over NAME_MAX */
	expect_status(s, "GET", path, 404);
}

static void
other_methods_are_405(void **state)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE",
		"OPTIONS", "PATCH", "TRACE" };
	struct site *s = *state;
	struct pf_request r;

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		mock_request(&r, methods[i], "/a.css");
		ask(s, &r);
		assert_int_equal(r.status, 405);
		assert_string_equal(mock_field(&r, "allow"), "GET, HEAD");
		mock_free(&r);
	}
}

static void
unknown_methods_are_501(void **state)
{
	static const char *const methods[] = { "get", "GETS", "HEADS", "BREW" };
	struct site *s = *state;

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		expect_status(s, methods[i], "/a.css", 501);
}

/* How many descriptors this process has open. */
static int
count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
large_empty_and_head_go_their_ways(void **state)
{
	struct site *s = *state;
	int fds = count_fds();
	struct pf_request r;

	mock_request(&r, "GET", "/large.bin");
	ask(s, &r);
	assert_int_equal(r.length, LARGE_BYTES);
	assert_int_equal(r.n_sent, LARGE_BYTES);
	assert_true(r.ended);
	mock_free(&r);
	mock_request(&r, "GET", "/empty.txt");
	ask(s, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 0);
	mock_free(&r);
	mock_request(&r, "HEAD", "/a.css");
	ask(s, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 7);
	mock_free(&r);
	mock_request(&r, "GET", "/large.bin");
	r.start_result = PF_ENOMEM;
	ask(s, &r);
	assert_false(r.started);
	mock_free(&r);
	assert_int_equal(count_fds(), fds);
}

/* Root may read everything, so it becomes somebody else for a while. */
static void
an_unreadable_file_is_403(void **state)
{
	struct site *s = *state;

	assert_int_equal(chmod(in(s, "a.css"), 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	expect_status(s, "GET", "/a.css", 403);
	assert_int_equal(seteuid(getuid()), 0);
}

static void
without_descriptors_it_is_503_and_logged(void **state)
{
	struct site *s = *state;
	struct rlimit was, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect_status(s, "GET", "/a.css", 503);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(s->app.n_logged, 1);
	assert_int_equal(s->app.log_level, PF_LOG_ERROR);
	assert_string_equal(s->app.logged, "a.css: Too many open files");
}

static void
an_unchanged_file_is_not_sent_again(void **state)
{
	struct site *s = *state;
	int fds = count_fds();
	struct pf_request r;

	mock_request(&r, "GET", "/a.css");
	mock_header(&r, PF_H_IF_NONE_MATCH, "If-None-Match",
	    "\"ae1b981bc490a05-7\"");
	ask(s, &r);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.n_sent, 0);
	assert_string_equal(mock_field(&r, "etag"), "\"ae1b981bc490a05-7\"");
	assert_string_equal(mock_field(&r, "content-type"), "");
	mock_free(&r);
	mock_request(&r, "GET", "/a.css");
	mock_header(&r, PF_H_IF_MATCH, "If-Match", "\"other\"");
	ask(s, &r);
	assert_int_equal(r.status, 412);
	mock_free(&r);
	assert_int_equal(count_fds(), fds);
}

static void
expect_part(struct site *s, const char *target, const char *range,
    unsigned status, const char *content_range, size_t n)
{
	struct pf_request r;

	mock_request(&r, "GET", target);
	mock_header(&r, PF_H_RANGE, "Range", range);
	ask(s, &r);
	assert_int_equal(r.status, status);
	assert_string_equal(mock_field(&r, "content-range"), content_range);
	if (status != 416)
		assert_int_equal(r.length, n);
	assert_int_equal(strcmp(mock_field(&r, "accept-ranges"), "bytes") == 0,
	    status == 200 || status == 206);
	mock_free(&r);
}

static void
a_part_is_sent_with_its_place(void **state)
{
	struct site *s = *state;
	int fds = count_fds();
	struct pf_request r;

	expect_part(s, "/a.css", "bytes=1-3", 206, "bytes 1-3/7", 3);
	expect_part(s, "/large.bin", "bytes=-50000", 206,
	    "bytes 50000-99999/100000", 50000);
	expect_part(s, "/a.css", "bytes=7-", 416, "bytes */7", 0);
	expect_part(s, "/a.css", "bytes=1-2,3-4", 200, "", 7);
	mock_request(&r, "HEAD", "/a.css"); /* has no ranges */
	mock_header(&r, PF_H_RANGE, "Range", "bytes=7-");
	ask(s, &r);
	assert_int_equal(r.status, 200);
	assert_string_equal(mock_field(&r, "accept-ranges"), "bytes");
	mock_free(&r);
	mock_request(&r, "GET", "/a.css");
	mock_header(&r, PF_H_RANGE, "Range", "bytes=1-3");
	ask(s, &r);
	assert_string_equal(r.sent, "ody");
	assert_string_equal(mock_field(&r, "etag"), "\"ae1b981bc490a05-7\"");
	mock_free(&r);
	mock_request(&r, "GET", "/a.css"); /* conditions come first */
	mock_header(&r, PF_H_RANGE, "Range", "bytes=1-3");
	mock_header(&r, PF_H_IF_NONE_MATCH, "If-None-Match", "*");
	ask(s, &r);
	assert_int_equal(r.status, 304);
	mock_free(&r);
	assert_int_equal(count_fds(), fds);
}

static void
a_root_that_is_no_directory_is_refused(void **state)
{
	struct site *s = *state;
	struct pf_app app = { .name = "x", .target = in(s, "a.css") };
	void *out = NULL;

	assert_int_not_equal(static_module.check(&mock_host, &app), 0);
	assert_non_null(strstr(app.failed, "a.css: Not a directory"));
	app = (struct pf_app){ .target = "/nonexistent" };
	assert_int_not_equal(static_module.open(&mock_host, &app, NULL, &out),
	    0);
	assert_non_null(strstr(app.failed, "/nonexistent: No such file"));
	assert_null(out);
	app = (struct pf_app){ .target = s->root };
	assert_int_equal(static_module.check(&mock_host, &app), 0);
	assert_string_equal(app.failed, "");
}

#define SITE_TEST(f) cmocka_unit_test_setup_teardown(f, site_new, site_free)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SITE_TEST(files_are_sent_with_what_describes_them),
		SITE_TEST(directories_have_an_index),
		SITE_TEST(a_directory_without_its_slash_is_redirected),
		cmocka_unit_test(a_redirect_stays_on_this_server),
		SITE_TEST(nothing_leads_out_of_the_root),
		SITE_TEST(links_inside_and_well_known_are_served),
		cmocka_unit_test(only_what_lies_below_the_mount_is_looked_for),
		SITE_TEST(only_regular_files_are_served),
		SITE_TEST(a_path_longer_than_the_system_takes_is_404),
		SITE_TEST(other_methods_are_405),
		SITE_TEST(unknown_methods_are_501),
		SITE_TEST(large_empty_and_head_go_their_ways),
		SITE_TEST(an_unreadable_file_is_403),
		SITE_TEST(without_descriptors_it_is_503_and_logged),
		SITE_TEST(an_unchanged_file_is_not_sent_again),
		SITE_TEST(a_part_is_sent_with_its_place),
		SITE_TEST(a_root_that_is_no_directory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
