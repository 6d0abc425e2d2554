/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads of HTTP/1: each case is what a client or an origin sends and what is made of it, a refusal or canonical bytes; whole and byte by byte.
 */
#include "wire/httphead.h"

#include <errno.h>

#include "oom.h"
#include "unit.h"

#define HOST "Host: ok.test\r\n"
#define GET "GET / HTTP/1.1\r\n"

/* Reads text in pieces of step; the status of the refusal, 0 where a head came, -1 where more is wanted. */
static int read_head(struct httpmsg *m, const char *text, size_t n, size_t step, size_t *taken)
{
	struct httpmsg_refusal why = { 0 };
	struct httphead h;
	bool head = m->to_head, connect = m->to_connect, websocket = m->to_websocket;
	int status;

	httphead_init(&h, m, DEST_HTTP);
	m->to_head = head;
	m->to_connect = connect;
	m->to_websocket = websocket;
	*taken = 0;
	while (*taken < n && !h.done) {
		long r = httphead_feed(&h, text + *taken, n - *taken < step ? n - *taken : step, &why);

		if (r < 0) {
			assert_true(why.status >= 400 && why.status <= 502 && why.reason && *why.reason);
			status = why.status;
			/* Dead for ever. */
			assert_int_equal(httphead_feed(&h, "G", 1, &why), -EPROTO);
			return status;
		}
		assert_true(r > 0);
		*taken += (size_t)r;
		assert_true(httphead_is_started(&h) || h.skipped);
	}
	return h.done ? 0 : -1;
}

static void assert_terminated(const struct httpmsg *m, struct httpmsg_span s)
{
	assert_int_equal(strlen(httpmsg_str(m, s)), s.n);
}

/* The status, and in out what is written for it. */
static int canonical(struct httpmsg *m, const char *text, size_t n, size_t step, struct buf *out)
{
	size_t taken;
	int status = read_head(m, text, n, step, &taken);

	buf_consume(out, buf_len(out));
	if (status != 0)
		return status;
	assert_int_equal(taken, n);
	assert_terminated(m, m->method);
	assert_terminated(m, m->authority);
	assert_terminated(m, m->path);
	for (uint32_t i = 0; i < m->nentries; i++) {
		assert_terminated(m, m->entries[i].name);
		assert_terminated(m, m->entries[i].value);
	}
	httpmsg_strip(m);
	assert_int_equal(m->kind == HTTPMSG_REQUEST ? httphead_write_request(out, m, HTTPHEAD_ORIGIN) :
						      httphead_write_response(out, m), 0);
	return 0;
}

static void check(struct httpmsg *m, const char *text, size_t n, int status, const char *expected)
{
	struct buf whole, pieces, again;
	int r;

	buf_init(&whole, 1 << 20);
	buf_init(&pieces, 1 << 20);
	buf_init(&again, 1 << 20);
	r = canonical(m, text, n, n, &whole);
	if (r != status)
		fail_msg("%d instead of %d for:\n%.*s", r, status, (int)n, text);
	assert_int_equal(canonical(m, text, n, 1, &pieces), status);
	if (status == 0) {
		if (expected)
			assert_string_equal(buf_cstr(&whole), expected);
		assert_string_equal(buf_cstr(&pieces), buf_cstr(&whole));
		/* What we write is read as the same message, and written as the same bytes. */
		assert_int_equal(canonical(m, buf_cstr(&whole), buf_len(&whole), 7, &again), 0);
		assert_string_equal(buf_cstr(&again), buf_cstr(&whole));
	}
	buf_done(&whole);
	buf_done(&pieces);
	buf_done(&again);
}

struct sample {
	const char *text;
	size_t n;
	int status;
	const char *expected; /* NULL: whatever */
};
#define REFUSED(text, status) { text, sizeof(text) - 1, status, NULL }
#define BECOMES(text, expected) { text, sizeof(text) - 1, 0, expected }

static void check_all(enum httpmsg_kind kind, const struct sample *s, size_t n)
{
	struct httpmsg m;

	httpmsg_init(&m, kind);
	for (size_t i = 0; i < n; i++)
		check(&m, s[i].text, s[i].n, s[i].status, s[i].expected);
	httpmsg_done(&m);
}
#define CHECK_ALL(kind, table) check_all(kind, table, sizeof(table) / sizeof((table)[0]))

#define POST "POST /v1/x HTTP/1.1\r\n" HOST
#define POSTED "POST /v1/x HTTP/1.1\r\n" HOST

static void body_framing(void **state)
{
	static const struct sample samples[] = {
		BECOMES(POST "Content-Length: 4\r\n\r\n", POSTED "Content-Length: 4\r\n\r\n"),
		BECOMES(POST "content-length:0 \r\n\r\n", POSTED "Content-Length: 0\r\n\r\n"),
		BECOMES(POST "Transfer-Encoding: CHUNKED\r\n\r\n", POSTED "Transfer-Encoding: chunked\r\n\r\n"),
		BECOMES(POST "Content-Length: 9223372036854775807\r\n\r\n",
			POSTED "Content-Length: 9223372036854775807\r\n\r\n"),
		BECOMES(POST "\r\n", POSTED "\r\n"),
		/* F01 */
		REFUSED(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
		REFUSED(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
		/* F02, F03 */
		REFUSED(POST "Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 4\r\nContent-Length: 4\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 4, 4\r\n\r\n", 400),
		/* F04 */
		REFUSED(POST "Content-Length: +4\r\n\r\n", 400), REFUSED(POST "Content-Length: -0\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 0x4\r\n\r\n", 400), REFUSED(POST "Content-Length: 4;\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 4 4\r\n\r\n", 400), REFUSED(POST "Content-Length: 04\r\n\r\n", 400),
		REFUSED(POST "Content-Length:\r\n\r\n", 400), REFUSED(POST "Content-Length: 4e0\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 9223372036854775808\r\n\r\n", 400),
		REFUSED(POST "Content-Length: 18446744073709551620\r\n\r\n", 400),
		/* F05 */
		REFUSED(POST "Transfer-Encoding: xchunked\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: chunked, identity\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: identity\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: ,chunked\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding:\r\n\r\n", 501),
		REFUSED(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
		REFUSED(POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", 400),
		/* F06 */
		REFUSED("POST /v1/x HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400),
		/* GET may have a body, and then it is framed. */
		BECOMES(GET HOST "Content-Length: 3\r\n\r\n", GET HOST "Content-Length: 3\r\n\r\n"),
		/* Names that only look like framing are fields like any other. */
		BECOMES(POST "Content_Length: 4\r\n\r\n", POSTED "Content_Length: 4\r\n\r\n"),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

static void lines(void **state)
{
	static const struct sample samples[] = {
		/* F08 */
		REFUSED(GET HOST "X: a\r\n b\r\n\r\n", 400), REFUSED(GET " X: a\r\n" HOST "\r\n", 400),
		REFUSED(GET "Host: ok\r\n\t.test\r\n\r\n", 400),
		REFUSED(POST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400),
		/* F09 */
		REFUSED("GET / HTTP/1.1\nHost: ok.test\n\n", 400), REFUSED(GET "Host: ok.test\n\r\n", 400),
		REFUSED("GET / HTTP/1.1\r\r\n" HOST "\r\n", 400), REFUSED(GET HOST "X: a\rb\r\n\r\n", 400),
		REFUSED(GET HOST "X: a\r\r\n\r\n", 400), REFUSED("GET / HTTP/1.1\n\rHost: ok.test\r\n\r\n", 400),
		REFUSED(GET HOST "\n", 400), REFUSED("GET / HTTP/1.1\r" HOST "\r\n", 400),
		REFUSED(GET HOST "X: a\rY: b\r\n\r\n", 400), REFUSED(GET HOST "\r\r\n", 400),
		/* F17 */
		REFUSED(GET HOST ": a\r\n\r\n", 400), REFUSED(GET HOST "A B: a\r\n\r\n", 400),
		REFUSED(GET HOST "A(b): a\r\n\r\n", 400), REFUSED(GET HOST "\x80: a\r\n\r\n", 400),
		REFUSED(GET HOST "A\r\n\r\n", 400), REFUSED(GET HOST "A : a\r\n\r\n", 400),
		REFUSED(GET HOST "A\0: a\r\n\r\n", 400), REFUSED(GET HOST "A[]: a\r\n\r\n", 400),
		REFUSED(POST "Transfer-Encoding : chunked\r\n\r\n", 400), REFUSED(GET HOST "A\t: a\r\n\r\n", 400),
		/* F18 */
		REFUSED(GET HOST "X: a\0b\r\n\r\n", 400), REFUSED(GET HOST "X: \x7f\r\n\r\n", 400),
		REFUSED(GET HOST "X: \x01\r\n\r\n", 400), REFUSED(GET HOST "X: a\x0b\r\n\r\n", 400),
		BECOMES(GET HOST "X: \x80\xff caf\xc3\xa9\r\n\r\n", GET HOST "X: \x80\xff caf\xc3\xa9\r\n\r\n"),
		BECOMES(GET HOST "X: \t a\tb \t\r\nY:\r\nZ: \r\n\r\n", GET HOST "X: a\tb\r\nY: \r\nZ: \r\n\r\n"),
		BECOMES(GET "x:1\r\n" HOST "!#$%&'*+-.^_`|~09azAZ: 2\r\n\r\n",
			GET HOST "x: 1\r\n!#$%&'*+-.^_`|~09azAZ: 2\r\n\r\n"),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

/* F19, D05, D06. */
static void hosts(void **state)
{
	static const struct sample samples[] = {
		REFUSED(GET "\r\n", 400), REFUSED(GET HOST HOST "\r\n", 400),
		REFUSED(GET HOST "Host: evil.test\r\n\r\n", 400), REFUSED(GET "Host: ok.test, evil.test\r\n\r\n", 400),
		REFUSED(GET "Host: ok.test/x\r\n\r\n", 400), REFUSED(GET "Host: u@ok.test\r\n\r\n", 400),
		REFUSED(GET "Host:\r\n\r\n", 400), REFUSED(GET "Host: ok.test:\r\n\r\n", 400),
		REFUSED(GET "Host: ok.test:0443\r\n\r\n", 400), REFUSED(GET "Host: ok.test\xc2\xad\r\n\r\n", 400),
		REFUSED(GET "Host: 127.1\r\n\r\n", 400), REFUSED(GET "Host: [fe80::1%25eth0]\r\n\r\n", 400),
		REFUSED("GET / HTTP/1.0\r\n\r\n", 400),
		BECOMES(GET "Host: OK.TeSt.:80\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET "Host: ok.test:8080\r\n\r\n", GET "Host: ok.test:8080\r\n\r\n"),
		BECOMES(GET "Host: [2606:2800:220:1::0010]\r\n\r\n", GET "Host: [2606:2800:220:1::10]\r\n\r\n"),
		BECOMES("GET http://ok.test/x HTTP/1.1\r\n" HOST "\r\n", "GET /x HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("GET HTTP://OK.test:80/ HTTP/1.1\r\n" HOST "\r\n", GET HOST "\r\n"),
		BECOMES("GET http://ok.test HTTP/1.1\r\n" HOST "\r\n", GET HOST "\r\n"),
		BECOMES("GET http://ok.test?a=/ HTTP/1.1\r\n" HOST "\r\n", "GET /?a=/ HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("GET http://ok.test/ HTTP/1.0\r\n\r\n", GET HOST "Connection: close\r\n\r\n"),
		BECOMES("OPTIONS http://ok.test HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("GET https://ok.test/ HTTP/1.1\r\n" HOST "\r\n", NULL),
		REFUSED("GET http://ok.test/ HTTP/1.1\r\n\r\n", 400),
		REFUSED("GET http://ok.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400),
		REFUSED("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test:81\r\n\r\n", 400),
		REFUSED("GET http://ok.test@evil.test/ HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("GET http:/// HTTP/1.1\r\n" HOST "\r\n", 400), REFUSED("GET http:// HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("GET http://ok.test\\@evil.test/ HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("GET http://ok.test#@evil.test/ HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("GET file:///etc HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("GET ftp://ok.test/ HTTP/1.1\r\n" HOST "\r\n", 400),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

static void connects(void **state)
{
	static const struct sample samples[] = {
		BECOMES("CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n",
			"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n"),
		BECOMES("CONNECT OK.test.:443 HTTP/1.1\r\nHost: ok.test\r\nUser-Agent: x\r\n\r\n",
			"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nUser-Agent: x\r\n\r\n"),
		BECOMES("CONNECT ok.test:443 HTTP/1.0\r\n\r\n",
			"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nConnection: close\r\n\r\n"),
		BECOMES("CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
			"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
		/* A12, D03, D05 */
		REFUSED("CONNECT ok.test HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test: HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test:443:80 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test:+443 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test: 443 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test:65979 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT ok.test:https HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT u:p@ok.test:443 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT evil.test\0.ok.test:443 HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT /x HTTP/1.1\r\n" HOST "\r\n", 400),
		REFUSED("CONNECT http://ok.test/ HTTP/1.1\r\n" HOST "\r\n", 400),
		BECOMES("CONNECT ok.test:443 HTTP/1.1\r\nHost: gateway.docker.internal:3128\r\n\r\n",
			"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n"),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nHost: evil.test\r\n\r\n", 400),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", 400),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", 400),
		REFUSED("CONNECT ok.test:443 HTTP/1.1\r\n" HOST "Upgrade: foo\r\n\r\n", 400),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

/* F20, F23, F24, D12. */
static void request_lines(void **state)
{
#define LINE(line, status) REFUSED(line "\r\n" HOST "\r\n", status)
	static const struct sample samples[] = {
		LINE("GET  / HTTP/1.1", 400), LINE("GET /  HTTP/1.1", 400), LINE("GET\t/ HTTP/1.1", 400),
		LINE("GET /", 400), LINE("GET / HTTP/1.2", 400), LINE("GET / HTTP/2.0", 400),
		LINE("GET / http/1.1", 400), LINE("GET / HTTP/01.1", 400), LINE("GET / HTTP/1.1 ", 400),
		LINE("GET / HTTP/1.10", 400), LINE("get / HTTP/1.1", 400), LINE("G\0T / HTTP/1.1", 400),
		LINE("GET /#f HTTP/1.1", 400), LINE("GET /a b HTTP/1.1", 400), LINE("GET /\xc3\xa9 HTTP/1.1", 400),
		LINE("GET /\x7f HTTP/1.1", 400), LINE("GET * HTTP/1.1", 400), LINE("GET ok.test HTTP/1.1", 400),
		LINE("GET", 400), LINE(" GET / HTTP/1.1", 400), LINE("\r\n\r\nGET / HTTP/1.1", 400),
		LINE("\nGET / HTTP/1.1", 400), LINE("G(T / HTTP/1.1", 400), LINE("GET /\0 HTTP/1.1", 400),
		LINE("OPTIONS *x HTTP/1.1", 400), LINE("PRI * HTTP/2.0", 400), LINE("TRACE / HTTP/1.1", 405),
		LINE("TRACK / HTTP/1.1", 405), LINE("PROXY TCP4 127.0.0.1 127.0.0.1 1 2", 400),
		LINE("AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD / HTTP/1.1", 400),
		BECOMES("\r\n" GET HOST "\r\n", GET HOST "\r\n"),
		BECOMES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("M-SEARCH /a HTTP/1.1\r\n" HOST "\r\n", "M-SEARCH /a HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("GET /x%0d%0aEvil:1?{\"|^`\\} HTTP/1.1\r\n" HOST "\r\n",
			"GET /x%0d%0aEvil:1?{\"|^`\\} HTTP/1.1\r\n" HOST "\r\n"),
		BECOMES("DELETE /a HTTP/1.0\r\n" HOST "\r\n", "DELETE /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

#define WS "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define WRITTEN_WS "Connection: Upgrade\r\nUpgrade: websocket\r\n"

/* D10, F12, F14, F23, F25, F26, J03. */
static void hop_by_hop(void **state)
{
	static const struct sample samples[] = {
		BECOMES(GET HOST "Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: a\r\n"
			"Proxy-Authenticate: b\r\nTE: gzip\r\nTrailer: Authorization\r\nX: y\r\n\r\n", GET HOST "X: y\r\n\r\n"),
		BECOMES(GET HOST "Connection: close\r\n\r\n", GET HOST "Connection: close\r\n\r\n"),
		BECOMES(GET HOST "X-A: 1\r\nAuthorization: b\r\nConnection: , x-a ,authorization,\r\nY: z\r\nx-A: 2\r\n\r\n",
			GET HOST "Y: z\r\n\r\n"),
		REFUSED(GET HOST "Connection: close, Host\r\n\r\n", 400),
		REFUSED(GET HOST "Connection: content-length\r\n\r\n", 400),
		REFUSED(GET HOST "Connection: Transfer-Encoding\r\n\r\n", 400),
		REFUSED(GET HOST "Connection: a b\r\n\r\n", 400),
		REFUSED(GET HOST "Connection: 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
			"30,31,32,33\r\n\r\n", 400),
		BECOMES(GET HOST "Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "Upgrade: websocket, H2C\r\nConnection: upgrade\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "HTTP2-Settings: AAMA\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "Upgrade: foo\r\nConnection: upgrade\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "Connection: upgrade\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "Upgrade: websocket, foo\r\nConnection: upgrade\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST "Upgrade: websocket\r\n\r\n", GET HOST "\r\n"),
		BECOMES(GET HOST WS KEY V13 "Sec-WebSocket-Protocol: a, b\r\n\r\n",
			GET HOST WRITTEN_WS KEY V13 "Sec-WebSocket-Protocol: a, b\r\n\r\n"),
		REFUSED(GET HOST WS V13 "\r\n", 400), REFUSED(GET HOST WS KEY "\r\n", 400),
		REFUSED(GET HOST WS KEY KEY V13 "\r\n", 400), REFUSED(GET HOST WS KEY V13 V13 "\r\n", 400),
		REFUSED(GET HOST WS "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n" V13 "\r\n", 400),
		REFUSED(GET HOST WS "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!==\r\n" V13 "\r\n", 400),
		REFUSED(GET HOST WS KEY "Sec-WebSocket-Version: 99\r\n\r\n", 400),
		REFUSED(POST WS KEY V13 "\r\n", 400), REFUSED(GET HOST WS KEY V13 "Content-Length: 0\r\n\r\n", 400),
		REFUSED("GET / HTTP/1.0\r\n" HOST WS KEY V13 "\r\n", 400),
		BECOMES(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", POSTED "Content-Length: 1\r\n\r\n"),
		REFUSED(POST "Expect: x\r\nContent-Length: 1\r\n\r\n", 417),
		REFUSED(POST "Expect: y 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
		REFUSED(POST "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
		REFUSED(POST "Expect:\r\nContent-Length: 1\r\n\r\n", 417),
		BECOMES(GET HOST "Alt-Svc: h3\r\n\r\n", GET HOST "Alt-Svc: h3\r\n\r\n"),
	};

	CHECK_ALL(HTTPMSG_REQUEST, samples);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void responses(void **state)
{
	static const struct sample samples[] = {
		BECOMES("HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nX: y\r\n\r\n", OK "Content-Length: 3\r\nX: y\r\n\r\n"),
		BECOMES("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", OK "Transfer-Encoding: chunked\r\n\r\n"),
		BECOMES("HTTP/1.1 200 \r\n\r\n", OK "Connection: close\r\n\r\n"),
		BECOMES("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", OK "Content-Length: 3\r\nConnection: close\r\n\r\n"),
		BECOMES(OK "Content-Length: 0\r\nAlt-Svc: h3=\":443\"\r\nKeep-Alive: 1\r\nConnection: x\r\nX: 1\r\n\r\n",
			OK "Content-Length: 0\r\n\r\n"),
		BECOMES("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
		BECOMES("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
		BECOMES("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
		BECOMES("HTTP/1.1 599 X\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 599 \r\nContent-Length: 1\r\n\r\n"),
		REFUSED("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", 502),
		REFUSED("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 502),
		REFUSED("HTTP/1.1 101 Switching Protocols\r\n" WS "Sec-WebSocket-Accept: x\r\n\r\n", 502),
		REFUSED(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 502),
		REFUSED(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 502),
		REFUSED(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 502),
		REFUSED("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 502),
		REFUSED("HTTP/1.1 20 OK\r\n\r\n", 502), REFUSED("HTTP/1.1 2000 OK\r\n\r\n", 502),
		REFUSED("HTTP/1.1 099 OK\r\n\r\n", 502), REFUSED("HTTP/1.1 600 OK\r\n\r\n", 502),
		REFUSED("HTTP/1.1  200 OK\r\n\r\n", 502), REFUSED("HTTP/2 200 OK\r\n\r\n", 502),
		REFUSED("HTTP/1.1 200 O\0K\r\n\r\n", 502), REFUSED("HTTP/1.1 200 OK\n\n", 502),
		REFUSED("\r\nHTTP/1.1 200 OK\r\n\r\n", 502), REFUSED("ICY 200 OK\r\n\r\n", 502),
		REFUSED(OK "X: a\r\n b\r\n\r\n", 502), REFUSED(OK "X : a\r\n\r\n", 502),
		REFUSED(OK "Connection: content-length\r\n\r\n", 502),
	};

	CHECK_ALL(HTTPMSG_RESPONSE, samples);
}

static void responses_by_request(void **state)
{
	struct httpmsg m;

	httpmsg_init(&m, HTTPMSG_RESPONSE);
#define RESPONSE(text, status, expected) check(&m, text, sizeof(text) - 1, status, expected)
	m.to_head = true;
	RESPONSE(OK "Content-Length: 7\r\n\r\n", 0, OK "Content-Length: 7\r\n\r\n");
	assert_int_equal(m.body, HTTPMSG_BODY_NONE);
	RESPONSE(OK "Transfer-Encoding: chunked\r\n\r\n", 0, OK "\r\n");
	m.to_head = false;
	m.to_connect = true;
	RESPONSE(OK "Content-Length: 7\r\n\r\n", 0, OK "\r\n");
	assert_int_equal(m.body, HTTPMSG_BODY_NONE);
	RESPONSE("HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n", 0, "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\n");
	assert_int_equal(m.body, HTTPMSG_BODY_LENGTH);
	m.to_connect = false;
	m.to_websocket = true;
	RESPONSE("HTTP/1.1 101 Up\r\n" WS "Sec-WebSocket-Accept: x\r\n\r\n", 0,
		 "HTTP/1.1 101 Switching Protocols\r\n" WRITTEN_WS "Sec-WebSocket-Accept: x\r\n\r\n");
	assert_true(m.websocket);
	RESPONSE("HTTP/1.1 101 Up\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 502, NULL);
	RESPONSE("HTTP/1.1 101 Up\r\n" WS "\r\n", 502, NULL);
	RESPONSE("HTTP/1.1 426 Up\r\n" WS "Content-Length: 0\r\n\r\n", 0,
		 "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: HTTP/1.1\r\n\r\n");
	httpmsg_done(&m);
}

/* A head with a target of n bytes and that many fields of that size. */
static int sized(enum httpmsg_kind kind, size_t target, size_t fields, size_t value)
{
	struct buf text;
	struct httpmsg m;
	size_t taken;
	int status;

	buf_init(&text, 1 << 20);
	httpmsg_init(&m, kind);
	assert_int_equal(buf_append_str(&text, kind == HTTPMSG_REQUEST ? "GET /" : OK), 0);
	for (size_t i = 1; i < target; i++)
		assert_int_equal(buf_append_str(&text, "x"), 0);
	if (kind == HTTPMSG_REQUEST)
		assert_int_equal(buf_append_str(&text, " HTTP/1.1\r\n" HOST), 0);
	for (size_t i = 0; i < fields; i++) {
		assert_int_equal(buf_append_str(&text, "a: "), 0);
		for (size_t k = 0; k < value; k++)
			assert_int_equal(buf_append_str(&text, "b"), 0);
		assert_int_equal(buf_append_str(&text, "\r\n"), 0);
	}
	assert_int_equal(buf_append_str(&text, "\r\n"), 0);
	status = read_head(&m, (const char *)buf_bytes(&text), buf_len(&text), buf_len(&text), &taken);
	assert_int_equal(read_head(&m, (const char *)buf_bytes(&text), buf_len(&text), 1000, &taken), status);
	httpmsg_done(&m);
	buf_done(&text);
	return status;
}

/* M04 */
static void bounds(void **state)
{
	struct httpmsg m;
	static char flood[200000];
	size_t taken;

	assert_int_equal(sized(HTTPMSG_REQUEST, HTTPMSG_TARGET_MAX, 0, 0), 0);
	assert_int_equal(sized(HTTPMSG_REQUEST, HTTPMSG_TARGET_MAX + 1, 0, 0), 414);
	assert_int_equal(sized(HTTPMSG_REQUEST, HTTPMSG_TARGET_MAX + 1000, 0, 0), 414);
	assert_int_equal(sized(HTTPMSG_REQUEST, 1, HTTPMSG_REQUEST_FIELDS_MAX - 1, 1), 0);
	assert_int_equal(sized(HTTPMSG_REQUEST, 1, HTTPMSG_REQUEST_FIELDS_MAX, 1), 431);
	assert_int_equal(sized(HTTPMSG_REQUEST, 1, 1, HTTPMSG_REQUEST_HEAD_MAX - 38), 0);
	assert_int_equal(sized(HTTPMSG_REQUEST, 1, 1, HTTPMSG_REQUEST_HEAD_MAX - 37), 431);
	assert_int_equal(sized(HTTPMSG_RESPONSE, 0, HTTPMSG_RESPONSE_FIELDS_MAX, 1), 0);
	assert_int_equal(sized(HTTPMSG_RESPONSE, 0, HTTPMSG_RESPONSE_FIELDS_MAX + 1, 1), 502);
	assert_int_equal(sized(HTTPMSG_RESPONSE, 0, 100, HTTPMSG_RESPONSE_HEAD_MAX / 100 - 6), 0);
	assert_int_equal(sized(HTTPMSG_RESPONSE, 0, 100, HTTPMSG_RESPONSE_HEAD_MAX / 100), 502);
	/* Without an end of line nothing waits for one. */
	httpmsg_init(&m, HTTPMSG_REQUEST);
	memset(flood, 'A', sizeof(flood));
	assert_int_equal(read_head(&m, flood, sizeof(flood), 1, &taken), 400);
	assert_true(taken < 40);
	memcpy(flood, "GET /", 5);
	assert_int_equal(read_head(&m, flood, sizeof(flood), 1, &taken), 414);
	assert_true(taken < 20000);
	assert_int_equal(read_head(&m, "\x05", 1, 1, &taken), 400);
	assert_int_equal(read_head(&m, "\r\n\x16", 3, 1, &taken), 400);
	assert_int_equal(read_head(&m, "\r", 1, 1, &taken), -1);
	httpmsg_done(&m);
}

static void fields_of_the_struct(void **state)
{
	static const char text[] = "POST http://OK.test:81/a?b HTTP/1.1\r\nHost: ok.test:81\r\nTE: trailers\r\nConnection: close\r\n"
				   "Expect: 100-continue\r\nContent-Length: 12\r\nX-A: 1\r\nx-a: 2\r\n\r\nbody";
	struct httpmsg m;
	struct dest d;
	size_t taken;
	int i;

	httpmsg_init(&m, HTTPMSG_REQUEST);
	assert_int_equal(read_head(&m, text, sizeof(text) - 1, 1000, &taken), 0);
	assert_string_equal(text + taken, "body");
	assert_true(m.method_id == HTTPMSG_POST && m.form == HTTPMSG_ABSOLUTE && m.scheme == DEST_HTTP);
	assert_string_equal(httpmsg_str(&m, m.authority), "OK.test:81");
	assert_string_equal(httpmsg_str(&m, m.path), "/a?b");
	assert_true(m.body == HTTPMSG_BODY_LENGTH && m.has_length && m.length == 12);
	assert_true(m.close && m.expect_continue && m.te_trailers && !m.websocket);
	assert_int_equal(dest_make("ok.test", 7, 81, DEST_HTTP, &d), 0);
	assert_true(httpmsg_is_for(&m, &d));
	d.port = 80;
	assert_false(httpmsg_is_for(&m, &d));
	i = httpmsg_find_name(&m, "x-A", 3, 0);
	assert_string_equal(httpmsg_value(&m, i), "1");
	assert_string_equal(httpmsg_value(&m, httpmsg_find_name(&m, "x-a", 3, (uint32_t)i + 1)), "2");
	assert_int_equal(httpmsg_find(&m, HTTPMSG_F_HOST, 0), -1);
	assert_int_equal(httpmsg_put(&m, "x-a", "3", 1), 0);
	assert_string_equal(httpmsg_value(&m, httpmsg_find_name(&m, "X-A", 3, 0)), "3");
	assert_int_equal(httpmsg_put(&m, "X-B", "a\r\nb", 4), -EINVAL);
	assert_int_equal(httpmsg_put(&m, "X B", "a", 1), -EINVAL);
	assert_int_equal(httpmsg_put(&m, "Host", "a", 1), -EINVAL);
	assert_int_equal(httpmsg_put(&m, "content-length", "1", 1), -EINVAL);
	assert_int_equal(httpmsg_remove(&m, "X-a"), 1);
	assert_int_equal(httpmsg_replace_path(&m, "/c d", 4), -EINVAL);
	assert_int_equal(httpmsg_replace_path(&m, "/c", 2), 0);
	assert_string_equal(httpmsg_str(&m, m.path), "/c");
	httpmsg_done(&m);
}

static void versions_meet(void **state)
{
	struct httpmsg req, res;

	httpmsg_init(&req, HTTPMSG_REQUEST);
	httpmsg_init(&res, HTTPMSG_RESPONSE);
	req.version = HTTPMSG_1_1;
	res.body = HTTPMSG_BODY_EOF;
	httpmsg_frame_for(&res, &req);
	assert_true(res.body == HTTPMSG_BODY_CHUNKED && !res.close);
	req.version = HTTPMSG_1_0;
	httpmsg_frame_for(&res, &req);
	assert_true(res.body == HTTPMSG_BODY_EOF && res.close);
	res.body = HTTPMSG_BODY_LENGTH;
	res.close = false;
	req.version = HTTPMSG_1_1;
	req.close = true;
	httpmsg_frame_for(&res, &req);
	assert_true(res.body == HTTPMSG_BODY_LENGTH && res.close);
}

static int h2_request(const char *method, const char *path, const char *authority, const char *name, const char *value,
		      bool end_stream)
{
	struct httpmsg_refusal why = { 0 };
	struct httpmsg m;
	int r;

	httpmsg_init(&m, HTTPMSG_REQUEST);
	httpmsg_reset(&m, DEST_HTTPS);
	m.version = HTTPMSG_2;
	r = httpmsg_set_method(&m, method, strlen(method), &why);
	if (r == 0 && *path)
		r = httpmsg_set_path(&m, path, strlen(path), &why);
	if (r == 0 && *authority)
		r = httpmsg_set_authority(&m, authority, strlen(authority), &why);
	if (r == 0 && name)
		r = httpmsg_add(&m, name, strlen(name), value, strlen(value), &why);
	if (r == 0)
		r = httpmsg_complete(&m, end_stream, &why);
	if (r == 0)
		assert_int_equal(m.dest.port, 443);
	httpmsg_done(&m);
	return r == 0 ? 0 : why.status;
}

/* G03-G05: the same struct, filled by an HTTP/2 front. */
static void http2_requests(void **state)
{
	assert_int_equal(h2_request("GET", "/", "ok.test", NULL, NULL, true), 0);
	assert_int_equal(h2_request("GET", "/", "", "host", "ok.test", true), 0);
	assert_int_equal(h2_request("GET", "/", "ok.test", "host", "ok.test", true), 0);
	assert_int_equal(h2_request("GET", "/", "ok.test", "host", "evil.test", true), 400);
	assert_int_equal(h2_request("GET", "/", "", NULL, NULL, true), 400);
	assert_int_equal(h2_request("GET", "", "ok.test", NULL, NULL, true), 400);
	assert_int_equal(h2_request("CONNECT", "/", "ok.test:443", NULL, NULL, false), 400);
	assert_int_equal(h2_request("CONNECT", "", "ok.test:443", NULL, NULL, false), 0);
	assert_int_equal(h2_request("GET", "/", "u@ok.test", NULL, NULL, true), 400);
	assert_int_equal(h2_request("POST", "/", "ok.test", "content-length", "0", false), 0);
	assert_int_equal(h2_request("POST", "/", "ok.test", "content-length", "1", true), 400);
	assert_int_equal(h2_request("POST", "/", "ok.test", "transfer-encoding", "chunked", false), 400);
	assert_int_equal(h2_request("GET", "/", "ok.test", "connection", "x", true), 400);
	assert_int_equal(h2_request("GET", "/", "ok.test", "te", "gzip", true), 400);
	assert_int_equal(h2_request("GET", "/", "ok.test", "te", "trailers", true), 0);
	assert_int_equal(h2_request("GET", "/", "ok.test", "x", "a\nb", true), 400);
	assert_int_equal(h2_request("GET", "/a b", "ok.test", NULL, NULL, true), 400);
	assert_int_equal(h2_request("TRACE", "/", "ok.test", NULL, NULL, true), 405);
}

static void lengths_of_heads_that_come_in_fields(void **state)
{
	static char big[HTTPMSG_REQUEST_HEAD_MAX];
	struct httpmsg_refusal why = { 0 };
	struct httpmsg m;

	memset(big, 'x', sizeof(big));
	httpmsg_init(&m, HTTPMSG_REQUEST);
	httpmsg_reset(&m, DEST_HTTPS);
	assert_int_equal(httpmsg_add(&m, "a", 1, big, sizeof(big) / 2, &why), 0);
	assert_int_equal(httpmsg_add(&m, "a", 1, big, sizeof(big) / 2, &why), -EPROTO);
	assert_int_equal(why.status, 431);
	assert_true(m.arena_cap > 16384);
	httpmsg_lower(&m);
	httpmsg_reset(&m, DEST_HTTPS);
	assert_int_equal(m.arena_cap, 0);
	httpmsg_done(&m);
}

static void sniffing(void **state)
{
	assert_int_equal(httphead_sniff("GET ", 4), 1);
	assert_int_equal(httphead_sniff("M-SEARCH * ", 11), 1);
	assert_int_equal(httphead_sniff("\r\nGET /", 7), 1);
	assert_int_equal(httphead_sniff("GET", 3), 0);
	assert_int_equal(httphead_sniff("", 0), 0);
	assert_int_equal(httphead_sniff("\r", 1), 0);
	assert_int_equal(httphead_sniff("\x16\x03\x01", 3), -1);
	assert_int_equal(httphead_sniff("SSH-2.0-", 8), -1);
	assert_int_equal(httphead_sniff("\x05\x01", 2), -1);
	assert_int_equal(httphead_sniff(" GET", 4), -1);
	assert_int_equal(httphead_sniff("AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD", 33), -1);
}

static void writing_to_a_proxy_and_into_too_little(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\nHost: ok.test:81\r\n\r\n", star[] = "OPTIONS * HTTP/1.1\r\n" HOST "\r\n";
	struct httpmsg m;
	struct buf out;
	size_t taken;

	httpmsg_init(&m, HTTPMSG_REQUEST);
	assert_int_equal(read_head(&m, text, sizeof(text) - 1, 1000, &taken), 0);
	buf_init(&out, 16);
	assert_int_equal(httphead_write_request(&out, &m, HTTPHEAD_ABSOLUTE), -EMSGSIZE);
	assert_int_equal(buf_len(&out), 0);
	buf_init(&out, 4096);
	assert_int_equal(httphead_write_request(&out, &m, HTTPHEAD_ABSOLUTE), 0);
	assert_string_equal(buf_cstr(&out), "GET http://ok.test:81/a HTTP/1.1\r\nHost: ok.test:81\r\n\r\n");
	assert_int_equal(read_head(&m, star, sizeof(star) - 1, 1000, &taken), 0);
	buf_consume(&out, buf_len(&out));
	assert_int_equal(httphead_write_request(&out, &m, HTTPHEAD_ABSOLUTE), 0);
	assert_string_equal(buf_cstr(&out), "OPTIONS http://ok.test HTTP/1.1\r\n" HOST "\r\n");
	buf_done(&out);
	httpmsg_done(&m);
}

static void a_phrase_of_our_own(void **state)
{
	struct httpmsg m;
	struct buf out;

	httpmsg_init(&m, HTTPMSG_RESPONSE);
	httpmsg_reset(&m, DEST_HTTP);
	m.status = 403;
	m.body = HTTPMSG_BODY_LENGTH;
	m.has_length = true;
	assert_int_equal(httpmsg_set_phrase(&m, "No\r\nX: y"), -EINVAL);
	assert_int_equal(httpmsg_set_phrase(&m, "N\xc3\xb6"), -EINVAL);
	assert_int_equal(httpmsg_set_phrase(&m, "Blocked: rule r12"), 0);
	buf_init(&out, 4096);
	assert_int_equal(httphead_write_response(&out, &m), 0);
	assert_string_equal(buf_cstr(&out), "HTTP/1.1 403 Blocked: rule r12\r\nContent-Length: 0\r\n\r\n");
	httpmsg_reset(&m, DEST_HTTP);
	m.status = 403;
	m.body = HTTPMSG_BODY_NONE;
	buf_consume(&out, buf_len(&out));
	assert_int_equal(httphead_write_response(&out, &m), 0);
	assert_non_null(strstr(buf_cstr(&out), "HTTP/1.1 403 Forbidden\r\n"));
	buf_done(&out);
	httpmsg_done(&m);
}

static int whole_life(void)
{
	static const char text[] = "GET http://ok.test?x HTTP/1.1\r\n" HOST "A: b\r\n\r\n";
	struct httpmsg_refusal why = { 0 };
	struct httpmsg m;
	struct httphead h;
	long r;
	int put = 0;

	httpmsg_init(&m, HTTPMSG_REQUEST);
	httphead_init(&h, &m, DEST_HTTP);
	r = httphead_feed(&h, text, sizeof(text) - 1, &why);
	if (r >= 0) {
		put = httpmsg_put(&m, "A", "c", 1);
		assert_string_equal(httpmsg_value(&m, httpmsg_find_name(&m, "a", 1, 0)), put == 0 ? "c" : "b");
	} else {
		assert_int_equal(why.status, 503);
	}
	httpmsg_done(&m);
	return r < 0 ? (int)r : put;
}

static void memory_runs_out(void **state)
{
	for (long n = 0;; n++) {
		int r;

		oom_from(n);
		r = whole_life();
		if (!oom_off()) {
			assert_int_equal(r, 0);
			assert_true(n > 1);
			break;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_framing),
		cmocka_unit_test(lines),
		cmocka_unit_test(hosts),
		cmocka_unit_test(connects),
		cmocka_unit_test(request_lines),
		cmocka_unit_test(hop_by_hop),
		cmocka_unit_test(responses),
		cmocka_unit_test(responses_by_request),
		cmocka_unit_test(bounds),
		cmocka_unit_test(fields_of_the_struct),
		cmocka_unit_test(versions_meet),
		cmocka_unit_test(http2_requests),
		cmocka_unit_test(lengths_of_heads_that_come_in_fields),
		cmocka_unit_test(sniffing),
		cmocka_unit_test(writing_to_a_proxy_and_into_too_little),
		cmocka_unit_test(a_phrase_of_our_own),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests_name("httphead", tests, NULL, NULL);
}
