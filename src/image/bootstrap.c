/* SPDX-License-Identifier: Apache-2.0
 *
 * bootstrap: see bootstrap.h. The root file system grows in the job's directory, or where that is mounted in a way
 * that programs or devices do not work, in a temporary directory elsewhere that the symlink TMP names.
 */
#include "image/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/lines.h"
#include "image/run.h"

#define TMP "tmp"
#define MAX_ARGS 64
#define MAX_DPKG 32
#define CHECK_TIMEOUT_MS 30000
#define CLEAN_TIMEOUT_MS (5 * 60 * 1000)

/* The beginning of a command that runs as root of namespaces of its own. */
static size_t enter(const char **argv)
{
	static const char *const all[] = { "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc" };
	static const char *const user[] = { "--user", "--map-root-user", "--map-auto" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		argv[n++] = all[i];
	for (size_t i = 0; geteuid() != 0 && i < ARRAY_LEN(user); i++)
		argv[n++] = user[i];
	return n;
}

/* Whether a file of subordinate ids has a line for this user. */
static bool has_subids(const char *path, const char *name)
{
	auto_free char *text = NULL;
	char line[256], number[24];
	const char *at;

	if (io_read_file(AT_FDCWD, path, 1U << 20, &text, NULL) < 0)
		return false;
	(void)str_format(number, sizeof(number), "%u", geteuid());
	at = text;
	while (lines_next(&at, line, sizeof(line))) {
		line[strcspn(line, ":")] = 0;
		if (str_eq(line, name) || str_eq(line, number))
			return true;
	}
	return false;
}

static int check_user(struct err *err)
{
	const struct passwd *pw = getpwuid(geteuid());
	const char *name = pw ? pw->pw_name : "";

	if (!run_exists("newuidmap"))
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "newuidmap is missing, which an ordinary user needs to make a template: apt-get install uidmap");
	if (!has_subids("/etc/subuid", name) || !has_subids("/etc/subgid", name))
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "user %s has no subordinate ids in /etc/subuid and /etc/subgid: "
			       "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s",
			       name, name);
	return 0;
}

int bootstrap_check(const struct job *j, struct err *err)
{
	const char *argv[16] = { 0 };
	struct spawn s = { .path = "unshare", .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	size_t n = enter(argv);
	struct err e = { 0 };
	int r = geteuid() == 0 ? 0 : check_user(err);

	if (r < 0)
		return r;
	argv[n] = "true";
	r = spawn_run(&s, CHECK_TIMEOUT_MS, 4096, NULL, &e);
	if (r == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, EPERM, "cannot make namespaces to build in: %.200s; %s", e.msg,
		       geteuid() == 0 ? "a container needs CAP_SYS_ADMIN for it" :
					"sudo sysctl kernel.unprivileged_userns_clone=1 where that is 0, or build as root");
}

int bootstrap_clean(const struct job *j, struct err *err)
{
	char target[4096];
	const char *argv[16] = { 0 };
	struct spawn s = { .path = "unshare", .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1,
			   .cwd = j->dir };
	ssize_t len = readlinkat(j->fd, TMP, target, sizeof(target) - 1);
	size_t n = enter(argv);
	int r;

	if (faccessat(j->fd, TMP, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	target[len > 0 ? len : 0] = 0;
	argv[n++] = "rm";
	argv[n++] = "-rf";
	argv[n++] = "--one-file-system";
	argv[n++] = "--";
	if (len > 0)
		argv[n++] = target;
	argv[n++] = TMP; /* last: while it is there, the target is known */
	/* Files of subordinate ids can be removed only from within. */
	r = spawn_run(&s, CLEAN_TIMEOUT_MS, 65536, NULL, err);
	return r < 0 ? err_wrap(err, "cannot remove %s/" TMP, j->dir) : 0;
}

static bool usable(const char *dir)
{
	struct statvfs v;

	return dir && dir[0] == '/' && statvfs(dir, &v) == 0 && !(v.f_flag & (ST_NOEXEC | ST_NODEV | ST_RDONLY)) &&
	       access(dir, W_OK | X_OK) == 0;
}

/* Where to grow the root file system; ret is absolute. */
static int make_tmp(const struct job *j, char *ret, size_t size, struct err *err)
{
	const char *others[] = { env_get("TMPDIR"), "/var/tmp", "/tmp" };

	if (usable(j->dir)) {
		if (mkdirat(j->fd, TMP, 0700) < 0)
			return err_errno(err, errno, "cannot make %s/" TMP, j->dir);
		return str_format(ret, size, "%s/" TMP, j->dir);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (!usable(others[i]) || str_format(ret, size, "%s/sbx-image.XXXXXX", others[i]) < 0 || !mkdtemp(ret))
			continue;
		if (symlinkat(ret, j->fd, TMP) < 0) {
			int e = errno;

			(void)rmdir(ret);
			return err_errno(err, e, "cannot make %s/" TMP, j->dir);
		}
		return 0;
	}
	return err_set(err, ERR_UNAVAILABLE, ENOEXEC,
		       "%.200s is mounted noexec or nodev, and so is every temporary directory: set XDG_CACHE_HOME or TMPDIR "
		       "to a directory where programs and devices work",
		       j->dir);
}

struct phase {
	const struct job *job;
	size_t packages; /* expected */
	size_t seen;	 /* lines of dpkg that tell of one: unpacked and set up */
};

/* dpkg tells of each package twice. */
static bool dpkg_line(void *user, const char *line)
{
	struct phase *p = user;

	if (str_starts(line, "Unpacking ") || str_starts(line, "Setting up "))
		p->seen++;
	if (p->packages > 0)
		progress_percent(p->job->progress, (int)(p->seen * 99 / (2 * p->packages)));
	return false;
}

struct args {
	const char *argv[MAX_ARGS];
	size_t n;
	char *owned[MAX_ARGS]; /* freed by args_done */
	size_t nowned;
	bool failed;
};

static void arg(struct args *a, const char *s)
{
	if (a->n + 1 < MAX_ARGS)
		a->argv[a->n++] = s;
	else
		a->failed = true;
}

/* Owned from here on; NULL (no memory) is remembered. */
static void arg_new(struct args *a, char *s)
{
	if (!s || a->nowned == MAX_ARGS) {
		a->failed = true;
		free(s);
		return;
	}
	a->owned[a->nowned++] = s;
	arg(a, s);
}

static void args_done(struct args *a)
{
	for (size_t i = 0; i < a->nowned; i++)
		free(a->owned[i]);
}

static void hooks(struct args *a, const struct job *j, const struct packages *p)
{
	/* What was downloaded goes in, and out again before the end (customize). */
	arg(a, "--setup-hook=mkdir -p \"$1/var/cache/apt/archives\"");
	arg(a, "--setup-hook=sync-in " PACKAGES_ARCHIVES " /var/cache/apt/archives");
	arg_new(a, str_new("--customize-hook=upload " PACKAGES_KERNEL "/%s /kernel.deb", p->kernel));
	arg_new(a, str_new("--customize-hook=%s", j->template->customize));
	arg(a, "--customize-hook=download /vmlinuz " JOB_VMLINUZ);
	arg(a, "--customize-hook=rm \"$1/vmlinuz\"");
}

static int command(struct args *a, const struct job *j, const struct source *source, const struct packages *p,
		   const char *tmp)
{
	const char *at = j->template->dpkg;
	struct buf text;
	char line[600];
	int r;

	a->n = enter(a->argv);
	arg(a, "env");
	arg_new(a, str_new("TMPDIR=%s", tmp));
	arg(a, "mmdebstrap");
	arg(a, "--mode=root");
	arg(a, "--verbose");
	arg(a, "--variant=minbase");
	arg(a, "--format=tar");
	arg_new(a, str_new("--architectures=%s", j->template->arch));
	arg_new(a, str_new("--aptopt=%s/" PACKAGES_ACQUIRE, j->dir));
	while (lines_entry(&at, line, sizeof(line)))
		arg_new(a, str_new("--dpkgopt=%s", line));
	hooks(a, j, p);
	buf_init(&text, 65536);
	r = lines_join(j->template->packages, ",", &text);
	if (r == 0)
		arg_new(a, str_new("--include=%s", buf_cstr(&text)));
	buf_done(&text);
	arg(a, j->template->suite);
	arg(a, "-");
	if (r == 0)
		r = source_list(source, j->template->suite, &text);
	at = r == 0 ? buf_cstr(&text) : NULL;
	while (at && lines_next(&at, line, sizeof(line)))
		arg_new(a, str_new("%s", line));
	buf_done(&text);
	return r < 0 ? r : a->failed || !at ? -ENOMEM : 0;
}

int bootstrap_run(const struct job *j, const struct source *source, const struct packages *p, struct err *err)
{
	struct phase phase = { .job = j, .packages = p->count };
	struct args a = { 0 };
	struct run run = { .argv = a.argv, .stdin_fd = -1, .line = dpkg_line, .user = &phase };
	auto_fd int tar = -1;
	char tmp[4200];
	struct err ignored;
	int r = bootstrap_clean(j, err);

	if (r == 0)
		r = make_tmp(j, tmp, sizeof(tmp), err);
	if (r < 0)
		return r;
	r = command(&a, j, source, p, tmp);
	tar = r < 0 ? r : job_begin(j, JOB_TAR);
	if (tar < 0) {
		r = err_errno(err, -tar, "cannot begin %s/" JOB_TAR, j->dir);
	} else {
		run.stdout_fd = tar;
		r = run_tool(&run, j, err);
	}
	args_done(&a);
	/* On failure the next run cleans up in any case. */
	(void)bootstrap_clean(j, &ignored);
	if (r == 0)
		r = job_finish(j, JOB_TAR, tar, err);
	return r < 0 && r != -EINTR ? err_wrap(err, "cannot install the template's packages") : r;
}
