/* SPDX-License-Identifier: Apache-2.0
 *
 * oauthmsg: see oauthmsg.h. Enters: JSON text of the command line, of sbx-vm, of a proxy, of the keeper.
 */
#include "wire/oauthmsg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

static const struct {
	const char *name;
	size_t members;
} ops[] = {
	[OAUTHMSG_DEFINE] = { "oauth-define", 2 }, [OAUTHMSG_SERVICES] = { "oauth-services", 1 }, [OAUTHMSG_BEGIN] = { "oauth-begin", 3 },
	[OAUTHMSG_STORE] = { "oauth-store", 6 },   [OAUTHMSG_END] = { "oauth-end", 4 },           [OAUTHMSG_LIST] = { "oauth-list", 1 },
	[OAUTHMSG_SHARE] = { "oauth-share", 3 },   [OAUTHMSG_GIVE] = { "oauth-give", 3 },
};

static const char *const purposes[] = {
	[OAUTHMSG_SIGN_IN] = "sign-in", [OAUTHMSG_REFRESH] = "refresh", [OAUTHMSG_REVOKE] = "revoke",
};

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the message has no valid \"%s\"", what);
}

/* --- members --- */

static int text(const json_t *o, const char *key, char *dst, size_t size)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	if (!json_is_string(v) || n == 0 || n >= size)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (json_string_value(v)[i] < 0x20 || json_string_value(v)[i] > 0x7e)
			return -EINVAL;
	memcpy(dst, json_string_value(v), n);
	dst[n] = 0;
	return 0;
}

static int text_or_null(const json_t *o, const char *key, char *dst, size_t size)
{
	return json_is_null(json_object_get(o, key)) ? 0 : text(o, key, dst, size);
}

static int token(const json_t *o, const char *key, bool optional, struct secret *ret)
{
	const json_t *v = json_object_get(o, key);

	if (optional && json_is_null(v))
		return 0;
	if (!json_is_string(v) || secret_check(json_string_value(v), json_string_length(v), NULL) < 0)
		return -EINVAL;
	memcpy(ret->s, json_string_value(v), json_string_length(v));
	return 0;
}

static int number(const json_t *o, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static bool service_ok(const json_t *o, char *dst)
{
	return text(o, "service", dst, SECRETMSG_NAME) == 0 && strspn(dst, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(dst);
}

/* --- requests --- */

static int read_purpose(const json_t *o, enum oauthmsg_for *ret)
{
	const char *s = json_string_value(json_object_get(o, "for"));

	for (size_t i = 0; s && i < ARRAY_LEN(purposes); i++)
		if (str_eq(s, purposes[i])) {
			*ret = (enum oauthmsg_for)i;
			return 0;
		}
	return -EINVAL;
}

static int read_store(const json_t *o, struct oauthmsg_request *q, struct err *err)
{
	if (token(o, "access", false, &q->access) < 0)
		return bad(err, "access");
	if (token(o, "refresh", true, &q->refresh) < 0)
		return bad(err, "refresh");
	return token(o, "id", true, &q->id) < 0 ? bad(err, "id") : 0;
}

static int read_request(const json_t *o, struct oauthmsg_request *q, struct err *err)
{
	if (json_object_size(o) != ops[q->op].members)
		return err_set(err, ERR_INVALID, EINVAL, "the message has not the members of \"%s\"", ops[q->op].name);
	if (q->op == OAUTHMSG_DEFINE)
		return oauthdef_read_list(json_object_get(o, "services"), &q->services, err);
	if (q->op == OAUTHMSG_SERVICES || q->op == OAUTHMSG_LIST)
		return 0;
	if (!service_ok(o, q->service))
		return bad(err, "service");
	if (q->op == OAUTHMSG_BEGIN)
		return read_purpose(o, &q->purpose) < 0 ? bad(err, "for") : 0;
	if (q->op == OAUTHMSG_SHARE || q->op == OAUTHMSG_GIVE)
		return text(o, "sandbox", q->sandbox, sizeof(q->sandbox)) < 0 || !keepermsg_id_ok(q->sandbox) ? bad(err, "sandbox") : 0;
	if (number(o, "ticket", &q->ticket) < 0)
		return bad(err, "ticket");
	if (q->op == OAUTHMSG_STORE)
		return read_store(o, q, err);
	q->revoked = json_is_true(json_object_get(o, "revoked"));
	return json_is_boolean(json_object_get(o, "revoked")) ? 0 : bad(err, "revoked");
}

static void wipe(struct oauthmsg_request *q)
{
	secret_wipe(&q->access);
	secret_wipe(&q->refresh);
	secret_wipe(&q->id);
}

int oauthmsg_decode(const char *json, size_t n, struct oauthmsg_request *ret, struct err *err)
{
	auto_(json) json_t *o = secretmsg_parse(json, n);
	auto_free struct oauthmsg_request *q = calloc(1, sizeof(*q));
	const char *op = json_string_value(json_object_get(o, "op"));
	size_t i = 0;
	int r;

	while (op && i < ARRAY_LEN(ops) && !str_eq(op, ops[i].name))
		i++;
	if (!op || i == ARRAY_LEN(ops))
		return -ENOENT;
	if (!q)
		return err_errno(err, ENOMEM, "the message");
	q->op = (enum oauthmsg_op)i;
	r = read_request(o, q, err);
	if (r == 0)
		*ret = *q;
	wipe(q);
	return r;
}

static const char *or_null(const char *s)
{
	return s[0] ? s : NULL;
}

int oauthmsg_encode(const struct oauthmsg_request *r, struct buf *out)
{
	const char *op = ops[r->op].name;

	switch (r->op) {
	case OAUTHMSG_DEFINE:
		return secretmsg_emit(json_pack("{ss so}", "op", op, "services", oauthdef_write_list(&r->services)), out);
	case OAUTHMSG_SERVICES:
	case OAUTHMSG_LIST:
		return secretmsg_emit(json_pack("{ss}", "op", op), out);
	case OAUTHMSG_BEGIN:
		return secretmsg_emit(json_pack("{ss ss ss}", "op", op, "service", r->service, "for", purposes[r->purpose]), out);
	case OAUTHMSG_STORE:
		return secretmsg_emit(json_pack("{ss ss sI ss ss? ss?}", "op", op, "service", r->service, "ticket", (json_int_t)r->ticket,
						"access", r->access.s, "refresh", or_null(r->refresh.s), "id", or_null(r->id.s)),
				      out);
	case OAUTHMSG_END:
		return secretmsg_emit(json_pack("{ss ss sI sb}", "op", op, "service", r->service, "ticket", (json_int_t)r->ticket, "revoked",
						r->revoked),
				      out);
	case OAUTHMSG_SHARE:
	case OAUTHMSG_GIVE:
		return secretmsg_emit(json_pack("{ss ss ss}", "op", op, "service", r->service, "sandbox", r->sandbox), out);
	}
	return -EINVAL;
}

/* --- replies --- */

int oauthmsg_decode_services(const char *json, size_t n, struct oauthdef_list *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	int r = secretmsg_reply(json, n, &o, err);

	if (r < 0)
		return r;
	return json_object_size(o) == 2 ? oauthdef_read_list(json_object_get(o, "services"), ret, err) : bad(err, "services");
}

static int read_begun(const json_t *o, struct oauthmsg_begun *b, struct err *err)
{
	const json_t *access = json_object_get(o, "access"), *refresh = json_object_get(o, "refresh");

	if (json_is_true(json_object_get(o, "busy")) && json_object_size(o) == 2) {
		b->busy = true;
		return 0;
	}
	if (number(o, "ticket", &b->ticket) < 0 || json_object_size(o) != 2U + (access != NULL) + (refresh != NULL))
		return bad(err, "ticket");
	if (access && token(o, "access", false, &b->access) < 0)
		return bad(err, "access");
	return refresh && token(o, "refresh", false, &b->refresh) < 0 ? bad(err, "refresh") : 0;
}

int oauthmsg_decode_begun(const char *json, size_t n, struct oauthmsg_begun *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	auto_free struct oauthmsg_begun *b = calloc(1, sizeof(*b));
	int r = b ? secretmsg_reply(json, n, &o, err) : err_errno(err, ENOMEM, "the grant");

	if (r == 0)
		r = read_begun(o, b, err);
	if (r == 0)
		*ret = *b;
	if (b) {
		secret_wipe(&b->access);
		secret_wipe(&b->refresh);
	}
	return r;
}

int oauthmsg_decode_given(const char *json, size_t n, struct oauthmsg_given *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	auto_free struct oauthmsg_given *g = calloc(1, sizeof(*g));
	int r = g ? secretmsg_reply(json, n, &o, err) : err_errno(err, ENOMEM, "the grant");

	if (r < 0)
		return r;
	if (json_object_size(o) != 4 || text(o, "access", g->access, sizeof(g->access)) < 0 ||
	    text_or_null(o, "refresh", g->refresh, sizeof(g->refresh)) < 0 || text_or_null(o, "id", g->id, sizeof(g->id)) < 0)
		return bad(err, "grant");
	*ret = *g;
	return 0;
}

int oauthmsg_encode_services(const struct oauthdef_list *l, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb so}", "ok", 1, "services", oauthdef_write_list(l)), out);
}

int oauthmsg_encode_begun(const struct oauthmsg_begun *b, struct buf *out)
{
	if (b->busy)
		return secretmsg_emit(json_pack("{sb sb}", "ok", 1, "busy", 1), out);
	return secretmsg_emit(json_pack("{sb sI ss* ss*}", "ok", 1, "ticket", (json_int_t)b->ticket, "access", or_null(b->access.s),
					"refresh", or_null(b->refresh.s)),
			      out);
}

int oauthmsg_encode_given(const struct oauthmsg_given *g, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb ss ss? ss?}", "ok", 1, "access", g->access, "refresh", or_null(g->refresh), "id", or_null(g->id)),
			      out);
}
