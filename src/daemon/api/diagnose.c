/* SPDX-License-Identifier: Apache-2.0
 *
 * diagnose: GET /v1/diagnose: facts, no judgement. Running machines are asked all at once, each within REACH_MS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/env.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/accelerator.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/rules.h"
#include "daemon/sandbox.h"
#include "daemon/settings.h"
#include "daemon/template.h"
#include "daemon/vmlink.h"

#define REACH_MS 2000

struct diagnosis {
	struct request *request;
	json_t *facts; /* owned */
	unsigned pending;
};

struct question {
	struct diagnosis *diagnosis;
	json_t *entry; /* ref */
};

static json_t *directory(const char *path)
{
	struct statvfs v;

	if (statvfs(path, &v) < 0)
		return json_pack("{s:s, s:b, s:n, s:n}", "path", path, "writable", 0, "free_bytes", "total_bytes");
	return json_pack("{s:s, s:b, s:I, s:I}", "path", path, "writable", access(path, W_OK | X_OK) == 0, "free_bytes",
			 (json_int_t)((uint64_t)v.f_bavail * v.f_frsize), "total_bytes",
			 (json_int_t)((uint64_t)v.f_blocks * v.f_frsize));
}

static json_t *directories(const struct env_dirs *dirs)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "state", directory(dirs->state), "cache", directory(dirs->cache),
			 "config", directory(dirs->config), "runtime", directory(dirs->runtime));
}

/* A program of somebody else: PATH, and where Debian keeps those of the administrator. Owned; NULL: not there. */
static char *find_program(const char *name)
{
	const char *path = env_get("PATH");
	auto_free char *all = str_new("%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	char *rest = all, *dir;

	while (rest && (dir = strsep(&rest, ":"))) {
		auto_free char *at = str_new("%s/%s", dir, name);

		if (at && dir[0] == '/' && access(at, X_OK) == 0)
			return TAKE_PTR(at);
	}
	return NULL;
}

static json_t *programs(void)
{
	static const char *const ours[] = { "sbx-vm", "sbx-fs", "sbx-proxy", "sbx-keeper", "sbx-keyring", "sbx-image" };
	static const char *const others[] = { "qemu-system-x86_64", "bwrap", "mke2fs", "mmdebstrap" };
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		auto_free char *path = env_program(ours[i]);

		(void)json_object_set_new(o, ours[i],
					  path && access(path, X_OK) == 0 ? json_string(path) : json_null());
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		auto_free char *path = find_program(others[i]);

		(void)json_object_set_new(o, others[i], path ? json_string(path) : json_null());
	}
	return o;
}

static json_t *accelerator(struct daemon *d)
{
	struct settings set;
	struct err err;

	if (settings_load(d->dirs.config, &set, NULL, &err) < 0)
		return json_pack("{s:o}", "error", field_error(&err));
	return accelerator_json(set.accelerator, d->dirs.cache);
}

static json_t *template(struct daemon *d)
{
	struct err err;
	json_t *list, *first;

	if (template_list(d->dirs.cache, &list, &err) < 0)
		return json_pack("{s:o}", "error", field_error(&err));
	first = json_array_get(json_object_get(list, "templates"), 0);
	first = first ? json_incref(first) : json_null();
	json_decref(list);
	return first;
}

static void one_less(struct diagnosis *g)
{
	if (--g->pending > 0)
		return;
	request_reply(g->request, 200, g->facts);
	free(g);
}

static void on_reach(void *user, json_t *reply, const struct err *err)
{
	struct question *q = user;

	if (err)
		(void)json_object_set_new(q->entry, "reach", json_pack("{s:o}", "error", field_error(err)));
	else
		(void)json_object_set(q->entry, "reach", reply);
	json_decref(q->entry);
	one_less(q->diagnosis);
	free(q);
}

static void ask(struct diagnosis *g, struct sandbox *s, json_t *list)
{
	struct question *q = calloc(1, sizeof(*q));
	struct vmlink_call call;
	struct err err;

	if (!q)
		return;
	q->diagnosis = g;
	q->entry = json_pack("{s:s, s:s, s:s, s:s}", "name", s->row.name, "id", s->row.id, "status", sandbox_status(s),
			     "accel", s->accel);
	(void)json_array_append(list, q->entry);
	g->pending++;
	call = sandbox_call(s, json_pack("{s:s}", "op", "reach"), REACH_MS);
	if (vmlink_ask(&call, on_reach, q, &err) < 0)
		on_reach(q, NULL, &err);
}

static json_t *policy(const struct daemon *d)
{
	const struct policy *p = rules_policy(d);

	return json_pack("{s:s?, s:i, s:I}", "preset", p->preset[0] ? p->preset : NULL, "rules", (int)p->rules.n, "generation",
			 (json_int_t)p->generation);
}

void api_diagnose(struct request *r)
{
	struct daemon *d = r->daemon;
	struct diagnosis *g = calloc(1, sizeof(*g));
	json_t *list = json_array();
	struct err err;

	if (g)
		g->facts = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "version", SBX_VERSION, "pid",
				     (int)getpid(), "directories", directories(&d->dirs), "accelerator", accelerator(d),
				     "programs", programs(), "template", template(d), "policy", policy(d),
				     "sandboxes", list);
	if (!g || !g->facts) {
		free(g);
		(void)err_errno(&err, ENOMEM, "diagnose");
		request_fail(r, &err);
		return;
	}
	g->request = r;
	g->pending = 1; /* ourselves, until all were asked */
	for (struct sandbox *s = d->sandboxes; s; s = s->next)
		if (s->watch)
			ask(g, s, list);
	one_less(g);
}
