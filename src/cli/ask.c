/* SPDX-License-Identifier: Apache-2.0
 *
 * ask: see ask.h.
 */
#include "cli/ask.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"

static struct termios typed;

static void echo_again(int sig)
{
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &typed);
	if (sig)
		_exit(128 + sig);
}

ssize_t ask_hidden(const char *prompt, char *dst, size_t size)
{
	struct termios hidden;
	ssize_t n;

	if (tcgetattr(STDIN_FILENO, &typed) < 0)
		return -errno;
	hidden = typed;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	(void)signal(SIGINT, echo_again);
	(void)signal(SIGTERM, echo_again);
	(void)fprintf(stderr, "%s: ", prompt);
	(void)fflush(stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	n = read(STDIN_FILENO, dst, size);
	echo_again(0);
	(void)fputc('\n', stderr);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	return n < 0 ? -errno : n;
}

bool ask_yes(const char *question)
{
	char line[64] = "";

	(void)fprintf(stderr, "%s (y/N) ", question);
	(void)fflush(stderr);
	return fgets(line, sizeof(line), stdin) && (str_eq(line, "y\n") || str_eq(line, "Y\n") || str_eq(line, "yes\n"));
}

int ask_possible(struct cli *c, const char *flag, const char *command)
{
	if (cli_interactive())
		return 0;
	cli_hint(c, "%s", command);
	return err_set(&c->err, ERR_INVALID, ENOTTY, "stdin is not a terminal, so nobody can confirm: use %s", flag);
}

int ask_confirm(struct cli *c, const char *flag, const char *command, const char *question, const char *kept)
{
	int r = ask_possible(c, flag, command);

	if (r < 0)
		return r;
	return ask_yes(question) ? 0 : err_set(&c->err, ERR_INVALID, ECANCELED, "cancelled: %s", kept);
}

size_t ask_chomp(const char *text, size_t n)
{
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	return n;
}
