/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange_token: a request to an endpoint where tokens are handed out (wire/oauthdef.h). It goes on only whole: its body is collected and read
 * (wire/oauthbody.h), the keeper says whether it may, and gives the token that a placeholder in it stands for. So does the answer: its tokens
 * go to the keeper, and the guest gets what the keeper says that it is to have. What cannot be read for certain, either way, is refused.
 *
 *   COLLECTING  the request's body comes              BEGINNING  the keeper is asked        WAITING   somebody else refreshes: it is asked again
 *   SENDING     the origin has it, or is about to     STORING    the keeper is told of the tokens
 *   DONE        the answer is given, or a refusal
 *
 * Most servers take a refresh token out of use when they give the next one. So once such a request was sent, the exchange goes on also where the
 * front has gone, until the keeper has what came of it.
 */
#include "proxy/exchange_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "proxy/inject.h"
#include "proxy/request.h"
#include "wire/oauthbody.h"

#define IN_FLIGHT_MAX 16  /* each holds two bodies */
#define BUSY_MS 1000      /* between two questions while somebody else refreshes */
#define BUSY_MAX_MS 30000

enum step { COLLECTING, BEGINNING, WAITING, SENDING, STORING, DONE };

struct token {
	struct oauthdef def;
	bool revoke;
	enum step step;
	struct oauthbody_ask ask;
	struct buf body;        /* the request's: as it came, from SENDING on as it goes */
	bool sent;              /* to its end */
	struct buf answer;
	struct httpmsg head;    /* of the answer */
	struct oauthbody_tokens got;
	uint64_t ticket;        /* 0: none that is still to be given back */
	struct beginning *beginning; /* borrowed; NULL: no ticket is asked for */
	uint64_t waits_until_ms;
	struct exchange_env env; /* of an exchange that stays without its front */
};

static unsigned int in_flight;

/* A ticket that is asked for. It lives until the keeper has answered, also where its exchange is no more: then the ticket goes back, which
 * would keep everybody else waiting until it is void. */
struct beginning {
	LIST_ENTRY(beginning) link;
	struct exchange *x; /* borrowed; NULL: gone */
	struct creds *creds; /* borrowed: it lives as long as the connection to the keeper */
	char service[SECRETMSG_NAME];
};

static LIST_HEAD(, beginning) beginnings = LIST_HEAD_INITIALIZER(beginnings);

/* --- the end --- */

static void on_ended(void *user, const char *text, size_t n, int error)
{
}

/* 0: there is none. */
static void give_back(struct creds *creds, const char *service, uint64_t ticket, bool revoked)
{
	struct oauthmsg_request *q = ticket ? calloc(1, sizeof(*q)) : NULL;

	if (q) {
		q->op = OAUTHMSG_END;
		q->ticket = ticket;
		q->revoked = revoked;
		(void)str_format(q->service, sizeof(q->service), "%s", service);
		if (!creds_say(creds, q, on_ended, NULL))
			log_warn("event=oauth error=\"the keeper cannot be told of an end\"");
	}
	free(q);
}

/* The ticket goes back; revoked: and the grant is to go. */
static void end_ticket(struct exchange *x, bool revoked)
{
	give_back(exchange_creds(x), x->token->def.service, x->token->ticket, revoked);
	x->token->ticket = 0;
}

void exchange_token_stop(struct exchange *x)
{
	end_ticket(x, false);
	if (x->token->beginning)
		x->token->beginning->x = NULL;
	x->token->beginning = NULL;
	x->token->step = DONE;
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

void exchange_token_free(struct exchange *x)
{
	struct token *t = TAKE_PTR(x->token);

	if (!t)
		return;
	in_flight--;
	wipe(&t->body);
	wipe(&t->answer);
	httpmsg_done(&t->head);
	explicit_bzero(&t->got, sizeof(t->got));
	free(t);
}

bool exchange_token_stays(struct exchange *x)
{
	struct token *t = x->token;

	if (x->state != OPEN || x->final || t->ask.purpose != OAUTHMSG_REFRESH || (t->step != SENDING && t->step != STORING))
		return false;
	/* Its connection's is about to go. */
	t->env = *x->env;
	t->env.refusal = NULL;
	x->env = &t->env;
	log_info("event=oauth service=%s stays=true", t->def.service);
	return true;
}

static void begin(struct exchange *x);

bool exchange_token_due(struct exchange *x)
{
	switch (x->token->step) {
	case COLLECTING:
		exchange_refuse(x, 408, "timeout", "the request's body came too slowly");
		return true;
	case BEGINNING:
		exchange_set_due(x, EXCHANGE_RATE_MS);
		return true;
	case WAITING:
		if (io_now_ms() < x->token->waits_until_ms)
			begin(x);
		else
			exchange_refuse(x, 503, "oauth", "another refresh of the same sign-in takes too long");
		return true;
	default:
		return false;
	}
}

/* --- the request --- */

static int start(struct exchange *x, const struct oauthdef *d, bool revoke)
{
	struct token *t = in_flight < IN_FLIGHT_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return -ENOMEM;
	in_flight++;
	t->def = *d;
	t->revoke = revoke;
	buf_init(&t->body, OAUTHBODY_REQUEST_MAX);
	buf_init(&t->answer, OAUTHBODY_ANSWER_MAX);
	httpmsg_init(&t->head, HTTPMSG_RESPONSE);
	x->token = t;
	return 0;
}

/* No credential but in the body, or of the client itself: why it cannot go, or NULL. */
static const char *check_fields(struct exchange *x)
{
	struct secretmsg_injection *none = calloc(1, sizeof(*none));
	const char *why;

	if (!none)
		return "limit";
	(void)str_format(none->none, sizeof(none->none), INJECT_SIGN_IN);
	why = inject_apply(&x->req, none, creds_list(exchange_creds(x)));
	free(none);
	return why;
}

/* The head of a request to an endpoint; false: it was refused. */
static bool check_head(struct exchange *x)
{
	const struct httpmsg *m = &x->req;
	int status = m->method_id != HTTPMSG_POST                  ? 405 :
		     m->expect_continue                            ? 417 :
		     !request_is_plain(m) || !request_type(m)      ? 415 :
		     strchr(httpmsg_str(m, m->path), '?') != NULL ? 400 :
								     0;
	const char *why = status == 0 ? check_fields(x) : NULL;

	if (status != 0)
		exchange_refuse(x, status, "oauth", "an endpoint where one signs in takes a plain POST without a query");
	else if (why)
		exchange_refuse(x, str_eq(why, "limit") ? 503 : 403, why, inject_text(why));
	return status == 0 && !why;
}

/* Parts of an answer, or a compressed one, could not be searched. */
static bool set_fields(struct exchange *x)
{
	static const char *const gone[] = { "range", "if-range", "content-digest", "repr-digest", "digest", "content-md5" };

	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		(void)httpmsg_remove(&x->req, gone[i]);
	return httpmsg_put(&x->req, "accept-encoding", "identity", strlen("identity")) == 0;
}

static void collect(struct exchange *x)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];

	exchange_set_due(x, EXCHANGE_RATE_MS);
	if (f->complete) {
		exchange_token_end(x, EXCHANGE_FRONT);
	} else if (f->waits) {
		f->waits = false;
		f->ops->resume(f->side);
	}
}

static bool refuse_use(struct exchange *x, enum oauthdef_use use)
{
	if (use == OAUTHDEF_REFUSED)
		exchange_refuse(x, 403, "oauth", "this endpoint hands out a credential that sbx could not keep from the sandbox: store one with sbx secret");
	else
		exchange_refuse(x, 403, "oauth", "a server could take this path for an endpoint where one signs in");
	return true;
}

bool exchange_token_start(struct exchange *x)
{
	struct creds *c = exchange_creds(x);
	const struct oauthdef *d = NULL;
	enum oauthdef_use use;

	if (x->flow.dest.scheme != DEST_HTTPS || x->flow.protocol == FLOW_TCP)
		return false;
	if (!creds_settled(c)) {
		exchange_refuse(x, 503, "keeper", "the keeper has not said yet where one signs in");
		return true;
	}
	if (!oauthdef_has_host(creds_signins(c), &x->flow.dest))
		return false;
	use = x->target.path ? oauthdef_use(creds_signins(c), &x->flow.dest, x->target.path, &d) : OAUTHDEF_ALMOST;
	if (use == OAUTHDEF_NONE)
		return false;
	if (use == OAUTHDEF_REFUSED || use == OAUTHDEF_ALMOST)
		return refuse_use(x, use);
	if (!check_head(x))
		return true;
	if (start(x, d, use == OAUTHDEF_REVOKE) < 0)
		exchange_refuse(x, 503, "limit", "too many sign-ins at a time");
	else if (!set_fields(x))
		exchange_refuse(x, 431, "limit", "the request's head is too large");
	else
		collect(x);
	return true;
}

/* Two are none. */
static const char *type_of(const struct httpmsg *m)
{
	const char *type = request_type(m);

	return type ? type : "";
}

/* The request with what the keeper gave. */
static void use_begun(struct exchange *x, const struct oauthmsg_begun *b)
{
	struct token *t = x->token;
	const struct oauthbody_bytes was = { type_of(&x->req), buf_bytes(&t->body), buf_len(&t->body) };
	struct secretmsg_injection *i = calloc(1, sizeof(*i));
	struct buf out;
	int r;

	buf_init(&out, OAUTHBODY_REQUEST_MAX + SECRETMSG_FIELD_MAX * 3);
	r = i ? oauthbody_fill(&t->ask, &was, b, &out) : -ENOMEM;
	if (r == 0 && t->ask.purpose != OAUTHMSG_SIGN_IN) {
		i->value = t->ask.access ? b->access : b->refresh;
		memcpy(i->placeholder, t->def.refresh, sizeof(i->placeholder));
		x->scrub = scrub_new(i);
		r = x->scrub ? 0 : -ENOMEM;
	}
	if (i)
		explicit_bzero(i, sizeof(*i));
	free(i);
	wipe(&t->body);
	t->body = out;
	if (r < 0) {
		exchange_refuse(x, r == -ENOENT ? 403 : 503, r == -ENOENT ? "oauth" : "limit", "the request cannot be given its token");
		return;
	}
	t->step = SENDING;
	x->req.has_length = true;
	x->req.length = buf_len(&t->body);
	x->req.body = HTTPMSG_BODY_LENGTH;
	exchange_find_back(x);
}

/* r: of decoding it; err says why. */
static void begun(struct exchange *x, const struct oauthmsg_begun *b, int r, const struct err *err)
{
	struct token *t = x->token;

	if (r < 0 && err->kind == ERR_DENIED) {
		exchange_refuse(x, 403, "foreign_credential", err->msg);
	} else if (r < 0) {
		exchange_refuse(x, err->kind == ERR_NOT_FOUND ? 403 : 503, err->kind == ERR_NOT_FOUND ? "oauth" : "keeper", err->msg);
	} else if (b->busy) {
		t->step = WAITING;
		if (t->waits_until_ms == 0)
			t->waits_until_ms = io_now_ms() + BUSY_MAX_MS;
		exchange_set_due(x, BUSY_MS);
	} else {
		t->ticket = b->ticket;
		use_begun(x, b);
	}
}

static void on_begun(void *user, const char *text, size_t n, int error)
{
	struct beginning *begins = user;
	struct oauthmsg_begun *b = calloc(1, sizeof(*b));
	struct err err = { .kind = ERR_UNAVAILABLE, .msg = "the keeper does not answer" };
	int r = !b || error ? -EPIPE : oauthmsg_decode_begun(text, n, b, &err);

	LIST_REMOVE(begins, link);
	if (begins->x) {
		begins->x->token->beginning = NULL;
		begun(begins->x, b, r, &err);
	} else if (r == 0) {
		give_back(begins->creds, begins->service, b->busy ? 0 : b->ticket, false);
	}
	if (b)
		explicit_bzero(b, sizeof(*b));
	free(b);
	free(begins);
}

static void begin(struct exchange *x)
{
	struct token *t = x->token;
	struct oauthmsg_request *q = calloc(1, sizeof(*q));
	struct beginning *b = calloc(1, sizeof(*b));
	bool asks = false;

	t->step = BEGINNING;
	if (q && b) {
		*b = (struct beginning){ .x = x, .creds = exchange_creds(x) };
		memcpy(b->service, t->def.service, sizeof(b->service));
		q->op = OAUTHMSG_BEGIN;
		q->purpose = t->ask.purpose;
		memcpy(q->service, t->def.service, sizeof(q->service));
		asks = creds_say(b->creds, q, on_begun, b);
	}
	free(q);
	if (!asks) {
		free(b);
		exchange_refuse(x, 503, "limit", "too many requests wait for the keeper");
		return;
	}
	LIST_INSERT_HEAD(&beginnings, b, link);
	t->beginning = b;
}

/* The request is there to its end. */
static void asked(struct exchange *x)
{
	struct token *t = x->token;
	const struct oauthbody_bytes b = { type_of(&x->req), buf_bytes(&t->body), buf_len(&t->body) };
	const struct oauthbody_known known = { creds_signins(exchange_creds(x)), creds_list(exchange_creds(x)) };
	struct oauthbody_fault why;

	if (oauthbody_read(&t->def, t->revoke, &b, &known, &t->ask, &why) < 0) {
		x->flow.injected = "none:refused";
		exchange_refuse(x, 403, why.reason, why.text);
		return;
	}
	(void)str_format(x->injected, sizeof(x->injected), "%s%s", t->ask.purpose == OAUTHMSG_SIGN_IN ? "none:" : "",
			 t->ask.purpose == OAUTHMSG_SIGN_IN ? "sign_in" : t->def.service);
	x->flow.injected = x->injected;
	begin(x);
}

void exchange_token_send(struct exchange *x)
{
	struct exchange_end_of *b = &x->s[EXCHANGE_BACK];
	struct token *t = x->token;

	if (t->step != SENDING || t->sent || !b->side)
		return;
	if (buf_len(&t->body) > 0)
		buf_consume(&t->body, b->ops->data(b->side, buf_bytes(&t->body), buf_len(&t->body)));
	if (buf_len(&t->body) > 0 || x->state != OPEN)
		return;
	t->sent = true;
	b->ops->end(b->side, NULL);
}

/* --- the answer --- */

static void give(struct exchange *x, struct buf *body)
{
	if (!x->token->sent)
		x->s[EXCHANGE_BACK].how = EXCHANGE_CUT;
	exchange_give(x, &x->token->head, body);
}

/* What it was asked with does not come back. */
static void mask_asked(const struct exchange *x, struct buf *b)
{
	if (x->scrub && b->data && scrub_mask(x->scrub, b->data + b->head, buf_len(b)) > 0)
		log_warn("event=reflected in=body conn=%llu", (unsigned long long)x->flow.conn);
}

/* What came, as it came: nothing in it is a token. */
static void pass(struct exchange *x)
{
	struct token *t = x->token;

	mask_asked(x, &t->answer);
	give(x, &t->answer);
}

/* Whether a token stands in the head, or, in whatever encoding, in the body. */
static bool has_token(struct httpmsg *head, struct buf *body, const struct secret *token)
{
	struct secretmsg_injection *i = token->s[0] ? calloc(1, sizeof(*i)) : NULL;
	struct scrub *s = NULL;
	bool found;

	if (i) {
		i->value = *token;
		s = scrub_new(i);
		explicit_bzero(i, sizeof(*i));
	}
	free(i);
	found = token->s[0] && (!s || scrub_head(s, head) != 0 || scrub_mask(s, body->data + body->head, buf_len(body)) > 0);
	scrub_free(s);
	return found;
}

static bool has_tokens(struct token *t, struct buf *body)
{
	/* As good as a token, and no client of ours has a jar for them. */
	(void)httpmsg_remove(&t->head, "set-cookie");
	return has_token(&t->head, body, &t->got.access) || has_token(&t->head, body, &t->got.refresh) || has_token(&t->head, body, &t->got.id);
}

static void use_given(struct exchange *x, const struct oauthmsg_given *g)
{
	struct token *t = x->token;
	const struct oauthbody_bytes was = { type_of(&t->head), buf_bytes(&t->answer), buf_len(&t->answer) };
	struct buf out;
	int r;

	buf_init(&out, OAUTHBODY_ANSWER_MAX + 3 * OAUTHMSG_SENTINEL_MAX);
	r = oauthbody_mask(&t->def, &was, &t->got, g, &out);
	if (r == 0 && has_tokens(t, &out))
		r = -EPROTO;
	mask_asked(x, &out);
	wipe(&t->answer);
	explicit_bzero(&t->got, sizeof(t->got));
	if (r < 0)
		exchange_refuse(x, 502, "oauth", "the answer has a token where none is expected");
	else
		give(x, &out);
	wipe(&out);
}

static void on_stored(void *user, const char *text, size_t n, int error)
{
	struct exchange *x = user;
	struct token *t = x->token;
	struct oauthmsg_given *g = calloc(1, sizeof(*g));
	struct err err = { .msg = "the keeper does not answer" };

	x->cred = NULL;
	if (!g || error || oauthmsg_decode_given(text, n, g, &err) < 0) {
		log_warn("event=oauth service=%s error=\"%s\"", t->def.service, err.msg);
		exchange_refuse(x, err.kind == ERR_DENIED ? 403 : 502, err.kind == ERR_DENIED ? "foreign_credential" : "oauth", err.msg);
	} else {
		log_info("event=oauth service=%s stored=%s", t->def.service, t->ticket ? "refreshed" : "signed_in");
		t->ticket = 0;
		use_given(x, g);
	}
	free(g);
}

static void store(struct exchange *x)
{
	struct token *t = x->token;
	struct oauthmsg_request *q = calloc(1, sizeof(*q));

	t->step = STORING;
	if (q) {
		q->op = OAUTHMSG_STORE;
		q->ticket = t->ticket;
		memcpy(q->service, t->def.service, sizeof(q->service));
		q->access = t->got.access;
		q->refresh = t->got.refresh;
		q->id = t->got.id;
		x->cred = creds_say(exchange_creds(x), q, on_stored, x);
		explicit_bzero(q, sizeof(*q));
	}
	free(q);
	if (!x->cred)
		exchange_refuse(x, 503, "limit", "too many requests wait for the keeper");
}

/* The answer is there to its end. */
static void answered(struct exchange *x)
{
	struct token *t = x->token;
	const struct oauthbody_bytes b = { type_of(&t->head), buf_bytes(&t->answer), buf_len(&t->answer) };
	bool good = t->head.status >= 200 && t->head.status < 300;

	if (t->revoke) {
		end_ticket(x, good);
		pass(x);
		return;
	}
	switch (oauthbody_answer(&t->def, t->head.status, &b, &t->got)) {
	case OAUTHBODY_TOKENS:
		store(x);
		break;
	case OAUTHBODY_PASS:
		pass(x);
		break;
	case OAUTHBODY_BAD:
		exchange_refuse(x, 502, "oauth", "the answer of an endpoint where one signs in cannot be read for certain");
		break;
	}
}

void exchange_token_head(struct exchange *x, struct httpmsg *m, bool end)
{
	struct token *t = x->token;

	if (t->step != SENDING || !request_is_plain(m)) {
		exchange_refuse(x, 502, "oauth", "the answer of an endpoint where one signs in is compressed");
		return;
	}
	/* A client would ask again there, where nobody would know the endpoint. */
	if (m->status >= 300 && m->status < 400 && httpmsg_find_name(m, "location", strlen("location"), 0) >= 0) {
		exchange_refuse(x, 502, "oauth", "an endpoint where one signs in sends its client to another place");
		return;
	}
	httpmsg_done(&t->head);
	t->head = *m;
	httpmsg_init(m, HTTPMSG_RESPONSE);
	if (end)
		answered(x);
}

/* --- both --- */

size_t exchange_token_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	struct token *t = x->token;
	bool request = from == EXCHANGE_FRONT;

	if (request ? t->step != COLLECTING : t->step != SENDING || x->state != OPEN)
		return n;
	if (buf_append(request ? &t->body : &t->answer, bytes, n) < 0)
		exchange_refuse(x, request ? 413 : 502, "oauth", request ? "a request to an endpoint where one signs in is too long" :
									   "the answer of an endpoint where one signs in is too long");
	return n;
}

void exchange_token_end(struct exchange *x, enum exchange_side from)
{
	if (from == EXCHANGE_FRONT && x->token->step == COLLECTING)
		asked(x);
	else if (from == EXCHANGE_BACK && x->token->step == SENDING && x->state == OPEN)
		answered(x);
}
