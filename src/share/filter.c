/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: see filter.h. Descriptors cannot be received or sent (no recvmsg, no sendmsg).
 */
#include "share/filter.h"

#include <seccomp.h>

#include "base/own.h"
#include "base/syscalls.h"

static const int allowed[] = {
	/* the door and the log */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(poll), SCMP_SYS(ppoll),
	/* names */
	SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(close), SCMP_SYS(mkdirat), SCMP_SYS(mknodat), SCMP_SYS(unlinkat),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(symlinkat), SCMP_SYS(linkat), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
	/* content */
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(copy_file_range), SCMP_SYS(flock), SCMP_SYS(fcntl),
	/* attributes */
	SCMP_SYS(statx), SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(fchmodat), SCMP_SYS(utimensat),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(getxattr), SCMP_SYS(setxattr), SCMP_SYS(listxattr),
	SCMP_SYS(removexattr),
	/* the process itself */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rseq),
};

/* No program asks for these by accident. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(clone3),
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept),
	SCMP_SYS(accept4), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(open_tree),
	SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(unshare), SCMP_SYS(setns),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(keyctl),
	SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
};

int filter_install(struct err *err)
{
	return syscalls_restrict(&(struct syscalls){ allowed, ARRAY_LEN(allowed), deadly, ARRAY_LEN(deadly) }, err);
}
