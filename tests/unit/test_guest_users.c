/* SPDX-License-Identifier: Apache-2.0
 *
 * users: names and numbers, groups, lines that do not parse, what does not exist.
 */
#include "unit.h"

#include "base/str.h"
#include "guest/users.h"

static const char passwd[] =
	"root:x:0:0:root:/root:/bin/bash\n"
	"broken line\n"
	"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	"short:x:7:7\n"
	"nan:x:12a:1:::\n"
	"huge:x:4294967295:1:::\n"
	"agent:x:1000:1001:Agent,,,:/home/agent:/bin/zsh\n"
	"1234:x:77:78::relative:\n"
	"twin:x:1000:5::/twin:/bin/sh\n"
	"last:x:9:9::/last:/bin/last";
static const char group[] =
	"root:x:0:\n"
	"sudo:x:27:other,agent\n"
	"agent:x:1001:agent\n"
	"agents:x:1002:agentx,xagent\n"
	"docker:x:999:agent\n"
	"again:x:999:agent\n"
	"bad:x:no:agent\n"
	"5:x:55:\n";

static void resolve(const char *spec, struct user *u)
{
	struct err err = { 0 };

	assert_int_equal(users_resolve(passwd, group, spec, u, &err), 0);
}

static void a_name_brings_its_groups(void **state)
{
	struct user u;

	resolve("agent", &u);
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1001);
	assert_string_equal(u.home, "/home/agent");
	assert_string_equal(u.shell, "/bin/zsh");
	assert_int_equal(u.ngroups, 2);
	assert_int_equal(u.groups[0], 27);
	assert_int_equal(u.groups[1], 999);
}

static void a_number_finds_the_first_of_its_name(void **state)
{
	struct user u;

	resolve("1000", &u);
	assert_string_equal(u.name, "agent");
	assert_int_equal(u.ngroups, 2);
	/* A name made of digits is a name. */
	resolve("1234", &u);
	assert_int_equal(u.uid, 77);
	assert_string_equal(u.home, "/");
	assert_string_equal(u.shell, "/bin/sh");
	resolve("last", &u);
	assert_int_equal(u.uid, 9);
}

static void an_unknown_number_is_somebody(void **state)
{
	struct user u;

	resolve("4242", &u);
	assert_int_equal(u.uid, 4242);
	assert_int_equal(u.gid, 0);
	assert_string_equal(u.name, "4242");
	assert_string_equal(u.home, "/");
	assert_int_equal(u.ngroups, 0);
}

static void a_group_replaces_the_primary_one(void **state)
{
	struct user u;

	resolve("agent:docker", &u);
	assert_int_equal(u.gid, 999);
	assert_int_equal(u.ngroups, 0);
	resolve("agent:5", &u);
	assert_int_equal(u.gid, 55);
	resolve("0:6", &u);
	assert_int_equal(u.gid, 6);
}

static void nobody_is_an_error(void **state)
{
	static const char *const bad[] = { "", "ghost", "short", "nan", "huge", "4294967295", "-1", "99999999999999999999",
					   ":", ":0", "agent:", "agent:ghosts", "agent:a:b", "agent:4294967295", "Agent" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct user u = { .uid = 5 };
		struct err err = { 0 };

		assert_true(users_resolve(passwd, group, bad[i], &u, &err) < 0);
		assert_int_equal(err.kind, ERR_NOT_FOUND);
		assert_int_equal(u.uid, 5);
	}
}

static void fields_and_groups_have_limits(void **state)
{
	char line[4096], many[16384] = "";
	struct user u;
	struct err err = { 0 };
	size_t at = 0;

	(void)snprintf(line, sizeof(line), "long:x:1:1::/%02000d:/bin/sh\n", 1);
	assert_true(users_resolve(line, "", "long", &u, &err) < 0);
	for (int i = 0; i < USERS_GROUPS_MAX + 20; i++)
		at += (size_t)snprintf(many + at, sizeof(many) - at, "g%d:x:%d:agent\n", i, 2000 + i);
	assert_int_equal(users_resolve(passwd, many, "agent", &u, &err), 0);
	assert_int_equal(u.ngroups, USERS_GROUPS_MAX);
	assert_int_equal(users_resolve("", "", "0", &u, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_brings_its_groups),
		cmocka_unit_test(a_number_finds_the_first_of_its_name),
		cmocka_unit_test(an_unknown_number_is_somebody),
		cmocka_unit_test(a_group_replaces_the_primary_one),
		cmocka_unit_test(nobody_is_an_error),
		cmocka_unit_test(fields_and_groups_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
