/* SPDX-License-Identifier: Apache-2.0
 *
 * opens: programs in the sandbox ask the host to open a URL. They run xdg-open (xdgopen.h), which says the URL on a socket of ours; it goes on
 * as a line (wire/openmsg.h) on the stream /open of the control door, and the host's answer comes back the same way. Nothing is decided here.
 *
 * At most OPENS_MAX programs at a time; each has 10 seconds to say its URL and waits up to a minute for the host. Without the stream they hear
 * at once that nobody takes it.
 */
#ifndef SBX_GUEST_OPENS_H
#define SBX_GUEST_OPENS_H

#include "guest/ctl.h"
#include "guest/vars.h"

#define OPENS_DIR "/run/sbx-open"
#define OPENS_SOCKET "socket"
#define OPENS_PROGRAM OPENS_DIR "/xdg-open"
#define OPENS_MAX 16

/* In the sandbox's root: the program, and its names in /usr/local/bin where nothing has them yet. */
int opens_prepare(struct err *err);
/* Listens. */
int opens_start(struct guest *g, struct err *err);
/* The operation for the stream /open; one at a time. NULL: refused. */
struct ctl_stream *opens_stream(struct guest *g, struct h2_stream *s);
/* BROWSER, for programs that do not look for xdg-open. */
int opens_vars(struct vars *v);

#endif
