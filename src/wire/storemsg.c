/* SPDX-License-Identifier: Apache-2.0
 *
 * storemsg: see storemsg.h. Enters: JSON text of the command line, of the keeper, of the keeper's file.
 */
#include "wire/storemsg.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/secretmsg.h"

DEFINE_AUTO(json, json_t *, json_decref);

static const char *const op_names[] = {
	[STOREMSG_STATUS] = "store-status",   [STOREMSG_UNLOCK] = "store-unlock", [STOREMSG_LOCK] = "store-lock",
	[STOREMSG_PROTECT] = "store-protect", [STOREMSG_RESET] = "store-reset",
};
static const char *const protection_names[] = {
	[STOREMSG_UNDECIDED] = "undecided",
	[STOREMSG_NONE] = "none",
	[STOREMSG_SERVICE] = "service",
	[STOREMSG_PASSPHRASE] = "passphrase",
};

const char *storemsg_protection_name(enum storemsg_protection p)
{
	return protection_names[p];
}

/* --- hexadecimal --- */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int storemsg_unhex(const char *s, size_t n, uint8_t *dst)
{
	if (strlen(s) != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int high = digit(s[2 * i]), low = digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		dst[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static json_t *hex_json(const uint8_t *bytes, size_t n)
{
	char text[2 * STOREMSG_WRAPPED + 1];
	json_t *o;

	str_hex(text, bytes, n);
	o = json_string(text);
	explicit_bzero(text, sizeof(text));
	return o;
}

static int read_hex(const json_t *o, const char *key, uint8_t *dst, size_t n)
{
	const json_t *v = json_object_get(o, key);

	return json_is_string(v) && json_string_length(v) == 2 * n ? storemsg_unhex(json_string_value(v), n, dst) : -EINVAL;
}

/* --- members --- */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the message has no valid \"%s\"", what);
}

static json_t *kdf_json(const struct storemsg_kdf *k)
{
	return k->n == 0 ? json_null() :
			   json_pack("{so sI sI sI}", "salt", hex_json(k->salt, sizeof(k->salt)), "n", (json_int_t)k->n, "r",
				     (json_int_t)k->r, "p", (json_int_t)k->p);
}

static int number(const json_t *o, const char *key, json_int_t max, uint32_t *ret)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 1 || n > max)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

/* n is a power of two (RFC 7914, section 6). */
static int read_kdf(const json_t *o, struct storemsg_kdf *k)
{
	if (json_is_null(o))
		return 0;
	if (json_object_size(o) != 4 || read_hex(o, "salt", k->salt, sizeof(k->salt)) < 0 ||
	    number(o, "n", STOREMSG_KDF_N_MAX, &k->n) < 0 || number(o, "r", 8, &k->r) < 0 || number(o, "p", 4, &k->p) < 0)
		return -EINVAL;
	return k->n >= 1024 && (k->n & (k->n - 1)) == 0 ? 0 : -EINVAL;
}

static bool has_key(enum storemsg_protection p)
{
	return p == STOREMSG_SERVICE || p == STOREMSG_PASSPHRASE;
}

static int read_id(const json_t *o, struct storemsg_lock *l)
{
	uint8_t bytes[(STOREMSG_ID - 1) / 2];
	const char *id = json_string_value(json_object_get(o, "id"));

	if (!id || (!has_key(l->protection) ? id[0] != 0 : storemsg_unhex(id, sizeof(bytes), bytes) < 0))
		return -EINVAL;
	return str_format(l->id, sizeof(l->id), "%s", id);
}

static int read_lock(const json_t *o, struct storemsg_lock *l, struct err *err)
{
	const char *name = json_string_value(json_object_get(o, "protection"));
	size_t i = 0;

	while (name && i < ARRAY_LEN(protection_names) && !str_eq(name, protection_names[i]))
		i++;
	if (!name || i == ARRAY_LEN(protection_names))
		return bad(err, "protection");
	l->protection = (enum storemsg_protection)i;
	if (read_id(o, l) < 0)
		return bad(err, "id");
	if (!json_object_get(o, "kdf") || read_kdf(json_object_get(o, "kdf"), &l->kdf) < 0 ||
	    (l->kdf.n != 0) != (l->protection == STOREMSG_PASSPHRASE))
		return bad(err, "kdf");
	return 0;
}

/* --- requests --- */

static int read_protect(const json_t *o, struct storemsg_request *q, struct err *err)
{
	const json_t *key = json_object_get(o, "key");
	int r = read_lock(o, &q->lock, err);

	if (r < 0)
		return r;
	if (q->lock.protection == STOREMSG_UNDECIDED)
		return bad(err, "protection");
	if (has_key(q->lock.protection) ? read_hex(o, "key", q->key, sizeof(q->key)) < 0 : !json_is_null(key))
		return bad(err, "key");
	return 0;
}

static int read_request(const json_t *o, struct storemsg_request *q, struct err *err)
{
	static const size_t members[] = { 1, 3, 1, 5, 1 };
	const json_t *expires = json_object_get(o, "expires");

	if (json_object_size(o) != members[q->op])
		return err_set(err, ERR_INVALID, EINVAL, "the message has not the members of \"%s\"", op_names[q->op]);
	if (q->op == STOREMSG_PROTECT)
		return read_protect(o, q, err);
	if (q->op != STOREMSG_UNLOCK)
		return 0;
	if (read_hex(o, "key", q->key, sizeof(q->key)) < 0)
		return bad(err, "key");
	if (!json_is_integer(expires) || json_integer_value(expires) < 0)
		return bad(err, "expires");
	q->expires_s = (uint64_t)json_integer_value(expires);
	return 0;
}

int storemsg_decode(const char *json, size_t n, struct storemsg_request *ret, struct err *err)
{
	auto_(json) json_t *o = secretmsg_parse(json, n);
	const char *op = json_string_value(json_object_get(o, "op"));
	struct storemsg_request q = { 0 };
	size_t i = 0;
	int r;

	while (op && i < ARRAY_LEN(op_names) && !str_eq(op, op_names[i]))
		i++;
	if (!op || i == ARRAY_LEN(op_names))
		return -ENOENT;
	q.op = (enum storemsg_op)i;
	r = read_request(o, &q, err);
	if (r == 0)
		*ret = q;
	explicit_bzero(&q, sizeof(q));
	return r;
}

int storemsg_encode(const struct storemsg_request *r, struct buf *out)
{
	const char *op = op_names[r->op];

	if (r->op == STOREMSG_UNLOCK)
		return secretmsg_emit(json_pack("{ss so sI}", "op", op, "key", hex_json(r->key, sizeof(r->key)), "expires",
				      (json_int_t)r->expires_s),
			    out);
	if (r->op == STOREMSG_PROTECT)
		return secretmsg_emit(json_pack("{ss ss ss so so}", "op", op, "protection", protection_names[r->lock.protection], "id", r->lock.id,
				      "kdf", kdf_json(&r->lock.kdf), "key",
				      has_key(r->lock.protection) ? hex_json(r->key, sizeof(r->key)) : json_null()),
			    out);
	return secretmsg_emit(json_pack("{ss}", "op", op), out);
}

/* --- status --- */

int storemsg_decode_status(const char *json, size_t n, struct storemsg_status *ret, struct err *err)
{
	auto_(json) json_t *o = NULL;
	struct storemsg_status s = { 0 };
	const json_t *locked, *why;
	int r = secretmsg_decode_ok(json, n, err);

	if (r < 0)
		return r;
	o = secretmsg_parse(json, n);
	locked = json_object_get(o, "locked");
	why = json_object_get(o, "why");
	r = read_lock(o, &s.lock, err);
	if (r < 0)
		return r;
	if (json_object_size(o) != 6 || !json_is_boolean(locked) || !json_is_string(why))
		return bad(err, "locked");
	s.locked = json_is_true(locked);
	str_escape(s.why, sizeof(s.why), json_string_value(why), json_string_length(why));
	*ret = s;
	return 0;
}

int storemsg_encode_status(const struct storemsg_status *s, struct buf *out)
{
	return secretmsg_emit(json_pack("{sb ss sb ss so ss}", "ok", 1, "protection", protection_names[s->lock.protection], "locked", s->locked, "id",
			      s->lock.id, "kdf", kdf_json(&s->lock.kdf), "why", s->why),
		    out);
}

/* --- the file --- */

int storemsg_decode_file(const char *json, size_t n, struct storemsg_file *ret, struct err *err)
{
	auto_(json) json_t *o = secretmsg_parse(json, n);
	struct storemsg_file f = { 0 };
	int r = read_lock(o, &f.lock, err);

	if (r < 0)
		return r;
	if (json_integer_value(json_object_get(o, "v")) != 1 || json_object_size(o) != 5 || f.lock.protection == STOREMSG_UNDECIDED)
		return bad(err, "v");
	if (has_key(f.lock.protection) ? read_hex(o, "wrapped", f.wrapped, sizeof(f.wrapped)) < 0 :
					 !json_is_null(json_object_get(o, "wrapped")))
		return bad(err, "wrapped");
	*ret = f;
	return 0;
}

int storemsg_encode_file(const struct storemsg_file *f, struct buf *out)
{
	return secretmsg_emit(json_pack("{si ss ss so so}", "v", 1, "protection", protection_names[f->lock.protection], "id", f->lock.id, "kdf",
			      kdf_json(&f->lock.kdf), "wrapped",
			      has_key(f->lock.protection) ? hex_json(f->wrapped, sizeof(f->wrapped)) : json_null()),
		    out);
}
