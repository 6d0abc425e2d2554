/* SPDX-License-Identifier: Apache-2.0
 *
 * target: see target.h. Enters: a request target from the guest (hostile) or a pattern from a person. The same function makes both
 * canonical, so that they compare byte by byte.
 */
#include "policy/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at s stands for; -1 where it is none. */
static int unescape(const char *s, size_t n)
{
	if (n < 3 || s[0] != '%' || hex_value(s[1]) < 0 || hex_value(s[2]) < 0)
		return -1;
	return hex_value(s[1]) << 4 | hex_value(s[2]);
}

/* RFC 3986 pchar without '%', ';' and '*', which is a wildcard in patterns. */
static bool stands_for_itself(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c > 0 && strchr("-._~!$&'()+,=:@", c));
}

static char *put_escape(char *dst, int c)
{
	static const char digits[] = "0123456789ABCDEF";

	*dst++ = '%';
	*dst++ = digits[c >> 4];
	*dst++ = digits[c & 15];
	return dst;
}

/* One byte of the path, at s, into *dst; *ret_took says how many bytes it was written in. */
static enum target_fault one(const char *s, size_t n, bool pattern, char **dst, size_t *ret_took)
{
	int c = (unsigned char)*s;

	*ret_took = 1;
	if (c <= 0x20 || c >= 0x7f || c == '#')
		return TARGET_BYTE;
	if (c == '/') {
		*(*dst)++ = '/';
		return TARGET_OK;
	}
	if (c == '%') {
		c = unescape(s, n);
		if (c < 0)
			return TARGET_ESCAPE;
		*ret_took = 3;
		if (c < 0x20 || c == 0x7f)
			return TARGET_CONTROL;
	}
	if (c == '\\')
		return TARGET_BACKSLASH;
	if (c == ';')
		return TARGET_PARAMETER;
	if (stands_for_itself(c) || (pattern && *s == '*'))
		*(*dst)++ = (char)c;
	else
		*dst = put_escape(*dst, c);
	return TARGET_OK;
}

/* Whether one of the parts of a segment, between escaped slashes, is made of dots only. */
static bool has_dots(const char *s, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i <= n; i++) {
		bool end = i == n || (n - i >= 3 && memcmp(s + i, "%2F", 3) == 0);

		if (!end)
			continue;
		if ((i - from == 1 && s[from] == '.') || (i - from == 2 && s[from] == '.' && s[from + 1] == '.'))
			return true;
		from = i + 3;
		i += 2;
	}
	return false;
}

static enum target_fault check_segments(const char *path, size_t n)
{
	for (size_t at = 1; at < n;) {
		const char *slash = memchr(path + at, '/', n - at);
		size_t len = slash ? (size_t)(slash - path) - at : n - at;

		if (len == 0)
			return TARGET_EMPTY_SEGMENT;
		if (has_dots(path + at, len))
			return TARGET_DOTS;
		at += len + 1;
	}
	return TARGET_OK;
}

/* s[0..n) as a canonical path in dst, which holds 3 * n + 1 bytes. */
static enum target_fault canonical(const char *s, size_t n, bool pattern, char *dst, size_t *ret_n)
{
	char *begin = dst;
	enum target_fault fault = TARGET_OK;
	size_t took;

	if (n == 0 || s[0] != '/')
		return TARGET_FORM;
	for (size_t at = 0; at < n && fault == TARGET_OK; at += took)
		fault = one(s + at, n - at, pattern, &dst, &took);
	if (fault != TARGET_OK)
		return fault;
	*dst = 0;
	*ret_n = (size_t)(dst - begin);
	/* Looked for in what came out, so that it does not matter how the two digits were written. */
	for (const char *p = begin; (p = strstr(p, "%25")); p += 3)
		if (hex_value(p[3]) >= 0 && hex_value(p[4]) >= 0)
			return TARGET_TWICE;
	return check_segments(begin, *ret_n);
}

/* Whether a query could be read as asking for a git server's side of a push. */
static bool query_names_push(const char *query, size_t n)
{
	static const char service[] = "receive-pack";
	size_t run = 0;

	for (size_t at = 0; at < n; at++) {
		int c = (unsigned char)query[at];

		if (c == '%') {
			c = unescape(query + at, n - at);
			if (c < 0 || c == '%')
				return true;
			at += 2;
		}
		c = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
		run = c == service[run] ? run + 1 : c == service[0];
		if (run == sizeof(service) - 1)
			return true;
	}
	return false;
}

/* A git client begins a push with GET .../info/refs?service=git-receive-pack and goes on with POST .../git-receive-pack: the
 * first is decided as the second. */
static int find_push(struct target *t, const char *query, size_t n)
{
	static const char discovery[] = "/info/refs";
	size_t m = sizeof(discovery) - 1;

	if (t->path && (t->path_n < m || memcmp(t->path + t->path_n - m, discovery, m) != 0))
		return 0;
	t->git_push = query_names_push(query, n);
	if (!t->path || !t->git_push)
		return 0;
	t->push_path = str_new("%.*s/git-receive-pack", (int)(t->path_n - m), t->path);
	return t->push_path ? 0 : -ENOMEM;
}

int target_parse(const char *s, size_t n, struct target *ret)
{
	const char *mark = memchr(s, '?', n);
	size_t path_n = mark ? (size_t)(mark - s) : n, out_n = 0;
	auto_free char *path = NULL;
	struct target t = { .fault = n > TARGET_MAX ? TARGET_LONG : TARGET_OK };

	if (t.fault == TARGET_OK) {
		path = malloc(3 * path_n + 1);
		if (!path)
			return -ENOMEM;
		t.fault = canonical(s, path_n, false, path, &out_n);
	}
	if (t.fault == TARGET_OK) {
		t.path_n = out_n;
		t.escaped_slash = strstr(path, "%2F") != NULL;
		t.changed = out_n != path_n || memcmp(path, s, out_n) != 0;
		t.path = TAKE_PTR(path);
	}
	if (mark && find_push(&t, mark + 1, n - path_n - 1) < 0) {
		target_done(&t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void target_done(struct target *t)
{
	free(t->path);
	free(t->push_path);
	*t = (struct target){ .path = NULL };
}

const char *target_fault_text(enum target_fault fault)
{
	static const char *const texts[TARGET_FAULTS] = {
		[TARGET_OK] = "the path is well formed",
		[TARGET_FORM] = "the path does not begin with /",
		[TARGET_LONG] = "the path is too long",
		[TARGET_BYTE] = "the path has a byte that must be escaped",
		[TARGET_ESCAPE] = "the path has a % without two hexadecimal digits",
		[TARGET_CONTROL] = "the path has an escaped control byte",
		[TARGET_TWICE] = "the path is escaped twice",
		[TARGET_BACKSLASH] = "the path has a backslash",
		[TARGET_PARAMETER] = "the path has a ; parameter",
		[TARGET_DOTS] = "the path has a . or .. segment",
		[TARGET_EMPTY_SEGMENT] = "the path has an empty segment",
	};

	return (size_t)fault < ARRAY_LEN(texts) ? texts[fault] : "the path is not accepted";
}

int target_pattern(const char *s, char **ret, struct err *err)
{
	size_t n = strlen(s), out_n;
	auto_free char *out = NULL;
	enum target_fault fault;
	char shown[128];

	str_escape(shown, sizeof(shown), s, n);
	if (n > TARGET_PATTERN_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "the path pattern \"%s...\" is longer than %d bytes", shown,
			       TARGET_PATTERN_MAX);
	if (strchr(s, '?'))
		return err_set(err, ERR_INVALID, EINVAL, "path pattern \"%s\": a rule cannot compare the query (what stands after ?)",
			       shown);
	out = malloc(3 * n + 1);
	if (!out)
		return err_errno(err, ENOMEM, "path pattern");
	fault = canonical(s, n, true, out, &out_n);
	if (fault != TARGET_OK)
		return err_set(err, ERR_INVALID, EINVAL, "path pattern \"%s\": %s", shown, target_fault_text(fault));
	/* What is taken must be taken again in its canonical form, which may be longer. */
	if (out_n > TARGET_PATTERN_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "the path pattern \"%s...\" is longer than %d bytes", shown,
			       TARGET_PATTERN_MAX);
	for (const char *p = out; (p = strstr(p, "**")); p += 2)
		if (p[-1] != '/' || (p[2] != '/' && p[2] != 0) || str_starts(p + 2, "/**"))
			return err_set(err, ERR_INVALID, EINVAL,
				       "path pattern \"%s\": ** stands for any number of segments, once: write /**/", shown);
	*ret = TAKE_PTR(out);
	return 0;
}

/* One segment against one segment's pattern; the last star that was met is the only one worth going back to. */
static bool match_segment(const char *pat, size_t pat_n, const char *s, size_t n)
{
	size_t p = 0, i = 0, star = SIZE_MAX, back = 0;

	if (pat_n == 1 && pat[0] == '*')
		return n > 0 && !memmem(s, n, "%2F", 3);
	while (i < n) {
		if (p < pat_n && pat[p] == '*') {
			star = p++;
			back = i;
		} else if (p < pat_n && pat[p] == s[i]) {
			p++;
			i++;
		} else if (star != SIZE_MAX && !(n - back >= 3 && memcmp(s + back, "%2F", 3) == 0)) {
			p = star + 1;
			i = back += s[back] == '%' ? 3 : 1;
		} else {
			return false;
		}
	}
	while (p < pat_n && pat[p] == '*')
		p++;
	return p == pat_n;
}

static size_t segment(const char *s)
{
	return strcspn(s, "/");
}

static bool is_any_depth(const char *pattern)
{
	return pattern && segment(pattern) == 2 && pattern[0] == '*' && pattern[1] == '*';
}

/* What follows a segment; NULL behind the last one, which differs from an empty one: "/x" is not "/x/". */
static const char *next(const char *s)
{
	size_t n = segment(s);

	return s[n] ? s + n + 1 : NULL;
}

bool target_match(const char *pattern, const struct target *t)
{
	const char *path = t->push_path ? t->push_path : t->path;
	const char *p = pattern + 1, *s, *star = NULL, *back = NULL;

	if (!path || (t->escaped_slash && !strstr(pattern, "%2F")))
		return false;
	for (s = path + 1; s;) {
		if (is_any_depth(p)) {
			star = p = next(p);
			back = s;
			if (!p)
				return strstr(s, "%2F") == NULL;
		} else if (p && match_segment(p, segment(p), s, segment(s))) {
			p = next(p);
			s = next(s);
		} else if (star && next(back) && !memmem(back, segment(back), "%2F", 3)) {
			p = star;
			s = back = next(back);
		} else {
			return false;
		}
	}
	return !p || (is_any_depth(p) && !next(p));
}
