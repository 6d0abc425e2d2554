/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange_body: a credential into a field of the request's body (wire/bodyfield.h). The body is collected while the exchange is DECIDING, at most
 * BODY_MAX of it, and goes on whole: with the value in place of the placeholder, as it came where there is no such field, or not at all
 * where the field holds anything else. Bodies of other types than forms and JSON go on as they come, without a credential.
 */
#include "proxy/exchange_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "proxy/inject.h"
#include "proxy/request.h"
#include "wire/bodyfield.h"

#define BODY_MAX (64U << 10)
#define IN_FLIGHT_MAX 128

struct body {
	char name[SECRETMSG_NAME], placeholder[SECRETMSG_TEXT];
	struct secret value;
	enum bodyfield_kind kind;
	struct buf in;  /* as it came */
	struct buf out; /* as it goes: what is still to be given */
	bool whole, sent;
};

static unsigned int in_flight;

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

void exchange_body_free(struct exchange *x)
{
	struct body *b = TAKE_PTR(x->body);

	if (!b)
		return;
	in_flight--;
	secret_wipe(&b->value);
	wipe(&b->in);
	wipe(&b->out);
	free(b);
}

static void none(struct exchange *x, const char *why)
{
	(void)str_format(x->injected, sizeof(x->injected), "none:%s", why);
}

static void refuse(struct exchange *x, int status, const char *reason, const char *text)
{
	x->flow.injected = "none:refused";
	exchange_refuse(x, status, reason, text);
}

/* The whole body is there. */
static void apply(struct exchange *x)
{
	static const char *const digests[] = { "content-digest", "repr-digest", "digest", "content-md5" };
	struct body *b = x->body;
	const struct bodyfield f = { .name = b->name, .has = b->placeholder, .value = b->value.s };
	const char *text = (const char *)buf_bytes(&b->in);
	int r;

	wipe(&b->out);
	r = (b->kind == BODYFIELD_FORM ? bodyfield_form : bodyfield_json)(text, buf_len(&b->in), &f, &b->out);
	if (r == 0) {
		none(x, "no_placeholder");
		r = buf_append(&b->out, text, buf_len(&b->in));
	}
	if (r < 0) {
		refuse(x, r == -EACCES ? 403 : r == -EPROTO ? 400 : 503, r == -EACCES ? "foreign_credential" : r == -EPROTO ? "bad_request" : "limit",
		       r == -EACCES ? inject_text("foreign_credential") : "the request's body cannot be read for certain, and a credential goes into it");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(digests); i++)
		(void)httpmsg_remove(&x->req, digests[i]);
	x->req.has_length = true;
	x->req.length = buf_len(&b->out);
	x->req.body = HTTPMSG_BODY_LENGTH;
	exchange_find_back(x);
}

static int begin(struct exchange *x, const struct secretmsg_injection *i, enum bodyfield_kind kind)
{
	struct body *b = in_flight < IN_FLIGHT_MAX ? calloc(1, sizeof(*b)) : NULL;

	if (!b)
		return -ENOMEM;
	in_flight++;
	memcpy(b->name, i->header, sizeof(b->name));
	memcpy(b->placeholder, i->placeholder, sizeof(b->placeholder));
	b->value = i->value;
	b->kind = kind;
	buf_init(&b->in, BODY_MAX);
	buf_init(&b->out, BODY_MAX + 3 * SECRETMSG_VALUE_MAX);
	x->body = b;
	return 0;
}

static void collect(struct exchange *x)
{
	struct exchange_end_of *f = &x->s[EXCHANGE_FRONT];

	exchange_set_due(x, EXCHANGE_RATE_MS);
	if (!f->waits)
		return;
	f->waits = false;
	f->ops->resume(f->side);
}

void exchange_body_start(struct exchange *x, const struct secretmsg_injection *i)
{
	const struct httpmsg *m = &x->req;
	const char *type = request_type(m);
	enum bodyfield_kind kind = bodyfield_kind(type ? type : "");

	if (x->body) {
		/* The value has changed since. */
		x->body->value = i->value;
		apply(x);
	} else if (!type) {
		refuse(x, 415, "bad_request", "a request into whose body a credential goes has two Content-Type fields");
	} else if (x->s[EXCHANGE_FRONT].complete || kind == BODYFIELD_NEITHER) {
		none(x, x->s[EXCHANGE_FRONT].complete ? "no_placeholder" : "body_type");
		exchange_find_back(x);
	} else if (m->expect_continue || !request_is_plain(m)) {
		refuse(x, m->expect_continue ? 417 : 415, "bad_request", "a body into which a credential goes is sent at once, and not compressed");
	} else if (begin(x, i, kind) < 0) {
		refuse(x, 503, "limit", "too many requests with a credential in their body at a time");
	} else {
		collect(x);
	}
}

size_t exchange_body_data(struct exchange *x, const uint8_t *bytes, size_t n)
{
	if (!x->body->whole && x->state == DECIDING && buf_append(&x->body->in, bytes, n) < 0)
		refuse(x, 413, "limit", "a body into which a credential goes has at most 64 KiB");
	return n;
}

void exchange_body_end(struct exchange *x)
{
	if (x->body->whole || x->state != DECIDING)
		return;
	x->body->whole = true;
	apply(x);
}

void exchange_body_send(struct exchange *x)
{
	struct exchange_end_of *back = &x->s[EXCHANGE_BACK];
	struct body *b = x->body;

	if (b->sent || !back->side || x->state != OPEN)
		return;
	if (buf_len(&b->out) > 0)
		buf_consume(&b->out, back->ops->data(back->side, buf_bytes(&b->out), buf_len(&b->out)));
	if (buf_len(&b->out) > 0 || x->state != OPEN)
		return;
	b->sent = true;
	back->ops->end(back->side, NULL);
}

void exchange_body_open(struct exchange *x)
{
	/* A second back is only tried for a body without a byte. */
	x->body->sent = false;
	exchange_body_send(x);
}

bool exchange_body_is_left(const struct exchange *x)
{
	return x->body && !x->body->sent;
}
