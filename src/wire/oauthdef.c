/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthdef: see oauthdef.h. Enters: a profile that the user or this program's author wrote, and the same by way of sandboxd, sbx-vm and the
 * keeper.
 */
#include "wire/oauthdef.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"

#define SCHEME "https://"

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the sign-in has no valid \"%s\"", what);
}

/* --- members --- */

/* Printable ASCII without quotes and backslashes: it stands in JSON, in a form, in a header. */
static bool plain_ok(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\')
			return false;
	return n > 0;
}

static int copy(const json_t *v, char *dst, size_t size)
{
	size_t n = json_string_length(v);

	if (!json_is_string(v) || n >= size || !plain_ok(json_string_value(v), n))
		return -EINVAL;
	memcpy(dst, json_string_value(v), n);
	dst[n] = 0;
	return 0;
}

static int text(const json_t *o, const char *key, char *dst, size_t size)
{
	return copy(json_object_get(o, key), dst, size);
}

/* "HOST/PATH", the path kept as it stands: a canonical one, with pattern a pattern. */
static int read_place(const char *s, bool pattern, struct dest *to, char *path)
{
	size_t host = strcspn(s, "/");
	const char *rest = s[host] ? s + host : pattern ? "/**" : "";

	if (host == 0 || host > DEST_HOST_MAX || dest_make(s, host, 443, DEST_HTTPS, to) != DEST_OK || to->kind != DEST_NAME ||
	    strlen(to->host) != host || memcmp(to->host, s, host) != 0)
		return -EINVAL;
	if (rest[0] != '/' || strpbrk(rest, pattern ? "?#;% " : "?#;% *") || strstr(rest, "//") || strstr(rest, "/./") ||
	    strstr(rest, "/../"))
		return -EINVAL;
	return str_format(path, SECRETMSG_TEXT, "%s", rest) < 0 ? -EINVAL : 0;
}

static int read_url(const json_t *v, struct oauthdef_url *ret)
{
	const char *s = json_string_value(v);

	if (!s || strlen(s) != json_string_length(v) || !plain_ok(s, strlen(s)) || !str_starts(s, SCHEME))
		return -EINVAL;
	return read_place(s + strlen(SCHEME), false, &ret->to, ret->path);
}

static int read_urls(const json_t *o, const char *key, struct oauthdef_url *dst, size_t *ret_n)
{
	const json_t *list = json_object_get(o, key), *v;
	size_t i;

	*ret_n = 0;
	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > OAUTHDEF_URLS)
		return -EINVAL;
	json_array_foreach(list, i, v)
		if (read_url(v, &dst[i]) < 0)
			return -EINVAL;
	*ret_n = json_array_size(list);
	return 0;
}

static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool field_ok(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(s);
}

static int read_fields(const json_t *o, struct oauthdef *d)
{
	const json_t *f = json_object_get(o, "fields");
	struct {
		const char *name, *unless;
		char *dst;
	} of[] = {
		{ "access", "access_token", d->fields.access },
		{ "refresh", "refresh_token", d->fields.refresh },
		{ "id", "id_token", d->fields.id },
	};
	size_t seen = 0;

	if (f && !json_is_object(f))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		bool given = json_object_get(f, of[i].name);

		seen += given;
		if (given ? text(f, of[i].name, of[i].dst, OAUTHDEF_FIELD) : str_format(of[i].dst, OAUTHDEF_FIELD, "%s", of[i].unless))
			return -EINVAL;
		if (!field_ok(of[i].dst))
			return -EINVAL;
	}
	if (str_eq(d->fields.access, d->fields.refresh) || str_eq(d->fields.access, d->fields.id) || str_eq(d->fields.refresh, d->fields.id))
		return -EINVAL;
	return json_object_size(f) == seen ? 0 : -EINVAL;
}

static bool placeholder_ok(const char *s, bool jwt)
{
	size_t n = strlen(s);

	if (n < OAUTHDEF_PLACEHOLDER_MIN || strpbrk(s, " :;,&=%+"))
		return false;
	return !jwt || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

/* A binding's members are checked where those of every secret are. */
static int check_bindings(const struct oauthdef *d, struct err *err)
{
	auto_free struct secretmsg_secret *s = calloc(2, sizeof(*s));
	json_t *o;
	int r;

	if (!s)
		return err_errno(err, ENOMEM, "the sign-in");
	memcpy(s->name, d->service, sizeof(s->name));
	memcpy(s->placeholder, d->access, sizeof(s->placeholder));
	memcpy(s->bindings, d->bindings, sizeof(s->bindings));
	s->nbindings = d->nbindings;
	o = secretmsg_write(s);
	r = o ? secretmsg_read(o, s + 1, err) : err_errno(err, ENOMEM, "the sign-in");
	json_decref(o);
	return r;
}

static int read_access(const json_t *o, struct oauthdef *d, struct err *err)
{
	const json_t *a = json_object_get(o, "access"), *hosts = json_object_get(a, "hosts"), *v;
	char form[8], header[SECRETMSG_NAME] = "", format[SECRETMSG_TEXT] = "", place[DEST_HOST_MAX + SECRETMSG_TEXT];
	size_t i;

	if (!json_is_object(a) || json_object_size(a) != 5 || text(a, "form", form, sizeof(form)) < 0 ||
	    (!str_eq(form, "jwt") && !str_eq(form, "opaque")))
		return bad(err, "access");
	d->jwt = str_eq(form, "jwt");
	if (text(a, "placeholder", d->access, sizeof(d->access)) < 0 || !placeholder_ok(d->access, d->jwt))
		return bad(err, "access.placeholder");
	if (text(a, "header", header, sizeof(header)) < 0 || text(a, "format", format, sizeof(format)) < 0)
		return bad(err, "access.header");
	if (!json_is_array(hosts) || json_array_size(hosts) == 0 || json_array_size(hosts) > SECRETMSG_BINDINGS_MAX)
		return bad(err, "access.hosts");
	json_array_foreach(hosts, i, v) {
		struct secretmsg_binding *b = &d->bindings[i];

		if (copy(v, place, sizeof(place)) < 0 || read_place(place, true, &b->to, b->path) < 0)
			return bad(err, "access.hosts");
		memcpy(b->header, header, sizeof(b->header));
		memcpy(b->format, format, sizeof(b->format));
	}
	d->nbindings = json_array_size(hosts);
	return check_bindings(d, err);
}

static int read_claims(const json_t *o, struct oauthdef *d)
{
	const json_t *list = json_object_get(o, "claims"), *v;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > OAUTHDEF_CLAIMS)
		return -EINVAL;
	json_array_foreach(list, i, v)
		if (copy(v, d->claims[i], sizeof(d->claims[i])) < 0)
			return -EINVAL;
	d->nclaims = json_array_size(list);
	return 0;
}

static bool members_ok(const json_t *o)
{
	static const char *const known[] = { "service", "token", "revoke", "refuse", "fields", "access", "refresh", "claims" };
	size_t seen = 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		seen += json_object_get(o, known[i]) != NULL;
	return json_is_object(o) && json_object_size(o) == seen;
}

int oauthdef_read(const json_t *o, struct oauthdef *ret, struct err *err)
{
	auto_free struct oauthdef *d = calloc(1, sizeof(*d));
	const json_t *refresh = json_object_get(o, "refresh");
	int r;

	if (!d)
		return err_errno(err, ENOMEM, "the sign-in");
	if (!members_ok(o))
		return err_set(err, ERR_INVALID, EINVAL, "the sign-in has a member that is not known");
	if (text(o, "service", d->service, sizeof(d->service)) < 0 || !name_ok(d->service))
		return bad(err, "service");
	if (read_urls(o, "token", d->token, &d->ntoken) < 0)
		return bad(err, "token");
	if (read_urls(o, "revoke", d->revoke, &d->nrevoke) < 0)
		return bad(err, "revoke");
	if (read_urls(o, "refuse", d->refuse, &d->nrefuse) < 0)
		return bad(err, "refuse");
	if (d->ntoken == 0 && d->nrefuse == 0)
		return bad(err, "token");
	if (read_fields(o, d) < 0)
		return bad(err, "fields");
	r = read_access(o, d, err);
	if (r < 0)
		return r;
	if (text(refresh, "placeholder", d->refresh, sizeof(d->refresh)) < 0 || !placeholder_ok(d->refresh, false) ||
	    json_object_size(refresh) != 1 || strstr(d->refresh, d->access) || strstr(d->access, d->refresh))
		return bad(err, "refresh");
	if (read_claims(o, d) < 0)
		return bad(err, "claims");
	*ret = *d;
	return 0;
}

static json_t *write_urls(const struct oauthdef_url *u, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, json_sprintf(SCHEME "%s%s", u[i].to.host, u[i].path));
	return list;
}

json_t *oauthdef_write(const struct oauthdef *d)
{
	json_t *hosts = json_array(), *claims = d->nclaims ? json_array() : NULL;

	for (size_t i = 0; i < d->nbindings; i++)
		(void)json_array_append_new(hosts, json_sprintf("%s%s", d->bindings[i].to.host, d->bindings[i].path));
	for (size_t i = 0; i < d->nclaims; i++)
		(void)json_array_append_new(claims, json_string(d->claims[i]));
	return json_pack("{ss so so so s{ss ss ss} s{ss ss so ss ss} s{ss} so*}", "service", d->service, "token",
			 write_urls(d->token, d->ntoken), "revoke", write_urls(d->revoke, d->nrevoke), "refuse",
			 write_urls(d->refuse, d->nrefuse), "fields", "access", d->fields.access, "refresh", d->fields.refresh, "id",
			 d->fields.id, "access", "placeholder", d->access, "form", d->jwt ? "jwt" : "opaque", "hosts", hosts, "header",
			 d->bindings[0].header, "format", d->bindings[0].format, "refresh", "placeholder", d->refresh, "claims", claims);
}

static bool url_equal(const struct oauthdef_url *a, const struct oauthdef_url *b)
{
	return dest_equal(&a->to, &b->to) && str_eq(a->path, b->path);
}

/* Whether one of the others has its name, or an endpoint of it. */
static bool clashes(const struct oauthdef_list *l, const struct oauthdef *d)
{
	for (size_t i = 0; i < l->n; i++) {
		if (str_eq(l->of[i].service, d->service))
			return true;
		for (size_t a = 0; a < d->ntoken; a++)
			for (size_t b = 0; b < l->of[i].ntoken; b++)
				if (url_equal(&d->token[a], &l->of[i].token[b]))
					return true;
	}
	return false;
}

int oauthdef_read_list(const json_t *list, struct oauthdef_list *ret, struct err *err)
{
	auto_free struct oauthdef_list *l = calloc(1, sizeof(*l));
	const json_t *v;
	size_t i;

	if (!l)
		return err_errno(err, ENOMEM, "the sign-ins");
	if (!json_is_array(list) || json_array_size(list) > OAUTHDEF_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "the sign-ins are a list of at most %d", OAUTHDEF_MAX);
	json_array_foreach(list, i, v) {
		int r = oauthdef_read(v, &l->of[i], err);

		if (r < 0)
			return r;
		if (clashes(l, &l->of[i]))
			return err_set(err, ERR_INVALID, EINVAL, "'%s' is there twice, or has an endpoint of another sign-in",
				       l->of[i].service);
		l->n++;
	}
	*ret = *l;
	return 0;
}

json_t *oauthdef_write_list(const struct oauthdef_list *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(list, oauthdef_write(&l->of[i]));
	return list;
}

const struct oauthdef *oauthdef_find(const struct oauthdef_list *l, const char *service)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->of[i].service, service))
			return &l->of[i];
	return NULL;
}

/* --- which request is one --- */

/* The length of a slash there, which may be an escaped one; 0: none. */
static size_t slash(const char *s)
{
	return *s == '/' ? 1 : str_starts(s, "%2F") ? 3 : 0;
}

/* The same but for case and slashes: what a lenient server may take for the endpoint. */
static bool almost(const char *path, const char *endpoint)
{
	for (size_t n;;) {
		while ((n = slash(path)) && (slash(path + n) || !path[n]))
			path += n;
		while (*endpoint == '/' && !endpoint[1])
			endpoint++;
		if (!*path || !*endpoint)
			return *path == *endpoint;
		if (n ? *endpoint != '/' : strncasecmp(path, endpoint, 1) != 0)
			return false;
		path += n ? n : 1;
		endpoint++;
	}
}

/* 2: exactly, 1: almost; on another port there may be the same server. */
static int in(const struct oauthdef_url *u, size_t n, const struct dest *to, const char *path)
{
	int best = 0;

	for (size_t i = 0; i < n; i++)
		if (dest_equal(&u[i].to, to) && str_eq(u[i].path, path))
			best = 2;
		else if (best == 0 && dest_same_host(&u[i].to, to) && almost(path, u[i].path))
			best = 1;
	return best;
}

enum oauthdef_use oauthdef_use(const struct oauthdef_list *l, const struct dest *to, const char *path, const struct oauthdef **ret)
{
	enum oauthdef_use found = OAUTHDEF_NONE;

	for (size_t i = 0; i < l->n; i++) {
		const struct oauthdef *d = &l->of[i];
		int token = in(d->token, d->ntoken, to, path), revoke = in(d->revoke, d->nrevoke, to, path),
		    refuse = in(d->refuse, d->nrefuse, to, path);

		if (token == 2 || revoke == 2 || refuse == 2) {
			*ret = d;
			return token == 2 ? OAUTHDEF_TOKEN : revoke == 2 ? OAUTHDEF_REVOKE : OAUTHDEF_REFUSED;
		}
		if (found == OAUTHDEF_NONE && (token || revoke || refuse)) {
			*ret = d;
			found = OAUTHDEF_ALMOST;
		}
	}
	return found;
}

bool oauthdef_has_host(const struct oauthdef_list *l, const struct dest *to)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct oauthdef *d = &l->of[i];

		for (size_t u = 0; u < OAUTHDEF_URLS; u++)
			if ((u < d->ntoken && dest_same_host(&d->token[u].to, to)) || (u < d->nrevoke && dest_same_host(&d->revoke[u].to, to)) ||
			    (u < d->nrefuse && dest_same_host(&d->refuse[u].to, to)))
				return true;
	}
	return false;
}
