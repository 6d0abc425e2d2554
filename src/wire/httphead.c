/* SPDX-License-Identifier: Apache-2.0
 *
 * httphead: see httphead.h. Enters: bytes of a guest or of an origin. Leaves: a complete struct httpmsg, or a refusal; and the other way, the
 * canonical bytes of one. Lines are gathered in the message's arena and taken apart there; nothing is copied twice.
 */
#include "wire/httphead.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/httprule.h"

#define START_LINE_MAX (HTTPMSG_TARGET_MAX + HTTPMSG_METHOD_MAX + sizeof("  HTTP/1.1\r\n") - 1)

void httphead_init(struct httphead *h, struct httpmsg *msg, enum dest_scheme scheme)
{
	*h = (struct httphead){ .msg = msg };
	httpmsg_reset(msg, scheme);
}

static int read_version(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	if (n != 8 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1'))
		return httpmsg_refuse(m, why, 400, "a version other than HTTP/1.0 and HTTP/1.1");
	m->version = s[7] == '1' ? HTTPMSG_1_1 : HTTPMSG_1_0;
	return 0;
}

static void terminate(struct httpmsg *m, struct httpmsg_span s)
{
	m->arena[s.at + s.n] = 0;
}

/* "http://host:port/path?query": the host becomes authority, the rest path (RFC 9112 3.2.2). */
static int read_absolute(struct httpmsg *m, struct httpmsg_span t, struct httpmsg_refusal *why)
{
	char *s = m->arena + t.at;
	uint32_t skip = strncasecmp(s, "http://", 7) == 0 ? 7 : strncasecmp(s, "https://", 8) == 0 ? 8 : 0;
	uint32_t stop = skip;
	char path[HTTPMSG_TARGET_MAX + 1];

	if (skip == 0 || skip >= t.n)
		return httpmsg_refuse(m, why, 400, "a target that does not fit the method");
	m->form = HTTPMSG_ABSOLUTE;
	m->scheme = skip == 7 ? DEST_HTTP : DEST_HTTPS;
	while (stop < t.n && s[stop] != '/' && s[stop] != '?' && s[stop] != '#')
		stop++;
	if (stop == skip)
		return httpmsg_refuse(m, why, 400, "a target without a host");
	/* One to the left, over a slash that nobody needs any more: there is room for a terminator. */
	memmove(s + skip - 1, s + skip, stop - skip);
	s[stop - 1] = 0;
	m->authority = (struct httpmsg_span){ t.at + skip - 1, stop - skip };
	if (stop < t.n && s[stop] == '/') {
		m->path = (struct httpmsg_span){ t.at + stop, t.n - stop };
		return httprule_path(m, s + stop, t.n - stop, why);
	}
	if (t.n - stop >= sizeof(path))
		return httpmsg_refuse(m, why, 414, "the target is too long");
	path[0] = m->method_id == HTTPMSG_OPTIONS && stop == t.n ? '*' : '/';
	memcpy(path + 1, s + stop, t.n - stop);
	return httpmsg_set_path(m, path, 1 + t.n - stop, why);
}

static int read_target(struct httpmsg *m, struct httpmsg_span t, struct httpmsg_refusal *why)
{
	const char *s = m->arena + t.at;

	if (t.n > HTTPMSG_TARGET_MAX)
		return httpmsg_refuse(m, why, 414, "the target is too long");
	if (m->method_id == HTTPMSG_CONNECT) {
		m->form = HTTPMSG_AUTHORITY;
		m->authority = t;
		return 0; /* httpmsg_complete reads it */
	}
	if (s[0] != '/' && s[0] != '*')
		return read_absolute(m, t, why);
	m->form = s[0] == '/' ? HTTPMSG_ORIGIN : HTTPMSG_ASTERISK;
	m->path = t;
	return httprule_path(m, s, t.n, why);
}

/* Method, one space, target, one space, version. */
static int read_request_line(struct httpmsg *m, struct httpmsg_span line, struct httpmsg_refusal *why)
{
	const char *s = m->arena + line.at, *space = memchr(s, ' ', line.n), *last = memrchr(s, ' ', line.n);
	struct httpmsg_span target;
	int r;

	if (!space || space == last || last == space + 1)
		return httpmsg_refuse(m, why, 400, "not a request line");
	m->method = (struct httpmsg_span){ line.at, (uint32_t)(space - s) };
	target = (struct httpmsg_span){ line.at + m->method.n + 1, (uint32_t)(last - space) - 1 };
	r = httprule_method(m, s, m->method.n, why);
	if (r == 0)
		r = read_version(m, last + 1, line.n - (size_t)(last + 1 - s), why);
	if (r < 0)
		return r;
	terminate(m, m->method);
	terminate(m, target);
	return read_target(m, target, why);
}

/* Version, one space, three digits; then nothing, or a space and a phrase, which is dropped. */
static int read_status_line(struct httpmsg *m, struct httpmsg_span line, struct httpmsg_refusal *why)
{
	const char *s = m->arena + line.at;

	if (line.n < 12 || s[8] != ' ' || read_version(m, s, 8, why) < 0 || (line.n > 12 && s[12] != ' ') ||
	    !httpmsg_is_value(s + 12, line.n - 12))
		return httpmsg_refuse(m, why, 502, "not a status line");
	for (int i = 9; i < 12; i++)
		if (s[i] < '0' || s[i] > '9')
			return httpmsg_refuse(m, why, 502, "not a status line");
	m->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
	if (m->status < 100 || m->status > 599)
		return httpmsg_refuse(m, why, 502, "a status that is none");
	return 0;
}

static int read_field(struct httpmsg *m, struct httpmsg_span line, struct httpmsg_refusal *why)
{
	const char *s = m->arena + line.at, *colon = memchr(s, ':', line.n);
	struct httpmsg_span name, value;

	if (s[0] == ' ' || s[0] == '\t')
		return httpmsg_refuse(m, why, 400, "a folded line");
	if (!colon)
		return httpmsg_refuse(m, why, 400, "a field without a colon");
	name = (struct httpmsg_span){ line.at, (uint32_t)(colon - s) };
	value = (struct httpmsg_span){ line.at + name.n + 1, line.n - name.n - 1 };
	for (s = m->arena; value.n > 0 && (s[value.at] == ' ' || s[value.at] == '\t'); value.n--)
		value.at++;
	while (value.n > 0 && (s[value.at + value.n - 1] == ' ' || s[value.at + value.n - 1] == '\t'))
		value.n--;
	return httpmsg_push(m, name, value, why);
}

/* One line has come, its LF included. */
static int read_line(struct httphead *h, struct httpmsg_refusal *why)
{
	struct httpmsg *m = h->msg;
	struct httpmsg_span line = { h->line, m->arena_n - h->line };
	int r;

	if (line.n < 2 || m->arena[m->arena_n - 2] != '\r')
		return httpmsg_refuse(m, why, 400, "a line that does not end in CRLF");
	line.n -= 2;
	h->line = m->arena_n;
	if (line.n == 0 && h->started) {
		h->done = true;
		return httpmsg_complete(m, false, why);
	}
	if (line.n == 0) {
		if (h->skipped || m->kind == HTTPMSG_RESPONSE)
			return httpmsg_refuse(m, why, 400, "empty lines before the message");
		h->skipped = true;
		return 0;
	}
	if (h->started)
		return read_field(m, line, why);
	h->started = true;
	r = m->kind == HTTPMSG_REQUEST ? read_request_line(m, line, why) : read_status_line(m, line, why);
	h->line = m->arena_n; /* a path may have been added */
	return r;
}

/* Appends up to the next LF, within bounds. */
static int gather(struct httphead *h, const char *s, size_t n, struct httpmsg_refusal *why)
{
	struct httpmsg *m = h->msg;
	bool request = m->kind == HTTPMSG_REQUEST;

	if (request && !h->started && m->arena_n - h->line + n > START_LINE_MAX)
		return httpmsg_refuse(m, why, 414, "the target is too long");
	if (m->arena_n + n > (request ? HTTPMSG_REQUEST_HEAD_MAX : HTTPMSG_RESPONSE_HEAD_MAX))
		return httpmsg_refuse(m, why, 431, "the head is too long");
	return httpmsg_raw(m, s, n, why);
}

/* The beginning of a first line. Other protocols' greetings may have no line at all: nobody waits for its end. */
static int check_beginning(const struct httphead *h, struct httpmsg_refusal *why)
{
	const struct httpmsg *m = h->msg;

	if (m->kind == HTTPMSG_RESPONSE || h->started || httphead_sniff(m->arena + h->line, m->arena_n - h->line) >= 0)
		return 0;
	return httpmsg_refuse(m, why, 400, "not a request line");
}

long httphead_feed(struct httphead *h, const void *bytes, size_t n, struct httpmsg_refusal *why)
{
	const char *s = bytes;
	size_t at = 0;
	int r = 0;

	if (h->dead)
		return httpmsg_refuse(h->msg, why, 400, "an earlier fault");
	while (at < n && !h->done) {
		const char *lf = memchr(s + at, '\n', n - at);
		size_t take = lf ? (size_t)(lf - (s + at)) + 1 : n - at;

		r = gather(h, s + at, take, why);
		at += take;
		if (r == 0)
			r = lf ? read_line(h, why) : check_beginning(h, why);
		if (r < 0) {
			h->dead = true;
			h->done = false;
			return r;
		}
	}
	return (long)at;
}

int httphead_sniff(const void *bytes, size_t n)
{
	const char *s = bytes;
	size_t at = 0;

	if (n >= 2 && s[0] == '\r' && s[1] == '\n')
		at = 2;
	else if (n == 1 && s[0] == '\r')
		return 0;
	for (size_t i = at; i < n; i++) {
		if (s[i] == ' ')
			return i > at ? 1 : -1;
		if (i - at >= HTTPMSG_METHOD_MAX || !((s[i] >= 'A' && s[i] <= 'Z') || s[i] == '-' || s[i] == '_' ||
						     (i > at && s[i] >= '0' && s[i] <= '9')))
			return -1;
	}
	return 0;
}
