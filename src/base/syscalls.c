/* SPDX-License-Identifier: Apache-2.0
 *
 * syscalls: see syscalls.h.
 */
#include "base/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/own.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/* A sanitizer's report at the end of a test looks at the process from a thread of its own. */
static const int sanitizer[] = {
	SCMP_SYS(clone), SCMP_SYS(ptrace), SCMP_SYS(wait4), SCMP_SYS(prctl), SCMP_SYS(sched_yield), SCMP_SYS(kill),
	SCMP_SYS(open), SCMP_SYS(readlink), SCMP_SYS(getppid), SCMP_SYS(sched_getaffinity), SCMP_SYS(ioctl), SCMP_SYS(stat),
	SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(pipe), SCMP_SYS(getdents),
};

static bool for_sanitizer(int call)
{
	for (size_t i = 0; i < ARRAY_LEN(sanitizer); i++)
		if (sanitizer[i] == call)
			return true;
	return false;
}
#endif

/* Memory, but none to run code from. */
static int add_memory_rules(scmp_filter_ctx ctx)
{
#ifdef SANITIZED
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(sanitizer); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, sanitizer[i], 0);
#else
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_exec);

	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &not_exec);
#endif
	return r;
}

static int add_rules(scmp_filter_ctx ctx, const struct syscalls *s)
{
	int r = add_memory_rules(ctx);

	for (size_t i = 0; r == 0 && i < s->nfamilies; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)s->families[i]));
	if (r == 0 && s->read_files)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	for (size_t i = 0; r == 0 && i < s->nallowed; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, s->allowed[i], 0);
	for (size_t i = 0; r == 0 && i < s->ndeadly; i++) {
#ifdef SANITIZED
		if (for_sanitizer(s->deadly[i]))
			continue;
#endif
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, s->deadly[i], 0);
	}
	return r;
}

int syscalls_restrict(const struct syscalls *s, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!ctx)
		return err_errno(err, ENOMEM, "cannot make a system call filter");
	/* Calls of another architecture (i386 on x86-64) are not filtered by these numbers. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_rules(ctx, s);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_errno(err, -r, "cannot install the system call filter") : 0;
}
