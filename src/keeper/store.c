/* SPDX-License-Identifier: Apache-2.0
 *
 * store: see store.h. Enters: our own files, which anything may have happened to. What makes each change safe against an end in the
 * middle: the new file is complete before the old one goes; with a key .enc is what counts, without one .json; and the key file is written before
 * the first .enc, and says "none" only after the last one is gone.
 */
#include "keeper/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "keeper/ca.h"

#define KEY_FILE "key.json"
#define KEY_PURPOSE "key"
#define WHERE "keeper/secrets"
#define REMEDY_RESET "`sbx secret reset` gives them up and begins anew"

enum state { PLAIN, UNLOCKED, LOCKED, BROKEN };

struct store {
	int dir; /* owned */
	enum state state;
	struct storemsg_file file; /* not while BROKEN */
	uint8_t *key;              /* owned, secure; of use while UNLOCKED */
	struct err why;            /* LOCKED, BROKEN */
	uint64_t generation;
	uint64_t expires_s; /* UNLOCKED; 0: never */
};

static const char *const documents[] = { STORE_SECRETS, STORE_GRANTS, STORE_LOGINS };

struct filename {
	char s[64];
};

static struct filename filename(const char *name, const char *end)
{
	struct filename f;

	(void)str_format(f.s, sizeof(f.s), "%.40s%s", name, end);
	return f;
}

static bool has_key(const struct storemsg_lock *l)
{
	return l->protection == STOREMSG_SERVICE || l->protection == STOREMSG_PASSPHRASE;
}

/* --- files --- */

static int check(int fd, mode_t type, const char *what, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "cannot look at %s", what);
	if ((st.st_mode & S_IFMT) != type || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, ERR_DENIED, EPERM,
			       "%s belongs to somebody else, or may be used by others (mode %03o): remove it; if nobody else can have read "
			       "it, chmod go=",
			       what, st.st_mode & 0777);
	return 0;
}

static int open_checked(const struct store *s, const char *name, int flags, struct err *err)
{
	auto_fd int fd = openat(s->dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char what[128];
	int r;

	(void)str_format(what, sizeof(what), WHERE "/%s", name);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", what);
	r = check(fd, S_IFREG, what, err);
	return r < 0 ? r : TAKE_FD(fd);
}

/* -ENOENT, err untouched: not there. */
static int read_file(const struct store *s, const char *name, struct box_bytes *ret, struct err *err)
{
	const size_t max = SEALED_TEXT_MAX + SEALED_HEAD + 1;
	auto_box struct box_bytes b = { 0 };
	auto_fd int fd = open_checked(s, name, O_RDONLY, err);
	ssize_t n;

	if (fd < 0)
		return fd;
	b = (struct box_bytes){ .p = calloc(1, max + 1), .n = max };
	if (!b.p)
		return err_errno(err, ENOMEM, WHERE "/%s", name);
	n = io_read_full(fd, b.p, max);
	if (n < 0)
		return err_errno(err, (int)-n, "cannot read " WHERE "/%s", name);
	if ((size_t)n == max)
		return err_set(err, ERR_INTERNAL, EFBIG, WHERE "/%s is too long to be ours", name);
	b.n = (size_t)n;
	*ret = b;
	b = (struct box_bytes){ 0 };
	return 0;
}

static int write_file(const struct store *s, const char *name, const void *bytes, size_t n, struct err *err)
{
	int r = io_write_file_atomic(s->dir, name, bytes, n, 0600);

	return r < 0 ? err_errno(err, -r, "cannot write " WHERE "/%s", name) : 0;
}

static bool exists(const struct store *s, const char *name)
{
	struct stat st;

	return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int remove_file(const struct store *s, const char *name, struct err *err)
{
	if (unlinkat(s->dir, name, 0) < 0 && errno != ENOENT)
		return err_errno(err, errno, "cannot remove " WHERE "/%s", name);
	(void)fsync(s->dir);
	return 0;
}

/* Overwritten first, for what that is worth: a disk or a file system that writes elsewhere keeps the old bytes. */
static int shred(const struct store *s, const char *name, struct err *err)
{
	static const char zeros[4096];
	auto_fd int fd = openat(s->dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st = { 0 };

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(zeros))
			if (io_write_all(fd, zeros, sizeof(zeros)) < 0)
				break;
		(void)fsync(fd);
	}
	return remove_file(s, name, err);
}

/* --- the key file --- */

static void broken(struct store *s, const struct err *why)
{
	s->state = BROKEN;
	s->why = (struct err){ .kind = ERR_UNAVAILABLE, .errnum = ENOKEY };
	(void)str_format(s->why.msg, sizeof(s->why.msg), "%.300s: the secrets cannot be read. " REMEDY_RESET, why->msg);
}

static bool any_sealed(const struct store *s)
{
	for (size_t i = 0; i < ARRAY_LEN(documents); i++)
		if (exists(s, filename(documents[i], ".enc").s))
			return true;
	return false;
}

static void load_key_file(struct store *s)
{
	auto_box struct box_bytes b = { 0 };
	struct err err = { 0 };
	int r = read_file(s, KEY_FILE, &b, &err);

	if (r == 0 && (r = storemsg_decode_file(b.p, b.n, &s->file, &err)) < 0)
		(void)err_wrap(&err, WHERE "/" KEY_FILE " is not what sbx-keeper writes");
	if (r < 0 && r != -ENOENT) {
		broken(s, &err);
	} else if (r == 0 && has_key(&s->file.lock)) {
		store_lock(s, "its key was not fetched yet");
	} else if (any_sealed(s)) {
		(void)err_set(&err, ERR_UNAVAILABLE, ENOKEY,
			      r == 0 ? WHERE "/" KEY_FILE " says that nothing is encrypted, and something is" :
				       WHERE "/" KEY_FILE ", which has the key to the documents beside it, is missing");
		broken(s, &err);
	}
}

static int save_key_file(struct store *s, const struct storemsg_file *f, struct err *err)
{
	struct buf b;
	int r;

	buf_init(&b, 4096);
	r = storemsg_encode_file(f, &b);
	r = r < 0 ? err_errno(err, -r, "the key file") : write_file(s, KEY_FILE, buf_bytes(&b), buf_len(&b), err);
	buf_done(&b);
	if (r == 0)
		s->file = *f;
	return r;
}

/* What a process that was killed while writing has left. Only one writes here, and it is not writing now. */
static void sweep(const struct store *s)
{
	auto_fd int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return;
	fd = -1; /* d's now */
	while ((e = readdir(d)))
		if (strstr(e->d_name, ".tmp."))
			(void)shred(s, e->d_name, NULL);
}

struct store *store_open(int topfd, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	struct box_bytes warm = { 0 };

	if (!s || !(s->key = (uint8_t *)ca_memory(BOX_KEY_LEN))) {
		free(s);
		(void)err_errno(err, ENOMEM, "the secrets");
		return NULL;
	}
	s->generation = 1;
	s->dir = -1;
	/* OpenSSL fetches what it needs at the first use, which must not be after confinement. */
	if (box_seal(s->key, "warm", "", 0, &warm, err) == 0) {
		box_done(&warm);
		if (mkdirat(topfd, "secrets", 0700) < 0 && errno != EEXIST)
			(void)err_errno(err, errno, "cannot make " WHERE);
		else if ((s->dir = openat(topfd, "secrets", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			(void)err_errno(err, errno, "cannot open " WHERE);
		else if (check(s->dir, S_IFDIR, WHERE, err) == 0) {
			sweep(s);
			load_key_file(s);
			return s;
		}
	}
	store_free(s);
	return NULL;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	own_close_p(&s->dir);
	ca_wipe((char *)s->key, BOX_KEY_LEN);
	free(s);
}

/* --- documents --- */

int store_check(const struct store *s, struct err *err)
{
	if (s->state != LOCKED && s->state != BROKEN)
		return 0;
	return err_set(err, s->why.kind, s->why.errnum, "%s", s->why.msg);
}

static int write_sealed(const struct store *s, const char *name, const void *text, size_t n, struct err *err)
{
	auto_box struct box_bytes b = { 0 };
	int r = box_seal(s->key, name, text, n, &b, err);

	return r < 0 ? r : write_file(s, filename(name, ".enc").s, b.p, b.n, err);
}

/* -ENOENT as of read_file. */
static int read_sealed(const struct store *s, const char *name, struct box_bytes *ret, struct err *err)
{
	auto_box struct box_bytes b = { 0 };
	int r = read_file(s, filename(name, ".enc").s, &b, err);

	if (r < 0)
		return r;
	r = box_open(s->key, name, b.p, b.n, ret, err);
	if (r == -EKEYREJECTED || r == -EBADMSG)
		return err_set(err, ERR_INTERNAL, -r,
			       WHERE "/%s.enc was changed, or is of another store: restore it together with key.json; " REMEDY_RESET, name);
	return r;
}

/* What was written without a key, now that there is one. */
static int take_in(const struct store *s, const char *name, struct err *err)
{
	auto_box struct box_bytes b = { 0 };
	int r = exists(s, filename(name, ".enc").s) ? 0 : read_file(s, filename(name, ".json").s, &b, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0 && b.p)
		r = write_sealed(s, name, b.p, b.n, err);
	return r < 0 ? r : shred(s, filename(name, ".json").s, err);
}

int store_read(struct store *s, const char *name, struct box_bytes *ret, struct err *err)
{
	int r = store_check(s, err);

	if (r < 0)
		return r;
	if (s->state == PLAIN)
		return read_file(s, filename(name, ".json").s, ret, err);
	r = take_in(s, name, err);
	return r < 0 ? r : read_sealed(s, name, ret, err);
}

int store_write(struct store *s, const char *name, const void *text, size_t n, struct err *err)
{
	int r = store_check(s, err);

	if (r < 0)
		return r;
	if (s->state == PLAIN)
		return write_file(s, filename(name, ".json").s, text, n, err);
	r = write_sealed(s, name, text, n, err);
	return r < 0 ? r : shred(s, filename(name, ".json").s, err);
}

bool store_holds(const struct store *s, const char *name)
{
	return exists(s, filename(name, ".enc").s) || exists(s, filename(name, ".json").s);
}

int store_read_index(const struct store *s, const char *name, struct box_bytes *ret, struct err *err)
{
	return read_file(s, filename(name, ".index.json").s, ret, err);
}

int store_write_index(const struct store *s, const char *name, const void *text, size_t n, struct err *err)
{
	return write_file(s, filename(name, ".index.json").s, text, n, err);
}

/* --- locking --- */

uint64_t store_generation(const struct store *s)
{
	return s->generation;
}

bool store_encrypts(const struct store *s)
{
	return s->state == UNLOCKED || s->state == LOCKED;
}

static int take_in_all(const struct store *s, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(documents) && r == 0; i++)
		r = take_in(s, documents[i], err);
	return r;
}

int store_unlock(struct store *s, const uint8_t key[STOREMSG_KEY], uint64_t expires_s, struct err *err)
{
	auto_box struct box_bytes b = { 0 };
	int r;

	if (s->state == PLAIN)
		return err_set(err, ERR_CONFLICT, EALREADY, "the secrets are not encrypted: there is nothing to unlock");
	if (s->state == BROKEN)
		return store_check(s, err);
	r = box_open(key, KEY_PURPOSE, s->file.wrapped, sizeof(s->file.wrapped), &b, err);
	if (r == -EKEYREJECTED)
		return err_set(err, ERR_DENIED, -r,
			       s->file.lock.protection == STOREMSG_PASSPHRASE ?
				       "the passphrase is wrong" :
				       "the key in the Secret Service is not the one of this store. " REMEDY_RESET);
	if (r < 0)
		return r;
	memcpy(s->key, b.p, BOX_KEY_LEN);
	s->state = UNLOCKED;
	s->expires_s = expires_s;
	s->generation++;
	/* What cannot be taken in stays as it is, and is an error whenever it is read. */
	if (take_in_all(s, err) < 0)
		log_warn("event=store_migrate error=\"%s\"", err->msg);
	return 0;
}

void store_lock(struct store *s, const char *why)
{
	if (s->state == BROKEN || !has_key(&s->file.lock))
		return;
	explicit_bzero(s->key, BOX_KEY_LEN);
	s->state = LOCKED;
	s->expires_s = 0;
	s->generation++;
	s->why = (struct err){ .kind = ERR_UNAVAILABLE, .errnum = ENOKEY };
	(void)str_format(s->why.msg, sizeof(s->why.msg), "the secrets are locked (%.300s): sbx secret unlock", why);
}

static int64_t boot_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int store_tick(struct store *s)
{
	int64_t left;

	if (s->state != UNLOCKED || s->expires_s == 0)
		return -1;
	left = s->expires_s > INT64_MAX / 1000 ? INT32_MAX : (int64_t)s->expires_s * 1000 - boot_ms();
	if (left <= 0) {
		store_lock(s, "the time for which they were unlocked is over");
		return -1;
	}
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* --- protection --- */

static int wrap(struct store *s, const struct storemsg_lock *by, const uint8_t *key, struct err *err)
{
	struct storemsg_file f = { .lock = *by };
	auto_box struct box_bytes b = { 0 };
	int r;

	if (s->state == PLAIN && box_random(s->key, BOX_KEY_LEN) < 0)
		return err_set(err, ERR_INTERNAL, EIO, "no random bytes");
	r = box_seal(key, KEY_PURPOSE, s->key, BOX_KEY_LEN, &b, err);
	if (r < 0)
		return r;
	memcpy(f.wrapped, b.p, sizeof(f.wrapped));
	r = save_key_file(s, &f, err);
	if (r < 0)
		return r;
	s->state = UNLOCKED;
	s->expires_s = 0;
	s->generation++;
	return take_in_all(s, err);
}

static int let_out(const struct store *s, const char *name, struct err *err)
{
	auto_box struct box_bytes b = { 0 };
	int r = read_sealed(s, name, &b, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = write_file(s, filename(name, ".json").s, b.p, b.n, err);
	return r < 0 ? r : remove_file(s, filename(name, ".enc").s, err);
}

static int unwrap(struct store *s, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(documents) && r == 0 && s->state == UNLOCKED; i++) {
		r = take_in(s, documents[i], err);
		if (r == 0)
			r = let_out(s, documents[i], err);
	}
	if (r == 0)
		r = save_key_file(s, &(struct storemsg_file){ .lock.protection = STOREMSG_NONE }, err);
	if (r < 0)
		return r;
	explicit_bzero(s->key, BOX_KEY_LEN);
	s->state = PLAIN;
	s->generation++;
	return 0;
}

int store_protect(struct store *s, const struct storemsg_lock *by, const uint8_t key[STOREMSG_KEY], struct err *err)
{
	int r = store_check(s, err);

	if (r < 0)
		return r;
	return has_key(by) ? wrap(s, by, key, err) : unwrap(s, err);
}

int store_reset(struct store *s, struct err *err)
{
	static const char *const ends[] = { ".enc", ".index.json" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(documents) && r == 0; i++) {
		r = shred(s, filename(documents[i], ".json").s, err);
		for (size_t e = 0; e < ARRAY_LEN(ends) && r == 0; e++)
			r = remove_file(s, filename(documents[i], ends[e]).s, err);
	}
	if (r == 0)
		r = remove_file(s, KEY_FILE, err);
	if (r < 0)
		return r;
	explicit_bzero(s->key, BOX_KEY_LEN);
	s->file = (struct storemsg_file){ 0 };
	s->state = PLAIN;
	s->expires_s = 0;
	s->generation++;
	return 0;
}

void store_status(const struct store *s, struct storemsg_status *ret)
{
	*ret = (struct storemsg_status){ .lock = s->file.lock, .locked = s->state == LOCKED || s->state == BROKEN };
	if (ret->locked)
		(void)str_format(ret->why, sizeof(ret->why), "%s", s->why.msg);
}
