/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenkey: see frozenkey.h. The command lines of QEMU are part of it as they are, so that no flag can be forgotten; of
 * QEMU, its firmware, the kernel and the initramfs the content counts, of the base layer the name, which is its digest,
 * and with KVM the processor and the host's kernel.
 */
#include "vm/frozenkey.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/qemuargs.h"

/* Raised when the meaning of a frozen machine changes in a way that nothing below shows. */
#define VERSION "2"
#define TEXT_MAX (256 * 1024)
#define FILES_MAX 32

DEFINE_AUTO(md, EVP_MD_CTX *, EVP_MD_CTX_free);

struct known {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	char hex[FROZEN_KEY];
};

static struct known known[FILES_MAX];
static size_t nknown;

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static const struct known *find(const struct stat *st)
{
	for (size_t i = 0; i < nknown; i++) {
		const struct known *k = &known[i];

		if (k->dev == st->st_dev && k->ino == st->st_ino && k->size == st->st_size &&
		    is_same_time(&k->mtime, &st->st_mtim) && is_same_time(&k->ctime, &st->st_ctim))
			return k;
	}
	return NULL;
}

static int hash_fd(int fd, char hex[FROZEN_KEY])
{
	auto_(md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	auto_free uint8_t *chunk = malloc(1 << 20);
	uint8_t bytes[EVP_MAX_MD_SIZE];
	ssize_t n;

	if (!md || !chunk || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	while ((n = io_read_full(fd, chunk, 1 << 20)) > 0)
		if (EVP_DigestUpdate(md, chunk, (size_t)n) != 1)
			return -EIO;
	if (n < 0)
		return (int)n;
	if (EVP_DigestFinal_ex(md, bytes, NULL) != 1)
		return -EIO;
	str_hex(hex, bytes, 32);
	return 0;
}

/* A file that is not there counts, too: it may come. */
static int file_digest(const char *path, char hex[FROZEN_KEY])
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct known *k;
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? str_format(hex, FROZEN_KEY, "none") : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	k = find(&st);
	if (k)
		return str_format(hex, FROZEN_KEY, "%s", k->hex);
	r = hash_fd(fd, hex);
	if (r == 0) {
		struct known *to = &known[nknown < FILES_MAX ? nknown++ : 0];

		*to = (struct known){ .dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .mtime = st.st_mtim, .ctime = st.st_ctim };
		(void)str_format(to->hex, sizeof(to->hex), "%s", hex);
	}
	return r;
}

static int add_line(struct buf *b, const char *name, const char *value)
{
	auto_free char *line = str_new("%s %s\n", name, value);

	return line ? buf_append_str(b, line) : -ENOMEM;
}

static int add_file(struct buf *b, const char *path, struct err *err)
{
	char hex[FROZEN_KEY];
	int r = file_digest(path, hex);

	if (r < 0)
		return err_errno(err, -r, "cannot read %s", path);
	r = add_line(b, "file", hex);
	return r < 0 ? err_errno(err, -r, "cannot name the frozen machine") : 0;
}

/* A blob's name is its digest, as sbx-image found when it wrote it; a layer from elsewhere is read. */
static int add_layer(struct buf *b, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int r;

	if (strlen(name) != FROZEN_KEY - 1 || strspn(name, "0123456789abcdef") != FROZEN_KEY - 1)
		return add_file(b, path, err);
	r = access(path, R_OK) < 0 ? -errno : add_line(b, "layer", name);
	return r < 0 ? err_errno(err, -r, "cannot read %s", path) : 0;
}

static int add_args(struct buf *b, const struct shape *s, enum qemu_mode mode)
{
	auto_free struct jail *j = calloc(1, sizeof(*j));
	int number[QEMU_IN_COUNT], r;

	if (!j)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(number); i++)
		number[i] = (int)i;
	qemuargs_add(j, s, mode, number);
	r = j->full ? -ENOMEM : 0;
	for (size_t i = 0; r == 0 && i < j->n; i++)
		r = add_line(b, "arg", j->argv[i]);
	for (size_t i = 0; i < j->nowned; i++)
		free(j->owned[i]);
	return r;
}

/* What `-cpu max` and the state of the devices depend on under KVM: the first processor's description, and the kernel. */
static int add_host(struct buf *b)
{
	static const char *const keys[] = { "vendor_id", "cpu family", "model", "stepping", "microcode", "flags" };
	auto_free char *text = NULL;
	struct utsname u;
	char *line, *rest;
	int r = io_read_file(AT_FDCWD, "/proc/cpuinfo", 4 << 20, &text, NULL);

	if (r < 0)
		return r;
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n")) && *line)
		for (size_t i = 0; r == 0 && i < ARRAY_LEN(keys); i++)
			if (str_starts(line, keys[i]))
				r = add_line(b, "cpu", line);
	return r == 0 && uname(&u) == 0 ? add_line(b, "kernel", u.release) : r;
}

static int add_all(struct buf *b, const struct shape *s, struct err *err)
{
	int r = add_line(b, "version", VERSION);

	if (r == 0)
		r = add_args(b, s, QEMU_FREEZE);
	if (r == 0)
		r = add_args(b, s, QEMU_THAW);
	if (r == 0)
		r = add_args(b, s, QEMU_RESUME);
	if (r == 0 && s->kvm)
		r = add_host(b);
	if (r < 0)
		return err_errno(err, -r, "cannot name the frozen machine");
	r = add_file(b, s->kernel, err);
	if (r == 0)
		r = add_layer(b, s->base, err);
	for (size_t i = 0; r == 0 && i < s->ninitrds; i++)
		r = add_file(b, s->initrds[i], err);
	for (size_t i = 0; r == 0 && qemuargs_files[i]; i++)
		r = add_file(b, qemuargs_files[i], err);
	return r;
}

int frozenkey(const struct shape *s, char ret[FROZEN_KEY], struct err *err)
{
	uint8_t bytes[EVP_MAX_MD_SIZE];
	struct buf b;
	int r;

	buf_init(&b, TEXT_MAX);
	r = add_all(&b, s, err);
	if (r == 0 && EVP_Digest(buf_bytes(&b), buf_len(&b), bytes, NULL, EVP_sha256(), NULL) != 1)
		r = err_set(err, ERR_INTERNAL, EIO, "cannot name the frozen machine");
	if (r == 0)
		str_hex(ret, bytes, 32);
	buf_done(&b);
	return r;
}
