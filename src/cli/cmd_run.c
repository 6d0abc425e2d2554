/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_run: `sbx run`, the main one: finds or creates the sandbox of a folder, starts it, and runs its agent here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/agents.h"
#include "cli/api.h"
#include "cli/create.h"
#include "cli/keeper.h"
#include "cli/paths.h"
#include "cli/ready.h"
#include "cli/services.h"
#include "cli/session.h"

#define OLD_S (14 * 24 * 3600) /* of a layer: whether there is a newer version is worth a look */

enum { KEY_RM = 0x200 };

struct run {
	struct create create;
	bool detach, remove;
};

/* One `sbx run`. */
struct job {
	struct cli *cli;
	const struct run *opts;
	const struct cmd_args *args;
	const char *who;    /* the agent or sandbox that is named */
	json_t *agent;      /* owned; its profile, NULL: it is not known (any more) */
	json_t *workspaces; /* owned; NULL: none were named */
	json_t *sandbox;    /* owned */
	bool is_new;
};

static const struct argp_option options[] = {
	CREATE_OPTIONS,
	{ "detach", 'd', NULL, 0, "Start the sandbox, print its id, and keep it running without a session", 0 },
	{ "rm", KEY_RM, NULL, 0, "Remove the sandbox after the session; not with -d", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct run *o = values;

	if (key == 'd')
		o->detach = true;
	else if (key == KEY_RM)
		o->remove = true;
	else
		return create_option(&o->create, key, arg, err);
	return 0;
}

static const char *primary(const json_t *sandbox)
{
	return cli_str(json_array_get(json_object_get(sandbox, "workspaces"), 0), "path");
}

static const json_t *by_name(const json_t *list, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (str_eq(cli_str(v, "name"), name) || str_eq(cli_str(v, "id"), name))
			return v;
	return NULL;
}

/* The sandbox of this agent and folder. Where named ones share the folder, the person has to say which. */
static int by_folder(struct job *j, const json_t *list, const json_t **ret)
{
	const char *path = cli_str(json_array_get(j->workspaces, 0), "path");
	const json_t *v, *found = NULL;
	size_t i;

	json_array_foreach(list, i, v) {
		if (!str_eq(cli_str(v, "agent"), j->who) || !str_eq(primary(v), path))
			continue;
		if (found) {
			cli_hint(j->cli, "sbx run %s", cli_str(found, "name"));
			return err_set(&j->cli->err, ERR_CONFLICT, EEXIST,
				       "several sandboxes belong to %.200s ('%s', '%s'): name the one that you want", path,
				       cli_str(found, "name"), cli_str(v, "name"));
		}
		found = v;
	}
	*ret = found;
	return 0;
}

/* A sandbox that --name found must be the one that is meant. */
static int check_named(struct job *j, const json_t *v)
{
	const char *name = cli_str(v, "name");

	cli_hint(j->cli, "sbx run %s", name);
	if (!str_eq(cli_str(v, "agent"), j->who))
		return err_set(&j->cli->err, ERR_CONFLICT, EEXIST, "sandbox '%s' exists already for the agent %s", name,
			       cli_str(v, "agent"));
	if (!str_eq(primary(v), cli_str(json_array_get(j->workspaces, 0), "path")))
		return err_set(&j->cli->err, ERR_CONFLICT, EEXIST, "sandbox '%s' exists already for the folder %s", name,
			       primary(v));
	j->cli->hint[0] = 0;
	return 0;
}

/* What was fixed at creation cannot be asked for again in another form. */
static int check_workspaces(struct job *j)
{
	const json_t *have = json_object_get(j->sandbox, "workspaces"), *w, *h;
	size_t i, k;

	json_array_foreach(j->workspaces, i, w) {
		bool same = false;

		json_array_foreach(have, k, h)
			same = same || (str_eq(cli_str(h, "path"), cli_str(w, "path")) &&
					json_is_true(json_object_get(h, "readonly")) ==
						json_is_true(json_object_get(w, "readonly")));
		if (!same)
			return err_set(&j->cli->err, ERR_CONFLICT, EEXIST,
				       "sandbox '%s' was created without the workspace %s%s, and workspaces are fixed at creation",
				       cli_str(j->sandbox, "name"), cli_str(w, "path"),
				       json_is_true(json_object_get(w, "readonly")) ? ":ro" : "");
	}
	return 0;
}

static int check_existing(struct job *j)
{
	const struct create *o = &j->opts->create;
	const char *name = cli_str(j->sandbox, "name");
	json_int_t memory = json_integer_value(json_object_get(j->sandbox, "memory_mib"));
	json_int_t cpus = json_integer_value(json_object_get(j->sandbox, "cpus"));
	struct err *err = &j->cli->err;
	int r = check_workspaces(j);

	if (r == 0 && j->opts->remove)
		r = err_set(err, ERR_CONFLICT, EEXIST,
			    "sandbox '%s' exists already: --rm is for a sandbox that this call creates", name);
	if (r == 0 && o->memory_mib && memory != (json_int_t)o->memory_mib)
		r = err_set(err, ERR_CONFLICT, EEXIST,
			    "sandbox '%s' was created with --memory %lldm: --memory can only be used when creating one", name,
			    (long long)memory);
	if (r == 0 && o->has_cpus && o->cpus != 0 && cpus != o->cpus)
		r = err_set(err, ERR_CONFLICT, EEXIST,
			    "sandbox '%s' was created with --cpus %lld: --cpus can only be used when creating one", name,
			    (long long)cpus);
	if (r == 0 && o->cold && !json_is_true(json_object_get(j->sandbox, "cold")))
		r = err_set(err, ERR_CONFLICT, EEXIST,
			    "sandbox '%s' was created without --cold: --cold can only be used when creating one", name);
	if (r < 0)
		cli_hint(j->cli, "sbx rm %s", name);
	if (r == 0 && o->denies) {
		cli_hint(j->cli, "sbx policy deny --sandbox %s RESOURCE", name);
		r = err_set(err, ERR_CONFLICT, EEXIST, "sandbox '%s' exists already: --deny-network is for a new one", name);
	}
	if (r == 0 && o->ports)
		cli_say("Note: --publish is for a new sandbox and was not used: `sbx ports %s --publish SPEC` changes this one", name);
	return r;
}

static int find_for_agent(struct job *j, const json_t *list)
{
	const char *name = j->opts->create.name;
	const json_t *v = name ? by_name(list, name) : NULL;
	int r;

	if (v)
		r = check_named(j, v);
	else
		r = name ? 0 : by_folder(j, list, &v);
	if (r == 0 && v)
		j->sandbox = json_incref((json_t *)(uintptr_t)v);
	return r;
}

static int find_for_name(struct job *j, const json_t *list)
{
	const json_t *v = by_name(list, j->who);

	auto_free char *names = NULL;

	if (!v && j->args->npos == 0) {
		cli_hint(j->cli, "sbx run --name %s shell", j->who);
		return err_set(&j->cli->err, ERR_NOT_FOUND, ENOENT, "sandbox '%.100s' not found", j->who);
	}
	if (!v) {
		names = agents_names(j->cli);
		if (!names)
			return err_code(&j->cli->err);
		cli_hint(j->cli, "sbx run shell");
		return err_set(&j->cli->err, ERR_NOT_FOUND, ENOENT,
			       "'%.100s' is neither an agent (known agents: %s) nor an existing sandbox", j->who,
			       names);
	}
	if (j->opts->create.name && j->args->npos > 0) {
		cli_hint(j->cli, "sbx run %s", cli_str(v, "name"));
		return err_set(&j->cli->err, ERR_INVALID, EINVAL,
			       "--name is for an agent, and '%s' is the name of a sandbox already", cli_str(v, "name"));
	}
	j->sandbox = json_incref((json_t *)(uintptr_t)v);
	return 0;
}

static int find(struct job *j)
{
	auto_(json) json_t *v = NULL;
	const json_t *list;
	int r = j->args->npos > 0 ? agents_find(j->cli, j->who, &j->agent) : 0;

	if (r == 0 && (j->agent || j->args->npos > 1))
		r = paths_resolve(j->cli, j->args->pos + 1, j->args->npos - 1, &j->workspaces);
	if (r == 0)
		r = api_get(j->cli, "/v1/sandboxes", &v);
	if (r < 0)
		return r;
	list = json_object_get(v, "sandboxes");
	return j->agent ? find_for_agent(j, list) : find_for_name(j, list);
}

static int make(struct job *j)
{
	const struct create_what what = {
		.agent = j->who, .workspaces = j->workspaces, .keep = j->opts->detach, .reuse = true
	};
	int r = create_sandbox(j->cli, &j->opts->create, &what, &j->sandbox, &j->is_new);

	/* Who watches wants to know what takes the time; a log gets it with the result, or the error alone. */
	if (r == 0 && j->is_new && isatty(STDERR_FILENO))
		cli_say("Creating new sandbox '%s'...", cli_str(j->sandbox, "name"));
	return r;
}

static void tell_new(struct job *j)
{
	auto_(json) json_t *v = NULL;
	char target[1100];

	if (!isatty(STDERR_FILENO))
		cli_say("Creating new sandbox '%s'...", cli_str(j->sandbox, "name"));
	create_report(j->sandbox);
	if (api_target(j->cli, target, sizeof(target), cli_str(j->sandbox, "id"), "/status") < 0 ||
	    api_get(j->cli, target, &v) < 0) {
		j->cli->err = (struct err){ 0 };
		return;
	}
	if (str_eq(cli_str(v, "accel"), "tcg"))
		cli_say("Note: no hardware virtualization: using software emulation (slower, same isolation)");
}

static int boot_new(struct job *j)
{
	char socket[SESSION_SOCKET_MAX];
	int r = session_boot(j->cli, cli_str(j->sandbox, "id"), socket, sizeof(socket));

	if (r < 0)
		create_undo(j->cli, j->sandbox);
	else
		tell_new(j);
	return r;
}

static int detach(struct job *j)
{
	const char *id = cli_str(j->sandbox, "id");
	char target[1100], socket[SESSION_SOCKET_MAX];
	auto_(json) json_t *keep = json_pack("{s:b}", "keep", 1);
	int r = session_boot(j->cli, id, socket, sizeof(socket));

	if (r == 0)
		r = api_target(j->cli, target, sizeof(target), id, "/keep");
	if (r == 0)
		r = api_call(j->cli, &(struct api_req){ .method = "POST", .target = target, .body = keep }, NULL);
	if (r < 0)
		return r;
	(void)printf("%s\n", id);
	return CMD_OK;
}

/* The profile of the sandbox's agent; one that was removed since leaves it to the arguments to say what to run. */
static int know_agent(struct job *j)
{
	return j->agent ? 0 : agents_find(j->cli, cli_str(j->sandbox, "agent"), &j->agent);
}

static int agent_argv(struct job *j, json_t **ret)
{
	*ret = agents_argv(j->agent, j->args->rest, j->args->nrest);
	if (*ret)
		return 0;
	if (!j->agent)
		return err_set(&j->cli->err, ERR_NOT_FOUND, ENOENT, "the profile of the agent %s is not there any more",
			       cli_str(j->sandbox, "agent"));
	return err_set(&j->cli->err, ERR_INVALID, EILSEQ, "the agent's arguments must be UTF-8");
}

/* Whether a secret of one of the services is stored for this sandbox: its variables are among env. */
static bool has_secret(const json_t *services, const json_t *env)
{
	const json_t *service;
	size_t i;

	json_array_foreach(services, i, service) {
		struct secretmsg_secret s;

		if (services_find(json_string_value(service), &s) < 0)
			return true; /* one of the user's own: its variables are not known */
		for (size_t e = 0; e < s.nenv; e++)
			if (json_object_get(env, s.env[e]))
				return true;
	}
	return json_array_size(services) == 0;
}

/* What a person may want to do before the agent asks for it. */
static void offer(const struct job *j, const json_t *env)
{
	const json_t *services = json_object_get(j->agent, "secrets"), *layer = json_object_get(j->agent, "layer");
	const char *service = json_string_value(json_array_get(services, 0)), *agent = cli_str(j->agent, "name");
	struct tm tm = { 0 };

	if (!has_secret(services, env))
		cli_say("Note: no secret is stored for %s: `sbx secret set -g %s`, or sign in inside the agent", agent, service);
	if (strptime(cli_str(layer, "created"), "%Y-%m-%dT%H:%M:%SZ", &tm) && time(NULL) - timegm(&tm) > OLD_S)
		cli_say("Note: %s %s was installed on %.10s: `sbx agent update %s` looks for a newer version", agent,
			cli_str(layer, "version"), cli_str(layer, "created"), agent);
}

static int attach(struct job *j)
{
	const char *agent = cli_str(j->sandbox, "agent"), *name = cli_str(j->sandbox, "name");
	bool tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	auto_(json) json_t *start = NULL, *argv = NULL, *env = envset_merge(&j->opts->create.env);
	int r = know_agent(j);

	if (r == 0)
		r = agent_argv(j, &argv);
	if (r == 0 && env)
		r = keeper_env(j->cli, cli_str(j->sandbox, "id"), env);
	if (r < 0)
		return r;
	start = session_start_record(json_incref(argv), json_incref(env), tty);
	if (!start || !env)
		return err_set(&j->cli->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (j->is_new || isatty(STDERR_FILENO))
		cli_say("Starting %s agent in sandbox '%s'...", agent, name);
	if (!j->is_new && isatty(STDERR_FILENO))
		cli_say("Workspace: %s", primary(j->sandbox));
	offer(j, env);
	return session_run(j->cli, &(struct session_spec){ .name = name, .start = start, .tty = tty, .input = true });
}

static int check_options(struct cli *c, const struct run *o, const struct cmd_args *a)
{
	if (a->npos == 0 && !o->create.name) {
		cli_hint(c, "sbx run shell");
		return err_set(&c->err, ERR_INVALID, EINVAL, "sbx run: missing argument: SANDBOX or AGENT");
	}
	if (o->detach && o->remove)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--rm and --detach exclude each other");
	if (!o->detach || a->nrest == 0)
		return 0;
	cli_hint(c, "sbx exec SANDBOX COMMAND");
	return err_set(&c->err, ERR_INVALID, EINVAL, "--detach starts no agent, so arguments for it have no place");
}

static int go(struct job *j)
{
	int r = find(j);

	/* A new one asks when it is made; one that was there may meet a policy that was reset. */
	if (r == 0 && j->sandbox && str_eq(cli_str(j->sandbox, "status"), "stopped"))
		r = ready_policy(j->cli);
	if (r < 0)
		return r;
	r = j->sandbox ? 0 : make(j);
	if (r == 0)
		r = j->is_new ? boot_new(j) : check_existing(j);
	if (r < 0)
		return r;
	r = j->opts->detach ? detach(j) : attach(j);
	if (j->opts->remove)
		create_undo(j->cli, j->sandbox);
	return r;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	struct job j = { .cli = c, .opts = values, .args = a };
	const struct run *o = values;
	int r = check_options(c, o, a);

	j.who = a->npos > 0 ? a->pos[0] : o->create.name;
	if (r == 0)
		r = go(&j);
	json_decref(j.agent);
	json_decref(j.workspaces);
	json_decref(j.sandbox);
	return r;
}

static void done(void *values)
{
	create_done(&((struct run *)values)->create);
}

const struct cmd cmd_run = {
	.name = "run",
	.args = "SANDBOX|AGENT [PATH...] [-- AGENT_ARGS...]",
	.summary = "Run an agent in a sandbox of its own, made for this folder where there is none",
	.doc = "The first PATH is the primary workspace (default: the current folder); more folders or single files may\n"
	       "follow. PATH:ro is read-only. Run again, it attaches to the same sandbox; options of creation must then be\n"
	       "left out or be the same. AGENT_ARGS are appended to the agent's command; where the first is not an option, they\n"
	       "replace it. --name alone attaches to the sandbox of that name. The exit status is the agent's, 128 + n where signal n killed it, 125 where sbx failed.\n"
	       "`sbx agent ls` lists the agents; the first use of one installs it in a sandbox.",
	.options = options,
	.flags = CMD_SESSION,
	.max_args = 1 + PATHS_MAX,
	.size = sizeof(struct run),
	.option = option,
	.run = run,
	.done = done,
};
