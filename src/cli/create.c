/* SPDX-License-Identifier: Apache-2.0
 *
 * create: see create.h.
 */
#include "cli/create.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/making.h"
#include "cli/ready.h"
#include "cli/words.h"
#include "wire/portmap.h"

#define MEMORY_MIN_MIB 512
#define CPUS_MAX 4096

static int option_memory(struct create *o, const char *arg, struct err *err)
{
	uint64_t bytes;

	if (str_bytes(arg, &bytes) < 0)
		return err_set(err, ERR_INVALID, EINVAL, "memory '%.50s' is not a size: write it as 2048m or 8g", arg);
	if (bytes >> 20 < MEMORY_MIN_MIB)
		return err_set(err, ERR_INVALID, EINVAL, "memory '%.50s' is under the minimum of 512m: write it as 2048m or 8g",
			       arg);
	o->memory_mib = bytes >> 20;
	return 0;
}

static int option_publish(struct create *o, const char *arg, struct err *err)
{
	struct portmap m;
	int r = portmap_parse(arg, &m, err);

	if (r < 0)
		return err_wrap(err, "--publish");
	if (!o->ports)
		o->ports = json_array();
	return json_array_append_new(o->ports, portmap_write(&m)) < 0 ? err_set(err, ERR_INTERNAL, ENOMEM, "out of memory") : 0;
}

static int option_deny(struct create *o, const char *arg, struct err *err)
{
	auto_(json) json_t *list = words_split(arg);

	if (!list)
		return err_set(err, ERR_INVALID, EILSEQ, "--deny-network must be UTF-8");
	if (!o->denies)
		o->denies = json_array();
	return json_array_extend(o->denies, list) < 0 ? err_set(err, ERR_INTERNAL, ENOMEM, "out of memory") : 0;
}

int create_option(struct create *o, int key, const char *arg, struct err *err)
{
	uint64_t n;

	switch (key) {
	case CREATE_NAME:
		o->name = arg;
		return arg[0] ? 0 : err_set(err, ERR_INVALID, EINVAL, "--name is empty");
	case 'm':
		return option_memory(o, arg, err);
	case CREATE_CPUS:
		if (str_u64(arg, CPUS_MAX, &n) < 0)
			return err_set(err, ERR_INVALID, EINVAL, "--cpus '%.50s' is not a number of processors", arg);
		o->cpus = (int)n;
		o->has_cpus = true;
		return 0;
	case 'p':
		return option_publish(o, arg, err);
	case CREATE_DENY:
		return option_deny(o, arg, err);
	case CREATE_COLD:
		o->cold = true;
		return 0;
	case 'e':
		return envset_flag(&o->env, arg, err);
	case CREATE_ENV_FILE:
		return envset_file(&o->env, arg, err);
	default:
		return 1;
	}
}

void create_done(struct create *o)
{
	json_decref(o->denies);
	envset_done(&o->env);
	json_decref(o->ports);
}

/* The base template and what the agent adds to it; *ret_built: one of them was made anew. */
static int make_ready(struct cli *c, const char *agent, bool *ret_built)
{
	bool template = false, layer = false;
	int r = making_template(c, &template);

	if (r == 0)
		r = making_layer(c, agent, false, &layer, NULL);
	*ret_built = template || layer;
	return r;
}

static json_t *request_body(const struct create *o, const struct create_what *w)
{
	json_t *env = envset_merge(&o->env);
	json_t *body = json_pack("{s:s, s:O, s:o, s:b}", "agent", w->agent, "workspaces", w->workspaces, "env", env, "keep",
				 w->keep);

	if (!body)
		return NULL;
	if (o->name)
		(void)json_object_set_new(body, "name", json_string(o->name));
	if (o->memory_mib)
		(void)json_object_set_new(body, "memory_mib", json_integer((json_int_t)o->memory_mib));
	if (o->has_cpus)
		(void)json_object_set_new(body, "cpus", json_integer(o->cpus));
	if (o->ports)
		(void)json_object_set(body, "ports", o->ports);
	if (o->cold)
		(void)json_object_set_new(body, "cold", json_true());
	if (w->reuse)
		(void)json_object_set_new(body, "reuse", json_true());
	return body;
}

/* The rules of a sandbox that was just made; where they are refused it goes again. */
static int deny(struct cli *c, const struct create *o, const json_t *sandbox)
{
	auto_(json) json_t *body = json_pack("{s:s, s:O, s:s}", "action", "deny", "resources", o->denies, "sandbox",
					     cli_str(sandbox, "id"));
	int r = body ? api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/rules", .body = body }, NULL)
		     : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");

	if (r == 0)
		return 0;
	create_undo(c, sandbox);
	/* Not a lack of a template. */
	if (c->err.kind == ERR_UNAVAILABLE)
		c->err.kind = ERR_INTERNAL;
	return err_wrap(&c->err, "--deny-network");
}

static int post(struct cli *c, const struct create *o, const json_t *body, json_t **ret, bool *ret_new)
{
	int status = 0, r;

	r = api_call(c,
		     &(struct api_req){ .method = "POST",
					.target = "/v1/sandboxes",
					.body = body,
					.timeout_ms = API_SLOW_MS,
					.once = true,
					.ret_status = &status },
		     ret);
	if (r < 0)
		return r;
	*ret_new = status == 201;
	return *ret_new && o->denies ? deny(c, o, *ret) : 0;
}

/* The request goes first, so that what is wrong with it is said at once and not after the minutes that a template may
 * take; what is wrong with the host the daemon says instead of beginning to make one. Where there is no template, or not the latest one, it goes again. */
int create_sandbox(struct cli *c, const struct create *o, const struct create_what *w, json_t **ret, bool *ret_new)
{
	auto_(json) json_t *body = request_body(o, w), *sandbox = NULL;
	bool is_new = false, built = false;
	int r;

	if (!body)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	r = post(c, o, body, &sandbox, &is_new);
	if (r < 0 && c->err.kind == ERR_UNAVAILABLE) {
		struct err kept = c->err;

		/* What is missing may be the policy, which is said before a template is made. */
		r = ready_policy(c);
		if (r < 0)
			return r;
		c->err = kept;
		r = -1;
	}
	if (r < 0 && c->err.kind != ERR_UNAVAILABLE)
		return r;
	if (r < 0 || is_new) {
		r = make_ready(c, w->agent, &built);
		if (r < 0 && sandbox)
			create_undo(c, sandbox);
		if (r < 0)
			return r;
	}
	if (sandbox && built) {
		create_undo(c, sandbox);
		json_decref(TAKE_PTR(sandbox));
	}
	if (!sandbox)
		r = post(c, o, body, &sandbox, &is_new);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(sandbox);
	*ret_new = is_new;
	return 0;
}

void create_undo(struct cli *c, const json_t *sandbox)
{
	struct err kept = c->err;
	char target[1100], hint[sizeof(c->hint)];

	(void)memcpy(hint, c->hint, sizeof(hint));
	if (api_target(c, target, sizeof(target), cli_str(sandbox, "id"), "?force=true") == 0)
		(void)api_call(
			c,
			&(struct api_req){ .method = "DELETE", .target = target, .timeout_ms = API_SLOW_MS, .once = true },
			NULL);
	c->err = kept;
	(void)memcpy(c->hint, hint, sizeof(hint));
}

void create_report(const json_t *sandbox)
{
	const json_t *w;
	size_t i;

	cli_say("\xe2\x9c\x93 Created sandbox '%s'", cli_str(sandbox, "name"));
	json_array_foreach(json_object_get(sandbox, "workspaces"), i, w)
		cli_say("  Workspace: %s (direct mount%s)", cli_str(w, "path"),
			json_is_true(json_object_get(w, "readonly")) ? ", read-only" : "");
	cli_say("  Agent: %s", cli_str(sandbox, "agent"));
}
