/* SPDX-License-Identifier: Apache-2.0
 *
 * frozen: see frozen.h. The memory's digest is over its pages that are not zero, each with its offset before it, so that
 * it does not depend on what the file system makes of holes. What frozen_save keeps is not synced: what a crash leaves
 * half-written does not have its digest, and is made anew.
 */
#include "vm/frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define FORMAT 1
#define PAGE 4096
#define CHUNK (256 * PAGE)
#define STATE_MAX_BYTES (64 << 20)
#define MANIFEST_MAX_BYTES 4096
#define STALE_S 3600
#define MAX_ENTRIES 256
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

DEFINE_AUTO(md, EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_AUTO(json, json_t *, json_decref);

struct digest {
	char hex[2 * EVP_MAX_MD_SIZE + 1];
};

void frozen_done(struct frozen *f)
{
	own_close_p(&f->memory);
	own_close_p(&f->state);
}

int frozen_new(struct frozen *f, uint64_t memory_bytes, struct err *err)
{
	struct frozen n = { .memory = memfd_create("sbx-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			    .state = memfd_create("sbx-state", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
	int r = 0;

	if (n.memory < 0 || n.state < 0 || ftruncate(n.memory, (off_t)memory_bytes) < 0)
		r = err_errno(err, errno, "cannot make a file in memory");
	if (r < 0)
		frozen_done(&n);
	else
		*f = n;
	return r;
}

/* --- pages --- */

/* What is done with each page that is not zero, and with each one that is. */
struct walk {
	int from;       /* borrowed */
	int to;         /* borrowed; -1: pages are not copied */
	bool punch;     /* zeros become holes of `from` */
	EVP_MD_CTX *md; /* borrowed; NULL: no digest */
};

static bool is_zero(const uint8_t *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return first == 0 && memcmp(page, page + sizeof(first), PAGE - sizeof(first)) == 0;
}

static int one_page(const struct walk *w, const uint8_t *page, uint64_t at)
{
	uint64_t le = htole64(at);

	if (w->to >= 0 && pwrite(w->to, page, PAGE, (off_t)at) != PAGE)
		return errno ? -errno : -EIO;
	if (w->md && (EVP_DigestUpdate(w->md, &le, sizeof(le)) != 1 || EVP_DigestUpdate(w->md, page, PAGE) != 1))
		return -EIO;
	return 0;
}

static int some_pages(const struct walk *w, const uint8_t *bytes, size_t n, uint64_t at)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i + PAGE <= n; i += PAGE) {
		if (!is_zero(bytes + i))
			r = one_page(w, bytes + i, at + i);
		else if (w->punch &&
			 fallocate(w->from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(at + i), PAGE) < 0)
			r = -errno;
	}
	return r;
}

static int walk_extent(const struct walk *w, uint8_t *buf, off_t at, off_t end)
{
	while (at < end) {
		size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t n = pread(w->from, buf, want, at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || n % PAGE)
			return n < 0 ? -errno : -EBADMSG;
		r = some_pages(w, buf, (size_t)n, (uint64_t)at);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

/* From the first byte to the last, holes left out. */
static int walk(const struct walk *w, off_t size)
{
	auto_free uint8_t *buf = malloc(CHUNK);
	off_t at = 0;

	if (!buf)
		return -ENOMEM;
	while (at < size) {
		off_t data = lseek(w->from, at, SEEK_DATA), hole;
		int r;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		data -= data % PAGE;
		hole = lseek(w->from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		hole += (PAGE - hole % PAGE) % PAGE;
		if (hole > size)
			hole = size;
		r = walk_extent(w, buf, data, hole);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

/* What the process has written, over what the file says. Bit 63: present; 62: swapped; 61: the file's or shared. */
static int overlay(const struct frozen_over *o, uint8_t *buf, size_t n, off_t at, bool *ret_any)
{
	uint64_t flags[CHUNK / PAGE];
	size_t count = n / PAGE, i = 0;
	ssize_t want = (ssize_t)(count * sizeof(flags[0]));

	*ret_any = false;
	if (pread(o->pagemap, flags, (size_t)want, (off_t)((o->at + (uint64_t)at) / PAGE * sizeof(flags[0]))) != want)
		return -EIO;
	while (i < count) {
		size_t end = i;

		while (end < count && (flags[end] & (UINT64_C(3) << 62)) && !(flags[end] & (UINT64_C(1) << 61)))
			end++;
		if (end == i) {
			i++;
			continue;
		}
		want = (ssize_t)((end - i) * PAGE);
		if (pread(o->mem, buf + i * PAGE, (size_t)want, (off_t)(o->at + (uint64_t)at + i * PAGE)) != want)
			return errno ? -errno : -EIO;
		*ret_any = true;
		i = end;
	}
	return 0;
}

/* The same for a memory that a process has pages over. */
static int walk_over(const struct walk *w, const struct frozen_over *o, off_t size)
{
	auto_free uint8_t *buf = malloc(CHUNK);
	off_t data = 0;

	if (!buf)
		return -ENOMEM;
	for (off_t at = 0; at < size; at += CHUNK) {
		size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		bool any;
		int r;

		if (data < at) {
			data = lseek(w->from, at, SEEK_DATA);
			if (data < 0 && errno != ENXIO)
				return -errno;
			if (data < 0)
				data = size;
		}
		if (data >= at + (off_t)n)
			memset(buf, 0, n);
		else if (pread(w->from, buf, n, at) != (ssize_t)n)
			return errno ? -errno : -EIO;
		r = overlay(o, buf, n, at, &any);
		if (r == 0 && (any || data < at + (off_t)n))
			r = some_pages(w, buf, n, (uint64_t)at);
		if (r < 0)
			return r;
	}
	return 0;
}

static int digest_end(EVP_MD_CTX *md, struct digest *ret)
{
	uint8_t bytes[EVP_MAX_MD_SIZE];
	unsigned n;

	if (EVP_DigestFinal_ex(md, bytes, &n) != 1)
		return -EIO;
	str_hex(ret->hex, bytes, n);
	return 0;
}

/* Copies the memory, and tells its digest. */
static int copy_memory(int from, const struct frozen_over *over, off_t size, int to, struct digest *ret)
{
	auto_(md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct walk w = { .from = from, .to = to, .md = md };
	int r = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

	if (r == 0)
		r = over ? walk_over(&w, over, size) : walk(&w, size);
	return r < 0 ? r : digest_end(md, ret);
}

static int copy_state(int from, off_t size, int to, struct digest *ret)
{
	auto_(md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	auto_free uint8_t *buf = malloc(CHUNK);
	off_t at = 0;

	if (!md || !buf || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	while (at < size) {
		ssize_t n = pread(from, buf, CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		if (pwrite(to, buf, (size_t)n, at) != n)
			return errno ? -errno : -EIO;
		if (EVP_DigestUpdate(md, buf, (size_t)n) != 1)
			return -EIO;
		at += n;
	}
	return digest_end(md, ret);
}

static int seal(struct frozen *f)
{
	return fcntl(f->memory, F_ADD_SEALS, SEALS) < 0 || fcntl(f->state, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int frozen_seal(struct frozen *f, struct err *err)
{
	struct stat st;
	int r = fstat(f->memory, &st) < 0 ? -errno : walk(&(struct walk){ .from = f->memory, .to = -1, .punch = true }, st.st_size);

	if (r < 0)
		return err_errno(err, -r, "cannot look through the memory of the machine");
	r = seal(f);
	return r < 0 ? err_errno(err, -r, "cannot seal the memory of the machine") : 0;
}

/* --- the disk --- */

static int file_at(int dir, const char *name, off_t size, int *ret)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int write_manifest(int dir, const json_t *about)
{
	auto_free char *text = json_dumps(about, 0);
	auto_fd int fd = -1;
	int r;

	if (!text)
		return -ENOMEM;
	fd = openat(dir, "manifest", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	r = fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
	return r;
}

/* Of one file that is no memory; digest and length go into about under its name. */
static int keep_file(int from, int dir, const char *name, json_t *about)
{
	auto_fd int to = -1;
	char length[32];
	struct digest d;
	struct stat st;
	int r = fstat(from, &st) < 0 ? -errno : file_at(dir, name, st.st_size, &to);

	if (r == 0)
		r = copy_state(from, st.st_size, to, &d);
	if (r < 0)
		return r;
	(void)str_format(length, sizeof(length), "%s_bytes", name);
	if (json_object_set_new(about, name, json_string(d.hex)) < 0 ||
	    json_object_set_new(about, length, json_integer((json_int_t)st.st_size)) < 0)
		return -ENOMEM;
	return 0;
}

static int fill(const struct frozen *f, int files, const struct frozen_over *over, int dir, json_t *about)
{
	auto_fd int memory = -1;
	struct digest d;
	struct stat st;
	int r;

	if (fstat(f->memory, &st) < 0)
		return -errno;
	r = file_at(dir, "memory", st.st_size, &memory);
	if (r == 0)
		r = copy_memory(f->memory, over, st.st_size, memory, &d);
	if (r == 0 && (json_object_set_new(about, "format", json_integer(FORMAT)) < 0 ||
		       json_object_set_new(about, "memory_bytes", json_integer((json_int_t)st.st_size)) < 0 ||
		       json_object_set_new(about, "memory", json_string(d.hex)) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = keep_file(f->state, dir, "state", about);
	if (r == 0 && files >= 0)
		r = keep_file(files, dir, "files", about);
	return r < 0 ? r : write_manifest(dir, about);
}

static int sync_file(int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int frozen_write(const struct frozen *f, int files, const struct frozen_over *over, int dir, json_t *about, struct err *err)
{
	int r = fill(f, files, over, dir, about);

	return r < 0 ? err_errno(err, -r, "cannot write the memory of the machine") : 0;
}

int frozen_sync(int dir, struct err *err)
{
	static const char *const names[] = { "memory", "state", "files", "manifest", "disk.img", "." };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		r = sync_file(dir, names[i]);
	return r < 0 ? err_errno(err, -r, "cannot write the saved machine to the disk") : 0;
}

int frozen_save(const struct frozen *f, int dirfd, const char *name, struct err *err)
{
	auto_free char *mark = str_random_hex(8), *temp = mark ? str_new("%s.%s.new", name, mark) : NULL;
	auto_(json) json_t *about = json_object();
	auto_fd int dir = -1;
	int r = temp && about ? 0 : -ENOMEM;

	if (r == 0 && mkdirat(dirfd, temp, 0700) < 0)
		return err_errno(err, errno, "cannot keep the frozen machine");
	if (r == 0) {
		dir = openat(dirfd, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = dir < 0 ? -errno : fill(f, -1, NULL, dir, about);
	}
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0 && errno != ENOTEMPTY && errno != EEXIST)
		r = -errno;
	if (temp)
		(void)io_remove_tree(dirfd, temp); /* where it was not renamed */
	return r < 0 ? err_errno(err, -r, "cannot keep the frozen machine") : 0;
}

static bool same(const json_t *o, const char *key, const struct digest *d)
{
	const char *hex = json_string_value(json_object_get(o, key));

	return hex && str_eq(hex, d->hex);
}

static int read_manifest(int dir, json_t **ret)
{
	auto_free char *text = NULL;
	size_t n = 0;

	if (io_read_file(dir, "manifest", MANIFEST_MAX_BYTES, &text, &n) == 0)
		*ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	return *ret && json_integer_value(json_object_get(*ret, "format")) == FORMAT ? 0 : -EBADMSG;
}

/* One file that is no memory, whose digest stands in o, or none where that has none. */
static int take_file(int dir, const char *name, const json_t *o, int to)
{
	auto_fd int from = -1;
	struct digest d;
	struct stat st;
	int r;

	if (!json_object_get(o, name))
		return 0;
	from = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0 || fstat(from, &st) < 0 || st.st_size > STATE_MAX_BYTES)
		return -EBADMSG;
	r = copy_state(from, st.st_size, to, &d);
	return r == 0 && !same(o, name, &d) ? -EBADMSG : r;
}

/* -EBADMSG: it is not what it says. */
static int read_back(const struct frozen *f, int files, int dir, json_t **ret_about)
{
	auto_(json) json_t *o = NULL;
	auto_fd int memory = openat(dir, "memory", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st, want;
	struct digest d;
	int r = read_manifest(dir, &o);

	if (r < 0 || memory < 0 || fstat(memory, &st) < 0 || fstat(f->memory, &want) < 0 || st.st_size != want.st_size ||
	    !json_object_get(o, "state"))
		return -EBADMSG;
	r = copy_memory(memory, NULL, st.st_size, f->memory, &d);
	if (r == 0 && !same(o, "memory", &d))
		r = -EBADMSG;
	if (r == 0)
		r = take_file(dir, "state", o, f->state);
	if (r == 0 && files >= 0)
		r = take_file(dir, "files", o, files);
	if (r == 0 && ret_about)
		*ret_about = TAKE_PTR(o);
	return r;
}

int frozen_read(const struct frozen *f, int files, int dir, json_t **ret_about, struct err *err)
{
	int r = read_back(f, files, dir, ret_about);

	if (r == -EBADMSG)
		return err_set(err, ERR_INTERNAL, EBADMSG, "the saved memory is damaged or incomplete");
	return r < 0 ? err_errno(err, -r, "cannot read the saved memory") : 0;
}

int frozen_load(struct frozen *f, int dirfd, const char *name, uint64_t memory_bytes, struct err *err)
{
	auto_fd int dir = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct frozen n = { -1, -1 };
	int r;

	if (dir < 0)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "there is no frozen machine %s", name);
	r = frozen_new(&n, memory_bytes, err);
	if (r == 0)
		r = read_back(&n, -1, dir, NULL);
	if (r == -EBADMSG)
		(void)io_remove_tree(dirfd, name);
	if (r == 0)
		r = seal(&n);
	if (r < 0) {
		frozen_done(&n);
		return err_errno(err, -r, "cannot use the frozen machine %s", name);
	}
	(void)futimens(dir, NULL); /* was used just now */
	*f = n;
	return 0;
}

struct found {
	char name[FROZEN_KEY + 32];
	time_t used;
};

static int newest_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->used < y->used ? 1 : x->used > y->used ? -1 : 0;
}

void frozen_prune(int dirfd, size_t keep)
{
	auto_free struct found *all = calloc(MAX_ENTRIES, sizeof(*all));
	auto_fd int at = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *d = at < 0 ? NULL : fdopendir(at);
	time_t now = time(NULL);
	struct dirent *e;
	size_t n = 0;

	if (d)
		at = -1; /* is d's now */
	while (all && d && n < MAX_ENTRIES && (e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		if (str_ends(e->d_name, ".new")) {
			if (now - st.st_mtim.tv_sec > STALE_S)
				(void)io_remove_tree(dirfd, e->d_name);
		} else if (str_format(all[n].name, sizeof(all[n].name), "%s", e->d_name) == 0) {
			all[n++].used = st.st_mtim.tv_sec;
		}
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), newest_first);
	for (size_t i = keep; i < n; i++)
		(void)io_remove_tree(dirfd, all[i].name);
}
