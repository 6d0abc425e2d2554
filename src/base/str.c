/* SPDX-License-Identifier: Apache-2.0
 *
 * str: see str.h.
 */
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/own.h"

int str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

char *str_new(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* Reads decimal digits at *s and moves past them. */
static int digits(const char **s, uint64_t *ret)
{
	uint64_t v = 0;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	for (; **s >= '0' && **s <= '9'; (*s)++)
		if (__builtin_mul_overflow(v, 10U, &v) || __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return -ERANGE;
	*ret = v;
	return 0;
}

int str_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r = digits(&s, &v);

	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int str_bytes(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "bkmgt";
	uint64_t v;
	const char *unit;
	int r = digits(&s, &v);

	if (r < 0)
		return r;
	if (*s) {
		unit = strchr(units, *s | 0x20);
		if (!unit)
			return -EINVAL;
		if (__builtin_mul_overflow(v, UINT64_C(1) << (10 * (unit - units)), &v))
			return -ERANGE;
		s++;
		if (*unit != 'b' && (*s | 0x20) == 'i' && (s[1] | 0x20) == 'b')
			s += 2;
		else if (*unit != 'b' && (*s | 0x20) == 'b')
			s++;
		if (*s)
			return -EINVAL;
	}
	*ret_bytes = v;
	return 0;
}

int str_duration(const char *s, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "h", 3600000 } };
	uint64_t v;
	int r = digits(&s, &v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(s, units[i].name)) {
			if (__builtin_mul_overflow(v, units[i].ms, &v))
				return -ERANGE;
			*ret_ms = v;
			return 0;
		}
	return -EINVAL;
}

void str_hex(char *dst, const uint8_t *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = hex[bytes[i] >> 4];
		dst[2 * i + 1] = hex[bytes[i] & 15];
	}
	dst[2 * n] = 0;
}

char *str_random_hex(size_t n)
{
	auto_free uint8_t *raw = malloc(n);
	char *s;

	if (!raw || getrandom(raw, n, 0) != (ssize_t)n)
		return NULL;
	s = malloc(2 * n + 1);
	if (s)
		str_hex(s, raw, n);
	return s;
}

void str_escape(char *dst, size_t size, const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '\\';

		if (at + (plain ? 1 : 4) >= size)
			break;
		if (plain)
			dst[at++] = (char)c;
		else
			at += (size_t)snprintf(dst + at, size - at, "\\x%02x", c);
	}
	if (size)
		dst[at] = 0;
}
