/* SPDX-License-Identifier: Apache-2.0
 *
 * confine: see confine.h. No memory can be made executable afterwards, so the name service's modules are loaded before. It has no
 * Unix sockets but the keeper's, which is open: those of sandboxd would be a way out.
 */
#include "login/confine.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/landlock.h"
#include "base/own.h"
#include "base/str.h"
#include "base/syscalls.h"

#define NSSWITCH "/etc/nsswitch.conf"
#define NSSWITCH_MAX 16384

static const int allowed[] = {
	/* connections */
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ioctl), SCMP_SYS(socketpair),
	SCMP_SYS(pipe2), SCMP_SYS(eventfd2),
	/* descriptors, and the files of name resolution */
	SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(fcntl), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(stat), SCMP_SYS(lseek), SCMP_SYS(pread64),
	/* the process itself, and the thread that resolves a name */
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock), SCMP_SYS(futex),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getrandom), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(tgkill), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
};

/* No program asks for these by accident. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
	SCMP_SYS(fsmount), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(open_by_handle_at), SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module),
	SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
};

/* Netlink: which addresses this host has, which getaddrinfo sorts by. */
static const int families[] = { AF_INET, AF_INET6, AF_NETLINK };

/* "hosts: files mymachines dns": libnss_mymachines.so.2 and so on, as nsswitch.conf(5) says. Those that the C library has itself are
 * not there as files. */
static void load_modules(char *words)
{
	char *word;

	while ((word = strsep(&words, " \t"))) {
		char name[64];

		if (word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(word) &&
		    str_format(name, sizeof(name), "libnss_%s.so.2", word) == 0)
			(void)dlopen(name, RTLD_NOW | RTLD_NODELETE);
	}
}

static void load_name_service(void)
{
	auto_free char *text = NULL;
	char *rest, *line;

	if (io_read_file(AT_FDCWD, NSSWITCH, NSSWITCH_MAX, &text, NULL) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		line += strspn(line, " \t");
		if (str_starts(line, "hosts:"))
			load_modules(line + strlen("hosts:"));
	}
}

/* 1, 0 or -errno, as landlock_read_only. */
static int only_names(void)
{
	static const char *const paths[] = { NSSWITCH, "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf",
					     "/run/systemd/resolve" };
	int fds[ARRAY_LEN(paths)], r;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		fds[n] = open(paths[i], O_PATH | O_CLOEXEC);
		if (fds[n] >= 0)
			n++;
	}
	r = landlock_read_only(fds, n);
	while (n-- > 0)
		own_close_p(&fds[n]);
	return r;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

int confine(struct err *err)
{
	const struct syscalls calls = { .allowed = allowed,
					.nallowed = ARRAY_LEN(allowed),
					.deadly = deadly,
					.ndeadly = ARRAY_LEN(deadly),
					.families = families,
					.nfamilies = ARRAY_LEN(families),
					.read_files = true };
	const struct rlimit none = { 0 };
	int r;

	load_name_service();
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, errno, "sbx-login cannot give up privileges");
	r = drop_capabilities();
	if (r == 0)
		r = only_names();
	if (r < 0)
		return err_errno(err, -r, "sbx-login cannot be confined");
	return syscalls_restrict(&calls, err);
}
