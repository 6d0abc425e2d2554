/* SPDX-License-Identifier: Apache-2.0
 *
 * pty: a pseudo-terminal for a session (pts(4)).
 */
#ifndef SBX_GUEST_PTY_H
#define SBX_GUEST_PTY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "guest/users.h"

/* Both ends are owned by the caller; the slave belongs to the user (group tty) and has the size. */
int pty_open(const struct user *u, uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave, struct err *err);
void pty_resize(int master, uint16_t rows, uint16_t cols);
/* The foreground process group, 0 where there is none. */
pid_t pty_foreground(int master);
/* The byte that means end of file now, -1 where the terminal is not in canonical mode. */
int pty_eof_byte(int master);

#endif
