/* SPDX-License-Identifier: Apache-2.0
 *
 * making: see making.h. What an installation says was said by a guest: it is cleaned before it reaches a terminal.
 */
#include "cli/making.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"
#include "cli/term.h"

#define EVERY_MS 10000

struct progress {
	struct cli *cli;
	const char *title;
	bool terminal, shown;
	bool built;
	json_t *last; /* owned */
	json_int_t step;
	uint64_t at, began; /* when a line was shown, and this step's first */
};

static void show(struct progress *p, json_int_t step, json_int_t steps, const char *what)
{
	uint64_t now = io_now_ms();
	uint16_t rows, cols;
	char line[256];

	if (!p->shown)
		cli_say("%s", p->title);
	if (!p->shown || step != p->step)
		p->began = now;
	else if (!p->terminal && now - p->at < EVERY_MS)
		return;
	(void)str_format(line, sizeof(line), "[%lld/%lld] %s", (long long)step, (long long)steps, what);
	if (now - p->began >= 1000) {
		size_t n = strnlen(line, sizeof(line));

		(void)str_format(line + n, sizeof(line) - n, " (%llu s)", (unsigned long long)(now - p->began) / 1000);
	}
	table_clean(line);
	if (p->terminal) {
		/* A line that wraps could not be written over. */
		term_size(STDERR_FILENO, &rows, &cols);
		(void)fprintf(stderr, "\r\033[K%.*s", cols - 1, line);
		(void)fflush(stderr);
	} else {
		cli_say("%s", line);
	}
	p->shown = true;
	p->step = step;
	p->at = now;
}

static int on_line(void *user, const json_t *v)
{
	struct progress *p = user;

	if (cli_str(v, "progress")[0]) {
		show(p, json_integer_value(json_object_get(v, "step")), json_integer_value(json_object_get(v, "steps")),
		     cli_str(v, "progress"));
		return 0;
	}
	p->built = json_is_true(json_object_get(v, "built"));
	json_decref(p->last);
	p->last = json_incref((json_t *)(uintptr_t)v);
	return 0;
}

/* What the installation said last, and what was refused: the reasons of most failures. */
static void explain(const json_t *error)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(error, "tail"), i, v) {
		char line[400];

		if (str_format(line, sizeof(line), "%s", json_is_string(v) ? json_string_value(v) : "") < 0)
			line[sizeof(line) - 1] = 0;
		table_clean(line);
		cli_say("  | %s", line);
	}
	json_array_foreach(json_object_get(error, "blocked"), i, v)
		cli_say("The network policy refused %s:%lld (rule %s): sbx policy allow network %s:%lld", cli_str(v, "host"),
			(long long)json_integer_value(json_object_get(v, "port")), cli_str(v, "rule"), cli_str(v, "host"),
			(long long)json_integer_value(json_object_get(v, "port")));
}

static int make(struct progress *p, const char *target, const json_t *body)
{
	struct api_req req = {
		.method = "POST",
		.target = target,
		.body = body,
		.timeout_ms = API_BUILD_MS,
		.line = on_line,
		.user = p,
	};
	const json_t *error;
	int r;

	p->terminal = isatty(STDERR_FILENO);
	r = api_call(p->cli, &req, NULL);
	if (p->shown && p->terminal)
		(void)fputs("\r\033[K", stderr);
	error = json_object_get(p->last, "error");
	if (r < 0 || !error)
		return r;
	explain(error);
	return err_set(&p->cli->err, err_kind_from_name(cli_str(error, "kind")), 0, "%s", cli_str(error, "message"));
}

int making_template(struct cli *c, bool *ret_built)
{
	struct progress p = { .cli = c, .title = "Making the base template (once per machine)..." };
	int r = make(&p, "/v1/templates/base", NULL);

	*ret_built = p.built;
	json_decref(p.last);
	return r;
}

int making_layer(struct cli *c, const char *agent, bool update, bool *ret_built, json_t **ret)
{
	auto_(json) json_t *body = json_pack("{s:b}", "update", update);
	char title[120], target[120];
	struct progress p = { .cli = c, .title = title };
	int r;

	(void)str_format(title, sizeof(title), "Installing the agent %s in a sandbox (%s)...", agent,
			 update ? "to look for a newer version" : "once; later ones use it");
	if (!body || str_format(target, sizeof(target), "/v1/agents/%s/layer", agent) < 0)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	r = make(&p, target, body);
	*ret_built = p.built;
	if (r == 0 && ret)
		*ret = json_incref(p.last);
	json_decref(p.last);
	return r;
}
