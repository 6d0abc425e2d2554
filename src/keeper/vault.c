/* SPDX-License-Identifier: Apache-2.0
 *
 * vault: see vault.h. Enters: requests that wire/secretmsg has checked, and our own documents.
 */
#include "keeper/vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "policy/target.h"

#define FORGOTTEN_MAX SECRETMSG_MAX /* of those that the list has secrets of */

DEFINE_AUTO(json, json_t *, json_decref);

struct vault {
	struct store *store; /* borrowed */
	uint64_t generation; /* of the store when it was read; 0: never */
	bool open;           /* values is what is stored; else the list is the index's */
	struct err why;      /* kind ERR_NONE: list can be used */
	struct secretmsg_list list;
	struct secret values[SECRETMSG_MAX]; /* of list.of */
	/* Sandboxes that were removed while the store was locked: their secrets go at the next unlocking. */
	char forgotten[FORGOTTEN_MAX][KEEPERMSG_ID];
	size_t nforgotten;
};

/* --- the document and its index --- */

static int read_value(struct vault *v, const json_t *o, struct err *err)
{
	const json_t *value = json_object_get(o, "value");
	int r = secret_check(json_is_string(value) ? json_string_value(value) : "", json_string_length(value), err);

	if (r == 0)
		memcpy(v->values[v->list.n].s, json_string_value(value), json_string_length(value));
	return r;
}

static int read_forgotten(struct vault *v, const json_t *list)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > FORGOTTEN_MAX)
		return -EBADMSG;
	json_array_foreach(list, i, id) {
		if (!json_is_string(id) || !keepermsg_id_ok(json_string_value(id)))
			return -EBADMSG;
		(void)str_format(v->forgotten[i], sizeof(v->forgotten[i]), "%s", json_string_value(id));
	}
	v->nforgotten = i;
	return 0;
}

/* Into v, which has none yet. The index has no values, and the forgotten. */
static int read_text(struct vault *v, const struct box_bytes *b, bool values, struct err *err)
{
	json_error_t e;
	auto_(json) json_t *o = json_loadb(b->p, b->n, JSON_REJECT_DUPLICATES, &e);
	const json_t *list = json_object_get(o, "secrets"), *one;
	size_t i;
	int r = 0;

	if (json_integer_value(json_object_get(o, "v")) != 1 || !json_is_array(list) || json_array_size(list) > SECRETMSG_MAX ||
	    (!values && read_forgotten(v, json_object_get(o, "forgotten")) < 0))
		return err_set(err, ERR_INTERNAL, EBADMSG, "it is not what sbx-keeper writes");
	json_array_foreach(list, i, one) {
		if (r == 0)
			r = secretmsg_read(values ? json_object_get(one, "secret") : one, &v->list.of[v->list.n], err);
		if (r == 0 && values)
			r = read_value(v, one, err);
		if (r == 0)
			v->list.n++;
	}
	return r;
}

static int emit(json_t *o, struct box_bytes *ret, struct err *err)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	if (!text)
		return err_errno(err, ENOMEM, "the secrets");
	*ret = (struct box_bytes){ .p = text, .n = strlen(text) };
	return 0;
}

static int write_text(const struct vault *v, struct box_bytes *ret, struct err *err)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->list.n; i++)
		if (json_array_append_new(list, json_pack("{so ss}", "secret", secretmsg_write(&v->list.of[i]), "value",
							  v->values[i].s)) < 0) {
			json_decref(list);
			return err_errno(err, ENOMEM, "the secrets");
		}
	return emit(json_pack("{si so}", "v", 1, "secrets", list), ret, err);
}

static int write_index_text(const struct vault *v, struct box_bytes *ret, struct err *err)
{
	json_t *list = json_array(), *forgotten = json_array();
	int r = 0;

	for (size_t i = 0; i < v->list.n; i++)
		r |= json_array_append_new(list, secretmsg_write(&v->list.of[i]));
	for (size_t i = 0; i < v->nforgotten; i++)
		r |= json_array_append_new(forgotten, json_string(v->forgotten[i]));
	if (r < 0) {
		json_decref(list);
		json_decref(forgotten);
		return err_errno(err, ENOMEM, "the secrets");
	}
	return emit(json_pack("{si so so}", "v", 1, "secrets", list, "forgotten", forgotten), ret, err);
}

/* Where the document itself can be read without a key there is no need of one. */
static int save_index(const struct vault *v, struct err *err)
{
	auto_box struct box_bytes text = { 0 };
	int r = store_encrypts(v->store) ? write_index_text(v, &text, err) : 0;

	return text.p ? store_write_index(v->store, STORE_SECRETS, text.p, text.n, err) : r;
}

static int save(const struct vault *v, struct err *err)
{
	auto_box struct box_bytes text = { 0 };
	int r = write_text(v, &text, err);

	if (r == 0)
		r = store_write(v->store, STORE_SECRETS, text.p, text.n, err);
	if (r < 0)
		return r;
	/* It has been changed; an index that is old is made anew at the next unlocking. */
	if (save_index(v, err) < 0)
		log_warn("event=secret_index error=\"%s\"", err->msg);
	return 0;
}

static size_t find_forgotten(const struct vault *v, const char *sandbox)
{
	size_t i = 0;

	while (i < v->nforgotten && !str_eq(v->forgotten[i], sandbox))
		i++;
	return i;
}

static void cut(struct vault *v, size_t i)
{
	v->list.n--;
	memmove(&v->list.of[i], &v->list.of[i + 1], (v->list.n - i) * sizeof(v->list.of[0]));
	memmove(&v->values[i], &v->values[i + 1], (v->list.n - i) * sizeof(v->values[0]));
	secret_wipe(&v->values[v->list.n]);
}

static int load_index(struct vault *v, struct err *err)
{
	auto_box struct box_bytes text = { 0 };
	int r = store_read_index(v->store, STORE_SECRETS, &text, err);

	if (r == 0 && (r = read_text(v, &text, false, err)) < 0)
		(void)err_wrap(err, "keeper/secrets/%s.index.json", STORE_SECRETS);
	return r;
}

/* The forgotten of an index that cannot be read are lost: their ids are nobody's any more. */
static void load_forgotten(struct vault *v)
{
	struct vault *index = calloc(1, sizeof(*index));

	if (!index)
		return;
	index->store = v->store;
	if (load_index(index, NULL) == 0) {
		memcpy(v->forgotten, index->forgotten, sizeof(v->forgotten));
		v->nforgotten = index->nforgotten;
	}
	free(index);
}

/* The store is open, with a key that it was closed without before. */
static int settle(struct vault *v, struct err *err)
{
	size_t n = v->list.n;

	load_forgotten(v);
	for (size_t i = v->list.n; i-- > 0;)
		if (find_forgotten(v, v->list.of[i].sandbox) < v->nforgotten)
			cut(v, i);
	v->nforgotten = 0;
	return v->list.n < n ? save(v, err) : save_index(v, err);
}

static int load(struct vault *v, struct err *err)
{
	auto_box struct box_bytes text = { 0 };
	int r = store_read(v->store, STORE_SECRETS, &text, err);

	if (r == 0 && (r = read_text(v, &text, true, err)) < 0)
		(void)err_wrap(err, "keeper/secrets: the document \"%s\"", STORE_SECRETS);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!store_encrypts(v->store) || settle(v, err) == 0)
		return 0;
	log_warn("event=secret_index error=\"%s\"", err->msg);
	return 0;
}

static int read_again(struct vault *v)
{
	int r;

	explicit_bzero(v->values, sizeof(v->values));
	v->list.n = 0;
	v->nforgotten = 0;
	v->why = (struct err){ 0 };
	v->open = store_check(v->store, NULL) == 0;
	r = v->open ? load(v, &v->why) : load_index(v, &v->why);
	if (!v->open && r == -ENOENT)
		r = store_check(v->store, &v->why);
	if (r == 0 || r == -ENOENT) {
		v->why = (struct err){ 0 };
		return 0;
	}
	explicit_bzero(v->values, sizeof(v->values));
	v->list.n = 0;
	log_error("event=secrets_unreadable error=\"%s\"", v->why.msg);
	return r;
}

int vault_sync(struct vault *v, struct err *err)
{
	if (v->generation != store_generation(v->store)) {
		(void)read_again(v);
		v->generation = store_generation(v->store);
	}
	return v->why.kind == ERR_NONE ? 0 : err_set(err, v->why.kind, v->why.errnum, "%s", v->why.msg);
}

/* As vault_sync, and the values are there. */
static int need_values(struct vault *v, struct err *err)
{
	int r = vault_sync(v, err);

	return r == 0 ? store_check(v->store, err) : r;
}

struct vault *vault_open(struct store *store)
{
	struct vault *v = calloc(1, sizeof(*v));

	if (v)
		v->store = store;
	return v;
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	explicit_bzero(v->values, sizeof(v->values));
	free(v);
}

/* --- changes: a copy is changed, written, and then takes the place of what was --- */

static struct vault *copy_of(const struct vault *v, struct err *err)
{
	struct vault *c = malloc(sizeof(*c));

	if (c)
		*c = *v;
	else
		(void)err_errno(err, ENOMEM, "the secrets");
	return c;
}

static void discard(struct vault *c)
{
	explicit_bzero(c->values, sizeof(c->values));
	free(c);
}

static int commit(struct vault *v, struct vault *c, struct err *err)
{
	int r = save(c, err);

	if (r == 0)
		*v = *c;
	discard(c);
	return r;
}

static size_t find(const struct vault *v, const char *name, const char *sandbox)
{
	size_t i = 0;

	while (i < v->list.n && !(str_eq(v->list.of[i].name, name) && str_eq(v->list.of[i].sandbox, sandbox)))
		i++;
	return i;
}

/* What only policy/target.h can tell. */
static int check_bindings(const struct secretmsg_secret *s, struct err *err)
{
	for (size_t i = 0; i < s->nbindings; i++) {
		auto_free char *canonical = NULL;
		int r = target_pattern(s->bindings[i].path, &canonical, err);

		if (r < 0)
			return err_wrap(err, "the path of %s", s->bindings[i].to.host);
		if (!str_eq(canonical, s->bindings[i].path))
			return err_set(err, ERR_INVALID, EINVAL, "the path %s must be written %s", s->bindings[i].path, canonical);
	}
	return 0;
}

/* All of them must fit into one reply. */
static int check_size(const struct vault *v, struct err *err)
{
	struct buf out;
	int r;

	/* A sandbox's grants have the rest. */
	buf_init(&out, KEEPERMSG_MAX_BYTES - 16384);
	r = secretmsg_encode_list(&v->list, &out);
	buf_done(&out);
	return r < 0 ? err_set(err, ERR_UNAVAILABLE, ENOSPC, "there is no more room: remove a secret first") : 0;
}

int vault_set(struct vault *v, const struct secretmsg_secret *s, const struct secret *value, struct err *err)
{
	struct vault *c;
	size_t i;
	int r = need_values(v, err);

	if (r == 0)
		r = check_bindings(s, err);
	if (r < 0)
		return r;
	c = copy_of(v, err);
	if (!c)
		return -ENOMEM;
	i = find(c, s->name, s->sandbox);
	if (i == SECRETMSG_MAX) {
		discard(c);
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are %d secrets already: remove one first", SECRETMSG_MAX);
	}
	c->list.of[i] = *s;
	c->values[i] = *value;
	if (i == c->list.n)
		c->list.n++;
	r = check_size(c, err);
	if (r == 0)
		return commit(v, c, err);
	discard(c);
	return r;
}

int vault_remove(struct vault *v, const char *name, const char *sandbox, struct err *err)
{
	struct vault *c;
	size_t i;
	int r = need_values(v, err);

	if (r < 0)
		return r;
	i = find(v, name, sandbox);
	if (i == v->list.n)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "there is no secret '%s' for %s", name,
			       sandbox[0] ? "this sandbox" : "all sandboxes");
	c = copy_of(v, err);
	if (!c)
		return -ENOMEM;
	cut(c, i);
	return commit(v, c, err);
}

/* For the next unlocking. */
static int forget_later(struct vault *v, const char *sandbox, struct err *err)
{
	if (find_forgotten(v, sandbox) == v->nforgotten) {
		if (v->nforgotten == FORGOTTEN_MAX)
			return err_set(err, ERR_UNAVAILABLE, ENOSPC, "too many sandboxes were removed while the secrets are locked: sbx secret unlock");
		(void)str_format(v->forgotten[v->nforgotten++], KEEPERMSG_ID, "%s", sandbox);
	}
	return save_index(v, err);
}

int vault_forget(struct vault *v, const char *sandbox, bool *ret_any, struct err *err)
{
	struct vault *c;
	int r;

	*ret_any = false;
	/* Nobody can be given what cannot be read. */
	if (vault_sync(v, NULL) < 0)
		return 0;
	c = copy_of(v, err);
	if (!c)
		return -ENOMEM;
	for (size_t i = c->list.n; i-- > 0;)
		if (str_eq(c->list.of[i].sandbox, sandbox)) {
			cut(c, i);
			*ret_any = true;
		}
	if (*ret_any && v->open)
		return commit(v, c, err);
	r = *ret_any ? forget_later(c, sandbox, err) : 0;
	if (*ret_any && r == 0)
		*v = *c;
	discard(c);
	return r;
}

/* --- what is in force --- */

static bool in_force(const struct vault *v, size_t i, const char *sandbox)
{
	const struct secretmsg_secret *s = &v->list.of[i];

	return s->sandbox[0] ? str_eq(s->sandbox, sandbox) : find(v, s->name, sandbox) == v->list.n;
}

int vault_list(struct vault *v, const char *sandbox, struct secretmsg_list *ret, struct err *err)
{
	int r = vault_sync(v, err);

	if (r < 0)
		return r;
	ret->n = 0;
	for (size_t i = 0; i < v->list.n; i++)
		if (!sandbox || in_force(v, i, sandbox))
			ret->of[ret->n++] = v->list.of[i];
	return 0;
}

static int fill(const struct secretmsg_secret *s, const struct secretmsg_binding *b, const struct secret *value,
		struct secretmsg_injection *ret, struct err *err)
{
	memcpy(ret->secret, s->name, sizeof(ret->secret));
	ret->where = b->where;
	memcpy(ret->header, b->header, sizeof(ret->header));
	memcpy(ret->placeholder, s->placeholder, sizeof(ret->placeholder));
	ret->value = *value;
	if (secretmsg_field(b->format, value->s, ret->field, sizeof(ret->field)) < 0)
		return err_set(err, ERR_INTERNAL, EMSGSIZE, "the value of '%s' is too long", s->name);
	return 0;
}

struct query {
	const char *sandbox;
	const struct dest *to;
	const char *has; /* only the secrets that have this placeholder; NULL: all */
	struct target target; /* owned */
};

/* The sandbox's own secrets come before those for all; of one kind the first that was set. */
static int try_scope(const struct vault *v, const struct query *q, bool own, struct secretmsg_injection *ret, struct err *err)
{
	for (size_t i = 0; i < v->list.n; i++) {
		const struct secretmsg_secret *s = &v->list.of[i];

		if (!in_force(v, i, q->sandbox) || (s->sandbox[0] != 0) != own || (q->has && !str_eq(q->has, s->placeholder)))
			continue;
		for (size_t b = 0; b < s->nbindings; b++) {
			if (!dest_equal(&s->bindings[b].to, q->to))
				continue;
			if (target_match(s->bindings[b].path, &q->target))
				return fill(s, &s->bindings[b], &v->values[i], ret, err) < 0 ? err_code(err) : 1;
			(void)str_format(ret->none, sizeof(ret->none), "path");
		}
	}
	return 0;
}

int vault_inject(struct vault *v, const char *sandbox, const struct secretmsg_request *asked, struct secretmsg_injection *ret,
		 struct err *err)
{
	struct query q = { .sandbox = sandbox, .to = &asked->to };
	int r = need_values(v, err);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	if (target_parse(asked->path, strlen(asked->path), &q.target) < 0)
		return err_errno(err, ENOMEM, "the path");
	(void)str_format(ret->none, sizeof(ret->none), "no_secret");
	/* Of several for one host, the one that the guest means. */
	q.has = asked->has[0] ? asked->has : NULL;
	for (int own = 1; own >= 0 && r == 0; own--)
		r = try_scope(v, &q, own, ret, err);
	q.has = NULL;
	for (int own = 1; own >= 0 && r == 0; own--)
		r = try_scope(v, &q, own, ret, err);
	target_done(&q.target);
	if (r > 0)
		ret->none[0] = 0;
	return r < 0 ? r : 0;
}
