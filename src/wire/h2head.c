/* SPDX-License-Identifier: Apache-2.0
 *
 * h2head: see h2head.h. Enters: names and values as HPACK gives them, with any bytes. Owns two buffers besides the message: the path,
 * whose form depends on a method that may come later, and the pieces of a cookie.
 */
#include "wire/h2head.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "wire/httprule.h"

#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

enum { METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, STATUS = 16 };

static const struct {
	const char *name;
	uint8_t bit;
	enum httpmsg_kind kind;
} pseudo_fields[] = {
	{ ":method", METHOD, HTTPMSG_REQUEST },	      { ":scheme", SCHEME, HTTPMSG_REQUEST },
	{ ":authority", AUTHORITY, HTTPMSG_REQUEST }, { ":path", PATH, HTTPMSG_REQUEST },
	{ ":status", STATUS, HTTPMSG_RESPONSE },
};

static bool is(const uint8_t *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

void h2head_init(struct h2head *h, struct httpmsg *msg, enum h2head_part part, enum dest_scheme scheme)
{
	httpmsg_reset(msg, scheme);
	msg->version = HTTPMSG_2;
	*h = (struct h2head){ .msg = msg, .part = part };
	buf_init(&h->path, HTTPMSG_TARGET_MAX);
	buf_init(&h->cookie, HTTPMSG_REQUEST_HEAD_MAX);
}

void h2head_done(struct h2head *h)
{
	buf_done(&h->path);
	buf_done(&h->cookie);
}

static void refuse(struct h2head *h, unsigned int status, const char *why)
{
	if (h->why.status == 0)
		(void)httpmsg_refuse(h->msg, &h->why, status, why);
}

void h2head_malformed(struct h2head *h, const char *why)
{
	refuse(h, 400, why);
}

/* --- pseudo-fields --- */

static void take_path(struct h2head *h, const uint8_t *value, size_t n)
{
	if (n > HTTPMSG_TARGET_MAX)
		refuse(h, 414, "the target is too long");
	else if (n == 0)
		refuse(h, 400, "an empty :path");
	else if (buf_append(&h->path, value, n) < 0)
		refuse(h, 503, "out of memory");
}

static void take_status(struct h2head *h, const uint8_t *s, size_t n)
{
	if (n != 3 || s[0] < '1' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9') {
		refuse(h, 400, "a :status that is no status");
		return;
	}
	h->msg->status = (uint16_t)((s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0'));
	/* HTTP/2 has no protocol switch (RFC 9113 8.6). */
	if (h->msg->status == 101)
		refuse(h, 400, "101 in HTTP/2");
}

static void take_pseudo(struct h2head *h, uint8_t bit, const uint8_t *value, size_t n)
{
	struct httpmsg_refusal why = { 0 };
	const char *text = (const char *)value;
	int r = 0;

	switch (bit) {
	case METHOD:
		r = httpmsg_set_method(h->msg, text, n, &why);
		break;
	case AUTHORITY:
		if (n == 0)
			refuse(h, 400, "an empty :authority");
		else if (!httpmsg_is_value(text, n))
			refuse(h, 400, "a control byte in :authority");
		else
			r = httpmsg_set_authority(h->msg, text, n, &why);
		break;
	case SCHEME:
		if (!is(value, n, dest_scheme_name(h->msg->scheme)))
			refuse(h, 400, "a :scheme that is not the connection's");
		break;
	case PATH:
		take_path(h, value, n);
		break;
	default:
		take_status(h, value, n);
	}
	if (r < 0 && h->why.status == 0)
		h->why = why;
}

static void pseudo(struct h2head *h, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n)
{
	if (h->part == H2HEAD_TRAILERS) {
		refuse(h, 400, "a pseudo-field in trailers");
		return;
	}
	if (h->regular) {
		refuse(h, 400, "a pseudo-field behind a field");
		return;
	}
	for (size_t i = 0; i < sizeof(pseudo_fields) / sizeof(pseudo_fields[0]); i++) {
		uint8_t bit = pseudo_fields[i].bit;

		if (pseudo_fields[i].kind != h->msg->kind || !is(name, name_n, pseudo_fields[i].name))
			continue;
		if (h->pseudo & bit)
			refuse(h, 400, "a pseudo-field twice");
		h->pseudo |= bit;
		take_pseudo(h, bit, value, value_n);
		return;
	}
	refuse(h, 400, "an unknown pseudo-field");
}

/* --- fields --- */

static bool has_upper(const uint8_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			return true;
	return false;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static void take_cookie(struct h2head *h, const uint8_t *value, size_t n)
{
	bool first = buf_len(&h->cookie) == 0;

	if (!httpmsg_is_value((const char *)value, n))
		refuse(h, 400, "a control byte in a field");
	else if ((!first && buf_append(&h->cookie, "; ", 2) < 0) || buf_append(&h->cookie, value, n) < 0)
		refuse(h, 431, "the head is too long");
}

static void regular(struct h2head *h, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n)
{
	struct httpmsg_refusal why = { 0 };

	h->regular = true;
	if (has_upper(name, name_n))
		refuse(h, 400, "upper case in a field name");
	else if (value_n > 0 && (is_blank(value[0]) || is_blank(value[value_n - 1])))
		refuse(h, 400, "white space around a value");
	else if (h->msg->kind == HTTPMSG_REQUEST && is(name, name_n, "cookie"))
		take_cookie(h, value, value_n);
	else if (httpmsg_add(h->msg, (const char *)name, name_n, (const char *)value, value_n, &why) < 0 && h->why.status == 0)
		h->why = why;
}

void h2head_field(struct h2head *h, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n)
{
	size_t max = h->msg->kind == HTTPMSG_REQUEST ? HTTPMSG_REQUEST_HEAD_MAX : HTTPMSG_RESPONSE_HEAD_MAX;

	h->bytes += name_n + value_n + FIELD_OVERHEAD;
	if (h->bytes > max)
		refuse(h, 431, "the head is too long");
	if (h->why.status)
		return;
	if (name_n > 0 && name[0] == ':')
		pseudo(h, name, name_n, value, value_n);
	else
		regular(h, name, name_n, value, value_n);
}

/* --- the end --- */

static void check_pseudo(struct h2head *h)
{
	bool connect = h->msg->method_id == HTTPMSG_CONNECT;

	if (h->msg->kind == HTTPMSG_RESPONSE) {
		if (!(h->pseudo & STATUS))
			refuse(h, 400, "no :status");
	} else if (!(h->pseudo & METHOD)) {
		refuse(h, 400, "no :method");
	} else if (connect ? (h->pseudo & (SCHEME | PATH)) != 0 : (h->pseudo & (SCHEME | PATH)) != (SCHEME | PATH)) {
		refuse(h, 400, "pseudo-fields that do not fit the method");
	}
}

static int finish_head(struct h2head *h, bool end_stream)
{
	struct httpmsg *m = h->msg;
	int r = 0;

	check_pseudo(h);
	if (h->why.status)
		return -EPROTO;
	if (buf_len(&h->path) > 0)
		r = httpmsg_set_path(m, (const char *)buf_bytes(&h->path), buf_len(&h->path), &h->why);
	if (r == 0 && buf_len(&h->cookie) > 0)
		r = httpmsg_add(m, "cookie", 6, (const char *)buf_bytes(&h->cookie), buf_len(&h->cookie), &h->why);
	return r < 0 ? r : httpmsg_complete(m, end_stream, &h->why);
}

/* Nothing there may frame, route or end at this hop. */
static int finish_trailers(struct h2head *h)
{
	static const uint8_t forbidden[] = { HTTPMSG_F_HOST,	   HTTPMSG_F_CONTENT_LENGTH, HTTPMSG_F_TRANSFER_ENCODING,
					     HTTPMSG_F_CONNECTION, HTTPMSG_F_KEEP_ALIVE,     HTTPMSG_F_PROXY_CONNECTION,
					     HTTPMSG_F_UPGRADE,	   HTTPMSG_F_TE,	     HTTPMSG_F_HTTP2_SETTINGS };

	for (size_t i = 0; i < sizeof(forbidden); i++)
		if (h->msg->seen[forbidden[i]])
			refuse(h, 400, "a field that trailers must not have");
	return h->why.status ? -EPROTO : 0;
}

int h2head_end(struct h2head *h, bool end_stream, struct httpmsg_refusal *why)
{
	int r = h->why.status ? -EPROTO : h->part == H2HEAD_HEAD ? finish_head(h, end_stream) : finish_trailers(h);

	if (r < 0)
		*why = h->why;
	return r;
}

/* --- writing --- */

static void push(struct h2head_out *o, const char *name, const char *value, size_t n)
{
	o->nv[o->n++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
				      .namelen = strlen(name),
				      .value = (uint8_t *)(uintptr_t)value,
				      .valuelen = n };
}

/* "host", and ":port" where it is not the scheme's. */
static void write_authority(const struct httpmsg *m, struct h2head_out *o)
{
	uint16_t usual = m->scheme == DEST_HTTPS ? 443 : 80;

	dest_print(&m->dest, o->authority);
	if (m->dest.port == usual)
		*strrchr(o->authority, ':') = 0;
	push(o, ":authority", o->authority, strlen(o->authority));
}

static void write_pseudo(const struct httpmsg *m, struct h2head_out *o)
{
	const char *scheme = m->scheme == DEST_HTTPS ? "https" : "http";

	if (m->kind == HTTPMSG_RESPONSE) {
		(void)str_format(o->status, sizeof(o->status), "%03u", m->status % 1000U);
		push(o, ":status", o->status, 3);
		return;
	}
	push(o, ":method", httpmsg_str(m, m->method), m->method.n);
	push(o, ":scheme", scheme, strlen(scheme));
	write_authority(m, o);
	push(o, ":path", httpmsg_str(m, m->path), m->path.n);
}

static void write_framing(const struct httpmsg *m, struct h2head_out *o)
{
	bool length = m->body == HTTPMSG_BODY_LENGTH || (m->body == HTTPMSG_BODY_NONE && m->has_length);

	if (length) {
		(void)str_format(o->length, sizeof(o->length), "%llu", (unsigned long long)m->length);
		push(o, "content-length", o->length, strlen(o->length));
	}
	if (m->kind == HTTPMSG_REQUEST && m->te_trailers)
		push(o, "te", "trailers", 8);
}

int h2head_write(struct httpmsg *m, enum h2head_part part, struct h2head_out *ret)
{
	if (part == H2HEAD_HEAD && m->method_id == HTTPMSG_CONNECT)
		return -EINVAL;
	httpmsg_lower(m);
	ret->n = 0;
	if (part == H2HEAD_HEAD) {
		write_pseudo(m, ret);
		write_framing(m, ret);
	}
	if (ret->n + m->nentries > H2HEAD_FIELDS_MAX)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < m->nentries; i++) {
		const struct httpmsg_entry *e = &m->entries[i];

		push(ret, httpmsg_str(m, e->name), httpmsg_str(m, e->value), e->value.n);
		if (e->id == HTTPMSG_F_AUTHORIZATION || e->id == HTTPMSG_F_COOKIE || str_ends(httpmsg_str(m, e->name), "-key") ||
		    str_ends(httpmsg_str(m, e->name), "-token"))
			ret->nv[ret->n - 1].flags = NGHTTP2_NV_FLAG_NO_INDEX;
	}
	return 0;
}
