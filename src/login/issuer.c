/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer: see issuer.h.
 */
#include "login/issuer.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "login/verify.h"

#define DOCUMENT "/.well-known/openid-configuration"
#define FORM_MAX 65536

int issuer_refuses(const struct oidc_error *e, const char *what, struct err *err)
{
	return err_set(err, ERR_DENIED, EACCES, "the issuer refuses %s: %s%s%s", what, e->code, e->description[0] ? ": " : "",
		       e->description);
}

/* A body of a response that is 200. */
static int get(const struct session *s, const char *url, const char *what, struct http_reply *ret, struct err *err)
{
	int r = http_ask(s->http, url, NULL, NULL, ret, err);

	if (r < 0)
		return r;
	if (ret->status >= 300 && ret->status < 400)
		return err_set(err, ERR_INVALID, EPROTO, "%s is elsewhere (status %ld): redirects are not followed", what, ret->status);
	return ret->status == 200 ? 0 : err_set(err, ERR_INVALID, EPROTO, "%s: the issuer answers with status %ld", what, ret->status);
}

int issuer_discover(const struct session *s, struct oidc_issuer *ret, struct err *err)
{
	const char *issuer = s->q.login.issuer;
	size_t n = strlen(issuer);
	struct http_reply reply = { 0 };
	char url[OIDC_URL + sizeof(DOCUMENT)];
	int r;

	if (strchr(issuer, '?'))
		return err_set(err, ERR_INVALID, EINVAL, "an issuer's URL has no query");
	/* OpenID Connect Discovery 1.0, section 4: without the slash at its end. */
	(void)str_format(url, sizeof(url), "%.*s%s", (int)(issuer[n - 1] == '/' ? n - 1 : n), issuer, DOCUMENT);
	r = get(s, url, "the discovery document", &reply, err);
	if (r == 0)
		r = oidc_issuer_decode((const char *)buf_bytes(&reply.body), buf_len(&reply.body), issuer, ret, err);
	http_reply_done(&reply);
	return r;
}

static int add_scope(const struct session *s, const struct oidc_issuer *i, struct buf *form)
{
	char scope[LOGINTALK_SCOPE];

	if (s->q.scope[0])
		return http_form(form, "scope", s->q.scope);
	(void)str_format(scope, sizeof(scope), "openid%s%s", i->email ? " email" : "", i->offline ? " offline_access" : "");
	return http_form(form, "scope", scope);
}

int issuer_device(const struct session *s, const struct oidc_issuer *i, struct oidc_device *ret, struct err *err)
{
	struct http_reply reply = { 0 };
	struct oidc_error e;
	struct buf form;
	const char *body;
	int r;

	buf_init(&form, FORM_MAX);
	r = http_form(&form, "client_id", s->q.login.client);
	if (r == 0)
		r = add_scope(s, i, &form);
	r = r < 0 ? err_errno(err, -r, "the request") : http_ask(s->http, i->device, NULL, &form, &reply, err);
	body = (const char *)buf_bytes(&reply.body);
	if (r == 0 && reply.status != 200)
		r = oidc_error_decode(body, buf_len(&reply.body), &e, NULL) == 0 ?
			    issuer_refuses(&e, "to give a code", err) :
			    err_set(err, ERR_INVALID, EPROTO, "the issuer gives no code: it answers with status %ld", reply.status);
	if (r == 0)
		r = oidc_device_decode(body, buf_len(&reply.body), ret, err);
	http_reply_done(&reply);
	buf_done(&form);
	return r;
}

int issuer_tokens(const struct session *s, const struct oidc_issuer *i, const struct buf *form, struct oidc_tokens *ret,
		  struct oidc_error *ret_error, struct err *err)
{
	struct http_reply reply = { 0 };
	const char *body;
	int r = http_ask(s->http, i->token, NULL, form, &reply, err);

	body = (const char *)buf_bytes(&reply.body);
	if (r == 0 && reply.status == 200)
		r = oidc_tokens_decode(body, buf_len(&reply.body), ret, err);
	else if (r == 0 && (reply.status == 429 || reply.status >= 500))
		r = err_set(err, ERR_UNAVAILABLE, EAGAIN, "the issuer's token endpoint answers with status %ld", reply.status);
	else if (r == 0)
		r = reply.status >= 400 && oidc_error_decode(body, buf_len(&reply.body), ret_error, NULL) == 0 ?
			    1 :
			    err_set(err, ERR_INVALID, EPROTO, "the issuer's token endpoint answers with status %ld", reply.status);
	http_reply_done(&reply);
	return r;
}

static int fetch_keys(const struct session *s, const struct oidc_issuer *i, struct jws_keys *ret, struct err *err)
{
	struct http_reply reply = { 0 };
	int r = get(s, i->keys, "the issuer's set of keys", &reply, err);

	if (r == 0)
		r = jws_keys_decode((const char *)buf_bytes(&reply.body), buf_len(&reply.body), ret, err);
	http_reply_done(&reply);
	return r;
}

int issuer_claims(const struct session *s, const struct oidc_issuer *i, const char *token, struct jws_claims *ret, struct err *err)
{
	auto_free struct jws_keys *keys = calloc(1, sizeof(*keys));
	struct jws *signature = calloc(1, sizeof(*signature));
	int r = keys && signature ? jws_decode(token, strlen(token), signature, err) : err_errno(err, ENOMEM, "the ID token");

	if (r == 0)
		r = fetch_keys(s, i, keys, err);
	if (r == 0)
		r = verify(token, signature, keys, err);
	if (r == 0)
		r = jws_claims_decode(signature->payload, signature->payload_len, ret, err);
	if (r == 0)
		r = jws_claims_check(ret, i->issuer, s->q.login.client, session_now(), err);
	if (signature)
		explicit_bzero(signature, sizeof(*signature));
	free(signature);
	return r;
}

/* --- refresh --- */

/* OpenID Connect Core 1.0, section 12.2: a new ID token is of the same subject. */
static int same_subject(const struct session *s, const struct oidc_issuer *i, const char *token, struct err *err)
{
	struct jws_claims claims;
	int r = issuer_claims(s, i, token, &claims, err);

	if (r == 0 && !str_eq(claims.subject, s->q.login.user))
		r = err_set(err, ERR_DENIED, EACCES, "the issuer's new ID token is somebody else's");
	return r;
}

static int ask_refresh(const struct session *s, const struct oidc_issuer *i, const char *refresh, struct oidc_tokens *ret,
		       struct err *err)
{
	struct oidc_error e;
	struct buf form;
	int r;

	buf_init(&form, FORM_MAX);
	r = http_form(&form, "grant_type", "refresh_token");
	if (r == 0)
		r = http_form(&form, "client_id", s->q.login.client);
	if (r == 0)
		r = http_form(&form, "refresh_token", refresh);
	r = r < 0 ? err_errno(err, -r, "the request") : issuer_tokens(s, i, &form, ret, &e, err);
	http_wipe(&form);
	return r > 0 ? issuer_refuses(&e, "new tokens", err) : r;
}

static int renew(struct session *s, struct oidc_tokens *t, struct loginmsg_secrets *k, struct err *err)
{
	struct oidc_issuer i;
	int r = session_secrets(s, k, err);

	if (r == 0 && !k->refresh[0])
		r = err_set(err, ERR_DENIED, EACCES, "the token has expired, and the issuer gave none to renew it with: sign in again");
	if (r == 0)
		r = issuer_discover(s, &i, err);
	if (r == 0)
		r = ask_refresh(s, &i, k->refresh, t, err);
	if (r == 0 && t->id[0])
		r = same_subject(s, &i, t->id, err);
	if (r < 0)
		return r;
	memcpy(k->access, t->access, sizeof(k->access));
	if (t->refresh[0])
		memcpy(k->refresh, t->refresh, sizeof(k->refresh));
	if (t->id[0])
		memcpy(k->id, t->id, sizeof(k->id));
	s->q.login.expires = t->expires_s ? session_now() + t->expires_s : 0;
	return session_put(s, k, err);
}

int issuer_refresh(struct session *s, struct err *err)
{
	return session_with_tokens(s, renew, err);
}
