/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_open: `sbx open`, URLs that programs in a sandbox want this host to open: shows those that wait, and opens one, after the policy was asked
 * about it. With --attached it is the process that a session starts for each (offers.h): nobody is asked and nothing is printed then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/ask.h"
#include "cli/browser.h"
#include "cli/table.h"
#include "cli/vmcall.h"
#include "wire/openurl.h"

#define COLUMNS 3

struct values {
	bool json, print, attached;
};

enum { KEY_JSON = 0x100, KEY_PRINT, KEY_ATTACHED };

static const struct argp_option options[] = {
	{ "print", KEY_PRINT, NULL, 0, "Print the URL instead of opening it, for a browser of your choice", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print what waits as JSON, and open nothing", 0 },
	{ "attached", KEY_ATTACHED, NULL, OPTION_HIDDEN, "For a session: ask nobody, print nothing", 0 },
	{ 0 },
};

/* One URL on its way. */
struct job {
	struct cli *cli;
	const struct values *opts;
	const char *name;
	char socket[4200];
	json_int_t id;
	struct openurl url;
	bool local; /* leads to a published port of the sandbox itself */
	bool keep;  /* where it is not opened: it waits on */
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == KEY_JSON)
		v->json = true;
	else if (key == KEY_PRINT)
		v->print = true;
	else
		v->attached = true;
	return 0;
}

static int find_socket(struct job *j)
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(j->cli, target, sizeof(target), j->name, "");

	if (r == 0)
		r = api_get(j->cli, target, &v);
	if (r < 0)
		return r;
	if (!str_eq(cli_str(v, "status"), "running"))
		return err_set(&j->cli->err, ERR_CONFLICT, EAGAIN, "sandbox '%s' does not run: nothing in it wants a URL opened", j->name);
	return str_format(j->socket, sizeof(j->socket), "%s/vm/%s.sock", j->cli->dirs.runtime, cli_str(v, "id"));
}

static int get_list(struct job *j, json_t **ret)
{
	auto_(json) json_t *v = NULL;
	int r = vmcall(j->cli, j->name, j->socket, json_pack("{s:s}", "op", "open-list"), &v);

	if (r == 0)
		*ret = json_incref(json_object_get(v, "opens"));
	if (r == 0 && !*ret)
		r = err_set(&j->cli->err, ERR_INTERNAL, EPROTO, "sandbox '%s' answered with something unreadable", j->name);
	return r;
}

/* --- may it be opened? --- */

static int check_setting(struct job *j)
{
	auto_(json) json_t *v = NULL;
	int r = api_get(j->cli, "/v1/settings", &v);
	const char *set = cli_str(json_object_get(v, "settings"), "browser.open");

	if (r < 0)
		return r;
	if (str_eq(set, "never"))
		return err_set(&j->cli->err, ERR_DENIED, EACCES, "the host's settings say that nothing is opened (browser.open)");
	if (!j->opts->attached || str_eq(set, "auto"))
		return 0;
	j->keep = true;
	return err_set(&j->cli->err, ERR_DENIED, EACCES, "it waits for a person: on the host, `sbx open %s`", j->name);
}

/* By the function that the proxy asks. */
static int check_policy(struct job *j)
{
	auto_(json) json_t *body = NULL, *v = NULL;
	char origin[DEST_PRINT_MAX + 8], request[OPENURL_MAX + 1];
	const char *remedy;
	int r;

	if (j->local)
		return 0;
	openurl_origin(&j->url, origin);
	openurl_request(&j->url, request);
	body = json_pack("{s:s, s:s, s:s, s:s}", "target", origin, "path", request, "method", "GET", "sandbox", j->name);
	r = api_call(j->cli, &(struct api_req){ .method = "POST", .target = "/v1/policy/check", .body = body }, &v);
	if (r < 0 || json_is_true(json_object_get(v, "allowed")))
		return r;
	remedy = cli_str(v, "remedy");
	/* Whoever types `sbx open` gives the answer that a rule asks for. */
	if (str_eq(cli_str(v, "action"), "ask")) {
		j->keep = true;
		return !j->opts->attached ? 0 : err_set(&j->cli->err, ERR_DENIED, EACCES, "the policy asks a person: on the host, `sbx open %s`", j->name);
	}
	return err_set(&j->cli->err, ERR_DENIED, EACCES, "Blocked by network policy: %s%s%s%s", cli_str(v, "explanation"),
		       remedy[0] ? ": on the host, `" : "", remedy, remedy[0] ? "`" : "");
}

static int confirm(struct job *j)
{
	if (j->opts->attached || !cli_interactive())
		return 0;
	cli_say("%s", j->url.text);
	return ask_yes("Open it?") ? 0 : err_set(&j->cli->err, ERR_DENIED, ECANCELED, "the host's user said no");
}

/* --- opening --- */

static int show(struct job *j, const json_t *taken, const char *program)
{
	json_int_t port = json_integer_value(json_object_get(taken, "callback"));
	int r = 0;

	if (!j->opts->print && program) {
		r = browser_open(program, j->url.text, &j->cli->err);
		if (r == 0 && !j->opts->attached)
			cli_say("Opened %s", j->url.text);
	} else {
		(void)printf("%s\n", j->url.text);
		(void)fflush(stdout);
	}
	if (r == 0 && port > 0 && !j->opts->attached)
		cli_say("Where it leads back to port %lld of this host, within ten minutes, that goes to the sandbox.", (long long)port);
	return r;
}

static int take_and_show(struct job *j)
{
	auto_(json) json_t *taken = NULL;
	const char *program = browser_find();
	int r;

	j->keep = true;
	if (j->opts->attached && !program)
		return err_set(&j->cli->err, ERR_UNAVAILABLE, ENOENT, "the host has no browser to open it in: there, `sbx open %s` shows it", j->name);
	r = vmcall(j->cli, j->name, j->socket, json_pack("{s:s, s:I}", "op", "open-take", "open", j->id), &taken);
	return r < 0 ? r : show(j, taken, program);
}

/* Tells the supervisor how it went; its own failure hides none of ours. */
static int report(struct job *j, int r)
{
	struct cli quiet = { .dirs = j->cli->dirs };
	json_t *req = r < 0 ? json_pack("{s:s, s:I, s:s, s:b}", "op", "open-done", "open", j->id, "error", j->cli->err.msg, "keep", j->keep) :
			      json_pack("{s:s, s:I}", "op", "open-done", "open", j->id);

	(void)vmcall(&quiet, j->name, j->socket, req, NULL);
	return r;
}

static int open_one(struct job *j, const json_t *item)
{
	const char *text = cli_str(item, "url"), *why = "";
	int r = 0;

	j->id = json_integer_value(json_object_get(item, "open"));
	j->local = json_is_true(json_object_get(item, "local"));
	/* What comes from a sandbox's supervisor was the guest's. */
	if (openurl_parse(text, strlen(text), &j->url, &why) != OPENURL_OK)
		r = err_set(&j->cli->err, ERR_INVALID, EINVAL, "the URL cannot be opened: %s", why);
	if (r == 0)
		r = check_setting(j);
	if (r == 0)
		r = check_policy(j);
	if (r == 0)
		r = confirm(j);
	if (r == 0)
		r = take_and_show(j);
	return report(j, r);
}

/* --- which one --- */

static int print_table(struct cli *c, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "ID", "SECONDS LEFT", "URL" };
	size_t rows = json_array_size(list) + 1, i;
	char **cells = table_new(heads, rows, COLUMNS);
	const json_t *v;

	if (cells)
		json_array_foreach(list, i, v) {
			char **row = cells + (i + 1) * COLUMNS;

			row[0] = str_new("%lld", (long long)json_integer_value(json_object_get(v, "open")));
			row[1] = str_new("%lld", (long long)json_integer_value(json_object_get(v, "seconds")));
			row[2] = str_new("%s", cli_str(v, "url"));
		}
	return table_show(cells, rows, COLUMNS, &c->err);
}

static const json_t *by_id(const json_t *list, const char *text)
{
	const json_t *v;
	uint64_t id;
	size_t i;

	if (str_u64(text, UINT32_MAX, &id) < 0)
		return NULL;
	json_array_foreach(list, i, v)
		if ((uint64_t)json_integer_value(json_object_get(v, "open")) == id)
			return v;
	return NULL;
}

static int choose(struct job *j, const struct cmd_args *a, const json_t *list)
{
	const json_t *item;

	if (a->npos < 2 && json_array_size(list) == 0) {
		cli_say("No URL of '%s' waits to be opened.", j->name);
		return CMD_OK;
	}
	if (a->npos < 2 && json_array_size(list) > 1) {
		int r = print_table(j->cli, list);

		(void)fflush(stdout);
		cli_say("To open one: sbx open %s ID", j->name);
		return r;
	}
	item = a->npos < 2 ? json_array_get(list, 0) : by_id(list, a->pos[1]);
	if (!item) {
		cli_hint(j->cli, "sbx open %s", j->name);
		return err_set(&j->cli->err, ERR_NOT_FOUND, ENOENT, "no URL '%.40s' of '%s' waits to be opened", a->pos[1], j->name);
	}
	return open_one(j, item);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_free struct job *j = calloc(1, sizeof(*j));
	auto_(json) json_t *list = NULL;
	int r;

	if (!j)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	j->cli = c;
	j->opts = values;
	j->name = a->pos[0];
	r = find_socket(j);
	if (r == 0)
		r = get_list(j, &list);
	if (r < 0)
		return r;
	return j->opts->json ? cli_print_json(c, list) : choose(j, a, list);
}

const struct cmd cmd_open = {
	.name = "open",
	.args = "SANDBOX [ID]",
	.summary = "Open what a program in a sandbox wants opened in the browser",
	.doc = "A program in a sandbox that runs xdg-open asks this host to open a URL. Where a session with a terminal is there and this host\n"
	       "has a browser, it is opened at once, if the policy allows its host (setting browser.open: auto, ask or never); else it\n"
	       "waits for this command, for five minutes. Where a sign-in leads the browser back to a port of localhost, one\n"
	       "request for exactly that address goes to the sandbox that asked.",
	.options = options,
	.min_args = 1,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
