/* SPDX-License-Identifier: Apache-2.0
 *
 * keyprog: see keyprog.h. Enters: one line of our own program.
 */
#include "base/keyprog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"

#define ARGS_MAX 6
#define INPUT_MAX 4096 /* fits into a pipe */
#define DERIVE_WAIT_MS 60000

static int read_line(char *text, struct keyprog_answer *ret)
{
	char *space = strchr(text, ' '), *end = strchr(text, '\n');

	*ret = (struct keyprog_answer){ 0 };
	if (!end)
		return 0;
	*end = 0;
	if (!space)
		return str_u64(text, UINT64_MAX, &ret->expires_s);
	*space = 0;
	if (strlen(text) != KEYPROG_KEY - 1)
		return -EINVAL;
	memcpy(ret->key, text, KEYPROG_KEY);
	return str_u64(space + 1, UINT64_MAX, &ret->expires_s);
}

/* Without what spawn says of the program: only what the program says of the key is of use to a person. */
static int shorten(struct err *err)
{
	static const char mark[] = "): ";
	const char *at = strstr(err->msg, mark);
	char text[sizeof(err->msg)];

	(void)str_format(text, sizeof(text), "%s", at && at[sizeof(mark) - 1] ? at + sizeof(mark) - 1 : err->msg);
	return err_set(err, ERR_UNAVAILABLE, ENOKEY, "%s", text);
}

int keyprog_ask(const char *const *args, const char *input, size_t n, struct keyprog_answer *ret, struct err *err)
{
	auto_free char *path = env_program("sbx-keyring");
	const char *argv[ARGS_MAX + 2] = { "sbx-keyring" };
	auto_fd int in = -1;
	struct err why = { 0 };
	/* It computes, and waits for nobody. */
	const int wait_ms = str_eq(args[0], "derive") ? DERIVE_WAIT_MS : KEYPROG_WAIT_MS;
	char *out = NULL;
	int fds[2], r;

	for (size_t i = 0; i < ARGS_MAX && args[i]; i++)
		argv[i + 1] = args[i];
	if (!path || n > INPUT_MAX || pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, !path ? ENOMEM : n > INPUT_MAX ? EMSGSIZE : errno, "cannot start sbx-keyring");
	in = fds[0];
	r = io_write_all(fds[1], input, n);
	(void)close(fds[1]);
	if (r < 0)
		return err_errno(err, -r, "sbx-keyring");
	r = spawn_run(&(struct spawn){ .path = path, .argv = argv, .stdin_fd = in, .stdout_fd = -1, .stderr_fd = -1, .die_with_parent = true },
		      wait_ms, 4096, &out, &why);
	if (r == -ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, ETIMEDOUT, "sbx-keyring did not answer within %d s", wait_ms / 1000);
	if (r < 0) {
		(void)shorten(&why);
		return err_set(err, why.kind, why.errnum, "%s", why.msg);
	}
	r = read_line(out, ret);
	explicit_bzero(out, strlen(out));
	free(out);
	return r < 0 ? err_set(err, ERR_INTERNAL, EBADMSG, "sbx-keyring's answer makes no sense") : 0;
}
