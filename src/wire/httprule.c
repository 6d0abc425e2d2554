/* SPDX-License-Identifier: Apache-2.0
 *
 * httprule: see httprule.h. Enters: a head whose lines were read. Leaves: where it goes, where its body ends and what becomes of its
 * connection, each said once (RFC 9110, RFC 9112, RFC 9113 8, RFC 6455 4); or why it cannot be said.
 */
#include "wire/httprule.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define LISTED_MAX 32 /* names in Connection */

/* RFC 9110 5.6.2. */
static const uint8_t token_bytes[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
	['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* RFC 9110 5.5. */
static const uint8_t value_bytes[256] = {
	['\t'] = 1, [' ' ... '~'] = 1, [0x80 ... 0xff] = 1,
};

/* What clients write in a target: printable ASCII but '#', which would begin a fragment. */
static const uint8_t target_bytes[256] = {
	['!' ... '"'] = 1, ['$' ... '~'] = 1,
};

static bool all_of(const uint8_t table[256], const char *s, size_t n)
{
	uint8_t good = 1;

	for (size_t i = 0; i < n; i++)
		good &= table[(uint8_t)s[i]];
	return good;
}

bool httpmsg_is_token(const char *s, size_t n)
{
	return n > 0 && all_of(token_bytes, s, n);
}

bool httpmsg_is_value(const char *s, size_t n)
{
	return all_of(value_bytes, s, n);
}

static bool is(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(s, word, n) == 0;
}

static const struct {
	uint8_t n;
	uint8_t id;
	const char *name;
} known[] = {
	/* By length. */
	{ 2, HTTPMSG_F_TE, "te" },
	{ 4, HTTPMSG_F_HOST, "host" },
	{ 6, HTTPMSG_F_COOKIE, "cookie" },
	{ 6, HTTPMSG_F_EXPECT, "expect" },
	{ 7, HTTPMSG_F_UPGRADE, "upgrade" },
	{ 7, HTTPMSG_F_TRAILER, "trailer" },
	{ 7, HTTPMSG_F_ALT_SVC, "alt-svc" },
	{ 10, HTTPMSG_F_CONNECTION, "connection" },
	{ 10, HTTPMSG_F_KEEP_ALIVE, "keep-alive" },
	{ 12, HTTPMSG_F_CONTENT_TYPE, "content-type" },
	{ 13, HTTPMSG_F_AUTHORIZATION, "authorization" },
	{ 14, HTTPMSG_F_CONTENT_LENGTH, "content-length" },
	{ 14, HTTPMSG_F_HTTP2_SETTINGS, "http2-settings" },
	{ 16, HTTPMSG_F_CONTENT_ENCODING, "content-encoding" },
	{ 16, HTTPMSG_F_PROXY_CONNECTION, "proxy-connection" },
	{ 17, HTTPMSG_F_TRANSFER_ENCODING, "transfer-encoding" },
	{ 17, HTTPMSG_F_SEC_WEBSOCKET_KEY, "sec-websocket-key" },
	{ 18, HTTPMSG_F_PROXY_AUTHENTICATE, "proxy-authenticate" },
	{ 19, HTTPMSG_F_PROXY_AUTHORIZATION, "proxy-authorization" },
	{ 20, HTTPMSG_F_SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept" },
	{ 21, HTTPMSG_F_SEC_WEBSOCKET_VERSION, "sec-websocket-version" },
	{ 22, HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol" },
	{ 24, HTTPMSG_F_SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions" },
	{ 25, HTTPMSG_F_PROXY_AUTHENTICATION_INFO, "proxy-authentication-info" },
};

enum httpmsg_field httpmsg_field_id(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && known[i].n <= n; i++)
		if (known[i].n == n && strncasecmp(known[i].name, name, n) == 0)
			return (enum httpmsg_field)known[i].id;
	return HTTPMSG_F_OTHER;
}

bool httprule_is_framing(enum httpmsg_field id)
{
	return id == HTTPMSG_F_HOST || id == HTTPMSG_F_CONTENT_LENGTH || id == HTTPMSG_F_TRANSFER_ENCODING;
}

int httprule_method(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	static const struct {
		const char *name;
		enum httpmsg_method id;
	} methods[] = {
		{ "GET", HTTPMSG_GET },     { "POST", HTTPMSG_POST },       { "HEAD", HTTPMSG_HEAD },
		{ "OPTIONS", HTTPMSG_OPTIONS }, { "CONNECT", HTTPMSG_CONNECT },
	};

	m->method_id = HTTPMSG_OTHER;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (n == strlen(methods[i].name) && memcmp(s, methods[i].name, n) == 0) {
			m->method_id = methods[i].id;
			return 0;
		}
	if (n == 0 || n > HTTPMSG_METHOD_MAX || s[0] < 'A' || s[0] > 'Z')
		return httpmsg_refuse(m, why, 400, "a method that is none");
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_'))
			return httpmsg_refuse(m, why, 400, "a method that is none");
	/* They send a request's fields back, secrets that the proxy adds among them. */
	if (is(s, n, "TRACE") || is(s, n, "TRACK"))
		return httpmsg_refuse(m, why, 405, "TRACE is not passed on");
	return 0;
}

int httprule_path(const struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	if (n > HTTPMSG_TARGET_MAX)
		return httpmsg_refuse(m, why, 414, "the target is too long");
	if (n == 1 && s[0] == '*' && m->method_id == HTTPMSG_OPTIONS)
		return 0;
	if (n == 0 || s[0] != '/')
		return httpmsg_refuse(m, why, 400, "a target that does not fit the method");
	if (!all_of(target_bytes, s, n))
		return httpmsg_refuse(m, why, 400, "a byte that no target has");
	return 0;
}

/* The value of the only field with this id. */
static struct httpmsg_span only(const struct httpmsg *m, enum httpmsg_field id)
{
	int i = httpmsg_find(m, id, 0);

	return i < 0 ? (struct httpmsg_span){ 0 } : m->entries[i].value;
}

static int decide_host(struct httpmsg *m, struct httpmsg_refusal *why)
{
	static const uint16_t ports[] = { [DEST_TCP] = 0, [DEST_HTTP] = 80, [DEST_HTTPS] = 443 };
	bool own = m->authority.n > 0; /* the target names a host itself */
	struct dest host;

	if (m->seen[HTTPMSG_F_HOST] > 1)
		return httpmsg_refuse(m, why, 400, "more than one Host");
	if (m->seen[HTTPMSG_F_HOST] == 0 && (!own || m->version == HTTPMSG_1_1))
		return httpmsg_refuse(m, why, 400, "no Host");
	m->host = only(m, HTTPMSG_F_HOST);
	if (!own)
		m->authority = m->host;
	if (dest_parse_authority(httpmsg_str(m, m->authority), m->authority.n,
				 m->form == HTTPMSG_AUTHORITY ? 0 : ports[m->scheme], m->scheme, &m->dest) != DEST_OK)
		return httpmsg_refuse(m, why, 400, "the host is not a host name or address");
	if (!own || m->seen[HTTPMSG_F_HOST] == 0)
		return 0;
	/* CONNECT names a port in its target; clients leave it out of Host or not. */
	if (dest_parse_authority(httpmsg_str(m, m->host), m->host.n,
				 m->form == HTTPMSG_AUTHORITY ? m->dest.port : ports[m->scheme], m->scheme, &host) != DEST_OK)
		return httpmsg_refuse(m, why, 400, "the host is not a host name or address");
	/* A tunnel's only name is its target (RFC 9110 9.3.6): some clients name the proxy in Host, and it means nothing. */
	return m->form == HTTPMSG_AUTHORITY || dest_equal(&host, &m->dest) ? 0 : httpmsg_refuse(m, why, 400, "Host is not the target's host");
}

static int parse_length(struct httpmsg *m, struct httpmsg_refusal *why)
{
	struct httpmsg_span s = only(m, HTTPMSG_F_CONTENT_LENGTH);
	const char *p = httpmsg_str(m, s);
	uint64_t v = 0;

	if (m->seen[HTTPMSG_F_CONTENT_LENGTH] > 1)
		return httpmsg_refuse(m, why, 400, "more than one Content-Length");
	if (s.n == 0 || s.n > 19 || (p[0] == '0' && s.n > 1))
		return httpmsg_refuse(m, why, 400, "a Content-Length that is no number");
	for (uint32_t i = 0; i < s.n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return httpmsg_refuse(m, why, 400, "a Content-Length that is no number");
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	if (v > INT64_MAX)
		return httpmsg_refuse(m, why, 400, "a Content-Length that is too large");
	m->length = v;
	m->has_length = true;
	return 0;
}

/* Content-Length and Transfer-Encoding by themselves; sets body as they say, NONE where there is neither. */
static int read_framing(struct httpmsg *m, struct httpmsg_refusal *why)
{
	struct httpmsg_span te = only(m, HTTPMSG_F_TRANSFER_ENCODING);

	m->body = HTTPMSG_BODY_NONE;
	if (m->seen[HTTPMSG_F_TRANSFER_ENCODING] > 0) {
		if (m->version == HTTPMSG_1_0)
			return httpmsg_refuse(m, why, 400, "Transfer-Encoding in HTTP/1.0");
		if (m->seen[HTTPMSG_F_TRANSFER_ENCODING] > 1)
			return httpmsg_refuse(m, why, 400, "more than one Transfer-Encoding");
		if (m->seen[HTTPMSG_F_CONTENT_LENGTH] > 0)
			return httpmsg_refuse(m, why, 400, "Content-Length and Transfer-Encoding");
		if (!is(httpmsg_str(m, te), te.n, "chunked"))
			return httpmsg_refuse(m, why, 501, "a transfer coding other than chunked");
		m->body = HTTPMSG_BODY_CHUNKED;
	} else if (m->seen[HTTPMSG_F_CONTENT_LENGTH] > 0) {
		m->body = HTTPMSG_BODY_LENGTH;
		return parse_length(m, why);
	}
	return 0;
}

/* HTTP/2: the stream's end frames the body; a length must agree with it. */
static int frame_by_stream(struct httpmsg *m, bool end_stream, struct httpmsg_refusal *why)
{
	if (end_stream && m->has_length && m->length > 0)
		return httpmsg_refuse(m, why, 400, "Content-Length without a body");
	if (!end_stream && m->body == HTTPMSG_BODY_NONE)
		m->body = HTTPMSG_BODY_CHUNKED;
	return 0;
}

static int frame_request(struct httpmsg *m, bool end_stream, struct httpmsg_refusal *why)
{
	int r = read_framing(m, why);

	if (r < 0)
		return r;
	if (m->method_id != HTTPMSG_CONNECT)
		return m->version == HTTPMSG_2 ? frame_by_stream(m, end_stream, why) : 0;
	if (m->body != HTTPMSG_BODY_NONE || m->seen[HTTPMSG_F_EXPECT] || m->seen[HTTPMSG_F_UPGRADE])
		return httpmsg_refuse(m, why, 400, "CONNECT with a body, Expect or Upgrade");
	return 0;
}

static int frame_response(struct httpmsg *m, bool end_stream, struct httpmsg_refusal *why)
{
	bool bare = m->status < 200 || m->status == 204;
	int r = read_framing(m, why);

	if (r < 0)
		return r;
	if (m->to_connect && m->status >= 200 && m->status < 300)
		bare = true; /* RFC 9110 9.3.6: such fields are ignored */
	else if (bare && (m->body == HTTPMSG_BODY_CHUNKED || m->length > 0))
		return httpmsg_refuse(m, why, 502, "a body where the status allows none");
	if (bare || m->to_head || m->status == 304) {
		m->body = HTTPMSG_BODY_NONE;
		if (bare) {
			m->has_length = false;
			m->length = 0;
		}
		return 0;
	}
	if (m->version == HTTPMSG_2) {
		r = frame_by_stream(m, end_stream, why);
		if (r < 0 || m->body != HTTPMSG_BODY_NONE)
			return r;
		m->body = HTTPMSG_BODY_LENGTH;
		m->has_length = true;
		return 0;
	}
	if (m->body == HTTPMSG_BODY_NONE)
		m->body = HTTPMSG_BODY_EOF;
	return 0;
}

/* Calls per element of the comma-separated value until one is negative. */
static int each_element(struct httpmsg *m, const struct httpmsg_entry *e,
			int (*per)(struct httpmsg *, const char *, size_t, void *), void *user)
{
	const char *p = httpmsg_str(m, e->value), *end = p + e->value.n;
	int r = 0;

	while (p < end && r >= 0) {
		const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end, *last = stop;

		while (p < last && (*p == ' ' || *p == '\t'))
			p++;
		while (last > p && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (last > p)
			r = per(m, p, (size_t)(last - p), user);
		p = stop + 1;
	}
	return r;
}

struct connection {
	bool close, upgrade;
	unsigned int listed;
	struct httpmsg_refusal *why;
};

static int connection_option(struct httpmsg *m, const char *s, size_t n, void *user)
{
	struct connection *c = user;
	enum httpmsg_field id = httpmsg_field_id(s, n);

	if (!httpmsg_is_token(s, n) || ++c->listed > LISTED_MAX)
		return httpmsg_refuse(m, c->why, 400, "Connection is no list of names");
	if (httprule_is_framing(id))
		return httpmsg_refuse(m, c->why, 400, "Connection lists a field that frames or routes");
	if (is(s, n, "close"))
		c->close = true;
	else if (is(s, n, "upgrade"))
		c->upgrade = true;
	else if (!is(s, n, "keep-alive"))
		for (int i = httpmsg_find_name(m, s, n, 0); i >= 0; i = httpmsg_find_name(m, s, n, (uint32_t)i + 1))
			m->entries[i].hop = 1;
	return 0;
}

static int te_option(struct httpmsg *m, const char *s, size_t n, void *user)
{
	if (is(s, n, "trailers"))
		m->te_trailers = true;
	return 0;
}

static bool is_hop(const struct httpmsg *m, unsigned int id)
{
	switch (id) {
	case HTTPMSG_F_CONNECTION:
	case HTTPMSG_F_UPGRADE:
	case HTTPMSG_F_EXPECT: /* the proxy answers it itself */
	case HTTPMSG_F_TE:
	case HTTPMSG_F_TRAILER:
	case HTTPMSG_F_KEEP_ALIVE:
	case HTTPMSG_F_PROXY_CONNECTION:
	case HTTPMSG_F_PROXY_AUTHORIZATION:
	case HTTPMSG_F_PROXY_AUTHENTICATE:
	case HTTPMSG_F_PROXY_AUTHENTICATION_INFO:
	case HTTPMSG_F_HTTP2_SETTINGS:
		return true;
	case HTTPMSG_F_ALT_SVC: /* it would lead a client to a way that leads past the proxy */
		return m->kind == HTTPMSG_RESPONSE;
	default:
		return false;
	}
}

/* Connection and what belongs to it; marks what ends here. */
static int decide_connection(struct httpmsg *m, struct connection *c)
{
	int r = 0;

	for (uint32_t i = 0; i < m->nentries && r >= 0; i++) {
		struct httpmsg_entry *e = &m->entries[i];

		if (is_hop(m, e->id))
			e->hop = 1;
		if (e->id == HTTPMSG_F_CONNECTION)
			r = each_element(m, e, connection_option, c);
		else if (e->id == HTTPMSG_F_TE)
			r = each_element(m, e, te_option, NULL);
	}
	m->close = c->close || m->version == HTTPMSG_1_0 || m->body == HTTPMSG_BODY_EOF;
	return r;
}

/* 22 base64 characters and two signs: 16 bytes (RFC 6455 4.1). */
static bool is_websocket_key(const char *s, size_t n)
{
	if (n != 24 || s[22] != '=' || s[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z') || s[i] == '+' ||
		      s[i] == '/'))
			return false;
	return true;
}

/* An upgrade to anything but WebSocket is not asked for any more: the field ends here (h2c with its HTTP2-Settings, too, so that no server
 * agrees to what nobody here would read), and the request goes on without it, as RFC 9110 7.8 lets whoever answers. */
static int decide_upgrade(struct httpmsg *m, bool connection, struct httpmsg_refusal *why)
{
	struct httpmsg_span up = only(m, HTTPMSG_F_UPGRADE), key = only(m, HTTPMSG_F_SEC_WEBSOCKET_KEY);
	struct httpmsg_span version = only(m, HTTPMSG_F_SEC_WEBSOCKET_VERSION);
	bool asked = m->seen[HTTPMSG_F_UPGRADE] == 1 && is(httpmsg_str(m, up), up.n, "websocket");

	if (m->kind == HTTPMSG_RESPONSE) {
		if (m->status != 101)
			return 0;
		m->websocket = asked && connection && m->to_websocket && m->seen[HTTPMSG_F_SEC_WEBSOCKET_ACCEPT] == 1;
		return m->websocket ? 0 : httpmsg_refuse(m, why, 502, "101 without an upgrade that was asked for");
	}
	if (!asked || (!connection && m->version == HTTPMSG_1_1))
		return 0;
	if (m->version != HTTPMSG_1_1 || m->method_id != HTTPMSG_GET || m->body != HTTPMSG_BODY_NONE ||
	    m->seen[HTTPMSG_F_SEC_WEBSOCKET_KEY] != 1 || !is_websocket_key(httpmsg_str(m, key), key.n) ||
	    m->seen[HTTPMSG_F_SEC_WEBSOCKET_VERSION] != 1 || !is(httpmsg_str(m, version), version.n, "13"))
		return httpmsg_refuse(m, why, 400, "not a WebSocket handshake");
	m->websocket = true;
	return 0;
}

static int decide_expect(struct httpmsg *m, struct httpmsg_refusal *why)
{
	struct httpmsg_span s = only(m, HTTPMSG_F_EXPECT);

	if (m->seen[HTTPMSG_F_EXPECT] == 0 || m->version == HTTPMSG_1_0)
		return 0;
	if (m->seen[HTTPMSG_F_EXPECT] > 1 || !is(httpmsg_str(m, s), s.n, "100-continue"))
		return httpmsg_refuse(m, why, 417, "an expectation other than 100-continue");
	m->expect_continue = m->body == HTTPMSG_BODY_CHUNKED || m->length > 0;
	return 0;
}

/* RFC 9113 8.3.1: what the request line would have said. */
static int check_h2_request(struct httpmsg *m, struct httpmsg_refusal *why)
{
	bool connect = m->method_id == HTTPMSG_CONNECT;

	if (m->method.n == 0 || connect == (m->path.n > 0))
		return httpmsg_refuse(m, why, 400, "pseudo-fields that do not fit the method");
	m->form = HTTPMSG_ORIGIN;
	if (connect)
		m->form = HTTPMSG_AUTHORITY;
	else if (httpmsg_str(m, m->path)[0] == '*')
		m->form = HTTPMSG_ASTERISK;
	return 0;
}

/* RFC 9113 8.2.2. */
static int check_h2(struct httpmsg *m, struct httpmsg_refusal *why)
{
	static const uint8_t forbidden[] = { HTTPMSG_F_CONNECTION, HTTPMSG_F_KEEP_ALIVE, HTTPMSG_F_PROXY_CONNECTION,
					     HTTPMSG_F_TRANSFER_ENCODING, HTTPMSG_F_UPGRADE, HTTPMSG_F_HTTP2_SETTINGS };
	struct httpmsg_span te = only(m, HTTPMSG_F_TE);

	for (size_t i = 0; i < sizeof(forbidden); i++)
		if (m->seen[forbidden[i]])
			return httpmsg_refuse(m, why, 400, "a field that HTTP/2 does not have");
	if (m->seen[HTTPMSG_F_TE] > 1 || (m->seen[HTTPMSG_F_TE] == 1 && !is(httpmsg_str(m, te), te.n, "trailers")))
		return httpmsg_refuse(m, why, 400, "TE other than trailers");
	return m->kind == HTTPMSG_REQUEST ? check_h2_request(m, why) : 0;
}

static void drop_framing(struct httpmsg *m)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->nentries; i++)
		if (!httprule_is_framing((enum httpmsg_field)m->entries[i].id))
			m->entries[kept++] = m->entries[i];
	m->nentries = kept;
}

int httpmsg_complete(struct httpmsg *m, bool end_stream, struct httpmsg_refusal *why)
{
	struct connection connection = { .why = why };
	int r = m->version == HTTPMSG_2 ? check_h2(m, why) : 0;

	if (m->kind == HTTPMSG_REQUEST) {
		if (r == 0)
			r = decide_host(m, why);
		if (r == 0)
			r = frame_request(m, end_stream, why);
		if (r == 0)
			r = decide_expect(m, why);
	} else if (r == 0) {
		r = frame_response(m, end_stream, why);
	}
	if (r == 0)
		r = decide_connection(m, &connection);
	if (r == 0)
		r = decide_upgrade(m, connection.upgrade, why);
	if (r == 0)
		drop_framing(m);
	return r;
}
