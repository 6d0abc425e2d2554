/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: see answer.h. Enters: bytes of a peer of our own uid; a proxy that was taken over may be one.
 */
#include "keeper/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "keeper/loginop.h"
#include "keeper/signin.h"

void peer_done(const struct keeper *k, struct peer *p)
{
	grants_gone(k->grants, p->number);
	free(TAKE_PTR(p->services));
	ca_free(p->ca);
	p->ca = NULL;
	free(p->login);
	p->login = NULL;
}

static void attach(const struct keeper *k, struct peer *p, const struct keepermsg_request *q, struct keepermsg_reply *reply)
{
	auto_(ca) struct ca *ca = NULL;

	if (p->ca) {
		(void)err_set(&reply->error, ERR_CONFLICT, EISCONN, "this connection is attached already");
		return;
	}
	ca = home_ca(&k->home, q->sandbox, NULL, &reply->error);
	if (!ca) {
		log_error("event=attach_failed sandbox=%s error=\"%s\"", q->sandbox, reply->error.msg);
		return;
	}
	if (ca_print(ca, reply->ca, sizeof(reply->ca)) < 0 || ca_hash(ca, reply->ca_hash, sizeof(reply->ca_hash)) < 0) {
		(void)err_set(&reply->error, ERR_INTERNAL, ENOMEM, "the CA's certificate cannot be printed");
		return;
	}
	p->ca = TAKE_PTR(ca);
	p->number = grants_number(k->grants);
	memcpy(p->sandbox, q->sandbox, sizeof(p->sandbox));
	log_info("event=attached sandbox=%s", p->sandbox);
}

static void leaf(struct peer *p, const struct keepermsg_request *q, struct keepermsg_reply *reply)
{
	struct ca_der der;

	_Static_assert(sizeof(reply->cert) >= sizeof(der.bytes), "a leaf fits into a reply");
	if (!p->ca) {
		(void)err_set(&reply->error, ERR_DENIED, ENOTCONN, "attach first");
		return;
	}
	if (ca_sign(p->ca, &q->host, q->spki, q->spki_len, &der, &reply->error) < 0)
		return;
	memcpy(reply->cert, der.bytes, der.n);
	reply->cert_len = der.n;
}

static bool forget(const struct keeper *k, struct peer *p, const struct keepermsg_request *q, bool *ret_secrets,
		   struct keepermsg_reply *reply)
{
	bool grants;

	if (p->ca) {
		(void)err_set(&reply->error, ERR_DENIED, EISCONN, "a sandbox's own connection may not do this");
		return false;
	}
	if (vault_forget(k->vault, q->sandbox, ret_secrets, &reply->error) < 0 ||
	    grants_forget(k->grants, q->sandbox, &grants, &reply->error) < 0 ||
	    home_forget(&k->home, q->sandbox, &reply->error) < 0) {
		log_error("event=forget_failed sandbox=%s error=\"%s\"", q->sandbox, reply->error.msg);
		return false;
	}
	*ret_secrets |= grants;
	memcpy(p->sandbox, q->sandbox, sizeof(p->sandbox));
	log_info("event=forgot sandbox=%s", p->sandbox);
	return true;
}

/* --- secrets --- */

static int set(const struct keeper *k, const struct secretmsg_request *q, struct err *err)
{
	if (q->secret.refresh[0])
		return err_set(err, ERR_INVALID, EINVAL, "a sign-in is not set: it is done, inside a sandbox");
	return vault_set(k->vault, &q->secret, &q->value, err);
}

/* A secret, or a sign-in of that name. */
static int unset(const struct keeper *k, const struct secretmsg_request *q, struct err *err)
{
	struct err other = { 0 };
	int r = vault_remove(k->vault, q->secret.name, q->secret.sandbox, err);

	if (r == -ENOENT && grants_remove(k->grants, q->secret.name, q->secret.sandbox, &other) == 0) {
		*err = (struct err){ 0 };
		return 0;
	}
	return r;
}

static int change(const struct keeper *k, const struct secretmsg_request *q, struct err *err)
{
	int r = q->op == SECRETMSG_SET ? set(k, q, err) : unset(k, q, err);

	if (r == 0)
		log_info("event=secret_%s name=%s sandbox=%s", q->op == SECRETMSG_SET ? "set" : "removed", q->secret.name,
			 q->secret.sandbox[0] ? q->secret.sandbox : "all");
	return r;
}

static int give_list(const struct keeper *k, const char *sandbox, struct buf *out)
{
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));
	struct err err = { 0 };

	if (!l)
		return -ENOMEM;
	if (vault_list(k->vault, sandbox, l, &err) < 0 || (sandbox && grants_list(k->grants, sandbox, l, &err) < 0))
		return secretmsg_encode_error(&err, out);
	return secretmsg_encode_list(l, out);
}

static int give_injection(const struct keeper *k, const struct peer *p, const struct secretmsg_request *q, struct buf *out,
			  struct err *err)
{
	struct secretmsg_injection *i = calloc(1, sizeof(*i));
	int r = i ? vault_inject(k->vault, p->sandbox, q, i, err) : -ENOMEM;

	if (r == 0)
		r = grants_inject(k->grants, p->sandbox, q, i, err);
	if (r == 0)
		r = secretmsg_encode_injection(i, out);
	if (i)
		explicit_bzero(i, sizeof(*i));
	free(i);
	return r;
}

static int secrets_op(const struct keeper *k, const struct peer *p, const struct secretmsg_request *q, struct buf *out,
		      struct answer_news *ret)
{
	bool attached_only = q->op == SECRETMSG_BINDINGS || q->op == SECRETMSG_INJECT;
	struct err err = { 0 };
	int r;

	if (attached_only != (p->ca != NULL)) {
		(void)err_set(&err, ERR_DENIED, EPERM, "%s", p->ca ? "a sandbox's own connection may not do this" : "attach first");
		return secretmsg_encode_error(&err, out);
	}
	if (q->op == SECRETMSG_LIST || q->op == SECRETMSG_BINDINGS)
		return give_list(k, q->op == SECRETMSG_BINDINGS ? p->sandbox : NULL, out);
	if (q->op == SECRETMSG_INJECT) {
		r = give_injection(k, p, q, out, &err);
		return r < 0 && err.kind != ERR_NONE ? secretmsg_encode_error(&err, out) : r;
	}
	r = change(k, q, &err);
	ret->secrets = r == 0;
	return r < 0 ? secretmsg_encode_error(&err, out) : secretmsg_encode_ok(out);
}

/* 1: the message is about something else. */
static int answer_secrets(const struct keeper *k, const struct peer *p, const struct buf *message, struct buf *out,
			  struct answer_news *ret)
{
	auto_free struct secretmsg_request *q = calloc(1, sizeof(*q));
	struct err err = { 0 };
	int r = q ? secretmsg_decode((const char *)buf_bytes(message), buf_len(message), q, &err) : -ENOMEM;

	if (r == -ENOENT && err.kind == ERR_NONE)
		return 1;
	if (r < 0)
		return err.kind != ERR_NONE ? secretmsg_encode_error(&err, out) : r;
	r = secrets_op(k, p, q, out, ret);
	secret_wipe(&q->value);
	return r;
}

/* --- the store --- */

static const char *const store_events[] = {
	[STOREMSG_UNLOCK] = "unlocked", [STOREMSG_LOCK] = "locked", [STOREMSG_PROTECT] = "protected", [STOREMSG_RESET] = "reset",
};

static int change_store(const struct keeper *k, const struct storemsg_request *q, struct err *err)
{
	switch (q->op) {
	case STOREMSG_UNLOCK:
		return store_unlock(k->store, q->key, q->expires_s, err);
	case STOREMSG_PROTECT:
		return store_protect(k->store, &q->lock, q->key, err);
	case STOREMSG_RESET:
		return store_reset(k->store, err);
	default:
		if (!store_encrypts(k->store))
			return err_set(err, ERR_CONFLICT, EINVAL, "the secrets are not encrypted: there is nothing to lock");
		store_lock(k->store, "by `sbx secret lock`");
		return 0;
	}
}

static int store_op(const struct keeper *k, const struct peer *p, const struct storemsg_request *q, struct buf *out, struct answer_news *ret)
{
	struct storemsg_status status;
	struct err err = { 0 };
	int r;

	if (p->ca)
		r = err_set(&err, ERR_DENIED, EPERM, "a sandbox's own connection may not do this");
	else if (q->op == STOREMSG_STATUS)
		r = 0;
	else
		r = change_store(k, q, &err);
	if (r < 0)
		return secretmsg_encode_error(&err, out);
	if (q->op == STOREMSG_STATUS) {
		store_status(k->store, &status);
		return storemsg_encode_status(&status, out);
	}
	log_info("event=store_%s", store_events[q->op]);
	/* What it no longer gives is wiped at once; what is wrong with it is said when it is asked for. */
	(void)vault_sync(k->vault, NULL);
	(void)grants_sync(k->grants, NULL);
	ret->secrets = true;
	return secretmsg_encode_ok(out);
}

/* 1: the message is about something else. */
static int answer_store(const struct keeper *k, const struct peer *p, const struct buf *message, struct buf *out, struct answer_news *ret)
{
	struct storemsg_request q = { 0 };
	struct err err = { 0 };
	int r = storemsg_decode((const char *)buf_bytes(message), buf_len(message), &q, &err);

	if (r == -ENOENT && err.kind == ERR_NONE)
		return 1;
	r = r < 0 ? secretmsg_encode_error(&err, out) : store_op(k, p, &q, out, ret);
	explicit_bzero(&q, sizeof(q));
	return r;
}

static void version(const struct keeper *k, struct keepermsg_reply *reply)
{
	(void)str_format(reply->version, sizeof(reply->version), "%s", SBX_VERSION);
	reply->pid = getpid();
	reply->landlock = k->confined.landlock;
	reply->netns = k->confined.netns;
}

/* 1: the message is about something else. */
static int answer_others(const struct keeper *k, struct peer *p, bool first, const struct buf *message, struct buf *out,
			 struct answer_news *ret)
{
	int r = loginop_answer(k, p, message, out);

	if (r > 0)
		r = answer_secrets(k, p, message, out, ret);
	if (r > 0)
		r = answer_store(k, p, message, out, ret);
	if (r > 0)
		r = signin_answer(k, p, first, message, out, ret);
	return r;
}

int answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out, struct answer_news *ret)
{
	const char *text = (const char *)buf_bytes(message);
	auto_free struct keepermsg_reply *reply = NULL;
	struct keepermsg_request q;
	bool first = !p->asked;
	int r;

	p->asked = p->ca != NULL;
	*ret = (struct answer_news){ 0 };
	/* Each of the others reads the whole message: not that of which there are most. */
	r = p->ca && keepermsg_begins_leaf(text, buf_len(message)) ? 1 : answer_others(k, p, first, message, out, ret);
	if (r <= 0)
		return r;
	reply = calloc(1, sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	if (keepermsg_decode(text, buf_len(message), &q, &reply->error) < 0)
		return keepermsg_encode_reply(KEEPERMSG_VERSION, reply, out);
	switch (q.op) {
	case KEEPERMSG_ATTACH:
		attach(k, p, &q, reply);
		break;
	case KEEPERMSG_LEAF:
		leaf(p, &q, reply);
		break;
	case KEEPERMSG_FORGET:
		ret->forgot = forget(k, p, &q, &ret->secrets, reply);
		break;
	case KEEPERMSG_VERSION:
		version(k, reply);
		break;
	}
	return keepermsg_encode_reply(q.op, reply, out);
}
