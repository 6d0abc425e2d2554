/* SPDX-License-Identifier: Apache-2.0
 *
 * home: see home.h. Enters: ids that keepermsg_id_ok has passed, so that a name is never a path.
 */
#include "keeper/home.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

#define LOOSE 077

/* Ours, and nobody else's. */
static int check(int fd, mode_t type, const char *what, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "cannot look at %.300s", what);
	if ((st.st_mode & S_IFMT) != type)
		return err_set(err, ERR_DENIED, EPERM, "%.300s is not of the right type", what);
	if (st.st_uid != geteuid())
		return err_set(err, ERR_DENIED, EPERM, "%.300s belongs to another user (uid %u)", what, st.st_uid);
	if (st.st_mode & LOOSE)
		return err_set(err, ERR_DENIED, EPERM,
			       "%.300s may be used by others (mode %03o): remove it, if nobody else can have read it chmod go=",
			       what, st.st_mode & 0777);
	return 0;
}

static int open_dir(int at, const char *name, const char *what, struct err *err)
{
	auto_fd int fd = -1;
	int r;

	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "cannot make %.300s", what);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot open %.300s", what);
	r = check(fd, S_IFDIR, what, err);
	return r < 0 ? r : TAKE_FD(fd);
}

int home_open(struct home *h, const char *state_dir, struct err *err)
{
	auto_fd int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), top = -1, ca = -1;
	char path[sizeof(h->path)];

	if (state < 0)
		return err_errno(err, errno, "cannot open %.300s", state_dir);
	if (str_format(path, sizeof(path), "%s/keeper", state_dir) < 0)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "the state directory's path is too long");
	top = open_dir(state, "keeper", path, err);
	if (top < 0)
		return top;
	ca = open_dir(top, "ca", path, err);
	if (ca < 0)
		return ca;
	*h = (struct home){ .fd = TAKE_FD(top), .ca = TAKE_FD(ca) };
	memcpy(h->path, path, sizeof(path));
	return 0;
}

void home_close(struct home *h)
{
	own_close_p(&h->fd);
	own_close_p(&h->ca);
}

struct filename {
	char s[64];
};

static struct filename filename(const char *id)
{
	struct filename f;

	(void)str_format(f.s, sizeof(f.s), "%.36s.pem", id);
	return f;
}

static int save(const struct home *h, const char *id, const struct ca *ca, struct err *err)
{
	char *text = ca_memory(CA_PEM_MAX);
	int n = text ? ca_save(ca, text, CA_PEM_MAX) : -ENOMEM;
	int r = n < 0 ? n : io_write_file_atomic(h->ca, filename(id).s, text, (size_t)n, 0600);

	ca_wipe(text, CA_PEM_MAX);
	return r < 0 ? err_errno(err, -r, "cannot write %.300s/ca/%s", h->path, filename(id).s) : 0;
}

static struct ca *make(const struct home *h, const char *id, const int64_t *now, struct err *err)
{
	auto_(ca) struct ca *ca = ca_new(id, now, err);

	if (!ca || save(h, id, ca, err) < 0)
		return NULL;
	return TAKE_PTR(ca);
}

static struct ca *load(int fd, const char *id, const char *what, struct err *err)
{
	char *text = ca_memory(CA_PEM_MAX + 1);
	ssize_t n = text ? io_read_full(fd, text, CA_PEM_MAX + 1) : -ENOMEM;
	struct ca *ca = NULL;

	if (n < 0)
		(void)err_errno(err, (int)-n, "cannot read %.300s", what);
	else
		ca = ca_load(id, text, (size_t)n, err);
	ca_wipe(text, CA_PEM_MAX + 1);
	if (!ca)
		(void)err_wrap(err, "%.200s", what);
	return ca;
}

struct ca *home_ca(const struct home *h, const char *id, const int64_t *now, struct err *err)
{
	auto_fd int fd = openat(h->ca, filename(id).s, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	auto_(ca) struct ca *ca = NULL;
	char what[300];

	(void)str_format(what, sizeof(what), "%.200s/ca/%s", h->path, filename(id).s);
	if (fd < 0 && errno == ENOENT)
		return make(h, id, now, err);
	if (fd < 0) {
		(void)err_errno(err, errno, "cannot open %s", what);
		return NULL;
	}
	if (check(fd, S_IFREG, what, err) < 0)
		return NULL;
	ca = load(fd, id, what, err);
	if (ca && ca_is_old(ca, now) && (ca_renew(ca, now, err) < 0 || save(h, id, ca, err) < 0))
		return NULL;
	return TAKE_PTR(ca);
}

int home_forget(const struct home *h, const char *id, struct err *err)
{
	if (unlinkat(h->ca, filename(id).s, 0) < 0 && errno != ENOENT)
		return err_errno(err, errno, "cannot remove %.300s/ca/%s", h->path, filename(id).s);
	(void)fsync(h->ca);
	return 0;
}
