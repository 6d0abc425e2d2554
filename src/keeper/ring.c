/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: see ring.h. libc has no wrappers for the calls.
 */
#include "keeper/ring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

/* For whoever possesses it, and for the user, as a process of another session does not possess it (<keyutils.h>). */
#define PERMISSIONS 0x3f3f0000L

struct payload {
	uint8_t key[STOREMSG_KEY];
	uint64_t expires_s;
};

struct name {
	char s[64];
};

static struct name name_of(const char *id)
{
	struct name n;

	(void)str_format(n.s, sizeof(n.s), "sbx:%.40s", id);
	return n;
}

static int failed(struct err *err, int e, const char *what)
{
	if (e == ENOKEY || e == EKEYEXPIRED || e == EKEYREVOKED)
		return err_set(err, ERR_NOT_FOUND, ENOKEY, "the kernel's keyring does not have the key");
	if (e == ENOSYS || e == EPERM || e == EACCES)
		return err_set(err, ERR_UNAVAILABLE, e, "this system has no kernel keyring for us (cannot %s)", what);
	return err_errno(err, e, "the kernel's keyring: cannot %s", what);
}

static long find(const char *id)
{
	return syscall(SYS_keyctl, (long)KEYCTL_SEARCH, (long)KEY_SPEC_USER_KEYRING, "user", name_of(id).s, 0L);
}

int ring_get(const char *id, uint8_t ret[STOREMSG_KEY], uint64_t *ret_expires_s, struct err *err)
{
	struct payload p = { 0 };
	long key = find(id), n = key < 0 ? -1 : syscall(SYS_keyctl, (long)KEYCTL_READ, key, &p, sizeof(p));

	if (n < 0)
		return failed(err, errno, "find the key");
	if ((size_t)n != sizeof(p))
		return err_set(err, ERR_INTERNAL, EBADMSG, "the kernel's keyring: the key is not ours");
	memcpy(ret, p.key, sizeof(p.key));
	*ret_expires_s = p.expires_s;
	explicit_bzero(&p, sizeof(p));
	return 0;
}

/* Made where this process possesses it, as nobody else may set permissions. */
static int put(const char *id, const struct payload *p, uint64_t seconds, struct err *err)
{
	long key = syscall(SYS_add_key, "user", name_of(id).s, p, sizeof(*p), (long)KEY_SPEC_PROCESS_KEYRING);

	if (key < 0)
		return failed(err, errno, "add a key");
	if (syscall(SYS_keyctl, (long)KEYCTL_SETPERM, key, PERMISSIONS) < 0 ||
	    (seconds > 0 && syscall(SYS_keyctl, (long)KEYCTL_SET_TIMEOUT, key, seconds) < 0) ||
	    syscall(SYS_keyctl, (long)KEYCTL_LINK, key, (long)KEY_SPEC_USER_KEYRING) < 0)
		return failed(err, errno, "hand the key to the user's keyring");
	return 0;
}

int ring_put(const char *id, const uint8_t key[STOREMSG_KEY], uint64_t seconds, uint64_t *ret_expires_s, struct err *err)
{
	struct payload p = { 0 };
	struct timespec now;
	int r;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	memcpy(p.key, key, sizeof(p.key));
	p.expires_s = seconds ? (uint64_t)now.tv_sec + seconds : 0;
	r = put(id, &p, seconds, err);
	explicit_bzero(&p.key, sizeof(p.key));
	if (r == 0)
		*ret_expires_s = p.expires_s;
	return r;
}

int ring_drop(const char *id, struct err *err)
{
	long key = find(id);

	if (key < 0 && (errno == ENOKEY || errno == EKEYEXPIRED || errno == EKEYREVOKED))
		return 0;
	if (key < 0 || syscall(SYS_keyctl, (long)KEYCTL_INVALIDATE, key) < 0)
		return failed(err, errno, "remove the key");
	return 0;
}
