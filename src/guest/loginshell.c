/* SPDX-License-Identifier: Apache-2.0
 *
 * loginshell: see loginshell.h. Enters: a file of the sandbox, which its user may have changed. In other shells than bash, EUID is
 * not set, and `id` is still asked.
 */
#include "guest/loginshell.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define PROFILE_MAX 16384

static const struct {
	const char *from, *to;
} changes[] = {
	{ "[ \"$(id -u)\" -eq 0 ]", "[ \"${EUID:-$(id -u)}\" -eq 0 ]" },
	{ "$(run-parts --list --regex '^[a-zA-Z0-9_][a-zA-Z0-9._-]*\\.sh$' /etc/profile.d)", "/etc/profile.d/[a-zA-Z0-9_]*.sh" },
};

/* All of them in text; NULL: out of memory. */
static char *replace(const char *text, const char *from, const char *to)
{
	char *whole = strdup(text);

	for (char *at = whole; whole && (at = strstr(at, from));) {
		size_t before = (size_t)(at - whole);
		char *next = str_new("%.*s%s%s", (int)before, whole, to, at + strlen(from));

		free(whole);
		whole = next;
		at = next ? next + before + strlen(to) : NULL;
	}
	return whole;
}

int loginshell_mend(const char *path)
{
	auto_fd int fd = -1;
	auto_free char *old = NULL, *text = NULL;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	r = io_read_file(AT_FDCWD, path, PROFILE_MAX, &old, NULL);
	if (r < 0)
		return r;
	text = strdup(old);
	for (size_t i = 0; text && i < ARRAY_LEN(changes); i++) {
		char *next = replace(text, changes[i].from, changes[i].to);

		free(text);
		text = next;
	}
	if (!text)
		return -ENOMEM;
	if (str_eq(text, old))
		return 0;
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}
