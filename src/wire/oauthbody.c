/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthbody: see oauthbody.h. Enters: a request's body, that a program in a sandbox wrote; a response's, from a server; tokens.
 */
#include "wire/oauthbody.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"

#define DEVICE_CODE "urn:ietf:params:oauth:grant-type:device_code"
#define MEMBER_MAX 16384 /* of a form, decoded */
#define DEPTH_MAX 32

DEFINE_AUTO(json, json_t *, json_decref);

static int refuse(struct oauthbody_fault *why, const char *reason, const char *text)
{
	*why = (struct oauthbody_fault){ reason, text };
	return -EPROTO;
}

static bool is_type(const char *type, const char *wanted)
{
	size_t n = strlen(wanted);

	return strncasecmp(type, wanted, n) == 0 && (!type[n] || type[n] == ';' || type[n] == ' ');
}

static json_t *read_object(const struct oauthbody_bytes *b)
{
	json_error_t e;
	json_t *o = json_loadb((const char *)b->bytes, b->n, JSON_REJECT_DUPLICATES, &e);

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* --- forms --- */

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* n bytes decoded, terminated; -EPROTO: not a form's, too long, with NUL. */
static int unescape(const uint8_t *s, size_t n, char *dst, size_t size)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		int c = s[i];

		if (c == '%') {
			if (i + 2 >= n || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0)
				return -EPROTO;
			c = hex(s[i + 1]) << 4 | hex(s[i + 2]);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (c == 0 || to + 1 >= size)
			return -EPROTO;
		dst[to++] = (char)c;
	}
	dst[to] = 0;
	return 0;
}

struct pair {
	const uint8_t *name, *value;
	size_t name_n, value_n;
};

/* The next member of a form, and what is left. */
static bool next_pair(const uint8_t **at, size_t *left, struct pair *ret)
{
	const uint8_t *end = *left ? memchr(*at, '&', *left) : NULL, *eq;
	size_t n = end ? (size_t)(end - *at) : *left;

	if (*left == 0)
		return false;
	eq = memchr(*at, '=', n);
	*ret = (struct pair){ .name = *at, .name_n = eq ? (size_t)(eq - *at) : n };
	ret->value = eq ? eq + 1 : *at + n;
	ret->value_n = eq ? n - ret->name_n - 1 : 0;
	*left -= end ? n + 1 : n;
	*at += end ? n + 1 : n;
	return true;
}

/* The members of a form as those of a JSON object; NULL: it is none, or one is there twice. */
static json_t *read_form(const struct oauthbody_bytes *b)
{
	auto_(json) json_t *o = json_object();
	auto_free char *value = malloc(MEMBER_MAX);
	const uint8_t *at = b->bytes;
	size_t left = b->n;
	struct pair p;
	char name[64];

	/* Some servers take a semicolon for an ampersand. */
	if (!o || !value || (b->n > 0 && memchr(b->bytes, ';', b->n)))
		return NULL;
	while (next_pair(&at, &left, &p))
		if (unescape(p.name, p.name_n, name, sizeof(name)) < 0 || unescape(p.value, p.value_n, value, MEMBER_MAX) < 0 ||
		    json_object_get(o, name) || json_object_set_new(o, name, json_string(value)) < 0)
			return NULL;
	return TAKE_PTR(o);
}

static int append_escaped(struct buf *out, const char *s)
{
	int r = 0;

	for (; *s && r == 0; s++)
		if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || strchr("-_.~", *s))
			r = buf_append(out, s, 1);
		else
			r = buf_printf(out, "%%%02X", (unsigned int)(uint8_t)*s);
	return r;
}

/* The form as it was, but for one member's value. */
static int replace_in_form(const struct oauthbody_bytes *b, const char *member, const char *value, struct buf *out)
{
	const uint8_t *at = b->bytes;
	size_t left = b->n;
	struct pair p;
	char name[64];
	int r = 0;

	while (r == 0 && next_pair(&at, &left, &p)) {
		const uint8_t *from = p.name;
		bool it = unescape(p.name, p.name_n, name, sizeof(name)) == 0 && str_eq(name, member);

		if (buf_len(out) > 0)
			r = buf_append_str(out, "&");
		if (r == 0)
			r = buf_append(out, from, it ? p.name_n : (size_t)(p.value + p.value_n - from));
		if (r == 0 && it)
			r = buf_append_str(out, "=");
		if (r == 0 && it)
			r = append_escaped(out, value);
	}
	return r;
}

/* --- requests --- */

static bool is_known(const struct oauthbody_known *k, const char *value)
{
	for (size_t i = 0; i < k->defs->n; i++)
		if (str_eq(value, k->defs->of[i].access) || str_eq(value, k->defs->of[i].refresh))
			return true;
	for (size_t i = 0; i < k->list->n; i++)
		if (str_eq(value, k->list->of[i].placeholder) || str_eq(value, k->list->of[i].refresh))
			return true;
	return false;
}

/* "PLACEHOLDER", or a JWT whose signature it is. */
static bool is_access(const struct oauthdef *d, const char *value)
{
	const char *dot = strrchr(value, '.');

	return str_eq(value, d->access) || (dot && str_eq(dot + 1, d->access));
}

static int wrong_token(const struct oauthbody_known *k, const char *value, struct oauthbody_fault *why)
{
	if (is_known(k, value))
		return refuse(why, "placeholder_wrong_host", "the placeholder of a token is not for this endpoint");
	return refuse(why, "foreign_credential", "a token that sbx has not handed out");
}

static int read_grant(const struct oauthdef *d, const json_t *o, const struct oauthbody_known *k, struct oauthbody_ask *ret,
		      struct oauthbody_fault *why)
{
	const char *grant = json_string_value(json_object_get(o, "grant_type"));
	const json_t *refresh = json_object_get(o, "refresh_token");
	const char *value = json_string_value(refresh);

	if (!grant)
		return refuse(why, "oauth", "a request to a token endpoint has no grant_type");
	if (str_eq(grant, "refresh_token")) {
		ret->purpose = OAUTHMSG_REFRESH;
		return value && str_eq(value, d->refresh) ? 0 : wrong_token(k, value ? value : "", why);
	}
	if (!str_eq(grant, "authorization_code") && !str_eq(grant, DEVICE_CODE))
		return refuse(why, "oauth", "of sign-ins only authorization_code, device_code and refresh_token are let through");
	ret->purpose = OAUTHMSG_SIGN_IN;
	return refresh ? refuse(why, "oauth", "a sign-in brings a refresh token") : 0;
}

static int read_revocation(const struct oauthdef *d, const json_t *o, const struct oauthbody_known *k, struct oauthbody_ask *ret,
			   struct oauthbody_fault *why)
{
	const char *value = json_string_value(json_object_get(o, "token"));

	ret->purpose = OAUTHMSG_REVOKE;
	if (!value)
		return refuse(why, "oauth", "a request to an endpoint for revocation has no token");
	ret->access = is_access(d, value);
	return ret->access || str_eq(value, d->refresh) ? 0 : wrong_token(k, value, why);
}

int oauthbody_read(const struct oauthdef *d, bool revoke, const struct oauthbody_bytes *b, const struct oauthbody_known *known,
		   struct oauthbody_ask *ret, struct oauthbody_fault *why)
{
	auto_(json) json_t *o = NULL;
	struct oauthbody_ask a = { .form = is_type(b->type, "application/x-www-form-urlencoded") };
	int r;

	if (!a.form && !is_type(b->type, "application/json"))
		return refuse(why, "oauth", "a request to a token endpoint is neither JSON nor a form");
	o = a.form ? read_form(b) : read_object(b);
	if (!o)
		return refuse(why, "oauth", "a request to a token endpoint cannot be read for certain");
	r = revoke ? read_revocation(d, o, known, &a, why) : read_grant(d, o, known, &a, why);
	if (r == 0)
		*ret = a;
	return r;
}

static int append_json(const json_t *o, struct buf *out)
{
	char *s = json_dumps(o, JSON_COMPACT);
	int r = s ? buf_append_str(out, s) : -ENOMEM;

	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
	return r;
}

int oauthbody_fill(const struct oauthbody_ask *a, const struct oauthbody_bytes *b, const struct oauthmsg_begun *real,
		   struct buf *out)
{
	auto_(json) json_t *o = a->form ? read_form(b) : read_object(b);
	const char *member = a->purpose == OAUTHMSG_REVOKE ? "token" : "refresh_token";
	const char *was = json_string_value(json_object_get(o, member)), *token = real->refresh.s;

	if (a->purpose == OAUTHMSG_SIGN_IN)
		return buf_append(out, b->bytes, b->n);
	if (!was)
		return -ENOENT;
	if (a->access)
		token = real->access.s;
	if (!token[0])
		return -ENOENT;
	if (a->form)
		return replace_in_form(b, member, token, out);
	return json_object_set_new(o, member, json_string(token)) < 0 ? -ENOMEM : append_json(o, out);
}

/* --- responses --- */

/* Whether a member of that name may be a credential. */
static bool is_telling(const char *name)
{
	static const char *const ends[] = { "token", "secret", "key", "assertion", "jwt", "password", "credential", "cookie" };
	size_t n = strlen(name);

	/* Also of many. */
	if (n > 0 && (name[n - 1] | 0x20) == 's')
		n--;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (n >= strlen(ends[i]) && strncasecmp(name + n - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
			return true;
	return false;
}

static bool is_text(const json_t *v)
{
	return json_string_length(v) > 0;
}

/* Whether there is text in it, however deep. */
static bool any_text(const json_t *v, int depth)
{
	const json_t *one;
	const char *name;
	size_t i;

	if (is_text(v) || depth > DEPTH_MAX)
		return true;
	json_array_foreach(v, i, one)
		if (any_text(one, depth + 1))
			return true;
	json_object_foreach((json_t *)(uintptr_t)v, name, one)
		if (any_text(one, depth + 1))
			return true;
	return false;
}

static bool any_telling(const json_t *v, const struct oauthdef *but, int depth);

static bool member_telling(const char *name, const json_t *v, const struct oauthdef *but, int depth)
{
	bool its_place = but && depth == 0 &&
			 (str_eq(name, but->fields.access) || str_eq(name, but->fields.refresh) || str_eq(name, but->fields.id));

	if (its_place)
		return false;
	return (is_telling(name) && any_text(v, depth)) || any_telling(v, but, depth + 1);
}

/* Whether a credential may stand anywhere in it, but in the members of the top that are for tokens; but NULL: there as well. */
static bool any_telling(const json_t *v, const struct oauthdef *but, int depth)
{
	const json_t *one;
	const char *name;
	size_t i;

	if (depth > DEPTH_MAX)
		return true;
	if (json_is_array(v)) {
		json_array_foreach(v, i, one)
			if (any_telling(one, but, depth + 1))
				return true;
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, name, one)
			if (member_telling(name, one, but, depth))
				return true;
	}
	return false;
}

/* A token, none (null or not there), or -EPROTO. */
static int read_token(const json_t *o, const char *name, struct secret *ret)
{
	const json_t *v = json_object_get(o, name);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || secret_check(json_string_value(v), json_string_length(v), NULL) < 0)
		return -EPROTO;
	memcpy(ret->s, json_string_value(v), json_string_length(v));
	return 1;
}

static void wipe(struct oauthbody_tokens *t)
{
	secret_wipe(&t->access);
	secret_wipe(&t->refresh);
	secret_wipe(&t->id);
}

enum oauthbody_answer oauthbody_answer(const struct oauthdef *d, int status, const struct oauthbody_bytes *b, struct oauthbody_tokens *ret)
{
	auto_(json) json_t *o = read_object(b);

	memset(ret, 0, sizeof(*ret));
	if (status < 200 || status > 299 || (o && is_text(json_object_get(o, "error"))))
		return o && (any_telling(o, NULL, 0) || json_object_get(o, d->fields.access)) ? OAUTHBODY_BAD : OAUTHBODY_PASS;
	if (!o || !is_type(b->type, "application/json") || any_telling(o, d, 0))
		return OAUTHBODY_BAD;
	if (read_token(o, d->fields.access, &ret->access) == 1 && read_token(o, d->fields.refresh, &ret->refresh) >= 0 &&
	    read_token(o, d->fields.id, &ret->id) >= 0)
		return OAUTHBODY_TOKENS;
	wipe(ret);
	return OAUTHBODY_BAD;
}

static bool has(const char *s, const struct oauthbody_tokens *real)
{
	return strstr(s, real->access.s) || (real->refresh.s[0] && strstr(s, real->refresh.s)) || (real->id.s[0] && strstr(s, real->id.s));
}

static bool any_real(const json_t *v, const struct oauthbody_tokens *real)
{
	const json_t *one;
	const char *name;
	size_t i;

	if (json_is_string(v))
		return has(json_string_value(v), real);
	json_array_foreach(v, i, one)
		if (any_real(one, real))
			return true;
	json_object_foreach((json_t *)(uintptr_t)v, name, one)
		if (has(name, real) || any_real(one, real))
			return true;
	return false;
}

static int set(json_t *o, const char *name, const char *shown)
{
	if (!json_object_get(o, name) || json_is_null(json_object_get(o, name)))
		return 0;
	if (!shown[0])
		return -EPROTO;
	return json_object_set_new(o, name, json_string(shown)) < 0 ? -ENOMEM : 0;
}

int oauthbody_mask(const struct oauthdef *d, const struct oauthbody_bytes *b, const struct oauthbody_tokens *real,
		   const struct oauthmsg_given *given, struct buf *out)
{
	auto_(json) json_t *o = read_object(b);
	int r = o && real->access.s[0] ? set(o, d->fields.access, given->access) : -EPROTO;

	if (r == 0)
		r = set(o, d->fields.refresh, given->refresh);
	if (r == 0)
		r = set(o, d->fields.id, given->id);
	if (r == 0 && any_real(o, real))
		r = -EPROTO;
	return r == 0 ? append_json(o, out) : r;
}

/* --- what the guest has --- */

/* Base64 of a JWT's part, whose alphabet has other characters and no padding: owned bytes, terminated, or NULL. */
static char *unbase64url(const char *s, size_t n)
{
	char *text = calloc(1, n + 4), *bytes = calloc(1, n + 1);
	ssize_t got = -1;

	if (text && bytes) {
		for (size_t i = 0; i < n; i++)
			text[i] = s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i];
		for (size_t i = n; i % 4; i++)
			text[i] = '=';
		got = keepermsg_unbase64(text, strlen(text), (uint8_t *)bytes, n);
	}
	free(text);
	if (got >= 0)
		return bytes;
	free(bytes);
	return NULL;
}

static char *base64url(const char *s)
{
	char *b64 = keepermsg_base64((const uint8_t *)s, strlen(s));

	for (char *at = b64; at && *at; at++)
		*at = *at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? '\0' : *at;
	return b64;
}

/* The claims of a JWT; NULL: it is none. */
static json_t *read_claims(const char *token)
{
	const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
	auto_free char *text = NULL;
	json_error_t e;
	json_t *o;

	if (!second || strchr(second + 1, '.'))
		return NULL;
	text = unbase64url(first + 1, (size_t)(second - first - 1));
	o = text ? json_loads(text, JSON_REJECT_DUPLICATES, &e) : NULL;
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

static json_t *told_claims(const struct oauthdef *d, json_t *all)
{
	json_t *o = d->nclaims ? json_object() : json_incref(all);

	for (size_t i = 0; i < d->nclaims; i++)
		if (json_object_get(all, d->claims[i]))
			(void)json_object_set(o, d->claims[i], json_object_get(all, d->claims[i]));
	return o;
}

int oauthbody_sentinel(const struct oauthdef *d, const char *token, bool jwt, char *dst)
{
	auto_(json) json_t *all = jwt ? read_claims(token) : NULL, *told = NULL;
	auto_free char *text = NULL, *head = NULL, *claims = NULL;

	if (!all)
		return str_format(dst, OAUTHMSG_SENTINEL_MAX + 1, "%s", d->access) < 0 ? -EMSGSIZE : 0;
	told = told_claims(d, all);
	text = told ? json_dumps(told, JSON_COMPACT) : NULL;
	head = base64url("{\"alg\":\"none\",\"typ\":\"JWT\"}");
	claims = text ? base64url(text) : NULL;
	if (!head || !claims)
		return -ENOMEM;
	return str_format(dst, OAUTHMSG_SENTINEL_MAX + 1, "%s.%s.%s", head, claims, d->access) < 0 ? -EMSGSIZE : 0;
}

/* --- files --- */

#define VARIABLE_MAX 256

static int append_in_string(struct buf *out, const char *s)
{
	auto_(json) json_t *v = json_string(s);
	auto_free char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;

	return text ? buf_append(out, text + 1, strlen(text) - 2) : -ENOMEM;
}

/* "CLAIM" or "CLAIM MEMBER"; changed. */
static int append_claim(const char *token, char *which, struct buf *out)
{
	auto_(json) json_t *claims = read_claims(token);
	char *member = strchr(which, ' ');
	const json_t *v;

	if (member)
		*member++ = 0;
	v = json_object_get(claims, which);
	if (member)
		v = json_object_get(v, member);
	return json_is_string(v) ? append_in_string(out, json_string_value(v)) : 0;
}

/* -ENOENT: no variable. */
static int append_variable(char *name, const struct oauthmsg_given *g, struct buf *out)
{
	if (str_eq(name, "ACCESS_TOKEN"))
		return append_in_string(out, g->access);
	if (str_eq(name, "REFRESH_TOKEN"))
		return append_in_string(out, g->refresh);
	if (str_eq(name, "ID_TOKEN"))
		return append_in_string(out, g->id);
	return str_starts(name, "ID_TOKEN ") ? append_claim(g->id, name + strlen("ID_TOKEN "), out) : -ENOENT;
}

int oauthbody_expand(const char *text, const struct oauthmsg_given *g, struct buf *out)
{
	char name[VARIABLE_MAX];
	int r = 0;

	while (*text && r == 0) {
		size_t plain = strcspn(text, "$"), n = strncmp(text + plain, "${", 2) == 0 ? strcspn(text + plain, "}") : 0;

		r = buf_append(out, text, plain);
		text += plain;
		if (r == 0 && n > 2 && n - 2 < sizeof(name) && text[n] == '}') {
			memcpy(name, text + 2, n - 2);
			name[n - 2] = 0;
			r = append_variable(name, g, out);
			text += r == -ENOENT ? 0 : n + 1;
			if (r != -ENOENT)
				continue;
			r = 0;
		}
		if (r == 0 && *text)
			r = buf_append(out, text++, 1);
	}
	return r;
}
