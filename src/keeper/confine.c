/* SPDX-License-Identifier: Apache-2.0
 *
 * confine: see confine.h. The filter alone keeps the network away (no socket can be made); the namespace is for the case
 * that it has a hole.
 */
#include "keeper/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/landlock.h"
#include "base/own.h"
#include "base/str.h"
#include "base/syscalls.h"

/* What users outside a user namespace look like from inside: whoever is that himself could not tell them apart. */
#define OVERFLOW_UID 65534

static const int allowed[] = {
	/* connections and the log */
	SCMP_SYS(accept4), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(close), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(fcntl),
	/* files of keys */
	SCMP_SYS(openat), SCMP_SYS(read), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek),
	SCMP_SYS(fsync), SCMP_SYS(renameat), SCMP_SYS(unlinkat), SCMP_SYS(geteuid),
	/* the process itself */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock),
	SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rseq),
};

/* No program asks for these by accident. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(clone3),
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsmount),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(open_by_handle_at), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
};

static int put(const char *path, const char *text)
{
	auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = __builtin_strlen(text);

	return fd < 0 ? -errno : io_write_all(fd, text, n);
}

/* An ordinary user may make a network namespace inside a user namespace, in which he is himself. Peers of other uids
 * are nobody there, and so not he. Without the mapping everything would be nobody's. */
static bool leave_with_user(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char line[64];
	bool ok;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	(void)str_format(line, sizeof(line), "%u %u 1", uid, uid);
	ok = put("/proc/self/uid_map", line) == 0 && put("/proc/self/setgroups", "deny") == 0;
	(void)str_format(line, sizeof(line), "%u %u 1", gid, gid);
	(void)put("/proc/self/gid_map", line);
	return ok;
}

/* There is no way back out of a user namespace that cannot be mapped (some hosts allow only the first half): a child
 * tries it. */
static bool can_leave_with_user(void)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0)
		_exit(leave_with_user() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool leave_network(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	return geteuid() != OVERFLOW_UID && can_leave_with_user() && leave_with_user();
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

int confine(int only_dirfd, struct confined *ret, struct err *err)
{
	const struct syscalls calls = { allowed, ARRAY_LEN(allowed), deadly, ARRAY_LEN(deadly) };
	const struct rlimit no_core = { 0 };
	uid_t uid = geteuid();
	bool netns = leave_network();
	int r;

	if (geteuid() != uid)
		return err_set(err, ERR_INTERNAL, EPERM, "the user namespace has no mapping for uid %u", uid);
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, errno, "cannot give up privileges");
	r = drop_capabilities();
	if (r < 0)
		return err_errno(err, -r, "cannot drop capabilities");
	r = landlock_only_below(only_dirfd);
	*ret = (struct confined){ .netns = netns, .landlock = r > 0 };
	return syscalls_restrict(&calls, err);
}
