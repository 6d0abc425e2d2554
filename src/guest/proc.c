/* SPDX-License-Identifier: Apache-2.0
 *
 * proc: see proc.h. Other threads exist (file relay, setup), so that between fork and exec only system calls are made:
 * everything that allocates happens before the fork. Identity is set by bare system calls, because libc's
 * wrappers talk to threads that the child does not have.
 */
#include "guest/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

#define PATH_ELEMENTS_MAX 256

void proc_candidates_free(char **list)
{
	for (char **c = list; c && *c; c++)
		free(*c);
	free(list);
}

char **proc_candidates(const char *program, const char *path)
{
	char **list = calloc(PATH_ELEMENTS_MAX + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return NULL;
	if (strchr(program, '/')) {
		list[0] = strdup(program);
		if (list[0])
			return list;
		free(list);
		return NULL;
	}
	for (const char *p = path; n < PATH_ELEMENTS_MAX; p++) {
		size_t len = strcspn(p, ":");

		/* An empty element is the working directory (POSIX, XBD 8.3). */
		list[n] = len ? str_new("%.*s/%s", (int)len, p, program) : str_new("./%s", program);
		if (!list[n++]) {
			proc_candidates_free(list);
			return NULL;
		}
		p += len;
		if (!*p)
			break;
	}
	return list;
}

static void fail(int fd, enum proc_step step) __attribute__((noreturn));
static void fail(int fd, enum proc_step step)
{
	struct proc_failure f = { .step = (int)step, .errnum = errno };

	(void)!write(fd, &f, sizeof(f));
	_exit(127);
}

/* Our 0-2 are never closed, so that none of the descriptors given is one of them. */
static int take_stdio(const struct proc *p)
{
	if (setsid() < 0 || (p->tty && ioctl(p->in, TIOCSCTTY, 0) < 0))
		return -1;
	if (dup2(p->in, 0) < 0 || dup2(p->out, 1) < 0 || dup2(p->err, 2) < 0)
		return -1;
	return (int)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
}

static int take_identity(const struct user *u)
{
	if (syscall(SYS_setgroups, u->ngroups, u->groups) < 0 || syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
		return -1;
	return (int)syscall(SYS_setresuid, u->uid, u->uid, u->uid);
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* As execvp(3): what is not there is passed over, what may not be run is remembered. */
static void try_all(const struct proc *p, char *const *candidates)
{
	int denied = 0;

	for (; *candidates; candidates++) {
		(void)execve(*candidates, p->argv, p->envp);
		if (errno == EACCES)
			denied = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR && errno != ENODEV && errno != ESTALE)
			return;
	}
	errno = denied ? denied : ENOENT;
}

static void child(const struct proc *p, char *const *candidates, int status) __attribute__((noreturn));
static void child(const struct proc *p, char *const *candidates, int status)
{
	if (take_stdio(p) < 0)
		fail(status, PROC_STEP_SETUP);
	(void)umask(022);
	if (take_identity(p->user) < 0)
		fail(status, PROC_STEP_USER);
	reset_signals();
	if (chdir(p->cwd) < 0 && (!p->cwd_optional || chdir("/") < 0))
		fail(status, PROC_STEP_CWD);
	try_all(p, candidates);
	fail(status, PROC_STEP_EXEC);
}

int proc_start(const struct proc *p, pid_t *ret_pid, int *ret_status, struct err *err)
{
	char **candidates = proc_candidates(p->argv[0], p->path);
	auto_fd int rd = -1, wr = -1;
	int fds[2], e;
	sigset_t all, old;
	pid_t pid;

	if (!candidates || pipe2(fds, O_CLOEXEC) < 0) {
		e = candidates ? errno : ENOMEM;
		proc_candidates_free(candidates);
		return err_errno(err, e, "cannot start %.200s", p->argv[0]);
	}
	rd = fds[0];
	wr = fds[1];
	/* No handler of ours may run in the child. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child(p, candidates, wr);
	e = errno;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	proc_candidates_free(candidates);
	if (pid < 0)
		return err_set(err, ERR_UNAVAILABLE, e, "cannot start %.200s: %s", p->argv[0], strerror(e));
	*ret_pid = pid;
	*ret_status = TAKE_FD(rd);
	return 0;
}

int proc_explain(const struct proc_failure *f, const char *program, const char *cwd, const char *user,
		 struct err *err)
{
	int e = f->errnum > 0 ? f->errnum : EIO;

	switch (f->step) {
	case PROC_STEP_CWD:
		return err_errno(err, e, "working directory %.200s", cwd);
	case PROC_STEP_USER:
		return err_errno(err, e, "cannot become the user %.100s", user);
	case PROC_STEP_EXEC:
		if (e == ENOENT && !strchr(program, '/'))
			return err_set(err, ERR_NOT_FOUND, e, "%.200s: command not found", program);
		if (e == ENOENT)
			return err_set(err, ERR_NOT_FOUND, e, "%.200s: no such file, or its interpreter is missing",
				       program);
		if (e == ENOEXEC)
			return err_set(err, ERR_INVALID, e, "%.200s: not a program (no #! line?)", program);
		return err_errno(err, e, "%.200s", program);
	default:
		return err_errno(err, e, "cannot prepare %.200s", program);
	}
}
