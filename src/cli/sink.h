/* SPDX-License-Identifier: Apache-2.0
 *
 * sink: stdout or stderr as something that can be full. A descriptor that came from elsewhere must not be made
 * non-blocking (its other owners would see it), so a pipe is opened a second time for us, a socket is asked not to wait, and
 * to what remains no more is written than poll(2) has promised room for.
 */
#ifndef SBX_CLI_SINK_H
#define SBX_CLI_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sink {
	int fd;       /* to poll and write */
	bool owned;   /* fd was opened by us */
	bool socket;
	size_t chunk; /* most bytes of one write */
};

void sink_init(struct sink *s, int fd);
void sink_done(struct sink *s);
/* Bytes written, or -errno; -EAGAIN: poll for POLLOUT. Call when poll said POLLOUT. */
ssize_t sink_write(const struct sink *s, const void *bytes, size_t n);

#endif
