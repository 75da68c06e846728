#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "worker/http/access_log.h"
#include "worker/request.h"

#define FIELDS_MAX 4

static struct score_slot score;

static const struct h1_limits limits = { .request_line = 60000,
	.field = 60000,
	.fields = FIELDS_MAX,
	.head = 200000 };

/* A request as the parser left it. */
struct asked {
	struct pf_request request;
	struct h1_field field[FIELDS_MAX];
};

static void
ask_bytes(struct asked *a, char *head, size_t n)
{
	struct pf_request *r = &a->request;

	memset(a, 0, sizeof *a);
	h1_head_init(&r->head, &limits, a->field);
	r->buf = head;
	r->buf_used = (uint32_t)n;
	(void)h1_parse(&r->head, r->buf, n);
	r->peer.v4 = (struct sockaddr_in){ .sin_family = AF_INET };
	inet_pton(AF_INET, "192.0.2.7", &r->peer.v4.sin_addr);
}

static void
ask(struct asked *a, char *head)
{
	ask_bytes(a, head, strlen(head));
}

/* The line of it, without the time; it says [*] instead. */
static const char *
line_of(struct asked *a, unsigned status, int64_t bytes)
{
	static char text[70000];
	struct access_log l;
	int fd = memfd_create("access", MFD_CLOEXEC);
	char *open, *close_at;
	ssize_t n;

	assert_int_equal(access_log_init(&l, fd, &score), 0);
	access_log_add(&l, &a->request, status, bytes);
	access_log_fini(&l);
	n = pread(fd, text, sizeof text - 1, 0);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(strlen(text), n);
	open = strchr(text, '[');
	close_at = strchr(text, ']');
	assert_non_null(open);
	assert_int_equal(close_at - open, 27);
	open[1] = '*';
	memmove(open + 2, close_at, strlen(close_at) + 1);
	return text;
}

static void
a_line_is_in_combined_format(void **state)
{
	char head[] = "GET /a?b=c HTTP/1.1\r\nHost: h\r\n"
		      "Referer: http://r/\r\nUser-Agent: curl/8\r\n\r\n";
	char old[] = "HEAD / HTTP/1.0\r\n\r\n";
	struct asked a;

	(void)state;
	ask(&a, head);
	assert_string_equal(line_of(&a, 200, 1234),
	    "192.0.2.7 - - [*] \"GET /a?b=c HTTP/1.1\" 200 1234 "
	    "\"http://r/\" \"curl/8\"\n");
	ask(&a, old);
	assert_string_equal(line_of(&a, 304, 0),
	    "192.0.2.7 - - [*] \"HEAD / HTTP/1.0\" 304 0 \"-\" \"-\"\n");
}

static void
an_address_is_of_the_family_of_the_client(void **state)
{
	char head[] = "GET / HTTP/1.0\r\n\r\n";
	struct asked a;

	(void)state;
	ask(&a, head);
	a.request.peer.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	inet_pton(AF_INET6, "2001:db8::7", &a.request.peer.v6.sin6_addr);
	assert_memory_equal(line_of(&a, 200, 0), "2001:db8::7 - - [*] ", 20);
	a.request.peer = (struct peer){ .family = AF_UNIX };
	assert_memory_equal(line_of(&a, 200, 0), "- - - [*] ", 10);
}

static void
what_a_client_sends_ends_neither_quotes_nor_line(void **state)
{
	char head[] = "GET /\"a\\b HTTP/1.1\r\nHost: h\r\n"
		      "Referer: \"\\x\t\xe4\xff\x80\r\n"
		      "User-Agent: a\" 200 1 \"-\" \"\r\n\r\n";
	struct asked a;

	(void)state;
	ask(&a, head);
	/* refused by the parser or not, the fields stand where they are */
	a.request.head.method = (struct h1_span){ 0, 3 };
	a.request.head.target = (struct h1_span){ 4, 5 };
	a.request.head.minor = 1;
	a.request.head.n_fields = 2;
	a.field[0] = (struct h1_field){ .id = PF_H_REFERER,
		.value = { (uint32_t)(strstr(head, "Referer") + 9 - head),
		    7 } };
	a.field[1] = (struct h1_field){ .id = PF_H_USER_AGENT,
		.value = { (uint32_t)(strstr(head, "Agent") + 7 - head), 14 } };
	assert_string_equal(line_of(&a, 200, 1),
	    "192.0.2.7 - - [*] \"GET /\\x22a\\x5cb HTTP/1.1\" 200 1 "
	    "\"\\x22\\x5cx\\x09\\xe4\\xff\\x80\" "
	    "\"a\\x22 200 1 \\x22-\\x22 \\x22\"\n");
}

static void
every_byte_but_printable_ones_is_escaped(void **state)
{
	char head[256], want[1100], *at = want;
	struct asked a;

	(void)state;
	ask_bytes(&a, head, 0);
	for (unsigned i = 0; i < 256; i++) {
		head[i] = (char)i;
		if (i < 0x20 || i >= 0x7f || i == '"' || i == '\\')
			at += sprintf(at, "\\x%02x", i);
		else
			*at++ = (char)i;
	}
	*at = '\0';
	a.request.buf = head;
	a.request.head.method = (struct h1_span){ 'A', 3 };
	a.request.head.target = (struct h1_span){ 0, 256 };
	at = strstr(line_of(&a, 200, 0), "\"ABC ");
	assert_non_null(at);
	assert_memory_equal(at + 5, want, strlen(want));
	assert_memory_equal(at + 5 + strlen(want), " HTTP/1.0\" 200 0 ", 17);
}

static void
a_request_that_was_none_is_a_dash(void **state)
{
	char nothing[] = "", junk[] = "\x16\x03\x01\r\n\r\n";
	struct asked a;

	(void)state;
	ask(&a, nothing);
	assert_string_equal(line_of(&a, 408, 0),
	    "192.0.2.7 - - [*] \"-\" 408 0 \"-\" \"-\"\n");
	ask(&a, junk);
	assert_string_equal(line_of(&a, 400, 16),
	    "192.0.2.7 - - [*] \"-\" 400 16 \"-\" \"-\"\n");
}

static void
a_long_target_is_cut(void **state)
{
	static char head[50100];
	struct asked a;
	const char *line;

	(void)state;
	memset(head, '\x01', 50000);
	ask_bytes(&a, head, 0);
	a.request.buf = head;
	a.request.head.method = (struct h1_span){ 0, 50000 };
	a.request.head.target = (struct h1_span){ 0, 50000 };
	a.request.head.n_fields = 2;
	a.field[0] =
	    (struct h1_field){ .id = PF_H_REFERER, .value = { 0, 50000 } };
	a.field[1] =
	    (struct h1_field){ .id = PF_H_USER_AGENT, .value = { 0, 50000 } };
	line = line_of(&a, 200, INT64_MAX);
	assert_in_range(strlen(line), 4 * 2048 * 4, 4 * 2048 * 4 + 200);
}

static void
the_time_is_local_and_says_so(void **state)
{
	char head[] = "GET / HTTP/1.0\r\n\r\n", text[200];
	struct access_log l;
	struct asked a;
	struct tm tm = { 0 };
	time_t before = time(NULL), said;
	int fd = memfd_create("access", MFD_CLOEXEC);
	const char *end;

	(void)state;
	ask(&a, head);
	assert_int_equal(access_log_init(&l, fd, &score), 0);
	access_log_add(&l, &a.request, 200, 0);
	access_log_fini(&l);
	text[pread(fd, text, sizeof text - 1, 0)] = '\0';
	close(fd);
	end = strptime(strchr(text, '[') + 1, "%d/%b/%Y:%H:%M:%S %z", &tm);
	assert_non_null(end);
	assert_int_equal(*end, ']');
	/* strptime() leaves the offset in tm_gmtoff, timegm() ignores it; the
	 * coarse clock may lag behind time() by a tick */
	said = -tm.tm_gmtoff;
	said += timegm(&tm);
	assert_in_range(said, before - 1, time(NULL));
}

static void
off_is_off(void **state)
{
	char head[] = "GET / HTTP/1.0\r\n\r\n";
	struct access_log l;
	struct asked a;

	(void)state;
	ask(&a, head);
	assert_int_equal(access_log_init(&l, -1, &score), 0);
	access_log_add(&l, &a.request, 200, 0);
	access_log_flush(&l);
	assert_int_equal(l.n, 0);
	assert_null(l.buf);
	access_log_fini(&l);
}

/* Reads one write of a packet-wise "pipe"; 0: no more. */
static size_t
piece_read(int fd, char *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* A SEQPACKET socket keeps the bounds of what was written to it. */
static void
lines_to_a_pipe_leave_in_pieces_that_do_not_mix(void **state)
{
	static char head[6000], buf[70000];
	struct access_log l;
	struct asked a;
	int fd[2];
	size_t n, lines = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			     fd),
	    0);
	assert_int_equal(access_log_init(&l, fd[0], &score), 0);
	assert_true(l.is_pipe);
	for (int i = 0; i < 200; i++) {
		sprintf(head, "GET /%0*d HTTP/1.0\r\n\r\n", 1 + i % 70, i);
		ask(&a, head);
		access_log_add(&l, &a.request, 200, i);
	}
	access_log_flush(&l);
	assert_int_equal(l.n, 0);
	while ((n = piece_read(fd[1], buf, sizeof buf)) > 0) {
		assert_true(n <= PIPE_BUF);
		assert_int_equal(buf[n - 1], '\n');
		for (size_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	}
	assert_int_equal(lines, 200);
	access_log_fini(&l);
	close(fd[0]);
	close(fd[1]);
}

/* It cannot be whole; those behind it can. */
static void
a_line_longer_than_a_piece_leaves_alone(void **state)
{
	static char head[6000], buf[70000];
	char after[] = "GET /after HTTP/1.0\r\n\r\n";
	struct access_log l;
	struct asked a;
	int fd[2];
	size_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			     fd),
	    0);
	assert_int_equal(access_log_init(&l, fd[0], &score), 0);
	memset(head, '\x01', 2000);
	ask_bytes(&a, head, 0);
	a.request.head.method = (struct h1_span){ 0, 2000 };
	a.request.head.target = (struct h1_span){ 0, 2000 };
	access_log_add(&l, &a.request, 200, 1);
	ask(&a, after);
	access_log_add(&l, &a.request, 200, 1);
	access_log_add(&l, &a.request, 200, 1);
	access_log_flush(&l);
	n = piece_read(fd[1], buf, sizeof buf);
	assert_true(n > PIPE_BUF);
	assert_ptr_equal(memchr(buf, '\n', n), buf + n - 1);
	n = piece_read(fd[1], buf, sizeof buf);
	assert_true(n > 0 && n <= PIPE_BUF);
	assert_int_equal(piece_read(fd[1], buf, sizeof buf), 0);
	access_log_fini(&l);
	close(fd[0]);
	close(fd[1]);
}

static void
a_full_disk_loses_nothing_until_the_buffer_is_full(void **state)
{
	char head[] = "GET /lost HTTP/1.0\r\n\r\n", *text;
	struct access_log l;
	struct asked a;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int disk = memfd_create("disk", MFD_CLOEXEC);
	uint64_t kept = 0, lost, lines = 0;
	off_t n;

	(void)state;
	assert_true(full >= 0);
	SCORE_SET(&score, log_lost, 0);
	ask(&a, head);
	assert_int_equal(access_log_init(&l, full, &score), 0);
	for (; SCORE_GET(&score, log_lost) == 0; kept++) {
		access_log_add(&l, &a.request, 200, 0);
		access_log_flush(&l);
		assert_true(l.failing);
	}
	kept--;
	assert_in_range(l.n, 30000, 65536);
	for (int i = 0; i < 9; i++)
		access_log_add(&l, &a.request, 200, 0);
	lost = SCORE_GET(&score, log_lost);
	assert_int_equal(lost, 10);
	l.fd = disk; /* as if there was room again */
	access_log_flush(&l);
	assert_false(l.failing);
	access_log_add(&l, &a.request, 200, 0);
	access_log_fini(&l);
	n = lseek(disk, 0, SEEK_CUR);
	text = malloc((size_t)n);
	assert_int_equal(pread(disk, text, (size_t)n, 0), n);
	for (off_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	assert_int_equal(lines, kept + 1);
	free(text);
	close(full);
	close(disk);
}

static int
quiet(void **state)
{
	(void)state;
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_in_combined_format),
		cmocka_unit_test(an_address_is_of_the_family_of_the_client),
		cmocka_unit_test(
		    what_a_client_sends_ends_neither_quotes_nor_line),
		cmocka_unit_test(every_byte_but_printable_ones_is_escaped),
		cmocka_unit_test(a_request_that_was_none_is_a_dash),
		cmocka_unit_test(a_long_target_is_cut),
		cmocka_unit_test(the_time_is_local_and_says_so),
		cmocka_unit_test(off_is_off),
		cmocka_unit_test(
		    lines_to_a_pipe_leave_in_pieces_that_do_not_mix),
		cmocka_unit_test(a_line_longer_than_a_piece_leaves_alone),
		cmocka_unit_test(
		    a_full_disk_loses_nothing_until_the_buffer_is_full),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
