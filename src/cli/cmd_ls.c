/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_ls: `sbx ls`, the sandboxes that are known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"
#include "wire/portmap.h"

#define COLUMNS 5
#define CELL_MAX 65536

struct values {
	bool json, quiet;
};

enum { KEY_JSON = 0x100 };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ "quiet", 'q', NULL, 0, "Print names and nothing else", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == 'q')
		v->quiet = true;
	else
		v->json = true;
	return 0;
}

/* "127.0.0.1:8080->3000/tcp, ..." */
static char *ports_cell(const json_t *sandbox)
{
	const json_t *p;
	struct buf b;
	char *cell;
	size_t i;

	buf_init(&b, CELL_MAX);
	json_array_foreach(json_object_get(sandbox, "ports"), i, p) {
		char host[PORTMAP_TEXT_MAX];
		struct portmap m;

		if (portmap_read(p, "port", &m, NULL) < 0)
			continue;
		portmap_host(host, &m);
		(void)buf_printf(&b, "%s%s->%u/tcp", i ? ", " : "", host, (unsigned)m.sandbox_port);
	}
	cell = str_new("%s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_done(&b);
	return cell;
}

static char *workspaces_cell(const json_t *sandbox)
{
	const json_t *w;
	struct buf b;
	char *cell;
	size_t i;

	buf_init(&b, CELL_MAX);
	json_array_foreach(json_object_get(sandbox, "workspaces"), i, w)
		(void)buf_printf(&b, "%s%s%s%s", i ? ", " : "", cli_str(w, "path"),
				 json_is_true(json_object_get(w, "readonly")) ? ":ro" : "",
				 json_is_true(json_object_get(w, "missing")) ? " (missing)" : "");
	cell = str_new("%s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_done(&b);
	return cell;
}

static int print_table(struct cli *c, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "SANDBOX", "AGENT", "STATUS", "PORTS", "WORKSPACE" };
	size_t rows = json_array_size(list) + 1, i;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *v;

	if (cells)
		json_array_foreach(list, i, v) {
			char **row = cells + (i + 1) * COLUMNS;

			row[0] = str_new("%s", cli_str(v, "name"));
			row[1] = str_new("%s", cli_str(v, "agent"));
			row[2] = str_new("%s", cli_str(v, "status"));
			row[3] = ports_cell(v);
			row[4] = workspaces_cell(v);
		}
	return table_show(cells, rows, COLUMNS, &c->err);
}

/* The shape that scripts know: paths as plain strings; `sbx inspect --json` has the details. */
static json_t *plain(const json_t *list)
{
	json_t *out = json_array();
	const json_t *v, *w;
	size_t i, k;

	json_array_foreach(list, i, v) {
		json_t *one = json_copy((json_t *)(uintptr_t)v), *paths = json_array();

		json_array_foreach(json_object_get(v, "workspaces"), k, w)
			(void)json_array_append(paths, json_object_get(w, "path"));
		(void)json_object_set_new(one, "workspaces", paths);
		(void)json_array_append_new(out, one);
	}
	return json_pack("{s:o}", "sandboxes", out);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *o = values;
	auto_(json) json_t *v = NULL, *out = NULL;
	const json_t *list, *s;
	size_t i;
	int r = api_get(c, "/v1/sandboxes", &v);

	if (r < 0)
		return r;
	list = json_object_get(v, "sandboxes");
	if (o->json) {
		out = plain(list);
		return out ? cli_print_json(c, out) : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	if (o->quiet) {
		json_array_foreach(list, i, s)
			(void)printf("%s\n", cli_str(s, "name"));
		return CMD_OK;
	}
	if (json_array_size(list) > 0)
		return print_table(c, list);
	(void)printf("No sandboxes found.\n");
	(void)fflush(stdout);
	cli_say("To create one for the current folder, run:\n  sbx run shell");
	return CMD_OK;
}

const struct cmd cmd_ls = {
	.name = "ls",
	.args = "",
	.summary = "List sandboxes",
	.options = options,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
