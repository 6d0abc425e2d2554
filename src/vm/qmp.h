/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp: a client of QEMU's machine protocol (docs/interop/qmp-spec in QEMU's tree): one JSON object per line.
 * QEMU parses what the guest does, so what it says is checked like any outside input: lines have a maximum, the
 * queue of calls a bound.
 *
 * A call ends by exactly one callback, later: with the result, with QEMU's error text, or, when the connection
 * ends, with "the machine ended". Calls made before the greeting wait for it.
 */
#ifndef SBX_VM_QMP_H
#define SBX_VM_QMP_H

#include <jansson.h>
#include <uv.h>

struct qmp;

/* The error of calls that were not answered when the connection ended: the machine's exit, which comes next, says more. */
#define QMP_ENDED "the machine ended"

struct qmp_ops {
	/* SHUTDOWN, GUEST_PANICKED, ...; data may be NULL (borrowed). */
	void (*event)(void *user, const char *name, const json_t *data);
	/* The connection is over; called once, after all pending calls failed. */
	void (*end)(void *user);
};

/* error is NULL on success; result and error are borrowed for the call. */
typedef void (*qmp_done)(void *user, const json_t *result, const char *error);

/* fd is owned from here on. NULL on failure. ops borrowed. */
struct qmp *qmp_new(uv_loop_t *loop, int fd, const struct qmp_ops *ops, void *user);
/* args is stolen and may be NULL; done may be NULL. 0 or -errno (then done is not called). */
int qmp_call(struct qmp *q, const char *command, json_t *args, qmp_done done, void *user);
/* Gives QEMU a descriptor (borrowed) by a name, for commands that take one as "fd:NAME". Only after the answer to an
 * earlier call, while none is under way: -EAGAIN. */
int qmp_give_fd(struct qmp *q, int fd, const char *name, qmp_done done, void *user);
/* The same for a set of descriptors, which QEMU opens as "/dev/fdset/SET" with the mode that fd was opened with. */
int qmp_add_fd(struct qmp *q, int fd, int set, qmp_done done, void *user);
/* Drops pending calls without callbacks and frees (later, from the loop). */
void qmp_free(struct qmp *q);

#endif
