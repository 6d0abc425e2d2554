/* SPDX-License-Identifier: Apache-2.0
 *
 * keepermsg: see keepermsg.h. Enters: JSON text. Leaves: structs that hold everything by value. Owns nothing.
 */
#include "wire/keepermsg.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

DEFINE_AUTO(json, json_t *, json_decref);

static const char *const op_names[] = {
	[KEEPERMSG_ATTACH] = "attach",
	[KEEPERMSG_LEAF] = "leaf",
	[KEEPERMSG_FORGET] = "forget",
	[KEEPERMSG_VERSION] = "version",
};

bool keepermsg_id_ok(const char *s)
{
	size_t i = 0;

	for (; i < KEEPERMSG_ID - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f'))
			return false;
	}
	return s[i] == 0;
}

/* --- base64 (RFC 4648, section 4), without line breaks and with padding --- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *keepermsg_base64(const uint8_t *bytes, size_t n)
{
	char *s = malloc((n + 2) / 3 * 4 + 1), *p = s;

	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)bytes[i + 1] << 8;
		if (i + 2 < n)
			v |= bytes[i + 2];
		*p++ = alphabet[v >> 18];
		*p++ = alphabet[v >> 12 & 63];
		*p++ = i + 1 < n ? alphabet[v >> 6 & 63] : '=';
		*p++ = i + 2 < n ? alphabet[v & 63] : '=';
	}
	*p = 0;
	return s;
}

/* The one spelling of its bytes: unused bits are zero. Bytes, or -EINVAL. */
ssize_t keepermsg_unbase64(const char *s, size_t n, uint8_t *dst, size_t max)
{
	size_t pad = n && s[n - 1] == '=' ? (n > 1 && s[n - 2] == '=' ? 2 : 1) : 0, len;
	uint32_t v = 0;

	if (n == 0 || n % 4 || n / 4 * 3 - pad > max)
		return -EINVAL;
	len = n / 4 * 3 - pad;
	for (size_t i = 0, at = 0; i < n; i++) {
		const char *c = i >= n - pad ? alphabet : s[i] ? strchr(alphabet, s[i]) : NULL;

		if (!c)
			return -EINVAL;
		v = v << 6 | (uint32_t)(c - alphabet);
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0; shift -= 8, at++) {
			if (at < len)
				dst[at] = (uint8_t)(v >> shift);
			else if (v >> shift & 0xff)
				return -EINVAL;
		}
		v = 0;
	}
	return (ssize_t)len;
}

/* --- members --- */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "the message has no valid \"%s\"", what);
}

static int parse(const char *text, size_t n, json_t **ret, struct err *err)
{
	json_error_t e;
	json_t *o;

	if (n > KEEPERMSG_MAX_BYTES)
		return err_set(err, ERR_INVALID, EMSGSIZE, "the message is too long");
	o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(err, ERR_INVALID, EINVAL, "the message is not a JSON object");
	}
	*ret = o;
	return 0;
}

/* A string without NUL of less than size bytes. */
static int text(const json_t *o, const char *key, char *dst, size_t size)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	if (!json_is_string(v) || n >= size || strlen(json_string_value(v)) != n)
		return -EINVAL;
	memcpy(dst, json_string_value(v), n + 1);
	return 0;
}

static int bytes(const json_t *o, const char *key, uint8_t *dst, size_t max, size_t *ret_n)
{
	const json_t *v = json_object_get(o, key);
	ssize_t n = json_is_string(v) ? keepermsg_unbase64(json_string_value(v), json_string_length(v), dst, max) : -EINVAL;

	if (n < 0)
		return -EINVAL;
	*ret_n = (size_t)n;
	return 0;
}

/* Canonical as it stands: the keeper signs what it was asked for, or nothing. */
static int host(const json_t *o, struct dest *ret)
{
	char s[DEST_HOST_MAX + 1];

	if (text(o, "host", s, sizeof(s)) < 0 || dest_make(s, strlen(s), 1, DEST_HTTPS, ret) != DEST_OK)
		return -EINVAL;
	return str_eq(ret->host, s) ? 0 : -EINVAL;
}

/* --- requests --- */

static int op_of(const json_t *o)
{
	char name[16];

	if (text(o, "op", name, sizeof(name)) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(op_names); i++)
		if (str_eq(name, op_names[i]))
			return (int)i;
	return -EINVAL;
}

int keepermsg_decode(const char *json, size_t n, struct keepermsg_request *ret, struct err *err)
{
	static const size_t members[] = {
		[KEEPERMSG_ATTACH] = 2, [KEEPERMSG_LEAF] = 3, [KEEPERMSG_FORGET] = 2, [KEEPERMSG_VERSION] = 1
	};
	auto_(json) json_t *o = NULL;
	struct keepermsg_request q = { 0 };
	int r = parse(json, n, &o, err), op;

	if (r < 0)
		return r;
	op = op_of(o);
	if (op < 0)
		return bad(err, "op");
	q.op = (enum keepermsg_op)op;
	if ((q.op == KEEPERMSG_ATTACH || q.op == KEEPERMSG_FORGET) &&
	    (text(o, "sandbox", q.sandbox, sizeof(q.sandbox)) < 0 || !keepermsg_id_ok(q.sandbox)))
		return bad(err, "sandbox");
	if (q.op == KEEPERMSG_LEAF && host(o, &q.host) < 0)
		return bad(err, "host");
	if (q.op == KEEPERMSG_LEAF && bytes(o, "spki", q.spki, sizeof(q.spki), &q.spki_len) < 0)
		return bad(err, "spki");
	if (json_object_size(o) != members[q.op])
		return err_set(err, ERR_INVALID, EINVAL, "the message has members that do not belong to \"%s\"",
			       op_names[q.op]);
	*ret = q;
	return 0;
}

bool keepermsg_begins_leaf(const char *json, size_t n)
{
	static const char begin[] = "{\"op\":\"leaf\",";

	return n >= sizeof(begin) - 1 && memcmp(json, begin, sizeof(begin) - 1) == 0;
}

/* Takes o's reference. */
static int emit(json_t *o, struct buf *out)
{
	auto_(json) json_t *mine = o;
	auto_free char *s = mine ? json_dumps(mine, JSON_COMPACT) : NULL;

	if (!s)
		return -ENOMEM;
	return strlen(s) > KEEPERMSG_MAX_BYTES ? -EMSGSIZE : buf_append_str(out, s);
}

int keepermsg_encode(const struct keepermsg_request *r, struct buf *out)
{
	const char *op = op_names[r->op];
	auto_free char *spki = NULL;

	switch (r->op) {
	case KEEPERMSG_ATTACH:
	case KEEPERMSG_FORGET:
		if (!keepermsg_id_ok(r->sandbox))
			return -EINVAL;
		return emit(json_pack("{ss ss}", "op", op, "sandbox", r->sandbox), out);
	case KEEPERMSG_LEAF:
		if (r->spki_len == 0 || r->spki_len > sizeof(r->spki) || !r->host.host[0])
			return -EINVAL;
		spki = keepermsg_base64(r->spki, r->spki_len);
		return spki ? emit(json_pack("{ss ss ss}", "op", op, "host", r->host.host, "spki", spki), out) : -ENOMEM;
	case KEEPERMSG_VERSION:
		return emit(json_pack("{ss}", "op", op), out);
	}
	return -EINVAL;
}

/* --- replies --- */

static int reply_error(const json_t *o, struct keepermsg_reply *ret)
{
	const json_t *e = json_object_get(o, "error");
	char kind[32], message[sizeof(ret->error.msg)];

	if (json_object_size(o) != 1 || json_object_size(e) != 2 || text(e, "kind", kind, sizeof(kind)) < 0 ||
	    text(e, "message", message, sizeof(message)) < 0)
		return -EINVAL;
	ret->error.kind = err_kind_from_name(kind);
	str_escape(ret->error.msg, sizeof(ret->error.msg), message, strlen(message));
	return 0;
}

static int reply_version(const json_t *o, struct keepermsg_reply *ret)
{
	const json_t *pid = json_object_get(o, "pid"), *landlock = json_object_get(o, "landlock"),
		     *netns = json_object_get(o, "netns");

	if (json_object_size(o) != 5 || text(o, "version", ret->version, sizeof(ret->version)) < 0 ||
	    !json_is_integer(pid) || !json_is_boolean(landlock) || !json_is_boolean(netns))
		return -EINVAL;
	ret->pid = json_integer_value(pid);
	ret->landlock = json_is_true(landlock);
	ret->netns = json_is_true(netns);
	return ret->pid > 0 && ret->version[0] ? 0 : -EINVAL;
}

static bool is_hash(const char *s)
{
	return strlen(s) == KEEPERMSG_HASH - 1 && strspn(s, "0123456789abcdef") == KEEPERMSG_HASH - 1;
}

static int reply_attach(const json_t *o, struct keepermsg_reply *ret)
{
	bool hash = json_object_get(o, "ca_hash");

	if (json_object_size(o) != (hash ? 3U : 2U) || text(o, "ca", ret->ca, sizeof(ret->ca)) < 0 || !ret->ca[0])
		return -EINVAL;
	return hash && (text(o, "ca_hash", ret->ca_hash, sizeof(ret->ca_hash)) < 0 || !is_hash(ret->ca_hash)) ? -EINVAL : 0;
}

static int reply_ok(enum keepermsg_op op, const json_t *o, struct keepermsg_reply *ret)
{
	if (!json_is_true(json_object_get(o, "ok")))
		return -EINVAL;
	switch (op) {
	case KEEPERMSG_ATTACH:
		return reply_attach(o, ret);
	case KEEPERMSG_LEAF:
		return json_object_size(o) == 2 ? bytes(o, "cert", ret->cert, sizeof(ret->cert), &ret->cert_len) : -EINVAL;
	case KEEPERMSG_FORGET:
		return json_object_size(o) == 1 ? 0 : -EINVAL;
	case KEEPERMSG_VERSION:
		return reply_version(o, ret);
	}
	return -EINVAL;
}

int keepermsg_decode_reply(enum keepermsg_op op, const char *json, size_t n, struct keepermsg_reply *ret,
			   struct err *err)
{
	auto_(json) json_t *o = NULL;
	struct keepermsg_reply q = { 0 };
	int r = parse(json, n, &o, err);

	if (r < 0)
		return r;
	r = json_object_get(o, "error") ? reply_error(o, &q) : reply_ok(op, o, &q);
	if (r < 0)
		return bad(err, "reply");
	*ret = q;
	return 0;
}

int keepermsg_encode_reply(enum keepermsg_op op, const struct keepermsg_reply *r, struct buf *out)
{
	auto_free char *cert = NULL;

	if (r->error.kind != ERR_NONE)
		return emit(json_pack("{s{ss ss}}", "error", "kind", err_kind_name(r->error.kind), "message",
				      r->error.msg),
			    out);
	switch (op) {
	case KEEPERMSG_ATTACH:
		if (!r->ca[0] || (r->ca_hash[0] && !is_hash(r->ca_hash)))
			return -EINVAL;
		return emit(json_pack("{sb ss ss*}", "ok", 1, "ca", r->ca, "ca_hash", r->ca_hash[0] ? r->ca_hash : NULL), out);
	case KEEPERMSG_LEAF:
		if (r->cert_len == 0 || r->cert_len > sizeof(r->cert))
			return -EINVAL;
		cert = keepermsg_base64(r->cert, r->cert_len);
		return cert ? emit(json_pack("{sb ss}", "ok", 1, "cert", cert), out) : -ENOMEM;
	case KEEPERMSG_FORGET:
		return emit(json_pack("{sb}", "ok", 1), out);
	case KEEPERMSG_VERSION:
		return emit(json_pack("{sb ss sI sb sb}", "ok", 1, "version", r->version, "pid", (json_int_t)r->pid,
				      "landlock", r->landlock, "netns", r->netns),
			    out);
	}
	return -EINVAL;
}
