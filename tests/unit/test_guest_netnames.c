/* SPDX-License-Identifier: Apache-2.0
 *
 * netnames: the same name gets the same address, the way back, what a full set does, running out of memory.
 */
#include "unit.h"

#include <errno.h>

#include "guest/netnames.h"
#include "oom.h"

static const uint8_t seed[16] = "0123456789abcdef";

static uint32_t address_of(struct netnames *m, const char *name, uint64_t now_ms)
{
	uint32_t address = 0;

	assert_int_equal(netnames_address(m, name, now_ms, &address), 0);
	return address;
}

static void a_name_keeps_its_address(void **state)
{
	struct netnames *m = netnames_new(seed), *again = netnames_new(seed);
	uint32_t first = address_of(m, "example.com", 1);

	assert_true(first >= NETNAMES_FIRST && first < NETNAMES_FIRST + NETNAMES_MAX);
	assert_int_equal(address_of(m, "example.com", 2), first);
	assert_int_not_equal(address_of(m, "example.org", 2), first);
	assert_string_equal(netnames_name(m, first, 3), "example.com");
	/* The next life of the same sandbox, asked in another order. */
	(void)address_of(again, "example.org", 1);
	assert_int_equal(address_of(again, "example.com", 1), first);
	netnames_free(m);
	netnames_free(again);
}

static void another_sandbox_has_other_addresses(void **state)
{
	struct netnames *a = netnames_new(seed), *b = netnames_new((const uint8_t *)"another seed 0123");
	int same = 0;
	char name[32];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "h%d.example", i);
		same += address_of(a, name, 1) == address_of(b, name, 1);
	}
	assert_true(same < 5);
	netnames_free(a);
	netnames_free(b);
}

static void an_address_that_was_not_given_has_no_name(void **state)
{
	struct netnames *m = netnames_new(seed);

	assert_null(netnames_name(m, NETNAMES_FIRST, 1));
	assert_null(netnames_name(m, 0, 1));
	assert_null(netnames_name(m, NETNAMES_FIRST - 1, 1));
	assert_null(netnames_name(m, NETNAMES_FIRST + NETNAMES_MAX, 1));
	assert_null(netnames_name(m, UINT32_MAX, 1));
	netnames_free(m);
}

/* Every address that is handed out is the name's own, however many there are; in the end there are no more, and what was
 * given stays; an hour later the idle ones make room. */
static void many_names(void **state)
{
	enum { MANY = 2 * NETNAMES_MAX };
	struct netnames *m = netnames_new(seed);
	uint32_t *address = calloc(MANY, sizeof(*address));
	int given = 0, refused = 0;
	char name[32];

	assert_non_null(address);
	for (int i = 0; i < MANY; i++) {
		int r;

		(void)snprintf(name, sizeof(name), "h%d.example", i);
		r = netnames_address(m, name, 1000, &address[i]);
		if (r == 0)
			given++;
		else
			assert_int_equal(r, -ENOSPC);
		refused += r != 0;
	}
	assert_true(given <= NETNAMES_MAX && given > NETNAMES_MAX / 2);
	assert_true(refused > 0);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "h%d.example", i);
		if (address[i])
			assert_string_equal(netnames_name(m, address[i], 0), name);
	}
	assert_string_equal(netnames_name(m, address[0], 1000 + NETNAMES_IDLE_MS / 2), "h0.example");
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "later%d.example", i);
		(void)address_of(m, name, 1001 + NETNAMES_IDLE_MS);
	}
	assert_string_equal(netnames_name(m, address[0], 0), "h0.example");
	free(address);
	netnames_free(m);
}

static void no_memory_changes_nothing(void **state)
{
	struct netnames *m = netnames_new(seed);
	uint32_t address = 7;

	oom_from(0);
	assert_int_equal(netnames_address(m, "example.com", 1, &address), -ENOMEM);
	assert_true(oom_off());
	assert_int_equal(address, 7);
	(void)address_of(m, "example.com", 1);
	oom_from(0);
	assert_null(netnames_new(seed));
	assert_true(oom_off());
	netnames_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_keeps_its_address),
		cmocka_unit_test(another_sandbox_has_other_addresses),
		cmocka_unit_test(an_address_that_was_not_given_has_no_name),
		cmocka_unit_test(many_names),
		cmocka_unit_test(no_memory_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
