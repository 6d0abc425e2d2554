/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange_cred: see exchange_in.h. A credential is put into the request after the decision, after everything that ends at this hop is gone,
 * before the head is written.
 */
#include "proxy/exchange_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "proxy/inject.h"
#include "proxy/request.h"

static void refuse_credential(struct exchange *x, const char *reason)
{
	x->flow.injected = "none:refused";
	/* 426 is what clients that can do without a WebSocket take for "not here". */
	exchange_refuse(x, str_eq(reason, "limit") ? 431 : str_eq(reason, "websocket") ? 426 : 403, reason, inject_text(reason));
}

static void use_injection(struct exchange *x, struct secretmsg_injection *i)
{
	const char *why;

	why = x->scrub ? inject_again(&x->req, x->cred_header, i) : inject_apply(&x->req, i, creds_list(exchange_creds(x)));
	if (why) {
		refuse_credential(x, why);
		return;
	}
	(void)str_format(x->injected, sizeof(x->injected), "%s%s", i->none[0] ? "none:" : "", i->none[0] ? i->none : i->secret);
	x->flow.injected = x->injected;
	if (!i->none[0]) {
		scrub_free(x->scrub);
		x->scrub = scrub_new(i);
		memcpy(x->cred_header, i->header, sizeof(x->cred_header));
	}
	if (!i->none[0] && !x->scrub)
		exchange_refuse(x, 503, "limit", "out of memory");
	else if (!i->none[0] && i->where == SECRETMSG_BODY)
		exchange_body_start(x, i);
	else
		exchange_find_back(x);
}

static void on_injection(void *user, const char *text, size_t n, int error)
{
	struct exchange *x = user;
	auto_free struct secretmsg_injection *i = calloc(1, sizeof(*i));
	struct err err = { .msg = "no answer" };

	x->cred = NULL;
	if (!i || error || secretmsg_decode_injection(text, n, i, &err) < 0) {
		log_warn("event=credential error=\"%s\"", err.msg);
		exchange_refuse(x, 503, "keeper", "the keeper gives no credential");
	} else {
		use_injection(x, i);
	}
	if (i)
		explicit_bzero(i, sizeof(*i));
}

void exchange_cred_again(struct exchange *x)
{
	const char *brought = inject_brought(&x->req, creds_list(exchange_creds(x)));

	x->state = DECIDING;
	/* At the second time the value is in its place. */
	if (brought)
		(void)str_format(x->brought, sizeof(x->brought), "%s", brought);
	x->cred_generation = creds_generation(exchange_creds(x));
	x->cred = creds_ask(exchange_creds(x), &x->flow.dest, x->target.path ? x->target.path : "", x->brought, on_injection, x);
	if (!x->cred)
		exchange_refuse(x, 503, "limit", "too many requests wait for the keeper");
}

void exchange_cred_start(struct exchange *x)
{
	struct creds *c = exchange_creds(x);
	/* Where something is signed in at, or a secret is for some paths only, a server must not see another path than we do. */
	bool canonical = x->decision.path_matters || oauthdef_has_host(creds_signins(c), &x->flow.dest) ||
			 (x->flow.dest.scheme == DEST_HTTPS && creds_by_path(c, &x->flow.dest));
	const char *why;

	if (request_clean(&x->req, &x->target, canonical) < 0) {
		exchange_refuse(x, 431, "bad_request", "the request's head is too large");
		return;
	}
	if (exchange_token_start(x))
		return;
	if (creds_has(exchange_creds(x), &x->flow.dest)) {
		exchange_cred_again(x);
		return;
	}
	why = inject_stray(&x->req, creds_list(exchange_creds(x)));
	why = why ? why : inject_stray(&x->req, creds_gone(exchange_creds(x)));
	if (why)
		refuse_credential(x, why);
	else
		exchange_find_back(x);
}
