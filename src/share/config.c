/* SPDX-License-Identifier: Apache-2.0
 *
 * config: see config.h. Strict: unknown keys, wrong types, a descriptor that is not what it is said to be, and a
 * descriptor named twice are errors, because a misunderstanding here would share something else.
 */
#include "share/config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* One path component. */
static bool component(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= NAME_MAX && !strchr(s, '/') && !str_eq(s, ".") && !str_eq(s, "..");
}

static bool is_open(int fd, mode_t type)
{
	struct stat st;

	return fd > STDERR_FILENO && fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static int take_root(json_t *o, struct config_root *r, struct err *err)
{
	const char *path, *type, *name = NULL;
	int readonly;
	json_error_t why;

	if (json_unpack_ex(o, &why, JSON_STRICT, "{s:i, s:s, s:b, s:s, s?i, s?s}", "fd", &r->fd, "path", &path,
			   "readonly", &readonly, "type", &type, "parent_fd", &r->parent_fd, "name", &name) < 0)
		return err_set(err, ERR_INVALID, 0, "a root is not understood: %s", why.text);
	if (!str_eq(type, "dir") && !str_eq(type, "file"))
		return err_set(err, ERR_INVALID, 0, "root %s: unknown type", path);
	r->readonly = readonly;
	r->is_file = str_eq(type, "file");
	if (!is_open(r->fd, r->is_file ? S_IFREG : S_IFDIR))
		return err_set(err, ERR_INVALID, 0, "root %s: descriptor %d is no %s", path, r->fd, type);
	if ((r->parent_fd < 0) != !name || (name && !component(name)) || (name && !is_open(r->parent_fd, S_IFDIR)))
		return err_set(err, ERR_INVALID, 0, "root %s: parent_fd and name do not name it", path);
	if (r->is_file && r->parent_fd < 0)
		return err_set(err, ERR_INVALID, 0, "root %s: a file needs parent_fd and name", path);
	r->path = strdup(path);
	r->name = name ? strdup(name) : NULL;
	if (!r->path || (name && !r->name))
		return err_errno(err, ENOMEM, "root %s", path);
	return 0;
}

static bool fd_repeats(const struct config *c)
{
	int fds[2 * CONFIG_MAX_ROOTS + 2];
	size_t n = 0;

	if (c->control_fd >= 0)
		fds[n++] = c->control_fd;
	if (c->state_fd >= 0)
		fds[n++] = c->state_fd;
	for (size_t i = 0; i < c->nroots; i++) {
		fds[n++] = c->roots[i].fd;
		if (c->roots[i].parent_fd >= 0)
			fds[n++] = c->roots[i].parent_fd;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (fds[i] == fds[j])
				return true;
	return false;
}

static int take_nonce(struct config *c, const char *nonce, struct err *err)
{
	size_t n = strlen(nonce);

	if (n == 0 || n > CONFIG_MAX_NONCE || strspn(nonce, "0123456789abcdef") != n)
		return err_set(err, ERR_INVALID, 0, "the nonce is no hex number of at most %d digits", CONFIG_MAX_NONCE);
	return str_format(c->nonce, sizeof(c->nonce), "%s", nonce);
}

static int take(json_t *o, struct config *c, struct err *err)
{
	json_t *roots;
	const char *nonce;
	json_error_t why;
	int cache_ms = 0, r;

	if (json_unpack_ex(o, &why, JSON_STRICT, "{s:s, s:o, s?i, s?i, s?i}", "nonce", &nonce, "roots", &roots,
			   "cache_ms", &cache_ms, "control_fd", &c->control_fd, "state_fd", &c->state_fd) < 0)
		return err_set(err, ERR_INVALID, 0, "the configuration is not understood: %s", why.text);
	if (!json_is_array(roots) || json_array_size(roots) > CONFIG_MAX_ROOTS || cache_ms < 0 || cache_ms > 60000)
		return err_set(err, ERR_INVALID, 0, "at most %d roots, cache_ms at most 60000", CONFIG_MAX_ROOTS);
	if (c->control_fd != -1 && !is_open(c->control_fd, S_IFSOCK))
		return err_set(err, ERR_INVALID, 0, "descriptor %d is no control socket", c->control_fd);
	if (c->state_fd != -1 && !is_open(c->state_fd, S_IFREG))
		return err_set(err, ERR_INVALID, 0, "descriptor %d is no saved state", c->state_fd);
	c->cache_ms = (unsigned)cache_ms;
	r = take_nonce(c, nonce, err);
	for (size_t i = 0; r == 0 && i < json_array_size(roots); i++) {
		c->roots[i] = (struct config_root){ .fd = -1, .parent_fd = -1 };
		c->nroots = i + 1;
		r = take_root(json_array_get(roots, i), &c->roots[i], err);
	}
	if (r == 0 && fd_repeats(c))
		r = err_set(err, ERR_INVALID, 0, "a descriptor is named twice");
	return r;
}

int config_parse(const char *text, size_t n, struct config *ret, struct err *err)
{
	struct config c = { .control_fd = -1, .state_fd = -1 };
	json_error_t why;
	auto_(json) json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!o)
		return err_set(err, ERR_INVALID, 0, "the configuration is no JSON: %s", why.text);
	r = take(o, &c, err);
	if (r < 0) {
		/* On failure the descriptors stay the caller's. */
		for (size_t i = 0; i < c.nroots; i++)
			c.roots[i].fd = c.roots[i].parent_fd = -1;
		c.control_fd = c.state_fd = -1;
		config_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

int config_read(int fd, struct config *ret, struct err *err)
{
	struct buf b;
	int r;

	buf_init(&b, CONFIG_MAX_BYTES);
	r = io_read_to_end(fd, &b);
	if (r < 0)
		r = err_errno(err, -r, "cannot read the configuration");
	else
		r = config_parse((const char *)buf_bytes(&b), buf_len(&b), ret, err);
	buf_done(&b);
	return r;
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < c->nroots; i++) {
		own_close_p(&c->roots[i].fd);
		own_close_p(&c->roots[i].parent_fd);
		free(c->roots[i].name);
		free(c->roots[i].path);
	}
	own_close_p(&c->control_fd);
	own_close_p(&c->state_fd);
	*c = (struct config){ .control_fd = -1, .state_fd = -1 };
}
