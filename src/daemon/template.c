/* SPDX-License-Identifier: Apache-2.0
 *
 * template: see template.h.
 */
#include "daemon/template.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/manifest.h"

DEFINE_AUTO(json, json_t *, json_decref);

/* The manifest NAME.json; *ret_agent (NULL: not wanted): what it says of an agent's layer, owned, NULL where nothing. */
static int read_manifest(const char *cache_dir, const char *name, struct manifest *ret, json_t **ret_agent, struct err *err)
{
	auto_free char *path = str_new("%s/templates/%s.json", cache_dir, name), *text = NULL;
	json_t *whole;
	size_t n = 0;
	int r = path ? io_read_file(AT_FDCWD, path, MANIFEST_MAX_BYTES, &text, &n) : -ENOMEM;

	if (r == -ENOENT)
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "there is no %s template yet: make it with POST /v1/templates/base (sbx run does that by itself)",
			       name);
	if (r < 0)
		return err_errno(err, -r, "cannot read %.300s", path ? path : "the base template");
	r = manifest_parse(text, n, ret, err);
	if (r < 0)
		return err_wrap(err, "%.300s", path);
	if (ret_agent) {
		whole = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
		*ret_agent = json_incref(json_object_get(whole, "agent"));
		json_decref(whole);
	}
	return 0;
}

static bool same_blob(const struct manifest_blob *a, const struct manifest_blob *b)
{
	return str_eq(a->digest, b->digest);
}

/* Whether an agent's layer was made of this installation on this base template. */
static bool is_current(const struct manifest *m, const json_t *agent, const struct manifest *base, const json_t *install)
{
	bool same = m->nlayers == base->nlayers + 1 && same_blob(&m->kernel, &base->kernel) &&
		    same_blob(&m->modules, &base->modules) && json_equal(json_object_get(agent, "install"), install);

	for (size_t i = 0; same && i < base->nlayers; i++)
		same = same_blob(&m->layers[i], &base->layers[i]);
	return same;
}

/* The template that a sandbox of this agent starts from. */
static int find(const char *cache_dir, const json_t *profile, struct manifest *ret, struct err *err)
{
	const char *name = json_string_value(json_object_get(profile, "name"));
	const json_t *install = json_object_get(profile, "install");
	auto_(json) json_t *agent = NULL;
	struct err why = { 0 };
	struct manifest base;
	int r = read_manifest(cache_dir, TEMPLATE_BASE, install ? &base : ret, NULL, err);

	if (r < 0 || !install)
		return r;
	r = read_manifest(cache_dir, name, ret, &agent, &why);
	if (r < 0 && why.errnum != ENOENT) {
		*err = why;
		return r;
	}
	if (r < 0 || !is_current(ret, agent, &base, install))
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "the layer of the agent %s is not there, or out of date: make it with POST /v1/agents/%s/layer (sbx run "
			       "does that by itself)",
			       name, name);
	return 0;
}

static json_t *binding_json(const struct manifest *m)
{
	json_t *layers = json_array();

	for (size_t i = 0; layers && i < m->nlayers; i++)
		(void)json_array_append_new(layers, json_string(m->layers[i].digest));
	return json_pack("{s:o, s:s, s:s}", "layers", layers, "kernel", m->kernel.digest, "modules", m->modules.digest);
}

int template_bind(const char *cache_dir, const json_t *profile, json_t **ret, struct err *err)
{
	struct manifest m;
	json_t *o;
	int r = find(cache_dir, profile, &m, err);

	if (r < 0)
		return r;
	o = binding_json(&m);
	if (!o || json_array_size(json_object_get(o, "layers")) != m.nlayers) {
		json_decref(o);
		return err_errno(err, ENOMEM, "the base template");
	}
	*ret = o;
	return 0;
}

int template_hold(const char *cache_dir, const json_t *profile, const char *id, const char *holder, struct err *err)
{
	auto_free char *dir = str_new("%s/templates/refs", cache_dir), *file = str_new("%s.json", id), *text = NULL;
	auto_(json) json_t *o = NULL;
	auto_fd int fd = -1;
	struct manifest m;
	struct buf b;
	int r = find(cache_dir, profile, &m, err);

	if (r < 0)
		return r;
	buf_init(&b, MANIFEST_MAX_BYTES);
	if (dir && file && io_mkdirs(dir, 0700) == 0)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : manifest_print(&m, &b);
	o = r == 0 ? json_loadb((const char *)buf_bytes(&b), buf_len(&b), 0, NULL) : NULL;
	if (o && json_object_set_new(o, "holder", json_string(holder)) == 0)
		text = json_dumps(o, JSON_COMPACT);
	if (r == 0)
		r = text ? io_write_file_atomic(fd, file, text, strlen(text), 0600) : -ENOMEM;
	buf_done(&b);
	return r < 0 ? err_errno(err, -r, "cannot write %.300s/%s", dir ? dir : "refs", file ? file : "") : 0;
}

int template_hold_too(const char *cache_dir, const char *other, const char *id, const char *holder, struct err *err)
{
	auto_free char *dir = str_new("%s/templates/refs", cache_dir), *from = str_new("%s.json", other), *to = str_new("%s.json", id);
	auto_free char *old = NULL, *text = NULL;
	auto_fd int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	auto_(json) json_t *o = NULL;
	size_t n = 0;
	int r = !from || !to ? -ENOMEM : fd < 0 ? -errno : io_read_file(fd, from, MANIFEST_MAX_BYTES, &old, &n);

	if (r == 0)
		o = json_loadb(old, n, JSON_REJECT_DUPLICATES, NULL);
	if (o && json_object_set_new(o, "holder", json_string(holder)) == 0)
		text = json_dumps(o, JSON_COMPACT);
	if (r == 0)
		r = text ? io_write_file_atomic(fd, to, text, strlen(text), 0600) : -EBADMSG;
	return r < 0 ? err_errno(err, -r, "cannot write the template's reference") : 0;
}

void template_release(const char *cache_dir, const char *id)
{
	auto_free char *file = str_new("%s/templates/refs/%s.json", cache_dir, id);

	if (file)
		(void)unlink(file);
}

json_t *template_layer(const char *cache_dir, const json_t *profile)
{
	const char *name = json_string_value(json_object_get(profile, "name"));
	auto_(json) json_t *agent = NULL;
	struct manifest m, base;
	struct err ignored;
	bool current;

	if (!json_object_get(profile, "install") || read_manifest(cache_dir, name, &m, &agent, &ignored) < 0)
		return json_null();
	current = read_manifest(cache_dir, TEMPLATE_BASE, &base, NULL, &ignored) == 0 &&
		  is_current(&m, agent, &base, json_object_get(profile, "install"));
	return json_pack("{s:O?, s:O?, s:s, s:s, s:I, s:b}", "version", json_object_get(agent, "version"), "package_version",
			 json_object_get(agent, "package_version"), "created", m.created, "digest",
			 m.layers[m.nlayers - 1].digest, "bytes", (json_int_t)m.layers[m.nlayers - 1].bytes, "current", current);
}

/* The path of a blob that must be there; owned by the caller. */
static char *blob_path(const char *cache_dir, const json_t *digest, struct err *err)
{
	const char *hex = json_string_value(digest);
	char *path;

	if (!hex || strlen(hex) != MANIFEST_DIGEST - 1 || strspn(hex, "0123456789abcdef") != MANIFEST_DIGEST - 1) {
		(void)err_set(err, ERR_INTERNAL, EUCLEAN, "its record names no template");
		return NULL;
	}
	path = str_new("%s/templates/blobs/%s", cache_dir, hex);
	if (!path) {
		(void)err_errno(err, ENOMEM, "the base template");
	} else if (access(path, R_OK) < 0) {
		(void)err_set(err, ERR_UNAVAILABLE, errno,
			      "the base template that it was made from is not in the cache any more (%.12s...): remove "
			      "it and create "
			      "it again",
			      hex);
		free(path);
		path = NULL;
	}
	return path;
}

static int append_path(json_t *list, char *path)
{
	int r = path && json_array_append_new(list, json_string(path)) == 0 ? 0 : -ENOMEM;

	free(path);
	return r;
}

static int set_layers(const char *cache_dir, const json_t *binding, json_t *spec, struct err *err)
{
	json_t *layers = json_object_get(binding, "layers"), *list = json_array();
	size_t i;
	json_t *digest;

	if (json_object_set_new(spec, "layers", list) < 0)
		return err_errno(err, ENOMEM, "the base template");
	json_array_foreach (layers, i, digest) {
		char *path = blob_path(cache_dir, digest, err);

		if (!path)
			return err ? err_code(err) : -EIO;
		if (append_path(list, path) < 0)
			return err_errno(err, ENOMEM, "the base template");
	}
	return 0;
}

int template_resolve(const char *cache_dir, const json_t *binding, json_t *spec, struct err *err)
{
	auto_free char *kernel = blob_path(cache_dir, json_object_get(binding, "kernel"), err);
	auto_free char *modules = kernel ? blob_path(cache_dir, json_object_get(binding, "modules"), err) : NULL;
	auto_free char *initramfs = env_data("initramfs.cpio");
	json_t *initrds;

	if (!kernel || !modules)
		return err ? err_code(err) : -EIO;
	if (!initramfs || access(initramfs, R_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, ENOENT, "%.300s is missing: install sbx again",
			       initramfs ? initramfs : "initramfs");
	initrds = json_pack("[s, s]", initramfs, modules);
	if (json_object_set_new(spec, "kernel", json_string(kernel)) < 0 ||
	    json_object_set_new(spec, "initrds", initrds) < 0)
		return err_errno(err, ENOMEM, "the base template");
	return set_layers(cache_dir, binding, spec, err);
}

static bool has_blob(const char *cache_dir, const struct manifest_blob *b)
{
	auto_free char *path = str_new("%s/templates/blobs/%s", cache_dir, b->digest);
	struct stat st;

	return path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == b->bytes;
}

bool template_is_whole(const char *cache_dir)
{
	struct err ignored;
	struct manifest m;
	bool all = read_manifest(cache_dir, TEMPLATE_BASE, &m, NULL, &ignored) == 0;

	all = all && has_blob(cache_dir, &m.kernel) && has_blob(cache_dir, &m.modules);
	for (size_t i = 0; all && i < m.nlayers; i++)
		all = has_blob(cache_dir, &m.layers[i]);
	return all;
}

static json_t *blob_json(const struct manifest_blob *b, const char *key, const char *value)
{
	return json_pack("{s:s, s:I, s:s*}", "digest", b->digest, "bytes", (json_int_t)b->bytes, key, value);
}

static json_t *manifest_json(const struct manifest *m)
{
	json_t *layers = json_array();
	uint64_t bytes = m->kernel.bytes + m->modules.bytes;

	for (size_t i = 0; i < m->nlayers; i++) {
		bytes += m->layers[i].bytes;
		(void)json_array_append_new(layers, blob_json(&m->layers[i], "format", "squashfs"));
	}
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:I}", "name", m->name, "created", m->created, "layers", layers,
			 "kernel", blob_json(&m->kernel, "release", m->release), "modules",
			 blob_json(&m->modules, "format", "newc"), "bytes",
			 (json_int_t)(bytes > INT64_MAX ? INT64_MAX : bytes));
}

int template_list(const char *cache_dir, json_t **ret, struct err *err)
{
	struct manifest m;
	struct err why = { 0 };
	json_t *o;
	int r = read_manifest(cache_dir, TEMPLATE_BASE, &m, NULL, &why);

	if (r < 0 && why.errnum != ENOENT) {
		*err = why;
		return r;
	}
	o = r < 0 ? json_pack("{s:[]}", "templates") : json_pack("{s:[o]}", "templates", manifest_json(&m));
	if (!o)
		return err_errno(err, ENOMEM, "templates");
	*ret = o;
	return 0;
}
