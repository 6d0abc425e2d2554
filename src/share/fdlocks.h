/* SPDX-License-Identifier: Apache-2.0
 *
 * fdlocks: the locks that a descriptor of this process holds, as the kernel tells in /proc/self/fdinfo (lines "lock:",
 * proc(5)). No system call lists them.
 */
#ifndef SBX_SHARE_FDLOCKS_H
#define SBX_SHARE_FDLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fdlock {
	bool whole; /* flock(2); else an open file description lock */
	bool write;
	int64_t first, last; /* INT64_MAX: to the end */
};

struct fdlocks {
	struct fdlock *list; /* owned */
	size_t n;
};

/* proc_fd is /proc/self/fd. 0, -errno; *ret is to be freed by fdlocks_done, also on failure. */
int fdlocks_read(int proc_fd, int fd, struct fdlocks *ret);
/* The text of a fdinfo file. Lines about anything else are skipped; -EPROTO for one that is not understood. */
int fdlocks_parse(char *text, struct fdlocks *ret);
void fdlocks_done(struct fdlocks *l);

#endif
