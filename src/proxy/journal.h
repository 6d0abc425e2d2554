/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the decision log. One JSON object per line (docs/network.md, "The log"), one write(2) to an O_APPEND descriptor per
 * record, so a reader sees whole lines only. The decision's record is written before anything is forwarded: where that
 * fails, the caller refuses (reason "log"). Everything that a guest said is escaped here, with an escaper of our own: control
 * bytes, DEL, U+2028/9, and bytes that are not UTF-8 (U+FFFD).
 *
 * Refusals of the same reason and host past 20 in a second are not written but counted; the count goes with the next record
 * that is written for them ("repeated"), at the latest a second later.
 */
#ifndef SBX_PROXY_JOURNAL_H
#define SBX_PROXY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "policy/address.h"
#include "policy/target.h"
#include "wire/dest.h"

/* Bytes of the SHA-256 of a record (its line without the line feed) that the next one carries as "prev". The first of a process has zeros. */
#define JOURNAL_LINK 8
#define JOURNAL_PATH_MAX 1024 /* bytes of a path that are logged */
#define JOURNAL_MAX_BYTES (10 << 20)
#define JOURNAL_BURST 20       /* refusals of one kind a second that are written one by one */

enum flow_entry { FLOW_TRANSPARENT, FLOW_FORWARD };
enum flow_protocol { FLOW_TCP, FLOW_TLS, FLOW_HTTP };
enum flow_inspect { FLOW_NONE, FLOW_SPLICE, FLOW_INTERCEPT };

/* One thing that was asked for: a connection (req 0), or one request in it (req counts from 1). What decide, dial and journal
 * are asked about; its owner fills it in as more becomes known. */
struct flow {
	uint64_t conn; /* of the connection that it came by; journal_new_conn */
	uint64_t req;
	enum flow_entry entry;
	enum flow_protocol protocol;
	enum flow_inspect inspect;
	struct dest dest;
	const char *method;          /* borrowed; NULL: a connection */
	const struct target *target; /* borrowed; with a method */
	bool websocket;              /* with a method: a WebSocket's handshake */
	const char *injected;        /* static or borrowed; NULL: "none:no_secret" */
	/* For the end. */
	bool recorded;       /* the permission stands in the log: an end must follow */
	uint64_t started_ms; /* io_now_ms when it was recorded */
	uint64_t bytes_out, bytes_in; /* towards the origin, from it */
	int status;                   /* of the response; 0: none */
	struct address address;       /* the one that was dialled; bits 0: none */
	const char *error;            /* static: "unreachable", "policy_changed"; NULL: none */
};

struct decision; /* decide.h */
struct journal;

/* full is called when JOURNAL_MAX_BYTES stand in the log, once per log, from inside a call; it must not call back. NULL: out of
 * memory. */
struct journal *journal_new(uv_loop_t *loop, void (*full)(void *user), void *user);
void journal_free(struct journal *j); /* writes what is counted */
/* The log from now on; owned. -1: there is none, and nothing may be forwarded. */
void journal_set_fd(struct journal *j, int fd);
void journal_set_sandbox(struct journal *j, const char *id); /* copied */
/* The next connection's number. */
uint64_t journal_new_conn(struct journal *j);

/* 0, and f->recorded for a permission; or -errno (no log, no space): then the flow must not go on. Use decide_record. */
int journal_decision(struct journal *j, struct flow *f, const struct decision *d);
/* At the end of a recorded flow, once; nothing for others. */
void journal_end(struct journal *j, struct flow *f);

const char *flow_entry_name(enum flow_entry e);       /* "transparent" */
const char *flow_protocol_name(enum flow_protocol p); /* "tls" */
const char *flow_inspect_name(enum flow_inspect i);   /* "splice" */

#endif
