/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of sbx-keeper: what encodes decodes to the same; everything else is refused and leaves the output alone.
 */
#include "wire/keepermsg.h"

#include <errno.h>

#include "base/own.h"
#include "oom.h"
#include "unit.h"

#define ID "01234567-89ab-cdef-0123-456789abcdef"

static int decode(const char *text, struct keepermsg_request *ret)
{
	struct err err = { 0 };
	int r = keepermsg_decode(text, strlen(text), ret, &err);

	if (r < 0)
		assert_true(err.kind == ERR_INVALID && err.msg[0]);
	return r;
}

static void requests_survive(void **state)
{
	struct keepermsg_request in[4] = { { .op = KEEPERMSG_ATTACH, .sandbox = ID },
					   { .op = KEEPERMSG_FORGET, .sandbox = ID },
					   { .op = KEEPERMSG_VERSION },
					   { .op = KEEPERMSG_LEAF } };

	assert_int_equal(dest_make("xn--bcher-kva.test", 18, 1, DEST_HTTPS, &in[3].host), DEST_OK);
	for (size_t len = 1; len <= 260; len++) {
		struct keepermsg_request out = { 0 };
		struct buf b;

		for (size_t i = 0; i < len; i++)
			in[3].spki[i] = (uint8_t)(i * 7 + len);
		in[3].spki_len = len;
		for (size_t i = 0; i < ARRAY_LEN(in); i++) {
			buf_init(&b, KEEPERMSG_MAX_BYTES);
			assert_int_equal(keepermsg_encode(&in[i], &b), 0);
			assert_int_equal(keepermsg_decode((const char *)buf_bytes(&b), buf_len(&b), &out, NULL), 0);
			assert_memory_equal(&in[i], &out, sizeof(out));
			assert_int_equal(keepermsg_begins_leaf((const char *)buf_bytes(&b), buf_len(&b)), in[i].op == KEEPERMSG_LEAF);
			assert_false(keepermsg_begins_leaf((const char *)buf_bytes(&b), 12));
			buf_done(&b);
		}
	}
}

static void replies_survive(void **state)
{
	static struct keepermsg_reply in[5], out;

	memcpy(in[KEEPERMSG_ATTACH].ca, "-----BEGIN\n", 12);
	memcpy(in[KEEPERMSG_ATTACH].ca_hash, "0123abcd", 9);
	memset(in[KEEPERMSG_LEAF].cert, 0xff, KEEPERMSG_CERT_MAX);
	in[KEEPERMSG_LEAF].cert_len = KEEPERMSG_CERT_MAX;
	in[KEEPERMSG_VERSION] = (struct keepermsg_reply){ .version = "1.2.3", .pid = 7, .landlock = true };
	in[4].error = (struct err){ .kind = ERR_DENIED, .msg = "attach first" };
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		enum keepermsg_op op = i == 4 ? KEEPERMSG_LEAF : (enum keepermsg_op)i;
		struct buf b;

		buf_init(&b, KEEPERMSG_MAX_BYTES);
		assert_int_equal(keepermsg_encode_reply(op, &in[i], &b), 0);
		assert_int_equal(keepermsg_decode_reply(op, (const char *)buf_bytes(&b), buf_len(&b), &out, NULL), 0);
		assert_memory_equal(&in[i], &out, sizeof(out));
		/* One op's reply is no other's, but an error is everybody's. */
		for (int other = 0; other < 4; other++)
			assert_int_equal(keepermsg_decode_reply((enum keepermsg_op)other, (const char *)buf_bytes(&b),
								buf_len(&b), &out, NULL),
					 i == 4 || other == (int)op ? 0 : -EINVAL);
		buf_done(&b);
	}
}

static void wrong_requests(void **state)
{
	static const char *const cases[] = {
		"", "{", "[]", "null", "\"x\"", "{}", "{\"op\":1}", "{\"op\":\"\"}", "{\"op\":\"Attach\"}",
		"{\"op\":\"version\",\"x\":1}",
		"{\"op\":\"attach\"}",
		"{\"op\":\"attach\",\"sandbox\":null}",
		"{\"op\":\"attach\",\"sandbox\":\"\"}",
		"{\"op\":\"attach\",\"sandbox\":\"" ID "0\"}",
		"{\"op\":\"attach\",\"sandbox\":\"01234567-89AB-cdef-0123-456789abcdef\"}",
		"{\"op\":\"attach\",\"sandbox\":\"01234567089ab-cdef-0123-456789abcdef\"}",
		"{\"op\":\"attach\",\"sandbox\":\"../../../../../../../../etc/passwd.pe\"}",
		"{\"op\":\"attach\",\"sandbox\":\"" ID "\",\"sandbox\":\"" ID "\"}",
		"{\"op\":\"attach\",\"sandbox\":\"" ID "\",\"host\":\"a\"}",
		"{\"op\":\"attach\",\"sandbox\":\"" ID "\"} x",
		"{\"op\":\"leaf\",\"host\":\"a.test\"}",
		"{\"op\":\"leaf\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AA=A\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"A===\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"====\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AB==\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AAB=\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AA-_\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AA\\nAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AAA\\u0000\"}",
		"{\"op\":\"leaf\",\"host\":\"\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"A.test\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test.\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test:443\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"*.test\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test\\u0000b\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"a.test,DNS:b.test\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"127.1\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"[::1]\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"0:0::1\",\"spki\":\"AAAA\"}",
		"{\"op\":\"leaf\",\"host\":\"b\xc3\xbc.test\",\"spki\":\"AAAA\"}",
	};
	struct keepermsg_request before, q;

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		q = before;
		if (decode(cases[i], &q) >= 0)
			fail_msg("accepted: %s", cases[i]);
		assert_memory_equal(&q, &before, sizeof(q));
	}
	assert_int_equal(decode("{\"op\":\"leaf\",\"host\":\"::1\",\"spki\":\"AA==\"}", &q), 0);
	assert_true(q.host.kind == DEST_V6 && q.spki_len == 1 && q.spki[0] == 0);
}

static void bounds(void **state)
{
	static char text[KEEPERMSG_MAX_BYTES + 2];
	struct keepermsg_request q = { .op = KEEPERMSG_ATTACH };
	char spki[2000];
	struct buf b;

	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, "{\"op\":\"version\"}", 16);
	assert_int_equal(keepermsg_decode(text, KEEPERMSG_MAX_BYTES, &q, NULL), 0);
	assert_int_equal(keepermsg_decode(text, KEEPERMSG_MAX_BYTES + 1, &q, NULL), -EMSGSIZE);
	for (int quads = 340; quads <= 344; quads++) {
		memset(spki, 'A', sizeof(spki));
		(void)snprintf(text, sizeof(text), "{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"%.*s\"}", quads * 4,
			       spki);
		assert_int_equal(decode(text, &q) == 0, quads * 3 <= KEEPERMSG_SPKI_MAX);
	}
	buf_init(&b, KEEPERMSG_MAX_BYTES);
	q = (struct keepermsg_request){ .op = KEEPERMSG_ATTACH, .sandbox = "x" };
	assert_int_equal(keepermsg_encode(&q, &b), -EINVAL);
	q.op = KEEPERMSG_LEAF;
	assert_int_equal(keepermsg_encode(&q, &b), -EINVAL);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
	buf_init(&b, 4);
	q.op = KEEPERMSG_VERSION;
	assert_int_equal(keepermsg_encode(&q, &b), -EMSGSIZE);
	buf_done(&b);
}

/* The keeper's words reach a log: nothing but printable text. */
static void wrong_replies(void **state)
{
	static const char *const cases[] = {
		"{}", "[]", "{\"ok\":false}", "{\"ok\":1}", "{\"ok\":true,\"ca\":\"\"}", "{\"ok\":true,\"ca\":\"x\",\"y\":1}",
		"{\"ok\":true,\"ca\":\"x\",\"ca_hash\":\"0123ABCD\"}", "{\"ok\":true,\"ca\":\"x\",\"ca_hash\":\"../../ab\"}",
		"{\"ok\":true,\"ca\":\"x\",\"ca_hash\":\"0123abc\"}", "{\"ok\":true,\"ca\":\"x\",\"ca_hash\":1}",
		"{\"error\":{}}", "{\"error\":\"x\"}", "{\"error\":{\"kind\":\"denied\"}}",
		"{\"error\":{\"kind\":\"denied\",\"message\":\"m\"},\"ok\":true}",
		"{\"ok\":true,\"version\":\"1\",\"pid\":0,\"landlock\":true,\"netns\":true}",
		"{\"ok\":true,\"version\":\"1\",\"pid\":1,\"landlock\":1,\"netns\":true}",
	};
	static struct keepermsg_reply q, before;
	const char *said = "{\"error\":{\"kind\":\"never\",\"message\":\"a\\u001b[31m\"}}";

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int op = 0; op < 4; op++) {
			q = before;
			if (op == KEEPERMSG_FORGET && i == 3)
				continue;
			assert_int_equal(keepermsg_decode_reply((enum keepermsg_op)op, cases[i], strlen(cases[i]), &q,
								NULL),
					 -EINVAL);
			assert_memory_equal(&q, &before, sizeof(q));
		}
	assert_int_equal(keepermsg_decode_reply(KEEPERMSG_LEAF, said, strlen(said), &q, NULL), 0);
	assert_int_equal(q.error.kind, ERR_INTERNAL);
	assert_string_equal(q.error.msg, "a\\x1b[31m");
}

static void out_of_memory(void **state)
{
	struct keepermsg_request q = { .op = KEEPERMSG_LEAF, .spki_len = 3 };
	long n = 0;

	assert_int_equal(dest_make("a.test", 6, 1, DEST_HTTPS, &q.host), DEST_OK);
	for (;; n++) {
		struct buf b;
		int r;

		buf_init(&b, KEEPERMSG_MAX_BYTES);
		oom_from(n);
		r = keepermsg_encode(&q, &b);
		buf_done(&b);
		if (!oom_off()) {
			assert_int_equal(r, 0);
			break;
		}
		assert_int_equal(r, -ENOMEM);
	}
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_survive), cmocka_unit_test(replies_survive), cmocka_unit_test(wrong_requests),
		cmocka_unit_test(bounds),	    cmocka_unit_test(wrong_replies),   cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests_name("keepermsg", tests, NULL, NULL);
}
