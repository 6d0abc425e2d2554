/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_daemon: `sbx daemon start|stop|status`. Nobody needs it: every command starts the daemon where it needs it.
 */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/launch.h"

struct values {
	bool json;
};

enum { KEY_JSON = 0x100 };

static const struct argp_option status_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static int status_option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->json = true;
	return 0;
}

/* GET /v1/version of a daemon that runs; *ret NULL where none does. */
static int look(struct cli *c, json_t **ret)
{
	int r = api_call(c, &(struct api_req){ .method = "GET", .target = "/v1/version", .only_look = true }, ret);

	if (r == 0 || c->err.errnum != ECONNREFUSED)
		return r;
	c->err = (struct err){ 0 };
	c->hint[0] = 0;
	return 0;
}

static int start(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL;
	bool started = false;
	auto_fd int fd = launch_connect(c, true, &started);
	int r;

	if (fd < 0)
		return fd;
	r = api_get(c, "/v1/version", &v);
	if (r < 0)
		return r;
	(void)printf("sandboxd %s (process %lld)\n", started ? "started" : "is already running",
		     (long long)json_integer_value(json_object_get(v, "pid")));
	return CMD_OK;
}

static int stop(struct cli *c, const struct cmd_args *a, void *values)
{
	int r = api_shutdown(c);

	if (r < 0 && c->err.errnum == ECONNREFUSED) {
		(void)printf("sandboxd is not running\n");
		c->err = (struct err){ 0 };
		c->hint[0] = 0;
		return CMD_OK;
	}
	if (r < 0)
		return r;
	(void)printf("sandboxd stopped; running sandboxes go on\n");
	return CMD_OK;
}

static int status(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL, *out = NULL;
	int r = look(c, &v);

	if (r < 0)
		return r;
	if (((struct values *)values)->json) {
		char socket[4200], log[4200];

		(void)str_format(socket, sizeof(socket), "%s/%s", c->dirs.runtime, LAUNCH_SOCKET);
		(void)str_format(log, sizeof(log), "%s/%s", c->dirs.state, LAUNCH_LOG);
		out = json_pack("{s:s, s:s, s:s}", "state", v ? "running" : "stopped", "socket", socket, "log", log);
		if (out && v)
			(void)json_object_update_missing(out, v);
		return out ? cli_print_json(c, out) : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	(void)printf("State:   %s\n", v ? "running" : "stopped");
	if (v)
		(void)printf("Version: v%s\nProcess: %lld\nStarted: %s\n", cli_str(v, "version"),
			     (long long)json_integer_value(json_object_get(v, "pid")), cli_str(v, "started_at"));
	(void)printf("Socket:  %s/%s\nLog:     %s/%s\n", c->dirs.runtime, LAUNCH_SOCKET, c->dirs.state, LAUNCH_LOG);
	return CMD_OK;
}

static const struct cmd daemon_start = {
	.name = "start",
	.args = "",
	.summary = "Start sandboxd; nothing happens where it runs",
	.run = start,
};

static const struct cmd daemon_stop = {
	.name = "stop",
	.args = "",
	.summary = "Stop sandboxd; running sandboxes go on",
	.run = stop,
};

static const struct cmd daemon_status = {
	.name = "status",
	.args = "",
	.summary = "Show whether sandboxd runs, its socket and its log",
	.options = status_options,
	.size = sizeof(struct values),
	.option = status_option,
	.run = status,
};

static const struct cmd *const subs[] = { &daemon_start, &daemon_stop, &daemon_status, NULL };

const struct cmd cmd_daemon = {
	.name = "daemon",
	.args = "",
	.summary = "Start, stop or look at the daemon (every command starts it where it is needed)",
	.subs = subs,
	.flags = CMD_TAKES_REST,
	.max_args = 1,
};
