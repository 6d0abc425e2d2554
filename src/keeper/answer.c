/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: see answer.h. Enters: bytes of a peer of our own uid; a proxy that was taken over may be one.
 */
#include "keeper/answer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

void peer_done(struct peer *p)
{
	ca_free(p->ca);
	p->ca = NULL;
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

static bool forget(const struct keeper *k, struct peer *p, const struct keepermsg_request *q, struct keepermsg_reply *reply)
{
	if (p->ca) {
		(void)err_set(&reply->error, ERR_DENIED, EISCONN, "a sandbox's own connection may not do this");
		return false;
	}
	if (home_forget(&k->home, q->sandbox, &reply->error) < 0) {
		log_error("event=forget_failed sandbox=%s error=\"%s\"", q->sandbox, reply->error.msg);
		return false;
	}
	memcpy(p->sandbox, q->sandbox, sizeof(p->sandbox));
	log_info("event=forgot sandbox=%s", p->sandbox);
	return true;
}

static void version(const struct keeper *k, struct keepermsg_reply *reply)
{
	(void)str_format(reply->version, sizeof(reply->version), "%s", SBX_VERSION);
	reply->pid = getpid();
	reply->landlock = k->confined.landlock;
	reply->netns = k->confined.netns;
}

int answer(const struct keeper *k, struct peer *p, const struct buf *message, struct buf *out, bool *ret_forgot)
{
	auto_free struct keepermsg_reply *reply = calloc(1, sizeof(*reply));
	struct keepermsg_request q;

	*ret_forgot = false;
	if (!reply)
		return -ENOMEM;
	if (keepermsg_decode((const char *)buf_bytes(message), buf_len(message), &q, &reply->error) < 0)
		return keepermsg_encode_reply(KEEPERMSG_VERSION, reply, out);
	switch (q.op) {
	case KEEPERMSG_ATTACH:
		attach(k, p, &q, reply);
		break;
	case KEEPERMSG_LEAF:
		leaf(p, &q, reply);
		break;
	case KEEPERMSG_FORGET:
		*ret_forgot = forget(k, p, &q, reply);
		break;
	case KEEPERMSG_VERSION:
		version(k, reply);
		break;
	}
	return keepermsg_encode_reply(q.op, reply, out);
}
