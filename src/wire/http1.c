/* SPDX-License-Identifier: Apache-2.0
 *
 * http1: see http1.h. The header block is gathered whole (it is bounded), checked line by line by the guard here, and
 * only then shown to llhttp, which must agree; body bytes go through llhttp as they come. What the guard extracts and
 * what llhttp extracts are compared, so that there is one reading of the message.
 */
#include "wire/http1.h"

#include <ctype.h>
#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"

enum state {
	IN_HEAD, /* gathering the header block */
	IN_BODY, /* the block was accepted */
	DONE,    /* complete, waits for http1_next */
	DEAD,
};

struct http1 {
	enum http1_role role;
	enum state state;
	const struct http1_ops *ops; /* borrowed */
	void *user;
	uint64_t max_body;
	uint64_t seen_body;
	struct buf block;
	struct http1_head head;
	llhttp_t parser;
	bool headers_done; /* llhttp agreed; fields after this are trailers */
	int failure;       /* a callback's negative code */
	struct err *err;   /* borrowed during http1_feed */
};

static int refuse(struct http1 *h, int errnum, const char *what)
{
	h->state = DEAD;
	return err_set(h->err, ERR_INVALID, errnum, "bad HTTP %s: %s",
		       h->role == HTTP1_REQUEST ? "request" : "response", what);
}

/* llhttp's callbacks. A non-zero return stops it; `failure` tells why. */

static int fail(llhttp_t *p, int code)
{
	struct http1 *h = p->data;

	h->failure = code;
	return -1;
}

static int on_headers_complete(llhttp_t *p)
{
	struct http1 *h = p->data;
	int r;

	h->headers_done = true;
	if (p->upgrade || (h->role == HTTP1_RESPONSE && p->status_code != h->head.status))
		return fail(p, refuse(h, EPROTO, "the start line reads in two ways"));
	if (!(p->flags & F_CHUNKED) == h->head.chunked ||
	    (!h->head.chunked && (p->flags & F_CONTENT_LENGTH) && p->content_length != h->head.content_length))
		return fail(p, refuse(h, EPROTO, "the body's length reads in two ways"));
	r = h->ops->head ? h->ops->head(h->user, &h->head) : 0;
	return r < 0 ? fail(p, r) : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	struct http1 *h = p->data;
	int r;

	h->seen_body += n;
	if (h->seen_body > h->max_body)
		return fail(p, refuse(h, EMSGSIZE, "the body is too large"));
	r = h->ops->body ? h->ops->body(h->user, (const uint8_t *)at, n) : 0;
	return r < 0 ? fail(p, r) : 0;
}

static int on_chunk_header(llhttp_t *p)
{
	struct http1 *h = p->data;

	if (p->content_length > h->max_body - h->seen_body)
		return fail(p, refuse(h, EMSGSIZE, "the body is too large"));
	return 0;
}

static int on_extension(llhttp_t *p, const char *at, size_t n)
{
	return fail(p, refuse(p->data, EPROTO, "chunk extensions are not accepted"));
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct http1 *h = p->data;

	return h->headers_done ? fail(p, refuse(h, EPROTO, "trailers are not accepted")) : 0;
}

static int on_message_complete(llhttp_t *p)
{
	struct http1 *h = p->data;
	int r;

	h->state = DONE;
	r = h->ops->complete ? h->ops->complete(h->user) : 0;
	return r < 0 ? fail(p, r) : HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_chunk_extension_name = on_extension,
	.on_chunk_extension_value = on_extension,
	.on_header_field = on_field,
	.on_message_complete = on_message_complete,
};

static void reset(struct http1 *h)
{
	llhttp_init(&h->parser, h->role == HTTP1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	h->parser.data = h;
	h->state = IN_HEAD;
	h->seen_body = 0;
	h->headers_done = false;
	h->failure = 0;
	memset(&h->head, 0, sizeof(h->head));
	buf_done(&h->block);
}

struct http1 *http1_new(enum http1_role role, uint64_t max_body, const struct http1_ops *ops, void *user)
{
	struct http1 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->role = role;
	h->max_body = max_body;
	h->ops = ops;
	h->user = user;
	buf_init(&h->block, HTTP1_HEAD_MAX);
	reset(h);
	return h;
}

void http1_free(struct http1 *h)
{
	if (!h)
		return;
	buf_done(&h->block);
	free(h);
}

/* The guard. */

static bool is_token(unsigned char c)
{
	return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* What the fields said, until the whole block was read. */
struct seen {
	bool host, length, coding, upgrade, content_type, expect;
};

static int start_request(struct http1 *h, const char *line, size_t n)
{
	const char *sp = memchr(line, ' ', n), *end = line + n, *version = end - 9;
	size_t m, t;

	if (!sp || n < 14 || memcmp(version, " HTTP/1.1", 9) != 0 || version <= sp)
		return refuse(h, EPROTO, "the request line is not METHOD TARGET HTTP/1.1");
	m = (size_t)(sp - line);
	t = (size_t)(version - sp - 1);
	if (m == 0 || m >= sizeof(h->head.method))
		return refuse(h, EPROTO, "unknown method");
	for (size_t i = 0; i < m; i++)
		if (line[i] < 'A' || line[i] > 'Z')
			return refuse(h, EPROTO, "unknown method");
	if (t >= sizeof(h->head.target))
		return refuse(h, EMSGSIZE, "the target is too long");
	if (t == 0 || sp[1] != '/')
		return refuse(h, EPROTO, "the target must start with '/'");
	for (size_t i = 0; i < t; i++)
		if (sp[1 + i] <= ' ' || sp[1 + i] > '~' || sp[1 + i] == '#')
			return refuse(h, EPROTO, "the target holds a forbidden byte");
	memcpy(h->head.method, line, m);
	memcpy(h->head.target, sp + 1, t);
	return str_eq(h->head.method, "CONNECT") ? refuse(h, EPROTO, "CONNECT is not accepted") : 0;
}

static int start_response(struct http1 *h, const char *line, size_t n)
{
	if (n < 13 || memcmp(line, "HTTP/1.1 ", 9) != 0 || line[12] != ' ')
		return refuse(h, EPROTO, "the status line is not HTTP/1.1 CODE REASON");
	for (size_t i = 9; i < 12; i++)
		if (!isdigit((unsigned char)line[i]))
			return refuse(h, EPROTO, "the status is not a number");
	for (size_t i = 13; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return refuse(h, EPROTO, "control byte in the reason");
	h->head.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	return h->head.status < 200 || h->head.status > 599 ? refuse(h, EPROTO, "unexpected status") : 0;
}

static bool value_is(const char *v, size_t n, const char *want)
{
	return n == strlen(want) && strncasecmp(v, want, n) == 0;
}

static int field_length(struct http1 *h, const char *v, size_t n)
{
	uint64_t length = 0;

	if (n == 0 || n > 18)
		return refuse(h, EPROTO, "Content-Length is not a number");
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)v[i]))
			return refuse(h, EPROTO, "Content-Length is not a number");
		length = length * 10 + (uint64_t)(v[i] - '0');
	}
	if (length > h->max_body)
		return refuse(h, EMSGSIZE, "the body is too large");
	h->head.content_length = length;
	return 0;
}

static void field_type(struct http1_head *head, const char *v, size_t n)
{
	size_t m = 0;

	while (m < n && m < sizeof(head->content_type) - 1 && v[m] != ';' && v[m] != ' ' && v[m] != '\t') {
		head->content_type[m] = (char)tolower((unsigned char)v[m]);
		m++;
	}
}

/* Notes that a field is there; a second one is refused. */
static int once(struct http1 *h, bool *seen)
{
	if (*seen)
		return refuse(h, EPROTO, "a field that may stand once stands twice");
	*seen = true;
	return 0;
}

static int connection(struct http1 *h, const char *v, size_t n)
{
	if (value_is(v, n, "close"))
		h->head.close = true;
	else if (!value_is(v, n, "keep-alive"))
		return refuse(h, EPROTO, "Connection may be close or keep-alive");
	return 0;
}

static int field(struct http1 *h, struct seen *seen, const char *name, size_t m, const char *v, size_t n)
{
	int r = 0;

	if (value_is(name, m, "host")) {
		r = once(h, &seen->host);
	} else if (value_is(name, m, "content-length")) {
		r = once(h, &seen->length);
		if (r == 0)
			r = field_length(h, v, n);
	} else if (value_is(name, m, "transfer-encoding")) {
		r = once(h, &seen->coding);
		h->head.chunked = true;
		if (r == 0 && !value_is(v, n, "chunked"))
			r = refuse(h, EPROTO, "a transfer coding other than chunked");
	} else if (value_is(name, m, "content-type")) {
		r = once(h, &seen->content_type);
		field_type(&h->head, v, n);
	} else if (value_is(name, m, "expect")) {
		r = once(h, &seen->expect);
		h->head.expect_continue = true;
		if (r == 0 && !value_is(v, n, "100-continue"))
			r = refuse(h, EPROTO, "an expectation other than 100-continue");
	} else if (value_is(name, m, "connection")) {
		r = connection(h, v, n);
	} else if (value_is(name, m, "upgrade")) {
		r = refuse(h, EPROTO, "Upgrade is not accepted");
	}
	return r;
}

static int field_line(struct http1 *h, struct seen *seen, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n), *v, *end = line + n;

	if (line[0] == ' ' || line[0] == '\t')
		return refuse(h, EPROTO, "a folded line");
	if (!colon || colon == line)
		return refuse(h, EPROTO, "a field without a name");
	for (const char *c = line; c < colon; c++)
		if (!is_token((unsigned char)*c))
			return refuse(h, EPROTO, "a forbidden byte in a field's name");
	for (v = colon + 1; v < end; v++)
		if (((unsigned char)*v < ' ' && *v != '\t') || *v == 0x7f)
			return refuse(h, EPROTO, "a forbidden byte in a field's value");
	for (v = colon + 1; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return field(h, seen, line, (size_t)(colon - line), v, (size_t)(end - v));
}

/* The whole block, "\r\n\r\n" included. */
static int guard_block(struct http1 *h, const char *block, size_t n)
{
	struct seen seen = { 0 };
	const char *line = block, *end = block + n - 2;
	size_t count = 0;
	bool empty;
	int r;

	for (; line < end; count++) {
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		size_t len;

		if (!lf || lf == line || lf[-1] != '\r')
			return refuse(h, EPROTO, "a line does not end in CR LF");
		if (count > HTTP1_FIELDS_MAX)
			return refuse(h, EMSGSIZE, "too many fields");
		len = (size_t)(lf - line) - 1;
		r = count > 0                  ? field_line(h, &seen, line, len)
		    : h->role == HTTP1_REQUEST ? start_request(h, line, len)
					       : start_response(h, line, len);
		if (r < 0)
			return r;
		line = lf + 1;
	}
	if (seen.length && seen.coding)
		return refuse(h, EPROTO, "both Content-Length and Transfer-Encoding");
	if (h->role == HTTP1_REQUEST)
		return seen.host ? 0 : refuse(h, EPROTO, "no Host");
	empty = h->head.status == 204 || h->head.status == 304;
	if (empty && (h->head.chunked || h->head.content_length > 0))
		return refuse(h, EPROTO, "a body where none may be");
	return empty || seen.length || seen.coding ? 0 : refuse(h, EPROTO, "the body has no length");
}

/* Shows bytes to llhttp; returns how many it took. */
static long execute(struct http1 *h, const char *bytes, size_t n)
{
	llhttp_errno_t e = llhttp_execute(&h->parser, bytes, n);

	if (h->failure < 0) {
		h->state = DEAD;
		return h->failure;
	}
	if (h->state == DONE)
		return e == HPE_PAUSED ? (long)(llhttp_get_error_pos(&h->parser) - bytes) : (long)n;
	if (e != HPE_OK)
		return refuse(h, EPROTO,
			      llhttp_get_error_reason(&h->parser) ? llhttp_get_error_reason(&h->parser) : "malformed");
	return (long)n;
}

/* Gathers the header block; returns how many bytes it took. */
static long feed_head(struct http1 *h, const uint8_t *bytes, size_t n)
{
	size_t had = buf_len(&h->block), from = had < 3 ? 0 : had - 3,
	       take = n < buf_room(&h->block) ? n : buf_room(&h->block);
	const char *all, *end;
	long r;

	if (had == 0 && !isupper(bytes[0]))
		return refuse(h, EPROTO, "it does not start with a start line");
	if (buf_append(&h->block, bytes, take) < 0) {
		h->state = DEAD;
		return err_set(h->err, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	all = (const char *)buf_bytes(&h->block);
	end = memmem(all + from, had + take - from, "\r\n\r\n", 4);
	if (!end) {
		/* A peer that ends its lines with LF alone would wait for ever. */
		if (memmem(all + from, had + take - from, "\n\n", 2))
			return refuse(h, EPROTO, "a line does not end in CR LF");
		return take < n || buf_room(&h->block) == 0 ? refuse(h, EMSGSIZE, "the header block is too large")
							    : (long)take;
	}
	take = (size_t)(end - all) + 4;
	r = guard_block(h, all, take);
	if (r < 0)
		return r;
	h->state = IN_BODY;
	r = execute(h, all, take);
	if (r < 0)
		return r;
	if ((size_t)r != take)
		return refuse(h, EPROTO, "the header block ends in two places");
	buf_done(&h->block);
	return (long)(take - had);
}

long http1_feed(struct http1 *h, const uint8_t *bytes, size_t n, struct err *err)
{
	size_t at = 0;

	h->err = err;
	if (h->state == DEAD)
		return refuse(h, EPROTO, "it was refused before");
	while (at < n && h->state != DONE) {
		long r = h->state == IN_HEAD ? feed_head(h, bytes + at, n - at)
					     : execute(h, (const char *)bytes + at, n - at);

		if (r < 0)
			return r;
		at += (size_t)r;
	}
	h->err = NULL;
	return (long)at;
}

int http1_eof(struct http1 *h, struct err *err)
{
	if (h->state == DONE || (h->state == IN_HEAD && buf_len(&h->block) == 0))
		return 0;
	h->err = err;
	return refuse(h, EPROTO, "the connection ended in the middle");
}

bool http1_is_complete(const struct http1 *h)
{
	return h->state == DONE;
}

bool http1_is_started(const struct http1 *h)
{
	return h->state == IN_BODY || buf_len(&h->block) > 0;
}

void http1_next(struct http1 *h)
{
	if (h->state == DONE)
		reset(h);
}

/* Serializers. */

/* Takes back what was appended since `had`. */
static int undo(struct buf *out, size_t had, int r)
{
	if (r < 0)
		out->tail = out->head + had;
	return r;
}

static bool plain(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '#')
			return false;
	return n > 0 && n <= max;
}

int http1_request(struct buf *out, const char *method, const char *target, const char *json, size_t n)
{
	size_t had = buf_len(out);
	int r;

	if (!plain(method, 15) || !plain(target, HTTP1_TARGET_MAX - 1) || target[0] != '/')
		return -EINVAL;
	r = buf_printf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n", method, target);
	if (r == 0 && json)
		r = buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
	if (r == 0)
		r = buf_append_str(out, "\r\n");
	if (r == 0 && json)
		r = buf_append(out, json, n);
	return undo(out, had, r);
}

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Other";
}

static int response_head(struct buf *out, int status, const char *type, bool close)
{
	int r;

	if (status < 200 || status > 599 || (type && !plain(type, 127)))
		return -EINVAL;
	r = buf_printf(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
	if (r == 0 && type)
		r = buf_printf(out, "Content-Type: %s\r\n", type);
	if (r == 0 && close)
		r = buf_append_str(out, "Connection: close\r\n");
	return r;
}

int http1_response(struct buf *out, int status, const char *type, const void *body, size_t n, bool close)
{
	size_t had = buf_len(out);
	int r = response_head(out, status, type, close);

	if (r == 0)
		r = status == 204 ? buf_append_str(out, "\r\n") : buf_printf(out, "Content-Length: %zu\r\n\r\n", n);
	if (r == 0 && status != 204)
		r = buf_append(out, body, n);
	return undo(out, had, r);
}

int http1_response_chunked(struct buf *out, int status, const char *type, bool close)
{
	size_t had = buf_len(out);
	int r = response_head(out, status, type, close);

	if (r == 0)
		r = buf_append_str(out, "Transfer-Encoding: chunked\r\n\r\n");
	return undo(out, had, r);
}

int http1_chunk(struct buf *out, const void *bytes, size_t n)
{
	size_t had = buf_len(out);
	int r;

	if (n == 0)
		return 0; /* an empty chunk would end the body */
	r = buf_printf(out, "%zx\r\n", n);
	if (r == 0)
		r = buf_append(out, bytes, n);
	if (r == 0)
		r = buf_append_str(out, "\r\n");
	return undo(out, had, r);
}

int http1_chunk_end(struct buf *out)
{
	return buf_append_str(out, "0\r\n\r\n");
}

int http1_continue(struct buf *out)
{
	return buf_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

int http1_encode(struct buf *out, const char *s)
{
	size_t had = buf_len(out);
	int r = 0;

	for (; *s && r == 0; s++) {
		unsigned char c = (unsigned char)*s;

		r = isalnum(c) || strchr("-._~", c) ? buf_append(out, s, 1) : buf_printf(out, "%%%02X", c);
	}
	return undo(out, had, r);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

int http1_decode(char *dst, size_t size, const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)s[i];

		if (c == '%') {
			int high = n - i > 2 ? hex_digit(s[i + 1]) : -1, low = n - i > 2 ? hex_digit(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = high * 16 + low;
			i += 2;
		}
		if (c == 0)
			return -EINVAL;
		if (at + 1 >= size)
			return -ENAMETOOLONG;
		dst[at++] = (char)c;
	}
	if (size == 0)
		return -ENAMETOOLONG;
	dst[at] = 0;
	return 0;
}
