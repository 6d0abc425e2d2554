/* SPDX-License-Identifier: Apache-2.0
 *
 * httpmsg: see httpmsg.h. Enters: what a decoder took apart. Leaves: a message with exactly one meaning, or a refusal. The entries and
 * the arena are the message's own; nothing else is allocated, and both have a maximum.
 */
#include "wire/httpmsg.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/httprule.h"

#define ARENA_FIRST 2048U
#define ARENA_KEPT 16384U /* an arena that grew past this is given back at the reset */
#define ARENA_SPARE 65536U /* what the proxy itself may add to a message */
#define ENTRIES_FIRST 32U
#define ENTRIES_SPARE 16U

static uint32_t head_max(const struct httpmsg *m)
{
	return m->kind == HTTPMSG_REQUEST ? HTTPMSG_REQUEST_HEAD_MAX : HTTPMSG_RESPONSE_HEAD_MAX;
}

int httpmsg_refuse(const struct httpmsg *m, struct httpmsg_refusal *why, unsigned int status, const char *reason)
{
	why->status = m->kind == HTTPMSG_RESPONSE ? 502 : (uint16_t)status;
	why->reason = reason;
	return -EPROTO;
}

static int no_memory(struct httpmsg_refusal *why)
{
	why->status = 503;
	why->reason = "out of memory";
	return -ENOMEM;
}

void httpmsg_init(struct httpmsg *m, enum httpmsg_kind kind)
{
	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->arena_max = head_max(m) + ARENA_SPARE;
	m->entries_max = (kind == HTTPMSG_REQUEST ? HTTPMSG_REQUEST_FIELDS_MAX : HTTPMSG_RESPONSE_FIELDS_MAX) + ENTRIES_SPARE;
}

void httpmsg_done(struct httpmsg *m)
{
	free(m->arena);
	free(m->entries);
	httpmsg_init(m, m->kind);
}

void httpmsg_reset(struct httpmsg *m, enum dest_scheme scheme)
{
	struct httpmsg fresh;

	httpmsg_init(&fresh, m->kind);
	if (m->arena_cap > ARENA_KEPT)
		httpmsg_done(m);
	fresh.arena = m->arena;
	fresh.arena_cap = m->arena_cap;
	fresh.entries = m->entries;
	fresh.entries_cap = m->entries_cap;
	fresh.version = HTTPMSG_1_1;
	fresh.scheme = scheme;
	*m = fresh;
}

void httpmsg_answers(struct httpmsg *res, const struct httpmsg *req)
{
	res->to_head = req->method_id == HTTPMSG_HEAD;
	res->to_connect = req->method_id == HTTPMSG_CONNECT;
	res->to_websocket = req->websocket;
}

/* Room for n more bytes and a terminator. */
static int arena_room(struct httpmsg *m, size_t n)
{
	size_t need = (size_t)m->arena_n + n + 1, cap = m->arena_cap ? m->arena_cap : ARENA_FIRST;
	char *grown;

	if (n > m->arena_max || need > m->arena_max)
		return -EMSGSIZE;
	if (need <= m->arena_cap)
		return 0;
	while (cap < need)
		cap *= 2;
	grown = realloc(m->arena, cap);
	if (!grown)
		return -ENOMEM;
	m->arena = grown;
	m->arena_cap = (uint32_t)cap;
	return 0;
}

int httpmsg_raw(struct httpmsg *m, const void *bytes, size_t n, struct httpmsg_refusal *why)
{
	int r = arena_room(m, n);

	if (r == -EMSGSIZE)
		return httpmsg_refuse(m, why, 431, "the head is too long");
	if (r < 0)
		return no_memory(why);
	if (n)
		memcpy(m->arena + m->arena_n, bytes, n);
	m->arena_n += (uint32_t)n;
	return 0;
}

/* A copy of n bytes with a terminator. bytes may not stand in the arena. */
static int keep(struct httpmsg *m, const char *s, size_t n, struct httpmsg_span *ret, struct httpmsg_refusal *why)
{
	uint32_t at = m->arena_n;
	int r = httpmsg_raw(m, s, n, why);

	if (r < 0)
		return r;
	m->arena[m->arena_n] = 0;
	m->arena_n++;
	*ret = (struct httpmsg_span){ at, (uint32_t)n };
	return 0;
}

static int entry_room(struct httpmsg *m)
{
	uint32_t cap = m->entries_cap ? m->entries_cap * 2 : ENTRIES_FIRST;
	struct httpmsg_entry *grown;

	if (m->nentries < m->entries_cap)
		return 0;
	if (cap > m->entries_max)
		cap = m->entries_max;
	if (m->nentries >= cap)
		return -EMSGSIZE;
	grown = realloc(m->entries, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->entries = grown;
	m->entries_cap = cap;
	return 0;
}

int httpmsg_push(struct httpmsg *m, struct httpmsg_span name, struct httpmsg_span value, struct httpmsg_refusal *why)
{
	const char *s = m->arena + name.at;
	enum httpmsg_field id;
	int r;

	if (name.n == 0)
		return httpmsg_refuse(m, why, 400, "a field without a name");
	if (!httpmsg_is_token(s, name.n))
		return httpmsg_refuse(m, why, 400, "a field name that is no token");
	if (!httpmsg_is_value(m->arena + value.at, value.n))
		return httpmsg_refuse(m, why, 400, "a control byte in a field");
	if (m->nentries >= m->entries_max - ENTRIES_SPARE)
		return httpmsg_refuse(m, why, 431, "too many fields");
	r = entry_room(m);
	if (r < 0)
		return no_memory(why);
	id = httpmsg_field_id(s, name.n);
	m->arena[name.at + name.n] = 0;
	m->arena[value.at + value.n] = 0;
	m->entries[m->nentries++] = (struct httpmsg_entry){ .name = name, .value = value, .id = (uint16_t)id };
	if (m->seen[id] < UINT8_MAX)
		m->seen[id]++;
	return 0;
}

int httpmsg_add(struct httpmsg *m, const char *name, size_t name_n, const char *value, size_t value_n,
		struct httpmsg_refusal *why)
{
	struct httpmsg_span n, v;
	int r;

	while (value_n > 0 && (value[0] == ' ' || value[0] == '\t'))
		value++, value_n--;
	while (value_n > 0 && (value[value_n - 1] == ' ' || value[value_n - 1] == '\t'))
		value_n--;
	if (name_n + value_n > head_max(m) - (m->arena_n < head_max(m) ? m->arena_n : head_max(m)))
		return httpmsg_refuse(m, why, 431, "the head is too long");
	r = keep(m, name, name_n, &n, why);
	if (r == 0)
		r = keep(m, value, value_n, &v, why);
	return r < 0 ? r : httpmsg_push(m, n, v, why);
}

int httpmsg_set_method(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	int r = httprule_method(m, s, n, why);

	return r < 0 ? r : keep(m, s, n, &m->method, why);
}

int httpmsg_set_authority(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	if (n > HTTPMSG_TARGET_MAX)
		return httpmsg_refuse(m, why, 400, "the host is too long");
	return keep(m, s, n, &m->authority, why);
}

int httpmsg_set_path(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why)
{
	int r = httprule_path(m, s, n, why);

	return r < 0 ? r : keep(m, s, n, &m->path, why);
}

int httpmsg_set_phrase(struct httpmsg *m, const char *s)
{
	struct httpmsg_refusal why;

	for (const char *at = s; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			return -EINVAL;
	return keep(m, s, strlen(s), &m->phrase, &why) < 0 ? -ENOMEM : 0;
}

void httpmsg_strip(struct httpmsg *m)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->nentries; i++)
		if (!m->entries[i].hop)
			m->entries[kept++] = m->entries[i];
	m->nentries = kept;
}

int httpmsg_find(const struct httpmsg *m, enum httpmsg_field id, uint32_t from)
{
	assert(id != HTTPMSG_F_OTHER);
	for (uint32_t i = from; i < m->nentries; i++)
		if (m->entries[i].id == id)
			return (int)i;
	return -1;
}

static bool is_named(const struct httpmsg *m, const struct httpmsg_entry *e, const char *name, size_t n)
{
	return e->name.n == n && strncasecmp(m->arena + e->name.at, name, n) == 0;
}

int httpmsg_find_name(const struct httpmsg *m, const char *name, size_t n, uint32_t from)
{
	for (uint32_t i = from; i < m->nentries; i++)
		if (is_named(m, &m->entries[i], name, n))
			return (int)i;
	return -1;
}

unsigned int httpmsg_remove(struct httpmsg *m, const char *name)
{
	size_t n = strlen(name);
	uint32_t kept = 0, before = m->nentries;

	for (uint32_t i = 0; i < before; i++)
		if (!is_named(m, &m->entries[i], name, n))
			m->entries[kept++] = m->entries[i];
	m->nentries = kept;
	return before - kept;
}

int httpmsg_put(struct httpmsg *m, const char *name, const char *value, size_t value_n)
{
	size_t name_n = strlen(name);
	enum httpmsg_field id = httpmsg_field_id(name, name_n);
	struct httpmsg_refusal why;
	struct httpmsg_span n, v;
	int r;

	if (!httpmsg_is_token(name, name_n) || !httpmsg_is_value(value, value_n) || httprule_is_framing(id))
		return -EINVAL;
	/* All that can fail comes first: a field that could not be replaced is still there. */
	r = entry_room(m);
	if (r == 0)
		r = arena_room(m, name_n + value_n + 2);
	if (r < 0)
		return r;
	(void)keep(m, name, name_n, &n, &why);
	(void)keep(m, value, value_n, &v, &why);
	httpmsg_remove(m, name);
	m->entries[m->nentries++] = (struct httpmsg_entry){ .name = n, .value = v, .id = (uint16_t)id };
	return 0;
}

int httpmsg_replace_path(struct httpmsg *m, const char *s, size_t n)
{
	struct httpmsg_refusal why;
	int r = httpmsg_set_path(m, s, n, &why);

	return r == -EPROTO ? -EINVAL : r;
}

void httpmsg_lower(struct httpmsg *m)
{
	for (uint32_t i = 0; i < m->nentries; i++) {
		char *s = m->arena + m->entries[i].name.at;

		for (; *s; s++)
			if (*s >= 'A' && *s <= 'Z')
				*s = (char)(*s | 0x20);
	}
}

bool httpmsg_is_for(const struct httpmsg *m, const struct dest *d)
{
	return dest_equal(&m->dest, d);
}

void httpmsg_frame_for(struct httpmsg *res, const struct httpmsg *req)
{
	if (req->close)
		res->close = true;
	if (req->version == HTTPMSG_1_0 && res->body == HTTPMSG_BODY_CHUNKED)
		res->body = HTTPMSG_BODY_EOF;
	else if (req->version != HTTPMSG_1_0 && res->body == HTTPMSG_BODY_EOF)
		res->body = HTTPMSG_BODY_CHUNKED;
	if (res->body == HTTPMSG_BODY_EOF)
		res->close = true;
}
