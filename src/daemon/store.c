/* SPDX-License-Identifier: Apache-2.0
 *
 * store: see store.h. Every SQLite code is turned into a struct err in one place, `failed`.
 */
#include "daemon/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "base/str.h"

enum statement {
	EACH_SANDBOX,
	EACH_WORKSPACE,
	EACH_PORT,
	ADD_SANDBOX,
	ADD_WORKSPACE,
	ADD_PORT,
	REMOVE_PORTS,
	REMOVE,
	SET_KEEP,
	SET_LAST_USED,
	GET_POLICY,
	EACH_RULE,
	EACH_HIDDEN,
	ADD_RULE,
	REMOVE_RULE,
	ADD_HIDDEN,
	CHANGE_POLICY,
	STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
	[EACH_SANDBOX] =
		"SELECT id, name, agent, cpus, memory_mib, env, created_at, last_used_at, machine_id, template, keep, "
		"cold FROM sandboxes ORDER BY name",
	[EACH_WORKSPACE] = "SELECT path, readonly, type FROM workspaces WHERE sandbox = ?1 ORDER BY idx",
	[ADD_SANDBOX] =
		"INSERT INTO sandboxes (id, name, agent, cpus, memory_mib, env, created_at, last_used_at, machine_id, "
		"template, keep, cold) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[ADD_WORKSPACE] = "INSERT INTO workspaces (sandbox, idx, path, readonly, type) VALUES (?1, ?2, ?3, ?4, ?5)",
	[EACH_PORT] = "SELECT host_ip, host_port, sandbox_port, chosen FROM ports WHERE sandbox = ?1 ORDER BY idx",
	[ADD_PORT] = "INSERT INTO ports (sandbox, idx, host_ip, host_port, sandbox_port, chosen) "
		     "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[REMOVE_PORTS] = "DELETE FROM ports WHERE sandbox = ?1",
	[REMOVE] = "DELETE FROM sandboxes WHERE id = ?1",
	[SET_KEEP] = "UPDATE sandboxes SET keep = ?2 WHERE id = ?1",
	[SET_LAST_USED] = "UPDATE sandboxes SET last_used_at = ?2 WHERE id = ?1",
	[GET_POLICY] = "SELECT preset, generation, next_rule FROM policy",
	[EACH_RULE] = "SELECT number, ifnull(sandbox, ''), created_at, rule FROM rules ORDER BY number",
	[EACH_HIDDEN] = "SELECT id FROM hidden ORDER BY id",
	[ADD_RULE] = "INSERT INTO rules (number, sandbox, created_at, rule) VALUES (?1, nullif(?2, ''), ?3, ?4)",
	[REMOVE_RULE] = "DELETE FROM rules WHERE number = ?1",
	[ADD_HIDDEN] = "INSERT OR IGNORE INTO hidden (id) VALUES (?1)",
	[CHANGE_POLICY] = "UPDATE policy SET preset = ifnull(?1, preset), generation = generation + 1, "
			  "next_rule = next_rule + ?2",
};

/* migrations[n] leads from user_version n to n + 1. */
static const char *const migrations[] = {
	"CREATE TABLE sandboxes ("
	"  id TEXT PRIMARY KEY NOT NULL,"
	"  name TEXT NOT NULL UNIQUE,"
	"  agent TEXT NOT NULL,"
	"  cpus INTEGER NOT NULL CHECK (cpus > 0),"
	"  memory_mib INTEGER NOT NULL CHECK (memory_mib > 0),"
	"  env TEXT NOT NULL,"
	"  created_at TEXT NOT NULL,"
	"  last_used_at TEXT NOT NULL,"
	"  machine_id TEXT NOT NULL,"
	"  template TEXT NOT NULL,"
	"  keep INTEGER NOT NULL CHECK (keep IN (0, 1))"
	") STRICT;"
	"CREATE TABLE workspaces ("
	"  sandbox TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,"
	"  idx INTEGER NOT NULL CHECK (idx >= 0),"
	"  path TEXT NOT NULL,"
	"  readonly INTEGER NOT NULL CHECK (readonly IN (0, 1)),"
	"  type TEXT NOT NULL CHECK (type IN ('dir', 'file')),"
	"  PRIMARY KEY (sandbox, idx),"
	"  UNIQUE (sandbox, path)"
	") STRICT, WITHOUT ROWID;",
	"CREATE TABLE ports ("
	"  sandbox TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,"
	"  idx INTEGER NOT NULL CHECK (idx >= 0),"
	"  host_ip TEXT NOT NULL,"
	"  host_port INTEGER NOT NULL CHECK (host_port BETWEEN 0 AND 65535),"
	"  sandbox_port INTEGER NOT NULL CHECK (sandbox_port BETWEEN 1 AND 65535),"
	"  chosen INTEGER NOT NULL CHECK (chosen BETWEEN 0 AND 65535),"
	"  PRIMARY KEY (sandbox, idx)"
	") STRICT, WITHOUT ROWID;",
	"CREATE TABLE policy ("
	"  one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),"
	"  preset TEXT NOT NULL,"
	"  generation INTEGER NOT NULL CHECK (generation >= 0),"
	"  next_rule INTEGER NOT NULL CHECK (next_rule > 0)"
	") STRICT;"
	"INSERT INTO policy (one, preset, generation, next_rule) VALUES (1, '', 0, 1);"
	"CREATE TABLE rules ("
	"  number INTEGER PRIMARY KEY NOT NULL,"
	"  sandbox TEXT REFERENCES sandboxes (id) ON DELETE CASCADE,"
	"  created_at TEXT NOT NULL,"
	"  rule TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX rules_by_sandbox ON rules (sandbox);"
	"CREATE TABLE hidden (id TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandboxes ADD COLUMN cold INTEGER NOT NULL DEFAULT 0 CHECK (cold IN (0, 1));",
};

struct store {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[STATEMENTS];
};

static int failed(struct store *s, struct err *err)
{
	int code = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_NOMEM;

	switch (code) {
	case SQLITE_FULL:
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "the disk that holds %.300s is full: free some space",
			       s->path);
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return err_set(err, ERR_DENIED, EACCES,
			       "cannot write the registry %.300s: make it and its directory writable", s->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(
			err, ERR_INTERNAL, EUCLEAN,
			"the registry %.300s is damaged: move it away to begin a new one (disks in sandboxes/ stay)",
			s->path);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_UNAVAILABLE, EBUSY, "the registry %.300s is in use by another program",
			       s->path);
	case SQLITE_CONSTRAINT:
		return err_set(err, ERR_CONFLICT, EEXIST, "a sandbox of that name or id exists already");
	case SQLITE_NOMEM:
		return err_errno(err, ENOMEM, "the registry %.300s", s->path);
	case SQLITE_IOERR:
		return err_set(err, ERR_UNAVAILABLE, EIO, "cannot read or write the registry %.300s: %.100s", s->path,
			       strerror(sqlite3_system_errno(s->db) ? sqlite3_system_errno(s->db) : EIO));
	default:
		return err_set(err, ERR_INTERNAL, EIO, "the registry %.300s: %.100s", s->path, sqlite3_errmsg(s->db));
	}
}

static int execute(struct store *s, const char *text, struct err *err)
{
	return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(s, err);
}

/* The single integer that a pragma answers. */
static int pragma(struct store *s, const char *text, int *ret, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK || sqlite3_step(q) != SQLITE_ROW)
		r = failed(s, err);
	else
		*ret = sqlite3_column_int(q, 0);
	(void)sqlite3_finalize(q);
	return r;
}

static int migrate(struct store *s, struct err *err)
{
	int version = 0, r = pragma(s, "PRAGMA user_version", &version, err);

	if (r < 0)
		return r;
	if (version < 0 || version > (int)ARRAY_LEN(migrations))
		return err_set(
			err, ERR_CONFLICT, 0,
			"the registry %.300s was written by a newer sbx (version %d, this one knows %zu): upgrade sbx",
			s->path, version, ARRAY_LEN(migrations));
	for (; version < (int)ARRAY_LEN(migrations); version++) {
		char set[64];

		(void)str_format(set, sizeof(set), "PRAGMA user_version = %d; COMMIT", version + 1);
		r = execute(s, "BEGIN IMMEDIATE", err);
		if (r == 0)
			r = execute(s, migrations[version], err);
		if (r == 0)
			r = execute(s, set, err);
		if (r < 0) {
			(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return r;
		}
	}
	return 0;
}

/* A damaged file is found now rather than in the middle of something. */
static int check(struct store *s, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		r = failed(s, err);
	else if (!str_eq((const char *)sqlite3_column_text(q, 0), "ok"))
		r = err_set(
			err, ERR_INTERNAL, EUCLEAN,
			"the registry %.300s is damaged: move it away to begin a new one (disks in sandboxes/ stay)",
			s->path);
	(void)sqlite3_finalize(q);
	return r;
}

static int prepare(struct store *s, struct err *err)
{
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL) !=
		    SQLITE_OK)
			return failed(s, err);
	return 0;
}

int store_open(const char *path, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s || !(s->path = strdup(path))) {
		free(s);
		return err_errno(err, ENOMEM, "the registry");
	}
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL) !=
	    SQLITE_OK)
		r = failed(s, err);
	else
		r = 0;
	if (r == 0) {
		(void)sqlite3_extended_result_codes(s->db, 0);
		(void)sqlite3_busy_timeout(s->db, 2000);
		/* FULL: a sandbox that was reported as created survives a power cut. */
		r = execute(s,
			    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
			    "PRAGMA trusted_schema = OFF",
			    err);
	}
	if (r == 0)
		r = check(s, err);
	if (r == 0)
		r = migrate(s, err);
	if (r == 0)
		r = prepare(s, err);
	if (r < 0) {
		store_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(s->statements[i]);
	(void)sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/* Runs a statement that answers no row, and makes it ready for the next use. */
static int run(struct store *s, sqlite3_stmt *q, struct err *err)
{
	int r = sqlite3_step(q) == SQLITE_DONE ? 0 : failed(s, err);

	(void)sqlite3_reset(q);
	(void)sqlite3_clear_bindings(q);
	return r;
}

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
	/* A failure to bind (out of memory) leaves NULL, which the NOT NULL of each column refuses. */
	(void)sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
}

static int add_sandbox(struct store *s, const struct store_row *row, struct err *err)
{
	sqlite3_stmt *q = s->statements[ADD_SANDBOX];
	auto_free char *env = json_dumps(row->env, JSON_COMPACT), *template = json_dumps(row->template, JSON_COMPACT);

	if (!env || !template)
		return err_errno(err, ENOMEM, "the registry");
	bind_text(q, 1, row->id);
	bind_text(q, 2, row->name);
	bind_text(q, 3, row->agent);
	(void)sqlite3_bind_int64(q, 4, row->cpus);
	(void)sqlite3_bind_int64(q, 5, (sqlite3_int64)row->memory_mib);
	bind_text(q, 6, env);
	bind_text(q, 7, row->created_at);
	bind_text(q, 8, row->last_used_at);
	bind_text(q, 9, row->machine_id);
	bind_text(q, 10, template);
	(void)sqlite3_bind_int(q, 11, row->keep);
	(void)sqlite3_bind_int(q, 12, row->cold);
	return run(s, q, err);
}

static int add_workspaces(struct store *s, const struct store_row *row, struct err *err)
{
	sqlite3_stmt *q = s->statements[ADD_WORKSPACE];
	int r = 0;

	for (size_t i = 0; i < row->nworkspaces && r == 0; i++) {
		bind_text(q, 1, row->id);
		(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)i);
		bind_text(q, 3, row->workspaces[i].path);
		(void)sqlite3_bind_int(q, 4, row->workspaces[i].readonly);
		bind_text(q, 5, row->workspaces[i].is_file ? "file" : "dir");
		r = run(s, q, err);
	}
	return r;
}

static int add_ports(struct store *s, const char *id, const struct store_port *ports, size_t n, struct err *err)
{
	sqlite3_stmt *q = s->statements[ADD_PORT];
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		bind_text(q, 1, id);
		(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)i);
		bind_text(q, 3, ports[i].map.host_ip);
		(void)sqlite3_bind_int(q, 4, ports[i].map.host_port);
		(void)sqlite3_bind_int(q, 5, ports[i].map.sandbox_port);
		(void)sqlite3_bind_int(q, 6, ports[i].chosen);
		r = run(s, q, err);
	}
	return r;
}

int store_set_ports(struct store *s, const char *id, const struct store_port *ports, size_t n, struct err *err)
{
	int r = execute(s, "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	bind_text(s->statements[REMOVE_PORTS], 1, id);
	r = run(s, s->statements[REMOVE_PORTS], err);
	if (r == 0)
		r = add_ports(s, id, ports, n, err);
	if (r == 0)
		r = execute(s, "COMMIT", err);
	if (r < 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_add(struct store *s, const struct store_row *row, struct err *err)
{
	int r = execute(s, "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	r = add_sandbox(s, row, err);
	if (r == 0)
		r = add_workspaces(s, row, err);
	if (r == 0)
		r = add_ports(s, row->id, row->ports, row->nports, err);
	if (r == 0)
		r = execute(s, "COMMIT", err);
	if (r < 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_remove(struct store *s, const char *id, struct err *err)
{
	bind_text(s->statements[REMOVE], 1, id);
	return run(s, s->statements[REMOVE], err);
}

int store_set_keep(struct store *s, const char *id, bool keep, struct err *err)
{
	sqlite3_stmt *q = s->statements[SET_KEEP];

	bind_text(q, 1, id);
	(void)sqlite3_bind_int(q, 2, keep);
	return run(s, q, err);
}

/* What a host that loses its power forgets here is nobody's loss, and a start need not wait for it to be on the disk. */
int store_set_last_used(struct store *s, const char *id, const char *time, struct err *err)
{
	sqlite3_stmt *q = s->statements[SET_LAST_USED];
	int r;

	bind_text(q, 1, id);
	bind_text(q, 2, time);
	r = execute(s, "PRAGMA synchronous = NORMAL", err);
	if (r == 0)
		r = run(s, q, err);
	(void)execute(s, "PRAGMA synchronous = FULL", NULL);
	return r;
}

/* Copies a column that must fit; what does not was not written by us. */
static bool take_text(sqlite3_stmt *q, int at, char *dst, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(q, at);

	return text && str_format(dst, size, "%s", text) == 0;
}

static json_t *take_json(sqlite3_stmt *q, int at)
{
	const char *text = (const char *)sqlite3_column_text(q, at);
	json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

static int read_workspaces(struct store *s, struct store_row *row, struct err *err)
{
	sqlite3_stmt *q = s->statements[EACH_WORKSPACE];
	int r = 0, step;

	bind_text(q, 1, row->id);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && row->nworkspaces < WORKSPACE_MAX) {
		struct workspace *w = &row->workspaces[row->nworkspaces];
		const char *path = (const char *)sqlite3_column_text(q, 0),
			   *type = (const char *)sqlite3_column_text(q, 2);

		w->path = path ? strdup(path) : NULL;
		w->readonly = sqlite3_column_int(q, 1) != 0;
		w->is_file = type && str_eq(type, "file");
		if (!w->path) {
			r = err_errno(err, ENOMEM, "the registry");
			break;
		}
		row->nworkspaces++;
	}
	if (r == 0 && step != SQLITE_DONE)
		r = step == SQLITE_ROW
			    ? err_set(err, ERR_INTERNAL, EUCLEAN, "sandbox '%s' has too many workspaces", row->name)
			    : failed(s, err);
	(void)sqlite3_reset(q);
	return r;
}

static int read_ports(struct store *s, struct store_row *row, struct err *err)
{
	sqlite3_stmt *q = s->statements[EACH_PORT];
	int r = 0, step;

	bind_text(q, 1, row->id);
	while ((step = sqlite3_step(q)) == SQLITE_ROW && row->nports < PORTMAP_MAX) {
		struct store_port *p = &row->ports[row->nports];

		if (!take_text(q, 0, p->map.host_ip, sizeof(p->map.host_ip)))
			break;
		p->map.v6 = strchr(p->map.host_ip, ':') != NULL;
		p->map.host_port = (uint16_t)sqlite3_column_int(q, 1);
		p->map.sandbox_port = (uint16_t)sqlite3_column_int(q, 2);
		p->chosen = (uint16_t)sqlite3_column_int(q, 3);
		row->nports++;
	}
	if (step != SQLITE_DONE)
		r = step == SQLITE_ROW ? err_set(err, ERR_INTERNAL, EUCLEAN,
						 "the registry holds ports of sandbox '%s' that cannot be read", row->name)
				       : failed(s, err);
	(void)sqlite3_reset(q);
	return r;
}

static int read_row(struct store *s, sqlite3_stmt *q, struct store_row *row, struct err *err)
{
	bool ok = take_text(q, 0, row->id, sizeof(row->id)) && take_text(q, 1, row->name, sizeof(row->name)) &&
		  take_text(q, 2, row->agent, sizeof(row->agent)) &&
		  take_text(q, 6, row->created_at, sizeof(row->created_at)) &&
		  take_text(q, 7, row->last_used_at, sizeof(row->last_used_at)) &&
		  take_text(q, 8, row->machine_id, sizeof(row->machine_id));

	row->cpus = (unsigned)sqlite3_column_int(q, 3);
	row->memory_mib = (uint64_t)sqlite3_column_int64(q, 4);
	row->keep = sqlite3_column_int(q, 10) != 0;
	row->cold = sqlite3_column_int(q, 11) != 0;
	row->env = take_json(q, 5);
	row->template = take_json(q, 9);
	if (!ok || !row->env || !row->template)
		return err_set(err, ERR_INTERNAL, EUCLEAN,
			       "the registry %.300s holds a record that cannot be read (sandbox %.63s): repair or move "
			       "it away",
			       s->path, row->name);
	return read_workspaces(s, row, err) < 0 ? err_code(err) : read_ports(s, row, err);
}

int store_each(struct store *s, int (*row)(void *user, struct store_row *row, struct err *err), void *user,
	       struct err *err)
{
	sqlite3_stmt *q = s->statements[EACH_SANDBOX];
	int r = 0, step = SQLITE_DONE;

	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
		struct store_row one = { 0 };

		r = read_row(s, q, &one, err);
		if (r == 0)
			r = row(user, &one, err);
		store_row_done(&one);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = failed(s, err);
	(void)sqlite3_reset(q);
	return r;
}

/* --- the policy --- */

int store_policy(struct store *s, struct store_policy *ret, struct err *err)
{
	sqlite3_stmt *q = s->statements[GET_POLICY];
	struct store_policy p = { .generation = 0 };
	int r = 0;

	if (sqlite3_step(q) != SQLITE_ROW)
		r = failed(s, err);
	else if (!take_text(q, 0, p.preset, sizeof(p.preset)))
		r = err_set(err, ERR_INTERNAL, EUCLEAN, "the registry %.300s holds a policy that cannot be read", s->path);
	p.generation = (uint64_t)sqlite3_column_int64(q, 1);
	p.next_rule = (uint64_t)sqlite3_column_int64(q, 2);
	(void)sqlite3_reset(q);
	if (r == 0)
		*ret = p;
	return r;
}

static int read_rule(struct store *s, sqlite3_stmt *q, struct store_rule *rule, struct err *err)
{
	rule->number = (uint64_t)sqlite3_column_int64(q, 0);
	rule->rule = take_json(q, 3);
	if (rule->rule && take_text(q, 1, rule->sandbox, sizeof(rule->sandbox)) &&
	    take_text(q, 2, rule->created_at, sizeof(rule->created_at)))
		return 0;
	return err_set(err, ERR_INTERNAL, EUCLEAN, "the registry %.300s holds a rule that cannot be read (number %llu)",
		       s->path, (unsigned long long)rule->number);
}

int store_each_rule(struct store *s, int (*rule)(void *user, struct store_rule *rule, struct err *err), void *user,
		    struct err *err)
{
	sqlite3_stmt *q = s->statements[EACH_RULE];
	int r = 0, step = SQLITE_DONE;

	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
		struct store_rule one = { .number = 0 };

		r = read_rule(s, q, &one, err);
		if (r == 0)
			r = rule(user, &one, err);
		json_decref(one.rule);
	}
	if (r == 0 && step != SQLITE_DONE)
		r = failed(s, err);
	(void)sqlite3_reset(q);
	return r;
}

int store_each_hidden(struct store *s, int (*hidden)(void *user, const char *id, struct err *err), void *user,
		      struct err *err)
{
	sqlite3_stmt *q = s->statements[EACH_HIDDEN];
	int r = 0, step = SQLITE_DONE;

	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW)
		r = hidden(user, (const char *)sqlite3_column_text(q, 0), err);
	if (r == 0 && step != SQLITE_DONE)
		r = failed(s, err);
	(void)sqlite3_reset(q);
	return r;
}

static int add_rules(struct store *s, const struct store_change *c, struct err *err)
{
	sqlite3_stmt *q = s->statements[ADD_RULE];
	int r = 0;

	for (size_t i = 0; i < c->nadd && r == 0; i++) {
		auto_free char *text = json_dumps(c->add[i].rule, JSON_COMPACT);

		if (!text)
			return err_errno(err, ENOMEM, "the registry");
		(void)sqlite3_bind_int64(q, 1, (sqlite3_int64)c->add[i].number);
		bind_text(q, 2, c->add[i].sandbox);
		bind_text(q, 3, c->add[i].created_at);
		bind_text(q, 4, text);
		r = run(s, q, err);
	}
	return r;
}

static int apply_change(struct store *s, const struct store_change *c, struct err *err)
{
	sqlite3_stmt *q;
	int r = c->clear ? execute(s, "DELETE FROM rules; DELETE FROM hidden", err) : 0;

	for (size_t i = 0; i < c->nremove && r == 0; i++) {
		(void)sqlite3_bind_int64(s->statements[REMOVE_RULE], 1, (sqlite3_int64)c->remove[i]);
		r = run(s, s->statements[REMOVE_RULE], err);
	}
	for (size_t i = 0; i < c->nhide && r == 0; i++) {
		bind_text(s->statements[ADD_HIDDEN], 1, c->hide[i]);
		r = run(s, s->statements[ADD_HIDDEN], err);
	}
	if (r == 0)
		r = add_rules(s, c, err);
	if (r < 0)
		return r;
	q = s->statements[CHANGE_POLICY];
	if (c->preset)
		bind_text(q, 1, c->preset);
	(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)c->nadd);
	return run(s, q, err);
}

int store_change(struct store *s, const struct store_change *c, struct err *err)
{
	int r = execute(s, "BEGIN IMMEDIATE", err);

	if (r < 0)
		return r;
	r = apply_change(s, c, err);
	if (r == 0)
		r = execute(s, "COMMIT", err);
	if (r < 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

void store_row_done(struct store_row *row)
{
	json_decref(row->env);
	json_decref(row->template);
	for (size_t i = 0; i < row->nworkspaces; i++)
		workspace_done(&row->workspaces[i]);
	*row = (struct store_row){ 0 };
}

void store_now(char dst[STORE_TIME_SIZE])
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || strftime(dst, STORE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		dst[0] = 0;
}
