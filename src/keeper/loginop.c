/* SPDX-License-Identifier: Apache-2.0
 *
 * loginop: see loginop.h.
 */
#include "keeper/loginop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "keeper/logins.h"

static int denied(struct err *err, const char *why)
{
	return err_set(err, ERR_DENIED, EPERM, "%s", why);
}

/* --- anybody's but a sandbox's and a login's --- */

static int take(struct peer *p, const struct loginmsg_login *l, bool used, struct err *err)
{
	p->login = malloc(sizeof(*p->login));
	if (!p->login)
		return err_errno(err, ENOMEM, "the sign-in");
	*p->login = *l;
	p->login_used = used;
	return 0;
}

static int begin(const struct keeper *k, struct peer *p, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	int r = logins_check(k->store, &q->login, err);

	if (r == 0)
		r = take(p, &q->login, false, err);
	return r < 0 ? r : secretmsg_encode_ok(out);
}

static int use(const struct keeper *k, struct peer *p, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	struct loginmsg_login l;
	int r = logins_find(k->store, q->name, &l, err);

	if (r == 0)
		r = take(p, &l, true, err);
	return r < 0 ? r : loginmsg_encode_login(&l, out);
}

static int give_list(const struct keeper *k, struct buf *out, struct err *err)
{
	auto_free struct loginmsg_list *l = calloc(1, sizeof(*l));
	int r = l ? logins_list(k->store, l, err) : err_errno(err, ENOMEM, "the sign-ins");

	return r < 0 ? r : loginmsg_encode_list(l, out);
}

static int rm(const struct keeper *k, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	int r = logins_remove(k->store, q->name, err);

	if (r < 0)
		return r;
	log_info("event=signed_out name=%s", q->name);
	return secretmsg_encode_ok(out);
}

/* --- a login's own --- */

static int put(const struct keeper *k, struct peer *p, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	struct loginmsg_login l = *p->login;
	char name[OIDC_URL];
	int r;

	/* Who it is stays, where it is known already: a password's user, and whoever a renewed token is of. */
	if (!q->login.user[0] || (l.user[0] && !str_eq(l.user, q->login.user)))
		return denied(err, "this connection is another user's");
	if (l.issuer[0] ? !q->secrets.access[0] || q->secrets.password[0] : q->secrets.access[0] || !q->secrets.password[0])
		return err_set(err, ERR_INVALID, EINVAL, "the sign-in has no credential of its kind");
	memcpy(l.user, q->login.user, sizeof(l.user));
	if (!p->login_used)
		memcpy(l.email, q->login.email, sizeof(l.email));
	l.expires = q->login.expires;
	if (!p->login_used)
		l.since = time(NULL);
	r = logins_put(k->store, &l, &q->secrets, p->login_used, err);
	if (r < 0)
		return r;
	*p->login = l;
	loginmsg_name(&l, name);
	log_info("event=%s name=%s", p->login_used ? "token_renewed" : "signed_in", name);
	return secretmsg_encode_ok(out);
}

static int give_secrets(const struct keeper *k, const struct peer *p, struct buf *out, struct err *err)
{
	struct loginmsg_secrets *s = calloc(1, sizeof(*s));
	char name[OIDC_URL];
	int r;

	loginmsg_name(p->login, name);
	r = s ? logins_secrets(k->store, name, s, err) : err_errno(err, ENOMEM, "the sign-in");
	if (r == 0)
		r = loginmsg_encode_secrets(s, out);
	if (s)
		explicit_bzero(s, sizeof(*s));
	free(s);
	return r;
}

static int give_credential(const struct keeper *k, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	struct loginmsg_credential c = { 0 };
	int r = logins_credential(k->store, &q->registry, &c, err);

	if (r == 0)
		r = loginmsg_encode_credential(&c, out);
	explicit_bzero(&c, sizeof(c));
	return r;
}

static int own_op(const struct keeper *k, struct peer *p, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	if (q->op == LOGINMSG_PUT)
		return put(k, p, q, out, err);
	if (q->op == LOGINMSG_SECRETS && p->login_used)
		return give_secrets(k, p, out, err);
	if (q->op == LOGINMSG_CREDENTIAL && p->login_used && loginmsg_has_registry(p->login, &q->registry))
		return give_credential(k, q, out, err);
	return denied(err, "a sign-in's own connection may not do this");
}

static int op(const struct keeper *k, struct peer *p, const struct loginmsg_request *q, struct buf *out, struct err *err)
{
	if (p->ca)
		return denied(err, "a sandbox's own connection may not do this");
	if (p->login)
		return own_op(k, p, q, out, err);
	switch (q->op) {
	case LOGINMSG_LIST:
		return give_list(k, out, err);
	case LOGINMSG_RM:
		return rm(k, q, out, err);
	case LOGINMSG_BEGIN:
		return begin(k, p, q, out, err);
	case LOGINMSG_USE:
		return use(k, p, q, out, err);
	case LOGINMSG_CREDENTIAL:
		return give_credential(k, q, out, err);
	default:
		return denied(err, "begin a sign-in first");
	}
}

int loginop_answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out)
{
	struct loginmsg_request *q = calloc(1, sizeof(*q));
	struct err err = { 0 };
	int r = q ? loginmsg_decode((const char *)buf_bytes(message), buf_len(message), q, &err) : -ENOMEM;

	if (r == -ENOENT && err.kind == ERR_NONE)
		r = p->login ? denied(&err, "a sign-in's own connection may not do this") : 1;
	else if (r == 0)
		r = op(k, p, q, out, &err);
	if (q)
		explicit_bzero(q, sizeof(*q));
	free(q);
	return r < 0 && err.kind != ERR_NONE ? secretmsg_encode_error(&err, out) : r;
}
