/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.json: defaults, every key, and errors that name the file, the key and the form.
 */
#include "daemon/settings.h"

#include <fcntl.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static char dir[256];

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	return 0;
}

static int teardown(void **state)
{
	unit_tmpdir_remove(dir);
	return 0;
}

static void put(const char *text)
{
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(io_write_file_atomic(fd, "settings.json", text, strlen(text), 0600), 0);
}

static void defaults(void **state)
{
	struct settings s = { 0 };
	json_t *o = NULL;

	assert_int_equal(settings_load(dir, &s, &o, NULL), 0);
	assert_int_equal(s.stop_grace_ms, 30000);
	assert_int_equal(s.auto_pause_ms, 0);
	assert_int_equal(s.disk_bytes, UINT64_C(64) << 30);
	assert_int_equal(s.memory_reserve_bytes, UINT64_C(256) << 20);
	assert_int_equal(s.boot_timeout_ms, 120000);
	assert_string_equal(s.accelerator, "auto");
	assert_int_equal(s.tls, RULE_TLS_AUTO);
	assert_int_equal(s.nranges, 0);
	assert_int_equal(json_object_size(o), 13);
	assert_int_equal(json_array_size(json_object_get(o, "network.permittedRanges")), 0);
	assert_string_equal(json_string_value(json_object_get(o, "sandbox.disk")), "64g");
	json_decref(o);
}

static void every_key(void **state)
{
	struct settings s = { 0 };
	json_t *o = NULL;

	put("{\"sandbox.memoryReserve\":\"2g\",\"sandbox.stopGrace\":\"500ms\",\"sandbox.autoPause\":\"30m\",\"sandbox.disk\":\"10GiB\",\"sandbox.accelerator\":\"tcg\",\"daemon."
	    "bootTimeout\":\"5m\",\"network.tlsDefault\":\"intercept\",\"network.permittedRanges\":[\"10.8.0.0/16\",\"fd00::/8\"]}");
	assert_int_equal(settings_load(dir, &s, &o, NULL), 0);
	assert_int_equal(s.stop_grace_ms, 500);
	assert_int_equal(s.auto_pause_ms, 1800000);
	assert_int_equal(s.disk_bytes, UINT64_C(10) << 30);
	assert_int_equal(s.memory_reserve_bytes, UINT64_C(2) << 30);
	assert_int_equal(s.boot_timeout_ms, 300000);
	assert_string_equal(s.accelerator, "tcg");
	assert_int_equal(s.tls, RULE_TLS_INTERCEPT);
	assert_int_equal(s.nranges, 2);
	assert_int_equal(s.ranges[0].prefix, 16);
	assert_int_equal(s.ranges[1].net.bits, 128);
	assert_string_equal(json_string_value(json_object_get(o, "sandbox.stopGrace")), "500ms");
	assert_int_equal(json_array_size(json_object_get(o, "network.permittedRanges")), 2);
	json_decref(o);
}

static void wrong_ones(void **state)
{
	static const struct {
		const char *text, *word;
	} cases[] = {
		{ "", "line" },
		{ "[]", "object" },
		{ "{\"sandbox.disk\":\"64g\",\"sandbox.disk\":\"65g\"}", "line" },
		{ "{\"sandbox.disc\":\"64g\"}", "sandbox.disc" },
		{ "{\"sandbox.disk\":64}", "sandbox.disk" },
		{ "{\"sandbox.disk\":\"much\"}", "from 1g to 16t" },
		{ "{\"sandbox.disk\":\"1m\"}", "from 1g to 16t" },
		{ "{\"sandbox.disk\":\"99999t\"}", "from 1g to 16t" },
		{ "{\"sandbox.memoryReserve\":\"-1m\"}", "256m" },
		{ "{\"sandbox.memoryReserve\":\"17t\"}", "256m" },
		{ "{\"sandbox.stopGrace\":\"-1s\"}", "duration" },
		{ "{\"sandbox.stopGrace\":\"25h\"}", "duration" },
		{ "{\"sandbox.autoPause\":\"1s\"}", "from 5s" },
		{ "{\"sandbox.autoPause\":\"never\"}", "off" },
		{ "{\"sandbox.accelerator\":\"hvf\"}", "kvm" },
		{ "{\"daemon.bootTimeout\":\"1s\"}", "5s" },
		{ "{\"network.tlsDefault\":\"splice\"}", "auto" },
		{ "{\"network.permittedRanges\":\"10.8.0.0/16\"}", "list" },
		{ "{\"network.permittedRanges\":[\"10.8.0.1/16\"]}", "ranges" },
		{ "{\"network.permittedRanges\":[7]}", "ranges" },
		{ "{\"network.httpProxy\":\"socks5://x\"}", "http://proxy.example:3128" },
		{ "{\"network.httpsProxy\":\"proxy:3128\"}", "http://proxy.example:3128" },
		{ "{\"network.extraCaFile\":\"ca.pem\"}", "absolute path" },
		{ "{\"browser.open\":\"always\"}", "\"ask\" or \"never\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct settings s = { .stop_grace_ms = 7 };
		struct err err = { 0 };
		json_t *o = NULL;

		put(cases[i].text);
		if (settings_load(dir, &s, &o, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err.msg, cases[i].word) || !strstr(err.msg, "settings.json"))
			fail_msg("%s: %s", cases[i].text, err.msg);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_int_equal(s.stop_grace_ms, 7);
		assert_null(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(every_key, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_ones, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon_settings", tests, NULL, NULL);
}
