/* SPDX-License-Identifier: Apache-2.0
 *
 * browser: see browser.h.
 */
#include "cli/browser.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/env.h"
#include "base/own.h"
#include "base/spawn.h"

#define FAIL_MS 2000

const char *browser_find(void)
{
	const char *own = env_get("BROWSER");

	/* A list, a command line or a template is xdg-open's to understand. */
	if (own && !strpbrk(own, " \t:%"))
		return own;
	return env_get("DISPLAY") || env_get("WAYLAND_DISPLAY") ? "xdg-open" : NULL;
}

int browser_open(const char *program, const char *url, struct err *err)
{
	const char *const argv[] = { program, url, NULL };
	auto_fd int null = open("/dev/null", O_WRONLY | O_CLOEXEC), pidfd = -1;
	struct spawn s = { .path = program, .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = null };
	int status = 0, r = null < 0 ? err_errno(err, errno, "/dev/null") : spawn_start(&s, NULL, &pidfd, err);

	if (r < 0)
		return r;
	if (spawn_wait(pidfd, FAIL_MS, &status) == 0 && status != 0)
		return err_set(err, ERR_UNAVAILABLE, EIO, "%s failed", program);
	return 0;
}
