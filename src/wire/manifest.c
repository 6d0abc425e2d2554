/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest: see manifest.h. Enters: JSON text of at most MANIFEST_MAX_BYTES. Leaves: a struct in which every
 * string is terminated and has been checked, so that a digest can be used as a file's name. Owns nothing.
 */
#include "wire/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

static bool digest_ok(const char *s)
{
	return strspn(s, "0123456789abcdef") == MANIFEST_DIGEST - 1 && s[MANIFEST_DIGEST - 1] == 0;
}

bool manifest_name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n < sizeof(((struct manifest *)NULL)->name) && s[n] == 0 && strchr("._-", s[0]) == NULL;
}

static bool release_ok(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
		      strchr("._+~-", *p)))
			return false;
	return s[0] && s[0] != '.';
}

static bool created_ok(const char *s)
{
	return s[0] && s[strspn(s, "0123456789TZ:.+-")] == 0;
}

static bool bytes_ok(uint64_t n)
{
	return n >= 1 && n <= INT64_MAX;
}

/* A string member that passes ok, copied into dst. */
static int text(const json_t *in, const char *key, char *dst, size_t size, bool (*ok)(const char *))
{
	const json_t *v = json_object_get(in, key);
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	if (!s || n >= size || strlen(s) != n || !ok(s))
		return -EINVAL;
	memcpy(dst, s, n + 1);
	return 0;
}

static int blob(const json_t *in, struct manifest_blob *ret)
{
	const json_t *n = json_object_get(in, "bytes");
	int r = text(in, "digest", ret->digest, sizeof(ret->digest), digest_ok);

	if (r < 0 || !json_is_integer(n) || json_integer_value(n) < 1)
		return -EINVAL;
	ret->bytes = (uint64_t)json_integer_value(n);
	return 0;
}

static int layers(const json_t *in, struct manifest *m)
{
	size_t n = json_array_size(in);

	if (n < 1 || n > MANIFEST_MAX_LAYERS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		const json_t *layer = json_array_get(in, i);
		const char *format = json_string_value(json_object_get(layer, "format"));

		if (!format || !str_eq(format, "squashfs") || blob(layer, &m->layers[i]) < 0)
			return -EINVAL;
	}
	m->nlayers = n;
	return 0;
}

int manifest_parse(const char *json, size_t n, struct manifest *ret, struct err *err)
{
	auto_(json) json_t *root = NULL;
	struct manifest m = { 0 };
	const json_t *kernel;
	const char *bad = NULL;
	json_error_t e;

	if (n > MANIFEST_MAX_BYTES)
		return err_set(err, ERR_INVALID, EMSGSIZE, "the template's manifest is too long");
	root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(root))
		return err_set(err, ERR_INVALID, EINVAL, "the template's manifest is not a JSON object");
	if (json_integer_value(json_object_get(root, "schema")) != MANIFEST_SCHEMA)
		return err_set(err, ERR_INVALID, EINVAL, "the template's manifest has another schema than %d",
			       MANIFEST_SCHEMA);
	kernel = json_object_get(root, "kernel");
	if (text(root, "name", m.name, sizeof(m.name), manifest_name_ok) < 0)
		bad = "name";
	else if (text(root, "inputs", m.inputs, sizeof(m.inputs), digest_ok) < 0)
		bad = "inputs";
	else if (text(root, "created", m.created, sizeof(m.created), created_ok) < 0)
		bad = "created";
	else if (layers(json_object_get(root, "layers"), &m) < 0)
		bad = "layers";
	else if (blob(kernel, &m.kernel) < 0 || text(kernel, "release", m.release, sizeof(m.release), release_ok) < 0)
		bad = "kernel";
	else if (blob(json_object_get(root, "modules"), &m.modules) < 0)
		bad = "modules";
	if (bad)
		return err_set(err, ERR_INVALID, EINVAL, "the template's manifest has no valid \"%s\"", bad);
	*ret = m;
	return 0;
}

static bool blob_ok(const struct manifest_blob *b)
{
	return digest_ok(b->digest) && bytes_ok(b->bytes);
}

static bool manifest_ok(const struct manifest *m)
{
	if (m->nlayers < 1 || m->nlayers > MANIFEST_MAX_LAYERS)
		return false;
	for (size_t i = 0; i < m->nlayers; i++)
		if (!blob_ok(&m->layers[i]))
			return false;
	return manifest_name_ok(m->name) && digest_ok(m->inputs) && created_ok(m->created) && blob_ok(&m->kernel) &&
	       release_ok(m->release) && blob_ok(&m->modules);
}

int manifest_print(const struct manifest *m, struct buf *out)
{
	auto_(json) json_t *root = NULL;
	auto_free char *s = NULL;
	json_t *list;

	if (!manifest_ok(m))
		return -EINVAL;
	root = json_pack("{si ss ss ss s[] s{ss sI ss} s{ss sI}}", "schema", MANIFEST_SCHEMA, "name", m->name,
			 "inputs", m->inputs, "created", m->created, "layers", "kernel", "digest", m->kernel.digest,
			 "bytes", (json_int_t)m->kernel.bytes, "release", m->release, "modules", "digest",
			 m->modules.digest, "bytes", (json_int_t)m->modules.bytes);
	list = json_object_get(root, "layers");
	for (size_t i = 0; i < m->nlayers && list; i++)
		if (json_array_append_new(list, json_pack("{ss sI ss}", "digest", m->layers[i].digest, "bytes",
							  (json_int_t)m->layers[i].bytes, "format", "squashfs")) < 0)
			return -ENOMEM;
	s = root ? json_dumps(root, JSON_COMPACT) : NULL;
	return s ? buf_printf(out, "%s\n", s) : -ENOMEM;
}
