/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages about secrets: what encodes decodes to the same; everything else is refused and leaves the output alone.
 */
#include "wire/secretmsg.h"

#include <errno.h>

#include "base/own.h"
#include "unit.h"

#define BINDING "{\"host\":\"inj.test\",\"port\":443,\"path\":\"/v1/**\",\"header\":\"authorization\",\"format\":\"Bearer %s\"}"
#define SECRET "{\"name\":\"a\",\"sandbox\":null,\"env\":[\"KEY\"],\"placeholder\":\"sbx-cs-1\",\"bindings\":[" BINDING "]}"
#define SET(secret, value) "{\"op\":\"secret-set\",\"secret\":" secret ",\"value\":\"" value "\"}"

static int decode(const char *text, struct secretmsg_request *ret)
{
	struct err err = { 0 };
	int r = secretmsg_decode(text, strlen(text), ret, &err);

	if (r < 0 && r != -ENOENT)
		assert_true(err.kind == ERR_INVALID && err.msg[0]);
	return r;
}

static void a_secret_survives(void **state)
{
	static struct secretmsg_request in, out;
	struct buf b;

	assert_int_equal(decode(SET(SECRET, "12345678"), &in), 0);
	assert_string_equal(in.secret.name, "a");
	assert_string_equal(in.secret.env[0], "KEY");
	assert_string_equal(in.secret.bindings[0].to.host, "inj.test");
	assert_string_equal(in.value.s, "12345678");
	buf_init(&b, KEEPERMSG_MAX_BYTES);
	assert_int_equal(secretmsg_encode(&in, &b), 0);
	assert_int_equal(decode(buf_cstr(&b), &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	buf_done(&b);
}

static void one_for_a_query_survives(void **state)
{
	static struct secretmsg_request in, out;
	struct buf b;

	assert_int_equal(decode(SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[{\"host\":\"inj.test\",\"port\":443,"
				    "\"path\":\"/\",\"query\":\"Key\",\"format\":\"%s\"}]}", "12345678"), &in), 0);
	assert_int_equal(in.secret.bindings[0].where, SECRETMSG_QUERY);
	assert_string_equal(in.secret.bindings[0].header, "Key");
	buf_init(&b, KEEPERMSG_MAX_BYTES);
	assert_int_equal(secretmsg_encode(&in, &b), 0);
	assert_int_equal(decode(buf_cstr(&b), &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	buf_done(&b);
}

static void what_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		SET(SECRET, "1234567"),
		SET(SECRET, "1234\\r\\n5678"),
		SET(SECRET, "12345678\\u00e9"),
		SET(SECRET, " 12345678"),
		SET("{}", "12345678"),
		SET("{\"name\":\"A\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[" BINDING "]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":\"../x\",\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[" BINDING "]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[\"A=B\"],\"placeholder\":\"sbx-cs-1\",\"bindings\":[" BINDING "]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"a b c d e\",\"bindings\":[" BINDING "]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[{\"host\":\"inj.test\",\"port\":443,\"path\":\"/\","
		    "\"query\":\"a b\",\"format\":\"%s\"}]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[{\"host\":\"inj.test\",\"port\":443,\"path\":\"/\","
		    "\"query\":\"key\",\"format\":\"Bearer %s\"}]}", "12345678"),
		SET("{\"name\":\"a\",\"sandbox\":null,\"env\":[],\"placeholder\":\"sbx-cs-1\",\"bindings\":[{\"host\":\"inj.test\",\"port\":443,\"path\":\"/\","
		    "\"query\":\"key\",\"header\":\"x-key\",\"format\":\"%s\"}]}", "12345678"),
		"{\"op\":\"secret-list\",\"more\":1}",
		"{\"op\":\"secret-rm\",\"name\":\"a\"}",
		"{\"op\":\"inject\",\"host\":\"A.test\",\"port\":443,\"path\":\"/\"}",
		"{\"op\":\"inject\",\"host\":\"a.test\",\"port\":0,\"path\":\"/\"}",
	};
	static struct secretmsg_request out, before;

	memset(&out, 7, sizeof(out));
	before = out;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int r = decode(bad[i], &out);

		if (r != -EINVAL)
			print_message("%s\n", bad[i]);
		assert_int_equal(r, -EINVAL);
	}
	assert_memory_equal(&out, &before, sizeof(out));
	assert_int_equal(decode("{\"op\":\"leaf\"}", &out), -ENOENT);
	assert_int_equal(decode("[]", &out), -ENOENT);
	/* No JSON of ours has a zero byte, so this is no message at all. */
	assert_int_equal(decode(SET(SECRET, "1234\\u00005678"), &out), -ENOENT);
}

static void formats(void **state)
{
	char field[SECRETMSG_FIELD_MAX + 1], small[8];

	assert_int_equal(secretmsg_field("Bearer %s", "12345678", field, sizeof(field)), 0);
	assert_string_equal(field, "Bearer 12345678");
	assert_int_equal(secretmsg_field("%s", "12345678", field, sizeof(field)), 0);
	assert_string_equal(field, "12345678");
	/* RFC 7617, section 2. */
	assert_int_equal(secretmsg_field("Basic Aladdin:%s", "open sesame", field, sizeof(field)), 0);
	assert_string_equal(field, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	assert_int_equal(secretmsg_field("%s", "12345678", small, sizeof(small)), -EMSGSIZE);
	assert_int_equal(secretmsg_field("none", "12345678", field, sizeof(field)), -EINVAL);
}

static void replies(void **state)
{
	static struct secretmsg_injection in = { .secret = "a", .header = "x-key", .placeholder = "sbx-cs-1", .field = "12345678",
						 .value.s = "12345678" }, out;
	static const char refused[] = "{\"error\":{\"kind\":\"denied\",\"message\":\"attach first\"}}";
	struct err err = { 0 };
	struct buf b;

	buf_init(&b, KEEPERMSG_MAX_BYTES);
	assert_int_equal(secretmsg_encode_injection(&in, &b), 0);
	assert_int_equal(secretmsg_decode_injection((const char *)buf_bytes(&b), buf_len(&b), &out, &err), 0);
	assert_memory_equal(&in, &out, sizeof(in));
	buf_consume(&b, buf_len(&b));
	assert_true(secretmsg_decode_injection(refused, strlen(refused), &out, &err) < 0);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(err.msg, "attach first");
	assert_int_equal(secretmsg_encode_changed(&b), 0);
	assert_true(secretmsg_is_changed((const char *)buf_bytes(&b), buf_len(&b)));
	assert_true(secretmsg_decode_ok((const char *)buf_bytes(&b), buf_len(&b), &err) < 0);
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_survives),
		cmocka_unit_test(one_for_a_query_survives), cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(formats),
		cmocka_unit_test(replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
