/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic: the decision logs of the sandboxes (STATE/sandboxes/<id>/network.jsonl and its predecessors .1, the newest, to .4), summed
 * up for `sbx policy log`, or followed. They are read in small pieces between other work. What is in them is not trusted: lines that are no
 * records are counted and left out, and rows have a bound.
 */
#ifndef SBX_DAEMON_TRAFFIC_H
#define SBX_DAEMON_TRAFFIC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/daemon.h"
#include "daemon/store.h"
#include "wire/netlog.h"

#define TRAFFIC_ROWS_MAX 4096
#define TRAFFIC_FILE "network.jsonl"
#define TRAFFIC_OLD 4

/* The decisions that agree in everything but the time. */
struct traffic_row {
	char sandbox[NAME_SIZE];
	struct netlog like; /* its time and count are not used */
	uint64_t since_ms, last_ms, count;
};

struct traffic {
	struct traffic_row *rows; /* owned; the latest first */
	size_t n;
	uint64_t unreadable; /* lines */
	uint64_t left_out;   /* decisions that found no room */
};

/* Reads everything of the sandboxes (of one, by id, where only is not NULL), and calls done once, later. t is borrowed within the call;
 * NULL with -errno where it failed. 0 or negative with err. */
typedef void traffic_done(void *user, const struct traffic *t, int error);
int traffic_sum(struct daemon *d, const char *only, traffic_done *done, void *user, struct err *err);

/* From now on: `line` is called for each record that is written. It returns false to end, and so does the daemon's own end; then `end` is
 * called, and nothing more. */
struct traffic_follow_ops {
	bool (*line)(void *user, const char *sandbox, json_t *record); /* record is borrowed */
	bool (*idle)(void *user);                                      /* now and then; false ends, too */
	void (*end)(void *user);
};
int traffic_follow(struct daemon *d, const char *only, const struct traffic_follow_ops *ops, void *user, struct err *err);

#endif
