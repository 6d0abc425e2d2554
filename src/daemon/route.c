/* SPDX-License-Identifier: Apache-2.0
 *
 * route: see route.h. The table below is the API's list of operations; docs/api.md describes each.
 */
#include "daemon/route.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"

/* `*` in a pattern stands for {name}. */
static const struct {
	const char *method;
	const char *pattern;
	void (*handler)(struct request *r);
} routes[] = {
	{ "GET", "/v1/version", api_version },           { "GET", "/v1/sandboxes", api_list },
	{ "POST", "/v1/sandboxes", api_create },         { "GET", "/v1/sandboxes/*", api_show },
	{ "DELETE", "/v1/sandboxes/*", api_delete },     { "POST", "/v1/sandboxes/*/start", api_start },
	{ "POST", "/v1/sandboxes/*/stop", api_stop },    { "POST", "/v1/sandboxes/*/keep", api_keep },
	{ "GET", "/v1/sandboxes/*/status", api_status }, { "POST", "/v1/templates/base", api_template_ensure },
	{ "GET", "/v1/templates", api_template_list },   { "GET", "/v1/settings", api_settings },
	{ "GET", "/v1/sandboxes/*/ports", api_ports },   { "POST", "/v1/sandboxes/*/ports", api_ports_change },
	{ "POST", "/v1/sandboxes/*/pause", api_pause },  { "POST", "/v1/sandboxes/*/resume", api_resume },
	{ "POST", "/v1/sandboxes/*/checkpoint", api_checkpoint }, { "GET", "/v1/sandboxes/*/checkpoints", api_checkpoints },
	{ "POST", "/v1/sandboxes/*/checkpoints/remove", api_checkpoint_remove },
	{ "POST", "/v1/sandboxes/*/restore", api_restore }, { "POST", "/v1/sandboxes/*/fork", api_fork },
	{ "GET", "/v1/diagnose", api_diagnose },         { "POST", "/v1/shutdown", api_shutdown },
	{ "GET", "/v1/policy", api_policy },             { "POST", "/v1/policy/init", api_policy_init },
	{ "POST", "/v1/policy/reset", api_policy_reset }, { "POST", "/v1/policy/check", api_policy_check },
	{ "POST", "/v1/policy/explain", api_policy_explain }, { "GET", "/v1/policy/pending", api_policy_pending },
	{ "POST", "/v1/policy/answer", api_policy_answer }, { "GET", "/v1/policy/rules", api_rules },
	{ "POST", "/v1/policy/rules", api_rules_add },   { "POST", "/v1/policy/rules/remove", api_rules_remove },
	{ "POST", "/v1/policy/log", api_policy_log },   { "GET", "/v1/agents", api_agents },
	{ "GET", "/v1/agents/*", api_agent },            { "POST", "/v1/agents/*/layer", api_agent_layer },
	{ "DELETE", "/v1/policy/rules/*", api_rule_delete },
};

static int parse_query(struct request *r, const char *query, struct err *err)
{
	if (str_eq(query, "force=true"))
		r->force = true;
	else if (*query && !str_eq(query, "force=false"))
		return err_set(err, ERR_INVALID, 0, "unknown query: only force=true is known");
	return 0;
}

int route_parse(struct request *r, const struct http1_head *head, struct err *err)
{
	const char *query = strchr(head->target, '?');
	size_t n = query ? (size_t)(query - head->target) : strlen(head->target);

	(void)str_format(r->method, sizeof(r->method), "%s", head->method);
	if (str_format(r->path, sizeof(r->path), "%.*s", (int)n, head->target) < 0)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "the path is too long");
	if (query && !str_eq(head->method, "DELETE"))
		return err_set(err, ERR_INVALID, 0, "only DELETE takes a query");
	return query ? parse_query(r, query + 1, err) : 0;
}

int route_body(struct request *r, const char *text, size_t n, struct err *err)
{
	json_error_t je;

	if (n > 0 && (str_eq(r->method, "GET") || str_eq(r->method, "DELETE")))
		return err_set(err, ERR_INVALID, 0, "%s takes no body", r->method);
	r->body = n > 0 ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &je) : json_object();
	if (!r->body && n == 0)
		return err_errno(err, ENOMEM, "the request");
	if (!r->body)
		return err_set(err, ERR_INVALID, 0, "the body is not JSON: line %d, column %d: %s", je.line, je.column,
			       je.text);
	return json_is_object(r->body) ? 0 : err_set(err, ERR_INVALID, 0, "the body must be a JSON object");
}

/* Whether path fits the pattern; the part that `*` stands for is [*ret_name, *ret_name + *ret_n). */
static bool fits(const char *pattern, const char *path, const char **ret_name, size_t *ret_n)
{
	for (; *pattern; pattern++) {
		if (*pattern == '*') {
			*ret_name = path;
			*ret_n = strcspn(path, "/");
			if (*ret_n == 0)
				return false;
			path += *ret_n;
		} else if (*pattern != *path++) {
			return false;
		}
	}
	return *path == 0;
}

void route_run(struct request *r)
{
	struct err err;
	const char *name = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!str_eq(routes[i].method, r->method) || !fits(routes[i].pattern, r->path, &name, &n))
			continue;
		if (http1_decode(r->name, sizeof(r->name), name, n) < 0) {
			(void)err_set(&err, ERR_INVALID, 0, "the name in the path is badly encoded or too long");
			request_fail(r, &err);
			return;
		}
		routes[i].handler(r);
		return;
	}
	(void)err_set(&err, ERR_NOT_FOUND, 0, "there is no operation %s %.200s: see docs/api.md", r->method, r->path);
	request_fail(r, &err);
}
