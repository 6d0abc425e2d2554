/* SPDX-License-Identifier: Apache-2.0
 *
 * store: the registry of sandboxes, an SQLite database (WAL, foreign keys, strict tables). The only file that
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

void store_row_done(struct store_row *row);
/* Now, as the store keeps times. */
void store_now(char dst[STORE_TIME_SIZE]);

#endif
