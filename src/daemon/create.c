/* SPDX-License-Identifier: Apache-2.0
 *
 * create: see create.h.
 */
#include "daemon/create.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/admission.h"
#include "daemon/agents.h"
#include "daemon/field.h"
#include "daemon/host.h"
#include "daemon/ports.h"
#include "daemon/rules.h"
#include "daemon/settings.h"
#include "daemon/spare.h"
#include "daemon/template.h"

#define MEMORY_MIN_MIB 512
#define MEMORY_DEFAULT_MAX_MIB (32U * 1024)
#define BUILDER_MAX_MIB 4096U
#define ENV_MAX 512
#define ENV_MAX_BYTES (128U << 10)
#define NAME_TRIES 99

/* --- the plan --- */

static uint64_t host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (uint64_t)n : 1;
}

/* The profile's hint is what is taken where nothing is asked for, and the host has it. */
static int plan_size(const json_t *body, uint64_t hint_mib, struct store_row *row, struct err *err)
{
	uint64_t host = admission_total_mib(), cpus = 0, max_cpus = host_cpus();
	int r;

	row->memory_mib = host / 2 > MEMORY_DEFAULT_MAX_MIB ? MEMORY_DEFAULT_MAX_MIB : host / 2;
	if (row->memory_mib < MEMORY_MIN_MIB)
		row->memory_mib = MEMORY_MIN_MIB;
	if (hint_mib > 0 && hint_mib <= host)
		row->memory_mib = hint_mib;
	if (host < MEMORY_MIN_MIB)
		host = MEMORY_MIN_MIB;
	r = field_u64(body, "memory_mib", 0, UINT32_MAX, &row->memory_mib, err);
	if (r < 0)
		return r;
	if (row->memory_mib < MEMORY_MIN_MIB)
		return err_set(err, ERR_INVALID, 0, "%llu MiB of memory is too little: a sandbox needs at least %d MiB",
			       (unsigned long long)row->memory_mib, MEMORY_MIN_MIB);
	if (row->memory_mib > host)
		return err_set(err, ERR_INVALID, 0, "%llu MiB of memory is more than this host has: at most %llu MiB",
			       (unsigned long long)row->memory_mib, (unsigned long long)host);
	r = field_u64(body, "cpus", 0, UINT32_MAX, &cpus, err);
	if (r < 0)
		return r;
	if (cpus > max_cpus)
		return err_set(err, ERR_INVALID, 0,
			       "%llu processors are more than this host has: at most %llu (0: all)",
			       (unsigned long long)cpus, (unsigned long long)max_cpus);
	row->cpus = (unsigned)(cpus ? cpus : max_cpus);
	return 0;
}

static bool env_name_ok(const char *name)
{
	if (!*name || (*name >= '0' && *name <= '9'))
		return false;
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		      (*name >= '0' && *name <= '9') || *name == '_'))
			return false;
	return true;
}

static int plan_env(const json_t *body, struct store_row *row, struct err *err)
{
	json_t *env = json_object_get(body, "env"), *value;
	const char *name;
	size_t bytes = 0;
	char shown[200];

	if (env && !json_is_object(env))
		return err_set(err, ERR_INVALID, 0, "\"env\" must be an object of strings");
	row->env = env ? json_deep_copy(env) : json_object();
	if (!row->env)
		return err_errno(err, ENOMEM, "the request");
	if (json_object_size(row->env) > ENV_MAX)
		return err_set(err, ERR_INVALID, 0, "\"env\" may hold at most %d variables", ENV_MAX);
	json_object_foreach (row->env, name, value) {
		str_escape(shown, sizeof(shown), name, strlen(name));
		if (!env_name_ok(name))
			return err_set(err, ERR_INVALID, 0,
				       "bad environment variable name '%s': letters, digits and '_', not a digit first",
				       shown);
		if (!json_is_string(value))
			return err_set(err, ERR_INVALID, 0, "environment variable %s must be a string", shown);
		bytes += strlen(name) + json_string_length(value) + 2;
	}
	return bytes > ENV_MAX_BYTES
		       ? err_set(err, ERR_INVALID, 0, "\"env\" may hold at most %u KiB altogether", ENV_MAX_BYTES >> 10)
		       : 0;
}

static int plan_workspace(const struct env_dirs *dirs, const json_t *o, size_t i, struct workspace *ret,
			  struct err *err)
{
	static const char *const keys[] = { "path", "readonly", NULL };
	const char *path = NULL;
	bool readonly = false;
	char what[32];
	int r;

	(void)str_format(what, sizeof(what), "workspaces[%zu]", i);
	if (!json_is_object(o))
		return err_set(err, ERR_INVALID, 0, "%s must be an object {\"path\", \"readonly\"}", what);
	r = field_only(o, what, keys, err);
	if (r == 0)
		r = field_string(o, "path", true, &path, err);
	if (r == 0)
		r = field_bool(o, "readonly", false, &readonly, err);
	if (r == 0)
		r = workspace_resolve(path, i == 0, dirs, ret, err);
	if (r == 0)
		ret->readonly = readonly;
	return r;
}

static int plan_workspaces(const struct env_dirs *dirs, const json_t *body, struct store_row *row, struct err *err)
{
	const json_t *list = json_object_get(body, "workspaces");
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n == 0 || n > WORKSPACE_MAX)
		return err_set(err, ERR_INVALID, 0, "\"workspaces\" must list 1 to %d objects {\"path\", \"readonly\"}",
			       WORKSPACE_MAX);
	for (size_t i = 0; i < n; i++) {
		int r = plan_workspace(dirs, json_array_get(list, i), i, &row->workspaces[i], err);

		if (r < 0)
			return r;
		row->nworkspaces = i + 1;
	}
	return workspace_check_list(row->workspaces, n, err);
}

static int plan_fill(const struct env_dirs *dirs, const json_t *body, struct create_plan *p, struct err *err)
{
	static const char *const keys[] = { "agent", "workspaces", "name",  "memory_mib", "cpus",
					    "env",   "keep",       "reuse", "ports",      "cold",
					    NULL };
	const char *agent = NULL, *name = NULL;
	int r = field_only(body, "the request", keys, err);

	if (r == 0)
		r = field_string(body, "agent", true, &agent, err);
	if (r == 0)
		r = agents_find(dirs, agent, &p->profile, err);
	if (r == 0)
		r = field_string(body, "name", false, &name, err);
	if (r == 0 && name)
		r = name_check(name, err);
	if (r == 0)
		r = field_bool(body, "keep", false, &p->row.keep, err);
	if (r == 0)
		r = field_bool(body, "cold", false, &p->row.cold, err);
	if (r == 0)
		r = field_bool(body, "reuse", false, &p->reuse, err);
	if (r == 0)
		r = plan_size(body, (uint64_t)json_integer_value(json_object_get(p->profile, "memory_mib")), &p->row, err);
	if (r == 0)
		r = plan_env(body, &p->row, err);
	if (r == 0)
		r = ports_plan(json_object_get(body, "ports"), &p->row, err);
	if (r == 0)
		r = plan_workspaces(dirs, body, &p->row, err);
	if (r < 0)
		return r;
	p->named = name != NULL;
	(void)str_format(p->row.agent, sizeof(p->row.agent), "%s", agent);
	(void)str_format(p->row.name, sizeof(p->row.name), "%s", name ? name : "");
	return 0;
}

int create_plan(const struct env_dirs *dirs, const json_t *body, struct create_plan *ret, struct err *err)
{
	struct create_plan p = { 0 };
	int r = plan_fill(dirs, body, &p, err);

	if (r < 0) {
		create_plan_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

void create_plan_done(struct create_plan *p)
{
	store_row_done(&p->row);
	json_decref(p->profile);
}

/* --- the name --- */

static struct sandbox *by_name(struct daemon *d, const char *name)
{
	for (struct sandbox *s = d->sandboxes; s; s = s->next)
		if (str_eq(s->row.name, name))
			return s;
	return NULL;
}

static bool same_place(const struct sandbox *s, const struct store_row *row)
{
	return str_eq(s->row.agent, row->agent) && s->row.nworkspaces > 0 &&
	       str_eq(s->row.workspaces[0].path, row->workspaces[0].path);
}

static int taken(const struct sandbox *s, const struct store_row *row, struct err *err)
{
	const char *theirs = s->row.nworkspaces ? s->row.workspaces[0].path : "?";

	if (same_place(s, row))
		return err_set(
			err, ERR_CONFLICT, EEXIST,
			"sandbox '%s' for %.300s exists already: run it with `sbx run --name %s`, or give the new one "
			"another --name",
			s->row.name, theirs, s->row.name);
	if (!str_eq(s->row.agent, row->agent))
		return err_set(err, ERR_CONFLICT, EEXIST,
			       "sandbox '%s' exists already, for agent %s in %.300s: give another --name", s->row.name,
			       s->row.agent, theirs);
	return err_set(
		err, ERR_CONFLICT, EEXIST,
		"sandbox '%s' belongs to %.180s, not to %.180s: give another --name, or remove it with `sbx rm %s`",
		s->row.name, theirs, row->workspaces[0].path, s->row.name);
}

/* Settles the name. *ret_existing where the name belongs to this very place. */
static int choose_name(struct daemon *d, struct create_plan *p, struct sandbox **ret_existing, struct err *err)
{
	struct sandbox *s;

	*ret_existing = NULL;
	if (p->named) {
		s = by_name(d, p->row.name);
		if (!s)
			return 0;
		*ret_existing = same_place(s, &p->row) ? s : NULL;
		return *ret_existing ? 0 : taken(s, &p->row, err);
	}
	for (unsigned n = 1; n <= NAME_TRIES; n++) {
		name_default(p->row.name, p->row.agent, p->row.workspaces[0].path, n);
		s = by_name(d, p->row.name);
		if (s && same_place(s, &p->row))
			*ret_existing = s;
		if (!s || *ret_existing)
			return 0;
	}
	return err_set(err, ERR_CONFLICT, EEXIST, "too many sandboxes are called like '%s': give a --name",
		       p->row.name);
}

/* --- making it --- */

int create_identity(struct store_row *row, struct err *err)
{
	auto_free char *machine_id = str_random_hex(16);
	uint8_t u[16];
	char hex[33];

	if (!machine_id || getrandom(u, sizeof(u), 0) != (ssize_t)sizeof(u))
		return err_set(err, ERR_INTERNAL, EIO, "no random numbers");
	u[6] = (uint8_t)((u[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
	u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
	str_hex(hex, u, sizeof(u));
	(void)str_format(row->id, sizeof(row->id), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
			 hex + 20);
	(void)str_format(row->machine_id, sizeof(row->machine_id), "%s", machine_id);
	store_now(row->created_at);
	return 0;
}

/* Disk, then record, then the list; whatever fails takes back what was before it. */
static int make(struct daemon *d, struct store_row *row, uint64_t disk_bytes, struct sandbox **ret, struct err *err)
{
	char id[STORE_ID_SIZE];
	int r;

	memcpy(id, row->id, sizeof(id));
	r = disk_make(&d->disks, id, disk_bytes, err);
	spare_wanted(d);
	if (r < 0)
		return r;
	r = store_add(d->store, row, err);
	if (r < 0) {
		disk_abort(&d->disks, id);
		return r;
	}
	r = disk_commit(&d->disks, id, err);
	if (r == 0) {
		*ret = sandbox_new(d, row);
		if (*ret)
			return 0;
		r = err_errno(err, ENOMEM, "the sandbox");
		if (disk_retire(&d->disks, id, NULL) == 0)
			(void)disk_remove(&d->disks, id, NULL);
	} else {
		disk_abort(&d->disks, id);
	}
	(void)store_remove(d->store, id, NULL);
	return r;
}

/* Where it cannot be noted, the sandbox works until its template is replaced. */
static void hold_template(struct daemon *d, const json_t *profile, const char *id)
{
	auto_free char *holder = str_new("%s/%s", d->disks.path, id);
	struct err err;

	if (!holder || template_hold(d->dirs.cache, profile, id, holder, &err) < 0)
		log_warn("event=template_not_held id=%s error=\"%s\"", id, holder ? err.msg : "no memory");
}

static int create(struct daemon *d, struct create_plan *p, struct sandbox **ret, struct err *err)
{
	struct settings set;
	int r = settings_load(d->dirs.config, &set, NULL, err);

	if (r == 0)
		r = host_ready(d, err);
	if (r == 0)
		r = template_bind(d->dirs.cache, p->profile, &p->row.template, err);
	if (r == 0)
		r = create_identity(&p->row, err);
	if (r == 0)
		r = make(d, &p->row, set.disk_bytes, ret, err);
	if (r == 0)
		hold_template(d, p->profile, (*ret)->row.id);
	return r;
}

int create_builder(struct daemon *d, const char *agent, struct sandbox **ret, struct err *err)
{
	struct store_row row = { .cpus = (unsigned)host_cpus(), .memory_mib = admission_total_mib() / 2 };
	struct settings set;
	int r = settings_load(d->dirs.config, &set, NULL, err);

	if (row.memory_mib > BUILDER_MAX_MIB)
		row.memory_mib = BUILDER_MAX_MIB;
	if (row.memory_mib < MEMORY_MIN_MIB)
		row.memory_mib = MEMORY_MIN_MIB;
	row.env = json_object();
	(void)str_format(row.agent, sizeof(row.agent), "%s", agent);
	/* No name that a user can give. One that is on its way out, of a build that was killed, is not waited for. */
	(void)str_format(row.name, sizeof(row.name), ".layer-%s", agent);
	for (unsigned n = 2; n <= NAME_TRIES && by_name(d, row.name); n++)
		(void)str_format(row.name, sizeof(row.name), ".layer-%s.%u", agent, n);
	if (r == 0)
		r = template_bind(d->dirs.cache, NULL, &row.template, err);
	if (r == 0)
		r = create_identity(&row, err);
	if (r == 0)
		r = make(d, &row, set.disk_bytes, ret, err);
	store_row_done(&row);
	return r;
}

int create_sandbox(struct daemon *d, const json_t *body, struct sandbox **ret, bool *ret_existed, struct err *err)
{
	struct create_plan p;
	struct sandbox *existing = NULL;
	int r = create_plan(&d->dirs, body, &p, err);

	if (r < 0)
		return r;
	r = choose_name(d, &p, &existing, err);
	if (r == 0 && existing && !p.reuse)
		r = taken(existing, &p.row, err);
	if (r == 0 && !existing)
		r = rules_ready(d, err);
	if (r == 0 && !existing)
		r = create(d, &p, ret, err);
	if (r == 0 && existing)
		*ret = existing;
	*ret_existed = existing != NULL;
	create_plan_done(&p);
	if (r == 0 && !existing)
		log_info("event=created id=%s name=%s", (*ret)->row.id, (*ret)->row.name);
	return r;
}
