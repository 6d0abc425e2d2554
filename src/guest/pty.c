/* SPDX-License-Identifier: Apache-2.0
 *
 * pty: see pty.h. /dev/ptmx is opened by each session anew, in the sandbox's own devpts.
 */
#include "guest/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/own.h"

#define TTY_GID 5 /* as devpts is mounted */

void pty_resize(int master, uint16_t rows, uint16_t cols)
{
	struct winsize ws = { .ws_row = rows, .ws_col = cols };

	(void)ioctl(master, TIOCSWINSZ, &ws);
}

int pty_open(const struct user *u, uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave, struct err *err)
{
	auto_fd int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1;
	struct termios t;
	int zero = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) < 0)
		return err_errno(err, errno, "cannot open a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || fchown(slave, u->uid, TTY_GID) < 0 || fchmod(slave, 0620) < 0 || tcgetattr(slave, &t) < 0)
		return err_errno(err, errno, "cannot set up a terminal");
	t.c_iflag |= IUTF8;
	(void)tcsetattr(slave, TCSANOW, &t);
	pty_resize(master, rows, cols);
	*ret_master = TAKE_FD(master);
	*ret_slave = TAKE_FD(slave);
	return 0;
}

pid_t pty_foreground(int master)
{
	pid_t pgrp = 0;

	return ioctl(master, TIOCGPGRP, &pgrp) < 0 || pgrp <= 1 ? 0 : pgrp;
}

int pty_eof_byte(int master)
{
	struct termios t;

	if (tcgetattr(master, &t) < 0 || !(t.c_lflag & ICANON) || t.c_cc[VEOF] == _POSIX_VDISABLE)
		return -1;
	return t.c_cc[VEOF];
}
