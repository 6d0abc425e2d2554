/* SPDX-License-Identifier: Apache-2.0
 *
 * A credential into a request's head, and out of the response, wherever the response is cut into pieces.
 */
#include "proxy/inject.h"

#include "base/own.h"
#include "proxy/scrub.h"
#include "unit.h"

#define VALUE "sk-0123456789/+abc"
#define PLACEHOLDER "sbx-cs-00112233445566778899aabb"

static struct secretmsg_injection injection(void)
{
	return (struct secretmsg_injection){ .secret = "a", .header = "authorization", .field = "Bearer " VALUE, .value.s = VALUE,
					     .placeholder = PLACEHOLDER };
}

/* fields: name, value, ..., NULL. */
static void request(struct httpmsg *m, const char *path, const char *const *fields)
{
	struct httpmsg_refusal why;

	httpmsg_init(m, HTTPMSG_REQUEST);
	httpmsg_reset(m, DEST_HTTPS);
	assert_int_equal(httpmsg_set_method(m, "GET", 3, &why), 0);
	assert_int_equal(httpmsg_set_path(m, path, strlen(path), &why), 0);
	for (; *fields; fields += 2)
		assert_int_equal(httpmsg_add(m, fields[0], strlen(fields[0]), fields[1], strlen(fields[1]), &why), 0);
}

static const char *apply(const char *path, const char *name, const char *value)
{
	static struct secretmsg_list all;
	const char *const fields[] = { name, value, NULL };
	struct secretmsg_injection i = injection();
	const char *why;
	struct httpmsg m;

	all.n = 1;
	(void)snprintf(all.of[0].placeholder, sizeof(all.of[0].placeholder), "%s", PLACEHOLDER);
	request(&m, path, fields);
	why = inject_apply(&m, &i, &all);
	if (!why) {
		int at = httpmsg_find(&m, HTTPMSG_F_AUTHORIZATION, 0);

		assert_true(at >= 0);
		assert_string_equal(httpmsg_value(&m, at), "Bearer " VALUE);
		assert_int_equal(httpmsg_find(&m, HTTPMSG_F_AUTHORIZATION, (uint32_t)at + 1), -1);
	}
	httpmsg_done(&m);
	return why;
}

static void no_websocket(void **state)
{
	static const char *const own[] = { "authorization", "Bearer " PLACEHOLDER, NULL }, *const mine[] = { "authorization", "Bearer mine", NULL },
				 *const none[] = { "accept", "*/*", "sec-websocket-protocol", "realtime, graphql-transport-ws", NULL },
				 *const key[] = { "sec-websocket-protocol", "realtime, openai-insecure-api-KEY.mine", NULL },
				 *const longer[] = { "sec-websocket-protocol", "a, bWluZSBvbmx5IG1pbmUgb25seSBtaW5lIG9ubHk", NULL };
	static struct secretmsg_list all;
	static const struct {
		const char *const *fields;
		const char *why;
	} cases[] = { { own, "websocket" }, { mine, "foreign_credential" }, { none, "" }, { key, "foreign_credential" }, { longer, "foreign_credential" } };

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct secretmsg_injection i = injection();
		const char *why;
		struct httpmsg m;
		int at;

		request(&m, "/", cases[n].fields);
		m.websocket = true;
		why = inject_apply(&m, &i, &all);
		assert_string_equal(why ? why : "", cases[n].why);
		assert_string_equal(i.none, "websocket");
		at = httpmsg_find(&m, HTTPMSG_F_AUTHORIZATION, 0);
		assert_true(at < 0 || !strstr(httpmsg_value(&m, at), VALUE));
		httpmsg_done(&m);
	}
}

static void only_the_placeholder(void **state)
{
	assert_null(apply("/", "accept", "*/*"));
	assert_null(apply("/", "Authorization", "Bearer " PLACEHOLDER));
	assert_null(apply("/", "X-API-Key", PLACEHOLDER));
	assert_null(apply("/?keys=1&monkey=2&key=", "accept", "*/*"));
	assert_string_equal(apply("/", "Authorization", "Bearer " PLACEHOLDER "x"), "foreign_credential");
	assert_string_equal(apply("/", "Authorization", "Bearer mine"), "foreign_credential");
	assert_string_equal(apply("/", "x-goog-api-key", "mine"), "foreign_credential");
	assert_string_equal(apply("/", "cookie", "a=b"), "foreign_credential");
	assert_string_equal(apply("/?KEY=mine", "accept", "*/*"), "foreign_credential");
	assert_string_equal(apply("/?oauth_token=mine", "accept", "*/*"), "foreign_credential");
	assert_string_equal(apply("/?a;%6b%65%79=mine", "accept", "*/*"), "foreign_credential");
}

/* The path that a request gets; or why not. */
static const char *apply_query(const char *path, const char *want)
{
	static struct secretmsg_list all;
	const char *const fields[] = { "accept", "*/*", NULL };
	static struct secretmsg_injection i;
	struct secretmsg_injection again;
	const char *why;
	struct httpmsg m;

	i = injection();
	i.where = SECRETMSG_QUERY;
	(void)snprintf(i.header, sizeof(i.header), "tok");
	(void)snprintf(i.field, sizeof(i.field), "%s", VALUE);
	again = i;
	all.n = 0;
	request(&m, path, fields);
	why = inject_apply(&m, &i, &all);
	if (!why) {
		assert_string_equal(httpmsg_str(&m, m.path), want);
		assert_int_equal(httpmsg_find(&m, HTTPMSG_F_AUTHORIZATION, 0), -1);
	}
	if (!why && !i.none[0]) {
		/* It has changed meanwhile; and then it is a header's. */
		(void)snprintf(again.field, sizeof(again.field), "another");
		assert_null(inject_again(&m, "tok", &again));
		assert_string_equal(httpmsg_str(&m, m.path), "/a?x=1&tok=another");
		assert_string_equal(inject_again(&m, "other", &again), "foreign_credential");
		again.where = SECRETMSG_HEADER;
		assert_string_equal(inject_again(&m, "tok", &again), "foreign_credential");
	}
	httpmsg_done(&m);
	return why ? why : i.none;
}

static void into_a_query(void **state)
{
	assert_string_equal(apply_query("/a?x=1", "/a?x=1"), "no_placeholder");
	assert_string_equal(apply_query("/a", "/a"), "no_placeholder");
	assert_string_equal(apply_query("/a?tok=mine", ""), "foreign_credential");
	assert_string_equal(apply_query("/a?tok=" PLACEHOLDER "&key=mine", ""), "foreign_credential");
	assert_string_equal(apply_query("/a?x=1&tok=" PLACEHOLDER, "/a?x=1&tok=sk-0123456789%2F%2Babc"), "");
}

static struct scrub *scrubber_of(const char *value)
{
	struct secretmsg_injection i = injection();
	struct scrub *s;

	(void)snprintf(i.value.s, sizeof(i.value.s), "%s", value);
	s = scrub_new(&i);

	assert_non_null(s);
	return s;
}

static struct scrub *scrubber(void)
{
	return scrubber_of(VALUE);
}

/* What comes out of text that comes in pieces of step bytes. */
static void through_of(const char *value, const char *text, size_t step, char *out)
{
	struct scrub *s = scrubber_of(value);
	size_t n = strlen(text), found, ready, got = 0;
	const uint8_t *rest;

	for (size_t at = 0; at < n; at += step) {
		size_t part = n - at < step ? n - at : step;
		const uint8_t *bytes;

		assert_int_equal(scrub_take(s, (const uint8_t *)text + at, part, &found), part);
		bytes = scrub_ready(s, &ready);
		memcpy(out + got, bytes, ready);
		scrub_given(s, ready);
		got += ready;
	}
	scrub_end(s);
	rest = scrub_ready(s, &ready);
	memcpy(out + got, rest, ready);
	scrub_given(s, ready);
	out[got + ready] = 0;
	assert_true(scrub_is_over(s));
	scrub_free(s);
}

static void through(const char *text, size_t step, char *out)
{
	through_of(VALUE, text, step, out);
}

static void pieces_of_a_body(void **state)
{
	/* Plain; percent-encoded; base64 at each of its three places; its beginning only, at the end. */
	static const char *const texts[][2] = {
		{ "a " VALUE " b", "a ****************** b" },
		{ VALUE VALUE, "************************************" },
		{ "sk-0" VALUE, "sk-0******************" },
		{ "k=sk-0123456789%2F%2Babc;", "k=**********************;" },
		{ "sk-0123456789/+ab", "sk-0123456789/+ab" },
		{ "nothing of it", "nothing of it" },
	};
	char out[256];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (size_t step = 1; step <= strlen(texts[i][0]); step++) {
			through(texts[i][0], step, out);
			assert_string_equal(out, texts[i][1]);
		}
}

#define MARKS "pass\"w/o\\r&d <1'+ 2>"

/* As JSON, percent-encoding and HTML write it: what stands between bars is masked, in whatever pieces it comes. */
static void escaped(void **state)
{
	static const char *const texts[][2] = {
		{ VALUE, "{\"k\":\"|sk-0123456789\\/+abc|\"}" },
		{ VALUE, "|\\u0073\\u006b\\u002D0123456789\\u002f\\u002babc|" },
		{ VALUE, "k=|sk-0123456789%2f%2babc|&" },
		{ VALUE, "k=|%73k%2d0123456789/%2Babc|" },
		{ VALUE, "<|sk-0123456789&#47;&#x2B;abc|>" },
		{ VALUE, "\\n&amp%s\\u00s" },
		{ MARKS, "{\"k\": \"\\\\|pass\\\"w/o\\\\r&d <1'+ 2>|\\\"\"}" },
		{ MARKS, "\"|pass\\\"w\\/o\\\\r\\u0026d \\u003c1\\u0027+ 2\\u003E|\"" },
		{ MARKS, "<p>|pass&quot;w/o\\r&amp;d &lt;1&#39;+ 2&gt;|</p>" },
		{ MARKS, "<p>|pass&#34;w/o\\r&d &lt;1&apos;+ 2>|</p>" },
		{ MARKS, "?k=|pass%22w%2fo%5cr%26d+%3C1%27%2B+2%3e|" },
		{ MARKS, "|" MARKS "|" },
		/* The base64 of "?>" and more has a slash, which some JSON writers escape. */
		{ "k?>?>?>?>?>", "\"|az8+Pz4\\/Pj8+Pz|4=\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char text[160], want[160], out[160];
		size_t n = 0;
		bool inside = false;

		for (const char *at = texts[i][1]; *at; at++)
			if (*at == '|') {
				inside = !inside;
			} else {
				text[n] = *at;
				want[n++] = inside ? '*' : *at;
			}
		text[n] = want[n] = 0;
		for (size_t step = 1; step <= n; step++) {
			through_of(texts[i][0], text, step, out);
			assert_string_equal(out, want);
		}
	}
}

static void base64_wherever_it_begins(void **state)
{
	static const char *const before[] = { "", "x", "xy", "xyz", "{\"key\": \"" };

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		char plain[128], out[256];
		auto_free char *b64 = NULL;

		(void)snprintf(plain, sizeof(plain), "%s%s, and more", before[i], VALUE);
		b64 = keepermsg_base64((const uint8_t *)plain, strlen(plain));
		assert_non_null(b64);
		for (size_t step = 1; step <= 7; step++) {
			through(b64, step, out);
			assert_int_equal(strlen(out), strlen(b64));
			/* All but the characters that it shares with its neighbours. */
			assert_non_null(strstr(out, "***********************"));
		}
	}
}

static void a_head(void **state)
{
	struct scrub *s = scrubber();
	struct httpmsg_refusal why;
	struct httpmsg m;

	httpmsg_init(&m, HTTPMSG_RESPONSE);
	httpmsg_reset(&m, DEST_HTTPS);
	assert_int_equal(httpmsg_add(&m, "x-echo", 6, "Bearer " VALUE ";", strlen("Bearer " VALUE ";"), &why), 0);
	assert_int_equal(httpmsg_add(&m, "x-else", 6, "as it is", 8, &why), 0);
	assert_int_equal(httpmsg_add(&m, "x-json", 6, "{\"k\":\"sk-0123456789\\/+abc\"}", 27, &why), 0);
	assert_int_equal(scrub_head(s, &m), 2);
	assert_string_equal(httpmsg_value(&m, 2), "{\"k\":\"" PLACEHOLDER "\"}");
	assert_string_equal(httpmsg_value(&m, 0), "Bearer " PLACEHOLDER ";");
	assert_string_equal(httpmsg_value(&m, 1), "as it is");
	assert_int_equal(scrub_head(s, &m), 0);
	httpmsg_done(&m);
	scrub_free(s);
}

static void a_full_buffer_takes_nothing(void **state)
{
	struct scrub *s = scrubber();
	static uint8_t bytes[SCRUB_HELD + 10];
	size_t found, n;

	assert_int_equal(scrub_take(s, bytes, sizeof(bytes), &found), SCRUB_HELD);
	assert_int_equal(scrub_take(s, bytes, 1, &found), 0);
	(void)scrub_ready(s, &n);
	assert_int_equal(n, SCRUB_HELD);
	scrub_given(s, 5);
	assert_int_equal(scrub_take(s, bytes, 10, &found), 5);
	scrub_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_websocket), cmocka_unit_test(only_the_placeholder), cmocka_unit_test(into_a_query),      cmocka_unit_test(pieces_of_a_body), cmocka_unit_test(a_head),
		cmocka_unit_test(base64_wherever_it_begins), cmocka_unit_test(escaped), cmocka_unit_test(a_full_buffer_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
