/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: published ports. Each is a TCP listener on the host; a connection to it becomes one stream `/port` of the control
 * door, and the guest connects to the port inside (docs/network.md). Bytes go both ways, each way with its own end;
 * nobody is read whose other side is full, and a connection that breaks on one side is reset on the other.
 *
 * Listeners exist from ports_new on, so that what is taken is known before the machine starts; connections are taken
 * between ports_open and ports_shut and wait before that. At most PORTS_CONNECTIONS at a time; more wait in the host's queue.
 */
#ifndef SBX_VM_PORTS_H
#define SBX_VM_PORTS_H

#include <jansson.h>
#include <uv.h>

#include "base/err.h"
#include "vm/door.h"
#include "vm/spec.h"
#include "wire/portmap.h"

#define PORTS_CONNECTIONS 512

struct ports;

/* Listens for what the spec says. NULL with err: ERR_CONFLICT names the address that is taken. */
struct ports *ports_new(uv_loop_t *loop, const struct spec *spec, struct err *err);
/* The machine runs: takes connections, through door (borrowed until ports_shut). */
void ports_open(struct ports *p, struct door *door);
/* Resets every connection and takes no more; the listeners go, too. */
void ports_shut(struct ports *p);
/* The memory goes later, from the loop. NULL is allowed. */
void ports_free(struct ports *p);

/* Publishes and takes back, all or nothing; what is taken back may be published again in another way. -ENOENT: something
 * that is to be taken back is not published. */
int ports_apply(struct ports *p, const struct portmap_change *c, struct err *err);
/* A listening socket at m's address, owned by the caller, and in m the port that it got. -errno. */
int ports_bind(struct portmap *m);
/* Connections now. */
size_t ports_connections(const struct ports *p);
/* The first that leads to sandbox_port, from host_port (0: any). */
bool ports_find(const struct ports *p, uint16_t host_port, uint16_t sandbox_port, struct portmap *ret);
/* In the order of their publishing, with the ports that were chosen filled in; a new array. NULL gives an empty one. */
json_t *ports_describe(const struct ports *p);

#endif
