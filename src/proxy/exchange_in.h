/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange_in: what the files of exchange share with each other, and with nobody else: exchange.c (the states, the two directions, the
 * end), exchange_cred.c (a credential into the request), exchange_body.c (into its body), exchange_token.c (a request to a token endpoint, docs/secrets.md).
 */
#ifndef SBX_PROXY_EXCHANGE_IN_H
#define SBX_PROXY_EXCHANGE_IN_H

#include "proxy/creds.h"
#include "proxy/due.h"
#include "proxy/exchange.h"
#include "proxy/intercept.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/scrub.h"
#include "proxy/ws.h"

#define EXCHANGE_RATE_MS 60000 /* how often the speed of a body is looked at */
#define EXCHANGE_HEAD_MS 60000 /* for the answer's head once the request is complete */

enum exchange_state { NEW, DECIDING, CONNECTING, OPEN, TUNNEL, REFUSED, OVER };

struct exchange_end_of {
	const struct exchange_ops *ops;
	void *side;           /* NULL: not there */
	bool complete;        /* its direction was given to the end */
	bool waits;           /* for `resume` */
	uint64_t moved;       /* bytes of it that were taken since the last look */
	enum exchange_how how; /* of its `closed` */
};

struct exchange {
	struct exchange_env *env; /* borrowed */
	enum exchange_state state;
	struct exchange_end_of s[2];
	struct httpmsg req;
	char method[HTTPMSG_METHOD_MAX + 1];
	struct target target;
	struct flow flow;
	struct decision decision;
	bool asked;      /* the user allowed it */
	bool final;      /* the front was given a final head */
	uint8_t tries;   /* after the first */
	uint8_t interim; /* 1xx heads so far */
	bool slow;       /* the answer may trickle */
	uint8_t stuck;
	struct decide_wait *wait;
	struct pool_wait *dial;
	struct policy_address at; /* of the back */
	struct decide_watch watch;
	struct due due;
	struct turn_item reap;
	struct buf page; /* REFUSED: what is still to be given of it */
	struct ws ws;    /* TUNNEL */
	struct mint_wait *cred;   /* DECIDING: the keeper is asked */
	uint64_t cred_generation; /* of what it was asked under */
	char injected[SECRETMSG_NAME + 16];
	char brought[SECRETMSG_TEXT]; /* the placeholder that came with it; "": none */
	char cred_header[SECRETMSG_NAME]; /* with scrub: the field that carries the credential */
	struct scrub *scrub;      /* owned; a credential is in the request: its answer is searched for it */
	struct body *body;        /* owned; a request whose body gets the credential */
	struct token *token;      /* owned; a request to a token endpoint */
	struct httpmsg trailers;  /* of an answer whose body is not given to its end yet */
};

/* --- exchange.c --- */

static inline struct decide *exchange_decide(const struct exchange *x)
{
	return x->env->proxy->decide;
}

static inline struct creds *exchange_creds(const struct exchange *x)
{
	return intercept_creds(x->env->proxy->intercept);
}

void exchange_set_due(struct exchange *x, uint64_t ms);
/* The proxy's own answer; the log says why. reason is static. */
void exchange_refuse(struct exchange *x, int status, const char *reason, const char *text);
/* The request is what the origin gets: a connection for it. */
void exchange_find_back(struct exchange *x);
/* The origin's answer, complete, in our words: head and body are taken over. Without a front the exchange is over. */
void exchange_give(struct exchange *x, struct httpmsg *head, struct buf *body);

/* --- exchange_cred.c --- */

/* Allowed: from here on the request is what the origin gets. */
void exchange_cred_start(struct exchange *x);
/* The secrets have changed since: asks again. */
void exchange_cred_again(struct exchange *x);

/* --- exchange_body.c: x->body is there, but for the first and the last two --- */

/* The head is done: the credential belongs into a field of the body. Again with another value: where it has changed meanwhile. */
void exchange_body_start(struct exchange *x, const struct secretmsg_injection *i);
size_t exchange_body_data(struct exchange *x, const uint8_t *bytes, size_t n);
void exchange_body_end(struct exchange *x);
/* A back has the head. */
void exchange_body_open(struct exchange *x);
/* The back takes data. */
void exchange_body_send(struct exchange *x);
/* Whether the back does not have all of it. */
bool exchange_body_is_left(const struct exchange *x);
void exchange_body_free(struct exchange *x);

/* --- exchange_token.c: x->token is there, but for the first; data and ends only before x->final --- */

/* false: the request is for no token endpoint. Else it is taken care of. */
bool exchange_token_start(struct exchange *x);
size_t exchange_token_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n);
void exchange_token_end(struct exchange *x, enum exchange_side from);
/* The back takes data. */
void exchange_token_send(struct exchange *x);
/* The answer's final head, taken over. */
void exchange_token_head(struct exchange *x, struct httpmsg *m, bool end);
/* Whether the due was its own. */
bool exchange_token_due(struct exchange *x);
/* The front is gone: whether the exchange is to go on without it, since what comes back must not be lost. */
bool exchange_token_stays(struct exchange *x);
/* Nothing comes of it any more. Again: nothing. */
void exchange_token_stop(struct exchange *x);
void exchange_token_free(struct exchange *x);

#endif
