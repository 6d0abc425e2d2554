/* SPDX-License-Identifier: Apache-2.0
 *
 * modules: see modules.h. It does not resolve dependencies: whoever made the initramfs wrote them into the names.
 */
#include "guest/modules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void modules_done(struct module_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	*l = (struct module_list){ 0 };
}

int modules_list(const char *dir, struct module_list *ret, struct err *err)
{
	auto_dir DIR *d = opendir(dir);
	struct module_list l = { 0 };
	struct dirent *e;

	if (!d && errno == ENOENT) {
		*ret = l;
		return 0;
	}
	l.names = calloc(MODULES_MAX, sizeof(*l.names));
	if (!d || !l.names) {
		modules_done(&l);
		return err_errno(err, d ? ENOMEM : errno, "cannot list %s", dir);
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || !str_ends(e->d_name, ".ko"))
			continue;
		if (l.n == MODULES_MAX || !(l.names[l.n] = strdup(e->d_name))) {
			int full = l.n == MODULES_MAX;

			modules_done(&l);
			return err_errno(err, full ? E2BIG : ENOMEM, "cannot list %s", dir);
		}
		l.n++;
	}
	if (l.n > 1)
		qsort(l.names, l.n, sizeof(*l.names), by_name);
	*ret = l;
	return 0;
}

/* What a module is told: dummy makes a device of its own accord otherwise, which nobody asked for. */
static const char *parameters_of(const char *name)
{
	return str_ends(name, "-dummy.ko") ? "numdummies=0" : "";
}

static void load(int dirfd, const char *name)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || (syscall(SYS_finit_module, fd, parameters_of(name), 0) < 0 && errno != EEXIST))
		console_line("module %s: %s", name, strerror(errno));
	(void)unlinkat(dirfd, name, 0);
}

int modules_load(const char *dir, struct err *err)
{
	struct module_list l;
	auto_fd int fd = -1;
	int r = modules_list(dir, &l, err);

	if (r < 0)
		return r;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < l.n; i++)
		load(fd, l.names[i]);
	modules_done(&l);
	(void)rmdir(dir);
	return 0;
}
