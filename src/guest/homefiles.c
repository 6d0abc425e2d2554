/* SPDX-License-Identifier: Apache-2.0
 *
 * homefiles: see homefiles.h. The child says over a pipe which file failed and why; its exit status goes to the loop's
 * reaper.
 */
#include "guest/homefiles.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define TIMEOUT_MS 20000
#define PATH_MAX_BYTES 512

/* What the child says. */
struct result {
	int32_t error; /* errno; 0: all is written */
	uint32_t file; /* which one */
};

static bool path_ok(const char *s)
{
	if (!s || strlen(s) >= PATH_MAX_BYTES)
		return false;
	for (;; s++) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

static bool mode_of(const json_t *file, mode_t *ret)
{
	const char *s = json_string_value(json_object_get(file, "mode"));
	mode_t mode = 0;

	if (!s || !*s || strlen(s) > 4 || s[strspn(s, "01234567")])
		return false;
	for (; *s; s++)
		mode = mode * 8 + (mode_t)(*s - '0');
	*ret = mode & 0777;
	return true;
}

int homefiles_check(const json_t *list, struct err *err)
{
	const json_t *file;
	mode_t mode;
	size_t i;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > HOMEFILES_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "\"files\" is not a list of at most %d files", HOMEFILES_MAX);
	json_array_foreach(list, i, file)
		if (!path_ok(json_string_value(json_object_get(file, "path"))) || !mode_of(file, &mode) ||
		    !json_is_string(json_object_get(file, "content")))
			return err_set(err, ERR_INVALID, EINVAL, "\"files\"[%zu] has no path below a home folder, mode or content", i);
	return 0;
}

/* The folders on the way to a file, as far as they are missing. */
static int make_parents(int home, const char *path)
{
	char part[PATH_MAX_BYTES];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)str_format(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(home, part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int write_one(int home, const json_t *file)
{
	const char *path = json_string_value(json_object_get(file, "path"));
	const json_t *content = json_object_get(file, "content");
	auto_fd int fd = -1;
	mode_t mode = 0;
	int r = make_parents(home, path);

	if (r < 0 || !mode_of(file, &mode))
		return r < 0 ? r : -EINVAL;
	fd = openat(home, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = io_write_all(fd, json_string_value(content), json_string_length(content));
	return r == 0 && fchmod(fd, mode) < 0 ? -errno : r;
}

static void child(const json_t *list, const struct user *agent, int out) __attribute__((noreturn));
static void child(const json_t *list, const struct user *agent, int out)
{
	struct result res = { 0 };
	const json_t *file;
	int home, r = 0;
	size_t i;

	if (setgroups(agent->ngroups, agent->groups) < 0 || setresgid(agent->gid, agent->gid, agent->gid) < 0 ||
	    setresuid(agent->uid, agent->uid, agent->uid) < 0)
		r = -errno;
	home = r == 0 ? open(agent->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (r == 0 && home < 0)
		r = -errno;
	json_array_foreach(list, i, file) {
		if (r < 0)
			break;
		res.file = (uint32_t)i;
		r = write_one(home, file);
	}
	res.error = -r;
	(void)!write(out, &res, sizeof(res));
	_exit(0);
}

int homefiles_write(const json_t *list, const struct user *agent, struct err *err)
{
	auto_fd int rd = -1, wr = -1;
	struct result res;
	struct pollfd p;
	int fds[2];
	pid_t pid;

	if (json_array_size(list) == 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot write the agent's files");
	rd = fds[0];
	wr = fds[1];
	pid = fork();
	if (pid == 0)
		child(list, agent, wr);
	own_close_p(&wr);
	p = (struct pollfd){ .fd = rd, .events = POLLIN };
	if (pid < 0 || poll(&p, 1, TIMEOUT_MS) <= 0 || read(rd, &res, sizeof(res)) != sizeof(res))
		return err_set(err, ERR_UNAVAILABLE, EIO, "the agent's files could not be written");
	if (res.error == 0)
		return 0;
	return err_errno(err, res.error, "cannot write %s/%.200s in the sandbox", agent->home,
			 json_string_value(json_object_get(json_array_get(list, res.file), "path")));
}
