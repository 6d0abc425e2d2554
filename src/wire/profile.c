/* SPDX-License-Identifier: Apache-2.0
 *
 * profile: see profile.h. The schema is the table `fields`: one row per key, with the function that reads its value.
 * Every error begins with the line that it is about.
 */
#include "wire/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/oauthdef.h"
#include "wire/ytree.h"

#define EXPAND_MAX (4U << 20)
#define WORD_MAX 8192
#define PATH_BYTES 256
#define SCRIPT_MAX (16U << 10)
#define CONTENT_MAX (64U << 10)

DEFINE_AUTO(json, json_t *, json_decref);
DEFINE_AUTO(ytree, struct ytree *, ytree_free);

struct field {
	const char *key;
	bool required;
	/* Reads the value into *ret (a new reference). */
	int (*read)(const struct ytree *y, const struct field *f, json_t **ret, struct err *err);
	size_t min, max;                /* of what the value consists of */
	bool (*ok)(const char *text);   /* of each string; NULL: any */
	const char *must;               /* what it must be, for messages */
};

/* --- what strings may be --- */

static bool line_ok(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool text_ok(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

bool profile_name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n < PROFILE_NAME_SIZE && s[n] == 0 && s[0] != '-' && !str_eq(s, "base");
}

/* A member of ~, without a way out of it. */
static bool path_ok(const char *s)
{
	if (!str_starts(s, "~/") || strlen(s) >= PATH_BYTES || !line_ok(s))
		return false;
	for (const char *part = s + 2;; part++) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += n;
		if (!*part)
			return true;
	}
}

static bool mode_ok(const char *s)
{
	return strlen(s) == 4 && s[0] == '0' && strspn(s, "01234567") == 4 && s[1] >= '4';
}

/* npm's own rule for names, and a version or a tag; never an option, a path or an address. */
static bool npm_ok(const char *s)
{
	static const char in_name[] = "abcdefghijklmnopqrstuvwxyz0123456789._-~";
	const char *name = s;
	size_t n;

	if (*s == '@') {
		n = strspn(s + 1, in_name);
		if (n == 0 || s[1] == '.' || s[n + 1] != '/')
			return false;
		name = s + n + 2;
	}
	n = strspn(name, in_name);
	if (n == 0 || strchr("._-", name[0]) || strlen(s) > 214)
		return false;
	name += n;
	if (*name == '@')
		return name[1] && name[1] != '-' &&
		       name[1 + strspn(name + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+~^")] == 0;
	return *name == 0;
}

static bool service_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.");

	return n > 0 && n < 64 && s[n] == 0;
}

static bool host_ok(const char *s)
{
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return false;
	return *s && strlen(s) <= 300;
}

static bool env_name_ok(const char *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return *s && !(*s >= '0' && *s <= '9') && s[strspn(s, letters)] == 0 && strlen(s) < 128;
}

static bool user_ok(const char *s)
{
	return str_eq(s, "root") || str_eq(s, "agent");
}

/* --- reading --- */

static int wrong(const struct ytree *y, const struct field *f, struct err *err)
{
	return err_set(err, ERR_INVALID, EINVAL, "line %u: '%s' must be %s", y->line, f->key, f->must);
}

static int keep(json_t *v, json_t **ret, struct err *err)
{
	*ret = v;
	return v ? 0 : err_errno(err, ENOMEM, "the profile");
}

static int read_text(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	if (y->kind != YTREE_SCALAR || y->len < f->min || y->len > f->max || (f->ok && !f->ok(y->text)))
		return wrong(y, f, err);
	return keep(json_stringn(y->text, y->len), ret, err);
}

static int read_number(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	uint64_t n;

	if (y->kind != YTREE_SCALAR || str_u64(y->text, f->max, &n) < 0 || n < f->min)
		return wrong(y, f, err);
	return keep(json_integer((json_int_t)n), ret, err);
}

static int read_list(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	auto_(json) json_t *list = json_array();

	if (y->kind != YTREE_LIST || y->n < f->min || y->n > f->max)
		return wrong(y, f, err);
	for (const struct ytree *m = y->first; m; m = m->next) {
		if (m->kind != YTREE_SCALAR || m->len == 0 || m->len > WORD_MAX || !f->ok(m->text))
			return wrong(m, f, err);
		if (json_array_append_new(list, json_stringn(m->text, m->len)) < 0)
			return err_errno(err, ENOMEM, "the profile");
	}
	return keep(TAKE_PTR(list), ret, err);
}

static int read_env(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	auto_(json) json_t *env = json_object();

	if (y->kind != YTREE_MAP || y->n > f->max)
		return wrong(y, f, err);
	for (const struct ytree *m = y->first; m; m = m->next) {
		if (!env_name_ok(m->key))
			return err_set(err, ERR_INVALID, EINVAL, "line %u: a variable's name has letters, digits and '_', not a digit first",
				       m->key_line);
		if (m->kind != YTREE_SCALAR || m->len > WORD_MAX || !text_ok(m->text))
			return wrong(m, f, err);
		if (json_object_set_new(env, m->key, json_stringn(m->text, m->len)) < 0)
			return err_errno(err, ENOMEM, "the profile");
	}
	return keep(TAKE_PTR(env), ret, err);
}

/* A mapping by its table: every key is in it, and what it says must be there is. */
static int read_map(const struct ytree *y, const struct field *fields, size_t n, json_t **ret, struct err *err)
{
	auto_(json) json_t *o = json_object();
	char shown[80];

	for (const struct ytree *m = y->first; m; m = m->next) {
		const struct field *f = fields;
		json_t *v;
		int r;

		while (f < fields + n && !str_eq(f->key, m->key))
			f++;
		str_escape(shown, sizeof(shown), m->key, strlen(m->key));
		if (f == fields + n)
			return err_set(err, ERR_INVALID, EINVAL, "line %u: there is no key '%s'", m->key_line, shown);
		r = f->read(m, f, &v, err);
		if (r < 0)
			return r;
		if (json_object_set_new(o, f->key, v) < 0)
			return err_errno(err, ENOMEM, "the profile");
	}
	for (size_t i = 0; i < n; i++)
		if (fields[i].required && !json_object_get(o, fields[i].key))
			return err_set(err, ERR_INVALID, EINVAL, "line %u: '%s' is missing", y->line, fields[i].key);
	return keep(TAKE_PTR(o), ret, err);
}

static int read_install(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	static const struct field fields[] = {
		{ "npm", false, read_list, 1, 8, npm_ok, "1 to 8 names of npm packages, NAME or NAME@VERSION" },
		{ "script", false, read_text, 1, SCRIPT_MAX, text_ok, "a text of at most 16 KiB" },
		{ "user", false, read_text, 1, 16, user_ok, "root or agent" },
	};
	int r = y->kind == YTREE_MAP ? read_map(y, fields, ARRAY_LEN(fields), ret, err) : wrong(y, f, err);

	if (r < 0 || json_object_get(*ret, "npm") || json_object_get(*ret, "script"))
		return r;
	json_decref(TAKE_PTR(*ret));
	return wrong(y, f, err);
}

static int read_file(const struct ytree *y, json_t **ret, struct err *err)
{
	static const struct field fields[] = {
		{ "path", true, read_text, 1, PATH_BYTES, path_ok, "a path below ~/ without '.' and '..'" },
		{ "mode", false, read_text, 4, 4, mode_ok, "an octal mode such as \"0600\"" },
		{ "content", true, read_text, 0, CONTENT_MAX, text_ok, "a text of at most 64 KiB" },
		{ "oauth", false, read_text, 1, 64, service_ok, "the name of a sign-in" },
	};
	int r = read_map(y, fields, ARRAY_LEN(fields), ret, err);

	if (r == 0 && !json_object_get(*ret, "mode"))
		(void)json_object_set_new(*ret, "mode", json_string("0644"));
	return r;
}

static bool has_path(const json_t *files, const char *path)
{
	const json_t *file;
	size_t i;

	json_array_foreach(files, i, file)
		if (str_eq(json_string_value(json_object_get(file, "path")), path))
			return true;
	return false;
}

/* A file may be there once for every sandbox, and after that once for those that are signed in, which then counts. */
static bool is_there(const json_t *files, const json_t *one)
{
	const json_t *file;
	size_t i;

	json_array_foreach(files, i, file)
		if (json_equal(json_object_get(file, "path"), json_object_get(one, "path")) &&
		    (!json_object_get(one, "oauth") || json_object_get(file, "oauth")))
			return true;
	return false;
}

static int read_files(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	auto_(json) json_t *list = json_array();

	if (y->kind != YTREE_LIST || y->n > f->max)
		return wrong(y, f, err);
	for (const struct ytree *m = y->first; m; m = m->next) {
		json_t *file;
		int r = m->kind == YTREE_MAP ? read_file(m, &file, err) : wrong(m, f, err);

		if (r < 0)
			return r;
		if (is_there(list, file)) {
			json_decref(file);
			return err_set(err, ERR_INVALID, EEXIST, "line %u: this file is there twice", m->line);
		}
		if (json_array_append_new(list, file) < 0)
			return err_errno(err, ENOMEM, "the profile");
	}
	return keep(TAKE_PTR(list), ret, err);
}

/* Any tree of strings. */
static json_t *any(const struct ytree *y)
{
	json_t *v;

	if (y->kind == YTREE_SCALAR)
		return json_stringn(y->text, y->len);
	v = y->kind == YTREE_MAP ? json_object() : json_array();
	for (const struct ytree *m = y->first; m && v; m = m->next)
		if ((y->kind == YTREE_MAP ? json_object_set_new(v, m->key, any(m)) : json_array_append_new(v, any(m))) < 0) {
			json_decref(v);
			v = NULL;
		}
	return v;
}

/* What wire/oauthdef.h says. */
static int read_signins(const struct ytree *y, const struct field *f, json_t **ret, struct err *err)
{
	auto_(json) json_t *list = json_array();
	auto_free struct oauthdef_list *l = calloc(1, sizeof(*l));

	if (!list || !l)
		return err_errno(err, ENOMEM, "the profile");
	if (y->kind != YTREE_LIST || y->n > f->max)
		return wrong(y, f, err);
	for (const struct ytree *m = y->first; m; m = m->next) {
		if (json_array_append_new(list, any(m)) < 0)
			return err_errno(err, ENOMEM, "the profile");
		if (oauthdef_read_list(list, l, err) < 0)
			return err_wrap(err, "line %u", m->line);
	}
	return keep(TAKE_PTR(list), ret, err);
}

static const struct field profile_fields[] = {
	{ "name", true, read_text, 1, PROFILE_NAME_SIZE, profile_name_ok, "a name of a-z, 0-9 and '-', at most 31 characters, not base" },
	{ "description", false, read_text, 0, 120, line_ok, "one line of at most 120 bytes" },
	{ "install", false, read_install, 0, 0, NULL, "a mapping with npm or script, or both" },
	{ "version", false, read_list, 1, 32, line_ok, "a program and its arguments, as a list" },
	{ "command", true, read_list, 1, 32, line_ok, "a program and its arguments, as a list" },
	{ "env", false, read_env, 0, 64, NULL, "a mapping of at most 64 names to strings" },
	{ "files", false, read_files, 0, 16, NULL, "a list of at most 16 mappings with path and content" },
	{ "notes", false, read_text, 1, PATH_BYTES, path_ok, "a path below ~/ without '.' and '..'" },
	{ "secrets", false, read_list, 0, 16, service_ok, "a list of at most 16 services" },
	{ "hosts", false, read_list, 0, 64, host_ok, "a list of at most 64 resources" },
	{ "memory", false, read_number, 512, 1048576, NULL, "a number of MiB, 512 to 1048576" },
	{ "oauth", false, read_signins, 0, OAUTHDEF_MAX, NULL, "a list of at most 8 sign-ins" },
};

/* What is absent but has a form. */
static int fill(json_t *p, struct err *err)
{
	json_t *memory = json_object_get(p, "memory"), *install = json_object_get(p, "install");
	auto_(json) json_t *rest = json_pack("{s:s, s:{}, s:[], s:[], s:[], s:[], s:[], s:O}", "description", "", "env", "files",
					     "version", "secrets", "hosts", "oauth", "memory_mib", memory ? memory : json_null());

	if (!rest || json_object_update_missing(p, rest) < 0)
		return err_errno(err, ENOMEM, "the profile");
	if (!memory)
		(void)json_object_set_new(p, "memory_mib", json_integer(0));
	(void)json_object_del(p, "memory");
	if (install && !json_object_get(install, "user"))
		(void)json_object_set_new(install, "user", json_string("root"));
	return 0;
}

int profile_parse(const char *text, size_t n, const char *name, json_t **ret, struct err *err)
{
	auto_(ytree) struct ytree *y = NULL;
	auto_(json) json_t *p = NULL;
	const char *notes;
	int r;

	if (n > PROFILE_MAX_BYTES)
		return err_set(err, ERR_INVALID, EMSGSIZE, "line 1: the file has more than %u KiB", PROFILE_MAX_BYTES >> 10);
	y = ytree_parse(text, n, err);
	if (!y)
		return err ? err_code(err) : -EINVAL;
	if (y->kind != YTREE_MAP)
		return err_set(err, ERR_INVALID, EINVAL, "line %u: a profile is a mapping of keys to values", y->line);
	r = read_map(y, profile_fields, ARRAY_LEN(profile_fields), &p, err);
	if (r < 0)
		return r;
	if (!str_eq(json_string_value(json_object_get(p, "name")), name))
		return err_set(err, ERR_INVALID, EINVAL, "line %u: 'name' must be as the file is called: %.40s",
			       ytree_get(y, "name")->line, name);
	notes = json_string_value(json_object_get(p, "notes"));
	if (notes && has_path(json_object_get(p, "files"), notes))
		return err_set(err, ERR_INVALID, EEXIST, "line %u: 'notes' is one of the files, too", ytree_get(y, "notes")->line);
	r = fill(p, err);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

/* --- using --- */

/* value as it stands inside a JSON string, which is as inside a basic string of TOML, too. */
static int append_quoted(struct buf *out, const char *value)
{
	auto_(json) json_t *s = json_string(value);
	auto_free char *text = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
	size_t n = text ? strlen(text) : 0;

	return n < 2 ? -EINVAL : buf_append(out, text + 1, n - 2);
}

json_t *profile_expand(const char *text, const char *workdir, const char *home, bool quoted)
{
	const struct {
		const char *name, *value;
	} known[] = { { "${WORKDIR}", workdir }, { "${HOME}", home } };
	struct buf out;
	json_t *s = NULL;
	int r = 0;

	buf_init(&out, EXPAND_MAX);
	while (*text && r == 0) {
		size_t plain = strcspn(text, "$"), k = 0;

		r = buf_append(&out, text, plain);
		text += plain;
		while (k < ARRAY_LEN(known) && !str_starts(text, known[k].name))
			k++;
		if (r == 0 && k < ARRAY_LEN(known)) {
			r = quoted ? append_quoted(&out, known[k].value) : buf_append_str(&out, known[k].value);
			text += strlen(known[k].name);
		} else if (r == 0 && *text) {
			r = buf_append(&out, text++, 1);
		}
	}
	if (r == 0)
		s = json_stringn((const char *)buf_bytes(&out), buf_len(&out));
	buf_done(&out);
	return s;
}
