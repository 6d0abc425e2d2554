/* SPDX-License-Identifier: Apache-2.0
 *
 * ruleset: see ruleset.h.
 */
#include "policy/ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static uint64_t key_of_host(enum rule_kind kind, const char *host)
{
	uint8_t k = (uint8_t)kind;

	return index_hash(index_hash(INDEX_SEED, &k, 1), host, strlen(host));
}

static uint64_t key_of_range(const struct cidr *c)
{
	uint8_t k[3] = { RULE_RANGE, c->net.bits, c->prefix };

	return index_hash(index_hash(INDEX_SEED, k, sizeof(k)), c->net.bytes, sizeof(c->net.bytes));
}

static uint64_t key_of(const struct rule *r)
{
	return r->kind == RULE_RANGE ? key_of_range(&r->range) : key_of_host(r->kind, r->host ? r->host : "");
}

void ruleset_done(struct ruleset *rs)
{
	for (size_t i = 0; i < rs->n; i++)
		rule_done(&rs->rules[i]);
	free(rs->rules);
	index_done(&rs->by_resource);
	index_done(&rs->by_id);
	*rs = (struct ruleset){ .rules = NULL };
}

const struct rule *ruleset_find(const struct ruleset *rs, const char *id)
{
	for (uint32_t i = index_first(&rs->by_id, index_hash(INDEX_SEED, id, strlen(id))); i != INDEX_END;
	     i = index_next(&rs->by_id, i))
		if (str_eq(rs->rules[i].id, id))
			return &rs->rules[i];
	return NULL;
}

static int check(const struct ruleset *rs, const struct rule *r, struct err *err)
{
	size_t n = strspn(r->id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
	int ret = rule_check(r, err);

	if (ret < 0)
		return ret;
	if (n == 0 || r->id[n])
		return err_set(err, ERR_INVALID, EINVAL, "a rule's id is of letters, digits and . _ : - only");
	if (ruleset_find(rs, r->id))
		return err_set(err, ERR_CONFLICT, EEXIST, "there is a rule %s already", r->id);
	if (rs->n >= RULESET_MAX)
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "a policy has at most %d rules", RULESET_MAX);
	return 0;
}

static int make_room(struct ruleset *rs)
{
	size_t cap = rs->cap ? rs->cap * 2 : 64;
	struct rule *rules;

	if (rs->n < rs->cap)
		return 0;
	rules = realloc(rs->rules, cap * sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	rs->rules = rules;
	rs->cap = cap;
	return 0;
}

int ruleset_add(struct ruleset *rs, struct rule *r, struct err *err)
{
	int ret = check(rs, r, err);

	if (ret < 0)
		return ret;
	if (make_room(rs) < 0 || index_reserve(&rs->by_resource) < 0 || index_reserve(&rs->by_id) < 0)
		return err_errno(err, ENOMEM, "rule");
	index_add(&rs->by_resource, key_of(r));
	index_add(&rs->by_id, index_hash(INDEX_SEED, r->id, strlen(r->id)));
	if (r->kind == RULE_RANGE && r->range.net.bits == 32)
		rs->prefixes4[r->range.prefix]++;
	else if (r->kind == RULE_RANGE)
		rs->prefixes6[r->range.prefix]++;
	rs->rules[rs->n++] = *r;
	*r = (struct rule){ .host = NULL };
	return 0;
}

static void each(const struct ruleset *rs, const struct rule *like, ruleset_visit *visit, void *user)
{
	for (uint32_t i = index_first(&rs->by_resource, key_of(like)); i != INDEX_END; i = index_next(&rs->by_resource, i)) {
		const struct rule *r = &rs->rules[i];

		if (r->kind == like->kind && (!like->host || str_eq(r->host, like->host)) &&
		    (r->kind != RULE_RANGE || (r->range.prefix == like->range.prefix &&
					       address_equal(&r->range.net, &like->range.net))))
			visit(user, r);
	}
}

void ruleset_each_name(const struct ruleset *rs, const char *host, ruleset_visit *visit, void *user)
{
	struct rule like = { .kind = RULE_NAME, .host = (char *)host };

	each(rs, &like, visit, user);
	like.kind = RULE_BELOW;
	while ((like.host = strchr(like.host, '.'))) {
		like.host++;
		if (like.kind == RULE_BELOW)
			each(rs, &like, visit, user);
		like.kind = RULE_DEEP;
		each(rs, &like, visit, user);
	}
}

void ruleset_each_address(const struct ruleset *rs, const struct address *a, ruleset_visit *visit, void *user)
{
	const uint16_t *prefixes = a->bits == 32 ? rs->prefixes4 : rs->prefixes6;
	struct rule like = { .kind = RULE_RANGE };

	for (unsigned int prefix = 0; prefix <= a->bits; prefix++)
		if (prefixes[prefix] > 0) {
			like.range = cidr_of(a, (uint8_t)prefix);
			each(rs, &like, visit, user);
		}
}

void ruleset_each_localhost(const struct ruleset *rs, ruleset_visit *visit, void *user)
{
	const struct rule like = { .kind = RULE_LOCALHOST };

	each(rs, &like, visit, user);
}

void ruleset_each_any(const struct ruleset *rs, ruleset_visit *visit, void *user)
{
	const struct rule like = { .kind = RULE_ANY };

	each(rs, &like, visit, user);
}
