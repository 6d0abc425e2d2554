/* SPDX-License-Identifier: Apache-2.0
 *
 * term: see term.h. One terminal per process, so its state is static.
 */
#include "cli/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/own.h"

static struct termios before;
static volatile sig_atomic_t raw_fd = -1;

void term_restore(void)
{
	int fd = raw_fd;

	if (fd < 0)
		return;
	raw_fd = -1;
	(void)tcsetattr(fd, TCSADRAIN, &before);
}

static void on_crash(int sig)
{
	term_restore();
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static void guard(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static int done;

	if (done)
		return;
	done = 1;
	(void)atexit(term_restore);
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		(void)signal(crashes[i], on_crash);
}

int term_raw(int fd)
{
	struct termios raw;

	if (raw_fd < 0 && tcgetattr(fd, &before) < 0)
		return -errno;
	raw = before;
	cfmakeraw(&raw);
	guard();
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0)
		return -errno;
	raw_fd = fd;
	return 0;
}

void term_reset_modes(int fd)
{
	static const char modes[] = "\033[?1047l\033[?25h\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?2004l\033[0m\r\n";

	(void)!write(fd, modes, sizeof(modes) - 1);
}

void term_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize ws = { 0 };

	if (ioctl(fd, TIOCGWINSZ, &ws) < 0 || ws.ws_row == 0 || ws.ws_col == 0)
		ws = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	*ret_rows = ws.ws_row;
	*ret_cols = ws.ws_col;
}
