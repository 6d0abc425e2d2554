/* SPDX-License-Identifier: Apache-2.0
 *
 * openmsg: see openmsg.h.
 */
#include "wire/openmsg.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_text(const char *s, size_t n)
{
	if (n == 0 || n > OPENMSG_TEXT_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return true;
}

/* Digits without a leading zero; returns how many, 0: none, or too large. */
static size_t read_id(const char *s, size_t n, uint32_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < n && s[i] >= '0' && s[i] <= '9' && i < 11; i++)
		v = v * 10 + (uint64_t)(s[i] - '0');
	if (i == 0 || s[0] == '0' || v > UINT32_MAX)
		return 0;
	*ret = (uint32_t)v;
	return i;
}

long openmsg_take(const uint8_t *bytes, size_t n, struct openmsg *ret)
{
	const char *s = (const char *)bytes, *end = n ? memchr(s, '\n', n < OPENMSG_LINE_MAX ? n : OPENMSG_LINE_MAX) : NULL;
	size_t len, digits;
	uint32_t id;

	if (!end)
		return n >= OPENMSG_LINE_MAX ? -EPROTO : 0;
	len = (size_t)(end - s);
	digits = read_id(s, len, &id);
	if (digits == 0 || digits + 1 >= len || s[digits] != ' ' || !is_text(s + digits + 1, len - digits - 1))
		return -EPROTO;
	*ret = (struct openmsg){ .id = id, .text = s + digits + 1, .n = len - digits - 1 };
	return (long)len + 1;
}

int openmsg_put(struct buf *out, uint32_t id, const char *text, size_t n)
{
	if (id == 0 || !is_text(text, n))
		return -EINVAL;
	return buf_printf(out, "%u %.*s\n", id, (int)n, text);
}
