/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_log: `sbx policy log`, what sandboxes wanted to reach and what became of it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/table.h"
#include "cli/words.h"

#define COLUMNS 8
#define TIME_SIZE 32

struct values {
	const char *sandbox;
	bool json, follow, quiet;
	uint64_t limit;
};

enum { KEY_SANDBOX = 0x100, KEY_JSON, KEY_LIMIT, KEY_TYPE };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ "follow", 'f', NULL, 0, "Print decisions as they are made, until interrupted", 0 },
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "Only of this sandbox", 0 },
	{ "limit", KEY_LIMIT, "N", 0, "At most N rows per table, the latest (default: 0, all)", 0 },
	{ "quiet", 'q', NULL, 0, "Print hosts and nothing else", 0 },
	{ "type", KEY_TYPE, "TYPE", 0, "all or network, which is the same so far", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	switch (key) {
	case KEY_JSON:
		v->json = true;
		return 0;
	case 'f':
		v->follow = true;
		return 0;
	case 'q':
		v->quiet = true;
		return 0;
	case KEY_SANDBOX:
		v->sandbox = arg;
		return 0;
	case KEY_LIMIT:
		return str_u64(arg, UINT32_MAX, &v->limit) < 0
			       ? err_set(err, ERR_INVALID, EINVAL, "--limit '%.50s' is not a number of rows", arg)
			       : 0;
	default:
		return str_eq(arg, "all") || str_eq(arg, "network")
			       ? 0
			       : err_set(err, ERR_INVALID, EINVAL, "--type '%.50s': only all and network are known", arg);
	}
}

/* "2026-11-24T10:15:25.123Z" as "10:15:25 24-Nov", in local time. */
static void short_time(const char *s, char dst[TIME_SIZE])
{
	struct tm tm = { .tm_isdst = 0 }, local;
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t t = end ? timegm(&tm) : -1;

	if (t < 0 || !localtime_r(&t, &local) || strftime(dst, TIME_SIZE, "%H:%M:%S %d-%b", &local) == 0)
		(void)str_format(dst, TIME_SIZE, "-");
}

static size_t shown(const struct values *v, const json_t *list)
{
	size_t n = json_array_size(list);

	return v->limit && v->limit < n ? (size_t)v->limit : n;
}

static int print_table(struct cli *c, const struct values *v, const json_t *list)
{
	static const char *const heads[COLUMNS] = { "SANDBOX", "TYPE", "HOST", "PROXY", "RULE", "REASON", "LAST SEEN", "COUNT" };
	static const char *const keys[] = { "sandbox", "type", "host", "proxy", "rule", "reason" };
	size_t rows = shown(v, list) + 1;
	char **cells = table_new(heads, rows, COLUMNS), when[TIME_SIZE];

	for (size_t i = 1; i < rows && cells; i++) {
		const json_t *one = json_array_get(list, i - 1);
		char **row = cells + i * COLUMNS;

		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			row[k] = str_new("%s", cli_str(one, keys[k]));
		short_time(cli_str(one, "last_seen"), when);
		row[6] = str_new("%s", when);
		row[7] = str_new("%lld", (long long)json_integer_value(json_object_get(one, "count")));
	}
	return table_show(cells, rows, COLUMNS, &c->err);
}

/* The shape that scripts know. */
static json_t *plain(const struct values *v, const json_t *list)
{
	json_t *out = json_array();

	for (size_t i = 0; i < shown(v, list); i++) {
		const json_t *one = json_array_get(list, i);

		(void)json_array_append_new(
			out, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "host", cli_str(one, "host"), "vm_name",
				       cli_str(one, "sandbox"), "proxy_type", cli_str(one, "proxy"), "rule", cli_str(one, "rule"),
				       "reason", cli_str(one, "reason"), "last_seen", cli_str(one, "last_seen"), "since",
				       cli_str(one, "since"), "count_since", json_object_get(one, "count")));
	}
	return out;
}

static int print_all(struct cli *c, const struct values *v, const json_t *reply)
{
	const json_t *lists[] = { json_object_get(reply, "blocked"), json_object_get(reply, "allowed") };
	static const char *const titles[] = { "Blocked requests:", "Allowed requests:" };
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists) && r == 0; i++) {
		if (json_array_size(lists[i]) == 0)
			continue;
		(void)printf("%s%s\n", any ? "\n" : "", titles[i]);
		r = print_table(c, v, lists[i]);
		any = true;
	}
	if (r == 0 && !any)
		(void)printf("No network activity was logged yet.\n");
	return r;
}

static void print_quiet(const struct values *v, const json_t *reply)
{
	const json_t *lists[] = { json_object_get(reply, "blocked"), json_object_get(reply, "allowed") };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t k = 0; k < shown(v, lists[i]); k++)
			(void)printf("%s\n", cli_str(json_array_get(lists[i], k), "host"));
}

static int print_sum(struct cli *c, const struct values *v, const json_t *reply)
{
	long long bad = json_integer_value(json_object_get(reply, "unreadable"));
	long long left = json_integer_value(json_object_get(reply, "left_out"));
	auto_(json) json_t *out = NULL;
	int r = 0;

	if (v->json) {
		out = json_pack("{s:o, s:o}", "blocked_hosts", plain(v, json_object_get(reply, "blocked")), "allowed_hosts",
				plain(v, json_object_get(reply, "allowed")));
		r = out ? cli_print_json(c, out) : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	} else if (v->quiet) {
		print_quiet(v, reply);
	} else {
		r = print_all(c, v, reply);
	}
	if (r < 0)
		return r;
	(void)fflush(stdout);
	if (bad > 0)
		cli_say("Note: %lld lines of the logs cannot be read and are left out", bad);
	if (left > 0)
		cli_say("Note: there are more destinations than are listed: %lld decisions are left out", left);
	return CMD_OK;
}

/* One decision as it happens. */
static int on_line(void *user, const json_t *o)
{
	const struct values *v = user;
	const json_t *rec = json_object_get(o, "record");
	char when[TIME_SIZE], line[2048];

	if (!rec)
		return 0;
	if (v->json) {
		(void)json_dumpf(rec, stdout, JSON_COMPACT);
		(void)putchar('\n');
	} else if (str_eq(cli_str(rec, "event"), "decision")) {
		short_time(cli_str(rec, "time"), when);
		(void)str_format(line, sizeof(line), "%s  %s  %-5s %s:%lld%s%s%s%s  %s (%s)", when, cli_str(o, "sandbox"),
				 cli_str(rec, "verdict"), cli_str(rec, "host"),
				 (long long)json_integer_value(json_object_get(rec, "port")), cli_str(rec, "method")[0] ? "  " : "",
				 cli_str(rec, "method"), cli_str(rec, "path")[0] ? " " : "", cli_str(rec, "path"),
				 cli_str(rec, "rule"), cli_str(rec, "reason"));
		table_clean(line);
		(void)printf("%s\n", line);
	}
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	struct values *v = values;
	auto_(json) json_t *body = json_pack("{s:b}", "follow", v->follow), *reply = NULL;
	struct api_req req = { .method = "POST", .target = "/v1/policy/log", .body = body, .timeout_ms = API_SLOW_MS };
	int r;

	if (v->follow) {
		req.timeout_ms = INT_MAX;
		req.line = on_line;
		req.user = v;
	}
	r = words_put(c, body, "sandbox", v->sandbox ? v->sandbox : a->npos > 0 ? a->pos[0] : NULL);
	if (r == 0)
		r = api_call(c, &req, &reply);
	if (r < 0)
		return r;
	return v->follow ? CMD_OK : print_sum(c, v, reply);
}

const struct cmd cmd_policy_log = {
	.name = "log",
	.args = "[SANDBOX]",
	.summary = "Show what sandboxes wanted to reach, and what was decided",
	.doc = "PROXY: forward (by the proxy variables, requests are seen), forward-bypass (likewise, relayed as it is), transparent\n"
	       "(everything else). The full records are in sandboxes/ID/network.jsonl of the state directory.",
	.options = options,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
