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

#define NEEDLES 9

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

static char *percent(const char *value)
{
	char *text = malloc(strlen(value) * 3 + 1), *at = text;

	for (; text && *value; value++)
		if (strchr("-_.~", *value) || (*value >= '0' && *value <= '9') || (*value >= 'a' && *value <= 'z') ||
		    (*value >= 'A' && *value <= 'Z'))
			*at++ = *value;
		else
			at += snprintf(at, 4, "%%%02X", (unsigned int)(uint8_t)*value);
	if (text)
		*at = 0;
	return text;
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
	char *encoded;
	bool ok;

	if (!s)
		return NULL;
	buf_init(&s->held, SCRUB_HELD);
	memcpy(s->placeholder, i->placeholder, sizeof(s->placeholder));
	ok = add(s, strdup(i->value.s));
	encoded = percent(i->value.s);
	if (encoded && str_eq(encoded, i->value.s))
		free(encoded);
	else
		ok = ok && add(s, encoded);
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

size_t scrub_mask(const struct scrub *s, uint8_t *bytes, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < s->n; i++) {
		uint8_t *at = bytes;

		while ((at = memmem(at, n - (size_t)(at - bytes), s->needles[i].s, s->needles[i].n))) {
			memset(at, '*', s->needles[i].n);
			found++;
		}
	}
	return found;
}

size_t scrub_safe(const struct scrub *s, const uint8_t *bytes, size_t n)
{
	size_t safe = n;

	for (size_t i = 0; i < s->n; i++) {
		size_t tail = s->needles[i].n - 1 < n ? s->needles[i].n - 1 : n;
		const uint8_t *at = bytes + n - tail, *end = bytes + safe;

		for (; at < end && (at = memchr(at, s->needles[i].s[0], (size_t)(end - at))); at++)
			if (memcmp(at, s->needles[i].s, (size_t)(bytes + n - at)) == 0) {
				safe = (size_t)(at - bytes);
				break;
			}
	}
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
		size_t i = 0;

		while (i < s->n && strncmp(at, s->needles[i].s, s->needles[i].n) != 0)
			i++;
		r = i < s->n ? buf_append_str(&out, s->placeholder) : buf_append(&out, at, 1);
		at += i < s->n ? s->needles[i].n : 1;
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

static bool is_in(const struct scrub *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		if (strstr(text, s->needles[i].s))
			return true;
	return false;
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
