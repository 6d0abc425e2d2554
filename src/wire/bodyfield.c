/* SPDX-License-Identifier: Apache-2.0
 *
 * bodyfield: see bodyfield.h. JSON is parsed by jansson, which says what is there; then the bytes of that one value are found and replaced, so
 * that numbers, order and white space of the rest stay as the client wrote them.
 */
#include "wire/bodyfield.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

enum bodyfield_kind bodyfield_kind(const char *content_type)
{
	size_t n = strcspn(content_type, "; \t");

	if (n == strlen("application/x-www-form-urlencoded") && strncasecmp(content_type, "application/x-www-form-urlencoded", n) == 0)
		return BODYFIELD_FORM;
	if ((n == strlen("application/json") && strncasecmp(content_type, "application/json", n) == 0) ||
	    (n > 5 && strncasecmp(content_type, "application/", 12) == 0 && strncasecmp(content_type + n - 5, "+json", 5) == 0))
		return BODYFIELD_JSON;
	return BODYFIELD_NEITHER;
}

/* --- query and form --- */

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether n encoded bytes mean text. */
static bool means(const char *s, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++, text++) {
		int hi = s[i] == '%' && i + 2 < n ? nibble(s[i + 1]) : -1, lo = hi >= 0 ? nibble(s[i + 2]) : -1;
		char c = lo >= 0 ? (char)(hi << 4 | lo) : s[i] == '+' ? ' ' : s[i];

		if (!*text || c != *text)
			return false;
		i += lo >= 0 ? 2 : 0;
	}
	return *text == 0;
}

static int put_encoded(struct buf *out, const char *value)
{
	int r = 0;

	for (; r == 0 && *value; value++) {
		bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') || (*value >= '0' && *value <= '9') ||
			     strchr("-._~", *value);

		r = plain ? buf_append(out, value, 1) : buf_printf(out, "%%%02X", (unsigned char)*value);
	}
	return r;
}

/* Some servers take a semicolon for an ampersand: whether one of the later of such parts has that name. */
static bool is_behind_semicolon(const char *s, size_t n, const char *name)
{
	const char *end = s + n;

	while ((s = memchr(s, ';', (size_t)(end - s)))) {
		const char *next, *eq;
		size_t len;

		s++;
		next = memchr(s, ';', (size_t)(end - s));
		len = (size_t)((next ? next : end) - s);
		eq = memchr(s, '=', len);
		if (means(s, eq ? (size_t)(eq - s) : len, name))
			return true;
	}
	return false;
}

/* The one that is meant: its offset and length in s. 1, 0, -EACCES. */
static int find_member(const char *s, size_t n, const struct bodyfield *f, size_t *ret_at, size_t *ret_n)
{
	bool found = false;

	for (size_t at = 0, len; at < n; at += len + 1) {
		const char *end = memchr(s + at, '&', n - at), *eq;
		size_t name;

		len = end ? (size_t)(end - s) - at : n - at;
		eq = memchr(s + at, '=', len);
		name = eq ? (size_t)(eq - s) - at : len;
		if (f->has && is_behind_semicolon(s + at, len, f->name))
			return -EACCES;
		if (!means(s + at, name, f->name))
			continue;
		if (found || (f->has && !(eq && means(eq + 1, len - name - 1, f->has))))
			return -EACCES;
		found = true;
		*ret_at = at;
		*ret_n = len;
	}
	return found;
}

static int leave_out(const char *s, size_t n, size_t at, size_t len, struct buf *out)
{
	size_t from = at, to = at + len;
	int r;

	/* With the separator behind it, or the one before where it is the last. */
	if (to < n)
		to++;
	else if (from > 0)
		from--;
	r = buf_append(out, s, from);
	if (r == 0)
		r = buf_append(out, s + to, n - to);
	return r == 0 ? 1 : r;
}

int bodyfield_form(const char *s, size_t n, const struct bodyfield *f, struct buf *out)
{
	size_t at = 0, len = 0, name;
	const char *eq;
	int r = find_member(s, n, f, &at, &len);

	if (r <= 0)
		return r;
	if (!f->value)
		return leave_out(s, n, at, len, out);
	eq = memchr(s + at, '=', len);
	name = eq ? (size_t)(eq - s) : at + len;
	r = buf_append(out, s, name);
	if (r == 0)
		r = buf_append(out, "=", 1);
	if (r == 0)
		r = put_encoded(out, f->value);
	if (r == 0)
		r = buf_append(out, s + at + len, n - at - len);
	return r == 0 ? 1 : r;
}

/* --- JSON --- */

/* s[at] is a quote: the offset behind its string's end. The text is known to be JSON. */
static size_t skip_string(const char *s, size_t n, size_t at)
{
	for (at++; at < n && s[at] != '"'; at++)
		if (s[at] == '\\')
			at++;
	return at + 1;
}

static size_t skip_blanks(const char *s, size_t n, size_t at)
{
	while (at < n && strchr(" \t\r\n", s[at]))
		at++;
	return at;
}

/* Whether the string at s[at] is name, in its plain spelling. */
static bool is_name(const char *s, size_t at, size_t end, const char *name)
{
	size_t n = strlen(name);

	return end - at == n + 2 && memcmp(s + at + 1, name, n) == 0;
}

/* Where the value of the outermost object's member begins, and where it ends; it is a string. -EPROTO: the name is spelt in another way. */
static int find_value(const char *s, size_t n, const char *name, size_t *ret_at, size_t *ret_end)
{
	unsigned int depth = 0;
	size_t at = 0, end;

	while (at < n) {
		if (s[at] == '{' || s[at] == '[')
			depth++;
		else if (s[at] == '}' || s[at] == ']')
			depth--;
		if (s[at] != '"') {
			at++;
			continue;
		}
		end = skip_string(s, n, at);
		if (depth == 1 && end <= n && is_name(s, at, end, name)) {
			size_t colon = skip_blanks(s, n, end);

			/* Else it is a value of the same text. */
			if (colon < n && s[colon] == ':') {
				*ret_at = skip_blanks(s, n, colon + 1);
				*ret_end = *ret_at < n && s[*ret_at] == '"' ? skip_string(s, n, *ret_at) : n + 1;
				return *ret_end <= n ? 0 : -EPROTO;
			}
		}
		at = end;
	}
	return -EPROTO;
}

static int put_json(struct buf *out, const char *value)
{
	int r = buf_append(out, "\"", 1);

	for (; r == 0 && *value; value++) {
		if (*value == '"' || *value == '\\')
			r = buf_append(out, "\\", 1);
		if (r == 0)
			r = buf_append(out, value, 1);
	}
	return r == 0 ? buf_append(out, "\"", 1) : r;
}

/* Some readers do not look at the case of names. */
static bool has_other_case(const json_t *o, const char *name)
{
	const char *key;
	const json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
		if (strcasecmp(key, name) == 0 && !str_eq(key, name))
			return true;
	return false;
}

int bodyfield_json(const char *s, size_t n, const struct bodyfield *f, struct buf *out)
{
	auto_(json) json_t *o = json_loadb(s, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *v = json_object_get(o, f->name);
	size_t at, end;
	int r;

	if (!json_is_object(o))
		return -EPROTO;
	if (has_other_case(o, f->name))
		return -EACCES;
	if (!v)
		return 0;
	if (!json_is_string(v) || (f->has && !str_eq(json_string_value(v), f->has)))
		return -EACCES;
	r = find_value(s, n, f->name, &at, &end);
	if (r < 0)
		return r;
	r = buf_append(out, s, at);
	if (r == 0)
		r = put_json(out, f->value);
	if (r == 0)
		r = buf_append(out, s + end, n - end);
	return r == 0 ? 1 : r;
}
