/* SPDX-License-Identifier: Apache-2.0
 *
 * env: see env.h.
 */
#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

const char *env_get(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static const char *home(void)
{
	const char *h = env_get("HOME");
	struct passwd *pw;

	if (h && h[0] == '/')
		return h;
	pw = getpwuid(getuid());
	return pw ? pw->pw_dir : NULL;
}

static int one(char *dst, size_t size, const char *var, const char *fallback, struct err *err)
{
	const char *v = env_get(var), *h;

	if (v && v[0] == '/')
		return str_format(dst, size, "%s/sbx", v) < 0
			       ? err_set(err, ERR_INVALID, ENAMETOOLONG, "%s is too long a path", var)
			       : 0;
	h = home();
	if (!h)
		return err_set(err, ERR_INVALID, 0, "no home directory is known: set HOME or %s", var);
	return str_format(dst, size, "%s/%s/sbx", h, fallback) < 0
		       ? err_set(err, ERR_INVALID, ENAMETOOLONG, "HOME is too long a path")
		       : 0;
}

int env_dirs(struct env_dirs *ret, struct err *err)
{
	const char *run = env_get("XDG_RUNTIME_DIR");
	int r = one(ret->state, sizeof(ret->state), "XDG_STATE_HOME", ".local/state", err);

	if (r == 0)
		r = one(ret->cache, sizeof(ret->cache), "XDG_CACHE_HOME", ".cache", err);
	if (r == 0)
		r = one(ret->config, sizeof(ret->config), "XDG_CONFIG_HOME", ".config", err);
	if (r < 0)
		return r;
	if (run && run[0] == '/')
		r = str_format(ret->runtime, sizeof(ret->runtime), "%s/sbx", run);
	else
		r = str_format(ret->runtime, sizeof(ret->runtime), "%.4080s/run", ret->state);
	return r < 0 ? err_set(err, ERR_INVALID, ENAMETOOLONG, "XDG_RUNTIME_DIR is too long a path") : 0;
}

int env_ensure(const char *dir, struct err *err)
{
	auto_fd int fd = -1;
	int r = io_mkdirs(dir, 0700);

	if (r < 0)
		return err_errno(err, -r, "cannot make the directory %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the directory %s", dir);
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_errno(err, errno, "cannot write to %s: make it writable, or set the XDG directories elsewhere",
				 dir);
	return 0;
}

const char *env_bindir(void)
{
	static char dir[4096];
	ssize_t n;
	char *slash;

	if (dir[0])
		return dir;
	n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	if (n <= 0) {
		dir[0] = 0;
		return NULL;
	}
	dir[n] = 0;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	return dir;
}

char *env_program(const char *name)
{
	const char *dir = env_bindir();

	return dir ? str_new("%s/%s", dir, name) : NULL;
}

char *env_data(const char *name)
{
	const char *dir = env_bindir();

	return dir ? str_new("%s/../share/sbx/%s", dir, name) : NULL;
}
