/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_add: `sbx policy allow` and `sbx policy deny`: rules, one per resource, in force at once.
 */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/words.h"

struct values {
	const char *sandbox, *method, *path, *expect;
	bool ask, no_websocket, json;
};

enum { KEY_SANDBOX = 0x100, KEY_METHOD, KEY_PATH, KEY_ASK, KEY_NO_WEBSOCKET, KEY_EXPECT, KEY_JSON };

#define COMMON_OPTIONS                                                                                           \
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "For this sandbox only (default: for all)", 0 },                    \
		{ "method", KEY_METHOD, "LIST", 0, "Only requests with these methods, such as GET,HEAD", 0 },    \
		{ "path", KEY_PATH, "PATTERN", 0, "Only requests to these paths, such as '/v1/**'", 0 },         \
	{                                                                                                        \
		"json", KEY_JSON, NULL, 0, "Print JSON", 0                                                       \
	}

static const struct argp_option allow_options[] = {
	COMMON_OPTIONS,
	{ "ask", KEY_ASK, NULL, 0, "Ask each time: sbx policy pending, approve, reject", 0 },
	{ "no-websocket", KEY_NO_WEBSOCKET, NULL, 0, "Requests, but no WebSocket", 0 },
	{ "expect", KEY_EXPECT, "ssh", 0, "With tcp HOST:PORT: only what begins as SSH does, on both sides", 0 },
	{ 0 },
};
static const struct argp_option deny_options[] = {
	COMMON_OPTIONS,
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	switch (key) {
	case KEY_SANDBOX:
		v->sandbox = arg;
		return 0;
	case KEY_METHOD:
		v->method = arg;
		return 0;
	case KEY_PATH:
		v->path = arg;
		return 0;
	case KEY_ASK:
		v->ask = true;
		return 0;
	case KEY_NO_WEBSOCKET:
		v->no_websocket = true;
		return 0;
	case KEY_EXPECT:
		v->expect = arg;
		return 0;
	default:
		v->json = true;
		return 0;
	}
}

static int make_body(struct cli *c, const struct cmd_args *a, const struct values *v, const char *action, json_t **ret)
{
	auto_(json) json_t *body = json_pack("{s:s}", "action", action);
	json_t *resources = NULL, *methods = NULL;
	int r = body ? words_resources(c, a, &resources) : err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	(void)json_object_set_new(body, "resources", resources);
	if (v->method) {
		methods = words_split(v->method);
		if (json_object_set_new(body, "methods", methods) < 0)
			return err_set(&c->err, ERR_INVALID, EILSEQ, "--method must be UTF-8");
	}
	r = words_put(c, body, "sandbox", v->sandbox);
	if (r == 0)
		r = words_put(c, body, "path", v->path);
	if (r == 0)
		r = words_put(c, body, "expect", v->expect);
	if (r == 0)
		r = words_put(c, body, "websocket", v->no_websocket ? "deny" : NULL);
	if (r == 0)
		*ret = TAKE_PTR(body);
	return r;
}

/* "Rule r3: allow example.com:443", and what else there is to say of it. */
static void report(const json_t *one)
{
	const json_t *rule = json_object_get(one, "rule");
	const char *sandbox = cli_str(rule, "sandbox"), *path = cli_str(rule, "path");
	const char *expect = cli_str(rule, "expect");
	const json_t *methods = json_object_get(rule, "methods");

	(void)printf("%s  %s %s", cli_str(rule, "id"), cli_str(rule, "action"), cli_str(rule, "resource"));
	for (size_t i = 0; i < json_array_size(methods); i++)
		(void)printf("%s%s", i ? "," : "  methods ", json_string_value(json_array_get(methods, i)));
	(void)printf("%s%s%s", json_object_get(rule, "websocket") ? "  no WebSocket" : "", expect[0] ? "  expects " : "", expect);
	(void)printf("%s%s%s%s%s\n", path[0] ? "  path " : "", path, sandbox[0] ? "  sandbox " : "", sandbox,
		     json_is_true(json_object_get(one, "existed")) ? "  (was there already)" : "");
	(void)fflush(stdout);
	if (cli_str(one, "replaced")[0])
		cli_say("Note: it takes the place of rule %s, which said otherwise", cli_str(one, "replaced"));
	if (cli_str(one, "denied_by")[0])
		cli_say("Note: rule %s still denies it, and a deny goes before every allow:\n  sbx policy rm network --id %s",
			cli_str(one, "denied_by"), cli_str(one, "denied_by"));
}

static int add(struct cli *c, const struct cmd_args *a, const struct values *v, const char *action)
{
	auto_(json) json_t *body = NULL, *reply = NULL;
	const json_t *one;
	size_t i;
	int r = make_body(c, a, v, action, &body);

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/rules", .body = body }, &reply);
	if (r < 0)
		return r;
	if (v->json)
		return cli_print_json(c, reply);
	json_array_foreach(json_object_get(reply, "rules"), i, one)
		report(one);
	return CMD_OK;
}

static int run_allow(struct cli *c, const struct cmd_args *a, void *values)
{
	return add(c, a, values, ((const struct values *)values)->ask ? "ask" : "allow");
}

static int run_deny(struct cli *c, const struct cmd_args *a, void *values)
{
	return add(c, a, values, "deny");
}

#define DOC                                                                                                           \
	"Resources: example.com, example.com:443, *.example.com (one label), **.example.com (any depth), an address,\n" \
	"a range such as 10.1.0.0/16, localhost:PORT (this host's service, in a sandbox host.docker.internal:PORT),\n"  \
	"tcp example.com:22 (any bytes, not only HTTP and TLS). In force at once, also in sandboxes that run.\n"

const struct cmd cmd_policy_allow = {
	.name = "allow",
	.args = "[network] RESOURCE[,RESOURCE...]",
	.summary = "Let sandboxes reach something",
	.doc = DOC "A deny goes before every allow.",
	.options = allow_options,
	.min_args = 1,
	.max_args = WORDS_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run_allow,
};

const struct cmd cmd_policy_deny = {
	.name = "deny",
	.args = "[network] RESOURCE[,RESOURCE...]",
	.summary = "Keep sandboxes from something, whatever else allows it",
	.doc = DOC "** is everything.",
	.options = deny_options,
	.min_args = 1,
	.max_args = WORDS_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run_deny,
};
