/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_ports: `sbx ports`, what of a sandbox can be reached on this host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"
#include "wire/portmap.h"

#define COLUMNS 4

struct values {
	bool json;
	json_t *publish, *unpublish; /* owned; as the API has them; NULL: none */
};

enum { KEY_JSON = 0x100, KEY_PUBLISH, KEY_UNPUBLISH };

static const struct argp_option options[] = {
	{ "publish", KEY_PUBLISH, "SPEC", 0, "Publish [[HOST_IP:]HOST_PORT:]SANDBOX_PORT; may be repeated", 0 },
	{ "unpublish", KEY_UNPUBLISH, "SPEC", 0, "Take [[HOST_IP:]HOST_PORT:]SANDBOX_PORT back; may be repeated", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static int append(json_t **list, json_t *o, struct err *err)
{
	if (!*list)
		*list = json_array();
	return json_array_append_new(*list, o) < 0 ? err_set(err, ERR_INTERNAL, ENOMEM, "out of memory") : 0;
}

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;
	struct portmap_match match;
	struct portmap m;
	int r;

	if (key == KEY_JSON) {
		v->json = true;
		return 0;
	}
	r = key == KEY_PUBLISH ? portmap_parse(arg, &m, err) : portmap_parse_match(arg, &match, err);
	if (r < 0)
		return err_wrap(err, "%s", key == KEY_PUBLISH ? "--publish" : "--unpublish");
	return key == KEY_PUBLISH ? append(&v->publish, portmap_write(&m), err) :
				    append(&v->unpublish, portmap_write_match(&match), err);
}

/* "Published 127.0.0.1:8080 -> 3000/tcp" */
static void say(const char *what, const json_t *port)
{
	char host[PORTMAP_TEXT_MAX];
	struct portmap m;

	if (portmap_read(port, "port", &m, NULL) < 0)
		return;
	portmap_host(host, &m);
	(void)printf("%s %s -> %u/tcp\n", what, host, (unsigned)m.sandbox_port);
}

static bool fits_one(const json_t *matches, const json_t *port)
{
	const json_t *o;
	struct portmap m;
	size_t i;

	if (portmap_read(port, "port", &m, NULL) < 0)
		return false;
	json_array_foreach(matches, i, o) {
		struct portmap_match match;

		if (portmap_read_match(o, "port", &match, NULL) == 0 && portmap_fits(&match, &m))
			return true;
	}
	return false;
}

static void report(const struct values *v, const json_t *before, const json_t *after, bool running)
{
	size_t i, n = json_array_size(after), fresh = json_array_size(v->publish);
	const json_t *port;

	json_array_foreach(before, i, port)
		if (fits_one(v->unpublish, port))
			say("Unpublished", port);
	for (i = n > fresh ? n - fresh : 0; i < n; i++)
		say("Published", json_array_get(after, i));
	(void)fflush(stdout);
	if (fresh > 0 && !running)
		cli_say("The sandbox does not run: its ports can be reached once it does.");
}

static int print_table(struct cli *c, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "HOST IP", "HOST PORT", "SANDBOX PORT", "PROTOCOL" };
	size_t rows = json_array_size(list) + 1, i;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *v;

	if (cells)
		json_array_foreach(list, i, v) {
			char **row = cells + (i + 1) * COLUMNS;
			long long port = json_integer_value(json_object_get(v, "host_port"));

			row[0] = str_new("%s", cli_str(v, "host_ip"));
			row[1] = port ? str_new("%lld", port) : str_new("auto");
			row[2] = str_new("%lld", (long long)json_integer_value(json_object_get(v, "sandbox_port")));
			row[3] = str_new("%s", cli_str(v, "protocol"));
		}
	return table_show(cells, rows, COLUMNS, &c->err);
}

static int change(struct cli *c, const char *target, const struct values *v, json_t **ret)
{
	auto_(json) json_t *body = json_object();

	if (v->publish)
		(void)json_object_set(body, "publish", v->publish);
	if (v->unpublish)
		(void)json_object_set(body, "unpublish", v->unpublish);
	return api_call(c, &(struct api_req){ .method = "POST", .target = target, .body = body, .once = true }, ret);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	bool changes = v->publish || v->unpublish;
	auto_(json) json_t *before = NULL, *after = NULL;
	const json_t *list;
	char target[1100];
	int r = api_target(c, target, sizeof(target), a->pos[0], "/ports");

	if (r == 0)
		r = api_get(c, target, &before);
	if (r == 0 && changes)
		r = change(c, target, v, &after);
	if (r < 0)
		return r;
	list = json_object_get(changes ? after : before, "ports");
	if (v->json)
		return cli_print_json(c, list);
	if (changes)
		report(v, json_object_get(before, "ports"), list, str_eq(cli_str(after, "status"), "running"));
	else if (json_array_size(list) > 0)
		return print_table(c, list);
	else
		cli_say("No ports of '%s' are published. To publish one: sbx ports %s --publish 8080:3000", a->pos[0], a->pos[0]);
	return CMD_OK;
}

static void done(void *values)
{
	struct values *v = values;

	json_decref(v->publish);
	json_decref(v->unpublish);
}

const struct cmd cmd_ports = {
	.name = "ports",
	.args = "SANDBOX",
	.summary = "Show or change the ports of a sandbox that can be reached on this host",
	.doc = "Without HOST_IP a port is published on 127.0.0.1, without HOST_PORT on one that the host chooses. /tcp, /tcp4 or /tcp6\n"
	       "may follow; only TCP can be published. The server in the sandbox may listen on any of its addresses. Published ports stay\n"
	       "until they are taken back: over stops and starts, and for a sandbox that does not run.",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
	.done = done,
};
