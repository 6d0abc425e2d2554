/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: the published ports of a sandbox as the daemon keeps them: which ones (the registry), what host port was chosen
 * for those that leave it open, and the change of both. Whoever listens is the supervisor (vm/ports.h): what runs is
 * asked first and written down then.
 */
#ifndef SBX_DAEMON_PORTS_H
#define SBX_DAEMON_PORTS_H

#include <jansson.h>

#include "base/err.h"
#include "daemon/sandbox.h"
#include "daemon/store.h"

/* The key "ports" of a create: a list of objects as portmap_read has them; NULL: none. Two at one address: ERR_CONFLICT. */
int ports_plan(const json_t *list, struct store_row *row, struct err *err);
/* As docs/api.md shows them: host_port is the chosen one where the host chooses, 0 where it has not yet. A new reference. */
json_t *ports_json(const struct store_row *row);
/* As the machine's spec has them. A new reference. */
json_t *ports_spec(const struct store_row *row);
/* The machine runs and says what it listens on: remembers what was chosen. */
void ports_note(struct sandbox *s, const json_t *list);

/* Publishes and takes back, all or nothing. 1: done at once; 0: done is called later, once, with a NULL sandbox where
 * that was removed meanwhile; negative with err. */
int ports_change(struct sandbox *s, const json_t *body, sandbox_done *done, void *user, struct err *err);

#endif
