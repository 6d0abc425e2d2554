/* SPDX-License-Identifier: Apache-2.0
 *
 * template: see template.h.
 */
#include "daemon/template.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/manifest.h"

static int read_manifest(const char *cache_dir, struct manifest *ret, struct err *err)
{
	auto_free char *path = str_new("%s/templates/%s.json", cache_dir, TEMPLATE_BASE), *text = NULL;
	size_t n = 0;
	int r = path ? io_read_file(AT_FDCWD, path, MANIFEST_MAX_BYTES, &text, &n) : -ENOMEM;

	if (r == -ENOENT)
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "there is no base template yet: make it with POST /v1/templates/base (sbx run does that "
			       "by itself)");
	if (r < 0)
		return err_errno(err, -r, "cannot read %.300s", path ? path : "the base template");
	r = manifest_parse(text, n, ret, err);
	return r < 0 ? err_wrap(err, "%.300s", path) : 0;
}

int template_bind(const char *cache_dir, json_t **ret, struct err *err)
{
	struct manifest m;
	json_t *layers, *o;
	int r = read_manifest(cache_dir, &m, err);

	if (r < 0)
		return r;
	layers = json_array();
	for (size_t i = 0; layers && i < m.nlayers; i++)
		(void)json_array_append_new(layers, json_string(m.layers[i].digest));
	o = json_pack("{s:o, s:s, s:s}", "layers", layers, "kernel", m.kernel.digest, "modules", m.modules.digest);
	if (!o || json_array_size(layers) != m.nlayers) {
		json_decref(o);
		return err_errno(err, ENOMEM, "the base template");
	}
	*ret = o;
	return 0;
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
	int r = read_manifest(cache_dir, &m, &why);

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
