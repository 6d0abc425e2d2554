/* SPDX-License-Identifier: Apache-2.0
 *
 * creds: see creds.h.
 */
#include "proxy/creds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

struct creds {
	struct mint *mint;     /* borrowed */
	struct decide *decide; /* borrowed */
	struct mint_wait *wait, *wait_signins;
	uint64_t generation;
	bool known, knows_signins, due;
	struct oauthdef_list signins;
	struct secretmsg_list list, gone;
};

/* A list of what a sandbox may sign in at, from a keeper whose connection is new: it does not change while that lasts. */
static void on_signins(void *user, const char *text, size_t n, int error)
{
	struct creds *c = user;
	struct err err = { 0 };

	c->wait_signins = NULL;
	if (error || oauthmsg_decode_services(text, n, &c->signins, &err) < 0) {
		log_warn("event=signins error=\"%s\"", error ? strerror(-error) : err.msg);
		return;
	}
	c->knows_signins = true;
	decide_look_again(c->decide);
}

static bool has(const struct secretmsg_list *l, const char *placeholder)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->of[i].placeholder, placeholder))
			return true;
	return false;
}

/* What is in force no more, and what is again. The oldest are forgotten. */
static void remember(struct creds *c, const struct secretmsg_list *now)
{
	struct secretmsg_list *gone = &c->gone;
	size_t n = 0;

	for (size_t i = 0; i < gone->n; i++)
		if (!has(now, gone->of[i].placeholder))
			gone->of[n++] = gone->of[i];
	gone->n = n;
	for (size_t i = 0; i < c->list.n; i++) {
		if (has(now, c->list.of[i].placeholder) || has(gone, c->list.of[i].placeholder))
			continue;
		if (gone->n == SECRETMSG_MAX)
			memmove(&gone->of[0], &gone->of[1], --gone->n * sizeof(gone->of[0]));
		gone->of[gone->n++] = c->list.of[i];
	}
}

static void on_list(void *user, const char *text, size_t n, int error)
{
	struct creds *c = user;
	auto_free struct secretmsg_list *now = calloc(1, sizeof(*now));
	struct err err = { 0 };

	c->wait = NULL;
	if (error || !now) {
		/* A keeper that is lost is replaced, and then asked again. */
		log_warn("event=credentials error=%s", strerror(error ? -error : ENOMEM));
		return;
	}
	if (secretmsg_decode_list(text, n, now, &err) < 0) {
		/* What was bound stays bound; where nothing is known yet, everything is. */
		log_warn("event=credentials error=\"%s\"", err.msg);
		return;
	}
	remember(c, now);
	c->list = *now;
	c->known = true;
	log_info("event=credentials n=%zu", c->list.n);
	decide_look_again(c->decide);
}

void creds_refresh(struct creds *c)
{
	struct buf q;
	const char *text;

	c->generation++;
	mint_cancel(c->wait);
	c->wait = NULL;
	mint_cancel(c->wait_signins);
	c->wait_signins = creds_say(c, &(struct oauthmsg_request){ .op = OAUTHMSG_SERVICES }, on_signins, c);
	buf_init(&q, 4096);
	if (secretmsg_encode(&(struct secretmsg_request){ .op = SECRETMSG_BINDINGS }, &q) == 0 && (text = buf_cstr(&q)))
		c->wait = mint_ask(c->mint, text, on_list, c);
	buf_done(&q);
}

static bool is_bound(void *user, const struct dest *d)
{
	return creds_bound(user, d);
}

struct creds *creds_new(struct mint *m, struct decide *d)
{
	struct creds *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->mint = m;
	c->decide = d;
	decide_set_bound(d, is_bound, c);
	return c;
}

void creds_free(struct creds *c)
{
	if (!c)
		return;
	decide_set_bound(c->decide, NULL, NULL);
	mint_cancel(c->wait);
	mint_cancel(c->wait_signins);
	free(c);
}

/* Whether there is a keeper, or is to be one. */
static bool keeper_due(const struct creds *c)
{
	return c->due || mint_ready(c->mint);
}

void creds_await(struct creds *c)
{
	c->due = true;
}

bool creds_bound(const struct creds *c, const struct dest *d)
{
	if (d->scheme != DEST_HTTPS)
		return false;
	if (!c->known || !c->knows_signins)
		return keeper_due(c);
	return creds_has(c, d) || oauthdef_has_host(&c->signins, d);
}

bool creds_settled(const struct creds *c)
{
	return c->knows_signins || !keeper_due(c);
}

bool creds_has(const struct creds *c, const struct dest *d)
{
	if (d->scheme != DEST_HTTPS)
		return false;
	if (!c->known)
		return keeper_due(c);
	for (size_t i = 0; i < c->list.n; i++)
		for (size_t b = 0; b < c->list.of[i].nbindings; b++)
			if (dest_equal(&c->list.of[i].bindings[b].to, d))
				return true;
	return false;
}

bool creds_by_path(const struct creds *c, const struct dest *d)
{
	for (size_t i = 0; i < c->list.n; i++)
		for (size_t b = 0; b < c->list.of[i].nbindings; b++)
			if (dest_equal(&c->list.of[i].bindings[b].to, d) && !str_eq(c->list.of[i].bindings[b].path, "/**"))
				return true;
	return false;
}

const struct secretmsg_list *creds_list(const struct creds *c)
{
	return &c->list;
}

const struct secretmsg_list *creds_gone(const struct creds *c)
{
	return &c->gone;
}

uint64_t creds_generation(const struct creds *c)
{
	return c->generation;
}

const struct oauthdef_list *creds_signins(const struct creds *c)
{
	return &c->signins;
}

struct mint_wait *creds_say(struct creds *c, const struct oauthmsg_request *q, mint_reply *done, void *user)
{
	struct mint_wait *w = NULL;
	const char *text;
	struct buf b;

	buf_init(&b, KEEPERMSG_MAX_BYTES);
	if (oauthmsg_encode(q, &b) == 0 && (text = buf_cstr(&b)))
		w = mint_ask(c->mint, text, done, user);
	explicit_bzero((void *)(uintptr_t)buf_bytes(&b), buf_len(&b));
	buf_done(&b);
	return w;
}

struct mint_wait *creds_ask(struct creds *c, const struct dest *d, const char *path, const char *has, mint_reply *done, void *user)
{
	struct secretmsg_request *q = calloc(1, sizeof(*q));
	struct mint_wait *w = NULL;
	struct buf b;
	const char *text;

	buf_init(&b, KEEPERMSG_MAX_BYTES);
	if (q) {
		q->op = SECRETMSG_INJECT;
		q->to = *d;
		/* A path that is too long for a rule matches none. */
		(void)str_format(q->path, sizeof(q->path), "%s", strlen(path) < sizeof(q->path) ? path : "");
		(void)str_format(q->has, sizeof(q->has), "%s", has ? has : "");
		if (secretmsg_encode(q, &b) == 0 && (text = buf_cstr(&b)))
			w = mint_ask(c->mint, text, done, user);
	}
	buf_done(&b);
	free(q);
	return w;
}
