/* SPDX-License-Identifier: Apache-2.0
 *
 * inject: makes a live process do one system call, to see from the inside what its jail lets through. x86_64.
 *
 *	inject PID openat PATH | creat PATH | execve PATH | connect-unix PATH | socket FAMILY | fork | clone
 *	inject PID syscall NUMBER [ARG...]
 *
 * It attaches to PID's main thread while that sits in a system call, points it at the `syscall` instruction it came
 * through, runs that once with other registers (paths stand below the stack's red zone), and puts everything back:
 * an interrupted call is restarted. What the call opened is closed again, a child is killed before its first
 * instruction. Only an execve that succeeds has no way back: the process is killed then.
 *
 * Prints one line: the name of the errno, the value, or "killed SIGNAL"; a failed step before the last one is named
 * ("socket: EPERM"). Exit: 0 told, 2 usage, 3 could not attach. It waits DEADLINE_MS at most.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

#define DEADLINE_S 20
#define TRIES 500 /* to find it in a system call, TRY_US apart */
#define TRY_US 10000
#define SCRATCH 512 /* bytes of the stack that are borrowed */
#define RED_ZONE 128
#define MAX_ERRNO 4095
#define KERNEL_ERESTARTSYS 512
#define KERNEL_ERESTART_LAST 516

struct target {
	pid_t pid;
	struct user_regs_struct saved;
	uint8_t stack[SCRATCH]; /* what stood at scratch */
	uint64_t scratch;       /* address in the target */
	int status;             /* of the last wait */
	uint64_t late;          /* signals that came meanwhile (bit N: signal N); they are sent again at the end */
};

static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("inject: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(3);
}

static void deadline(int sig)
{
	static const char text[] = "inject: the process did not stop in time\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(3);
}

static const char *result_name(long long r, char text[32])
{
	if (r < 0 && r >= -MAX_ERRNO && strerrorname_np((int)-r))
		return strerrorname_np((int)-r);
	(void)snprintf(text, 32, "%lld", r);
	return text;
}

static long trace(int request, const struct target *t, uintptr_t addr, uintptr_t data)
{
	return ptrace((enum __ptrace_request)request, t->pid, (void *)addr, (void *)data); /* NOLINT: the call's own types */
}

/* Waits for the next stop. False: the process is gone, t->status says how. */
static bool wait_stop(struct target *t)
{
	while (waitpid(t->pid, &t->status, __WALL) < 0)
		if (errno != EINTR)
			fail("cannot wait for %d: %s", t->pid, strerror(errno));
	return WIFSTOPPED(t->status);
}

static void say_killed(const struct target *t)
{
	int sig = WIFSIGNALED(t->status) ? WTERMSIG(t->status) : 0;

	if (sig)
		printf("killed SIG%s\n", sigabbrev_np(sig));
	else
		printf("exited %d\n", WEXITSTATUS(t->status));
	exit(0);
}

static void copy_stack(const struct target *t, uint8_t *bytes, bool out)
{
	for (size_t at = 0; at < SCRATCH; at += sizeof(long)) {
		long word;

		if (out) {
			memcpy(&word, bytes + at, sizeof(word));
			if (trace(PTRACE_POKEDATA, t, t->scratch + at, (uintptr_t)word) < 0)
				fail("cannot write to the stack: %s", strerror(errno));
		} else {
			errno = 0;
			word = trace(PTRACE_PEEKDATA, t, t->scratch + at, 0);
			if (errno)
				fail("cannot read the stack: %s", strerror(errno));
			memcpy(bytes + at, &word, sizeof(word));
		}
	}
}

static int event(const struct target *t)
{
	return t->status >> 16;
}

/* A signal of its own arrives while its registers are not its own: it is kept for later, but for the SIGCHLD of
 * a child that we made and killed. */
static void keep_signal(struct target *t)
{
	int sig = WSTOPSIG(t->status);

	if (event(t) == 0 && sig < 64 && sig != SIGCHLD && sig != SIGTRAP)
		t->late |= UINT64_C(1) << sig;
}

/* Waits for the halt that PTRACE_INTERRUPT asked for, on the thread's way out of the kernel. */
static void await_halt(struct target *t)
{
	while (wait_stop(t) && event(t) != PTRACE_EVENT_STOP) {
		keep_signal(t);
		if (trace(PTRACE_CONT, t, 0, 0) < 0)
			fail("cannot continue %d: %s", t->pid, strerror(errno));
	}
	if (!WIFSTOPPED(t->status))
		say_killed(t);
}

static void halt(struct target *t)
{
	if (trace(PTRACE_INTERRUPT, t, 0, 0) < 0)
		fail("cannot stop %d: %s", t->pid, strerror(errno));
	await_halt(t);
}

static bool in_system_call(struct target *t)
{
	long word;

	if (trace(PTRACE_GETREGS, t, 0, (uintptr_t)&t->saved) < 0)
		fail("cannot read registers: %s", strerror(errno));
	errno = 0;
	word = trace(PTRACE_PEEKTEXT, t, t->saved.rip - 2, 0);
	return !errno && (word & 0xffff) == 0x050f && (long long)t->saved.orig_rax >= 0;
}

static void attach(struct target *t)
{
	const int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			    PTRACE_O_TRACECLONE;

	if (trace(PTRACE_SEIZE, t, 0, (uintptr_t)options) < 0)
		fail("cannot attach to %d: %s", t->pid, strerror(errno));
	halt(t);
	for (int i = 0; !in_system_call(t); i++) {
		if (i == TRIES)
			fail("%d is not to be found waiting in a system call", t->pid);
		(void)trace(PTRACE_CONT, t, 0, 0);
		(void)usleep(TRY_US);
		halt(t);
	}
	t->scratch = (t->saved.rsp - RED_ZONE - SCRATCH) & ~UINT64_C(63);
	copy_stack(t, t->stack, false);
}

/* Kills the child that an injected fork made, before it runs. */
static void kill_child(const struct target *t)
{
	unsigned long child = 0;

	if (trace(PTRACE_GETEVENTMSG, t, 0, (uintptr_t)&child) < 0 || child == 0)
		return;
	(void)kill((pid_t)child, SIGKILL);
	while (waitpid((pid_t)child, NULL, __WALL) < 0 && errno == EINTR)
		;
}

/* Deals with one stop during a call; whether that was the entry or the exit of the call. */
static bool handle_stop(struct target *t)
{
	int sig = WSTOPSIG(t->status), what = event(t);

	if (what == PTRACE_EVENT_EXEC) {
		(void)kill(t->pid, SIGKILL);
		printf("0\n");
		exit(0);
	}
	if (what == 0 && sig == SIGSYS) { /* a filter that traps instead of answering */
		(void)kill(t->pid, SIGKILL);
		printf("trapped SIGSYS\n");
		exit(0);
	}
	if (what == PTRACE_EVENT_FORK || what == PTRACE_EVENT_CLONE || what == PTRACE_EVENT_VFORK)
		kill_child(t);
	if (what == 0 && sig == (SIGTRAP | 0x80))
		return true;
	keep_signal(t);
	return false;
}

/* Whether a filter has sentenced the process: SIGSYS waits, and a call that never ran has left by the usual exit. */
static bool sentenced(const struct target *t)
{
	struct __ptrace_peeksiginfo_args args = { .nr = 8 };
	siginfo_t info[8];
	long n = trace(PTRACE_PEEKSIGINFO, t, (uintptr_t)&args, (uintptr_t)info);

	for (long i = 0; i < n; i++)
		if (info[i].si_signo == SIGSYS)
			return true;
	return false;
}

/* Runs one call; its result as the kernel gave it. Does not return where it ended the process. */
static long long call(struct target *t, long nr, const uint64_t args[6])
{
	struct user_regs_struct regs = t->saved;

	regs.rip = t->saved.rip - 2;
	regs.rax = (unsigned long long)nr;
	regs.orig_rax = (unsigned long long)-1; /* nothing to restart yet */
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (trace(PTRACE_SETREGS, t, 0, (uintptr_t)&regs) < 0)
		fail("cannot set registers: %s", strerror(errno));
	for (int stops = 0; stops < 2;) {
		if (trace(PTRACE_SYSCALL, t, 0, 0) < 0 || !wait_stop(t))
			say_killed(t);
		stops += handle_stop(t);
	}
	while (sentenced(t)) {
		if (trace(PTRACE_CONT, t, 0, 0) < 0 || !wait_stop(t))
			say_killed(t);
		(void)handle_stop(t);
	}
	if (trace(PTRACE_GETREGS, t, 0, (uintptr_t)&regs) < 0)
		fail("cannot read registers: %s", strerror(errno));
	return (long long)regs.rax;
}

/* Puts stack and registers back and lets go. The kernel restarts an interrupted call only on its way out of a halt,
 * so the thread is brought into one first. */
static void detach(struct target *t)
{
	struct user_regs_struct regs = t->saved;
	long long r = (long long)regs.rax;

	copy_stack(t, t->stack, true);
	if (trace(PTRACE_INTERRUPT, t, 0, 0) < 0 || trace(PTRACE_CONT, t, 0, 0) < 0)
		fail("cannot stop %d again: %s", t->pid, strerror(errno));
	await_halt(t);
	/* restart_syscall(2) may be forbidden in there: start the same call over instead. */
	if (r <= -KERNEL_ERESTARTSYS && r >= -KERNEL_ERESTART_LAST)
		regs.rax = (unsigned long long)-KERNEL_ERESTARTSYS;
	if (trace(PTRACE_SETREGS, t, 0, (uintptr_t)&regs) < 0 || trace(PTRACE_DETACH, t, 0, 0) < 0)
		fail("cannot let %d go: %s", t->pid, strerror(errno));
	for (int sig = 1; sig < 64; sig++)
		if (t->late >> sig & 1)
			(void)syscall(SYS_tgkill, t->pid, t->pid, sig);
}

static void put(struct target *t, const void *bytes, size_t n)
{
	uint8_t mine[SCRATCH] = { 0 };

	if (n > sizeof(mine))
		fail("the path is too long");
	memcpy(mine, bytes, n);
	copy_stack(t, mine, true);
}

static void close_in_target(struct target *t, long long fd)
{
	if (fd >= 0)
		(void)call(t, SYS_close, (uint64_t[6]){ (uint64_t)fd });
}

static long long do_open(struct target *t, const char *path)
{
	long long r;

	put(t, path, strlen(path) + 1);
	r = call(t, SYS_openat, (uint64_t[6]){ (uint64_t)AT_FDCWD, t->scratch, O_RDONLY | O_CLOEXEC });
	close_in_target(t, r);
	return r;
}

static long long do_creat(struct target *t, const char *path)
{
	long long r;

	put(t, path, strlen(path) + 1);
	r = call(t, SYS_openat, (uint64_t[6]){ (uint64_t)AT_FDCWD, t->scratch, O_WRONLY | O_CREAT | O_CLOEXEC, 0600 });
	close_in_target(t, r);
	return r;
}

static long long do_execve(struct target *t, const char *path)
{
	uint64_t block[SCRATCH / sizeof(uint64_t)] = { t->scratch + 16, 0 }; /* argv, then the path */

	if (strlen(path) + 17 > SCRATCH)
		fail("the path is too long");
	memcpy(&block[2], path, strlen(path) + 1);
	put(t, block, sizeof(block));
	return call(t, SYS_execve, (uint64_t[6]){ t->scratch + 16, t->scratch, t->scratch + 8 });
}

static int family_of(const char *name)
{
	static const struct {
		const char *name;
		int family;
	} families[] = { { "unix", AF_UNIX },       { "inet", AF_INET },     { "inet6", AF_INET6 },
			 { "netlink", AF_NETLINK }, { "packet", AF_PACKET }, { "vsock", AF_VSOCK } };

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (str_eq(families[i].name, name))
			return families[i].family;
	return -1;
}

static long long do_socket(struct target *t, int family)
{
	uint64_t type = family == AF_NETLINK || family == AF_PACKET ? SOCK_RAW : SOCK_STREAM;

	return call(t, SYS_socket, (uint64_t[6]){ (uint64_t)family, type | SOCK_CLOEXEC, 0 });
}

/* The result of connect; a socket that there is none of is said in *ret_step. */
static long long do_connect(struct target *t, const char *path, const char **ret_step)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	long long fd = do_socket(t, AF_UNIX), r;

	if (fd < 0) {
		*ret_step = "socket: ";
		return fd;
	}
	if (str_format(sa.sun_path, sizeof(sa.sun_path), "%s", path) < 0)
		fail("the path is too long");
	put(t, &sa, sizeof(sa));
	r = call(t, SYS_connect, (uint64_t[6]){ (uint64_t)fd, t->scratch, sizeof(sa) });
	close_in_target(t, fd);
	return r;
}

static int usage(void)
{
	(void)fputs("usage: inject PID openat PATH | creat PATH | execve PATH | connect-unix PATH | socket FAMILY | fork |\n"
		    "                  clone | syscall NUMBER [ARG...]\n", stderr);
	return 2;
}

struct order {
	const char *verb;
	const char *arg; /* NULL where there is none */
	int family;
	uint64_t numbers[7]; /* syscall: number and arguments */
};

static bool parse(int argc, char **argv, pid_t *ret_pid, struct order *ret)
{
	static const char *const with_arg[] = { "openat", "creat", "execve", "connect-unix", "socket" };
	uint64_t pid;

	if (argc < 3 || argc > 10 || str_u64(argv[1], INT_MAX, &pid) < 0)
		return false;
	*ret_pid = (pid_t)pid;
	*ret = (struct order){ .verb = argv[2], .arg = argc > 3 ? argv[3] : NULL };
	if (str_eq(ret->verb, "syscall")) {
		for (int i = 3; i < argc; i++)
			if (str_u64(argv[i], UINT64_MAX, &ret->numbers[i - 3]) < 0)
				return false;
		return argc > 3;
	}
	for (size_t i = 0; i < ARRAY_LEN(with_arg); i++)
		if (str_eq(ret->verb, with_arg[i])) {
			ret->family = ret->arg && str_eq(ret->verb, "socket") ? family_of(ret->arg) : 0;
			return argc == 4 && ret->family >= 0;
		}
	return argc == 3 && (str_eq(ret->verb, "fork") || str_eq(ret->verb, "clone"));
}

static long long obey(struct target *t, const struct order *o, const char **ret_step)
{
	if (str_eq(o->verb, "openat"))
		return do_open(t, o->arg);
	if (str_eq(o->verb, "creat"))
		return do_creat(t, o->arg);
	if (str_eq(o->verb, "execve"))
		return do_execve(t, o->arg);
	if (str_eq(o->verb, "connect-unix"))
		return do_connect(t, o->arg, ret_step);
	if (str_eq(o->verb, "socket")) {
		long long fd = do_socket(t, o->family);

		close_in_target(t, fd);
		return fd;
	}
	if (str_eq(o->verb, "fork"))
		return call(t, SYS_fork, (uint64_t[6]){ 0 });
	if (str_eq(o->verb, "clone"))
		return call(t, SYS_clone, (uint64_t[6]){ SIGCHLD });
	return call(t, (long)o->numbers[0], o->numbers + 1);
}

int main(int argc, char **argv)
{
	struct target t = { 0 };
	struct order order;
	const char *step = "";
	char text[32];
	long long r;

	if (!parse(argc, argv, &t.pid, &order))
		return usage();
	(void)signal(SIGALRM, deadline);
	(void)alarm(DEADLINE_S);
	attach(&t);
	r = obey(&t, &order, &step);
	detach(&t);
	printf("%s%s\n", step, result_name(r, text));
	return 0;
}
