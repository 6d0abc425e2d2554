/* SPDX-License-Identifier: Apache-2.0
 *
 * grants: see grants.h. Enters: requests that wire/oauthmsg has checked, and our own documents.
 */
#include "keeper/grants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "policy/target.h"
#include "wire/oauthbody.h"

#define LIST_BYTES 16384 /* of the grants in one reply: the secrets have the rest */

DEFINE_AUTO(json, json_t *, json_decref);

struct grant {
	struct secretmsg_secret secret; /* name: the service */
	struct secret access, refresh;  /* refresh "": none. Of the index both are "" */
	struct oauthmsg_given shown;
	/* Of who refreshes now. */
	uint64_t ticket, number, until_ms;
};

struct grants {
	struct store *store; /* borrowed */
	struct vault *vault; /* borrowed */
	uint64_t generation; /* of the store when it was read; 0: never */
	bool open;           /* the tokens are there; else all is the index's */
	struct err why;      /* kind ERR_NONE: it can be used */
	uint64_t last;       /* number or ticket */
	size_t n;
	struct grant *of[GRANTS_MAX + 1]; /* owned */
	/* Sandboxes that were removed while the store was locked. */
	char forgotten[GRANTS_MAX][KEEPERMSG_ID];
	size_t nforgotten;
};

static void grant_free(struct grant *g)
{
	if (g)
		explicit_bzero(g, sizeof(*g));
	free(g);
}

static void clear(struct grants *g)
{
	for (size_t i = 0; i < g->n; i++)
		grant_free(g->of[i]);
	g->n = 0;
	g->nforgotten = 0;
}

/* --- the document and its index --- */

static int text(const json_t *o, const char *key, char *dst, size_t size)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_null(v))
		return 0;
	if (!json_is_string(v) || json_string_length(v) >= size)
		return -EINVAL;
	memcpy(dst, json_string_value(v), json_string_length(v));
	return 0;
}

static int read_tokens(const json_t *o, struct grant *one, struct err *err)
{
	if (text(o, "access", one->access.s, sizeof(one->access.s)) < 0 || text(o, "refresh", one->refresh.s, sizeof(one->refresh.s)) < 0 ||
	    text(o, "shown", one->shown.access, sizeof(one->shown.access)) < 0 ||
	    text(o, "shown_id", one->shown.id, sizeof(one->shown.id)) < 0 || !one->access.s[0] || !one->shown.access[0])
		return err_set(err, ERR_INTERNAL, EBADMSG, "a grant is not what sbx-keeper writes");
	if (one->refresh.s[0])
		memcpy(one->shown.refresh, one->secret.refresh, sizeof(one->shown.refresh));
	return 0;
}

static int read_one(struct grants *g, const json_t *o, bool tokens, struct err *err)
{
	struct grant *one = calloc(1, sizeof(*one));
	int r = one ? secretmsg_read(tokens ? json_object_get(o, "secret") : o, &one->secret, err) : err_errno(err, ENOMEM, "the grants");

	if (r == 0 && tokens)
		r = read_tokens(o, one, err);
	if (r == 0)
		g->of[g->n++] = one;
	else
		grant_free(one);
	return r;
}

static int read_forgotten(struct grants *g, const json_t *list)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > GRANTS_MAX)
		return -EBADMSG;
	json_array_foreach(list, i, id)
		if (!json_is_string(id) || !keepermsg_id_ok(json_string_value(id)) ||
		    str_format(g->forgotten[i], sizeof(g->forgotten[i]), "%s", json_string_value(id)) < 0)
			return -EBADMSG;
	g->nforgotten = json_array_size(list);
	return 0;
}

/* Into g, which has none yet. */
static int read_text(struct grants *g, const struct box_bytes *b, bool tokens, struct err *err)
{
	json_error_t e;
	auto_(json) json_t *o = json_loadb(b->p, b->n, JSON_REJECT_DUPLICATES, &e);
	const json_t *list = json_object_get(o, "grants"), *one;
	size_t i;
	int r = 0;

	if (json_integer_value(json_object_get(o, "v")) != 1 || !json_is_array(list) || json_array_size(list) > GRANTS_MAX ||
	    (!tokens && read_forgotten(g, json_object_get(o, "forgotten")) < 0))
		return err_set(err, ERR_INTERNAL, EBADMSG, "it is not what sbx-keeper writes");
	json_array_foreach(list, i, one)
		if (r == 0)
			r = read_one(g, one, tokens, err);
	return r;
}

static const char *or_null(const char *s)
{
	return s[0] ? s : NULL;
}

/* Takes o's reference. */
static int emit(json_t *o, struct box_bytes *ret, struct err *err)
{
	char *bytes = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!bytes)
		return err_errno(err, ENOMEM, "the grants");
	*ret = (struct box_bytes){ .p = bytes, .n = strlen(bytes) };
	return 0;
}

static int write_index(const struct grants *g, struct err *err)
{
	auto_box struct box_bytes bytes = { 0 };
	json_t *list, *forgotten;
	int r = 0;

	/* Where the document itself can be read without a key there is no need of one. */
	if (!store_encrypts(g->store))
		return 0;
	list = json_array();
	forgotten = json_array();
	for (size_t i = 0; i < g->n; i++)
		r |= json_array_append_new(list, secretmsg_write(&g->of[i]->secret));
	for (size_t i = 0; i < g->nforgotten; i++)
		r |= json_array_append_new(forgotten, json_string(g->forgotten[i]));
	if (r < 0) {
		json_decref(list);
		json_decref(forgotten);
		return err_errno(err, ENOMEM, "the grants");
	}
	r = emit(json_pack("{si so so}", "v", 1, "grants", list, "forgotten", forgotten), &bytes, err);
	return r == 0 ? store_write_index(g->store, STORE_GRANTS, bytes.p, bytes.n, err) : r;
}

static int save(const struct grants *g, struct err *err)
{
	auto_box struct box_bytes bytes = { 0 };
	json_t *list = json_array();
	int r = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct grant *one = g->of[i];

		r |= json_array_append_new(list, json_pack("{so ss ss? ss ss?}", "secret", secretmsg_write(&one->secret), "access",
							   one->access.s, "refresh", or_null(one->refresh.s), "shown",
							   one->shown.access, "shown_id", or_null(one->shown.id)));
	}
	if (r < 0) {
		json_decref(list);
		return err_errno(err, ENOMEM, "the grants");
	}
	r = emit(json_pack("{si so}", "v", 1, "grants", list), &bytes, err);
	if (r == 0)
		r = store_write(g->store, STORE_GRANTS, bytes.p, bytes.n, err);
	if (r < 0)
		return r;
	/* It has been changed; an index that is old is made anew at the next unlocking. */
	if (write_index(g, err) < 0)
		log_warn("event=grant_index error=\"%s\"", err->msg);
	return 0;
}

static int load_index(struct grants *g, struct err *err)
{
	auto_box struct box_bytes bytes = { 0 };
	int r = store_read_index(g->store, STORE_GRANTS, &bytes, err);

	if (r == 0 && (r = read_text(g, &bytes, false, err)) < 0)
		(void)err_wrap(err, "keeper/secrets/%s.index.json", STORE_GRANTS);
	return r;
}

/* The store is open: those go whose sandboxes were removed meanwhile. */
static void settle(struct grants *g)
{
	struct grants *index = calloc(1, sizeof(*index));
	struct err err = { 0 };
	size_t before = g->n, n = 0;

	if (index) {
		index->store = g->store;
		if (load_index(index, NULL) < 0)
			index->nforgotten = 0;
		for (size_t i = 0; i < g->n; i++) {
			size_t f = 0;

			while (f < index->nforgotten && !str_eq(index->forgotten[f], g->of[i]->secret.sandbox))
				f++;
			if (f < index->nforgotten)
				grant_free(g->of[i]);
			else
				g->of[n++] = g->of[i];
		}
		g->n = n;
		clear(index);
	}
	free(index);
	if ((g->n < before ? save(g, &err) : write_index(g, &err)) < 0)
		log_warn("event=grant_index error=\"%s\"", err.msg);
}

static int load(struct grants *g, struct err *err)
{
	auto_box struct box_bytes bytes = { 0 };
	int r = store_read(g->store, STORE_GRANTS, &bytes, err);

	if (r == 0 && (r = read_text(g, &bytes, true, err)) < 0)
		(void)err_wrap(err, "keeper/secrets: the document \"%s\"", STORE_GRANTS);
	if (r < 0 && r != -ENOENT)
		return r;
	if (store_encrypts(g->store))
		settle(g);
	return 0;
}

static void read_again(struct grants *g)
{
	int r;

	clear(g);
	g->why = (struct err){ 0 };
	g->open = store_check(g->store, NULL) == 0;
	r = g->open ? load(g, &g->why) : load_index(g, &g->why);
	/* Which they are is not known; that there are some is. */
	if (!g->open && r == -ENOENT && store_holds(g->store, STORE_GRANTS))
		r = store_check(g->store, &g->why);
	if (r == 0 || r == -ENOENT) {
		g->why = (struct err){ 0 };
		return;
	}
	clear(g);
	log_error("event=grants_unreadable error=\"%s\"", g->why.msg);
}

int grants_sync(struct grants *g, struct err *err)
{
	if (g->generation != store_generation(g->store)) {
		read_again(g);
		g->generation = store_generation(g->store);
	}
	return g->why.kind == ERR_NONE ? 0 : err_set(err, g->why.kind, g->why.errnum, "%s", g->why.msg);
}

/* As grants_sync, and the tokens are there. */
static int need_tokens(struct grants *g, struct err *err)
{
	int r = grants_sync(g, err);

	return r == 0 ? store_check(g->store, err) : r;
}

struct grants *grants_open(struct store *store, struct vault *v)
{
	struct grants *g = calloc(1, sizeof(*g));

	if (g) {
		g->store = store;
		g->vault = v;
	}
	return g;
}

void grants_free(struct grants *g)
{
	if (g)
		clear(g);
	free(g);
}

/* --- finding --- */

static size_t find(const struct grants *g, const char *service, const char *sandbox)
{
	size_t i = 0;

	while (i < g->n && !(str_eq(g->of[i]->secret.name, service) && str_eq(g->of[i]->secret.sandbox, sandbox)))
		i++;
	return i;
}

/* The one that counts for a sandbox: its own, or the one for all; NULL. */
static struct grant *in_force(const struct grants *g, const char *service, const char *sandbox)
{
	size_t i = find(g, service, sandbox);

	if (i == g->n)
		i = find(g, service, "");
	return i < g->n ? g->of[i] : NULL;
}

/* --- changes: written first; what could not be written has not happened --- */

/* Takes `with` over; NULL: removed. */
static int put(struct grants *g, size_t i, struct grant *with, struct err *err)
{
	struct grants before = *g;
	struct grant *old = i < g->n ? g->of[i] : NULL;
	int r;

	if (with && i == GRANTS_MAX) {
		grant_free(with);
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are %d sign-ins already: remove one first", GRANTS_MAX);
	}
	if (with) {
		g->of[i] = with;
		g->n += !old;
	} else {
		memmove(&g->of[i], &g->of[i + 1], (g->n - i - 1) * sizeof(g->of[0]));
		g->n--;
	}
	r = save(g, err);
	if (r < 0)
		memcpy(g, &before, sizeof(*g));
	grant_free(r < 0 ? with : old);
	return r;
}

uint64_t grants_number(struct grants *g)
{
	return ++g->last;
}

static void release(struct grant *one)
{
	one->ticket = one->number = one->until_ms = 0;
}

void grants_gone(struct grants *g, uint64_t number)
{
	for (size_t i = 0; i < g->n && number; i++)
		if (g->of[i]->number == number)
			release(g->of[i]);
}

/* --- a sign-in, a refresh, a revocation --- */

static int none(struct err *err, const char *service)
{
	return err_set(err, ERR_NOT_FOUND, ENOENT, "there is no sign-in '%s'", service);
}

/* Whether the sandbox has another credential for one of the hosts: then nobody in it may bring one of his own. */
static int check_free(const struct grants *g, const struct grants_peer *p, const struct oauthdef *d, struct err *err)
{
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));

	if (!l)
		return err_errno(err, ENOMEM, "the secrets");
	if (vault_list(g->vault, p->sandbox, l, err) < 0)
		return err_code(err);
	for (size_t i = 0; i < l->n; i++)
		for (size_t b = 0; b < l->of[i].nbindings; b++)
			for (size_t a = 0; a < d->nbindings; a++)
				if (dest_equal(&l->of[i].bindings[b].to, &d->bindings[a].to))
					return err_set(err, ERR_DENIED, EEXIST, "the secret '%s' is for %s already", l->of[i].name,
						       d->bindings[a].to.host);
	if (find(g, d->service, "") < g->n && find(g, d->service, p->sandbox) == g->n)
		return err_set(err, ERR_DENIED, EEXIST, "all sandboxes are signed in by '%s' already", d->service);
	return 0;
}

static const struct oauthdef *definition(const struct grants_peer *p, const char *service, struct err *err)
{
	const struct oauthdef *d = p->services ? oauthdef_find(p->services, service) : NULL;

	if (!d)
		(void)err_set(err, ERR_DENIED, EPERM, "'%s' is nothing that this sandbox can sign in at", service);
	return d;
}

int grants_begin(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, struct oauthmsg_begun *ret, struct err *err)
{
	const struct oauthdef *d = definition(p, q->service, err);
	struct grant *one;

	memset(ret, 0, sizeof(*ret));
	if (!d || need_tokens(g, err) < 0)
		return err_code(err);
	one = in_force(g, q->service, p->sandbox);
	if (q->purpose == OAUTHMSG_SIGN_IN)
		return check_free(g, p, d, err);
	if (!one)
		return none(err, q->service);
	if (q->purpose == OAUTHMSG_REVOKE && !one->secret.sandbox[0])
		return err_set(err, ERR_DENIED, EPERM, "'%s' is for all sandboxes: one alone cannot end it", q->service);
	if (q->purpose == OAUTHMSG_REFRESH && !one->refresh.s[0])
		return none(err, q->service);
	if (one->ticket && one->until_ms > io_now_ms()) {
		ret->busy = true;
		return 0;
	}
	one->ticket = ret->ticket = ++g->last;
	one->number = p->number;
	one->until_ms = io_now_ms() + GRANTS_TICKET_MS;
	ret->refresh = one->refresh;
	if (q->purpose == OAUTHMSG_REVOKE)
		ret->access = one->access;
	return 0;
}

/* The grant for which the peer has that ticket. */
static struct grant *by_ticket(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, size_t *ret)
{
	for (size_t i = 0; i < g->n && q->ticket; i++)
		if (g->of[i]->ticket == q->ticket && g->of[i]->number == p->number && str_eq(g->of[i]->secret.name, q->service)) {
			*ret = i;
			return g->of[i];
		}
	return NULL;
}

/* What the definition says of it, as it is now. */
static int describe(struct grant *one, const struct oauthdef *d, const struct oauthmsg_request *q, struct err *err)
{
	struct secretmsg_secret *s = &one->secret;

	memcpy(s->name, d->service, sizeof(s->name));
	memcpy(s->placeholder, d->access, sizeof(s->placeholder));
	memcpy(s->refresh, d->refresh, sizeof(s->refresh));
	memcpy(s->bindings, d->bindings, sizeof(s->bindings));
	s->nbindings = d->nbindings;
	one->access = q->access;
	if (q->refresh.s[0])
		one->refresh = q->refresh;
	memset(one->shown.refresh, 0, sizeof(one->shown.refresh));
	if (one->refresh.s[0])
		memcpy(one->shown.refresh, d->refresh, sizeof(one->shown.refresh));
	if (oauthbody_sentinel(d, q->access.s, d->jwt, one->shown.access) < 0 ||
	    (q->id.s[0] && oauthbody_sentinel(d, q->id.s, true, one->shown.id) < 0))
		return err_set(err, ERR_INVALID, EMSGSIZE, "a token of '%s' is too long", d->service);
	return 0;
}

int grants_store(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, struct oauthmsg_given *ret, struct err *err)
{
	const struct oauthdef *d = definition(p, q->service, err);
	struct grant *one, *was;
	size_t i;
	int r = 0;

	if (!d || need_tokens(g, err) < 0)
		return err_code(err);
	one = calloc(1, sizeof(*one));
	if (!one)
		return err_errno(err, ENOMEM, "the grant");
	i = find(g, q->service, p->sandbox);
	was = q->ticket ? by_ticket(g, p, q, &i) : NULL;
	if (was) {
		*one = *was;
		release(one);
	} else if (q->ticket) {
		r = none(err, q->service);
	} else {
		r = check_free(g, p, d, err);
		memcpy(one->secret.sandbox, p->sandbox, sizeof(one->secret.sandbox));
	}
	if (r == 0)
		r = describe(one, d, q, err);
	if (r < 0) {
		grant_free(one);
		return r;
	}
	*ret = one->shown;
	if (!q->id.s[0])
		ret->id[0] = 0;
	return put(g, i, one, err);
}

int grants_end(struct grants *g, const struct grants_peer *p, const struct oauthmsg_request *q, bool *ret_removed, struct err *err)
{
	struct grant *one;
	size_t i = 0;

	*ret_removed = false;
	if (need_tokens(g, err) < 0)
		return err_code(err);
	one = by_ticket(g, p, q, &i);
	if (!one)
		return q->ticket ? none(err, q->service) : 0;
	release(one);
	if (!q->revoked)
		return 0;
	if (!one->secret.sandbox[0])
		return err_set(err, ERR_DENIED, EPERM, "'%s' is for all sandboxes", q->service);
	*ret_removed = true;
	return put(g, i, NULL, err);
}

/* --- as secrets --- */

static size_t size_of(const struct secretmsg_secret *s)
{
	auto_(json) json_t *o = secretmsg_write(s);
	auto_free char *bytes = o ? json_dumps(o, JSON_COMPACT) : NULL;

	return bytes ? strlen(bytes) + 1 : LIST_BYTES;
}

int grants_list(struct grants *g, const char *sandbox, struct secretmsg_list *ret, struct err *err)
{
	size_t bytes = 0, most = sandbox ? LIST_BYTES : KEEPERMSG_MAX_BYTES - 64;

	if (grants_sync(g, err) < 0)
		return err_code(err);
	for (size_t i = 0; i < g->n && ret->n < SECRETMSG_LIST_MAX; i++) {
		const struct secretmsg_secret *s = &g->of[i]->secret;

		if (sandbox && in_force(g, s->name, sandbox) != g->of[i])
			continue;
		bytes += size_of(s);
		if (bytes <= most)
			ret->of[ret->n++] = *s;
	}
	return 0;
}

static int fill(const struct grant *one, const struct secretmsg_binding *b, struct secretmsg_injection *i, struct err *err)
{
	memset(i, 0, sizeof(*i));
	memcpy(i->secret, one->secret.name, sizeof(i->secret));
	memcpy(i->header, b->header, sizeof(i->header));
	memcpy(i->placeholder, one->secret.placeholder, sizeof(i->placeholder));
	i->value = one->access;
	if (secretmsg_field(b->format, one->access.s, i->field, sizeof(i->field)) < 0)
		return err_set(err, ERR_INTERNAL, EMSGSIZE, "the token of '%s' does not fit into a header", one->secret.name);
	return 0;
}

/* Only in place of its placeholder: what a program sends without one stays without. */
static int try(const struct grants *g, const struct grant *one, const struct secretmsg_request *q, const struct target *t,
	       struct secretmsg_injection *i, struct err *err)
{
	for (size_t b = 0; b < one->secret.nbindings; b++) {
		const struct secretmsg_binding *at = &one->secret.bindings[b];

		if (!dest_equal(&at->to, &q->to))
			continue;
		if (target_match(at->path, t) && str_eq(q->has, one->secret.placeholder))
			return store_check(g->store, err) < 0 || fill(one, at, i, err) < 0 ? err_code(err) : 1;
		if (str_eq(i->none, "no_secret"))
			(void)str_format(i->none, sizeof(i->none), target_match(at->path, t) ? "no_placeholder" : "path");
	}
	return 0;
}

int grants_inject(struct grants *g, const char *sandbox, const struct secretmsg_request *q, struct secretmsg_injection *i,
		  struct err *err)
{
	struct target t = { 0 };
	int r = grants_sync(g, err);

	if (r < 0)
		return r;
	if (target_parse(q->path, strlen(q->path), &t) < 0)
		return err_errno(err, ENOMEM, "the path");
	for (size_t n = 0; n < g->n && r == 0; n++)
		if (in_force(g, g->of[n]->secret.name, sandbox) == g->of[n])
			r = try(g, g->of[n], q, &t, i, err);
	target_done(&t);
	return r < 0 ? r : 0;
}

/* --- of the user --- */

int grants_remove(struct grants *g, const char *service, const char *sandbox, struct err *err)
{
	size_t i;

	if (need_tokens(g, err) < 0)
		return err_code(err);
	i = find(g, service, sandbox);
	return i < g->n ? put(g, i, NULL, err) : none(err, service);
}

/* The store is locked: they are gone from the index, and will be from the document. */
static int forget_later(struct grants *g, const char *sandbox, struct err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		if (str_eq(g->of[i]->secret.sandbox, sandbox))
			grant_free(g->of[i]);
		else
			g->of[n++] = g->of[i];
	g->n = n;
	if (g->nforgotten == GRANTS_MAX)
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "too many sandboxes were removed while the secrets are locked: unlock them");
	memcpy(g->forgotten[g->nforgotten++], sandbox, KEEPERMSG_ID);
	return write_index(g, err);
}

int grants_forget(struct grants *g, const char *sandbox, bool *ret_any, struct err *err)
{
	int r = 0;

	*ret_any = false;
	/* Nobody can be given what cannot be read. */
	if (grants_sync(g, NULL) < 0)
		return 0;
	for (size_t i = 0; i < g->n; i++)
		*ret_any |= str_eq(g->of[i]->secret.sandbox, sandbox);
	if (*ret_any && !g->open)
		return forget_later(g, sandbox, err);
	for (size_t i = g->n; i-- > 0 && r == 0;)
		if (str_eq(g->of[i]->secret.sandbox, sandbox))
			r = put(g, i, NULL, err);
	return r;
}

int grants_share(struct grants *g, const char *service, const char *sandbox, struct err *err)
{
	struct grant *one;
	size_t i, all;
	int r = need_tokens(g, err);

	if (r < 0)
		return r;
	i = find(g, service, sandbox);
	all = find(g, service, "");
	if (i == g->n)
		return none(err, service);
	one = calloc(1, sizeof(*one));
	if (!one)
		return err_errno(err, ENOMEM, "the grant");
	*one = *g->of[i];
	memset(one->secret.sandbox, 0, sizeof(one->secret.sandbox));
	/* Whoever refreshes it just now will find his ticket here. */
	r = put(g, i, one, err);
	if (r == 0 && all < g->n)
		r = put(g, all, NULL, err);
	return r;
}

int grants_give(struct grants *g, const char *service, const char *sandbox, struct oauthmsg_given *ret, struct err *err)
{
	const struct grant *one;

	if (need_tokens(g, err) < 0)
		return err_code(err);
	one = in_force(g, service, sandbox);
	if (!one)
		return none(err, service);
	*ret = one->shown;
	return 0;
}
