/* SPDX-License-Identifier: Apache-2.0
 *
 * vault: see vault.h. Enters: requests that wire/secretmsg has checked, and our own file, which is read once at the start.
 */
#include "keeper/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "policy/target.h"

#define FILE_NAME "secrets.json"
#define FILE_MAX (1U << 20)

DEFINE_AUTO(json, json_t *, json_decref);

struct vault {
	int dir; /* owned */
	struct secretmsg_list list;
	struct secret values[SECRETMSG_MAX]; /* of list.of */
};

/* --- the file --- */

static int check(int fd, mode_t type, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "cannot look at the secrets");
	if ((st.st_mode & S_IFMT) != type || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, ERR_DENIED, EPERM,
			       "keeper/secrets or what is in it belongs to somebody else, or may be used by others (mode %03o): remove "
			       "it; if nobody else can have read it, chmod go=",
			       st.st_mode & 0777);
	return 0;
}

static int read_one(struct vault *v, const json_t *o, struct err *err)
{
	const json_t *value = json_object_get(o, "value");
	int r = secretmsg_read(json_object_get(o, "secret"), &v->list.of[v->list.n], err);

	if (r == 0)
		r = secret_check(json_is_string(value) ? json_string_value(value) : "", json_string_length(value), err);
	if (r < 0)
		return r;
	memcpy(v->values[v->list.n].s, json_string_value(value), json_string_length(value));
	v->list.n++;
	return 0;
}

static int read_all(struct vault *v, const char *text, size_t n, struct err *err)
{
	json_error_t e;
	auto_(json) json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
	const json_t *list = json_object_get(o, "secrets"), *one;
	size_t i;
	int r = 0;

	if (json_integer_value(json_object_get(o, "v")) != 1 || !json_is_array(list) || json_array_size(list) > SECRETMSG_MAX)
		return err_set(err, ERR_INTERNAL, EBADMSG, "keeper/secrets/%s is not what sbx-keeper writes", FILE_NAME);
	json_array_foreach(list, i, one)
		if (r == 0)
			r = read_one(v, one, err);
	return r < 0 ? err_wrap(err, "keeper/secrets/%s", FILE_NAME) : 0;
}

static int load(struct vault *v, struct err *err)
{
	auto_fd int fd = openat(v->dir, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text;
	ssize_t n;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_errno(err, errno, "cannot open keeper/secrets/%s", FILE_NAME);
	r = check(fd, S_IFREG, err);
	text = r == 0 ? malloc(FILE_MAX) : NULL;
	if (!text)
		return r < 0 ? r : err_errno(err, ENOMEM, "the secrets");
	n = io_read_full(fd, text, FILE_MAX);
	r = n < 0 ? err_errno(err, (int)-n, "cannot read keeper/secrets/%s", FILE_NAME) : read_all(v, text, (size_t)n, err);
	explicit_bzero(text, FILE_MAX);
	free(text);
	return r;
}

static int save(const struct vault *v, struct err *err)
{
	json_t *list = json_array(), *all;
	char *text;
	int r;

	for (size_t i = 0; i < v->list.n; i++)
		(void)json_array_append_new(list, json_pack("{so ss}", "secret", secretmsg_write(&v->list.of[i]), "value",
							    v->values[i].s));
	all = json_pack("{si so}", "v", 1, "secrets", list);
	text = all && json_array_size(json_object_get(all, "secrets")) == v->list.n ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (!text)
		return err_errno(err, ENOMEM, "the secrets");
	r = io_write_file_atomic(v->dir, FILE_NAME, text, strlen(text), 0600);
	explicit_bzero(text, strlen(text));
	free(text);
	return r < 0 ? err_errno(err, -r, "cannot write keeper/secrets/%s", FILE_NAME) : 0;
}

struct vault *vault_open(int topfd, struct err *err)
{
	struct vault *v = calloc(1, sizeof(*v));

	if (!v) {
		(void)err_errno(err, ENOMEM, "the secrets");
		return NULL;
	}
	v->dir = -1;
	if (mkdirat(topfd, "secrets", 0700) < 0 && errno != EEXIST) {
		(void)err_errno(err, errno, "cannot make keeper/secrets");
	} else if ((v->dir = openat(topfd, "secrets", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
		(void)err_errno(err, errno, "cannot open keeper/secrets");
	} else if (check(v->dir, S_IFDIR, err) == 0 && load(v, err) == 0) {
		return v;
	}
	vault_free(v);
	return NULL;
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	own_close_p(&v->dir);
	explicit_bzero(v->values, sizeof(v->values));
	free(v);
}

/* --- changes: a copy is changed, written, and then takes the place of what was --- */

static struct vault *copy_of(const struct vault *v, struct err *err)
{
	struct vault *c = malloc(sizeof(*c));

	if (c)
		*c = *v;
	else
		(void)err_errno(err, ENOMEM, "the secrets");
	return c;
}

static int commit(struct vault *v, struct vault *c, struct err *err)
{
	int r = save(c, err);

	if (r == 0)
		*v = *c;
	explicit_bzero(c->values, sizeof(c->values));
	free(c);
	return r;
}

static size_t find(const struct vault *v, const char *name, const char *sandbox)
{
	size_t i = 0;

	while (i < v->list.n && !(str_eq(v->list.of[i].name, name) && str_eq(v->list.of[i].sandbox, sandbox)))
		i++;
	return i;
}

static void cut(struct vault *v, size_t i)
{
	v->list.n--;
	memmove(&v->list.of[i], &v->list.of[i + 1], (v->list.n - i) * sizeof(v->list.of[0]));
	memmove(&v->values[i], &v->values[i + 1], (v->list.n - i) * sizeof(v->values[0]));
	secret_wipe(&v->values[v->list.n]);
}

/* What only policy/target.h can tell. */
static int check_bindings(const struct secretmsg_secret *s, struct err *err)
{
	for (size_t i = 0; i < s->nbindings; i++) {
		auto_free char *canonical = NULL;
		int r = target_pattern(s->bindings[i].path, &canonical, err);

		if (r < 0)
			return err_wrap(err, "the path of %s", s->bindings[i].to.host);
		if (!str_eq(canonical, s->bindings[i].path))
			return err_set(err, ERR_INVALID, EINVAL, "the path %s must be written %s", s->bindings[i].path, canonical);
	}
	return 0;
}

/* All of them must fit into one reply. */
static int check_size(const struct vault *v, struct err *err)
{
	struct buf out;
	int r;

	buf_init(&out, KEEPERMSG_MAX_BYTES);
	r = secretmsg_encode_list(&v->list, &out);
	buf_done(&out);
	return r < 0 ? err_set(err, ERR_UNAVAILABLE, ENOSPC, "there is no more room: remove a secret first") : 0;
}

int vault_set(struct vault *v, const struct secretmsg_secret *s, const struct secret *value, struct err *err)
{
	struct vault *c;
	size_t i;
	int r = check_bindings(s, err);

	if (r < 0)
		return r;
	c = copy_of(v, err);
	if (!c)
		return -ENOMEM;
	i = find(c, s->name, s->sandbox);
	if (i == SECRETMSG_MAX) {
		explicit_bzero(c->values, sizeof(c->values));
		free(c);
		return err_set(err, ERR_UNAVAILABLE, ENOSPC, "there are %d secrets already: remove one first", SECRETMSG_MAX);
	}
	c->list.of[i] = *s;
	c->values[i] = *value;
	if (i == c->list.n)
		c->list.n++;
	r = check_size(c, err);
	if (r == 0)
		return commit(v, c, err);
	explicit_bzero(c->values, sizeof(c->values));
	free(c);
	return r;
}

int vault_remove(struct vault *v, const char *name, const char *sandbox, struct err *err)
{
	struct vault *c;
	size_t i = find(v, name, sandbox);

	if (i == v->list.n)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "there is no secret '%s' for %s", name,
			       sandbox[0] ? "this sandbox" : "all sandboxes");
	c = copy_of(v, err);
	if (!c)
		return -ENOMEM;
	cut(c, i);
	return commit(v, c, err);
}

int vault_forget(struct vault *v, const char *sandbox, bool *ret_any, struct err *err)
{
	struct vault *c = copy_of(v, err);

	*ret_any = false;
	if (!c)
		return -ENOMEM;
	for (size_t i = c->list.n; i-- > 0;)
		if (str_eq(c->list.of[i].sandbox, sandbox)) {
			cut(c, i);
			*ret_any = true;
		}
	if (*ret_any)
		return commit(v, c, err);
	explicit_bzero(c->values, sizeof(c->values));
	free(c);
	return 0;
}

/* --- what is in force --- */

static bool in_force(const struct vault *v, size_t i, const char *sandbox)
{
	const struct secretmsg_secret *s = &v->list.of[i];

	return s->sandbox[0] ? str_eq(s->sandbox, sandbox) : find(v, s->name, sandbox) == v->list.n;
}

void vault_list(const struct vault *v, const char *sandbox, struct secretmsg_list *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < v->list.n; i++)
		if (!sandbox || in_force(v, i, sandbox))
			ret->of[ret->n++] = v->list.of[i];
}

static int fill(const struct secretmsg_secret *s, const struct secretmsg_binding *b, const struct secret *value,
		struct secretmsg_injection *ret, struct err *err)
{
	memcpy(ret->secret, s->name, sizeof(ret->secret));
	memcpy(ret->header, b->header, sizeof(ret->header));
	memcpy(ret->placeholder, s->placeholder, sizeof(ret->placeholder));
	ret->value = *value;
	if (secretmsg_field(b->format, value->s, ret->field, sizeof(ret->field)) < 0)
		return err_set(err, ERR_INTERNAL, EMSGSIZE, "the value of '%s' does not fit into a header", s->name);
	return 0;
}

struct query {
	const char *sandbox;
	const struct dest *to;
	struct target target; /* owned */
};

/* The sandbox's own secrets come before those for all; of one kind the first that was set. */
static int try_scope(const struct vault *v, const struct query *q, bool own, struct secretmsg_injection *ret, struct err *err)
{
	for (size_t i = 0; i < v->list.n; i++) {
		const struct secretmsg_secret *s = &v->list.of[i];

		if (!in_force(v, i, q->sandbox) || (s->sandbox[0] != 0) != own)
			continue;
		for (size_t b = 0; b < s->nbindings; b++) {
			if (!dest_equal(&s->bindings[b].to, q->to))
				continue;
			if (target_match(s->bindings[b].path, &q->target))
				return fill(s, &s->bindings[b], &v->values[i], ret, err) < 0 ? err_code(err) : 1;
			(void)str_format(ret->none, sizeof(ret->none), "path");
		}
	}
	return 0;
}

int vault_inject(const struct vault *v, const char *sandbox, const struct dest *to, const char *path, struct secretmsg_injection *ret,
		 struct err *err)
{
	struct query q = { .sandbox = sandbox, .to = to };
	int r;

	memset(ret, 0, sizeof(*ret));
	if (target_parse(path, strlen(path), &q.target) < 0)
		return err_errno(err, ENOMEM, "the path");
	(void)str_format(ret->none, sizeof(ret->none), "no_secret");
	r = try_scope(v, &q, true, ret, err);
	if (r == 0)
		r = try_scope(v, &q, false, ret, err);
	target_done(&q.target);
	if (r > 0)
		ret->none[0] = 0;
	return r < 0 ? r : 0;
}
