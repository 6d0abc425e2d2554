/* SPDX-License-Identifier: Apache-2.0
 *
 * protect: see protect.h. The lists are short and searched in order.
 */
#include "share/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/str.h"

static int identify(int fd, struct protect_id *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct protect_id){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

static bool equal(struct protect_id a, struct protect_id b)
{
	return a.ino == b.ino && a.dev == b.dev;
}

static bool is_root(const struct config *c, struct protect_id id)
{
	struct protect_id root;

	for (size_t i = 0; i < c->nroots; i++)
		if (identify(c->roots[i].fd, &root) == 0 && equal(root, id))
			return true;
	return false;
}

/* The chain of ".." from the protected path's parent to a root around it. Where there is none (a single file whose
 * folder is not shared) nothing above it can be reached, and nothing is kept. */
static int note_above(struct protect *p, const struct config *c, int parent_fd)
{
	auto_fd int fd = openat(parent_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t before = p->nabove;
	struct protect_id id, last = { 0 };

	while (fd >= 0 && identify(fd, &id) == 0) {
		int up;

		if (is_root(c, id))
			return 0;
		if (equal(id, last))
			break; /* the top of the host's file system */
		if (p->nabove == PROTECT_MAX_ABOVE)
			return -ENAMETOOLONG;
		p->above[p->nabove++] = id;
		last = id;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		own_close_p(&fd);
		fd = up;
	}
	p->nabove = before;
	return 0;
}

static int note(struct protect *p, const struct config *c, const struct config_root *r)
{
	int e = identify(r->fd, &p->ids[p->nids]);

	if (e < 0)
		return e;
	p->nids++;
	if (r->parent_fd < 0)
		return 0;
	e = identify(r->parent_fd, &p->places[p->nplaces].parent);
	if (e < 0)
		return e;
	p->places[p->nplaces].name = strdup(r->name);
	if (!p->places[p->nplaces].name)
		return -ENOMEM;
	p->nplaces++;
	return note_above(p, c, r->parent_fd);
}

/* The innermost writable root around a read-only one gives the path that the guest would take. Outer ones see the
 * same files, so each of them counts. */
static int note_paths(struct protect *p, const struct config *c, const struct config_root *r)
{
	for (size_t i = 0; i < c->nroots; i++) {
		size_t n = strlen(c->roots[i].path);

		while (n > 0 && c->roots[i].path[n - 1] == '/')
			n--;
		if (c->roots[i].readonly || strncmp(r->path, c->roots[i].path, n) != 0 || r->path[n] != '/' || !r->path[n + 1])
			continue;
		if (p->npaths == ARRAY_LEN(p->paths))
			return -E2BIG;
		p->paths[p->npaths].root = (uint16_t)i;
		p->paths[p->npaths++].path = r->path + n + 1;
	}
	return 0;
}

int protect_init(struct protect *p, const struct config *c, struct err *err)
{
	*p = (struct protect){ 0 };
	for (size_t i = 0; i < c->nroots; i++) {
		int e = c->roots[i].readonly ? note(p, c, &c->roots[i]) : 0;

		if (e == 0 && c->roots[i].readonly)
			e = note_paths(p, c, &c->roots[i]);
		if (e < 0) {
			protect_done(p);
			return err_errno(err, -e, "cannot protect %s", c->roots[i].path);
		}
	}
	return 0;
}

void protect_done(struct protect *p)
{
	for (size_t i = 0; i < p->nplaces; i++)
		free(p->places[i].name);
	*p = (struct protect){ 0 };
}

bool protect_has(const struct protect *p, struct protect_id id)
{
	for (size_t i = 0; i < p->nids; i++)
		if (equal(p->ids[i], id))
			return true;
	return false;
}

/* Whether parent and name are the first n bytes of path below the root. */
static bool is_path(uint16_t root, const struct node *parent, const char *name, const char *path, size_t n)
{
	for (;;) {
		size_t len = strlen(name);

		if (len > n || memcmp(path + n - len, name, len) != 0)
			return false;
		n -= len;
		if (n == 0)
			return parent && parent->fixed && parent->key.root == root;
		if (path[--n] != '/' || !parent || !parent->name)
			return false;
		name = parent->name;
		parent = parent->parent;
	}
}

bool protect_has_place(const struct protect *p, const struct node *parent, const char *name)
{
	struct protect_id id = { parent->key.dev, parent->key.ino };

	for (size_t i = 0; i < p->nplaces; i++)
		if (equal(p->places[i].parent, id) && str_eq(p->places[i].name, name))
			return true;
	for (size_t i = 0; i < p->npaths; i++)
		if (is_path(p->paths[i].root, parent, name, p->paths[i].path, strlen(p->paths[i].path)))
			return true;
	return false;
}

bool protect_above_place(const struct protect *p, const struct node *parent, const char *name)
{
	for (size_t i = 0; i < p->npaths; i++)
		for (const char *s = strchr(p->paths[i].path, '/'); s; s = strchr(s + 1, '/'))
			if (is_path(p->paths[i].root, parent, name, p->paths[i].path, (size_t)(s - p->paths[i].path)))
				return true;
	return false;
}

bool protect_above(const struct protect *p, struct protect_id id)
{
	for (size_t i = 0; i < p->nabove; i++)
		if (equal(p->above[i], id))
			return true;
	return false;
}
