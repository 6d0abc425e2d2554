/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_version: `sbx version`. Asks a daemon that runs, and starts none.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "cli/api.h"

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

static json_t *describe(const json_t *server)
{
	json_t *v = json_pack("{s:{s:s, s:s}, s:{s:s}}", "client", "version", SBX_VERSION, "directory",
			      env_bindir() ? env_bindir() : "", "server", "state", server ? "running" : "unavailable");

	if (v && server)
		(void)json_object_update_missing(json_object_get(v, "server"), (json_t *)(uintptr_t)server);
	return v;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *server = NULL, *all = NULL;
	struct utsname u;
	int r = api_call(c, &(struct api_req){ .method = "GET", .target = "/v1/version", .only_look = true }, &server);

	if (r < 0) {
		cli_debug(c, "%s", c->err.msg);
		c->err = (struct err){ 0 };
		c->hint[0] = 0;
	}
	all = describe(server);
	if (!all)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (((struct values *)values)->json)
		return cli_print_json(c, all);
	(void)printf("sbx version: v%s\n", SBX_VERSION);
	if (!c->debug)
		return CMD_OK;
	(void)printf("  directory: %s\n", env_bindir() ? env_bindir() : "unknown");
	if (uname(&u) == 0)
		(void)printf("  system: %s %s %s\n", u.sysname, u.release, u.machine);
	if (!server) {
		(void)printf("server: unavailable (sandboxd is not running)\n");
		return CMD_OK;
	}
	(void)printf("server: running\n  version: v%s\n  process: %lld\n  started: %s\n", cli_str(server, "version"),
		     (long long)json_integer_value(json_object_get(server, "pid")), cli_str(server, "started_at"));
	return CMD_OK;
}

const struct cmd cmd_version = {
	.name = "version",
	.args = "",
	.summary = "Show versions; with --debug, of the daemon too",
	.options = options,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
