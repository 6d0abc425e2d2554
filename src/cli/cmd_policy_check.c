/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_policy_check: `sbx policy check` and `sbx policy explain`: what the policy says about a destination, and why.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/words.h"

struct values {
	const char *sandbox, *method, *path, *address;
	bool websocket, json;
};

enum { KEY_SANDBOX = 0x100, KEY_METHOD, KEY_PATH, KEY_ADDRESS, KEY_WEBSOCKET, KEY_JSON };

static const struct argp_option options[] = {
	{ "sandbox", KEY_SANDBOX, "NAME", 0, "For this sandbox, with its own rules", 0 },
	{ "method", KEY_METHOD, "METHOD", 0, "For a request with this method (default with a path: GET)", 0 },
	{ "path", KEY_PATH, "PATH", 0, "For a request to this path", 0 },
	{ "websocket", KEY_WEBSOCKET, NULL, 0, "For the handshake of a WebSocket", 0 },
	{ "address", KEY_ADDRESS, "ADDRESS", 0, "Where the name resolves to this address", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
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
	case KEY_ADDRESS:
		v->address = arg;
		return 0;
	case KEY_WEBSOCKET:
		v->websocket = true;
		return 0;
	default:
		v->json = true;
		return 0;
	}
}

static int ask(struct cli *c, const struct cmd_args *a, const struct values *v, const char *target, json_t **ret)
{
	auto_free char *text = NULL;
	auto_(json) json_t *body = json_object();
	int r = words_target(c, a, &text);

	if (r == 0)
		r = words_put(c, body, "target", text);
	if (r == 0)
		r = words_put(c, body, "sandbox", v->sandbox);
	if (r == 0)
		r = words_put(c, body, "method", v->method);
	if (r == 0)
		r = words_put(c, body, "path", v->path);
	if (r == 0)
		r = words_put(c, body, "address", v->address);
	if (r == 0 && v->websocket)
		(void)json_object_set_new(body, "websocket", json_true());
	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .body = body }, ret);
	return r;
}

static bool is_true(const json_t *v, const char *key)
{
	return json_is_true(json_object_get(v, key));
}

static void print_verdict(const json_t *v)
{
	const char *action = cli_str(v, "action");

	(void)printf("%s: %s\n", is_true(v, "allowed") ? "Allowed" : str_eq(action, "ask") ? "Asked about" : "Denied",
		     cli_str(v, "target"));
	if (!is_true(v, "allowed"))
		(void)printf("Reason: %s\n", cli_str(v, "explanation"));
}

static int verdict_status(const json_t *v)
{
	return is_true(v, "allowed") ? CMD_OK : CMD_FAILED;
}

static int run_check(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL;
	int r = ask(c, a, values, "/v1/policy/check", &v);

	if (r < 0)
		return r;
	if (((struct values *)values)->json) {
		r = cli_print_json(c, v);
		return r < 0 ? r : verdict_status(v);
	}
	print_verdict(v);
	(void)fflush(stdout);
	if (cli_str(v, "remedy")[0])
		cli_say("To allow it:\n  %s", cli_str(v, "remedy"));
	return verdict_status(v);
}

static const char *tls_words(const json_t *v)
{
	if (is_true(v, "splice"))
		return "never terminated";
	if (is_true(v, "needs_inspection"))
		return str_eq(cli_str(v, "scheme"), "https") ? "terminated, so that requests can be seen" : "requests are seen";
	return str_eq(cli_str(v, "scheme"), "https") ? "relayed as it is, after its server name was checked" : "-";
}

static void print_matching(const json_t *list)
{
	const json_t *rule;
	size_t i;

	(void)printf("Rules that concern it:%s\n", json_array_size(list) == 0 ? " none" : "");
	json_array_foreach(list, i, rule) {
		const json_t *methods = json_object_get(rule, "methods");

		(void)printf("  %-8s %s %s", cli_str(rule, "id"), cli_str(rule, "action"), cli_str(rule, "resource"));
		for (size_t k = 0; k < json_array_size(methods); k++)
			(void)printf("%s%s", k ? "," : " ", json_string_value(json_array_get(methods, k)));
		(void)printf("%s%s%s", json_object_get(rule, "websocket") ? " no WebSocket" : "",
			     cli_str(rule, "expect")[0] ? " expects " : "", cli_str(rule, "expect"));
		(void)printf("%s%s%s%s\n", cli_str(rule, "path")[0] ? " " : "", cli_str(rule, "path"),
			     cli_str(rule, "sandbox")[0] ? ", sandbox " : "", cli_str(rule, "sandbox"));
	}
}

static int run_explain(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *v = NULL;
	int r = ask(c, a, values, "/v1/policy/explain", &v);

	if (r < 0)
		return r;
	if (((struct values *)values)->json) {
		r = cli_print_json(c, v);
		return r < 0 ? r : verdict_status(v);
	}
	print_verdict(v);
	if (is_true(v, "allowed"))
		(void)printf("Reason: %s\n", cli_str(v, "explanation"));
	(void)printf("Rule:   %s\nOrigin: %s\nAs:     %s\nTLS:    %s\n", cli_str(v, "rule"), cli_str(v, "origin"),
		     cli_str(v, "scheme"), tls_words(v));
	if (cli_str(v, "expect")[0])
		(void)printf("Bytes:  only what begins as %s does, on both sides\n", cli_str(v, "expect"));
	if (cli_str(v, "raw_tcp")[0])
		(void)printf("Other bytes than HTTP and TLS: %s\n", cli_str(v, "raw_tcp"));
	if (is_true(v, "exfiltration"))
		(void)printf("Anybody can have an account behind this name: data can be carried out there.\n");
	print_matching(json_object_get(v, "matching"));
	if (cli_str(v, "remedy")[0])
		(void)printf("To allow it: %s\n", cli_str(v, "remedy"));
	return verdict_status(v);
}

#define DOC                                                                                                         \
	"TARGET is a host, HOST:PORT (default: 443), an address, a URL, or tcp HOST:PORT for raw bytes. Nothing is\n" \
	"resolved or dialled. The exit status is 1 where it is not allowed."

const struct cmd cmd_policy_check = {
	.name = "check",
	.args = "[network] TARGET",
	.summary = "Say whether a destination is allowed",
	.doc = DOC,
	.options = options,
	.min_args = 1,
	.max_args = WORDS_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run_check,
};

const struct cmd cmd_policy_explain = {
	.name = "explain",
	.args = "[network] TARGET",
	.summary = "Say whether a destination is allowed, by which rule, and what else concerns it",
	.doc = DOC,
	.options = options,
	.min_args = 1,
	.max_args = WORDS_MAX,
	.size = sizeof(struct values),
	.option = option,
	.run = run_explain,
};
