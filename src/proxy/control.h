/* SPDX-License-Identifier: Apache-2.0
 *
 * control: the control socket, by which sbx-vm tells the proxy what is in force and hears what happens (docs/network.md). Who holds its
 * other end is believed, but read strictly: what is not understood changes nothing, and is told back as an error.
 */
#ifndef SBX_PROXY_CONTROL_H
#define SBX_PROXY_CONTROL_H

#include <jansson.h>

#define CONTROL_MESSAGE_MAX (64 * 1024)
#define CONTROL_WAITING_MAX 1024

struct proxy;
struct control;

/* fd (SOCK_SEQPACKET) is owned, also on failure (NULL). Its end is the proxy's (proxy_end). */
struct control *control_new(struct proxy *p, int fd);
void control_free(struct control *c);
/* The event object is released here. What the other side does not read waits, in order; where more than CONTROL_WAITING_MAX do, the proxy ends
 * (proxy_end): whoever is told only a part of it would show questions that nobody waits for. */
void control_send(struct control *c, json_t *event);

#endif
