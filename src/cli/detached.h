/* SPDX-License-Identifier: Apache-2.0
 *
 * detached: sessions that go on in a sandbox without a client, as after a pause.
 */
#ifndef SBX_CLI_DETACHED_H
#define SBX_CLI_DETACHED_H

#include "cli/cmd.h"

/* All sessions of the machine behind socket: [{"id", "turn", "program", "tty", "attached", "ended"}]; a new reference. */
int detached_list(struct cli *c, const char *name, const char *socket, json_t **ret);
/* The one that was attached last, or session id where that is not 0. -ENOENT with c->err: there is none. *ret_tty: it has a terminal. */
int detached_find(struct cli *c, const char *name, const json_t *list, json_int_t id, json_int_t *ret_id, bool *ret_tty);
/* Attaches to it; results as of attach_run. */
int detached_attach(struct cli *c, const char *name, const char *socket, json_int_t id, bool tty);

#endif
