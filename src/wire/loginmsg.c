/* SPDX-License-Identifier: Apache-2.0
 *
 * loginmsg: see loginmsg.h. Enters: JSON text of the command line, of sbx-login, of the keeper and of its store.
 */
#include "wire/loginmsg.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/member.h"
#include "wire/secretmsg.h"

static const char *const op_names[] = {
	[LOGINMSG_LIST] = "login-list", [LOGINMSG_RM] = "login-rm",   [LOGINMSG_BEGIN] = "login-begin",
	[LOGINMSG_USE] = "login-use",   [LOGINMSG_PUT] = "login-put", [LOGINMSG_SECRETS] = "login-secrets",
	[LOGINMSG_CREDENTIAL] = "registry-credential",
};

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the sign-in has no valid \"%s\"", what);
}

void loginmsg_name(const struct loginmsg_login *l, char dst[OIDC_URL])
{
	_Static_assert(DEST_PRINT_MAX <= OIDC_URL, "a registry's name fits where an issuer's does");
	if (l->issuer[0])
		memcpy(dst, l->issuer, OIDC_URL);
	else
		dest_print(&l->registries[0], dst);
}

bool loginmsg_has_registry(const struct loginmsg_login *l, const struct dest *registry)
{
	for (size_t i = 0; i < l->nregistries; i++)
		if (dest_equal(&l->registries[i], registry))
			return true;
	return false;
}

int loginmsg_basic(const char *user, const char *password, char *dst)
{
	char *plain = str_new("%s:%s", user, password), *b64 = plain ? keepermsg_base64((const uint8_t *)plain, strlen(plain)) : NULL;
	int r = b64 ? str_format(dst, LOGINMSG_AUTHORIZATION, "Basic %s", b64) : -ENOMEM;

	if (plain)
		explicit_bzero(plain, strlen(plain));
	if (b64)
		explicit_bzero(b64, strlen(b64));
	free(plain);
	free(b64);
	return r == -ENAMETOOLONG ? -EMSGSIZE : r;
}

int loginmsg_check_password(const char *s, size_t n, struct err *err)
{
	if (n == 0 || n >= LOGINMSG_PASSWORD)
		return err_set(err, ERR_INVALID, EINVAL, "a password has 1 to %d bytes; this one has %zu", LOGINMSG_PASSWORD - 1, n);
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~')
			return err_set(err, ERR_INVALID, EINVAL, "a password is one line of printable ASCII");
	return 0;
}

/* --- members --- */

/* Canonical as it stands. */
static int registry_of(const char *s, struct dest *ret)
{
	char again[DEST_PRINT_MAX];
	struct dest d;

	if (!s || dest_parse_authority(s, strlen(s), 0, DEST_HTTPS, &d) != DEST_OK)
		return -EINVAL;
	dest_print(&d, again);
	if (!str_eq(again, s))
		return -EINVAL;
	*ret = d;
	return 0;
}

static int member_registry(const json_t *o, const char *key, struct dest *ret)
{
	char s[DEST_PRINT_MAX];
	int r = member_word(o, key, s, sizeof(s));

	return r < 0 ? r : registry_of(s, ret);
}

static int read_registries(const json_t *list, struct loginmsg_login *l)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > LOGINMSG_REGISTRIES_MAX)
		return -EINVAL;
	json_array_foreach(list, i, v) {
		struct dest d;

		if (registry_of(json_string_value(v), &d) < 0 || strlen(json_string_value(v)) != json_string_length(v) ||
		    loginmsg_has_registry(l, &d))
			return -EINVAL;
		l->registries[l->nregistries++] = d;
	}
	return l->issuer[0] || l->nregistries == 1 ? 0 : -EINVAL;
}

/* "..." or null, and there. */
static int optional_word(const json_t *o, const char *key, char *dst, size_t size)
{
	int r = member_word(o, key, dst, size);

	if (r == -ENOENT)
		return json_object_get(o, key) ? 0 : -EINVAL;
	return r == 0 && dst[0] ? 0 : -EINVAL;
}

static int read_who(const json_t *o, struct loginmsg_login *l, struct err *err)
{
	if (member_text(o, "user", l->user, sizeof(l->user)) < 0)
		return bad(err, "user");
	if (member_text(o, "email", l->email, sizeof(l->email)) == -EINVAL || !json_object_get(o, "email"))
		return bad(err, "email");
	return member_int(o, "expires", 0, INT64_MAX, &l->expires) < 0 ? bad(err, "expires") : 0;
}

int loginmsg_read(const json_t *o, struct loginmsg_login *ret, struct err *err)
{
	struct loginmsg_login l = { 0 };
	int r;

	if (optional_word(o, "issuer", l.issuer, sizeof(l.issuer)) < 0 || (l.issuer[0] && oidc_url(l.issuer, NULL) < 0))
		return bad(err, "issuer");
	if (optional_word(o, "client", l.client, sizeof(l.client)) < 0 || (l.client[0] != 0) != (l.issuer[0] != 0))
		return bad(err, "client");
	r = read_who(o, &l, err);
	if (r < 0)
		return r;
	/* It is one half of "USER:PASSWORD" (RFC 7617, section 2). */
	if (!l.issuer[0] && strchr(l.user, ':'))
		return bad(err, "user");
	if (read_registries(json_object_get(o, "registries"), &l) < 0)
		return bad(err, "registries");
	r = member_registry(o, "realm", &l.realm);
	if (r == -EINVAL || !json_object_get(o, "realm") || (r == 0 && l.issuer[0]))
		return bad(err, "realm");
	if (member_int(o, "since", 0, INT64_MAX, &l.since) < 0 || json_object_size(o) != 8)
		return bad(err, "since");
	*ret = l;
	return 0;
}

static json_t *string_or_null(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

static json_t *registry_or_null(const struct dest *d)
{
	char s[DEST_PRINT_MAX] = "";

	if (d->host[0])
		dest_print(d, s);
	return string_or_null(s);
}

json_t *loginmsg_write(const struct loginmsg_login *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->nregistries; i++)
		(void)json_array_append_new(list, registry_or_null(&l->registries[i]));
	if (json_array_size(list) != l->nregistries) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{so so ss so so so sI sI}", "issuer", string_or_null(l->issuer), "client", string_or_null(l->client), "user",
			 l->user, "email", string_or_null(l->email), "registries", list, "realm", registry_or_null(&l->realm), "since",
			 (json_int_t)l->since, "expires", (json_int_t)l->expires);
}

int loginmsg_read_secrets(const json_t *o, struct loginmsg_secrets *ret, struct err *err)
{
	/* Read in place: nothing is copied that would have to be wiped. */
	if (json_object_size(o) != 4 || member_word(o, "access", ret->access, sizeof(ret->access)) < 0 ||
	    member_word(o, "refresh", ret->refresh, sizeof(ret->refresh)) < 0 || member_word(o, "id", ret->id, sizeof(ret->id)) < 0 ||
	    member_text(o, "password", ret->password, sizeof(ret->password)) < 0) {
		explicit_bzero(ret, sizeof(*ret));
		return bad(err, "secrets");
	}
	return 0;
}

json_t *loginmsg_write_secrets(const struct loginmsg_secrets *s)
{
	return json_pack("{ss ss ss ss}", "access", s->access, "refresh", s->refresh, "id", s->id, "password", s->password);
}

/* --- requests --- */

static int read_name(const json_t *o, char dst[OIDC_URL])
{
	struct dest d;

	return member_word(o, "name", dst, OIDC_URL) < 0 || (oidc_url(dst, NULL) < 0 && registry_of(dst, &d) < 0) ? -EINVAL : 0;
}

static int read_request(const json_t *o, struct loginmsg_request *q, struct err *err)
{
	static const size_t members[] = { [LOGINMSG_LIST] = 1, [LOGINMSG_RM] = 2,      [LOGINMSG_BEGIN] = 2,     [LOGINMSG_USE] = 2,
					  [LOGINMSG_PUT] = 5,  [LOGINMSG_SECRETS] = 1, [LOGINMSG_CREDENTIAL] = 2 };
	int r = 0;

	if ((q->op == LOGINMSG_RM || q->op == LOGINMSG_USE) && read_name(o, q->name) < 0)
		return bad(err, "name");
	if (q->op == LOGINMSG_CREDENTIAL && member_registry(o, "registry", &q->registry) < 0)
		return bad(err, "registry");
	if (q->op == LOGINMSG_BEGIN)
		r = loginmsg_read(json_object_get(o, "login"), &q->login, err);
	if (q->op == LOGINMSG_PUT)
		r = read_who(o, &q->login, err);
	if (r == 0 && q->op == LOGINMSG_PUT)
		r = loginmsg_read_secrets(json_object_get(o, "secrets"), &q->secrets, err);
	if (r == 0 && json_object_size(o) != members[q->op])
		r = err_set(err, ERR_INVALID, EINVAL, "the message has members that do not belong to \"%s\"", op_names[q->op]);
	return r;
}

/* Whether JSON is from this module is told by its op alone; what is no JSON is somebody else's to refuse. */
int loginmsg_decode(const char *json, size_t n, struct loginmsg_request *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	char op[32];
	size_t i = 0;
	int r;

	if (member_parse(json, n, "the message", &o, NULL) < 0 || member_word(o, "op", op, sizeof(op)) < 0)
		return -ENOENT;
	while (i < ARRAY_LEN(op_names) && !str_eq(op, op_names[i]))
		i++;
	if (i == ARRAY_LEN(op_names))
		return -ENOENT;
	memset(ret, 0, sizeof(*ret));
	ret->op = (enum loginmsg_op)i;
	r = read_request(o, ret, err);
	if (r < 0)
		explicit_bzero(ret, sizeof(*ret));
	return r;
}

int loginmsg_encode(const struct loginmsg_request *r, struct buf *out)
{
	const char *op = op_names[r->op];

	switch (r->op) {
	case LOGINMSG_LIST:
	case LOGINMSG_SECRETS:
		return secretmsg_emit(json_pack("{ss}", "op", op), out);
	case LOGINMSG_RM:
	case LOGINMSG_USE:
		return secretmsg_emit(json_pack("{ss ss}", "op", op, "name", r->name), out);
	case LOGINMSG_BEGIN:
		return secretmsg_emit(json_pack("{ss so}", "op", op, "login", loginmsg_write(&r->login)), out);
	case LOGINMSG_PUT:
		return secretmsg_emit(json_pack("{ss ss so sI so}", "op", op, "user", r->login.user, "email", string_or_null(r->login.email),
				      "expires", (json_int_t)r->login.expires, "secrets", loginmsg_write_secrets(&r->secrets)),
			    out);
	case LOGINMSG_CREDENTIAL:
		return secretmsg_emit(json_pack("{ss so}", "op", op, "registry", registry_or_null(&r->registry)), out);
	}
	return -EINVAL;
}

/* --- replies --- */

static int parse_reply(const char *json, size_t n, json_t **ret, struct err *err)
{
	const json_t *e;
	char kind[32];
	const char *message;
	int r = n > KEEPERMSG_MAX_BYTES ? err_set(err, ERR_INVALID, EMSGSIZE, "the reply is too long") :
					  member_parse(json, n, "the reply", ret, err);

	if (r < 0)
		return r;
	if (json_is_true(json_object_get(*ret, "ok")))
		return 0;
	e = json_object_get(*ret, "error");
	message = json_string_value(json_object_get(e, "message"));
	if (member_word(e, "kind", kind, sizeof(kind)) < 0 || !message)
		return bad(err, "reply");
	r = err_set(err, err_kind_from_name(kind), 0, "?");
	if (err)
		str_escape(err->msg, sizeof(err->msg), message, strlen(message));
	return r;
}

int loginmsg_decode_list(const char *json, size_t n, struct loginmsg_list *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	auto_free struct loginmsg_list *l = calloc(1, sizeof(*l));
	const json_t *list, *one;
	size_t i;
	int r = l ? parse_reply(json, n, &o, err) : err_errno(err, ENOMEM, "the sign-ins");

	if (r < 0)
		return r;
	list = json_object_get(o, "logins");
	if (!json_is_array(list) || json_array_size(list) > LOGINMSG_MAX || json_object_size(o) != 2)
		return bad(err, "logins");
	json_array_foreach(list, i, one)
		if (r == 0)
			r = loginmsg_read(one, &l->of[l->n++], err);
	if (r == 0)
		*ret = *l;
	return r;
}

int loginmsg_decode_login(const char *json, size_t n, struct loginmsg_login *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	int r = parse_reply(json, n, &o, err);

	if (r < 0)
		return r;
	return json_object_size(o) == 2 ? loginmsg_read(json_object_get(o, "login"), ret, err) : bad(err, "login");
}

int loginmsg_decode_secrets(const char *json, size_t n, struct loginmsg_secrets *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	int r = parse_reply(json, n, &o, err);

	if (r < 0)
		return r;
	return json_object_size(o) == 2 ? loginmsg_read_secrets(json_object_get(o, "secrets"), ret, err) : bad(err, "secrets");
}

int loginmsg_decode_credential(const char *json, size_t n, struct loginmsg_credential *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	struct loginmsg_credential c = { 0 };
	int r = parse_reply(json, n, &o, err);

	if (r < 0)
		return r;
	if (json_object_size(o) != 4 || member_text(o, "authorization", c.authorization, sizeof(c.authorization)) < 0 ||
	    !c.authorization[0])
		r = bad(err, "authorization");
	else if (member_int(o, "expires", 0, INT64_MAX, &c.expires) < 0)
		r = bad(err, "expires");
	else if (member_registry(o, "realm", &c.realm) == -EINVAL || !json_object_get(o, "realm"))
		r = bad(err, "realm");
	else
		*ret = c;
	explicit_bzero(&c, sizeof(c));
	return r;
}

int loginmsg_encode_list(const struct loginmsg_list *l, struct buf *out)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(list, loginmsg_write(&l->of[i]));
	if (json_array_size(list) != l->n) {
		json_decref(list);
		return -ENOMEM;
	}
	return secretmsg_emit(json_pack("{sb so}", "ok", 1, "logins", list), out);
}

int loginmsg_encode_login(const struct loginmsg_login *l, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb so}", "ok", 1, "login", loginmsg_write(l)), out);
}

int loginmsg_encode_secrets(const struct loginmsg_secrets *s, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb so}", "ok", 1, "secrets", loginmsg_write_secrets(s)), out);
}

int loginmsg_encode_credential(const struct loginmsg_credential *c, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb ss sI so}", "ok", 1, "authorization", c->authorization, "expires", (json_int_t)c->expires, "realm",
			      registry_or_null(&c->realm)),
		    out);
}
