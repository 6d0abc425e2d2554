/* SPDX-License-Identifier: Apache-2.0
 *
 * dest: see dest.h. Enters: bytes that a guest, a person or a server wrote. Leaves: a struct that holds exactly one
 * reading of them, or the reason why there is none.
 */
#include "wire/dest.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

#define LABEL_MAX 63

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Why c cannot stand in a host at all, whatever kind of host it is. */
static enum dest_refusal byte_fault(char c)
{
	if ((unsigned char)c >= 0x80)
		return DEST_NOT_ASCII;
	if (c == '@')
		return DEST_USERINFO;
	if (c == '[' || c == ']')
		return DEST_BRACKETS;
	c = lower(c);
	if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_' || c == '.')
		return DEST_OK;
	return DEST_BYTE;
}

/* WHATWG URL 3.5: the last label is all digits, or 0x and hexadecimal digits (possibly none). */
static bool ends_in_number(const char *s, size_t n)
{
	const char *dot = memrchr(s, '.', n);
	const char *p = dot ? dot + 1 : s, *end = s + n;
	bool hex = end - p >= 2 && p[0] == '0' && p[1] == 'x';

	for (p += hex ? 2 : 0; p < end; p++)
		if (!(hex ? is_hex(*p) : is_digit(*p)))
			return false;
	return true;
}

/* Exactly four decimal numbers up to 255 without leading zeros. */
static bool parse_quad(const char *s, size_t n, uint8_t ret[4])
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned int v = 0;
		size_t begin = at;

		for (; at < n && is_digit(s[at]) && at - begin < 3; at++)
			v = v * 10 + (unsigned int)(s[at] - '0');
		if (at == begin || v > 255 || (s[begin] == '0' && at - begin > 1))
			return false;
		ret[i] = (uint8_t)v;
		if (i < 3 && (at >= n || s[at++] != '.'))
			return false;
	}
	return at == n;
}

static enum dest_refusal make_v6(const char *s, size_t n, struct dest *d)
{
	char text[INET6_ADDRSTRLEN];

	if (memchr(s, '%', n))
		return DEST_ZONE;
	for (size_t i = 0; i < n; i++)
		if (!is_hex(s[i]) && s[i] != ':' && s[i] != '.')
			return byte_fault(s[i]) == DEST_OK ? DEST_IPV6 : byte_fault(s[i]);
	if (n >= sizeof(text))
		return DEST_IPV6;
	memcpy(text, s, n);
	text[n] = 0;
	if (inet_pton(AF_INET6, text, d->addr) != 1 || !inet_ntop(AF_INET6, d->addr, d->host, INET6_ADDRSTRLEN))
		return DEST_IPV6;
	d->kind = DEST_V6;
	return DEST_OK;
}

static enum dest_refusal make_name(const char *s, size_t n, struct dest *d)
{
	bool dot = n > 0 && s[n - 1] == '.';
	size_t label = 0;

	n -= dot;
	if (n == 0)
		return dot ? DEST_LABEL_EMPTY : DEST_EMPTY;
	for (size_t i = 0; i < n; i++) {
		enum dest_refusal r = byte_fault(s[i]);

		if (r != DEST_OK)
			return r;
	}
	if (n > DEST_HOST_MAX)
		return DEST_NAME_LENGTH;
	for (size_t i = 0; i < n; i++) {
		d->host[i] = lower(s[i]);
		label = s[i] == '.' ? 0 : label + 1;
		if (label == 0 && (i == 0 || i + 1 == n || s[i - 1] == '.'))
			return DEST_LABEL_EMPTY;
		if (label > LABEL_MAX)
			return DEST_LABEL_LENGTH;
	}
	d->kind = DEST_NAME;
	if (!ends_in_number(d->host, n))
		return DEST_OK;
	if (dot || !parse_quad(d->host, n, d->addr))
		return DEST_NUMBER;
	d->kind = DEST_V4;
	return DEST_OK;
}

enum dest_refusal dest_make(const char *host, size_t n, uint16_t port, enum dest_scheme scheme, struct dest *ret)
{
	struct dest d;
	enum dest_refusal r;

	memset(&d, 0, sizeof(d));
	if (n == 0)
		return DEST_EMPTY;
	if (port == 0)
		return DEST_PORT;
	r = memchr(host, ':', n) ? make_v6(host, n, &d) : make_name(host, n, &d);
	if (r != DEST_OK)
		return r;
	/* inet_ntop may have left bytes behind the terminator of a longer attempt; equal means equal in every byte. */
	memset(d.host + strlen(d.host), 0, sizeof(d.host) - strlen(d.host));
	d.port = port;
	d.scheme = scheme;
	*ret = d;
	return DEST_OK;
}

enum dest_refusal dest_parse_port(const char *s, size_t n, uint16_t *ret)
{
	unsigned int v = 0;

	if (n == 0 || n > 5 || s[0] == '0')
		return DEST_PORT;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s[i]))
			return DEST_PORT;
		v = v * 10 + (unsigned int)(s[i] - '0');
	}
	if (v > UINT16_MAX)
		return DEST_PORT;
	*ret = (uint16_t)v;
	return DEST_OK;
}

/* Splits into host and what follows it; *ret_rest is "" or begins with ':'. */
static enum dest_refusal split(const char *s, size_t n, size_t *ret_from, size_t *ret_host, size_t *ret_rest)
{
	const char *end;

	if (n == 0)
		return DEST_EMPTY;
	if (memchr(s, '@', n))
		return DEST_USERINFO;
	if (s[0] == '[') {
		end = memchr(s, ']', n);
		if (!end || (end + 1 < s + n && end[1] != ':'))
			return DEST_BRACKETS;
		*ret_from = 1;
		*ret_host = (size_t)(end - s) - 1;
		*ret_rest = (size_t)(end - s) + 1;
		if (*ret_host > 0 && !memchr(s + 1, ':', *ret_host))
			return DEST_IPV6;
		return DEST_OK;
	}
	end = memchr(s, ':', n);
	*ret_from = 0;
	*ret_host = *ret_rest = end ? (size_t)(end - s) : n;
	return DEST_OK;
}

enum dest_refusal dest_parse_authority(const char *s, size_t n, uint16_t default_port, enum dest_scheme scheme,
				       struct dest *ret)
{
	size_t from, host, rest;
	uint16_t port = default_port;
	enum dest_refusal r = split(s, n, &from, &host, &rest);

	if (r != DEST_OK)
		return r;
	if (rest < n) {
		r = dest_parse_port(s + rest + 1, n - rest - 1, &port);
		/* "::1:80" and "a:1:2" are the same mistake to us: more than one colon and no brackets. */
		if (r != DEST_OK)
			return from == 0 && memchr(s + rest + 1, ':', n - rest - 1) ? DEST_BRACKETS : r;
	}
	if (host == 0)
		return DEST_EMPTY;
	if (port == 0)
		return DEST_PORT_MISSING;
	return dest_make(s + from, host, port, scheme, ret);
}

bool dest_same_host(const struct dest *a, const struct dest *b)
{
	return a->kind == b->kind && memcmp(a->host, b->host, sizeof(a->host)) == 0;
}

bool dest_equal(const struct dest *a, const struct dest *b)
{
	return a->port == b->port && dest_same_host(a, b);
}

void dest_print(const struct dest *d, char dst[DEST_PRINT_MAX])
{
	if (d->kind == DEST_V6)
		(void)snprintf(dst, DEST_PRINT_MAX, "[%s]:%u", d->host, d->port);
	else
		(void)snprintf(dst, DEST_PRINT_MAX, "%s:%u", d->host, d->port);
}

bool dest_is_within(const struct dest *d, const char *host)
{
	size_t n = strlen(d->host), m = strlen(host);

	if (d->kind != DEST_NAME || n < m || memcmp(d->host + n - m, host, m) != 0)
		return false;
	return n == m || (m > 0 && d->host[n - m - 1] == '.');
}

const char *dest_refusal_text(enum dest_refusal r)
{
	static const char *const texts[DEST_REFUSALS] = {
		[DEST_OK] = "it is well formed",
		[DEST_EMPTY] = "the host is empty",
		[DEST_NAME_LENGTH] = "the host name is longer than 253 bytes",
		[DEST_LABEL_EMPTY] = "the host name has an empty label",
		[DEST_LABEL_LENGTH] = "the host name has a label of more than 63 bytes",
		[DEST_NOT_ASCII] = "the host name is not ASCII (write its A-label, xn--...)",
		[DEST_BYTE] = "the host name has a byte that no host name has",
		[DEST_USERINFO] = "a user name before the host is not accepted",
		[DEST_NUMBER] = "the host ends in a number and is no IPv4 address in plain decimal",
		[DEST_IPV6] = "it is no IPv6 address",
		[DEST_ZONE] = "an IPv6 address with a zone is not accepted",
		[DEST_BRACKETS] = "an IPv6 address needs brackets around it, and nothing else has them",
		[DEST_PORT_MISSING] = "the port is missing",
		[DEST_PORT] = "the port is not a plain number from 1 to 65535",
	};

	return (size_t)r < ARRAY_LEN(texts) ? texts[r] : "it is not accepted";
}

const char *dest_scheme_name(enum dest_scheme scheme)
{
	return scheme == DEST_HTTP ? "http" : scheme == DEST_HTTPS ? "https" : "tcp";
}
