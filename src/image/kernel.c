/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel: see kernel.h. The tar archive is read twice: for depmod's texts, then for the modules they lead to.
 */
#include "image/kernel.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/bzimage.h"
#include "image/moddep.h"
#include "image/stop.h"
#include "image/unpack.h"

#define VMLINUZ_MAX (64U << 20)
#define MODULE_MAX (64U << 20)
#define TEXT_MAX (8U << 20)
#define PREFIX "usr/lib/modules/"

static int make_vmlinux(const struct job *j, struct err *err)
{
	auto_free char *bytes = NULL;
	auto_fd int fd = -1;
	struct bzimage at;
	struct buf elf;
	size_t n;
	int r = io_read_file(j->fd, JOB_VMLINUZ, VMLINUZ_MAX, &bytes, &n);

	if (r < 0)
		return err_errno(err, -r, "cannot read %s/" JOB_VMLINUZ, j->dir);
	r = bzimage_parse((const uint8_t *)bytes, n, &at, err);
	if (r < 0)
		return r;
	buf_init(&elf, at.size);
	r = unpack_bytes(bytes + at.offset, at.len, &elf, err);
	if (r == 0 && (buf_len(&elf) != at.size || memcmp(buf_bytes(&elf), "\177ELF\2\1", 6) != 0))
		r = err_set(err, ERR_INVALID, ENOEXEC, "the kernel's payload is no ELF file of %zu bytes", at.size);
	if (r == 0) {
		fd = job_begin(j, JOB_VMLINUX);
		r = fd < 0 ? fd : io_write_all(fd, buf_bytes(&elf), buf_len(&elf));
		if (r < 0)
			r = err_errno(err, -r, "cannot write %s/" JOB_VMLINUX, j->dir);
	}
	buf_done(&elf);
	return r < 0 ? r : job_finish(j, JOB_VMLINUX, fd, err);
}

/* Calls want for each regular file of the tar archive; want returns where to put its content, NULL for nowhere. */
struct reader {
	struct buf *(*want)(void *user, const char *path);
	void *user;
};

static int read_entry(struct archive *a, struct buf *out)
{
	const void *block;
	la_int64_t offset;
	size_t n;
	int r;

	while ((r = archive_read_data_block(a, &block, &n, &offset)) == ARCHIVE_OK)
		if (buf_append(out, block, n) < 0)
			return ARCHIVE_FATAL;
	return r == ARCHIVE_EOF ? ARCHIVE_OK : r;
}

static int read_tar(const struct job *j, const struct reader *reader, struct err *err)
{
	auto_fd int fd = openat(j->fd, JOB_TAR, O_RDONLY | O_CLOEXEC);
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int r = ARCHIVE_FATAL, stop = 0;

	if (a && fd >= 0 && archive_read_support_format_tar(a) == ARCHIVE_OK &&
	    archive_read_open_fd(a, fd, 1U << 16) == ARCHIVE_OK)
		r = ARCHIVE_OK;
	while (r >= ARCHIVE_WARN && (stop = stop_check(err)) == 0) {
		struct buf *out = NULL;
		const char *path;

		r = archive_read_next_header(a, &entry);
		if (r < ARCHIVE_WARN || r == ARCHIVE_EOF)
			break;
		path = archive_entry_pathname(entry);
		if (path && archive_entry_filetype(entry) == AE_IFREG)
			out = reader->want(reader->user, str_starts(path, "./") ? path + 2 : path);
		if (out)
			r = read_entry(a, out);
	}
	if (stop == 0 && r != ARCHIVE_EOF)
		stop = err_set(err, ERR_INVALID, EBADMSG, "cannot read %.200s/" JOB_TAR ": %.150s", j->dir,
			       a && archive_error_string(a) ? archive_error_string(a) : "too long a member, or no memory");
	(void)archive_read_free(a);
	return stop;
}

struct texts {
	char release[65];
	bool ambiguous; /* more than one release */
	struct buf dep, softdep, builtin;
};

static struct buf *want_text(void *user, const char *path)
{
	struct texts *t = user;
	size_t n = sizeof(PREFIX) - 1, len;

	if (!str_starts(path, PREFIX))
		return NULL;
	path += n;
	len = strcspn(path, "/");
	if (str_eq(path + len, "/modules.softdep"))
		return &t->softdep;
	if (str_eq(path + len, "/modules.builtin"))
		return &t->builtin;
	if (!str_eq(path + len, "/modules.dep"))
		return NULL;
	t->ambiguous = t->release[0] != 0 || len >= sizeof(t->release);
	if (len < sizeof(t->release)) {
		memcpy(t->release, path, len);
		t->release[len] = 0;
	}
	return &t->dep;
}

struct files {
	char prefix[sizeof(PREFIX) + 66];
	const struct moddep_order *order; /* borrowed */
	struct buf packed[MODDEP_MAX];
};

static struct buf *want_module(void *user, const char *path)
{
	struct files *f = user;

	if (!str_starts(path, f->prefix))
		return NULL;
	for (size_t i = 0; i < f->order->n; i++)
		if (str_eq(path + strlen(f->prefix), f->order->path[i]))
			return &f->packed[i];
	return NULL;
}

static int add_entry(struct archive *a, const char *path, mode_t type, const struct buf *content, int64_t ino)
{
	struct archive_entry *e = archive_entry_new();
	int r = ARCHIVE_FATAL;

	if (!e)
		return r;
	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, type);
	archive_entry_set_size(e, content ? (la_int64_t)buf_len(content) : 0);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_ino64(e, ino);
	archive_entry_set_nlink(e, 1);
	r = archive_write_header(a, e);
	archive_entry_free(e);
	if (r == ARCHIVE_OK && content &&
	    archive_write_data(a, buf_bytes(content), buf_len(content)) != (la_ssize_t)buf_len(content))
		r = ARCHIVE_FATAL;
	return r;
}

static int add_module(struct archive *a, const struct files *f, size_t i, struct err *err)
{
	struct buf module;
	char name[64], path[96];
	int r;

	buf_init(&module, MODULE_MAX);
	if (moddep_name(f->order->path[i], strlen(f->order->path[i]), name, sizeof(name)) < 0 ||
	    str_format(path, sizeof(path), "modules/%02zu-%s.ko", i, name) < 0)
		r = err_set(err, ERR_INVALID, ENAMETOOLONG, "the module %.200s has too long a name", f->order->path[i]);
	else if (buf_len(&f->packed[i]) == 0)
		r = err_set(err, ERR_INVALID, ENOENT, "the image has no file of the module %.200s", f->order->path[i]);
	else
		r = unpack_bytes(buf_bytes(&f->packed[i]), buf_len(&f->packed[i]), &module, err);
	if (r == 0 && add_entry(a, path, S_IFREG | 0644, &module, (int64_t)i + 2) != ARCHIVE_OK)
		r = err_set(err, ERR_UNAVAILABLE, EIO, "cannot write " JOB_MODULES ": %.200s", archive_error_string(a));
	buf_done(&module);
	return r;
}

static int write_modules(const struct job *j, const struct files *f, struct err *err)
{
	struct archive *a = archive_write_new();
	auto_fd int fd = job_begin(j, JOB_MODULES);
	int r = 0;

	if (fd < 0)
		r = err_errno(err, -fd, "cannot write %s/" JOB_MODULES, j->dir);
	else if (!a || archive_write_set_format_cpio_newc(a) != ARCHIVE_OK ||
		 archive_write_set_bytes_per_block(a, 512) != ARCHIVE_OK ||
		 archive_write_set_bytes_in_last_block(a, 512) != ARCHIVE_OK ||
		 archive_write_open_fd(a, fd) != ARCHIVE_OK || add_entry(a, "modules", S_IFDIR | 0755, NULL, 1) != ARCHIVE_OK)
		r = err_set(err, ERR_UNAVAILABLE, EIO, "cannot write %s/" JOB_MODULES, j->dir);
	for (size_t i = 0; r == 0 && i < f->order->n; i++)
		r = add_module(a, f, i, err);
	if (a && archive_write_close(a) != ARCHIVE_OK && r == 0)
		r = err_set(err, ERR_UNAVAILABLE, EIO, "cannot write %s/" JOB_MODULES, j->dir);
	(void)archive_write_free(a);
	return r < 0 ? r : job_finish(j, JOB_MODULES, fd, err);
}

static int gather_modules(const struct job *j, const struct texts *t, const struct moddep_order *order, struct err *err)
{
	struct files f = { .order = order };
	const struct reader reader = { .want = want_module, .user = &f };
	int r;

	(void)str_format(f.prefix, sizeof(f.prefix), PREFIX "%s/", t->release);
	for (size_t i = 0; i < MODDEP_MAX; i++)
		buf_init(&f.packed[i], MODULE_MAX);
	r = read_tar(j, &reader, err);
	if (r == 0)
		r = write_modules(j, &f, err);
	for (size_t i = 0; i < MODDEP_MAX; i++)
		buf_done(&f.packed[i]);
	return r;
}

static int make_modules(const struct job *j, struct err *err)
{
	struct texts t = { 0 };
	const struct reader reader = { .want = want_text, .user = &t };
	struct moddep_order order = { 0 };
	int r;

	buf_init(&t.dep, TEXT_MAX);
	buf_init(&t.softdep, TEXT_MAX);
	buf_init(&t.builtin, TEXT_MAX);
	r = read_tar(j, &reader, err);
	if (r == 0 && (!t.release[0] || t.ambiguous))
		r = err_set(err, ERR_INVALID, ENOENT, "the image holds modules of %s kernel", t.ambiguous ? "more than one" : "no");
	if (r == 0) {
		const struct moddep in = { .dep = buf_cstr(&t.dep), .softdep = buf_cstr(&t.softdep),
					   .builtin = buf_cstr(&t.builtin) };

		r = in.dep && in.softdep && in.builtin ? moddep_sort(&in, j->template->modules, &order, err) :
							 err_errno(err, ENOMEM, "cannot sort the kernel's modules");
	}
	if (r == 0) {
		int w = io_write_file_atomic(j->fd, JOB_RELEASE, t.release, strlen(t.release), 0600);

		r = w < 0 ? err_errno(err, -w, "cannot write %s/" JOB_RELEASE, j->dir) : 0;
	}
	if (r == 0)
		r = gather_modules(j, &t, &order, err);
	moddep_done(&order);
	buf_done(&t.dep);
	buf_done(&t.softdep);
	buf_done(&t.builtin);
	return r;
}

int kernel_make(const struct job *j, struct err *err)
{
	int r = job_has(j, JOB_VMLINUX) ? 0 : make_vmlinux(j, err);

	if (r == 0 && !job_has(j, JOB_MODULES))
		r = make_modules(j, err);
	return r < 0 && r != -EINTR ? err_wrap(err, "cannot prepare the kernel") : r;
}
