/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: see paths.h. What may be a workspace is for the daemon to judge; here only what the person can mistype.
 */
#include "cli/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

static int not_there(struct cli *c, const char *path)
{
	if (str_eq(path, "."))
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "the current folder does not exist any more");
	cli_hint(c, "mkdir -p %.400s", path);
	return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "workspace %.300s does not exist", path);
}

static int one(struct cli *c, const char *arg, bool primary, json_t *list)
{
	bool readonly = str_ends(arg, ":ro");
	auto_free char *path = strndup(arg, strlen(arg) - (readonly ? 3 : 0)), *real = NULL;
	struct stat st;
	json_t *v;

	if (!path)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!path[0])
		return err_set(&c->err, ERR_INVALID, EINVAL, "a workspace's path is empty");
	real = realpath(path, NULL);
	if (!real && (errno == ENOENT || errno == ENOTDIR))
		return not_there(c, path);
	if (!real || stat(real, &st) < 0)
		return err_errno(&c->err, errno, "cannot use workspace %.300s", path);
	if (primary && !S_ISDIR(st.st_mode))
		return err_set(&c->err, ERR_INVALID, ENOTDIR,
			       "workspace %.300s is a file: the first workspace must be a folder", path);
	v = json_pack("{s:s, s:b}", "path", real, "readonly", readonly);
	if (!v || json_array_append_new(list, v) < 0)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "workspace %.300s: the path is not UTF-8", path);
	return 0;
}

int paths_resolve(struct cli *c, const char *const *args, size_t n, json_t **ret)
{
	auto_(json) json_t *list = json_array();
	int r = 0;

	if (!list)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (n > PATHS_MAX)
		return err_set(&c->err, ERR_INVALID, E2BIG, "%zu workspaces are too many: at most %d", n, PATHS_MAX);
	if (n == 0)
		r = one(c, ".", true, list);
	for (size_t i = 0; i < n && r == 0; i++)
		r = one(c, args[i], i == 0, list);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return 0;
}
