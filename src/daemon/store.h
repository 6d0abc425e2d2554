/* SPDX-License-Identifier: Apache-2.0
 *
 * store: the registry of sandboxes and of the network policy's rules, an SQLite database (WAL, foreign keys, strict tables). The only file that
 * speaks SQL; every statement is prepared at open. Each changing call is one transaction: it happened whole or not at
 * all.
 *
 * The schema's version is PRAGMA user_version; a newer one than this program knows is refused.
 */
#ifndef SBX_DAEMON_STORE_H
#define SBX_DAEMON_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/name.h"
#include "daemon/workspace.h"
#include "wire/portmap.h"

#define STORE_ID_SIZE 37
#define STORE_TIME_SIZE 24
#define STORE_HEX_SIZE 33
#define STORE_PRESET_SIZE 33

/* One published port. */
struct store_port {
	struct portmap map;
	uint16_t chosen; /* where map leaves the host port open: the one that was chosen last; 0: none yet */
};

/* One sandbox, as remembered. */
struct store_row {
	char id[STORE_ID_SIZE]; /* uuid */
	char name[NAME_SIZE];
	char agent[32];
	unsigned cpus;
	uint64_t memory_mib;
	json_t *env;                        /* owned; object of strings */
	char created_at[STORE_TIME_SIZE];   /* RFC 3339, UTC */
	char last_used_at[STORE_TIME_SIZE]; /* "": never started */
	char machine_id[STORE_HEX_SIZE];
	json_t *template; /* owned; {"layers": [..], "kernel": "..", "modules": ".."}: digests it is bound to */
	bool keep;
	bool cold; /* its machine boots at each start, and is not thawed */
	struct workspace workspaces[WORKSPACE_MAX]; /* owned; the first is the primary one */
	size_t nworkspaces;
	struct store_port ports[PORTMAP_MAX]; /* published */
	size_t nports;
};

struct store;

/* Opens or makes the database at path. On failure nothing is left open; the error names the file and the remedy. */
int store_open(const char *path, struct store **ret, struct err *err);
void store_free(struct store *s);

/* Every row, by name. `row` takes over what it wants to keep by moving it out of *row (and zeroing it there);
 * a negative return ends the walk with that code. */
int store_each(struct store *s, int (*row)(void *user, struct store_row *row, struct err *err), void *user,
	       struct err *err);
/* -EEXIST with a conflict error where the id or the name is taken. */
int store_add(struct store *s, const struct store_row *row, struct err *err);
int store_remove(struct store *s, const char *id, struct err *err);
int store_set_keep(struct store *s, const char *id, bool keep, struct err *err);
/* Replaces the published ports. */
int store_set_ports(struct store *s, const char *id, const struct store_port *ports, size_t n, struct err *err);
int store_set_last_used(struct store *s, const char *id, const char *time, struct err *err);

/* The network policy's own record. Its rules are kept as JSON objects, whose meaning is rules.h's. */
struct store_policy {
	char preset[STORE_PRESET_SIZE]; /* "": none was chosen */
	uint64_t generation;            /* counts the changes */
	uint64_t next_rule;             /* the number of the next rule */
};

struct store_rule {
	uint64_t number;               /* in the order of their adding */
	char sandbox[STORE_ID_SIZE];   /* the id of the one it is for; "": all */
	char created_at[STORE_TIME_SIZE];
	json_t *rule; /* owned */
};

/* One change of the policy; all of it or nothing. generation becomes one more, next_rule as many more as are added. */
struct store_change {
	const char *preset;           /* NULL: as it is */
	bool clear;                   /* first: no rule, and no preset rule hidden */
	const struct store_rule *add; /* borrowed */
	size_t nadd;
	const uint64_t *remove; /* numbers of rules */
	size_t nremove;
	const char *const *hide; /* ids of the preset's rules that shall not count */
	size_t nhide;
};

int store_policy(struct store *s, struct store_policy *ret, struct err *err);
/* Every rule, in the order of their adding, as store_each: `rule` may take over rule->rule by zeroing it. */
int store_each_rule(struct store *s, int (*rule)(void *user, struct store_rule *rule, struct err *err), void *user,
		    struct err *err);
int store_each_hidden(struct store *s, int (*hidden)(void *user, const char *id, struct err *err), void *user,
		      struct err *err);
int store_change(struct store *s, const struct store_change *c, struct err *err);

void store_row_done(struct store_row *row);
/* Now, as the store keeps times. */
void store_now(char dst[STORE_TIME_SIZE]);

#endif
