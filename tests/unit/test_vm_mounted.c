/* SPDX-License-Identifier: Apache-2.0
 *
 * mounted: the guest's answer must hold this start's nonce and each workspace's inode number; nothing else will do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm/mounted.h"

#define NONCE "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BOTH "[{\"index\":0,\"ino\":7},{\"index\":1,\"ino\":9}]"
#define NO_NONCE "did not read this machine's nonce"
#define OTHER "sees another directory"

static const uint64_t inodes[] = { 7, 9 };
static const struct mounted two = { NONCE, inodes, 2 };

static int check(const struct mounted *want, const char *reply, struct err *err)
{
	json_t *o = json_loads(reply, 0, NULL);
	int r;

	assert_non_null(o);
	r = mounted_check(want, o, err);
	json_decref(o);
	return r;
}

static void refused(const char *reply, const char *why)
{
	struct err err = { 0 };

	assert_true(check(&two, reply, &err) < 0);
	assert_int_equal(err.kind, ERR_INTERNAL);
	assert_non_null(strstr(err.msg, "the workspace is not mounted in the guest: "));
	assert_non_null(strstr(err.msg, why));
}

static void the_nonce_and_every_directory_are_compared(void **state)
{
	struct err err = { 0 };

	assert_int_equal(check(&two, "{\"nonce\":\"" NONCE "\",\"mounts\":" BOTH "}", &err), 0);
	assert_int_equal(check(&two, "{\"mounts\":[{\"index\":1,\"ino\":9},{\"index\":0,\"ino\":7}],\"nonce\":\"" NONCE "\"}", &err), 0);
}

static void another_nonce_is_no_start(void **state)
{
	refused("{\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":\"\",\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":null,\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":1,\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":\"f0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"mounts\":" BOTH "}", NO_NONCE);
	/* One that is right as far as it goes, and one that goes on. */
	refused("{\"nonce\":\"0011\",\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":\"" NONCE "0\",\"mounts\":" BOTH "}", NO_NONCE);
	refused("{\"nonce\":\"" NONCE "\\n\",\"mounts\":" BOTH "}", NO_NONCE);
	refused("[]", NO_NONCE);
}

static void another_directory_is_no_start(void **state)
{
#define REPLY(mounts) "{\"nonce\":\"" NONCE "\",\"mounts\":" mounts "}"
	refused("{\"nonce\":\"" NONCE "\"}", OTHER);
	refused(REPLY("[]"), OTHER);
	refused(REPLY("{}"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":1,\"ino\":10}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":9},{\"index\":1,\"ino\":7}]"), OTHER);
	/* Told twice, one directory does not stand for two. */
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":0,\"ino\":7}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":-1,\"ino\":9}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":2,\"ino\":9}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":\"1\",\"ino\":9}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},{\"index\":1,\"ino\":\"9\"}]"), OTHER);
	refused(REPLY("[{\"index\":0,\"ino\":7},1]"), OTHER);
#undef REPLY
}

/* What is missing in the answer reads as 0 elsewhere: it must not match a number that is 0. */
static void a_missing_number_is_not_zero(void **state)
{
	static const uint64_t zero[] = { 0 };
	const struct mounted one = { NONCE, zero, 1 };
	struct err err = { 0 };

	assert_true(check(&one, "{\"nonce\":\"" NONCE "\",\"mounts\":[{}]}", &err) < 0);
	assert_true(check(&one, "{\"nonce\":\"" NONCE "\",\"mounts\":[{\"index\":0}]}", &err) < 0);
}

static void a_nonce_that_was_never_made_matches_nothing(void **state)
{
	const struct mounted none = { "", inodes, 2 };
	struct err err = { 0 };

	assert_true(check(&none, "{\"nonce\":\"\",\"mounts\":" BOTH "}", &err) < 0);
}

static void without_workspaces_there_is_nothing_to_compare(void **state)
{
	const struct mounted nothing = { "", NULL, 0 };
	struct err err = { 0 };

	assert_int_equal(check(&nothing, "{}", &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nonce_and_every_directory_are_compared),
		cmocka_unit_test(another_nonce_is_no_start),
		cmocka_unit_test(another_directory_is_no_start),
		cmocka_unit_test(a_missing_number_is_not_zero),
		cmocka_unit_test(a_nonce_that_was_never_made_matches_nothing),
		cmocka_unit_test(without_workspaces_there_is_nothing_to_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
