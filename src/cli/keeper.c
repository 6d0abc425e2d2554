/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: see keeper.h.
 */
#include "cli/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/ondemand.h"
#include "base/str.h"
#include "cli/api.h"
#include "wire/oauthmsg.h"
#include "cli/storekey.h"

#define READY_MS 5000
#define REPLY_S 5

int keeper_connect(struct cli *c)
{
	const struct timeval within = { .tv_sec = REPLY_S };
	int fd;

	if (env_ensure(c->dirs.state, &c->err) < 0 || env_ensure(c->dirs.runtime, &c->err) < 0)
		return err_code(&c->err);
	fd = ondemand_connect(&(struct ondemand){ .program = "sbx-keeper",
						  .name = "keeper",
						  .runtime_dir = c->dirs.runtime,
						  .socket = "keeper.sock",
						  .packets = true,
						  .state_dir = c->dirs.state,
						  .log = "keeper.log",
						  .ready_ms = READY_MS },
			      true, NULL, &c->err);
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof(within));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof(within));
	}
	return fd;
}

ssize_t keeper_exchange(struct cli *c, int fd, struct buf *out, int r, char *reply)
{
	ssize_t n = -1;

	if (r == 0 && fd >= 0 && send(fd, buf_bytes(out), buf_len(out), MSG_NOSIGNAL) >= 0)
		n = recv(fd, reply, KEEPERMSG_MAX_BYTES, 0);
	if (out->data)
		explicit_bzero(out->data, out->cap);
	buf_done(out);
	if (r < 0)
		return err_errno(&c->err, -r, "cannot write the request to sbx-keeper");
	if (fd < 0)
		return fd;
	return n > 0 ? n : err_set(&c->err, ERR_UNAVAILABLE, ECONNRESET, "sbx-keeper did not answer");
}

/* The same on a connection of its own. */
static ssize_t exchange(struct cli *c, struct buf *out, int r, char *reply)
{
	auto_fd int fd = r < 0 ? -1 : keeper_connect(c);

	return keeper_exchange(c, fd, out, r, reply);
}

static ssize_t ask(struct cli *c, const struct secretmsg_request *q, char *reply)
{
	struct buf out;

	buf_init(&out, KEEPERMSG_MAX_BYTES);
	return exchange(c, &out, secretmsg_encode(q, &out), reply);
}

int keeper_store(struct cli *c, const struct storemsg_request *q, struct storemsg_status *ret)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	struct buf out;
	ssize_t n;

	if (!reply)
		return err_errno(&c->err, ENOMEM, "the secrets");
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	n = exchange(c, &out, storemsg_encode(q, &out), reply);
	if (n < 0)
		return (int)n;
	return ret ? storemsg_decode_status(reply, (size_t)n, ret, &c->err) : secretmsg_decode_ok(reply, (size_t)n, &c->err);
}

int keeper_change(struct cli *c, const struct secretmsg_request *q)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	ssize_t n = reply ? ask(c, q, reply) : err_errno(&c->err, ENOMEM, "the secret");

	return n < 0 ? (int)n : secretmsg_decode_ok(reply, (size_t)n, &c->err);
}

bool keeper_holds(const struct cli *c, const char *document)
{
	static const char *const kinds[] = { "json", "enc" };
	char path[sizeof(c->dirs.state) + 64];
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds) && !any; i++) {
		(void)str_format(path, sizeof(path), "%s/keeper/secrets/%s.%s", c->dirs.state, document, kinds[i]);
		any = access(path, F_OK) == 0;
	}
	return any;
}

bool keeper_has_any(const struct cli *c)
{
	return keeper_holds(c, "secrets") || keeper_holds(c, "logins") || keeper_holds(c, "grants");
}

struct secretmsg_list *keeper_list(struct cli *c)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	struct secretmsg_list *l = calloc(1, sizeof(*l));
	ssize_t n;

	if (!reply || !l) {
		(void)err_errno(&c->err, ENOMEM, "the secrets");
	} else if (!keeper_has_any(c)) {
		return l;
	} else {
		n = ask(c, &(struct secretmsg_request){ .op = SECRETMSG_LIST }, reply);
		if (n >= 0 && secretmsg_decode_list(reply, (size_t)n, l, &c->err) == 0)
			return l;
	}
	free(l);
	return NULL;
}

static ssize_t ask_oauth(struct cli *c, const struct oauthmsg_request *q, char *reply)
{
	struct buf out;

	buf_init(&out, KEEPERMSG_MAX_BYTES);
	return exchange(c, &out, oauthmsg_encode(q, &out), reply);
}

int keeper_add_grants(struct cli *c, struct secretmsg_list *l)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	auto_free struct secretmsg_list *grants = calloc(1, sizeof(*grants));
	ssize_t n;

	if (!reply || !grants)
		return err_errno(&c->err, ENOMEM, "the secrets");
	if (!keeper_has_any(c))
		return 0;
	n = ask_oauth(c, &(struct oauthmsg_request){ .op = OAUTHMSG_LIST }, reply);
	if (n < 0 || secretmsg_decode_list(reply, (size_t)n, grants, &c->err) < 0)
		return err_code(&c->err);
	for (size_t i = 0; i < grants->n && l->n < SECRETMSG_LIST_MAX; i++)
		l->of[l->n++] = grants->of[i];
	return 0;
}

int keeper_share(struct cli *c, const char *service, const char *sandbox_id)
{
	auto_free char *reply = malloc(KEEPERMSG_MAX_BYTES);
	auto_free struct oauthmsg_request *q = calloc(1, sizeof(*q));
	ssize_t n;

	if (!reply || !q)
		return err_errno(&c->err, ENOMEM, "the sign-in");
	q->op = OAUTHMSG_SHARE;
	if (str_format(q->service, sizeof(q->service), "%s", service) < 0 ||
	    str_format(q->sandbox, sizeof(q->sandbox), "%s", sandbox_id) < 0)
		return err_set(&c->err, ERR_INVALID, ENAMETOOLONG, "the name is too long");
	n = ask_oauth(c, q, reply);
	return n < 0 ? (int)n : secretmsg_decode_ok(reply, (size_t)n, &c->err);
}

/* Own secrets first, so that they win. */
static void put_env(const struct secretmsg_list *l, const char *id, bool own, json_t *env)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct secretmsg_secret *s = &l->of[i];

		if (own ? !str_eq(s->sandbox, id) : s->sandbox[0] != 0)
			continue;
		for (size_t e = 0; e < s->nenv; e++)
			if (!json_object_get(env, s->env[e]))
				(void)json_object_set_new(env, s->env[e], json_string(s->placeholder));
	}
}

int keeper_env(struct cli *c, const char *sandbox, json_t *env)
{
	auto_free struct secretmsg_list *l = keeper_list(c);
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = l ? 0 : err_code(&c->err);

	if (r < 0 || l->n == 0)
		return r;
	storekey_fetch(c);
	r = api_target(c, target, sizeof(target), sandbox, "");
	if (r == 0)
		r = api_get(c, target, &v);
	if (r < 0)
		return r;
	put_env(l, cli_str(v, "id"), true, env);
	put_env(l, cli_str(v, "id"), false, env);
	return 0;
}
