#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/scoreboard.h"
#include "worker/net/peer.h"
#include "worker/net/per_ip.h"

#define SECRET UINT64_C(0x5e4c1e7)

static struct score_addresses table;

static unsigned
random_below(unsigned n)
{
	static uint32_t random = 12345;

	random = random * 1664525u + 1013904223u;
	return (random >> 8) % n;
}

static int
setup(void **state)
{
	(void)state;
	table = (struct score_addresses){ 0 };
	return 0;
}

static uint64_t
key_of(sa_family_t family, const char *ip)
{
	struct peer p;

	assert_true(peer_set_text(&p, family,
	    (struct str){ ip, __builtin_strlen(ip) }, 80));
	return per_ip_key(&p, SECRET);
}

static void
what_is_added_is_counted_until_it_is_removed(void **state)
{
	uint64_t a = key_of(AF_INET, "192.0.2.1"),
		 b = key_of(AF_INET, "192.0.2.2");

	(void)state;
	assert_int_equal(per_ip_count(&table, a), 0);
	for (unsigned n = 1; n <= 5; n++) {
		assert_true(per_ip_add(&table, a));
		assert_int_equal(per_ip_count(&table, a), n);
	}
	assert_true(per_ip_add(&table, b));
	for (unsigned n = 5; n-- > 0;) {
		per_ip_remove(&table, a);
		assert_int_equal(per_ip_count(&table, a), n);
		assert_int_equal(per_ip_count(&table, b), 1);
	}
	per_ip_remove(&table, a);
	assert_int_equal(per_ip_count(&table, a), 0);
}

static void
an_ipv6_network_of_64_bits_is_one_client(void **state)
{
	uint64_t a = key_of(AF_INET6, "2001:db8:0:1::1");

	(void)state;
	assert_int_equal(a, key_of(AF_INET6, "2001:db8:0:1:ffff:1:2:3"));
	assert_int_not_equal(a, key_of(AF_INET6, "2001:db8:0:2::1"));
	assert_int_equal(key_of(AF_INET, "192.0.2.1"),
	    key_of(AF_INET6, "::ffff:192.0.2.1"));
	/* the same bits */
	assert_int_not_equal(key_of(AF_INET6, "2001:db8::1"),
	    key_of(AF_INET, "32.1.13.184"));
}

/* In a full set too, others are found, and a place that is free again is taken.
 */
static void
addresses_beyond_the_table_are_refused_and_the_others_right(void **state)
{
	uint64_t key[SCORE_ADDRESS_WAYS + 1];

	(void)state;
	for (size_t i = 0; i <= SCORE_ADDRESS_WAYS; i++)
		key[i] = (uint64_t)(i + 1) << SCORE_ADDRESS_COUNT;
	for (size_t i = 0; i < SCORE_ADDRESS_WAYS; i++)
		assert_true(per_ip_add(&table, key[i]));
	assert_false(per_ip_add(&table, key[SCORE_ADDRESS_WAYS]));
	assert_int_equal(per_ip_count(&table, key[SCORE_ADDRESS_WAYS]), 0);
	for (size_t i = 0; i < SCORE_ADDRESS_WAYS; i++)
		assert_int_equal(per_ip_count(&table, key[i]), 1);
	per_ip_remove(&table, key[SCORE_ADDRESS_WAYS]);
	per_ip_remove(&table, key[3]);
	assert_true(per_ip_add(&table, key[SCORE_ADDRESS_WAYS]));
	assert_int_equal(per_ip_count(&table, key[3]), 0);
}

/* A place that was free before its own does not hide it. */
static void
random_clients_are_counted_as_by_hand(void **state)
{
	enum { CLIENTS = 300 };
	unsigned held[CLIENTS] = { 0 };

	(void)state;
	for (unsigned n = 0; n < 100000; n++) {
		unsigned i = random_below(CLIENTS);
		uint64_t key = key_of(AF_INET, "10.0.0.0") * (2 * i + 1);

		assert_int_equal(per_ip_count(&table, key), held[i]);
		if (held[i] > 0 && random_below(2) == 0) {
			per_ip_remove(&table, key);
			held[i]--;
		} else {
			assert_true(per_ip_add(&table, key));
			held[i]++;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
		    what_is_added_is_counted_until_it_is_removed, setup),
		cmocka_unit_test_setup(an_ipv6_network_of_64_bits_is_one_client,
		    setup),
		cmocka_unit_test_setup(
		    addresses_beyond_the_table_are_refused_and_the_others_right,
		    setup),
		cmocka_unit_test_setup(random_clients_are_counted_as_by_hand,
		    setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
