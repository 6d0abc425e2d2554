/* SPDX-License-Identifier: Apache-2.0
 *
 * logins: see logins.h. Enters: what wire/loginmsg has checked, and our own document.
 */
#include "keeper/logins.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

struct found {
	struct loginmsg_login login;
	struct loginmsg_secrets secrets;
};

static void found_free(struct found *f)
{
	explicit_bzero(f, sizeof(*f));
	free(f);
}
DEFINE_AUTO(found, struct found *, found_free);

/* --- the document --- */

static int spoilt(struct err *err)
{
	return err_set(err, ERR_INTERNAL, EBADMSG, "keeper/secrets: the document \"%s\" is not what sbx-keeper writes", STORE_LOGINS);
}

/* Its list, owned; new where there is no document. */
static int load(struct store *s, json_t **ret, struct err *err)
{
	auto_box struct box_bytes text = { 0 };
	auto_(json) json_t *o = NULL;
	json_t *list;
	json_error_t e;
	int r = store_read(s, STORE_LOGINS, &text, err);

	if (r == -ENOENT) {
		*ret = json_array();
		return *ret ? 0 : err_errno(err, ENOMEM, "the sign-ins");
	}
	if (r < 0)
		return r;
	o = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &e);
	list = json_object_get(o, "logins");
	if (json_integer_value(json_object_get(o, "v")) != 1 || !json_is_array(list) || json_array_size(list) > LOGINMSG_MAX)
		return spoilt(err);
	*ret = json_incref(list);
	return 0;
}

static int save(struct store *s, json_t *list, struct err *err)
{
	auto_(json) json_t *o = json_pack("{si sO}", "v", 1, "logins", list);
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	int r = text ? store_write(s, STORE_LOGINS, text, strlen(text), err) : err_errno(err, ENOMEM, "the sign-ins");

	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

static int read_at(const json_t *list, size_t i, struct found *ret, struct err *err)
{
	const json_t *o = json_array_get(list, i);

	return loginmsg_read(json_object_get(o, "login"), &ret->login, NULL) < 0 ||
			       loginmsg_read_secrets(json_object_get(o, "secrets"), &ret->secrets, NULL) < 0 ?
		       spoilt(err) :
		       0;
}

static bool is_named(const struct loginmsg_login *l, const char *name)
{
	char own[OIDC_URL];

	loginmsg_name(l, own);
	return str_eq(own, name);
}

/* Its place in list and its content; -ENOENT, err untouched. */
static ssize_t find(const json_t *list, const char *name, struct found *ret, struct err *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = read_at(list, i, ret, err);

		if (r < 0)
			return r;
		if (is_named(&ret->login, name))
			return (ssize_t)i;
	}
	return -ENOENT;
}

static int none(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, ENOENT, "nobody is signed in to %.300s", name);
}

/* --- */

int logins_list(struct store *s, struct loginmsg_list *ret, struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	int r = f ? load(s, &list, err) : err_errno(err, ENOMEM, "the sign-ins");

	ret->n = 0;
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		r = read_at(list, i, f, err);
		if (r == 0)
			ret->of[ret->n++] = f->login;
	}
	return r;
}

/* A registry has one credential; room: all of them fit into one reply. */
static int check(const struct loginmsg_list *l, const struct loginmsg_login *login, struct err *err)
{
	char name[OIDC_URL], other[OIDC_URL], registry[DEST_PRINT_MAX];
	size_t others = 0;

	loginmsg_name(login, name);
	for (size_t i = 0; i < l->n; i++) {
		loginmsg_name(&l->of[i], other);
		if (str_eq(name, other))
			continue;
		others++;
		for (size_t k = 0; k < login->nregistries; k++) {
			if (!loginmsg_has_registry(&l->of[i], &login->registries[k]))
				continue;
			dest_print(&login->registries[k], registry);
			return err_set(err, ERR_CONFLICT, EEXIST, "%s uses the sign-in to %.200s: sign out of that first", registry, other);
		}
	}
	return others < LOGINMSG_MAX ? 0 :
				       err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are %d sign-ins already: sign out of one first",
					       LOGINMSG_MAX);
}

int logins_check(struct store *s, const struct loginmsg_login *login, struct err *err)
{
	auto_free struct loginmsg_list *l = calloc(1, sizeof(*l));
	int r = l ? logins_list(s, l, err) : err_errno(err, ENOMEM, "the sign-ins");

	return r == 0 ? check(l, login, err) : r;
}

/* The one of a name: its place; the list is owned by the caller. */
static ssize_t look_up(struct store *s, const char *name, json_t **list, struct found *f, struct err *err)
{
	int r = load(s, list, err);
	ssize_t at = r < 0 ? r : find(*list, name, f, err);

	return r == 0 && at == -ENOENT ? none(name, err) : at;
}

int logins_find(struct store *s, const char *name, struct loginmsg_login *ret, struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	ssize_t at = f ? look_up(s, name, &list, f, err) : err_errno(err, ENOMEM, "the sign-ins");

	if (at < 0)
		return (int)at;
	*ret = f->login;
	return 0;
}

int logins_secrets(struct store *s, const char *name, struct loginmsg_secrets *ret, struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	ssize_t at = f ? look_up(s, name, &list, f, err) : err_errno(err, ENOMEM, "the sign-ins");

	if (at < 0)
		return (int)at;
	*ret = f->secrets;
	return 0;
}

/* All records without their secrets must fit into one reply. */
static int check_size(const json_t *list, struct err *err)
{
	size_t bytes = 32;

	for (size_t i = 0; i < json_array_size(list); i++)
		bytes += 1 + json_dumpb(json_object_get(json_array_get(list, i), "login"), NULL, 0, JSON_COMPACT);
	return bytes <= KEEPERMSG_MAX_BYTES ? 0 : err_set(err, ERR_UNAVAILABLE, ENOSPC, "there is no more room: sign out of something first");
}

int logins_put(struct store *s, const struct loginmsg_login *l, const struct loginmsg_secrets *secrets, bool must_exist,
	       struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	char name[OIDC_URL];
	json_t *one;
	ssize_t at;
	int r = f ? logins_check(s, l, err) : err_errno(err, ENOMEM, "the sign-in");

	if (r < 0)
		return r;
	loginmsg_name(l, name);
	at = look_up(s, name, &list, f, err);
	if (at < 0 && (at != -ENOENT || must_exist))
		return (int)at;
	one = json_pack("{so so}", "login", loginmsg_write(l), "secrets", loginmsg_write_secrets(secrets));
	if (!one || (at < 0 ? json_array_append_new(list, one) : json_array_set_new(list, (size_t)at, one)) < 0)
		return err_errno(err, ENOMEM, "the sign-in");
	r = check_size(list, err);
	return r == 0 ? save(s, list, err) : r;
}

int logins_remove(struct store *s, const char *name, struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	ssize_t at = f ? look_up(s, name, &list, f, err) : err_errno(err, ENOMEM, "the sign-ins");

	if (at < 0)
		return (int)at;
	(void)json_array_remove(list, (size_t)at);
	return save(s, list, err);
}

static int fill(const struct found *f, struct loginmsg_credential *ret, struct err *err)
{
	int r = f->login.issuer[0] ? str_format(ret->authorization, sizeof(ret->authorization), "Bearer %s", f->secrets.access) :
				     loginmsg_basic(f->login.user, f->secrets.password, ret->authorization);

	if (r < 0)
		return err_set(err, ERR_INTERNAL, EMSGSIZE, "the credential does not fit into a header");
	ret->expires = f->login.expires;
	ret->realm = f->login.realm;
	return 0;
}

int logins_credential(struct store *s, const struct dest *registry, struct loginmsg_credential *ret, struct err *err)
{
	auto_(json) json_t *list = NULL;
	auto_(found) struct found *f = calloc(1, sizeof(*f));
	char name[DEST_PRINT_MAX];
	int r = f ? load(s, &list, err) : err_errno(err, ENOMEM, "the sign-ins");

	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		r = read_at(list, i, f, err);
		if (r == 0 && loginmsg_has_registry(&f->login, registry))
			return fill(f, ret, err);
	}
	dest_print(registry, name);
	return r < 0 ? r : none(name, err);
}
