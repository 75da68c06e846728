/* Sockets that the master binds, and the files of unix sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd.h"
#include "conf/settings.h"
#include "master/listen.h"

static const struct listen_options options = { .backlog = 16,
	.unsent_bytes = 4096,
	.mode = 0600,
	.uid = (uid_t)-1,
	.gid = (gid_t)-1 };
static char directory[] = "/tmp/t_listen_XXXXXX";
static char path[64], path_spec[72];
static char err[256];

/* What somebody puts in the place of the next socket as soon as it is there. */
static const char *trap;

int __wrap_bind(int, const struct sockaddr *, socklen_t); /* NOLINT */
int __real_bind(int, const struct sockaddr *, socklen_t); /* NOLINT */

int
__wrap_bind(int fd, const struct sockaddr *sa, socklen_t n)
{
	int result = __real_bind(fd, sa, n);

	if (trap != NULL) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink(trap, path), 0);
	}
	return result;
}

static int
make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/s", directory);
	snprintf(path_spec, sizeof path_spec, "unix:%s", path);
	return 0;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory); /* fails when a test left something */
}

static struct bind_address
tcp4(uint16_t port)
{
	static char spec[32], host[] = "127.0.0.1";

	snprintf(spec, sizeof spec, "127.0.0.1:%u", (unsigned)port);
	return (struct bind_address){ .kind = BIND_TCP4,
		.spec = spec,
		.host = host,
		.port = port };
}

static struct bind_address
unix_address(void)
{
	return (struct bind_address){ .kind = BIND_UNIX,
		.spec = path_spec,
		.host = path };
}

static struct listener *
must_open(const struct bind_address *b)
{
	struct listener *l = listener_open(b, &options, err, sizeof err);

	if (l == NULL)
		fail_msg("%s: %s", b->spec, err);
	return l;
}

static uint16_t
port_of(const struct listener *l)
{
	static const char before[] = "127.0.0.1:";
	const char *spec = listener_spec(l);

	assert_memory_equal(spec, before, sizeof before - 1);
	return (uint16_t)strtoul(spec + sizeof before - 1, NULL, 10);
}

/* 0, or -1 and errno. */
static int
connect_unix(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), got;

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	got = connect(fd, (struct sockaddr *)&sun, sizeof sun);
	fd_close(&fd);
	return got;
}

static int
option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof value;

	assert_int_equal(getsockopt(fd, level, name, &value, &n), 0);
	return value;
}

static void
port_0_becomes_the_port_the_kernel_chose(void **state)
{
	struct bind_address b = tcp4(0);
	struct listener *l = must_open(&b);
	uint16_t port;

	(void)state;
	port = port_of(l);
	assert_true(port > 0);
	assert_true(listener_is_for(l, &b)); /* as the settings spell it */
	listener_unref(&l);
	assert_null(l);
}

static void
a_tcp_listener_is_ready_for_workers(void **state)
{
	struct bind_address b = tcp4(0);
	struct listener *l = must_open(&b);
	int fd = listener_fd(l);

	(void)state;
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 0);
	assert_int_not_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	listener_unref(&l);
}

static void
a_v6_listener_leaves_v4_alone(void **state)
{
	char spec[] = "[::]:0", host[] = "::";
	struct bind_address b = { .kind = BIND_TCP6,
		.spec = spec,
		.host = host };
	struct listener *l = must_open(&b);

	(void)state;
	assert_int_equal(option_of(listener_fd(l), IPPROTO_IPV6, IPV6_V6ONLY),
	    1);
	assert_memory_equal(listener_spec(l), "[::]:", 5);
	listener_unref(&l);
}

static void
an_address_in_use_is_refused_and_passes_the_check(void **state)
{
	struct bind_address b = tcp4(0), again;
	struct listener *l = must_open(&b);
	uint16_t port;

	(void)state;
	port = port_of(l);
	again = tcp4(port);
	assert_null(listener_open(&again, &options, err, sizeof err));
	assert_string_equal(err, "Address already in use");
	assert_int_equal(listener_check(&again, err, sizeof err), 0);
	listener_unref(&l);
}

static void
an_address_of_another_machine_fails_the_check(void **state)
{
	char spec[] = "192.0.2.1:80", host[] = "192.0.2.1",
	     name[] = "localhost";
	struct bind_address b = { .kind = BIND_TCP4,
		.spec = spec,
		.host = host,
		.port = 80 };

	(void)state;
	assert_int_equal(listener_check(&b, err, sizeof err), -1);
	assert_string_equal(err, "Cannot assign requested address");
	b.host = name; /* the settings resolve names */
	assert_int_equal(listener_check(&b, err, sizeof err), -1);
	assert_string_equal(err, "Invalid argument");
}

static struct bind_address
every4(uint16_t port)
{
	static char spec[32], host[] = "0.0.0.0";

	snprintf(spec, sizeof spec, "0.0.0.0:%u", (unsigned)port);
	return (struct bind_address){ .kind = BIND_TCP4,
		.spec = spec,
		.host = host,
		.port = port };
}

static void
an_address_that_overlaps_one_of_ours_can_be_had(void **state)
{
	struct bind_address one = tcp4(0), every, elsewhere;
	struct listener *l = must_open(&one), *wide;
	struct listen_options beside = options;

	(void)state;
	every = every4(port_of(l));
	elsewhere = tcp4(port_of(l));
	assert_true(listener_overlaps(l, &every));
	assert_false(listener_overlaps(l, &elsewhere)); /* the same one */
	assert_null(listener_open(&every, &options, err, sizeof err));
	listener_share(l);
	beside.beside = true;
	wide = listener_open(&every, &beside, err, sizeof err);
	assert_non_null(wide);
	assert_false(listener_listens(wide)); /* l alone does */
	assert_int_equal(option_of(listener_fd(wide), SOL_SOCKET,
			     SO_ACCEPTCONN),
	    0);
	listener_settle(wide, &options);
	assert_true(listener_listens(wide));
	assert_int_equal(option_of(listener_fd(wide), SOL_SOCKET,
			     SO_ACCEPTCONN),
	    1);
	assert_int_equal(option_of(listener_fd(wide), SOL_SOCKET, SO_REUSEPORT),
	    0);
	listener_unref(&l);
	one = tcp4(every.port);
	assert_true(listener_overlaps(wide, &one)); /* and back */
	listener_unref(&wide);
}

static void
what_cannot_overlap_does_not(void **state)
{
	char host6[] = "::", name[] = "localhost", spec[] = "";
	struct bind_address b = tcp4(0), six, file = unix_address(), next,
			    wrong;
	struct listener *l = must_open(&b);
	uint16_t port;

	(void)state;
	port = port_of(l);
	six = (struct bind_address){ .kind = BIND_TCP6,
		.spec = spec,
		.host = host6,
		.port = port };
	wrong = (struct bind_address){ .kind = BIND_TCP4,
		.spec = spec,
		.host = name,
		.port = port };
	next = every4(port == UINT16_MAX ? 1 : port + 1);
	assert_false(listener_overlaps(l, &six)); /* IPV6_V6ONLY */
	assert_false(listener_overlaps(l, &file));
	assert_false(listener_overlaps(l, &next));
	assert_false(listener_overlaps(l, &wrong));
	next.port = 0;
	assert_false(listener_overlaps(l, &next));
	listener_unref(&l);
	l = must_open(&file);
	next = every4(port);
	assert_false(listener_overlaps(l, &next));
	listener_unref(&l);
}

/* A worker's copy of it. */
static int
copy_of(const struct listener *l)
{
	int fd = fcntl(listener_fd(l), F_DUPFD_CLOEXEC, 3);

	assert_true(fd >= 0);
	return fd;
}

/* Some machines let only root put a filter on a socket. */
static bool
may_filter(void)
{
	static struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	static const struct sock_fprog program = { .len = 1, .filter = &all };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		      sizeof program) == 0;

	fd_close(&fd);
	return ok;
}

static void
who_is_in_the_queue_of_a_closed_tcp_listener_is_not_cut_off(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct bind_address b = tcp4(0);
	struct listener *l = must_open(&b);
	int workers = copy_of(l), early, late, accepted;

	(void)state;
	if (!may_filter()) {
		fd_close(&workers);
		listener_unref(&l);
		skip();
	}
	to.sin_port = htons(port_of(l));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	early = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(early, (struct sockaddr *)&to, sizeof to);
	listener_unref(&l);
	(void)connect(late, (struct sockaddr *)&to, sizeof to);
	accepted = accept(workers, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(accept(workers, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(option_of(early, SOL_SOCKET, SO_ERROR), 0);
	/* the kernel has not answered him: he will try again */
	assert_int_equal(connect(late, (struct sockaddr *)&to, sizeof to), -1);
	assert_int_equal(errno, EALREADY);
	fd_close(&workers);
	assert_int_equal(send(early, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(accepted, &(char){ 0 }, 1, 0), 1);
	fd_close(&accepted);
	fd_close(&early);
	fd_close(&late);
}

static void
who_is_in_the_queue_of_a_closed_unix_listener_is_not_cut_off(void **state)
{
	struct bind_address b = unix_address();
	struct listener *l = must_open(&b);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int workers = copy_of(l), early, accepted;

	(void)state;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	early = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(early, (struct sockaddr *)&sun, sizeof sun),
	    0);
	listener_unref(&l);
	assert_int_equal(connect_unix(), -1);
	accepted = accept(workers, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(accept(workers, NULL, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	fd_close(&accepted);
	fd_close(&early);
	fd_close(&workers);
}

static void
a_unix_socket_has_its_mode_and_goes_with_the_last_reference(void **state)
{
	struct bind_address b = unix_address();
	struct listener *l = must_open(&b), *second = listener_ref(l);
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_string_equal(listener_spec(l), path_spec);
	listener_unref(&l);
	assert_int_equal(connect_unix(), 0);
	listener_unref(&second);
	assert_int_equal(stat(path, &st), -1);
}

static void
a_later_generation_changes_mode_and_backlog(void **state)
{
	struct bind_address b = unix_address();
	struct listener *l = must_open(&b);
	struct listen_options later = options;
	struct stat st;

	(void)state;
	later.mode = 0666;
	later.backlog = 32;
	listener_settle(l, &later);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	listener_unref(&l);
}

static int
unsent_limit(const struct listener *l)
{
	int bytes = 0;
	socklen_t n = sizeof bytes;

	assert_int_equal(getsockopt(listener_fd(l), IPPROTO_TCP,
			     TCP_NOTSENT_LOWAT, &bytes, &n),
	    0);
	return bytes;
}

static void
a_later_generation_changes_what_the_kernel_keeps(void **state)
{
	struct bind_address b = tcp4(0);
	struct listener *l = must_open(&b);
	struct listen_options later = options;

	(void)state;
	assert_int_equal(unsent_limit(l), options.unsent_bytes);
	later.unsent_bytes = 8192;
	listener_settle(l, &later);
	assert_int_equal(unsent_limit(l), 8192);
	listener_unref(&l);
}

static void
a_stale_socket_file_is_replaced(void **state)
{
	struct bind_address b = unix_address();
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listener *l;

	(void)state;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	assert_int_equal(bind(dead, (struct sockaddr *)&sun, sizeof sun), 0);
	fd_close(&dead);
	assert_int_equal(connect_unix(), -1);
	l = must_open(&b);
	assert_int_equal(connect_unix(), 0);
	listener_unref(&l);
}

static void
a_socket_that_somebody_answers_is_left_alone(void **state)
{
	struct bind_address b = unix_address();
	struct listener *l = must_open(&b);

	(void)state;
	assert_null(listener_open(&b, &options, err, sizeof err));
	assert_string_equal(err, "Address already in use");
	assert_int_equal(connect_unix(), 0);
	listener_unref(&l);
}

static void
a_file_that_is_no_socket_is_left_alone(void **state)
{
	struct bind_address b = unix_address();
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	fd_close(&fd);
	assert_null(listener_open(&b, &options, err, sizeof err));
	assert_string_equal(err, "File exists");
	assert_int_equal(unlink(path), 0);
}

static void
a_socket_file_that_was_replaced_is_not_removed(void **state)
{
	struct bind_address b = unix_address();
	struct listener *first = must_open(&b), *second;

	(void)state;
	assert_int_equal(unlink(path), 0);
	second = must_open(&b);
	listener_unref(&first);
	assert_int_equal(connect_unix(), 0);
	listener_unref(&second);
	assert_int_equal(access(path, F_OK), -1);
}

static void
a_link_in_the_place_of_the_socket_gives_nothing_away(void **state)
{
	struct bind_address b = unix_address();
	struct listen_options later = options;
	char victim[80];
	struct stat st;
	int fd;

	(void)state;
	snprintf(victim, sizeof victim, "%s/victim", directory);
	fd = open(victim, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	later.mode = 0666;
	trap = victim;
	assert_null(listener_open(&b, &later, err, sizeof err));
	trap = NULL;
	assert_string_equal(err, "File exists");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd_close(&fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(victim), 0);
}

static void
a_path_that_cannot_be_is_refused(void **state)
{
	char longer[300], nowhere[] = "/nonexistent/directory/s";
	struct bind_address b = unix_address();

	(void)state;
	memset(longer, 'x', sizeof longer - 1);
	longer[0] = '/';
	longer[sizeof longer - 1] = '\0';
	b.host = longer;
	assert_null(listener_open(&b, &options, err, sizeof err));
	assert_string_equal(err, "File name too long");
	assert_int_equal(listener_check(&b, err, sizeof err), -1);
	b.host = nowhere;
	assert_null(listener_open(&b, &options, err, sizeof err));
	assert_int_equal(listener_check(&b, err, sizeof err), -1);
	assert_string_equal(err, "No such file or directory");
	b.host = path;
	assert_int_equal(listener_check(&b, err, sizeof err), 0);
}

static void
a_descriptor_is_adopted_if_it_listens(void **state)
{
	struct bind_address b = tcp4(0);
	struct listener *given = must_open(&b), *l;
	struct listen_options theirs = options;
	char spec[] = "fd://x";
	int plain[2];

	(void)state;
	b = (struct bind_address){ .kind = BIND_FD,
		.spec = spec,
		.fd = listener_fd(given) };
	theirs.unsent_bytes = 8192;
	listener_settle(given, &theirs);
	assert_int_equal(listener_check(&b, err, sizeof err), 0);
	l = must_open(&b);
	assert_int_not_equal(listener_fd(l), listener_fd(given));
	assert_string_equal(listener_spec(l), spec);
	assert_int_equal(unsent_limit(l), options.unsent_bytes);
	listener_unref(&l);
	listener_unref(&given);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, plain), 0);
	b.fd = plain[0];
	assert_null(listener_open(&b, &options, err, sizeof err));
	assert_string_equal(err, "not a listening socket");
	fd_close(&plain[0]);
	fd_close(&plain[1]);
	assert_int_equal(listener_check(&b, err, sizeof err), -1);
	assert_string_equal(err, "Bad file descriptor");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_0_becomes_the_port_the_kernel_chose),
		cmocka_unit_test(a_tcp_listener_is_ready_for_workers),
		cmocka_unit_test(a_v6_listener_leaves_v4_alone),
		cmocka_unit_test(
		    an_address_in_use_is_refused_and_passes_the_check),
		cmocka_unit_test(an_address_of_another_machine_fails_the_check),
		cmocka_unit_test(
		    an_address_that_overlaps_one_of_ours_can_be_had),
		cmocka_unit_test(what_cannot_overlap_does_not),
		cmocka_unit_test(
		    who_is_in_the_queue_of_a_closed_tcp_listener_is_not_cut_off),
		cmocka_unit_test(
		    who_is_in_the_queue_of_a_closed_unix_listener_is_not_cut_off),
		cmocka_unit_test(
		    a_unix_socket_has_its_mode_and_goes_with_the_last_reference),
		cmocka_unit_test(a_later_generation_changes_mode_and_backlog),
		cmocka_unit_test(
		    a_later_generation_changes_what_the_kernel_keeps),
		cmocka_unit_test(a_stale_socket_file_is_replaced),
		cmocka_unit_test(a_socket_that_somebody_answers_is_left_alone),
		cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
		cmocka_unit_test(
		    a_socket_file_that_was_replaced_is_not_removed),
		cmocka_unit_test(
		    a_link_in_the_place_of_the_socket_gives_nothing_away),
		cmocka_unit_test(a_path_that_cannot_be_is_refused),
		cmocka_unit_test(a_descriptor_is_adopted_if_it_listens),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
