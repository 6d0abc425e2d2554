/* SPDX-License-Identifier: Apache-2.0
 *
 * vmlink: one call to a sandbox's supervisor (`sbx-vm`) over RUNTIME/vm/<id>.sock: a REQUEST record out, EVENT or REPLY
 * records in (wire/record.h). A watch is a call that goes on.
 *
 * States: open (from vmlink_open) -> ended (`end` was called, or vmlink_close). `message` any number of times while
 * open; `end` exactly once unless the owner closes first; the handle is dead after either. No callback runs inside
 * vmlink_open or vmlink_close. Connecting never blocks: a supervisor whose backlog is full is -EAGAIN.
 */
#ifndef SBX_DAEMON_VMLINK_H
#define SBX_DAEMON_VMLINK_H

#include <jansson.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct vmlink;

struct vmlink_ops {
	/* The JSON object of an EVENT or REPLY, borrowed. vmlink_close is allowed inside. */
	void (*message)(void *user, json_t *body);
	/* 0: the supervisor closed; -ETIMEDOUT: the deadline passed; -EPROTO, -errno: the connection failed. */
	void (*end)(void *user, int error);
};

/* Whom to call, and what to say first. */
struct vmlink_call {
	uv_loop_t *loop;
	int vm_dirfd; /* the socket is vm_dirfd/<id>.sock */
	const char *id;
	json_t *request;     /* its reference is taken, whatever happens; NULL (nothing could be made): -ENOMEM */
	uint64_t timeout_ms; /* for the whole call; 0: none */
};

/* ops is borrowed for the link's life. NULL with err: -ENOENT / -ECONNREFUSED (nobody listens; errnum says which),
 * -EAGAIN, -ENOMEM. */
struct vmlink *vmlink_open(const struct vmlink_call *call, const struct vmlink_ops *ops, void *user, struct err *err);
void vmlink_close(struct vmlink *l);

/* One question, one answer. Calls done exactly once, later: reply is borrowed and NULL where err is set (the
 * supervisor's own error, a timeout, a lost connection). 0, or negative with err and no call of done. */
int vmlink_ask(const struct vmlink_call *call, void (*done)(void *user, json_t *reply, const struct err *err),
	       void *user, struct err *err);

/* Reads {"kind", "message"} as a peer sent it into *ret; text is made printable. */
void vmlink_error(const json_t *error, struct err *ret);

#endif
