/* SPDX-License-Identifier: Apache-2.0
 *
 * secretmsg: see secretmsg.h. Enters: JSON text of the command line, of a proxy, of the keeper, of the keeper's file. JSON values
 * that held a secret are not wiped by jansson: the keeper and the proxy are the only programs that live on with one.
 */
#include "wire/secretmsg.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/httpmsg.h"

DEFINE_AUTO(json, json_t *, json_decref);

static const char *const op_names[] = {
	[SECRETMSG_SET] = "secret-set",   [SECRETMSG_RM] = "secret-rm",   [SECRETMSG_LIST] = "secret-list",
	[SECRETMSG_BINDINGS] = "bindings", [SECRETMSG_INJECT] = "inject",
};

void secret_wipe(struct secret *s)
{
	explicit_bzero(s, sizeof(*s));
}

static bool is_printable(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return true;
}

int secret_check(const char *s, size_t n, struct err *err)
{
	if (n < SECRETMSG_VALUE_MIN || n > SECRETMSG_VALUE_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "a secret's value has %d to %d bytes; this one has %zu", SECRETMSG_VALUE_MIN,
			       SECRETMSG_VALUE_MAX, n);
	if (!is_printable(s, n))
		return err_set(err, ERR_INVALID, EINVAL,
			       "a secret's value is printable ASCII: no line breaks, no zero bytes, no other scripts");
	if (s[0] == ' ' || s[n - 1] == ' ')
		return err_set(err, ERR_INVALID, EINVAL, "a secret's value has no blank at its beginning or end");
	return 0;
}

int secretmsg_field(const char *format, const char *value, char *dst, size_t size)
{
	static const char basic[] = "Basic ";
	const char *at = strstr(format, "%s");
	bool encoded = str_starts(format, basic);
	char *plain, *b64;
	int r = -ENOMEM;

	if (!at)
		return -EINVAL;
	if (encoded)
		format += strlen(basic);
	plain = str_new("%.*s%s%s", (int)(at - format), format, value, at + 2);
	b64 = plain && encoded ? keepermsg_base64((const uint8_t *)plain, strlen(plain)) : NULL;
	if (plain && (b64 || !encoded))
		r = str_format(dst, size, "%s%s", encoded ? basic : "", encoded ? b64 : plain) < 0 ? -EMSGSIZE : 0;
	if (plain)
		explicit_bzero(plain, strlen(plain));
	if (b64)
		explicit_bzero(b64, strlen(b64));
	free(plain);
	free(b64);
	return r;
}

/* --- members --- */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the secret has no valid \"%s\"", what);
}

static int text(const json_t *o, const char *key, char *dst, size_t size)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	if (!json_is_string(v) || n >= size || !is_printable(json_string_value(v), n))
		return -EINVAL;
	memcpy(dst, json_string_value(v), n);
	dst[n] = 0;
	return 0;
}

/* A service, or a name of the user's: it is shown, and stands in the log. */
static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool env_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && (s[0] < '0' || s[0] > '9') &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* One %s and no other percent sign. */
static bool format_ok(const char *s)
{
	const char *at = strchr(s, '%');

	return at && at[1] == 's' && !strchr(at + 1, '%') && s[0] != ' ' && !str_ends(s, " ");
}

/* Lower case, and none of those that frame or route a request. */
static bool header_ok(const char *s)
{
	size_t n = strlen(s);
	enum httpmsg_field id = httpmsg_field_id(s, n);

	for (size_t i = 0; i < n; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			return false;
	return httpmsg_is_token(s, n) && (id == HTTPMSG_F_OTHER || id == HTTPMSG_F_AUTHORIZATION) && !str_eq(s, "accept-encoding") &&
	       !str_eq(s, "range");
}

static const char *const where_names[] = { [SECRETMSG_HEADER] = "header", [SECRETMSG_QUERY] = "query", [SECRETMSG_BODY] = "body" };

/* Of a query's member or a body's field: no byte that any of the three formats writes in another way. */
static bool field_name_ok(const char *s)
{
	return s[0] && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == 0;
}

/* The one of the three that is there. */
static int read_where(const json_t *o, enum secretmsg_where *ret, char dst[SECRETMSG_NAME])
{
	for (size_t i = 0; i < ARRAY_LEN(where_names); i++) {
		if (!json_object_get(o, where_names[i]))
			continue;
		*ret = (enum secretmsg_where)i;
		if (text(o, where_names[i], dst, SECRETMSG_NAME) < 0)
			return -EINVAL;
		return (i == SECRETMSG_HEADER ? header_ok(dst) : field_name_ok(dst)) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int dest_of(const json_t *o, struct dest *ret)
{
	char host[DEST_HOST_MAX + 1];
	const json_t *port = json_object_get(o, "port");
	json_int_t p = json_integer_value(port);

	if (text(o, "host", host, sizeof(host)) < 0 || !json_is_integer(port) || p < 1 || p > 65535 ||
	    dest_make(host, strlen(host), (uint16_t)p, DEST_HTTPS, ret) != DEST_OK)
		return -EINVAL;
	return str_eq(ret->host, host) ? 0 : -EINVAL;
}

static int read_binding(const json_t *o, struct secretmsg_binding *b, struct err *err)
{
	if (dest_of(o, &b->to) < 0 || b->to.kind != DEST_NAME)
		return bad(err, "host");
	if (text(o, "path", b->path, sizeof(b->path)) < 0 || b->path[0] != '/')
		return bad(err, "path");
	if (read_where(o, &b->where, b->header) < 0)
		return bad(err, where_names[b->where]);
	if (text(o, "format", b->format, sizeof(b->format)) < 0 || !format_ok(b->format) ||
	    (b->where != SECRETMSG_HEADER && !str_eq(b->format, "%s")))
		return bad(err, "format");
	return json_object_size(o) == 5 ? 0 : bad(err, "bindings");
}

/* "ID" or null. */
static int read_scope(const json_t *o, char *dst)
{
	if (json_is_null(json_object_get(o, "sandbox")))
		return 0;
	return text(o, "sandbox", dst, KEEPERMSG_ID) < 0 || !keepermsg_id_ok(dst) ? -EINVAL : 0;
}

static int read_env(const json_t *list, struct secretmsg_secret *s)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > SECRETMSG_ENV_MAX)
		return -EINVAL;
	json_array_foreach(list, i, v) {
		if (!json_is_string(v) || json_string_length(v) >= SECRETMSG_NAME || !env_ok(json_string_value(v)) ||
		    strlen(json_string_value(v)) != json_string_length(v))
			return -EINVAL;
		memcpy(s->env[i], json_string_value(v), json_string_length(v));
	}
	s->nenv = json_array_size(list);
	return 0;
}

int secretmsg_read(const json_t *o, struct secretmsg_secret *ret, struct err *err)
{
	auto_free struct secretmsg_secret *s = calloc(1, sizeof(*s));
	const json_t *list = json_object_get(o, "bindings"), *v;
	size_t i;
	int r = 0;

	if (!s)
		return err_errno(err, ENOMEM, "the secret");
	if (text(o, "name", s->name, sizeof(s->name)) < 0 || !name_ok(s->name))
		return bad(err, "name");
	if (!json_object_get(o, "sandbox") || read_scope(o, s->sandbox) < 0)
		return bad(err, "sandbox");
	if (read_env(json_object_get(o, "env"), s) < 0)
		return bad(err, "env");
	if (text(o, "placeholder", s->placeholder, sizeof(s->placeholder)) < 0 || strlen(s->placeholder) < SECRETMSG_VALUE_MIN ||
	    strpbrk(s->placeholder, " \":"))
		return bad(err, "placeholder");
	if (json_object_get(o, "refresh") && (text(o, "refresh", s->refresh, sizeof(s->refresh)) < 0 || !s->refresh[0]))
		return bad(err, "refresh");
	s->nbindings = json_array_size(list);
	if (s->nbindings == 0 || s->nbindings > SECRETMSG_BINDINGS_MAX || json_object_size(o) != (s->refresh[0] ? 6U : 5U))
		return bad(err, "bindings");
	json_array_foreach(list, i, v)
		if (r == 0)
			r = read_binding(v, &s->bindings[i], err);
	if (r == 0)
		*ret = *s;
	return r;
}

json_t *secretmsg_write(const struct secretmsg_secret *s)
{
	json_t *env = json_array(), *list = json_array();

	for (size_t i = 0; i < s->nenv; i++)
		(void)json_array_append_new(env, json_string(s->env[i]));
	for (size_t i = 0; i < s->nbindings; i++) {
		const struct secretmsg_binding *b = &s->bindings[i];

		(void)json_array_append_new(list, json_pack("{ss si ss ss ss}", "host", b->to.host, "port", (int)b->to.port, "path",
							    b->path, where_names[b->where], b->header, "format", b->format));
	}
	return json_pack("{ss ss? so ss so ss*}", "name", s->name, "sandbox", s->sandbox[0] ? s->sandbox : NULL, "env", env, "placeholder",
			 s->placeholder, "bindings", list, "refresh", s->refresh[0] ? s->refresh : NULL);
}

/* --- requests --- */

json_t *secretmsg_parse(const char *bytes, size_t n)
{
	json_error_t e;
	json_t *o = n <= KEEPERMSG_MAX_BYTES ? json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &e) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

static int op_of(const json_t *o)
{
	const char *op = json_string_value(json_object_get(o, "op"));

	for (size_t i = 0; op && i < ARRAY_LEN(op_names); i++)
		if (str_eq(op, op_names[i]))
			return (int)i;
	return -ENOENT;
}

static int read_value(const json_t *o, struct secret *ret, struct err *err)
{
	const json_t *v = json_object_get(o, "value");
	int r;

	if (!json_is_string(v))
		return bad(err, "value");
	r = secret_check(json_string_value(v), json_string_length(v), err);
	if (r == 0)
		memcpy(ret->s, json_string_value(v), json_string_length(v));
	return r;
}

static int read_request(const json_t *o, struct secretmsg_request *q, struct err *err)
{
	static const size_t members[] = {
		[SECRETMSG_SET] = 3, [SECRETMSG_RM] = 3, [SECRETMSG_LIST] = 1, [SECRETMSG_BINDINGS] = 1, [SECRETMSG_INJECT] = 4,
	};
	bool has = q->op == SECRETMSG_INJECT && json_object_get(o, "has");
	int r = 0;

	if (json_object_size(o) != members[q->op] + has)
		return err_set(err, ERR_INVALID, EINVAL, "the message has not the members of \"%s\"", op_names[q->op]);
	if (q->op == SECRETMSG_SET) {
		r = secretmsg_read(json_object_get(o, "secret"), &q->secret, err);
		return r < 0 ? r : read_value(o, &q->value, err);
	}
	if (q->op == SECRETMSG_RM) {
		if (text(o, "name", q->secret.name, sizeof(q->secret.name)) < 0 || !name_ok(q->secret.name))
			return bad(err, "name");
		return !json_object_get(o, "sandbox") || read_scope(o, q->secret.sandbox) < 0 ? bad(err, "sandbox") : 0;
	}
	if (q->op == SECRETMSG_INJECT) {
		if (dest_of(o, &q->to) < 0)
			return bad(err, "host");
		if (has && (text(o, "has", q->has, sizeof(q->has)) < 0 || !q->has[0]))
			return bad(err, "has");
		return text(o, "path", q->path, sizeof(q->path)) < 0 ? bad(err, "path") : 0;
	}
	return r;
}

int secretmsg_decode(const char *json, size_t n, struct secretmsg_request *ret, struct err *err)
{
	auto_(json) json_t *o = secretmsg_parse(json, n);
	auto_free struct secretmsg_request *q = calloc(1, sizeof(*q));
	int op = o ? op_of(o) : -ENOENT, r;

	if (op < 0)
		return op;
	if (!q)
		return err_errno(err, ENOMEM, "the message");
	q->op = (enum secretmsg_op)op;
	r = read_request(o, q, err);
	if (r == 0)
		*ret = *q;
	secret_wipe(&q->value);
	return r;
}

/* Takes o's reference. */
int secretmsg_emit(json_t *o, struct buf *out)
{
	auto_(json) json_t *mine = o;
	char *s = mine ? json_dumps(mine, JSON_COMPACT) : NULL;
	int r;

	if (!s)
		return -ENOMEM;
	r = strlen(s) > KEEPERMSG_MAX_BYTES ? -EMSGSIZE : buf_append_str(out, s);
	explicit_bzero(s, strlen(s));
	free(s);
	return r;
}

int secretmsg_encode(const struct secretmsg_request *r, struct buf *out)
{
	const char *op = op_names[r->op];

	switch (r->op) {
	case SECRETMSG_SET:
		return secretmsg_emit(json_pack("{ss so ss}", "op", op, "secret", secretmsg_write(&r->secret), "value", r->value.s), out);
	case SECRETMSG_RM:
		return secretmsg_emit(json_pack("{ss ss ss?}", "op", op, "name", r->secret.name, "sandbox",
				      r->secret.sandbox[0] ? r->secret.sandbox : NULL),
			    out);
	case SECRETMSG_INJECT:
		return secretmsg_emit(json_pack("{ss ss si ss ss*}", "op", op, "host", r->to.host, "port", (int)r->to.port, "path", r->path, "has",
				      r->has[0] ? r->has : NULL),
			    out);
	case SECRETMSG_LIST:
	case SECRETMSG_BINDINGS:
		return secretmsg_emit(json_pack("{ss}", "op", op), out);
	}
	return -EINVAL;
}

/* --- replies --- */

int secretmsg_reply(const char *json, size_t n, json_t **ret, struct err *err)
{
	json_t *o = secretmsg_parse(json, n);
	const json_t *e = json_object_get(o, "error");
	char kind[32], message[400], shown[sizeof(message)];

	if (o && text(e, "kind", kind, sizeof(kind)) == 0 && text(e, "message", message, sizeof(message)) == 0) {
		json_decref(o);
		str_escape(shown, sizeof(shown), message, strlen(message));
		return err_set(err, err_kind_from_name(kind), 0, "%s", shown);
	}
	if (!json_is_true(json_object_get(o, "ok"))) {
		json_decref(o);
		return err_set(err, ERR_INVALID, EINVAL, "sbx-keeper's answer makes no sense");
	}
	*ret = o;
	return 0;
}

int secretmsg_decode_ok(const char *json, size_t n, struct err *err)
{
	json_t *o = NULL;
	int r = secretmsg_reply(json, n, &o, err);

	json_decref(o);
	return r;
}

int secretmsg_decode_list(const char *json, size_t n, struct secretmsg_list *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	auto_free struct secretmsg_list *l = calloc(1, sizeof(*l));
	int r = l ? secretmsg_reply(json, n, &o, err) : err_errno(err, ENOMEM, "the secrets");
	const json_t *list = json_object_get(o, "secrets"), *v;
	size_t i;

	if (r < 0)
		return r;
	if (!json_is_array(list) || json_array_size(list) > SECRETMSG_LIST_MAX || json_object_size(o) != 2)
		return bad(err, "list");
	json_array_foreach(list, i, v) {
		r = secretmsg_read(v, &l->of[i], err);
		if (r < 0)
			return r;
	}
	l->n = i;
	*ret = *l;
	return 0;
}

static int read_injection(const json_t *o, struct secretmsg_injection *i, struct err *err)
{
	if (json_object_get(o, "none"))
		return json_object_size(o) == 2 && text(o, "none", i->none, sizeof(i->none)) == 0 && i->none[0] ? 0 : bad(err, "none");
	if (json_object_size(o) != 6 || text(o, "secret", i->secret, sizeof(i->secret)) < 0 || !name_ok(i->secret) ||
	    read_where(o, &i->where, i->header) < 0 ||
	    text(o, "field", i->field, sizeof(i->field)) < 0 || !i->field[0] ||
	    text(o, "placeholder", i->placeholder, sizeof(i->placeholder)) < 0 || !i->placeholder[0])
		return bad(err, "injection");
	return read_value(o, &i->value, err);
}

int secretmsg_decode_injection(const char *json, size_t n, struct secretmsg_injection *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	struct secretmsg_injection *i = calloc(1, sizeof(*i));
	int r = i ? secretmsg_reply(json, n, &o, err) : err_errno(err, ENOMEM, "the secret");

	if (r == 0)
		r = read_injection(o, i, err);
	if (r == 0)
		*ret = *i;
	if (i)
		explicit_bzero(i, sizeof(*i));
	free(i);
	return r;
}

int secretmsg_encode_ok(struct buf *out)
{
	return secretmsg_emit(json_pack("{sb}", "ok", 1), out);
}

int secretmsg_encode_list(const struct secretmsg_list *l, struct buf *out)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(list, secretmsg_write(&l->of[i]));
	return secretmsg_emit(json_pack("{sb so}", "ok", 1, "secrets", list), out);
}

int secretmsg_encode_injection(const struct secretmsg_injection *i, struct buf *out)
{
	if (i->none[0])
		return secretmsg_emit(json_pack("{sb ss}", "ok", 1, "none", i->none), out);
	return secretmsg_emit(json_pack("{sb ss ss ss ss ss}", "ok", 1, "secret", i->secret, where_names[i->where], i->header, "field", i->field, "value",
			      i->value.s, "placeholder", i->placeholder),
		    out);
}

int secretmsg_encode_error(const struct err *e, struct buf *out)
{
	return secretmsg_emit(json_pack("{s{ss ss}}", "error", "kind", err_kind_name(e->kind), "message", e->msg), out);
}

int secretmsg_encode_changed(struct buf *out)
{
	return buf_append_str(out, "{\"event\":\"secrets\"}");
}

bool secretmsg_is_changed(const char *json, size_t n)
{
	static const char text_of[] = "{\"event\":\"secrets\"}";

	return n == sizeof(text_of) - 1 && memcmp(json, text_of, n) == 0;
}
