/* SPDX-License-Identifier: Apache-2.0
 *
 * store: see store.h.
 */
#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/stop.h"

#define LOCK "lock"
#define BLOBS "blobs"
#define REFS "refs"
#define WORK "work"
#define MAX_KEPT 4096
#define CHUNK (1U << 20)

int store_open_existing(struct store *s, const char *cache_dir, struct err *err)
{
	*s = (struct store){ .fd = -1, .blobs = -1 };
	if (str_format(s->dir, sizeof(s->dir), "%s/templates", cache_dir) < 0)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "the cache directory's name is too long");
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0)
		s->blobs = openat(s->fd, BLOBS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->blobs < 0 && errno == ENOENT)
		return -ENOENT;
	return s->blobs < 0 ? err_errno(err, errno, "cannot open %s", s->dir) : 0;
}

int store_open(struct store *s, const char *cache_dir, struct err *err)
{
	auto_free char *blobs = str_new("%s/templates/" BLOBS, cache_dir);
	int r;

	*s = (struct store){ .fd = -1, .blobs = -1 };
	if (!blobs)
		return err_errno(err, ENOMEM, "cannot open %s", cache_dir);
	r = env_ensure(cache_dir, err);
	if (r == 0)
		r = env_ensure(blobs, err);
	return r < 0 ? r : store_open_existing(s, cache_dir, err);
}

void store_done(struct store *s)
{
	own_close_p(&s->blobs);
	own_close_p(&s->fd);
}

static int read_manifest(int dirfd, const char *file, struct manifest *ret, struct err *err)
{
	auto_free char *text = NULL;
	size_t n;
	int r = io_read_file(dirfd, file, MANIFEST_MAX_BYTES, &text, &n);

	if (r == -ENOENT)
		return r;
	return r < 0 ? err_errno(err, -r, "cannot read %s", file) : manifest_parse(text, n, ret, err);
}

static bool has_blob(const struct store *s, const struct manifest_blob *b)
{
	struct stat st;

	return fstatat(s->blobs, b->digest, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == b->bytes;
}

int store_load(const struct store *s, const char *name, struct manifest *ret, struct err *err)
{
	struct manifest m;
	char file[80];
	bool all;
	int r = str_format(file, sizeof(file), "%s.json", name);

	r = r < 0 || !manifest_name_ok(name) ? -ENOENT : read_manifest(s->fd, file, &m, err);
	if (r < 0)
		return r;
	all = str_eq(m.name, name) && has_blob(s, &m.kernel) && has_blob(s, &m.modules);
	for (size_t i = 0; i < m.nlayers; i++)
		all = all && has_blob(s, &m.layers[i]);
	if (!all)
		return -ENOENT;
	*ret = m;
	return 0;
}

static void on_alarm(int sig)
{
}

/* flock has no deadline: a timer interrupts it every second to look at the clock and at signals. */
static int wait_for_lock(int fd, struct progress *p, struct err *err)
{
	const struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval every = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	uint64_t end = io_now_ms() + STORE_LOCK_TIMEOUT_MS;
	int r = -1;

	progress_step(p, 0, "waiting for another build of a template");
	(void)sigaction(SIGALRM, &sa, NULL);
	(void)setitimer(ITIMER_REAL, &every, NULL);
	while (r < 0) {
		r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
		if (r < 0 && r != -EINTR) {
			(void)err_errno(err, -r, "cannot lock the template store");
			break;
		}
		if (r == -EINTR && stop_check(err) < 0)
			break;
		if (r == -EINTR && io_now_ms() > end) {
			r = err_set(err, ERR_TIMEOUT, ETIMEDOUT, "another build of a template did not end within %d minutes",
				    STORE_LOCK_TIMEOUT_MS / 60000);
			break;
		}
		progress_tick(p);
	}
	every = (struct itimerval){ 0 };
	(void)setitimer(ITIMER_REAL, &every, NULL);
	return r;
}

static int open_lock(const struct store *s)
{
	return openat(s->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int store_lock(const struct store *s, struct progress *p, int *ret, struct err *err)
{
	auto_fd int fd = open_lock(s);
	int r;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s/" LOCK, s->dir);
	r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (r == -EWOULDBLOCK)
		r = wait_for_lock(fd, p, err);
	else if (r < 0)
		r = err_errno(err, -r, "cannot lock %s/" LOCK, s->dir);
	if (r < 0)
		return r;
	*ret = TAKE_FD(fd);
	return 0;
}

int store_job(const struct store *s, const char *inputs, struct job *j, struct err *err)
{
	int r = str_format(j->dir, sizeof(j->dir), "%s/" WORK "/%s", s->dir, inputs);

	j->fd = j->log = -1;
	if (r == 0)
		r = io_mkdirs(j->dir, 0700);
	if (r < 0)
		return err_errno(err, -r, "cannot make %s", j->dir);
	j->fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->fd >= 0)
		j->log = openat(j->fd, JOB_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return j->log < 0 ? err_errno(err, errno, "cannot open %s/" JOB_LOG, j->dir) : 0;
}

/* SHA-256 and length of an open file. */
static int digest(int fd, struct manifest_blob *ret, struct err *err)
{
	auto_free uint8_t *chunk = malloc(CHUNK);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sum[32];
	uint64_t total = 0;
	ssize_t n = -ENOMEM;
	int r = 0;

	if (chunk && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		while ((n = io_read_full(fd, chunk, CHUNK)) > 0 && (r = stop_check(err)) == 0) {
			(void)EVP_DigestUpdate(md, chunk, (size_t)n);
			total += (uint64_t)n;
		}
	if (n == 0 && !EVP_DigestFinal_ex(md, sum, NULL))
		n = -ENOMEM;
	EVP_MD_CTX_free(md);
	if (n < 0)
		return err_errno(err, (int)-n, "cannot read what was made");
	if (r < 0)
		return r;
	str_hex(ret->digest, sum, sizeof(sum));
	ret->bytes = total;
	return 0;
}

int store_put(const struct store *s, const struct job *j, const char *artefact, struct manifest_blob *ret, struct err *err)
{
	auto_fd int fd = openat(j->fd, artefact, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct manifest_blob b;
	char part[80];
	int r;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s/%s", j->dir, artefact);
	r = digest(fd, &b, err);
	if (r < 0)
		return r;
	/* By a name in between, because a damaged blob of this name may be in the way. Where the same file is there
	 * already, rename(2) leaves both names. */
	(void)str_format(part, sizeof(part), "%s.part", b.digest);
	(void)unlinkat(s->blobs, part, 0);
	if (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || linkat(j->fd, artefact, s->blobs, part, 0) < 0 ||
	    renameat(s->blobs, part, s->blobs, b.digest) < 0 || fsync(s->blobs) < 0)
		return err_errno(err, errno, "cannot store %s/" BLOBS "/%s", s->dir, b.digest);
	(void)unlinkat(s->blobs, part, 0);
	*ret = b;
	return 0;
}

int store_save(const struct store *s, const struct manifest *m, struct err *err)
{
	struct buf text;
	char file[80];
	int r = str_format(file, sizeof(file), "%s.json", m->name);

	buf_init(&text, MANIFEST_MAX_BYTES);
	if (r == 0)
		r = manifest_print(m, &text);
	if (r == 0)
		r = io_write_file_atomic(s->fd, file, buf_bytes(&text), buf_len(&text), 0600);
	buf_done(&text);
	return r < 0 ? err_errno(err, -r, "cannot write %s/%s.json", s->dir, m->name) : 0;
}

struct kept {
	char (*digest)[MANIFEST_DIGEST]; /* owned */
	size_t n;
};

static int keep(struct kept *k, const char *digest)
{
	for (size_t i = 0; i < k->n; i++)
		if (str_eq(k->digest[i], digest))
			return 0;
	if (k->n == MAX_KEPT)
		return -E2BIG;
	memcpy(k->digest[k->n++], digest, MANIFEST_DIGEST);
	return 0;
}

void store_sweep(const struct store *s)
{
	auto_fd int lock = -1;
	struct err ignored;

	if (faccessat(s->fd, WORK, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	lock = open_lock(s);
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
		(void)store_clean(s, &ignored);
}

/* Calls each for the names in a directory that end in suffix; stops at the first that is not 0. */
static int walk(int dirfd, const char *suffix, int (*each)(int dirfd, const char *name, void *user), void *user)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	auto_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		own_close_p(&fd);
		return -EIO;
	}
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && str_ends(e->d_name, suffix))
			r = each(dirfd, e->d_name, user);
	return r;
}

static int keep_manifest(int dirfd, const char *name, void *user)
{
	struct kept *k = user;
	struct manifest m;
	int r = read_manifest(dirfd, name, &m, NULL);

	for (size_t i = 0; r == 0 && i < m.nlayers; i++)
		r = keep(k, m.layers[i].digest);
	if (r == 0)
		r = keep(k, m.kernel.digest);
	return r == 0 ? keep(k, m.modules.digest) : r;
}

/* Whether the directory that a reference was made for is gone: "holder", an absolute path. */
static bool is_orphan(int dirfd, const char *name)
{
	auto_free char *text = NULL;
	const char *holder;
	json_t *o;
	bool gone;
	size_t n;

	if (io_read_file(dirfd, name, MANIFEST_MAX_BYTES, &text, &n) < 0)
		return false;
	o = json_loadb(text, n, 0, NULL);
	holder = json_string_value(json_object_get(o, "holder"));
	gone = holder && holder[0] == '/' && access(holder, F_OK) < 0 && errno == ENOENT;
	json_decref(o);
	return gone;
}

static int keep_reference(int dirfd, const char *name, void *user)
{
	if (is_orphan(dirfd, name))
		return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	return keep_manifest(dirfd, name, user);
}

static int drop_blob(int dirfd, const char *name, void *user)
{
	const struct kept *k = user;

	for (size_t i = 0; i < k->n; i++)
		if (str_eq(k->digest[i], name))
			return 0;
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

/* What a build that was killed had begun to write as a manifest (io_write_file_atomic). */
static int drop_unfinished(int dirfd, const char *name, void *user)
{
	return strstr(name, ".json.tmp.") && unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int store_clean(const struct store *s, struct err *err)
{
	struct kept k = { .digest = calloc(MAX_KEPT, MANIFEST_DIGEST) };
	auto_fd int refs = openat(s->fd, REFS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = k.digest ? walk(s->fd, ".json", keep_manifest, &k) : -ENOMEM;

	if (r == 0 && refs >= 0)
		r = walk(refs, ".json", keep_reference, &k);
	if (r == 0)
		r = walk(s->blobs, "", drop_blob, &k);
	free(k.digest);
	if (r == 0)
		r = walk(s->fd, "", drop_unfinished, NULL);
	if (r == 0)
		r = io_remove_tree(s->fd, WORK);
	return r < 0 ? err_errno(err, -r, "cannot tidy up %s", s->dir) : 0;
}
