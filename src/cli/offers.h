/* SPDX-License-Identifier: Apache-2.0
 *
 * offers: while a session holds the terminal, URLs that its sandbox wants opened (vm/opens.h) come here by a connection of their own. Each is
 * given to a process of its own, `sbx open --attached`, which has no terminal, so that nothing of it disturbs the session: neither its
 * screen nor, where the daemon is slow, its pace.
 */
#ifndef SBX_CLI_OFFERS_H
#define SBX_CLI_OFFERS_H

#include "base/buf.h"
#include "cli/cmd.h"

struct offers {
	int fd; /* owned; -1: none. To be polled for input */
	struct buf in;
	const char *name; /* borrowed: the sandbox */
};

void offers_init(struct offers *o, const char *name);
/* Without one the session goes on; URLs wait for `sbx open` then. */
void offers_connect(struct offers *o, struct cli *c, const char *socket);
/* There is input. */
void offers_read(struct offers *o);
void offers_done(struct offers *o);

#endif
