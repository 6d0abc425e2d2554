/* SPDX-License-Identifier: Apache-2.0
 *
 * registry: a registry's credentials, shown to its /v2/ (the OCI distribution specification, "Determining Support", and the
 * distribution project's token authentication). A password goes to the registry, or to the token service that it names where that is
 * the registry's own host or one that the user has named; nowhere else.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "login/issuer.h"

#define SOON_S 30 /* a token that ends so soon is renewed */
#define CLIENT "sbx"

struct visit {
	const struct session *session;
	struct dest registry, realm; /* realm.host "": the registry's own only */
	char url[DEST_PRINT_MAX + 16], name[DEST_PRINT_MAX];
	const char *authorization; /* borrowed */
};

static void visit_init(struct visit *v, const struct session *s, const struct dest *registry, const struct dest *realm,
		       const char *authorization)
{
	*v = (struct visit){ .session = s, .registry = *registry, .realm = *realm, .authorization = authorization };
	dest_print(registry, v->name);
	(void)str_format(v->url, sizeof(v->url), "https://%s/v2/", v->name);
}

/* Its status, or negative with err. */
static int knock(const struct visit *v, const char *authorization, struct challenges *ret, struct err *err)
{
	struct http_reply reply = { 0 };
	int r = http_ask(v->session->http, v->url, authorization, NULL, &reply, err);

	if (r == 0) {
		*ret = reply.challenges;
		r = (int)reply.status;
	}
	http_reply_done(&reply);
	return r;
}

static int refused(const struct visit *v, int status, struct err *err)
{
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, EACCES, "%s refuses these credentials", v->name);
	return err_set(err, ERR_INVALID, EPROTO, "%s is no registry: /v2/ answers with status %d", v->name, status);
}

static int enter(const struct visit *v, const char *authorization, struct err *err)
{
	struct challenges ignored;
	int r = knock(v, authorization, &ignored, err);

	return r < 0 ? r : r == 200 ? 0 : refused(v, r, err);
}

/* --- a token service --- */

static int check_realm(const struct visit *v, const char *realm, struct err *err)
{
	char name[DEST_PRINT_MAX];
	struct dest d;

	if (oidc_url(realm, &d) < 0)
		return err_set(err, ERR_DENIED, EACCES, "%s wants the password at '%.200s', which is no https URL", v->name, realm);
	if (dest_equal(&d, &v->registry) || (v->realm.host[0] && dest_equal(&d, &v->realm)))
		return 0;
	dest_print(&d, name);
	return err_set(err, ERR_DENIED, EACCES, "%s wants the password at %s: where that is meant to be, sign in with --realm %s", v->name,
		       name, name);
}

static int token_url(const struct challenge *c, struct buf *url)
{
	struct buf query;
	int r;

	buf_init(&query, 8192);
	r = http_form(&query, "client_id", CLIENT);
	if (r == 0 && c->service[0])
		r = http_form(&query, "service", c->service);
	if (r == 0 && c->scope[0])
		r = http_form(&query, "scope", c->scope);
	if (r == 0)
		r = buf_printf(url, "%s%c%s", c->realm, strchr(c->realm, '?') ? '&' : '?', buf_cstr(&query));
	buf_done(&query);
	return r;
}

static int get_token(const struct visit *v, const struct challenge *c, char *token, struct err *err)
{
	struct http_reply reply = { 0 };
	struct buf url;
	int r;

	buf_init(&url, 8192);
	r = token_url(c, &url);
	r = r < 0 ? err_errno(err, -r, "the request") : http_ask(v->session->http, buf_cstr(&url), v->authorization, NULL, &reply, err);
	if (r == 0 && reply.status != 200)
		r = refused(v, reply.status == 400 ? 401 : (int)reply.status, err);
	if (r == 0)
		r = oidc_registry_token_decode((const char *)buf_bytes(&reply.body), buf_len(&reply.body), token, err);
	http_reply_done(&reply);
	buf_done(&url);
	return r;
}

static int by_token(const struct visit *v, const struct challenge *c, struct err *err)
{
	char token[OIDC_TOKEN], field[OIDC_TOKEN + 16];
	int r = check_realm(v, c->realm, err);

	if (r == 0)
		r = get_token(v, c, token, err);
	if (r == 0) {
		(void)str_format(field, sizeof(field), "Bearer %s", token);
		r = enter(v, field, err);
	}
	explicit_bzero(token, sizeof(token));
	explicit_bzero(field, sizeof(field));
	return r;
}

/* --- both --- */

/* Whether the credentials are good. */
static int visit(const struct visit *v, struct err *err)
{
	struct challenges c = { 0 };
	const struct challenge *bearer;
	int status = knock(v, NULL, &c, err);

	if (status < 0)
		return status;
	if (status == 200)
		return err_set(err, ERR_INVALID, EPROTO, "%s asks for no credentials: there is nothing to sign in to", v->name);
	if (status != 401)
		return refused(v, status == 403 ? 404 : status, err);
	/* The token of a sign-in is for the registry itself. */
	if (str_starts(v->authorization, "Bearer ") || challenge_find(&c, CHALLENGE_BASIC))
		return enter(v, v->authorization, err);
	bearer = challenge_find(&c, CHALLENGE_BEARER);
	if (bearer)
		return by_token(v, bearer, err);
	return err_set(err, ERR_INVALID, EPROTO, "%s takes neither a password nor a token", v->name);
}

static int read_password(char dst[LOGINMSG_PASSWORD], struct err *err)
{
	char text[LOGINMSG_PASSWORD + 2];
	ssize_t n = io_read_full(STDIN_FILENO, text, sizeof(text));
	int r;

	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	r = n < 0 ? err_errno(err, (int)-n, "cannot read the password") : loginmsg_check_password(text, (size_t)n, err);
	if (r == 0) {
		memcpy(dst, text, (size_t)n);
		dst[n] = 0;
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

int session_password(struct session *s, struct err *err)
{
	struct loginmsg_secrets *k = calloc(1, sizeof(*k));
	char *authorization = malloc(LOGINMSG_AUTHORIZATION);
	struct visit v;
	int r = k && authorization ? read_password(k->password, err) : err_errno(err, ENOMEM, "the password");

	if (r == 0 && loginmsg_basic(s->q.login.user, k->password, authorization) < 0)
		r = err_set(err, ERR_INVALID, EMSGSIZE, "the password is too long");
	if (r == 0) {
		visit_init(&v, s, &s->q.login.registries[0], &s->q.login.realm, authorization);
		r = visit(&v, err);
	}
	if (r == 0)
		r = session_put(s, k, err);
	if (k)
		explicit_bzero(k, sizeof(*k));
	if (authorization)
		explicit_bzero(authorization, LOGINMSG_AUTHORIZATION);
	free(k);
	free(authorization);
	return r;
}

static int fresh_credential(struct session *s, struct loginmsg_credential *c, struct err *err)
{
	int r = session_credential(s, &s->q.registry, c, err);

	if (r < 0 || c->expires == 0 || c->expires > session_now() + SOON_S)
		return r;
	r = issuer_refresh(s, err);
	if (r == 0)
		session_note("the token had expired and was renewed");
	return r < 0 ? r : session_credential(s, &s->q.registry, c, err);
}

int session_check(struct session *s, struct err *err)
{
	struct loginmsg_credential c = { 0 };
	struct visit v;
	int r = fresh_credential(s, &c, err);

	if (r == 0) {
		visit_init(&v, s, &s->q.registry, &c.realm, c.authorization);
		r = visit(&v, err);
	}
	explicit_bzero(&c, sizeof(c));
	return r;
}
