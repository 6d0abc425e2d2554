/* SPDX-License-Identifier: Apache-2.0
 *
 * inject: see inject.h. Enters: a request's head that the guest wrote, cleaned of what ends at this hop.
 */
#include "proxy/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/bodyfield.h"
#include "wire/keepermsg.h"

#define DECODED_MAX 512
/* One of this length is no word of ordinary text: it is looked for everywhere in the head. */
#define UNMISTAKABLE 20
#define PATH_ROUNDS 2
#define PROTOCOL_MAX 32

static const char *const carriers[] = { "authorization", "x-api-key", "x-goog-api-key", "api-key", "private-token", "x-auth-token" };
static const char *const query_keys[] = { "key", "api_key", "apikey", "api-key", "access_token", "auth_token", "oauth_token", "private_token" };
/* Set by a load balancer or a content network in front of an API; they say nothing of who asks. */
static const char *const harmless_cookies[] = { "__cf_bm", "_cfuvid", "cf_clearance", "__cflb" };

static bool is_carrier(const char *name, const char *also)
{
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
		if (strcasecmp(name, carriers[i]) == 0)
			return true;
	return also[0] && strcasecmp(name, also) == 0;
}

/* The text of a Basic credential, terminated; "" where it is none. */
static void basic_text(const char *value, char dst[DECODED_MAX])
{
	const char *b64 = strncasecmp(value, "Basic ", 6) == 0 ? value + 6 : NULL;
	ssize_t n = b64 ? keepermsg_unbase64(b64, strlen(b64), (uint8_t *)dst, DECODED_MAX - 1) : -1;

	dst[n > 0 ? n : 0] = 0;
	if (n > 0 && strlen(dst) != (size_t)n)
		dst[0] = 0;
}

/* The placeholder, or a token of three parts (RFC 7515 7.1) whose signature it is. */
static bool is_it(const char *s, const char *placeholder)
{
	const char *dot = strrchr(s, '.');

	return str_eq(s, placeholder) || (dot && str_eq(dot + 1, placeholder) && !strpbrk(s, " ,;\""));
}

/* "PLACEHOLDER", "SCHEME PLACEHOLDER", or Basic with it as user or password. */
static bool is_placeholder(const char *value, const char *placeholder)
{
	const char *blank = strchr(value, ' ');
	char text[DECODED_MAX], *colon;

	if (is_it(value, placeholder) || (blank && is_it(blank + 1, placeholder)))
		return true;
	basic_text(value, text);
	colon = strchr(text, ':');
	if (!colon)
		return false;
	*colon = 0;
	return str_eq(colon + 1, placeholder) || (str_eq(text, placeholder) && (!colon[1] || str_eq(colon + 1, "x-oauth-basic")));
}

static bool is_any_placeholder(const char *value, const struct secretmsg_list *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (is_placeholder(value, all->of[i].placeholder) || (all->of[i].refresh[0] && is_placeholder(value, all->of[i].refresh)))
			return true;
	return false;
}

const char *inject_brought(const struct httpmsg *m, const struct secretmsg_list *all)
{
	for (uint32_t at = 0; at < m->nentries; at++)
		for (size_t i = 0; i < all->n; i++) {
			const struct secretmsg_secret *s = &all->of[i];

			for (size_t b = 0; b < s->nbindings; b++)
				if (is_carrier(httpmsg_str(m, m->entries[at].name), s->bindings[b].where == SECRETMSG_HEADER ? s->bindings[b].header : "") &&
				    is_placeholder(httpmsg_value(m, (int)at), s->placeholder))
					return s->placeholder;
		}
	return NULL;
}

static bool cookies_are_harmless(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "=;"), i = 0;

		while (i < ARRAY_LEN(harmless_cookies) &&
		       !(strlen(harmless_cookies[i]) == n && memcmp(harmless_cookies[i], s, n) == 0))
			i++;
		if (i == ARRAY_LEN(harmless_cookies))
			return false;
		s += strcspn(s, ";");
		s += strspn(s, "; ");
	}
	return true;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Undoes one round of percent escapes in place, but for that of NUL. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		int byte = s[0] == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0 ? hex(s[1]) << 4 | hex(s[2]) : 0;

		*to++ = byte ? (char)byte : *s;
		s += byte ? 2 : 0;
	}
	*to = 0;
}

static bool is_query_key(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(query_keys); i++)
		if (strlen(query_keys[i]) == n && strncasecmp(query_keys[i], name, n) == 0)
			return true;
	return false;
}

/* Whether a secret for this destination goes into that member. */
static bool is_bound_key(const struct dest *d, const struct secretmsg_list *all, const char *name, size_t n)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t b = 0; b < all->of[i].nbindings; b++) {
			const struct secretmsg_binding *to = &all->of[i].bindings[b];

			if (to->where == SECRETMSG_QUERY && strlen(to->header) == n && memcmp(to->header, name, n) == 0 && dest_equal(&to->to, d))
				return true;
		}
	return false;
}

/* Whether one of a query's members is a credential; an empty one is none. */
static bool has_query_credential(const char *query, const struct dest *d, const struct secretmsg_list *all)
{
	auto_free char *copy = strdup(query);
	char *at = copy;

	if (!copy)
		return true;
	/* Escaped names mean the same to a server. */
	unescape(at);
	while (*at) {
		size_t n = strcspn(at, "&;"), name = strcspn(at, "=&;");

		if ((is_query_key(at, name) || is_bound_key(d, all, at, name)) && n > name + 1)
			return true;
		at += n + (at[n] != 0);
	}
	return false;
}

static const char *query_of(const struct httpmsg *m)
{
	const char *at = strchr(httpmsg_str(m, m->path), '?');

	return at ? at + 1 : "";
}

/* What the query may hold: no credential but the placeholder of the one that goes there. */
static const char *check_query(const struct httpmsg *m, struct secretmsg_injection *i, const struct secretmsg_list *all)
{
	const struct bodyfield mine = { .name = i->header, .has = i->placeholder };
	const char *query = query_of(m), *rest = query;
	struct buf without;
	int r = 0;

	buf_init(&without, HTTPMSG_TARGET_MAX);
	if (i->where == SECRETMSG_QUERY && !i->none[0]) {
		r = bodyfield_form(query, strlen(query), &mine, &without);
		if (r == 1)
			rest = buf_cstr(&without);
		else if (r == 0)
			(void)str_format(i->none, sizeof(i->none), "no_placeholder");
	}
	if (r == -EACCES || (r >= 0 && (!rest || has_query_credential(rest, &m->dest, all))))
		r = -EACCES;
	buf_done(&without);
	return r >= 0 ? NULL : r == -EACCES ? "foreign_credential" : "limit";
}

/* The value into the query. has: the placeholder; NULL: whatever is there, a value of before. */
static const char *put_query(struct httpmsg *m, const struct secretmsg_injection *i, const char *has)
{
	const struct bodyfield f = { .name = i->header, .has = has, .value = i->field };
	const char *path = httpmsg_str(m, m->path), *query = query_of(m);
	struct buf out;
	int r;

	buf_init(&out, HTTPMSG_TARGET_MAX);
	r = buf_append(&out, path, (size_t)(query - path));
	if (r == 0)
		r = bodyfield_form(query, strlen(query), &f, &out);
	if (r > 0)
		r = httpmsg_replace_path(m, (const char *)buf_bytes(&out), buf_len(&out));
	else if (r == 0)
		r = -EACCES;
	if (out.data)
		explicit_bzero(out.data, out.cap);
	buf_done(&out);
	return r == 0 ? NULL : r == -EACCES ? "foreign_credential" : "limit";
}

/* Browsers can set no other field of a WebSocket's handshake, so some services take a key there (openai-insecure-api-key.KEY). */
static bool protocol_is_harmless(const char *s)
{
	static const char *const words[] = { "key", "token", "bearer", "auth", "secret", "password" };
	size_t run = 0;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(s, words[i]))
			return false;
	/* Nor is a long word the name of a protocol. */
	for (; *s; s++) {
		run = *s == ',' || *s == ' ' ? 0 : run + 1;
		if (run > PROTOCOL_MAX)
			return false;
	}
	return true;
}

/* Where one signs in a client may say who it is by Basic (RFC 6749 2.3.1): once, and without a placeholder in it. What is called a secret there is one of a
 * program that anybody can install, not of a person. */
static bool is_client(const struct httpmsg *m, uint32_t at, const struct secretmsg_list *all)
{
	const char *name = httpmsg_str(m, m->entries[at].name), *value = httpmsg_value(m, (int)at);
	char text[DECODED_MAX];

	basic_text(value, text);
	return strcasecmp(name, "authorization") == 0 && strchr(text, ':') && text[0] != ':' && !is_any_placeholder(value, all) &&
	       httpmsg_find_name(m, name, strlen(name), 0) == (int)at && httpmsg_find_name(m, name, strlen(name), at + 1) < 0;
}

static const char *check_field(const struct httpmsg *m, uint32_t at, const struct secretmsg_injection *i,
			       const struct secretmsg_list *all)
{
	const char *name = httpmsg_str(m, m->entries[at].name), *value = httpmsg_value(m, (int)at);

	if (m->entries[at].id == HTTPMSG_F_COOKIE)
		return cookies_are_harmless(value) ? NULL : "foreign_credential";
	if (m->entries[at].id == HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL)
		return protocol_is_harmless(value) ? NULL : "foreign_credential";
	if (!is_carrier(name, i->where == SECRETMSG_HEADER ? i->header : "") || !value[0])
		return NULL;
	if (str_eq(i->none, INJECT_SIGN_IN) && is_client(m, at, all))
		return NULL;
	if (is_placeholder(value, i->placeholder) && (!i->none[0] || str_eq(i->none, "websocket")))
		return i->none[0] ? "websocket" : NULL;
	return is_any_placeholder(value, all) ? "placeholder_wrong_host" : "foreign_credential";
}

const char *inject_apply(struct httpmsg *m, struct secretmsg_injection *i, const struct secretmsg_list *all)
{
	const char *why;

	/* What is behind a WebSocket's handshake is not searched. */
	if (m->websocket && !i->none[0])
		(void)str_format(i->none, sizeof(i->none), "websocket");
	for (uint32_t at = 0; at < m->nentries; at++) {
		why = check_field(m, at, i, all);
		if (why)
			return why;
	}
	why = check_query(m, i, all);
	if (why || i->none[0])
		return why;
	for (size_t c = 0; c < ARRAY_LEN(carriers); c++)
		(void)httpmsg_remove(m, carriers[c]);
	(void)httpmsg_remove(m, "range");
	(void)httpmsg_remove(m, "if-range");
	if (httpmsg_put(m, "accept-encoding", "identity", 8) < 0)
		return "limit";
	if (i->where == SECRETMSG_QUERY)
		return put_query(m, i, i->placeholder);
	if (i->where == SECRETMSG_BODY)
		return NULL;
	return httpmsg_put(m, i->header, i->field, strlen(i->field)) < 0 ? "limit" : NULL;
}

const char *inject_again(struct httpmsg *m, const char *header, const struct secretmsg_injection *i)
{
	bool in_head = httpmsg_find_name(m, header, strlen(header), 0) >= 0;

	if (i->none[0] || !str_eq(i->header, header) || in_head != (i->where == SECRETMSG_HEADER))
		return "foreign_credential";
	if (i->where == SECRETMSG_QUERY)
		return put_query(m, i, NULL);
	if (i->where == SECRETMSG_BODY)
		return NULL;
	return httpmsg_put(m, i->header, i->field, strlen(i->field)) < 0 ? "limit" : NULL;
}

const char *inject_text(const char *reason)
{
	if (str_eq(reason, "foreign_credential"))
		return "this host gets its credential from sbx, and the request brings another";
	if (str_eq(reason, "placeholder_wrong_host"))
		return "the request carries the placeholder of a secret that is not for it";
	if (str_eq(reason, "websocket"))
		return "no WebSocket gets a credential from sbx: ask by HTTP";
	return "the request's head is too large for its credential";
}

/* --- elsewhere --- */

static bool is_in_path(const struct httpmsg *m, const char *placeholder)
{
	auto_free char *path = strdup(httpmsg_str(m, m->path));

	if (!path)
		return true;
	for (int round = 0; round <= PATH_ROUNDS; round++) {
		if (strstr(path, placeholder))
			return true;
		unescape(path);
	}
	return false;
}

static bool is_in_field(const struct httpmsg *m, uint32_t at, const char *placeholder)
{
	const char *value = httpmsg_value(m, (int)at);
	char text[DECODED_MAX];

	if (is_carrier(httpmsg_str(m, m->entries[at].name), "") && is_placeholder(value, placeholder))
		return true;
	if (strlen(placeholder) < UNMISTAKABLE)
		return false;
	basic_text(value, text);
	return strstr(value, placeholder) || strstr(text, placeholder);
}

static bool is_anywhere(const struct httpmsg *m, const char *placeholder)
{
	for (uint32_t at = 0; at < m->nentries; at++)
		if (is_in_field(m, at, placeholder))
			return true;
	return strlen(placeholder) >= UNMISTAKABLE && is_in_path(m, placeholder);
}

const char *inject_stray(const struct httpmsg *m, const struct secretmsg_list *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (is_anywhere(m, all->of[i].placeholder) || (all->of[i].refresh[0] && is_anywhere(m, all->of[i].refresh)))
			return "placeholder_wrong_host";
	return NULL;
}
