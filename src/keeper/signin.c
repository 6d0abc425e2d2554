/* SPDX-License-Identifier: Apache-2.0
 *
 * signin: see signin.h. Enters: bytes of a peer of our own uid; a proxy that was taken over may be one.
 */
#include "keeper/signin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/own.h"

static int define(struct peer *p, bool first, const struct oauthmsg_request *q, struct err *err)
{
	if (!first || p->services)
		return err_set(err, ERR_DENIED, EPERM, "what can be signed in at is said first, and once");
	p->services = malloc(sizeof(*p->services));
	if (!p->services)
		return err_errno(err, ENOMEM, "the sign-ins");
	*p->services = q->services;
	return 0;
}

static int give_services(const struct peer *p, struct buf *out)
{
	static const struct oauthdef_list none;

	return oauthmsg_encode_services(p->services ? p->services : &none, out);
}

static int give_list(const struct keeper *k, struct buf *out, struct err *err)
{
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));

	if (!l)
		return err_errno(err, ENOMEM, "the grants");
	return grants_list(k->grants, NULL, l, err) < 0 ? err_code(err) : secretmsg_encode_list(l, out);
}

static int begin(const struct keeper *k, const struct grants_peer *who, const struct oauthmsg_request *q, struct buf *out, struct err *err)
{
	struct oauthmsg_begun *b = calloc(1, sizeof(*b));
	int r = b ? grants_begin(k->grants, who, q, b, err) : err_errno(err, ENOMEM, "the grant");

	if (r == 0)
		r = oauthmsg_encode_begun(b, out);
	if (b)
		explicit_bzero(b, sizeof(*b));
	free(b);
	return r;
}

static int store(const struct keeper *k, const struct grants_peer *who, const struct oauthmsg_request *q, struct buf *out, struct err *err)
{
	auto_free struct oauthmsg_given *g = calloc(1, sizeof(*g));
	int r = g ? grants_store(k->grants, who, q, g, err) : err_errno(err, ENOMEM, "the grant");

	if (r < 0)
		return r;
	log_info("event=oauth_%s name=%s sandbox=%s", q->ticket ? "refreshed" : "signed_in", q->service, who->sandbox);
	return oauthmsg_encode_given(g, out);
}

static int give(const struct keeper *k, const struct oauthmsg_request *q, struct buf *out, struct err *err)
{
	auto_free struct oauthmsg_given *g = calloc(1, sizeof(*g));
	int r = g ? grants_give(k->grants, q->service, q->sandbox, g, err) : err_errno(err, ENOMEM, "the grant");

	return r < 0 ? r : oauthmsg_encode_given(g, out);
}

/* Of an attached peer, but for define. */
static int of_peer(const struct keeper *k, const struct peer *p, const struct oauthmsg_request *q, struct buf *out, struct answer_news *ret,
		   struct err *err)
{
	const struct grants_peer who = { .sandbox = p->sandbox, .number = p->number, .services = p->services };
	int r;

	switch (q->op) {
	case OAUTHMSG_SERVICES:
		return give_services(p, out);
	case OAUTHMSG_GIVE:
		return str_eq(q->sandbox, p->sandbox) ? give(k, q, out, err) : err_set(err, ERR_DENIED, EPERM, "that is another sandbox");
	case OAUTHMSG_BEGIN:
		return begin(k, &who, q, out, err);
	case OAUTHMSG_STORE:
		r = store(k, &who, q, out, err);
		ret->secrets = r == 0 && q->ticket == 0;
		return r;
	case OAUTHMSG_END:
		r = grants_end(k->grants, &who, q, &ret->secrets, err);
		return r < 0 ? r : secretmsg_encode_ok(out);
	default:
		return err_set(err, ERR_DENIED, EPERM, "a sandbox's own connection may not do this");
	}
}

static int of_user(const struct keeper *k, const struct oauthmsg_request *q, struct buf *out, struct answer_news *ret, struct err *err)
{
	int r;

	switch (q->op) {
	case OAUTHMSG_LIST:
		return give_list(k, out, err);
	case OAUTHMSG_GIVE:
		return give(k, q, out, err);
	case OAUTHMSG_SHARE:
		r = grants_share(k->grants, q->service, q->sandbox, err);
		if (r < 0)
			return r;
		ret->secrets = true;
		log_info("event=oauth_shared name=%s sandbox=%s", q->service, q->sandbox);
		return secretmsg_encode_ok(out);
	default:
		return err_set(err, ERR_DENIED, EPERM, "attach first");
	}
}

int signin_answer(const struct keeper *k, struct peer *p, bool first, const struct buf *message, struct buf *out, struct answer_news *ret)
{
	struct oauthmsg_request *q = calloc(1, sizeof(*q));
	struct err err = { 0 };
	int r = q ? oauthmsg_decode((const char *)buf_bytes(message), buf_len(message), q, &err) : -ENOMEM;
	bool other = r == -ENOENT && err.kind == ERR_NONE;

	if (r == 0 && p->ca && q->op == OAUTHMSG_DEFINE)
		r = define(p, first, q, &err) < 0 ? err_code(&err) : secretmsg_encode_ok(out);
	else if (r == 0)
		r = p->ca ? of_peer(k, p, q, out, ret, &err) : of_user(k, q, out, ret, &err);
	if (q)
		explicit_bzero(q, sizeof(*q));
	free(q);
	if (other)
		return 1;
	return r < 0 && err.kind != ERR_NONE ? secretmsg_encode_error(&err, out) : r;
}
