/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_diagnose: `sbx diagnose`, whether sandboxes can work here, and what each process of a running one can reach.
 * It starts no daemon: a broken installation is what it is for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/checks.h"
#include "cli/keeper.h"
#include "cli/report.h"
#include "cli/storekey.h"

#define DIAGNOSE_MS 30000

struct values {
	bool json;
};

enum { KEY_JSON = 0x100 };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ "output", 'o', "FORMAT", 0, "text or json", 0 },
	{ 0 },
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	if (key == 'o' && !str_eq(arg, "json") && !str_eq(arg, "text"))
		return err_set(err, ERR_INVALID, EINVAL, "--output '%.50s' is neither text nor json", arg);
	v->json = key != 'o' || str_eq(arg, "json");
	return 0;
}

/* What the daemon says; NULL where it does not run or does not answer (then the error stays in c->err). */
static json_t *ask_daemon(struct cli *c, uint64_t *ret_ms)
{
	struct api_req req = {
		.method = "GET", .target = "/v1/diagnose", .timeout_ms = DIAGNOSE_MS, .only_look = true
	};
	uint64_t before = io_now_ms();
	json_t *v = NULL;

	(void)api_call(c, &req, &v);
	*ret_ms = io_now_ms() - before;
	return v;
}

static void accelerator(struct report *r, const json_t *facts)
{
	const json_t *a = json_object_get(facts, "accelerator");

	bool kvm = str_eq(cli_str(a, "expected"), "kvm");

	r->group = "Platform";
	report_add(r, kvm ? REPORT_PASS : REPORT_WARN, "virtualization", "%s is used%s: %s",
		   kvm ? "KVM" : "software emulation", kvm ? "" : " (slower, same isolation)", cli_str(a, "reason"));
}

static void connection(struct cli *c, struct report *r, const json_t *facts, uint64_t ms)
{
	r->group = "Connection";
	if (facts) {
		bool same = str_eq(cli_str(facts, "version"), SBX_VERSION);

		report_add(r, REPORT_PASS, "sandboxd", "answers within %llu ms", (unsigned long long)ms);
		report_add(r, same ? REPORT_PASS : REPORT_WARN, "version", same ? "sbx and sandboxd are both v%s" : "sbx is v%s, sandboxd is v%s",
			   SBX_VERSION, cli_str(facts, "version"));
		if (!same)
			report_try(r, "sbx daemon stop");
	} else if (c->err.errnum == ECONNREFUSED) {
		report_add(r, REPORT_PASS, "sandboxd", "is not running; the next command that needs it starts it");
	} else {
		report_add(r, REPORT_FAIL, "sandboxd", "%s", c->err.msg);
		report_try(r, "sbx daemon stop");
	}
	c->err = (struct err){ 0 };
	c->hint[0] = 0;
}

/* "own user, mnt, net" or "host net": which namespaces of a process are of which side. */
static void list_namespaces(struct buf *b, const json_t *ns, const char *side)
{
	const char *name;
	json_t *v;
	bool first = true;

	json_object_foreach((json_t *)(uintptr_t)ns, name, v) {
		if (!json_string_value(v) || !str_eq(json_string_value(v), side))
			continue;
		(void)buf_printf(b, "%s%s", first ? "" : " ", name);
		first = false;
	}
	if (first)
		(void)buf_append_str(b, "none");
}

/* What counts as one thing in a list: libraries together, sockets and pipes without their numbers. */
static void kind_of(const json_t *item, char *dst, size_t size)
{
	const char *s = json_string_value(item) ? json_string_value(item) : "?";
	bool library = str_starts(s, "ro /lib") || str_starts(s, "ro /usr/lib");
	int n = strstr(s, ":[") ? (int)(strstr(s, ":[") - s) : (int)strlen(s);

	if (library)
		(void)str_format(dst, size, "ro libraries");
	else
		(void)str_format(dst, size, "%.*s", n, s);
}

/* Each kind once, with its number where there are several. */
static void list_kinds(struct buf *b, const json_t *list)
{
	char kind[512], other[512];
	const json_t *v, *w;
	size_t i, k;
	bool first = true;

	json_array_foreach(list, i, v) {
		unsigned before = 0, all = 0;

		kind_of(v, kind, sizeof(kind));
		json_array_foreach(list, k, w) {
			kind_of(w, other, sizeof(other));
			before += k < i && str_eq(kind, other);
			all += str_eq(kind, other);
		}
		if (before)
			continue;
		(void)buf_printf(b, first ? "%s" : ", %s", kind);
		if (all > 1)
			(void)buf_printf(b, " (%u)", all);
		first = false;
	}
	if (first)
		(void)buf_append_str(b, "nothing");
}

static void one_process(struct report *r, const json_t *p)
{
	const json_t *ns = json_object_get(p, "namespaces");
	struct buf b;

	buf_init(&b, 65536);
	(void)buf_append_str(&b, "own namespaces: ");
	list_namespaces(&b, ns, "own");
	(void)buf_append_str(&b, "; shared with the host: ");
	list_namespaces(&b, ns, "host");
	report_detail(r, "%s (process %lld): %s", cli_str(p, "process"),
		      (long long)json_integer_value(json_object_get(p, "pid")), buf_cstr(&b) ? buf_cstr(&b) : "");
	report_detail(r, "  system call filter: %s; new privileges: %s; capabilities: %s",
		      json_is_true(json_object_get(p, "seccomp")) ? "yes" : "no",
		      json_is_true(json_object_get(p, "no_new_privs")) ? "never" : "possible", cli_str(p, "capabilities"));
	buf_consume(&b, buf_len(&b));
	list_kinds(&b, json_object_get(p, "mounts"));
	report_detail(r, "  sees: %s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_consume(&b, buf_len(&b));
	list_kinds(&b, json_object_get(p, "descriptors"));
	report_detail(r, "  holds: %s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_done(&b);
}

static void network(struct report *r, const json_t *facts)
{
	const json_t *p = json_object_get(facts, "policy");

	if (!p)
		return;
	r->group = "Network";
	if (cli_str(p, "preset")[0]) {
		report_add(r, REPORT_PASS, "policy", "%s, %lld rules", cli_str(p, "preset"),
			   (long long)json_integer_value(json_object_get(p, "rules")));
	} else {
		report_add(r, REPORT_WARN, "policy", "none was chosen yet, so no sandbox starts");
		report_try(r, "sbx policy init open|balanced|locked-down");
	}
}

static void sandboxes(struct report *r, const json_t *facts)
{
	const json_t *v, *p;
	size_t i, k;

	r->group = "Sandboxes";
	json_array_foreach(json_object_get(facts, "sandboxes"), i, v) {
		const json_t *reach = json_object_get(v, "reach"), *e = json_object_get(reach, "error");
		const json_t *list = json_object_get(reach, "processes");

		if (e || !list) {
			report_add(r, REPORT_FAIL, cli_str(v, "name"), "%s",
				   cli_str(e, "message")[0] ? cli_str(e, "message") : "does not answer");
			report_try(r, "sbx stop %s", cli_str(v, "name"));
			continue;
		}
		report_add(r, REPORT_PASS, cli_str(v, "name"), "running (%s)", cli_str(v, "accel"));
		json_array_foreach(list, k, p)
			one_process(r, p);
	}
}

static int finish(struct cli *c, const struct report *r, const json_t *facts, bool json)
{
	auto_(json) json_t *out = NULL;
	int status = r->counts[REPORT_FAIL] ? CMD_FAILED : CMD_OK, printed;

	if (!json) {
		report_print(r);
		return status;
	}
	out = report_json(r);
	if (!out)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (facts)
		(void)json_object_set(out, "daemon", (json_t *)(uintptr_t)facts);
	printed = cli_print_json(c, out);
	return printed < 0 ? printed : status;
}

/* Without starting a keeper where there is nothing to keep. */
static void secrets(struct cli *c, struct report *r)
{
	struct storemsg_status s;
	struct err kept = c->err;
	char text[600];

	if (!keeper_has_any(c)) {
		report_add(r, REPORT_PASS, "secrets", "none");
	} else if (storekey_status(c, &s) < 0) {
		report_add(r, REPORT_FAIL, "secrets", "%s", c->err.msg);
	} else {
		storekey_describe(&s, text, sizeof(text));
		report_add(r, s.locked ? REPORT_WARN : REPORT_PASS, "secrets", "%s%s", s.locked ? "" : "kept ", text);
	}
	c->err = kept;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *facts = NULL;
	struct report r;
	uint64_t ms = 0;
	int status;

	if (report_init(&r) < 0)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	facts = ask_daemon(c, &ms);
	checks_installation(&r);
	checks_platform(&r, !facts);
	if (facts)
		accelerator(&r, facts);
	checks_storage(&r, &c->dirs);
	secrets(c, &r);
	connection(c, &r, facts, ms);
	network(&r, facts);
	sandboxes(&r, facts);
	status = finish(c, &r, facts, ((struct values *)values)->json);
	report_done(&r);
	return status;
}

const struct cmd cmd_diagnose = {
	.name = "diagnose",
	.args = "",
	.summary = "Check whether sandboxes can work here, and show what running ones can reach",
	.doc = "The exit status is 1 where a check failed.",
	.options = options,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
