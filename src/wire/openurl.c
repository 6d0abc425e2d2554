/* SPDX-License-Identifier: Apache-2.0
 *
 * openurl: see openurl.h.
 */
#include "wire/openurl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

/* Written with a percent sign wherever it stands behind the host (WHATWG URL, the union of its percent-encode sets but for the quote ', which
 * many servers expect as it is). */
static bool is_encoded(unsigned char c)
{
	return c >= 0x80 || strchr("\"<>^`{|}", c);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum openurl_refusal check_bytes(const char *s, size_t n, const char **why)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= 0x20 || c == 0x7f) {
			*why = "it has a control byte or a blank";
			return OPENURL_BYTE;
		}
		if (c == '\\') {
			*why = "it has a backslash";
			return OPENURL_BACKSLASH;
		}
	}
	return OPENURL_OK;
}

/* Length of "http://" or "https://" at the head, in any case; 0: neither. */
static size_t read_scheme(const char *s, size_t n, enum dest_scheme *ret)
{
	static const struct {
		const char *text;
		enum dest_scheme scheme;
	} known[] = { { "http://", DEST_HTTP }, { "https://", DEST_HTTPS } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t len = strlen(known[i].text);

		if (n >= len && strncasecmp(s, known[i].text, len) == 0) {
			*ret = known[i].scheme;
			return len;
		}
	}
	return 0;
}

/* Up to the end of s or the first of the bytes in stop. */
static size_t span_until(const char *s, size_t n, const char *stop)
{
	size_t i = 0;

	while (i < n && !strchr(stop, s[i]))
		i++;
	return i;
}

static uint16_t usual_port(enum dest_scheme scheme)
{
	return scheme == DEST_HTTP ? 80 : 443;
}

/* "https://host", ":port" where it is not the scheme's. */
static size_t write_origin(const struct dest *d, char *dst, size_t size)
{
	const char *open = d->kind == DEST_V6 ? "[" : "", *close = d->kind == DEST_V6 ? "]" : "";
	int n;

	if (d->port == usual_port(d->scheme))
		n = snprintf(dst, size, "%s://%s%s%s", dest_scheme_name(d->scheme), open, d->host, close);
	else
		n = snprintf(dst, size, "%s://%s%s%s:%u", dest_scheme_name(d->scheme), open, d->host, close, d->port);
	return (size_t)n;
}

/* Path, query and fragment behind the origin, encoded. */
static int write_rest(struct openurl *u, const char *s, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t at = u->path_at;

	if (n == 0 || s[0] != '/')
		u->text[at++] = '/';
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (at + 3 > OPENURL_MAX)
			return -EMSGSIZE;
		if (is_encoded(c)) {
			u->text[at++] = '%';
			u->text[at++] = hex[c >> 4];
			u->text[at++] = hex[c & 15];
		} else {
			u->text[at++] = (char)c;
		}
	}
	u->text[at] = 0;
	return 0;
}

/* --- the callback --- */

/* A query value, decoded. -EINVAL: a NUL, a broken escape, or longer than dst. */
static int decode(const char *s, size_t n, char *dst, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		char c = s[i] == '+' ? ' ' : s[i];

		if (c == '%') {
			int hi = i + 2 < n ? nibble(s[i + 1]) : -1, lo = i + 2 < n ? nibble(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (c == 0 || at + 1 >= size)
			return -EINVAL;
		dst[at++] = c;
	}
	dst[at] = 0;
	return 0;
}

static bool is_loopback(const struct dest *d)
{
	static const uint8_t v6[16] = { [15] = 1 }, any[16] = { 0 };

	switch (d->kind) {
	case DEST_NAME:
		return strcmp(d->host, "localhost") == 0 || dest_is_within(d, "localhost");
	case DEST_V4:
		return d->addr[0] == 127 || memcmp(d->addr, any, 4) == 0;
	default:
		return memcmp(d->addr, v6, sizeof(v6)) == 0 || memcmp(d->addr, any, sizeof(any)) == 0;
	}
}

/* A redirect URI, decoded. True where it is a callback. */
static bool read_callback(const char *s, struct openurl_callback *ret)
{
	struct openurl_callback cb = { 0 };
	size_t n = strlen(s), authority, path;
	enum dest_scheme scheme;
	const char *why;
	struct dest d;
	size_t from = read_scheme(s, n, &scheme);

	if (from == 0 || scheme != DEST_HTTP || check_bytes(s, n, &why) != OPENURL_OK)
		return false;
	authority = span_until(s + from, n - from, "/?#");
	if (dest_parse_authority(s + from, authority, 80, DEST_HTTP, &d) != DEST_OK || !is_loopback(&d) ||
	    d.port < OPENURL_CALLBACK_PORT_MIN || strlen(d.host) >= sizeof(cb.host))
		return false;
	/* Only what can be listened on as it is written. */
	if (strcmp(d.host, "localhost") != 0 && strcmp(d.host, "127.0.0.1") != 0 && strcmp(d.host, "::1") != 0)
		return false;
	from += authority;
	path = span_until(s + from, n - from, "?#");
	if (path > OPENURL_CALLBACK_PATH_MAX)
		return false;
	(void)snprintf(cb.host, sizeof(cb.host), "%s", d.host);
	(void)snprintf(cb.path, sizeof(cb.path), "%.*s", path ? (int)path : 1, path ? s + from : "/");
	for (const char *p = cb.path; *p; p++)
		if ((unsigned char)*p >= 0x80)
			return false;
	cb.port = d.port;
	*ret = cb;
	return true;
}

static bool is_redirect(const char *name, size_t n)
{
	static const char *const names[] = { "redirect_uri", "redirect_url", "callback", "callback_url" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == n && memcmp(name, names[i], n) == 0)
			return true;
	return false;
}

/* The first member of the query that is one. */
static void find_callback(struct openurl *u)
{
	const char *s = strchr(u->text, '?');
	size_t n = s ? strcspn(++s, "#") : 0, len;

	for (size_t at = 0; at < n; at += len + 1) {
		char value[1024];
		const char *eq;

		len = span_until(s + at, n - at, "&");
		eq = memchr(s + at, '=', len);
		if (!eq || !is_redirect(s + at, (size_t)(eq - s) - at))
			continue;
		if (decode(eq + 1, (size_t)(s + at + len - eq) - 1, value, sizeof(value)) == 0 && read_callback(value, &u->callback))
			return;
	}
}

/* --- the whole --- */

enum openurl_refusal openurl_parse(const char *s, size_t n, struct openurl *ret, const char **ret_why)
{
	enum openurl_refusal r = check_bytes(s, n, ret_why);
	enum dest_scheme scheme;
	enum dest_refusal host;
	size_t from, authority;

	memset(ret, 0, sizeof(*ret));
	if (r != OPENURL_OK)
		return r;
	*ret_why = "only http:// and https:// can be opened";
	from = read_scheme(s, n, &scheme);
	if (from == 0)
		return OPENURL_SCHEME;
	authority = span_until(s + from, n - from, "/?#");
	host = dest_parse_authority(s + from, authority, usual_port(scheme), scheme, &ret->dest);
	*ret_why = dest_refusal_text(host);
	if (host != DEST_OK)
		return OPENURL_HOST;
	from += authority;
	ret->path_at = write_origin(&ret->dest, ret->text, sizeof(ret->text));
	if (n > OPENURL_MAX || write_rest(ret, s + from, n - from) < 0) {
		*ret_why = "it is longer than 8 KiB";
		return OPENURL_LONG;
	}
	find_callback(ret);
	return OPENURL_OK;
}

int openurl_move(struct openurl *u, const char *host, uint16_t port)
{
	char rest[OPENURL_MAX + 1], origin[DEST_PRINT_MAX + 16];
	struct dest d;
	size_t n;

	if (dest_make(host, strlen(host), port, u->dest.scheme, &d) != DEST_OK)
		return -EINVAL;
	(void)snprintf(rest, sizeof(rest), "%s", u->text + u->path_at);
	n = write_origin(&d, origin, sizeof(origin));
	if (n + strlen(rest) > OPENURL_MAX)
		return -EMSGSIZE;
	memcpy(u->text, origin, n);
	memcpy(u->text + n, rest, strlen(rest) + 1);
	u->path_at = n;
	u->dest = d;
	return 0;
}

bool openurl_is_local(const struct openurl *u)
{
	return is_loopback(&u->dest);
}

void openurl_origin(const struct openurl *u, char dst[DEST_PRINT_MAX + 8])
{
	char where[DEST_PRINT_MAX];

	dest_print(&u->dest, where);
	(void)snprintf(dst, DEST_PRINT_MAX + 8, "%s://%s", dest_scheme_name(u->dest.scheme), where);
}

void openurl_request(const struct openurl *u, char dst[OPENURL_MAX + 1])
{
	(void)snprintf(dst, OPENURL_MAX + 1, "%.*s", (int)strcspn(u->text + u->path_at, "#"), u->text + u->path_at);
}

int openurl_next(const struct openurl_callback *from, const char *location, size_t n, char dst[OPENURL_MAX + 1])
{
	bool v6 = strchr(from->host, ':') != NULL;
	char text[OPENURL_MAX + 1], own[DEST_PRINT_MAX + 8];
	struct openurl u;
	const char *why;
	int r;

	/* "//host/x" leads to another host. */
	if (n > 1 && location[0] == '/' && location[1] != '/')
		r = snprintf(text, sizeof(text), "http://%s%s%s:%u%.*s", v6 ? "[" : "", from->host, v6 ? "]" : "", (unsigned)from->port, (int)(n < OPENURL_MAX ? n : OPENURL_MAX), location);
	else
		r = snprintf(text, sizeof(text), "%.*s", (int)(n < OPENURL_MAX ? n : OPENURL_MAX), location);
	if (n > OPENURL_MAX || r < 0 || (size_t)r >= sizeof(text) || openurl_parse(text, (size_t)r, &u, &why) != OPENURL_OK)
		return -EINVAL;
	openurl_origin(&u, text);
	(void)snprintf(own, sizeof(own), "http://%s%s%s:%u", v6 ? "[" : "", from->host, v6 ? "]" : "", (unsigned)from->port);
	if (strcmp(text, own) != 0)
		return -EINVAL;
	openurl_request(&u, dst);
	return 0;
}
