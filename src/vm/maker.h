/* SPDX-License-Identifier: Apache-2.0
 *
 * maker: a child of the holder's that comes by one frozen machine: from the cache, or by freezing one anew, which it then
 * writes to the cache. Its answer (holder.h) goes into a socket before that, so that nobody waits for the disk.
 */
#ifndef SBX_VM_MAKER_H
#define SBX_VM_MAKER_H

#include "base/err.h"
#include "vm/frozen.h"
#include "vm/shape.h"

/* Starts one. *ret_fd (owned by the caller): its answer, then its end. It dies with us. */
int maker_start(const struct shape *s, const char *key, int *ret_fd, struct err *err);
/* The child's main: the request on descriptor 3, the answer's socket is 4. */
int maker_main(void);
/* What a maker said. 0, or the error that it told; *ret is owned. */
int maker_read(int fd, struct frozen *ret, struct err *err);

#endif
