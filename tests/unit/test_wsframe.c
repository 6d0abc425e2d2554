/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSocket frames: what each direction may send, in any portions.
 */
#include "wire/wsframe.h"

#include <errno.h>

#include "base/own.h"
#include "unit.h"

#define B(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define M 0x80 /* the mask bit */
#define KEY 1, 2, 3, 4

static const struct {
	const char *what;
	enum wsframe_from from;
	bool deflate;
	const uint8_t *bytes;
	size_t n;
	int result;
} cases[] = {
	{ "text", WSFRAME_CLIENT, false, B(0x81, M | 1, KEY, 'x'), 0 },
	{ "text of the server", WSFRAME_SERVER, false, B(0x81, 1, 'x'), 0 },
	{ "empty frames", WSFRAME_SERVER, false, B(0x82, 0, 0x82, 0), 0 },
	{ "a message in three frames with a ping inside", WSFRAME_SERVER, false,
	  B(0x01, 1, 'a', 0x89, 1, 'p', 0x00, 1, 'b', 0x80, 1, 'c', 0x81, 0), 0 },
	{ "length in two bytes", WSFRAME_SERVER, false, B(0x82, 126, 0, 126), 0 },
	{ "length in eight bytes", WSFRAME_SERVER, false, B(0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0), 0 },
	{ "compressed", WSFRAME_SERVER, true, B(0xc1, 1, 'x'), 0 },
	{ "close", WSFRAME_CLIENT, false, B(0x88, M | 2, KEY, 3, 0xe8), 0 },
	{ "an unmasked client", WSFRAME_CLIENT, false, B(0x81, 1, 'x'), -EPROTO },
	{ "a masked server", WSFRAME_SERVER, false, B(0x81, M | 1, KEY, 'x'), -EPROTO },
	{ "RSV1 without an extension", WSFRAME_SERVER, false, B(0xc1, 1, 'x'), -EPROTO },
	{ "RSV2", WSFRAME_SERVER, true, B(0xa1, 1, 'x'), -EPROTO },
	{ "RSV3", WSFRAME_SERVER, true, B(0x91, 1, 'x'), -EPROTO },
	{ "RSV1 on a continuation", WSFRAME_SERVER, true, B(0x41, 0, 0xc0, 0), -EPROTO },
	{ "RSV1 on a ping", WSFRAME_SERVER, true, B(0xc9, 0), -EPROTO },
	{ "reserved data opcode", WSFRAME_SERVER, false, B(0x83, 0), -EPROTO },
	{ "reserved control opcode", WSFRAME_SERVER, false, B(0x8b, 0), -EPROTO },
	{ "a ping in fragments", WSFRAME_SERVER, false, B(0x09, 0), -EPROTO },
	{ "a long ping", WSFRAME_SERVER, false, B(0x89, 126, 0, 126), -EPROTO },
	{ "a length that is too long in two bytes", WSFRAME_SERVER, false, B(0x82, 126, 0, 125), -EPROTO },
	{ "a length that is too long in eight bytes", WSFRAME_SERVER, false, B(0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff), -EPROTO },
	{ "a length beyond all", WSFRAME_SERVER, false, B(0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0), -EPROTO },
	{ "a continuation of nothing", WSFRAME_SERVER, false, B(0x80, 0), -EPROTO },
	{ "a message in a message", WSFRAME_SERVER, false, B(0x01, 0, 0x81, 0), -EPROTO },
	{ "something after close", WSFRAME_SERVER, false, B(0x88, 0, 0x81, 0), -EPROTO },
	{ "another protocol", WSFRAME_CLIENT, false, B('S', 'S', 'H', '-', '2'), -EPROTO },
};

static void every_case_in_any_portions(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= cases[i].n; step++) {
			struct wsframe w;
			int r = 0;

			wsframe_init(&w, cases[i].from, cases[i].deflate);
			for (size_t at = 0; at < cases[i].n && r == 0; at += step)
				r = wsframe_feed(&w, cases[i].bytes + at, at + step > cases[i].n ? cases[i].n - at : step);
			if (r != cases[i].result)
				fail_msg("%s, %zu at a time: %d", cases[i].what, step, r);
		}
	}
}

static void a_refusal_lasts(void **state)
{
	struct wsframe w;

	wsframe_init(&w, WSFRAME_SERVER, false);
	assert_int_equal(wsframe_feed(&w, B(0x83, 0)), -EPROTO);
	assert_int_equal(wsframe_feed(&w, B(0x81, 0)), -EPROTO);
}

static void payload_is_not_looked_at(void **state)
{
	static uint8_t big[70000];
	struct wsframe w;

	memset(big, 0xff, sizeof(big));
	wsframe_init(&w, WSFRAME_SERVER, false);
	assert_int_equal(wsframe_feed(&w, B(0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70)), 0);
	assert_int_equal(wsframe_feed(&w, big, sizeof(big)), 0);
	assert_int_equal(w.left, 0);
	assert_int_equal(wsframe_feed(&w, B(0x82, 0)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_in_any_portions),
		cmocka_unit_test(a_refusal_lasts),
		cmocka_unit_test(payload_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
