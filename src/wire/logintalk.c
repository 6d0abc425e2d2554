/* SPDX-License-Identifier: Apache-2.0
 *
 * logintalk: see logintalk.h. Enters: JSON text of sbx, and of sbx-login, which talks to hosts that nobody knows.
 */
#include "wire/logintalk.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/member.h"

static const char *const op_names[] = {
	[LOGINTALK_DEVICE] = "device", [LOGINTALK_PASSWORD] = "password", [LOGINTALK_CHECK] = "check", [LOGINTALK_REVOKE] = "revoke",
};
static const char *const event_names[] = {
	[LOGINTALK_CODE] = "code", [LOGINTALK_NOTE] = "note", [LOGINTALK_DONE] = "done", [LOGINTALK_ERROR] = "error",
};

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "sbx-login's message has no valid \"%s\"", what);
}

static int name_of(const json_t *o, const char *key, const char *const *names, size_t n)
{
	char s[16];
	size_t i = 0;

	if (member_word(o, key, s, sizeof(s)) < 0)
		return -EINVAL;
	while (i < n && !str_eq(names[i], s))
		i++;
	return i < n ? (int)i : -EINVAL;
}

static int parse(const char *json, size_t n, json_t **ret, struct err *err)
{
	if (n > LOGINTALK_MAX_BYTES)
		return err_set(err, ERR_INVALID, EMSGSIZE, "sbx-login's message is too long");
	return member_parse(json, n, "sbx-login's message", ret, err);
}

/* Takes o's reference. */
static int emit(json_t *o, const char *end, struct buf *out)
{
	auto_(member_root) json_t *mine = o;
	auto_free char *s = mine ? json_dumps(mine, JSON_COMPACT) : NULL;

	if (!s)
		return -ENOMEM;
	return strlen(s) > LOGINTALK_MAX_BYTES ? -EMSGSIZE : buf_printf(out, "%s%s", s, end);
}

/* --- requests --- */

int logintalk_decode(const char *json, size_t n, struct logintalk_request *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	struct logintalk_request q = { 0 };
	char registry[DEST_PRINT_MAX];
	int r = parse(json, n, &o, err), op = r < 0 ? r : name_of(o, "op", op_names, ARRAY_LEN(op_names));

	if (op < 0)
		return r < 0 ? r : bad(err, "op");
	q.op = (enum logintalk_op)op;
	r = loginmsg_read(json_object_get(o, "login"), &q.login, err);
	if (r < 0)
		return r;
	if (q.op == LOGINTALK_DEVICE && member_text(o, "scope", q.scope, sizeof(q.scope)) == -EINVAL)
		return bad(err, "scope");
	if (q.op == LOGINTALK_CHECK && (member_word(o, "registry", registry, sizeof(registry)) < 0 ||
					dest_parse_authority(registry, strlen(registry), 0, DEST_HTTPS, &q.registry) != DEST_OK))
		return bad(err, "registry");
	if (q.op != LOGINTALK_PASSWORD && q.op != LOGINTALK_CHECK && !q.login.issuer[0])
		return bad(err, "issuer");
	*ret = q;
	return 0;
}

int logintalk_encode(const struct logintalk_request *q, struct buf *out)
{
	char registry[DEST_PRINT_MAX] = "";

	if (q->op == LOGINTALK_CHECK)
		dest_print(&q->registry, registry);
	return emit(json_pack("{ss so ss* ss*}", "op", op_names[q->op], "login", loginmsg_write(&q->login), "scope",
			      q->scope[0] ? q->scope : NULL, "registry", registry[0] ? registry : NULL),
		    "", out);
}

/* --- events --- */

static int read_code(const json_t *o, struct oidc_device *d)
{
	if (member_text(o, "user_code", d->user_code, sizeof(d->user_code)) < 0 || member_word(o, "uri", d->uri, sizeof(d->uri)) < 0 ||
	    oidc_url(d->uri, NULL) < 0 || member_word(o, "complete", d->complete, sizeof(d->complete)) == -EINVAL ||
	    (d->complete[0] && oidc_url(d->complete, NULL) < 0))
		return -EINVAL;
	return member_int(o, "expires_in", 1, OIDC_WAIT_MAX_S, &d->expires_s);
}

static int read_message(const json_t *o, bool with_kind, struct err *ret)
{
	const json_t *v = json_object_get(o, "message");
	char kind[32];

	if (!json_is_string(v) || json_string_length(v) == 0)
		return -EINVAL;
	if (with_kind) {
		if (member_word(o, "kind", kind, sizeof(kind)) < 0)
			return -EINVAL;
		ret->kind = err_kind_from_name(kind);
	}
	str_escape(ret->msg, sizeof(ret->msg), json_string_value(v), json_string_length(v));
	return 0;
}

int logintalk_decode_event(const char *json, size_t n, struct logintalk_event *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	auto_free struct logintalk_event *e = calloc(1, sizeof(*e));
	int r = e ? parse(json, n, &o, err) : err_errno(err, ENOMEM, "sbx-login"),
	    kind = r < 0 ? r : name_of(o, "event", event_names, ARRAY_LEN(event_names));

	if (kind < 0)
		return r < 0 ? r : bad(err, "event");
	e->kind = (enum logintalk_kind)kind;
	if (e->kind == LOGINTALK_CODE && read_code(o, &e->code) < 0)
		return bad(err, "code");
	if (e->kind == LOGINTALK_DONE && loginmsg_read(json_object_get(o, "login"), &e->login, err) < 0)
		return bad(err, "login");
	if ((e->kind == LOGINTALK_NOTE || e->kind == LOGINTALK_ERROR) && read_message(o, e->kind == LOGINTALK_ERROR, &e->error) < 0)
		return bad(err, "message");
	*ret = *e;
	return 0;
}

int logintalk_encode_event(const struct logintalk_event *e, struct buf *out)
{
	const char *event = event_names[e->kind];

	switch (e->kind) {
	case LOGINTALK_CODE:
		return emit(json_pack("{ss ss ss ss* sI}", "event", event, "user_code", e->code.user_code, "uri", e->code.uri,
				      "complete", e->code.complete[0] ? e->code.complete : NULL, "expires_in",
				      (json_int_t)e->code.expires_s),
			    "\n", out);
	case LOGINTALK_NOTE:
		return emit(json_pack("{ss ss}", "event", event, "message", e->error.msg), "\n", out);
	case LOGINTALK_DONE:
		return emit(json_pack("{ss so}", "event", event, "login", loginmsg_write(&e->login)), "\n", out);
	case LOGINTALK_ERROR:
		return emit(json_pack("{ss ss ss}", "event", event, "kind", err_kind_name(e->error.kind), "message", e->error.msg), "\n",
			    out);
	}
	return -EINVAL;
}
