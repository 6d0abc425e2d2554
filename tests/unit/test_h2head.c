/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads of HTTP/2: the RFC's rules one by one, and what comes out of the writing half.
 */
#include "wire/h2head.h"

#include <errno.h>

#include "base/own.h"
#include "unit.h"

#define GET ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0/x\0"
#define POST ":method\0POST\0:scheme\0https\0:authority\0a.test\0:path\0/x\0"

static struct httpmsg msg;
static struct h2head_out out;

/* text: names and values, each closed by NUL, then an empty one. */
static int read_head(const char *text, enum httpmsg_kind kind, enum h2head_part part, bool end, struct httpmsg_refusal *why)
{
	struct h2head h;
	int r;

	httpmsg_done(&msg);
	httpmsg_init(&msg, kind);
	h2head_init(&h, &msg, part, DEST_HTTPS);
	while (*text) {
		const char *value = text + strlen(text) + 1;

		h2head_field(&h, (const uint8_t *)text, strlen(text), (const uint8_t *)value, strlen(value));
		text = value + strlen(value) + 1;
	}
	*why = (struct httpmsg_refusal){ 0 };
	r = h2head_end(&h, end, why);
	h2head_done(&h);
	return r;
}

static const char *written(const char *name)
{
	static char value[200];
	int found = 0;

	for (size_t i = 0; i < out.n; i++)
		if (strcmp((const char *)out.nv[i].name, name) == 0 && out.nv[i].namelen == strlen(name)) {
			(void)snprintf(value, sizeof(value), "%.*s", (int)out.nv[i].valuelen, (const char *)out.nv[i].value);
			found++;
		}
	return found == 0 ? NULL : found == 1 ? value : "more than one";
}

static void a_request(void **state)
{
	struct httpmsg_refusal why;

	assert_int_equal(read_head(":path\0/x?y\0:authority\0A.test.:443\0:method\0POST\0:scheme\0https\0te\0trailers\0"
				   "content-length\0" "12\0authorization\0secret\0x-a\0b\0\0",
				   HTTPMSG_REQUEST, H2HEAD_HEAD, false, &why),
			 0);
	assert_int_equal(msg.version, HTTPMSG_2);
	assert_int_equal(msg.method_id, HTTPMSG_POST);
	assert_string_equal(msg.dest.host, "a.test");
	assert_true(msg.te_trailers && msg.has_length && msg.length == 12 && msg.body == HTTPMSG_BODY_LENGTH);
	httpmsg_strip(&msg);
	assert_int_equal(h2head_write(&msg, H2HEAD_HEAD, &out), 0);
	assert_string_equal(written(":method"), "POST");
	assert_string_equal(written(":scheme"), "https");
	assert_string_equal(written(":authority"), "a.test");
	assert_string_equal(written(":path"), "/x?y");
	assert_string_equal(written("content-length"), "12");
	assert_string_equal(written("te"), "trailers");
	assert_string_equal(written("x-a"), "b");
	for (size_t i = 0; i < out.n; i++)
		assert_int_equal(out.nv[i].flags == NGHTTP2_NV_FLAG_NO_INDEX,
				 strcmp((const char *)out.nv[i].name, "authorization") == 0);
	/* Without a length and with a body: the stream's end is the body's. */
	assert_int_equal(read_head(POST "\0", HTTPMSG_REQUEST, H2HEAD_HEAD, false, &why), 0);
	assert_int_equal(msg.body, HTTPMSG_BODY_CHUNKED);
	assert_int_equal(h2head_write(&msg, H2HEAD_HEAD, &out), 0);
	assert_null(written("content-length"));
	assert_int_equal(read_head(GET "\0", HTTPMSG_REQUEST, H2HEAD_HEAD, true, &why), 0);
	assert_int_equal(msg.body, HTTPMSG_BODY_NONE);
}

static void one_cookie(void **state)
{
	struct httpmsg_refusal why;

	assert_int_equal(read_head(GET "cookie\0a=1\0x\0y\0cookie\0b=2\0cookie\0c=3\0\0", HTTPMSG_REQUEST, H2HEAD_HEAD, true, &why),
			 0);
	assert_int_equal(h2head_write(&msg, H2HEAD_HEAD, &out), 0);
	assert_string_equal(written("cookie"), "a=1; b=2; c=3");
}

static void malformed(void **state)
{
	static const struct {
		const char *text;
		bool end;
	} cases[] = {
		{ "\0", true },
		{ ":scheme\0https\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0GET\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:path\0/\0\0", true }, /* no host at all */
		{ ":method\0GET\0:scheme\0http\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0GET\0:scheme\0file\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0GET\0:scheme\0HTTPS\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0x\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0*\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0/ x\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0a.test\0:path\0/#x\0\0", true },
		{ ":method\0GET\0:scheme\0https\0:authority\0u@a.test\0:path\0/\0\0", true },
		{ ":method\0G T\0:scheme\0https\0:authority\0a.test\0:path\0/\0\0", true },
		{ ":method\0get\0:scheme\0https\0:authority\0a.test\0:path\0/\0\0", true },
		{ GET ":path\0/y\0\0", true },
		{ GET ":authority\0a.test\0\0", true },
		{ GET "x\0y\0:path\0/\0\0", true },
		{ GET ":protocol\0websocket\0\0", true },
		{ GET ":status\0" "200\0\0", true },
		{ GET ":x\0y\0\0", true },
		{ GET "X-A\0b\0\0", true },
		{ GET "x a\0b\0\0", true },
		{ GET "x\0 b\0\0", true },
		{ GET "x\0b\t\0\0", true },
		{ GET "x\0a\rb\0\0", true },
		{ GET "x\0a\nb\0\0", true },
		{ GET "cookie\0a\x7f\0\0", true },
		{ GET "host\0b.test\0\0", true },
		{ GET "host\0a.test\0host\0a.test\0\0", true },
		{ GET "connection\0close\0\0", true },
		{ GET "keep-alive\0x\0\0", true },
		{ GET "proxy-connection\0x\0\0", true },
		{ GET "upgrade\0h2c\0\0", true },
		{ GET "te\0gzip\0\0", true },
		{ GET "te\0trailers, gzip\0\0", true },
		{ POST "transfer-encoding\0chunked\0\0", false },
		{ POST "content-length\0" "5\0\0", true },
		{ POST "content-length\0" "5\0content-length\0" "5\0\0", false },
		{ POST "content-length\0+5\0\0", false },
		{ ":method\0CONNECT\0:scheme\0https\0:authority\0a.test:443\0:path\0/\0\0", false },
	};
	struct httpmsg_refusal why;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (read_head(cases[i].text, HTTPMSG_REQUEST, H2HEAD_HEAD, cases[i].end, &why) != -EPROTO)
			fail_msg("case %zu was accepted", i);
		if (why.status != 400)
			fail_msg("case %zu: %u %s", i, why.status, why.reason);
	}
	assert_int_equal(read_head(GET "host\0A.TEST\0\0", HTTPMSG_REQUEST, H2HEAD_HEAD, true, &why), 0);
	assert_int_equal(read_head(":method\0TRACE\0:scheme\0https\0:authority\0a.test\0:path\0/\0\0", HTTPMSG_REQUEST, H2HEAD_HEAD,
				   true, &why),
			 -EPROTO);
	assert_int_equal(why.status, 405);
}

static void responses_and_trailers(void **state)
{
	static const char *const bad[] = { "\0",
					   ":status\0\0\0",
					   ":status\0" "20\0\0",
					   ":status\0" "2000\0\0",
					   ":status\0" "600\0\0",
					   ":status\0" "101\0\0",
					   ":status\0" "200\0:status\0" "200\0\0",
					   ":status\0" "200\0:path\0/\0\0",
					   ":status\0" "200\0connection\0close\0\0" };
	struct httpmsg_refusal why;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (read_head(bad[i], HTTPMSG_RESPONSE, H2HEAD_HEAD, false, &why) != -EPROTO)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(why.status, 502);
	}
	assert_int_equal(read_head(":status\0" "200\0cookie\0a\0cookie\0b\0\0", HTTPMSG_RESPONSE, H2HEAD_HEAD, false, &why), 0);
	assert_int_equal(msg.status, 200);
	assert_int_equal(msg.nentries, 2);
	assert_int_equal(h2head_write(&msg, H2HEAD_HEAD, &out), 0);
	assert_string_equal(written(":status"), "200");
	assert_int_equal(read_head("grpc-status\0" "0\0\0", HTTPMSG_RESPONSE, H2HEAD_TRAILERS, true, &why), 0);
	assert_int_equal(h2head_write(&msg, H2HEAD_TRAILERS, &out), 0);
	assert_int_equal(out.n, 1);
	assert_string_equal(written("grpc-status"), "0");
	assert_int_equal(read_head("a\0b\0:status\0" "200\0\0", HTTPMSG_RESPONSE, H2HEAD_TRAILERS, true, &why), -EPROTO);
	assert_int_equal(read_head("content-length\0" "7\0\0", HTTPMSG_REQUEST, H2HEAD_TRAILERS, true, &why), -EPROTO);
	assert_int_equal(read_head("transfer-encoding\0chunked\0\0", HTTPMSG_REQUEST, H2HEAD_TRAILERS, true, &why), -EPROTO);
	assert_int_equal(read_head("Upper\0x\0\0", HTTPMSG_REQUEST, H2HEAD_TRAILERS, true, &why), -EPROTO);
}

/* A bomb costs a counter, not memory. */
static void bounds(void **state)
{
	static const uint8_t value[4000] = { 'x' };
	struct httpmsg_refusal why = { 0 };
	struct h2head h;

	httpmsg_init(&msg, HTTPMSG_REQUEST);
	h2head_init(&h, &msg, H2HEAD_HEAD, DEST_HTTPS);
	for (int i = 0; i < 100000; i++)
		h2head_field(&h, (const uint8_t *)"cookie", 6, value, 1);
	assert_int_equal(h2head_end(&h, true, &why), -EPROTO);
	assert_int_equal(why.status, 431);
	assert_int_equal(h.bytes, 100000 * 39);
	assert_true(h.cookie.cap <= 2 * HTTPMSG_REQUEST_HEAD_MAX);
	h2head_done(&h);
	h2head_init(&h, &msg, H2HEAD_HEAD, DEST_HTTPS);
	for (int i = 0; i < 129; i++)
		h2head_field(&h, (const uint8_t *)"x", 1, value, 1);
	assert_int_equal(h2head_end(&h, true, &why), -EPROTO);
	assert_int_equal(why.status, 431);
	h2head_done(&h);
	httpmsg_done(&msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request), cmocka_unit_test(one_cookie),	    cmocka_unit_test(malformed),
		cmocka_unit_test(bounds),    cmocka_unit_test(responses_and_trailers),
	};
	int r;

	httpmsg_init(&msg, HTTPMSG_REQUEST);
	r = cmocka_run_group_tests_name("h2head", tests, NULL, NULL);
	httpmsg_done(&msg);
	return r;
}
