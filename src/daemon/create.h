/* SPDX-License-Identifier: Apache-2.0
 *
 * create: from what a client asks for to a sandbox that exists. Everything is checked before anything is made; the
 * record is committed last, so that a failure or a crash leaves no half sandbox.
 */
#ifndef SBX_DAEMON_CREATE_H
#define SBX_DAEMON_CREATE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "daemon/sandbox.h"

/* body: see docs/api.md. *ret is borrowed (the daemon's list owns it); *ret_existed: "reuse" found it. */
int create_sandbox(struct daemon *d, const json_t *body, struct sandbox **ret, bool *ret_existed, struct err *err);

/* A sandbox on the base template without a workspace, for layer.h: it is in the registry, so that the next daemon finds what
 * was left of it. */
int create_builder(struct daemon *d, const char *agent, struct sandbox **ret, struct err *err);

/* A new id, machine-id and time of creation. */
int create_identity(struct store_row *row, struct err *err);

/* What a request says, checked against nothing but itself and the host. For create_sandbox, and for tests. */
struct create_plan {
	struct store_row row; /* owned; without id, times, machine_id, template, and name where none was given */
	json_t *profile; /* owned: the agent's */
	bool named;
	bool reuse;
};
int create_plan(const struct env_dirs *dirs, const json_t *body, struct create_plan *ret, struct err *err);
void create_plan_done(struct create_plan *p);

#endif
