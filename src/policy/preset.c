/* SPDX-License-Identifier: Apache-2.0
 *
 * preset: see preset.h. preset_data is generated from presets/ (presets/embed).
 */
#include "policy/preset.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "policy/preset_data.h"
#include "policy/snapshot.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* In the order of the menu. */
static const struct {
	const char *name, *alias;
} names[] = { { "open", "allow-all" }, { "balanced", NULL }, { "locked-down", "deny-all" }, { "strict", NULL } };

/* A preset while it is applied. */
struct job {
	struct policy *p;
	const json_t *limits; /* borrowed: of the preset that extends; NULL: none */
	const char *preset;   /* whose name the rules' source has */
	struct err *err;
};

const char *preset_name(size_t i)
{
	return i < ARRAY_LEN(names) ? names[i].name : NULL;
}

const char *preset_resolve(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(name, names[i].name) || (names[i].alias && str_eq(name, names[i].alias)))
			return names[i].name;
	return NULL;
}

static const char *built_in(void *user, const char *name)
{
	for (size_t i = 0; i < preset_data_n; i++)
		if (str_eq(preset_data[i].name, name))
			return preset_data[i].json;
	return NULL;
}

static int bad(struct err *err, const char *preset, const char *what)
{
	return err_set(err, ERR_INTERNAL, EINVAL, "preset %s: %s", preset, what);
}

static json_t *parse(const char *json, const char *name, struct err *err)
{
	json_error_t at;
	json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &at);

	if (!root)
		(void)err_set(err, ERR_INTERNAL, EINVAL, "preset %s: line %d: %s", name, at.line, at.text);
	return root;
}

/* The methods that the preset which extends leaves to this group; NULL: all. */
static const json_t *limit_of(const json_t *limits, const char *group)
{
	for (size_t i = 0; i < json_array_size(limits); i++) {
		const json_t *limit = json_array_get(limits, i), *groups = json_object_get(limit, "groups");

		for (size_t k = 0; k < json_array_size(groups); k++) {
			const char *s = json_string_value(json_array_get(groups, k));

			if (s && str_eq(s, group))
				return json_object_get(limit, "methods");
		}
	}
	return NULL;
}

/* A rule as an object, from the short form "resource" or the long one; with the group's limit. */
static json_t *expand(const json_t *item, const json_t *limit)
{
	json_t *rule = json_is_string(item) ? json_pack("{sO}", "resource", item) : json_copy((json_t *)item);

	if (rule && limit && !json_object_get(rule, "methods") && json_object_set(rule, "methods", (json_t *)limit) < 0) {
		json_decref(rule);
		rule = NULL;
	}
	return rule;
}

static int set_id(struct rule *r, const char *group)
{
	char resource[RULE_RESOURCE_MAX];
	const char *parts[] = { rule_action_name(r->action), resource, r->methods ? r->methods : "", r->path ? r->path : "" };
	uint64_t hash = INDEX_SEED;

	rule_print(r, resource);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hash = index_hash(hash, parts[i], strlen(parts[i]) + 1);
	return str_format(r->id, sizeof(r->id), "%s:%08x", group, (unsigned int)(hash >> 32));
}

static int add_rule(const struct job *job, const char *group, const json_t *item)
{
	auto_(json) json_t *object = expand(item, limit_of(job->limits, group));
	struct rule r = { .action = RULE_ALLOW, .origin = RULE_PRESET };
	int ret;

	if (!object)
		return err_errno(job->err, ENOMEM, "preset %s", job->preset);
	ret = snapshot_rule_read(object, &r, job->err);
	if (ret < 0)
		return err_wrap(job->err, "preset %s, group %s", job->preset, group);
	r.source = str_new("%s/%s", job->preset, group);
	if (!r.source)
		ret = err_errno(job->err, ENOMEM, "preset %s", job->preset);
	else if (set_id(&r, group) < 0)
		ret = bad(job->err, job->preset, "a group's name is too long");
	else
		ret = policy_add(job->p, &r, job->err);
	rule_done(&r);
	return ret;
}

static int add_groups(const struct job *job, const json_t *groups)
{
	for (size_t i = 0; i < json_array_size(groups); i++) {
		const json_t *group = json_array_get(groups, i), *rules = json_object_get(group, "rules");
		const char *name = json_string_value(json_object_get(group, "name"));

		if (!name || !json_is_array(rules))
			return bad(job->err, job->preset, "a group without a name or rules");
		for (size_t k = 0; k < json_array_size(rules); k++) {
			int r = add_rule(job, name, json_array_get(rules, k));

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int add_extended(const struct job *job, const char *name, preset_find *find, void *user)
{
	const char *json = find(user, name);
	auto_(json) json_t *root = NULL;

	if (!json)
		return bad(job->err, job->preset, "it extends one that does not exist");
	root = parse(json, name, job->err);
	if (!root)
		return -EINVAL;
	if (json_object_get(root, "extends"))
		return bad(job->err, job->preset, "it extends one that extends another");
	return add_groups(job, json_object_get(root, "groups"));
}

int preset_apply_text(struct policy *p, const char *json, preset_find *find, void *user, struct err *err)
{
	auto_(json) json_t *root = parse(json, "", err);
	const char *name = json_string_value(json_object_get(root, "name"));
	const char *extends = json_string_value(json_object_get(root, "extends"));
	const char *fallback = json_string_value(json_object_get(root, "default"));
	const char *tls = json_string_value(json_object_get(root, "tls"));
	const struct job job = { p, json_object_get(root, "limits"), name, err };
	int r;

	if (!root)
		return -EINVAL;
	if (!name || str_format(p->preset, sizeof(p->preset), "%s", name) < 0 ||
	    json_integer_value(json_object_get(root, "schema")) != 1)
		return bad(err, name ? name : "", "no name, or an unknown schema");
	if (!fallback || !rule_action_from_name(fallback, &p->fallback) || !tls || !rule_tls_from_name(tls, &p->tls) ||
	    p->tls == RULE_TLS_SPLICE)
		return bad(err, name, "no default, or no TLS mode");
	r = extends ? add_extended(&job, extends, find, user) : 0;
	return r < 0 ? r : add_groups(&job, json_object_get(root, "groups"));
}

static const char *find_named(const char *name, struct err *err)
{
	const char *real = preset_resolve(name), *json = real ? built_in(NULL, real) : NULL;
	char shown[64];

	if (json)
		return json;
	str_escape(shown, sizeof(shown), name, strnlen(name, sizeof(shown)));
	(void)err_set(err, ERR_NOT_FOUND, ENOENT, "there is no preset \"%s\": choose open, balanced, locked-down or strict", shown);
	return NULL;
}

int preset_apply(struct policy *p, const char *name, struct err *err)
{
	const char *json = find_named(name, err);

	return json ? preset_apply_text(p, json, built_in, NULL, err) : -ENOENT;
}

int preset_describe(const char *name, char **ret_label, char **ret_summary, struct err *err)
{
	const char *json = find_named(name, err), *label, *summary;
	auto_(json) json_t *root = json ? parse(json, name, err) : NULL;
	auto_free char *copy_label = NULL, *copy_summary = NULL;

	if (!root)
		return json ? -EINVAL : -ENOENT;
	label = json_string_value(json_object_get(root, "label"));
	summary = json_string_value(json_object_get(root, "summary"));
	if (!label || !summary)
		return bad(err, name, "no label or summary");
	copy_label = strdup(label);
	copy_summary = strdup(summary);
	if (!copy_label || !copy_summary)
		return err_errno(err, ENOMEM, "preset %s", name);
	*ret_label = TAKE_PTR(copy_label);
	*ret_summary = TAKE_PTR(copy_summary);
	return 0;
}
