/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: see rules.h. A change makes the list of items as it will be, builds a policy of it and checks that, stores the
 * difference, and only then puts both in the place of the old ones: what fails on the way changes nothing.
 */
#include "daemon/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/settings.h"
#include "policy/preset.h"
#include "policy/snapshot.h"

#define TELL_MS 5000

DEFINE_AUTO(json, json_t *, json_decref);

/* A rule of the user. */
struct item {
	uint64_t number;
	char sandbox[STORE_ID_SIZE]; /* "": all */
	char created_at[STORE_TIME_SIZE];
	json_t *rule; /* ref: as snapshot_rule_write has it, its sandbox by name */
};

struct state {
	char preset[STORE_PRESET_SIZE];
	uint64_t generation, next_rule;
	struct item *items; /* owned */
	size_t n, cap;
	char **hidden; /* owned, of owned */
	size_t nhidden;
	struct policy *policy; /* owned */
};

/* Somebody who waits until all have been told. */
struct wait {
	struct wait *next;
	rules_settled *done;
	void *user;
};

struct rules {
	struct state now;
	size_t telling;      /* supervisors that have not answered */
	struct err untold;   /* the first of them that refused since the last time that all had answered; ERR_NONE: none */
	struct wait *waits;  /* owned */
};

/* One question to one supervisor. */
struct told {
	struct rules *rules; /* borrowed: lives as long as the loop runs */
	char name[NAME_SIZE];
};

static void state_done(struct state *st)
{
	for (size_t i = 0; i < st->n; i++)
		json_decref(st->items[i].rule);
	for (size_t i = 0; i < st->nhidden; i++)
		free(st->hidden[i]);
	free(st->items);
	free(st->hidden);
	policy_free(st->policy);
	*st = (struct state){ .items = NULL };
}

static void free_state(struct state **st)
{
	state_done(*st);
}
#define auto_state __attribute__((cleanup(free_state)))

static int push_item(struct state *st, const struct item *item, struct err *err)
{
	struct item *items;

	if (st->n == st->cap) {
		items = realloc(st->items, (st->cap * 2 + 16) * sizeof(*items));
		if (!items)
			return err_errno(err, ENOMEM, "the policy");
		st->items = items;
		st->cap = st->cap * 2 + 16;
	}
	st->items[st->n++] = *item;
	(void)json_incref(item->rule);
	return 0;
}

static int push_hidden(struct state *st, const char *id, struct err *err)
{
	char **hidden = realloc(st->hidden, (st->nhidden + 1) * sizeof(*hidden));

	if (!hidden)
		return err_errno(err, ENOMEM, "the policy");
	st->hidden = hidden;
	st->hidden[st->nhidden] = strdup(id);
	if (!st->hidden[st->nhidden])
		return err_errno(err, ENOMEM, "the policy");
	st->nhidden++;
	return 0;
}

/* Everything but the policy. */
static int state_copy(const struct state *from, struct state *to, struct err *err)
{
	int r = 0;

	*to = (struct state){ .generation = from->generation, .next_rule = from->next_rule };
	memcpy(to->preset, from->preset, sizeof(to->preset));
	for (size_t i = 0; i < from->n && r == 0; i++)
		r = push_item(to, &from->items[i], err);
	for (size_t i = 0; i < from->nhidden && r == 0; i++)
		r = push_hidden(to, from->hidden[i], err);
	return r;
}

static bool is_hidden(const struct state *st, const char *id)
{
	for (size_t i = 0; i < st->nhidden; i++)
		if (str_eq(st->hidden[i], id))
			return true;
	return false;
}

/* --- from items to a policy --- */

static int build_preset(const struct state *st, struct policy *p, struct err *err)
{
	auto_(policy) struct policy *whole = policy_new();
	int r = whole ? preset_apply(whole, st->preset, err) : err_errno(err, ENOMEM, "the policy");

	if (r < 0)
		return r;
	memcpy(p->preset, whole->preset, sizeof(p->preset));
	p->fallback = whole->fallback;
	p->tls = whole->tls;
	for (size_t i = 0; i < whole->rules.n && r == 0; i++)
		if (!is_hidden(st, whole->rules.rules[i].id))
			r = policy_add(p, &whole->rules.rules[i], err);
	return r;
}

static int build_items(const struct state *st, const char *only, struct policy *p, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < st->n && r == 0; i++) {
		struct rule rule = { .action = RULE_DENY };

		if (only && st->items[i].sandbox[0] && !str_eq(st->items[i].sandbox, only))
			continue;
		r = snapshot_rule_read(st->items[i].rule, &rule, err);
		if (r < 0)
			return err_wrap(err, "rule r%llu", (unsigned long long)st->items[i].number);
		r = policy_add(p, &rule, err);
		rule_done(&rule);
	}
	return r;
}

/* The policy of all sandboxes, or of the one with the id `only`. */
static int build(const struct daemon *d, const struct state *st, const char *only, struct policy **ret, struct err *err)
{
	auto_(policy) struct policy *p = policy_new();
	struct settings set;
	int r = p ? settings_load(d->dirs.config, &set, NULL, err) : err_errno(err, ENOMEM, "the policy");

	if (r == 0 && st->preset[0])
		r = build_preset(st, p, err);
	if (r == 0)
		r = build_items(st, only, p, err);
	if (r < 0)
		return r;
	p->generation = st->generation;
	if (set.tls == RULE_TLS_INTERCEPT)
		p->tls = set.tls;
	for (size_t i = 0; i < set.nranges && r == 0; i++)
		r = policy_permit_range(p, &set.ranges[i], err);
	if (r == 0)
		r = policy_check(p, err);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

/* --- the registry --- */

struct loading {
	struct daemon *daemon;
	struct state *st;
};

static int load_item(void *user, struct store_rule *row, struct err *err)
{
	struct loading *l = user;
	struct item item = { .number = row->number, .rule = row->rule };

	memcpy(item.sandbox, row->sandbox, sizeof(item.sandbox));
	memcpy(item.created_at, row->created_at, sizeof(item.created_at));
	return push_item(l->st, &item, err);
}

static int load_hidden(void *user, const char *id, struct err *err)
{
	return push_hidden(((struct loading *)user)->st, id, err);
}

static int load(struct daemon *d, struct state *ret, struct err *err)
{
	struct state st = { .items = NULL };
	auto_state struct state *guard = &st;
	struct loading l = { d, &st };
	struct store_policy row;
	int r = store_policy(d->store, &row, err);

	if (r < 0)
		return r;
	memcpy(st.preset, row.preset, sizeof(st.preset));
	st.generation = row.generation;
	st.next_rule = row.next_rule;
	r = store_each_rule(d->store, load_item, &l, err);
	if (r == 0)
		r = store_each_hidden(d->store, load_hidden, &l, err);
	if (r == 0)
		r = build(d, &st, NULL, &st.policy, err);
	if (r < 0)
		return r;
	*ret = st;
	*guard = (struct state){ .items = NULL };
	return 0;
}

int rules_open(struct daemon *d, struct err *err)
{
	struct rules *rs = calloc(1, sizeof(*rs));
	int r = rs ? load(d, &rs->now, err) : err_errno(err, ENOMEM, "the policy");

	if (r < 0) {
		free(rs);
		return err_wrap(err, "the network policy");
	}
	d->rules = rs;
	return 0;
}

void rules_free(struct rules *rs)
{
	if (!rs)
		return;
	state_done(&rs->now);
	while (rs->waits) {
		struct wait *w = rs->waits;

		rs->waits = w->next;
		free(w);
	}
	free(rs);
}

void rules_forget(struct daemon *d)
{
	struct state st;
	struct err err;

	if (load(d, &st, &err) < 0) {
		log_error("event=rules error=\"%s\"", err.msg);
		return;
	}
	state_done(&d->rules->now);
	d->rules->now = st;
}

/* --- giving it out --- */

int rules_write(const struct sandbox *s, struct err *err)
{
	const struct state *st = &s->daemon->rules->now;
	auto_(policy) struct policy *p = NULL;
	auto_fd int fd = -1;
	struct buf b;
	int r = build(s->daemon, st, s->row.id, &p, err);

	if (r < 0)
		return r;
	fd = openat(s->daemon->disks.fd, s->row.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	buf_init(&b, SNAPSHOT_MAX_BYTES);
	r = fd < 0 ? -errno : snapshot_dump(p, &b);
	/* Each start writes it anew, and no machine outlives its host: a crash of the host may empty it. */
	if (r == 0)
		r = io_write_file_whole(fd, RULES_FILE, buf_bytes(&b), buf_len(&b), 0600);
	buf_done(&b);
	return r < 0 ? err_errno(err, -r, "cannot write the policy of sandbox '%s'", s->row.name) : 0;
}

/* All have answered: whoever waits hears how it went. */
static void settle(struct rules *rs)
{
	struct wait *waits = rs->waits;
	struct err err = rs->untold;

	rs->waits = NULL;
	rs->untold = (struct err){ .kind = ERR_NONE };
	while (waits) {
		struct wait *w = waits;

		waits = w->next;
		w->done(w->user, err.kind != ERR_NONE ? &err : NULL);
		free(w);
	}
}

static void on_told(void *user, json_t *reply, const struct err *err)
{
	struct told *t = user;
	struct rules *rs = t->rules;

	/* One that is about to start reads the file then, and one that is gone reaches nothing. */
	if (err && err->kind != ERR_CONFLICT && err->kind != ERR_UNAVAILABLE && rs->untold.kind == ERR_NONE)
		(void)err_set(&rs->untold, ERR_UNAVAILABLE, EIO,
			      "the policy is changed, but sandbox '%s' did not take it and goes on with the old one (stop it): %.300s",
			      t->name, err->msg);
	if (err)
		log_warn("event=policy_not_told name=%s error=\"%s\"", t->name, err->msg);
	free(t);
	if (--rs->telling == 0)
		settle(rs);
}

static int tell(struct sandbox *s, struct err *err)
{
	struct vmlink_call call = sandbox_call(s, json_pack("{s:s}", "op", "policy"), TELL_MS);
	struct told *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		json_decref(call.request);
		return err_errno(err, ENOMEM, "the policy");
	}
	t->rules = s->daemon->rules;
	(void)str_format(t->name, sizeof(t->name), "%s", s->row.name);
	r = vmlink_ask(&call, on_told, t, err);
	if (r < 0)
		free(t);
	else
		t->rules->telling++;
	return r;
}

int rules_settle(struct daemon *d, rules_settled *done, void *user, struct err *err)
{
	struct wait *w;

	if (d->rules->telling == 0)
		return 1;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_errno(err, ENOMEM, "the policy");
	*w = (struct wait){ d->rules->waits, done, user };
	d->rules->waits = w;
	return 0;
}

/* To every machine that may run. The change is made: a failure says whom it did not reach. */
static int give_out(struct daemon *d, struct err *err)
{
	int ret = 0;

	for (struct sandbox *s = d->sandboxes; s; s = s->next) {
		struct err mine;
		int r;

		if (s->state == SANDBOX_STOPPED)
			continue;
		r = rules_write(s, &mine);
		if (r == 0)
			r = tell(s, &mine);
		/* One that is about to end need not hear of it. */
		if (r == 0 || s->state == SANDBOX_STOPPING)
			continue;
		log_error("event=policy_not_given id=%s error=\"%s\"", s->row.id, mine.msg);
		ret = err_set(err, ERR_UNAVAILABLE, -r,
			      "the policy is changed, but sandbox '%s' goes on with the old one (stop it): %.300s", s->row.name,
			      mine.msg);
	}
	return ret;
}

/* --- changes --- */

/* Stores what leads from the present state to `next` and takes that over. */
static int commit(struct daemon *d, struct state *next, const struct store_change *change, struct err *err)
{
	int r;

	next->generation++;
	next->next_rule += change->nadd;
	r = build(d, next, NULL, &next->policy, err);
	if (r == 0)
		r = store_change(d->store, change, err);
	if (r < 0)
		return r;
	state_done(&d->rules->now);
	d->rules->now = *next;
	*next = (struct state){ .items = NULL };
	log_info("event=policy generation=%llu rules=%zu", (unsigned long long)d->rules->now.generation,
		 d->rules->now.policy->rules.n);
	return give_out(d, err);
}

int rules_ready(const struct daemon *d, struct err *err)
{
	if (d->rules->now.preset[0])
		return 0;
	return err_set(err, ERR_UNAVAILABLE, ENODATA,
		       "the network policy has not been initialised: choose one with `sbx policy init "
		       "open|balanced|locked-down`");
}

const struct policy *rules_policy(const struct daemon *d)
{
	return d->rules->now.policy;
}

/* The number in the id of a rule of the user; 0 for another id. */
static uint64_t number_of(const char *id)
{
	uint64_t n;

	return id[0] == 'r' && str_u64(id + 1, INT64_MAX, &n) == 0 ? n : 0;
}

const char *rules_created_at(const struct daemon *d, const char *id)
{
	uint64_t n = number_of(id);

	for (size_t i = 0; n && i < d->rules->now.n; i++)
		if (d->rules->now.items[i].number == n)
			return d->rules->now.items[i].created_at;
	return "";
}

int rules_init(struct daemon *d, const char *preset, struct err *err)
{
	const struct state *now = &d->rules->now;
	const char *name = preset_resolve(preset);
	struct state next = { .items = NULL };
	auto_state struct state *guard = &next;
	char shown[64];
	int r;

	if (!name) {
		str_escape(shown, sizeof(shown), preset, strlen(preset));
		return err_set(err, ERR_INVALID, EINVAL,
			       "there is no preset \"%s\": choose open, balanced, locked-down or strict", shown);
	}
	if (str_eq(now->preset, name))
		return 0;
	if (now->preset[0])
		return err_set(err, ERR_CONFLICT, EEXIST,
			       "the network policy is %s already: `sbx policy reset` forgets it and its rules", now->preset);
	r = state_copy(now, &next, err);
	(void)str_format(next.preset, sizeof(next.preset), "%s", name);
	return r < 0 ? r : commit(d, guard, &(struct store_change){ .preset = name }, err);
}

int rules_reset(struct daemon *d, struct err *err)
{
	struct state next = { .generation = d->rules->now.generation, .next_rule = d->rules->now.next_rule };
	auto_state struct state *guard = &next;

	return commit(d, guard, &(struct store_change){ .preset = "", .clear = true }, err);
}

/* What there is about the very same as r in the user's rules, or in the preset's where `preset`. */
static const struct rule *find_same(const struct policy *p, const struct rule *r, bool preset)
{
	for (size_t i = 0; i < p->rules.n; i++)
		if ((p->rules.rules[i].origin == RULE_PRESET) == preset && rule_same(&p->rules.rules[i], r))
			return &p->rules.rules[i];
	return NULL;
}

static void drop_item(struct state *st, uint64_t number)
{
	for (size_t i = 0; i < st->n; i++)
		if (st->items[i].number == number) {
			json_decref(st->items[i].rule);
			memmove(&st->items[i], &st->items[i + 1], (st->n - i - 1) * sizeof(*st->items));
			st->n--;
			return;
		}
}

/* An addition while it is made. */
struct adding {
	struct daemon *daemon;
	struct state next;
	struct store_rule rows[RULES_ONCE_MAX]; /* their rules are borrowed from next */
	size_t nrows;
	uint64_t remove[RULES_ONCE_MAX];
	size_t nremove;
};

/* Whether an earlier one of the same call says the same. */
static bool said_before(const struct rule *list, size_t i, struct rules_added *ret)
{
	for (size_t k = 0; k < i; k++)
		if (rule_same(&list[k], &list[i])) {
			ret[i] = ret[k];
			ret[i].existed = true;
			return true;
		}
	return false;
}

static int add_item(struct adding *a, struct rule *r, struct err *err)
{
	struct store_rule *row = &a->rows[a->nrows];
	struct item item = { .number = a->next.next_rule + a->nrows };
	auto_(json) json_t *rule = NULL;
	struct sandbox *s = NULL;
	int ret;

	if (r->sandbox && !(s = sandbox_find(a->daemon, r->sandbox, err)))
		return -ENOENT;
	(void)str_format(r->id, sizeof(r->id), "r%llu", (unsigned long long)item.number);
	if (s)
		memcpy(item.sandbox, s->row.id, sizeof(item.sandbox));
	store_now(item.created_at);
	rule = snapshot_rule_write(r);
	if (!rule)
		return err_errno(err, ENOMEM, "the policy");
	item.rule = rule;
	ret = push_item(&a->next, &item, err);
	if (ret < 0)
		return ret;
	*row = (struct store_rule){ .number = item.number, .rule = rule };
	memcpy(row->sandbox, item.sandbox, sizeof(row->sandbox));
	memcpy(row->created_at, item.created_at, sizeof(row->created_at));
	a->nrows++;
	return 0;
}

static int add_one(struct adding *a, struct rule *list, size_t i, struct rules_added *ret, struct err *err)
{
	const struct policy *now = a->daemon->rules->now.policy;
	const struct rule *same = find_same(now, &list[i], false);

	ret[i] = (struct rules_added){ .existed = false };
	if (said_before(list, i, ret))
		return 0;
	if (!same && !list[i].sandbox) {
		same = find_same(now, &list[i], true);
		/* A preset's rule stays as it is: only what says the same is the same rule. */
		same = same && rule_says_same(same, &list[i]) ? same : NULL;
	}
	if (same && rule_says_same(same, &list[i])) {
		ret[i].existed = true;
		memcpy(ret[i].id, same->id, sizeof(ret[i].id));
		return 0;
	}
	if (same) {
		memcpy(ret[i].replaced, same->id, sizeof(ret[i].replaced));
		a->remove[a->nremove++] = number_of(same->id);
		drop_item(&a->next, number_of(same->id));
	}
	if (add_item(a, &list[i], err) < 0)
		return err_code(err);
	memcpy(ret[i].id, list[i].id, sizeof(ret[i].id));
	return 0;
}

int rules_add(struct daemon *d, struct rule *list, size_t n, struct rules_added *ret, struct err *err)
{
	auto_free struct adding *a = calloc(1, sizeof(*a));
	struct store_change change;
	int r;

	if (!a)
		return err_errno(err, ENOMEM, "the policy");
	if (n > RULES_ONCE_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "at most %d rules can be added at once", RULES_ONCE_MAX);
	a->daemon = d;
	r = rules_ready(d, err);
	if (r == 0)
		r = state_copy(&d->rules->now, &a->next, err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_one(a, list, i, ret, err);
	change = (struct store_change){ .add = a->rows, .nadd = a->nrows, .remove = a->remove, .nremove = a->nremove };
	if (r == 0 && a->nrows > 0)
		r = commit(d, &a->next, &change, err);
	state_done(&a->next);
	return r;
}

int rules_copy(struct daemon *d, const struct sandbox *from, const struct sandbox *to, struct err *err)
{
	const struct ruleset *all = &d->rules->now.policy->rules;
	auto_free struct rule *list = calloc(all->n + 1, sizeof(*list));
	auto_free struct rules_added *added = calloc(all->n + 1, sizeof(*added));
	size_t n = 0;
	int r = 0;

	if (!list || !added)
		return err_errno(err, ENOMEM, "the policy");
	for (size_t i = 0; i < all->n; i++) {
		const char *who = all->rules[i].sandbox;

		if (!who || (!str_eq(who, from->row.name) && !str_eq(who, from->row.id)))
			continue;
		list[n] = all->rules[i]; /* its texts are borrowed */
		list[n++].sandbox = (char *)(uintptr_t)(str_eq(who, from->row.id) ? to->row.id : to->row.name);
	}
	/* They live in the policy that each change replaces, so that there is one change. */
	if (n > 0)
		r = rules_add(d, list, n, added, err);
	return r;
}

int rules_remove(struct daemon *d, const char *const *ids, size_t n, struct err *err)
{
	uint64_t numbers[RULES_ONCE_MAX];
	const char *hide[RULES_ONCE_MAX];
	struct store_change change = { .remove = numbers, .hide = hide };
	struct state next = { .items = NULL };
	auto_state struct state *guard = &next;
	int r = state_copy(&d->rules->now, &next, err);
	char shown[100];

	if (r == 0 && n > RULES_ONCE_MAX)
		r = err_set(err, ERR_INVALID, E2BIG, "at most %d rules can be removed at once", RULES_ONCE_MAX);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct rule *rule = ruleset_find(&d->rules->now.policy->rules, ids[i]);

		if (!rule) {
			str_escape(shown, sizeof(shown), ids[i], strlen(ids[i]));
			return err_set(err, ERR_NOT_FOUND, ENOENT, "there is no rule '%s'", shown);
		}
		if (rule->origin == RULE_PRESET) {
			hide[change.nhide++] = ids[i];
			r = push_hidden(&next, ids[i], err);
		} else {
			numbers[change.nremove++] = number_of(ids[i]);
			drop_item(&next, number_of(ids[i]));
		}
	}
	return r < 0 ? r : commit(d, guard, &change, err);
}
