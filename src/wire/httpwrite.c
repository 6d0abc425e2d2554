/* SPDX-License-Identifier: Apache-2.0
 *
 * httpwrite: the writing half of httphead.h. Enters: a complete message whose hop-by-hop fields were stripped. Leaves: its only spelling. Since
 * every part was checked when it was read or put, no byte here needs to be looked at again.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wire/httphead.h"
#include "wire/httprule.h"

/* What surrounds the fields: versions, Host, framing, Connection. */
#define FRAME_MAX (256 + 2 * DEST_PRINT_MAX)

static char *put(char *p, const char *s, size_t n)
{
	memcpy(p, s, n);
	return p + n;
}

#define PUT(p, literal) put(p, literal, sizeof(literal) - 1)

static char *put_u64(char *p, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

/* The most bytes that m takes. */
static size_t room_for(const struct httpmsg *m)
{
	size_t n = FRAME_MAX + m->method.n + m->path.n + m->phrase.n;

	for (uint32_t i = 0; i < m->nentries; i++)
		n += m->entries[i].name.n + m->entries[i].value.n + 4;
	return n;
}

static char *put_fields(char *p, const struct httpmsg *m)
{
	for (uint32_t i = 0; i < m->nentries; i++) {
		const struct httpmsg_entry *e = &m->entries[i];

		assert(!httprule_is_framing((enum httpmsg_field)e->id) && e->id != HTTPMSG_F_CONNECTION);
		p = put(p, m->arena + e->name.at, e->name.n);
		p = PUT(p, ": ");
		p = put(p, m->arena + e->value.at, e->value.n);
		p = PUT(p, "\r\n");
	}
	return PUT(p, "\r\n");
}

/* A 426 must say what is to be spoken instead (RFC 9110, 15.5.22). Only these two are spoken here. */
static char *put_required(char *p, const struct httpmsg *m)
{
	p = m->close ? PUT(p, "Connection: close, Upgrade\r\n") : PUT(p, "Connection: Upgrade\r\n");
	return m->to_websocket ? PUT(p, "Upgrade: HTTP/1.1\r\n") : PUT(p, "Upgrade: websocket\r\n");
}

static char *put_framing(char *p, const struct httpmsg *m)
{
	if (m->body == HTTPMSG_BODY_LENGTH || (m->body == HTTPMSG_BODY_NONE && m->has_length)) {
		p = PUT(p, "Content-Length: ");
		p = put_u64(p, m->length);
		p = PUT(p, "\r\n");
	} else if (m->body == HTTPMSG_BODY_CHUNKED) {
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	}
	if (m->websocket)
		p = PUT(p, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	else if (m->kind == HTTPMSG_RESPONSE && m->status == 426)
		p = put_required(p, m);
	else if (m->close)
		p = PUT(p, "Connection: close\r\n");
	return p;
}

/* "host", and ":port" where it is not the scheme's or always. */
static char *put_host(char *p, const struct dest *d, bool always)
{
	char text[DEST_PRINT_MAX], *colon;

	dest_print(d, text);
	colon = strrchr(text, ':');
	if (!always && ((d->scheme == DEST_HTTP && d->port == 80) || (d->scheme == DEST_HTTPS && d->port == 443)))
		*colon = 0;
	return put(p, text, strlen(text));
}

int httphead_write_request(struct buf *out, const struct httpmsg *m, enum httphead_target target)
{
	size_t room = room_for(m);
	char *begin, *p;

	assert(m->kind == HTTPMSG_REQUEST && m->method.n > 0);
	if (room > buf_room(out))
		return -EMSGSIZE;
	begin = p = (char *)buf_reserve(out, room);
	if (!p)
		return -ENOMEM;
	p = put(p, m->arena + m->method.at, m->method.n);
	p = PUT(p, " ");
	if (m->method_id == HTTPMSG_CONNECT) {
		p = put_host(p, &m->dest, true);
	} else {
		if (target == HTTPHEAD_ABSOLUTE) {
			p = m->scheme == DEST_HTTPS ? PUT(p, "https://") : PUT(p, "http://");
			p = put_host(p, &m->dest, false);
		}
		/* Of OPTIONS for a whole server the absolute form has no path. */
		if (target != HTTPHEAD_ABSOLUTE || m->arena[m->path.at] != '*')
			p = put(p, m->arena + m->path.at, m->path.n);
	}
	p = PUT(p, " HTTP/1.1\r\nHost: ");
	p = put_host(p, &m->dest, m->method_id == HTTPMSG_CONNECT);
	p = PUT(p, "\r\n");
	p = put_framing(p, m);
	p = put_fields(p, m);
	assert((size_t)(p - begin) <= room);
	buf_commit(out, (size_t)(p - begin));
	return 0;
}

int httphead_write_response(struct buf *out, const struct httpmsg *m)
{
	const char *phrase = m->phrase.n ? httpmsg_str(m, m->phrase) : httphead_phrase(m->status);
	size_t room = room_for(m);
	char *begin, *p;

	assert(m->kind == HTTPMSG_RESPONSE && m->status >= 100 && m->status <= 599);
	if (room > buf_room(out))
		return -EMSGSIZE;
	begin = p = (char *)buf_reserve(out, room);
	if (!p)
		return -ENOMEM;
	p = PUT(p, "HTTP/1.1 ");
	p = put_u64(p, m->status);
	p = PUT(p, " ");
	p = put(p, phrase, strlen(phrase));
	p = PUT(p, "\r\n");
	p = put_framing(p, m);
	p = put_fields(p, m);
	assert((size_t)(p - begin) <= room);
	buf_commit(out, (size_t)(p - begin));
	return 0;
}

const char *httphead_phrase(unsigned int status)
{
	static const char *const phrases[600] = {
		[100] = "Continue", [101] = "Switching Protocols", [102] = "Processing", [103] = "Early Hints",
		[200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information",
		[204] = "No Content", [205] = "Reset Content", [206] = "Partial Content", [207] = "Multi-Status",
		[300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
		[304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
		[400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden",
		[404] = "Not Found", [405] = "Method Not Allowed", [406] = "Not Acceptable",
		[407] = "Proxy Authentication Required", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
		[411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large",
		[414] = "URI Too Long", [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable",
		[417] = "Expectation Failed", [421] = "Misdirected Request", [422] = "Unprocessable Content",
		[423] = "Locked", [424] = "Failed Dependency", [425] = "Too Early", [426] = "Upgrade Required",
		[428] = "Precondition Required", [429] = "Too Many Requests",
		[431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
		[500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
		[503] = "Service Unavailable", [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
		[507] = "Insufficient Storage", [511] = "Network Authentication Required",
	};

	return status < 600 && phrases[status] ? phrases[status] : "";
}
