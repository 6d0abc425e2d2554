/* SPDX-License-Identifier: Apache-2.0
 *
 * vmcall: one question to a sandbox's supervisor on its socket (docs/network.md, "sbx-vm"), past the daemon.
 */
#ifndef SBX_CLI_VMCALL_H
#define SBX_CLI_VMCALL_H

#include <jansson.h>

#include "cli/cmd.h"

/* A connection to socket (absolute), blocking; name is the sandbox, for messages. Negative with c->err filled. */
int vmcall_connect(struct cli *c, const char *name, const char *socket);
/* Sends req (stolen) and waits for the reply, at most 10 seconds. 0 and *ret (may be NULL: dropped; owned); negative with c->err as the
 * supervisor said it. */
int vmcall(struct cli *c, const char *name, const char *socket, json_t *req, json_t **ret);

#endif
