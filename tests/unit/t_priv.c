/* Accounts, by name and by number, and what is left after giving up root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/priv.h"

static char err[256];
static struct priv p;
static uid_t uid;
static gid_t gid;

static void
no_user_means_no_switch(void **state)
{
	(void)state;
	assert_int_equal(priv_lookup(&p, "", "", err, sizeof err), 0);
	assert_false(p.drop);
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(priv_drop(&p, err, sizeof err), 0);
}

static void
a_name_and_a_number_are_the_same_account(void **state)
{
	(void)state;
	assert_int_equal(priv_lookup(&p, "root", "", err, sizeof err), 0);
	assert_true(p.drop);
	assert_int_equal(p.uid, 0);
	assert_int_equal(p.gid, 0);
	assert_int_equal(priv_lookup(&p, "0", "", err, sizeof err), 0);
	assert_int_equal(p.uid, 0);
	assert_string_equal(p.user, "root");
}

static void
a_group_overrules_that_of_the_user(void **state)
{
	(void)state;
	assert_int_equal(priv_lookup(&p, "root", "12345", err, sizeof err), 0);
	assert_int_equal(p.gid, 12345);
	assert_int_equal(priv_lookup(&p, "", "root", err, sizeof err), 0);
	assert_true(p.drop);
	assert_int_equal(p.gid, 0);
	assert_int_equal(p.uid, geteuid());
}

static void
a_number_without_a_name_needs_a_group(void **state)
{
	(void)state;
	assert_int_equal(priv_lookup(&p, "987654321", "", err, sizeof err), -1);
	assert_string_equal(err,
	    "user 987654321 has no name, so group must be set");
	assert_int_equal(priv_lookup(&p, "987654321", "5", err, sizeof err), 0);
	assert_int_equal(p.uid, 987654321);
	assert_string_equal(p.user, "");
}

static void
an_unknown_account_is_named(void **state)
{
	static const char *const ids[] = { "4294967295", "12x",
		"99999999999999999999" };

	(void)state;
	assert_int_equal(priv_lookup(&p, "no-such-user", "", err, sizeof err),
	    -1);
	assert_string_equal(err, "there is no user no-such-user");
	assert_int_equal(priv_lookup(&p, "root", "no-such-group", err,
			     sizeof err),
	    -1);
	assert_string_equal(err, "there is no group no-such-group");
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
		assert_int_equal(priv_lookup(&p, ids[i], "5", err, sizeof err),
		    -1);
}

static void
an_owner_is_a_user_a_group_or_both(void **state)
{
	char longer[400];

	(void)state;
	assert_int_equal(priv_lookup_owner("", &uid, &gid, err, sizeof err), 0);
	assert_true(uid == (uid_t)-1 && gid == (gid_t)-1);
	assert_int_equal(priv_lookup_owner("root", &uid, &gid, err, sizeof err),
	    0);
	assert_true(uid == 0 && gid == (gid_t)-1);
	assert_int_equal(priv_lookup_owner("5:root", &uid, &gid, err,
			     sizeof err),
	    0);
	assert_true(uid == 5 && gid == 0);
	assert_int_equal(priv_lookup_owner(":7", &uid, &gid, err, sizeof err),
	    0);
	assert_true(uid == (uid_t)-1 && gid == 7);
	assert_int_equal(priv_lookup_owner("nobody-at-all:7", &uid, &gid, err,
			     sizeof err),
	    -1);
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(priv_lookup_owner(longer, &uid, &gid, err, sizeof err),
	    -1);
}

/* Exits 0 in a child in which nothing of root is left. */
static int
drop_in_child(const struct priv *to)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (priv_drop(to, err, sizeof err) < 0)
			_exit(2);
		_exit(getuid() == to->uid && getegid() == to->gid &&
			    setuid(0) < 0 ?
			0 :
			1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void
root_is_given_up_for_good_and_others_have_nothing_to_give(void **state)
{
	const struct priv number = { .drop = true, .uid = 65000, .gid = 65001 };
	struct priv name = number;

	(void)state;
	snprintf(name.user, sizeof name.user, "nobody");
	assert_int_equal(drop_in_child(&number), geteuid() == 0 ? 0 : 2);
	assert_int_equal(drop_in_child(&name), geteuid() == 0 ? 0 : 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_user_means_no_switch),
		cmocka_unit_test(a_name_and_a_number_are_the_same_account),
		cmocka_unit_test(a_group_overrules_that_of_the_user),
		cmocka_unit_test(a_number_without_a_name_needs_a_group),
		cmocka_unit_test(an_unknown_account_is_named),
		cmocka_unit_test(an_owner_is_a_user_a_group_or_both),
		cmocka_unit_test(
		    root_is_given_up_for_good_and_others_have_nothing_to_give),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
