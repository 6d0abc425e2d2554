/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse_guard: see fuse_guard.h. A table says for each operation how long its fixed arguments are and what follows
 * them; a few operations have numbers of their own to check.
 */
#include "wire/fuse_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <string.h>

#include "base/own.h"

_Static_assert(sizeof(struct fuse_in_header) == FUSE_GUARD_HEAD, "the header of linux/fuse.h");
_Static_assert(sizeof(struct fuse_setxattr_in) == 16, "the layout of FUSE_SETXATTR_EXT");

/* What follows the fixed arguments, up to the end of the message. */
enum rest {
	REST_UNKNOWN = 0, /* not in the allow-list */
	REST_NONE,
	REST_NAME,        /* one path component */
	REST_TWO_NAMES,
	REST_NAME_LINK,   /* a path component, then a symlink's target */
	REST_XATTR,       /* an attribute's name */
	REST_XATTR_VALUE, /* an attribute's name, then as many bytes as fuse_setxattr_in.size says */
	REST_DATA,        /* as many bytes as fuse_write_in.size says */
	REST_FORGETS,     /* as many fuse_forget_one as fuse_batch_forget_in.count says */
};

struct shape {
	enum rest rest;
	uint16_t args;
};

static const struct shape shapes[] = {
	[FUSE_LOOKUP] = { REST_NAME, 0 },
	[FUSE_FORGET] = { REST_NONE, sizeof(struct fuse_forget_in) },
	[FUSE_GETATTR] = { REST_NONE, sizeof(struct fuse_getattr_in) },
	[FUSE_SETATTR] = { REST_NONE, sizeof(struct fuse_setattr_in) },
	[FUSE_READLINK] = { REST_NONE, 0 },
	[FUSE_SYMLINK] = { REST_NAME_LINK, 0 },
	[FUSE_MKNOD] = { REST_NAME, sizeof(struct fuse_mknod_in) },
	[FUSE_MKDIR] = { REST_NAME, sizeof(struct fuse_mkdir_in) },
	[FUSE_UNLINK] = { REST_NAME, 0 },
	[FUSE_RMDIR] = { REST_NAME, 0 },
	[FUSE_RENAME] = { REST_TWO_NAMES, sizeof(struct fuse_rename_in) },
	[FUSE_LINK] = { REST_NAME, sizeof(struct fuse_link_in) },
	[FUSE_OPEN] = { REST_NONE, sizeof(struct fuse_open_in) },
	[FUSE_READ] = { REST_NONE, sizeof(struct fuse_read_in) },
	[FUSE_WRITE] = { REST_DATA, sizeof(struct fuse_write_in) },
	[FUSE_STATFS] = { REST_NONE, 0 },
	[FUSE_RELEASE] = { REST_NONE, sizeof(struct fuse_release_in) },
	[FUSE_FSYNC] = { REST_NONE, sizeof(struct fuse_fsync_in) },
	[FUSE_SETXATTR] = { REST_XATTR_VALUE, sizeof(struct fuse_setxattr_in) },
	[FUSE_GETXATTR] = { REST_XATTR, sizeof(struct fuse_getxattr_in) },
	[FUSE_LISTXATTR] = { REST_NONE, sizeof(struct fuse_getxattr_in) },
	[FUSE_REMOVEXATTR] = { REST_XATTR, 0 },
	[FUSE_FLUSH] = { REST_NONE, sizeof(struct fuse_flush_in) },
	[FUSE_INIT] = { REST_NONE, sizeof(struct fuse_init_in) },
	[FUSE_OPENDIR] = { REST_NONE, sizeof(struct fuse_open_in) },
	[FUSE_READDIR] = { REST_NONE, sizeof(struct fuse_read_in) },
	[FUSE_RELEASEDIR] = { REST_NONE, sizeof(struct fuse_release_in) },
	[FUSE_FSYNCDIR] = { REST_NONE, sizeof(struct fuse_fsync_in) },
	[FUSE_GETLK] = { REST_NONE, sizeof(struct fuse_lk_in) },
	[FUSE_SETLK] = { REST_NONE, sizeof(struct fuse_lk_in) },
	[FUSE_SETLKW] = { REST_NONE, sizeof(struct fuse_lk_in) },
	[FUSE_ACCESS] = { REST_NONE, sizeof(struct fuse_access_in) },
	[FUSE_CREATE] = { REST_NAME, sizeof(struct fuse_create_in) },
	[FUSE_INTERRUPT] = { REST_NONE, sizeof(struct fuse_interrupt_in) },
	[FUSE_DESTROY] = { REST_NONE, 0 },
	[FUSE_BATCH_FORGET] = { REST_FORGETS, sizeof(struct fuse_batch_forget_in) },
	[FUSE_FALLOCATE] = { REST_NONE, sizeof(struct fuse_fallocate_in) },
	[FUSE_READDIRPLUS] = { REST_NONE, sizeof(struct fuse_read_in) },
	[FUSE_RENAME2] = { REST_TWO_NAMES, sizeof(struct fuse_rename2_in) },
	[FUSE_LSEEK] = { REST_NONE, sizeof(struct fuse_lseek_in) },
	[FUSE_COPY_FILE_RANGE] = { REST_NONE, sizeof(struct fuse_copy_file_range_in) },
};

/* Features that keep the layouts above. */
#define KNOWN_FLAGS                                                                                                    \
	((uint32_t)(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_FLOCK_LOCKS |    \
		    FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |              \
		    FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT))
/* Features that the layouts above need. */
#define NEEDED_FLAGS ((uint32_t)(FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_SETXATTR_EXT))

/* Oldest protocol whose messages have these layouts: fuse_init_in got flags2 in 7.36. */
#define OLDEST_MINOR 36U

long fuse_guard_length(const uint8_t *bytes, size_t n)
{
	uint32_t len;

	if (n < sizeof(len))
		return 0;
	memcpy(&len, bytes, sizeof(len));
	if (len < FUSE_GUARD_HEAD || len > FUSE_GUARD_MAX_FRAME)
		return -EPROTO;
	return (long)len;
}

/* One terminated string of 1..max bytes at *at; *at goes past its terminator. */
static int take_string(const uint8_t **at, const uint8_t *end, size_t max)
{
	const uint8_t *nul = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
	size_t n;

	if (!nul || nul == *at)
		return -EINVAL;
	n = (size_t)(nul - *at);
	*at = nul + 1;
	return n > max ? -ENAMETOOLONG : 0;
}

static int take_name(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *name = *at;
	int r = take_string(at, end, FUSE_GUARD_MAX_NAME);
	size_t n;

	if (r < 0)
		return r;
	n = (size_t)(*at - name) - 1;
	if (memchr(name, '/', n) || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
		return -EINVAL;
	return 0;
}

/* An attribute's name, and its value where the operation has one. */
static int take_xattr(const uint8_t **at, const uint8_t *end, const struct fuse_setxattr_in *set)
{
	int r = take_string(at, end, FUSE_GUARD_MAX_NAME);

	if (r < 0 || !set)
		return r;
	if (set->size > FUSE_GUARD_MAX_XATTR)
		return -E2BIG;
	if (set->size != (size_t)(end - *at))
		return -EINVAL;
	*at = end;
	return 0;
}

/* The tail behind the fixed arguments must be exactly what the operation says. */
static int check_rest(enum rest rest, const uint8_t *args, const uint8_t *at, const uint8_t *end)
{
	struct fuse_batch_forget_in forgets;
	struct fuse_setxattr_in set;
	struct fuse_write_in write;
	int r = 0;

	switch (rest) {
	case REST_NAME:
		r = take_name(&at, end);
		break;
	case REST_TWO_NAMES:
		r = take_name(&at, end);
		if (r == 0)
			r = take_name(&at, end);
		break;
	case REST_NAME_LINK:
		r = take_name(&at, end);
		if (r == 0)
			r = take_string(&at, end, FUSE_GUARD_MAX_LINK);
		break;
	case REST_XATTR:
		r = take_xattr(&at, end, NULL);
		break;
	case REST_XATTR_VALUE:
		memcpy(&set, args, sizeof(set));
		r = take_xattr(&at, end, &set);
		break;
	case REST_DATA:
		memcpy(&write, args, sizeof(write));
		if (write.size != (size_t)(end - at) || write.size > FUSE_GUARD_MAX_DATA)
			return -EINVAL;
		return 0;
	case REST_FORGETS:
		memcpy(&forgets, args, sizeof(forgets));
		if ((uint64_t)forgets.count * sizeof(struct fuse_forget_one) != (uint64_t)(end - at))
			return -EINVAL;
		return 0;
	case REST_NONE:
	case REST_UNKNOWN:
		break;
	}
	return r == 0 && at != end ? -EINVAL : r;
}

/* A range of a file in the signed offsets that the host computes with. */
static bool range_ok(uint64_t offset, uint64_t length)
{
	return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

static int check_lock(const uint8_t *args)
{
	struct fuse_lk_in in;

	memcpy(&in, args, sizeof(in));
	if (in.lk.start > in.lk.end || in.lk.end > INT64_MAX || (in.lk_flags & ~(uint32_t)FUSE_LK_FLOCK))
		return -EINVAL;
	return in.lk.type == F_RDLCK || in.lk.type == F_WRLCK || in.lk.type == F_UNLCK ? 0 : -EINVAL;
}

static int check_copy(const uint8_t *args)
{
	struct fuse_copy_file_range_in in;

	memcpy(&in, args, sizeof(in));
	return in.flags == 0 && range_ok(in.off_in, in.len) && range_ok(in.off_out, in.len) ? 0 : -EINVAL;
}

/* Numbers of single operations. */
static int check_args(uint32_t opcode, const uint8_t *args)
{
	struct fuse_fallocate_in fallocate;
	struct fuse_setattr_in setattr;
	struct fuse_write_in io; /* fuse_read_in has the same layout up to size */

	switch (opcode) {
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		/* The offset is the host file system's cookie. */
		memcpy(&io, args, sizeof(io));
		return io.size <= FUSE_GUARD_MAX_DATA && io.offset <= INT64_MAX ? 0 : -EINVAL;
	case FUSE_READ:
	case FUSE_WRITE:
		memcpy(&io, args, sizeof(io));
		return io.size <= FUSE_GUARD_MAX_DATA && range_ok(io.offset, io.size) ? 0 : -EINVAL;
	case FUSE_FALLOCATE:
		memcpy(&fallocate, args, sizeof(fallocate));
		return range_ok(fallocate.offset, fallocate.length) ? 0 : -EINVAL;
	case FUSE_SETATTR:
		memcpy(&setattr, args, sizeof(setattr));
		return !(setattr.valid & FATTR_SIZE) || setattr.size <= INT64_MAX ? 0 : -EINVAL;
	case FUSE_GETLK:
	case FUSE_SETLK:
	case FUSE_SETLKW:
		return check_lock(args);
	case FUSE_COPY_FILE_RANGE:
		return check_copy(args);
	default:
		return 0;
	}
}

/* Leaves of the offer what is known here. A kernel that lacks what is needed gets no session. */
static int take_init(struct fuse_guard *g, uint8_t *args)
{
	struct fuse_init_in in;

	memcpy(&in, args, sizeof(in));
	if (g->init || in.major != FUSE_KERNEL_VERSION || in.minor < OLDEST_MINOR)
		return -EPROTO;
	if ((in.flags & NEEDED_FLAGS) != NEEDED_FLAGS)
		return -EPROTO;
	in.flags &= KNOWN_FLAGS;
	in.flags2 = 0;
	memset(in.unused, 0, sizeof(in.unused));
	memcpy(args, &in, sizeof(in));
	g->init = true;
	return 0;
}

/* Messages that have no answer cannot be told that they are wrong. */
static bool silent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

static int check_body(const struct fuse_in_header *head, const uint8_t *args, const uint8_t *end)
{
	const struct shape *shape;
	int r;

	if (head->opcode >= ARRAY_LEN(shapes) || shapes[head->opcode].rest == REST_UNKNOWN)
		return -ENOSYS;
	shape = &shapes[head->opcode];
	/* Extensions (7.38) belong to features that are not offered. */
	if (head->total_extlen != 0 || head->padding != 0 || (size_t)(end - args) < shape->args)
		return -EINVAL;
	r = check_rest(shape->rest, args, args + shape->args, end);
	return r < 0 ? r : check_args(head->opcode, args);
}

int fuse_guard_check(struct fuse_guard *g, uint8_t *frame, size_t len)
{
	struct fuse_in_header head;
	int r;

	if (len < sizeof(head) || len > FUSE_GUARD_MAX_FRAME)
		return -EPROTO;
	memcpy(&head, frame, sizeof(head));
	/* An answer to 0 would be a notification. */
	if (head.len != len || head.unique == 0 || (!g->init && head.opcode != FUSE_INIT))
		return -EPROTO;
	if (head.opcode == FUSE_GUARD_HOLD || head.opcode == FUSE_GUARD_GO)
		return len == sizeof(head) ? FUSE_GUARD_OWN : -EPROTO;
	r = check_body(&head, frame + sizeof(head), frame + len);
	if (r == 0 && head.opcode == FUSE_INIT)
		return take_init(g, frame + sizeof(head));
	if (r < 0 && head.opcode == FUSE_INIT)
		return -EPROTO;
	return r < 0 && silent(head.opcode) ? FUSE_GUARD_DROP : r;
}
