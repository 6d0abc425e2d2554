/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: see agents.h. A file that cannot be read is an error of its own name only.
 */
#include "daemon/agents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/notes.h"
#include "wire/profile.h"

#define AGENT_HOME "/home/agent"

DEFINE_AUTO(json, json_t *, json_decref);

struct names {
	char list[AGENTS_MAX][PROFILE_NAME_SIZE];
	size_t n;
};

/* The text of a regular file (a pipe of that name would be waited for). */
static int read_text(const char *path, struct buf *out)
{
	auto_fd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? io_read_to_end(fd, out) : -EINVAL;
}

static int load(const char *path, const char *name, json_t **ret, struct err *err)
{
	struct buf text;
	int r;

	buf_init(&text, PROFILE_MAX_BYTES + 1);
	r = read_text(path, &text);
	if (r == -ENOENT) {
		buf_done(&text);
		return r;
	}
	if (r == -EMSGSIZE || (r == 0 && buf_len(&text) > PROFILE_MAX_BYTES))
		r = err_set(err, ERR_INVALID, EMSGSIZE, "%.300s has more than %u KiB", path, PROFILE_MAX_BYTES >> 10);
	else if (r < 0)
		r = err_errno(err, -r, "cannot read %.300s", path);
	else if ((r = profile_parse((const char *)buf_bytes(&text), buf_len(&text), name, ret, err)) < 0)
		r = err_wrap(err, "%.300s", path);
	if (r == 0 && json_object_set_new(*ret, "source", json_string(path)) < 0) {
		json_decref(*ret);
		r = err_errno(err, ENOMEM, "%.300s", path);
	}
	buf_done(&text);
	return r == -ENOENT ? -EIO : r;
}

static char *path_of(const struct env_dirs *dirs, bool own, const char *name)
{
	auto_free char *data = own ? str_new("%s/agents", dirs->config) : env_data("agents");

	return data ? str_new("%s/%s.yaml", data, name) : NULL;
}

/* -ENOENT: there is none. */
static int load_name(const struct env_dirs *dirs, const char *name, json_t **ret, struct err *err)
{
	int r = -ENOENT;

	for (int own = 1; own >= 0 && r == -ENOENT; own--) {
		auto_free char *path = path_of(dirs, own, name);

		r = path ? load(path, name, ret, err) : err_errno(err, ENOMEM, "the agents");
	}
	return r;
}

static void gather_dir(const char *dir, struct names *names)
{
	auto_dir DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d)) && names->n < AGENTS_MAX) {
		size_t n = strlen(e->d_name), i = 0;
		char name[PROFILE_NAME_SIZE];

		if (n < 6 || n - 5 >= sizeof(name) || !str_ends(e->d_name, ".yaml"))
			continue;
		memcpy(name, e->d_name, n - 5);
		name[n - 5] = 0;
		while (i < names->n && !str_eq(names->list[i], name))
			i++;
		if (i == names->n && profile_name_ok(name))
			memcpy(names->list[names->n++], name, sizeof(name));
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void gather(const struct env_dirs *dirs, struct names *names)
{
	auto_free char *own = str_new("%s/agents", dirs->config), *data = env_data("agents");

	names->n = 0;
	if (data)
		gather_dir(data, names);
	if (own)
		gather_dir(own, names);
	qsort(names->list, names->n, sizeof(names->list[0]), by_name);
}

int agents_find(const struct env_dirs *dirs, const char *name, json_t **ret, struct err *err)
{
	auto_free struct names *names = NULL;
	char known[256] = "", shown[80];
	size_t at = 0;
	int r = profile_name_ok(name) ? load_name(dirs, name, ret, err) : -ENOENT;

	if (r != -ENOENT)
		return r;
	names = malloc(sizeof(*names));
	if (!names)
		return err_errno(err, ENOMEM, "the agents");
	gather(dirs, names);
	for (size_t i = 0; i < names->n && at < sizeof(known); i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", names->list[i]);
	str_escape(shown, sizeof(shown), name, strlen(name));
	return err_set(err, ERR_NOT_FOUND, 0, "unknown agent '%s': known agents are: %s", shown, known);
}

int agents_list(const struct env_dirs *dirs, json_t **ret, struct err *err)
{
	auto_free struct names *names = malloc(sizeof(*names));
	auto_(json) json_t *agents = json_array(), *broken = json_array();

	if (!names || !agents || !broken)
		return err_errno(err, ENOMEM, "the agents");
	gather(dirs, names);
	for (size_t i = 0; i < names->n; i++) {
		struct err why;
		json_t *p;

		if (load_name(dirs, names->list[i], &p, &why) == 0)
			(void)json_array_append_new(agents, p);
		else
			(void)json_array_append_new(broken, json_pack("{s:s, s:s}", "name", names->list[i], "message", why.msg));
	}
	*ret = json_pack("{s:O, s:O}", "agents", agents, "broken", broken);
	return *ret ? 0 : err_errno(err, ENOMEM, "the agents");
}

/* --- what a machine is given --- */

static int outfit_env(const json_t *profile, const char *workdir, json_t *out)
{
	json_t *env = json_object_get(profile, "env"), *value;
	const char *name;
	int r = 0;

	json_object_foreach(env, name, value)
		if (json_object_set_new(out, name, profile_expand(json_string_value(value), workdir, AGENT_HOME, false)) < 0)
			r = -ENOMEM;
	return r;
}

/* signin: the file is only for sandboxes that are signed in so, NULL: for all. */
static int outfit_file(json_t *out, const char *path, const char *mode, const char *signin, json_t *content)
{
	return json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:s*}", "path", path, "mode", mode, "content", content, "oauth", signin));
}

static int outfit_files(const json_t *profile, const char *workdir, json_t *out)
{
	const json_t *files = json_object_get(profile, "files"), *f;
	const char *notes = json_string_value(json_object_get(profile, "notes"));
	size_t i;
	int r = 0;

	json_array_foreach(files, i, f) {
		const char *path = json_string_value(json_object_get(f, "path"));
		bool quoted = str_ends(path, ".json") || str_ends(path, ".toml");
		json_t *content = profile_expand(json_string_value(json_object_get(f, "content")), workdir, AGENT_HOME, quoted);

		if (outfit_file(out, path + 2, json_string_value(json_object_get(f, "mode")),
				json_string_value(json_object_get(f, "oauth")), content) < 0)
			r = -ENOMEM;
	}
	return notes && outfit_file(out, notes + 2, "0644", NULL, notes_text(profile)) < 0 ? -ENOMEM : r;
}

int agents_outfit(const json_t *profile, const char *workdir, json_t **ret, struct err *err)
{
	auto_(json) json_t *env = json_object(), *files = json_array();

	if (!env || !files || outfit_env(profile, workdir, env) < 0 || outfit_files(profile, workdir, files) < 0)
		return err_errno(err, ENOMEM, "the agent's files");
	*ret = json_pack("{s:O, s:O}", "env", env, "files", files);
	return *ret ? 0 : err_errno(err, ENOMEM, "the agent's files");
}
