/* SPDX-License-Identifier: Apache-2.0
 *
 * device: the device authorization grant (RFC 8628). The code is shown by sbx; the token endpoint is asked no more often than the
 * issuer wishes, until it says something else than "not yet", or the code has ended.
 */
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "login/issuer.h"

#define GRANT "urn:ietf:params:oauth:grant-type:device_code"
#define FORM_MAX 65536
#define SLOWER_S 5
#define INTERVAL_MAX_S 60

/* 0: the tokens are there; 1: not yet; negative: the end. RFC 8628, 3.5. */
static int poll_once(const struct session *s, const struct oidc_issuer *i, const struct buf *form, int64_t *interval_s,
		     struct oidc_tokens *ret, struct err *err)
{
	struct oidc_error e;
	struct err why = { 0 };
	int r = issuer_tokens(s, i, form, ret, &e, &why);

	if (r == 0)
		return 0;
	if (r < 0 && (why.kind == ERR_UNAVAILABLE || why.kind == ERR_TIMEOUT)) {
		*interval_s = *interval_s * 2 < INTERVAL_MAX_S ? *interval_s * 2 : INTERVAL_MAX_S;
		return 1;
	}
	if (r < 0) {
		*err = why;
		return r;
	}
	switch (e.refusal) {
	case OIDC_PENDING:
		return 1;
	case OIDC_SLOW_DOWN:
		*interval_s += SLOWER_S;
		return 1;
	case OIDC_DENIED:
		return err_set(err, ERR_DENIED, EACCES, "the sign-in was refused");
	case OIDC_EXPIRED:
		return err_set(err, ERR_TIMEOUT, ETIMEDOUT, "the code was not entered in time");
	default:
		return issuer_refuses(&e, "the sign-in", err);
	}
}

static int wait_for_tokens(const struct session *s, const struct oidc_issuer *i, const struct oidc_device *d, struct oidc_tokens *ret,
			   struct err *err)
{
	uint64_t end = io_now_ms() + (uint64_t)d->expires_s * 1000, now;
	int64_t interval_s = d->interval_s;
	struct buf form;
	int r;

	buf_init(&form, FORM_MAX);
	r = http_form(&form, "grant_type", GRANT);
	if (r == 0)
		r = http_form(&form, "client_id", s->q.login.client);
	if (r == 0)
		r = http_form(&form, "device_code", d->device_code);
	r = r < 0 ? err_errno(err, -r, "the request") : 1;
	while (r > 0) {
		now = io_now_ms();
		if (now + (uint64_t)interval_s * 1000 >= end) {
			r = now < end && session_wait((int64_t)(end - now)) < 0 ? -EPIPE : -ETIMEDOUT;
			(void)err_set(err, ERR_TIMEOUT, -r, "the code was not entered in time");
			break;
		}
		r = session_wait(interval_s * 1000);
		r = r < 0 ? err_set(err, ERR_UNAVAILABLE, EPIPE, "sbx is gone") : poll_once(s, i, &form, &interval_s, ret, err);
	}
	http_wipe(&form);
	return r;
}

static int keep(struct session *s, const struct oidc_issuer *i, const struct oidc_tokens *t, struct loginmsg_secrets *k,
		struct err *err)
{
	struct loginmsg_login *l = &s->q.login;
	struct jws_claims claims;
	int r = t->id[0] ? issuer_claims(s, i, t->id, &claims, err) :
			   err_set(err, ERR_INVALID, EPROTO, "the issuer gives no ID token: the scope must have \"openid\"");

	if (r < 0)
		return r;
	memcpy(l->user, claims.subject, sizeof(l->user));
	memcpy(l->email, claims.email, sizeof(l->email));
	l->expires = t->expires_s ? session_now() + t->expires_s : 0;
	memcpy(k->access, t->access, sizeof(k->access));
	memcpy(k->refresh, t->refresh, sizeof(k->refresh));
	memcpy(k->id, t->id, sizeof(k->id));
	return session_put(s, k, err);
}

static int sign_in(struct session *s, struct oidc_tokens *t, struct loginmsg_secrets *k, struct err *err)
{
	auto_free struct logintalk_event *e = calloc(1, sizeof(*e));
	struct oidc_issuer i;
	struct oidc_device d;
	int r = e ? issuer_discover(s, &i, err) : err_errno(err, ENOMEM, "the sign-in");

	if (r == 0)
		r = issuer_device(s, &i, &d, err);
	if (r < 0)
		return r;
	e->kind = LOGINTALK_CODE;
	e->code = d;
	r = session_say(e);
	if (r < 0)
		return err_errno(err, -r, "cannot tell sbx");
	r = wait_for_tokens(s, &i, &d, t, err);
	explicit_bzero(&d, sizeof(d));
	return r < 0 ? r : keep(s, &i, t, k, err);
}

int session_device(struct session *s, struct err *err)
{
	return session_with_tokens(s, sign_in, err);
}

/* --- revocation --- */

/* RFC 7009: a refresh token's end is that of its access tokens. */
static int revoke_token(const struct session *s, const struct loginmsg_secrets *k, struct err *err)
{
	const char *token = k->refresh[0] ? k->refresh : k->access;
	struct http_reply reply = { 0 };
	struct oidc_issuer i;
	struct buf form;
	int r = issuer_discover(s, &i, err);

	if (r < 0)
		return r;
	if (!i.revocation[0])
		return err_set(err, ERR_UNAVAILABLE, ENOSYS, "the issuer has no revocation endpoint");
	buf_init(&form, FORM_MAX);
	r = http_form(&form, "client_id", s->q.login.client);
	if (r == 0)
		r = http_form(&form, "token", token);
	if (r == 0)
		r = http_form(&form, "token_type_hint", k->refresh[0] ? "refresh_token" : "access_token");
	r = r < 0 ? err_errno(err, -r, "the request") : http_ask(s->http, i.revocation, NULL, &form, &reply, err);
	if (r == 0 && reply.status != 200)
		r = err_set(err, ERR_DENIED, EPROTO, "the issuer answers with status %ld", reply.status);
	http_reply_done(&reply);
	http_wipe(&form);
	return r;
}

int session_revoke(struct session *s, struct err *err)
{
	struct loginmsg_secrets *k = calloc(1, sizeof(*k));
	int r = k ? session_secrets(s, k, err) : err_errno(err, ENOMEM, "the tokens");

	if (r == 0)
		r = revoke_token(s, k, err);
	if (k)
		explicit_bzero(k, sizeof(*k));
	free(k);
	return r;
}
