/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: see scrub.h.
 */
#include "proxy/scrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"

#define NEEDLES 7

/* How a text may write bytes: as they are, in a JSON string (RFC 8259 7), percent-encoded, in HTML. */
enum form { RAW, JSON, PERCENT, ENTITY, FORMS };

static const struct {
	char escape; /* begins what does not stand for itself */
	size_t most; /* bytes that one byte may take */
} forms[FORMS] = { [JSON] = { '\\', 6 }, [PERCENT] = { '%', 3 }, [ENTITY] = { '&', 8 } };

struct scrub {
	struct {
		char *s; /* owned */
		size_t n;
	} needles[NEEDLES];
	size_t n;
	char placeholder[SECRETMSG_TEXT];
	struct buf held; /* of the body */
	bool ended;
};

void scrub_free(struct scrub *s)
{
	if (!s)
		return;
	buf_done(&s->held);
	for (size_t i = 0; i < s->n; i++) {
		explicit_bzero(s->needles[i].s, s->needles[i].n);
		free(s->needles[i].s);
	}
	free(s);
}

/* Takes text over. A short one would match what it does not mean. */
static bool add(struct scrub *s, char *text)
{
	if (!text)
		return false;
	if (strlen(text) < SECRETMSG_VALUE_MIN || s->n == NEEDLES) {
		free(text);
		return true;
	}
	s->needles[s->n].s = text;
	s->needles[s->n++].n = strlen(text);
	return true;
}

/* What is the same in the base64 of every text in which the value stands at an offset of `before` modulo 3. */
static char *base64_core(const char *value, size_t before)
{
	size_t n = strlen(value), all = before + n, skip = before == 0 ? 0 : before + 1;
	uint8_t *bytes = calloc(1, all + 1);
	char *b64, *core = NULL;

	if (!bytes)
		return NULL;
	memcpy(bytes + before, value, n);
	b64 = keepermsg_base64(bytes, all);
	if (b64) {
		/* The last character that depends on the value alone. */
		b64[all * 8 / 6] = 0;
		core = strdup(b64 + skip);
		explicit_bzero(b64, strlen(b64));
	}
	explicit_bzero(bytes, all);
	free(bytes);
	free(b64);
	return core;
}

static char *url_alphabet(const char *b64)
{
	char *s = strdup(b64);

	for (char *at = s; at && *at; at++)
		*at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
	return s;
}

struct scrub *scrub_new(const struct secretmsg_injection *i)
{
	struct scrub *s = calloc(1, sizeof(*s));
	bool ok;

	if (!s)
		return NULL;
	buf_init(&s->held, SCRUB_HELD);
	memcpy(s->placeholder, i->placeholder, sizeof(s->placeholder));
	ok = add(s, strdup(i->value.s));
	for (size_t before = 0; before < 3 && ok; before++) {
		ok = add(s, base64_core(i->value.s, before));
		if (ok && strpbrk(s->needles[s->n - 1].s, "+/"))
			ok = add(s, url_alphabet(s->needles[s->n - 1].s));
	}
	if (ok)
		return s;
	scrub_free(s);
	return NULL;
}

/* --- forms --- */

static int nibble(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* n hexadecimal digits; -1: they are none. */
static int hex(const uint8_t *s, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (nibble(s[i]) < 0)
			return -1;
		v = v << 4 | nibble(s[i]);
	}
	return v;
}

/* s[0] is a backslash. */
static size_t next_json(const uint8_t *s, size_t n, int *ret)
{
	if (n < 2 || (s[1] == 'u' && n < 6))
		return 0;
	/* \n and its like stand for no byte of a value. */
	*ret = s[1] == 'u' ? hex(s + 2, 4) : strchr("\"\\/'", s[1]) ? s[1] : -1;
	return s[1] == 'u' ? 6 : 2;
}

static size_t next_percent(const uint8_t *s, size_t n, int *ret)
{
	if (n < 3)
		return 0;
	*ret = hex(s + 1, 2);
	return 3;
}

/* What stands between & and ; */
static int entity(const char *s, size_t n)
{
	static const struct {
		const char *name;
		char c;
	} named[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' } };
	int v = 0;

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (strlen(named[i].name) == n && memcmp(named[i].name, s, n) == 0)
			return named[i].c;
	if (n < 2 || s[0] != '#')
		return -1;
	if (s[1] == 'x' || s[1] == 'X')
		return hex((const uint8_t *)s + 2, n - 2);
	for (size_t i = 1; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + s[i] - '0';
	}
	return v;
}

static size_t next_entity(const uint8_t *s, size_t n, int *ret)
{
	size_t end = 1;

	while (end < n && end < forms[ENTITY].most && s[end] != ';')
		end++;
	if (end == n && n < forms[ENTITY].most)
		return 0;
	*ret = end < n && s[end] == ';' ? entity((const char *)s + 1, end - 1) : -1;
	/* One that means nothing stands for itself. */
	if (*ret >= 0)
		return end + 1;
	*ret = '&';
	return 1;
}

/* The byte that stands at s, and how many it is written in; 0: more of them are needed. */
static size_t next(enum form f, const uint8_t *s, size_t n, int *ret)
{
	if (n == 0)
		return 0;
	if (f == RAW || s[0] != (uint8_t)forms[f].escape) {
		*ret = s[0];
		return 1;
	}
	return f == JSON ? next_json(s, n, ret) : f == PERCENT ? next_percent(s, n, ret) : next_entity(s, n, ret);
}

/* Whether n bytes begin with needle i in that form: its length there, 0 (no), -1: as far as they go. */
static ssize_t match(const struct scrub *s, size_t i, enum form f, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	for (size_t k = 0; k < s->needles[i].n; k++) {
		int c = -1;
		size_t took = next(f, bytes + at, n - at, &c);

		if (took == 0)
			return -1;
		if (c != (uint8_t)s->needles[i].s[k] && !(f == PERCENT && c == '+' && s->needles[i].s[k] == ' '))
			return 0;
		at += took;
	}
	return (ssize_t)at;
}

static bool may_begin(const struct scrub *s, size_t i, enum form f, uint8_t c)
{
	return c == (uint8_t)s->needles[i].s[0] || (f != RAW && c == (uint8_t)forms[f].escape);
}

static size_t mask_raw(const struct scrub *s, size_t i, uint8_t *bytes, size_t n)
{
	size_t found = 0;
	uint8_t *at = bytes;

	while ((at = memmem(at, n - (size_t)(at - bytes), s->needles[i].s, s->needles[i].n))) {
		memset(at, '*', s->needles[i].n);
		found++;
	}
	return found;
}

static size_t mask_form(const struct scrub *s, size_t i, enum form f, uint8_t *bytes, size_t n)
{
	size_t found = 0;

	/* Without one it would have been found as it is. */
	if (n == 0 || !memchr(bytes, forms[f].escape, n))
		return 0;
	for (size_t at = 0; at < n; at++) {
		ssize_t len = may_begin(s, i, f, bytes[at]) ? match(s, i, f, bytes + at, n - at) : 0;

		if (len <= 0)
			continue;
		memset(bytes + at, '*', (size_t)len);
		at += (size_t)len - 1;
		found++;
	}
	return found;
}

size_t scrub_mask(const struct scrub *s, uint8_t *bytes, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < s->n; i++) {
		found += mask_raw(s, i, bytes, n);
		for (enum form f = JSON; f < FORMS; f++)
			found += mask_form(s, i, f, bytes, n);
	}
	return found;
}

/* Where a match of that kind may have begun whose end is not there yet; before: only what is earlier counts. */
static size_t unfinished(const struct scrub *s, size_t i, enum form f, const uint8_t *bytes, size_t n, size_t before)
{
	size_t most = s->needles[i].n * (f == RAW ? 1 : forms[f].most) - 1, at;

	/* So that something may always go on: a value of many KiB, every byte of it escaped, is no echo. */
	if (f != RAW && most > SCRUB_HELD / 2)
		most = SCRUB_HELD / 2;
	for (at = most < n ? n - most : 0; at < before; at++)
		if (may_begin(s, i, f, bytes[at]) && match(s, i, f, bytes + at, n - at) < 0)
			return at;
	return before;
}

size_t scrub_safe(const struct scrub *s, const uint8_t *bytes, size_t n)
{
	size_t safe = n;

	for (size_t i = 0; i < s->n; i++)
		for (enum form f = RAW; f < FORMS; f++)
			safe = unfinished(s, i, f, bytes, n, safe);
	return safe;
}

size_t scrub_take(struct scrub *s, const uint8_t *bytes, size_t n, size_t *ret_found)
{
	size_t took = n < buf_room(&s->held) ? n : buf_room(&s->held);

	*ret_found = 0;
	if (took == 0 || buf_append(&s->held, bytes, took) < 0)
		return 0;
	*ret_found = scrub_mask(s, s->held.data + s->held.head, buf_len(&s->held));
	return took;
}

const uint8_t *scrub_ready(const struct scrub *s, size_t *ret_n)
{
	*ret_n = s->ended ? buf_len(&s->held) : scrub_safe(s, buf_bytes(&s->held), buf_len(&s->held));
	return buf_bytes(&s->held);
}

void scrub_given(struct scrub *s, size_t n)
{
	buf_consume(&s->held, n);
}

void scrub_end(struct scrub *s)
{
	s->ended = true;
}

bool scrub_is_over(const struct scrub *s)
{
	return s->ended && buf_len(&s->held) == 0;
}

/* --- heads --- */

/* The length of a match that begins there; 0: none does. */
static size_t match_any(const struct scrub *s, const char *at, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		for (enum form f = RAW; f < FORMS; f++) {
			ssize_t len = may_begin(s, i, f, (uint8_t)*at) ? match(s, i, f, (const uint8_t *)at, n) : 0;

			if (len > 0)
				return (size_t)len;
		}
	return 0;
}

static bool is_in(const struct scrub *s, const char *text)
{
	for (size_t n = strlen(text); n > 0; n--, text++)
		if (match_any(s, text, n))
			return true;
	return false;
}

/* A new text for a field's value. */
static int replace(const struct scrub *s, struct httpmsg *m, struct httpmsg_span *span)
{
	struct httpmsg_refusal why;
	uint32_t before = m->arena_n;
	auto_free char *text = strdup(httpmsg_str(m, *span));
	struct buf out;
	int r = text ? 0 : -ENOMEM;

	buf_init(&out, HTTPMSG_RESPONSE_HEAD_MAX);
	for (char *at = text; at && *at && r == 0;) {
		size_t len = match_any(s, at, strlen(at));

		r = len ? buf_append_str(&out, s->placeholder) : buf_append(&out, at, 1);
		at += len ? len : 1;
	}
	if (r == 0)
		r = buf_append(&out, "", 1);
	if (r == 0)
		r = httpmsg_raw(m, buf_bytes(&out), buf_len(&out), &why);
	if (r == 0)
		*span = (struct httpmsg_span){ .at = before, .n = (uint32_t)buf_len(&out) - 1 };
	buf_done(&out);
	return r;
}

int scrub_head(const struct scrub *s, struct httpmsg *m)
{
	int changed = 0;

	for (uint32_t i = 0; i < m->nentries; i++) {
		int r;

		/* A name that is a secret is no field that anybody needs. */
		if (is_in(s, httpmsg_str(m, m->entries[i].name)))
			return -EMSGSIZE;
		if (!is_in(s, httpmsg_value(m, (int)i)))
			continue;
		r = replace(s, m, &m->entries[i].value);
		if (r < 0)
			return r;
		changed++;
	}
	if (is_in(s, httpmsg_str(m, m->phrase)))
		m->phrase = (struct httpmsg_span){ 0 };
	return changed;
}
