/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_inspect: `sbx inspect`, all that is known about one sandbox.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/detached.h"
#include "wire/portmap.h"

struct values {
	bool json;
};

enum { KEY_JSON = 0x100 };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->json = true;
	return 0;
}

/* The daemon's record and what the running machine adds, as one object. */
static json_t *merge(const json_t *sandbox, const json_t *status)
{
	json_t *v = json_deep_copy(sandbox), *limits;
	const char *const later[] = { "guest_release", "started_at", "phase", "opens", "pids" };

	if (!v)
		return NULL;
	limits = json_pack("{s:O?, s:O?}", "cpus", json_object_get(sandbox, "cpus"), "memory_mib",
			   json_object_get(sandbox, "memory_mib"));
	(void)json_object_set_new(v, "limits", limits);
	(void)json_object_set(v, "state", json_object_get(sandbox, "status"));
	(void)json_object_del(v, "status");
	(void)json_object_del(v, "cpus");
	(void)json_object_del(v, "memory_mib");
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (json_object_get(status, later[i]))
			(void)json_object_set(v, later[i], json_object_get(status, later[i]));
	return v;
}

static void line(const char *what, const char *value)
{
	if (value[0])
		(void)printf("%-12s %s\n", what, value);
}

static void print_ports(const json_t *list)
{
	const json_t *p;
	size_t i;

	json_array_foreach(list, i, p) {
		char host[PORTMAP_TEXT_MAX];
		struct portmap m;

		if (portmap_read(p, "port", &m, NULL) < 0)
			continue;
		portmap_host(host, &m);
		(void)printf("%-12s %s -> %u/tcp\n", i ? "" : "Ports:", host, (unsigned)m.sandbox_port);
	}
}

/* Those that sbx attach can attach to. */
static void print_sessions(const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		const char *program = cli_str(one, "program");
		char shown[100];

		if (json_is_true(json_object_get(one, "attached")))
			continue;
		str_escape(shown, sizeof(shown), program, strlen(program));
		(void)printf("%-12s %lld detached%s: %s\n", "", (long long)json_integer_value(json_object_get(one, "id")),
			     json_is_true(json_object_get(one, "ended")) ? ", ended" : "", shown);
	}
}

static void print(const json_t *v)
{
	const json_t *limits = json_object_get(v, "limits"), *w;
	json_t *value;
	const char *name;
	size_t i;

	line("Name:", cli_str(v, "name"));
	line("ID:", cli_str(v, "id"));
	line("Agent:", cli_str(v, "agent"));
	line("State:", cli_str(v, "state"));
	line("Error:", cli_str(json_object_get(v, "error"), "message"));
	json_array_foreach(json_object_get(v, "workspaces"), i, w)
		(void)printf("%-12s %s (%s%s)\n", i ? "" : "Workspaces:", cli_str(w, "path"),
			     json_is_true(json_object_get(w, "readonly")) ? "ro" : "rw",
			     json_is_true(json_object_get(w, "missing")) ? ", missing" : "");
	(void)printf("%-12s %lld\n", "CPUs:", (long long)json_integer_value(json_object_get(limits, "cpus")));
	(void)printf("%-12s %lld MiB\n", "Memory:", (long long)json_integer_value(json_object_get(limits, "memory_mib")));
	print_ports(json_object_get(v, "ports"));
	line("Accelerator:", cli_str(v, "accel"));
	line("Kernel:", cli_str(v, "guest_release"));
	(void)printf("%-12s %lld\n", "Sessions:", (long long)json_integer_value(json_object_get(v, "sessions")));
	print_sessions(json_object_get(v, "session_list"));
	if (json_integer_value(json_object_get(v, "opens")) > 0)
		(void)printf("%-12s %lld (sbx open %s)\n", "URLs:", (long long)json_integer_value(json_object_get(v, "opens")), cli_str(v, "name"));
	line("Keep:", json_is_true(json_object_get(v, "keep")) ? "yes" : "no");
	line("Created:", cli_str(v, "created_at"));
	line("Last used:", cli_str(v, "last_used_at"));
	i = 0;
	/* Names only: values may be secret, and --json has them. */
	json_object_foreach((json_t *)(uintptr_t)json_object_get(v, "env"), name, value)
		(void)printf("%-12s %s\n", i++ ? "" : "Variables:", name);
}

static void add_sessions(struct cli *c, json_t *v)
{
	auto_(json) json_t *list = NULL;
	char socket[4096];

	if (!v || !str_eq(cli_str(v, "state"), "running") ||
	    str_format(socket, sizeof(socket), "%s/vm/%s.sock", c->dirs.runtime, cli_str(v, "id")) < 0)
		return;
	if (detached_list(c, cli_str(v, "name"), socket, &list) == 0)
		(void)json_object_set(v, "session_list", list);
	c->err = (struct err){ 0 };
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *sandbox = NULL, *status = NULL, *all = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), a->pos[0], "");

	if (r == 0)
		r = api_get(c, target, &sandbox);
	if (r < 0)
		return r;
	/* A machine that does not answer must not hide what is known without it. */
	if (api_target(c, target, sizeof(target), a->pos[0], "/status") < 0 || api_get(c, target, &status) < 0)
		c->err = (struct err){ 0 };
	all = merge(sandbox, status);
	add_sessions(c, all);
	if (!all)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (((struct values *)values)->json)
		return cli_print_json(c, all);
	print(all);
	return CMD_OK;
}

const struct cmd cmd_inspect = {
	.name = "inspect",
	.args = "SANDBOX",
	.summary = "Show what is known about a sandbox",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
