/* SPDX-License-Identifier: Apache-2.0
 *
 * session: see session.h.
 */
#include "login/session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "wire/secretmsg.h"

int64_t session_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

int session_say(const struct logintalk_event *e)
{
	struct buf out;
	int r;

	buf_init(&out, LOGINTALK_MAX_BYTES + 1);
	r = logintalk_encode_event(e, &out);
	if (r == 0)
		r = io_write_all(STDOUT_FILENO, buf_bytes(&out), buf_len(&out));
	buf_done(&out);
	return r;
}

void session_note(const char *fmt, ...)
{
	struct logintalk_event e = { .kind = LOGINTALK_NOTE };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e.error.msg, sizeof(e.error.msg), fmt, ap);
	va_end(ap);
	(void)session_say(&e);
}

int session_wait(int64_t ms)
{
	uint64_t end = io_now_ms() + (uint64_t)ms, now;
	/* A pipe that nobody reads any more says so unasked. */
	struct pollfd p = { .fd = STDOUT_FILENO };

	while ((now = io_now_ms()) < end)
		if (poll(&p, 1, (int)(end - now)) > 0)
			return -EPIPE;
	return 0;
}

/* --- the keeper --- */

/* One request and its reply, which the caller wipes in any case. */
static int ask(const struct session *s, const struct loginmsg_request *q, struct buf *reply, struct err *err)
{
	struct buf out;
	uint8_t *at;
	ssize_t n = -1;
	int r;

	buf_init(reply, KEEPERMSG_MAX_BYTES);
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	at = buf_reserve(reply, KEEPERMSG_MAX_BYTES);
	r = at ? loginmsg_encode(q, &out) : -ENOMEM;
	if (r == 0 && send(s->keeper, buf_bytes(&out), buf_len(&out), MSG_NOSIGNAL) >= 0)
		n = recv(s->keeper, at, KEEPERMSG_MAX_BYTES, 0);
	http_wipe(&out);
	if (r < 0)
		return err_errno(err, -r, "cannot write the request to sbx-keeper");
	if (n <= 0)
		return err_set(err, ERR_UNAVAILABLE, ECONNRESET, "sbx-keeper did not answer");
	buf_commit(reply, (size_t)n);
	return 0;
}

int session_put(const struct session *s, const struct loginmsg_secrets *secrets, struct err *err)
{
	struct loginmsg_request *q = calloc(1, sizeof(*q));
	struct buf reply;
	int r;

	if (!q)
		return err_errno(err, ENOMEM, "the sign-in");
	q->op = LOGINMSG_PUT;
	q->login = s->q.login;
	q->secrets = *secrets;
	r = ask(s, q, &reply, err);
	if (r == 0)
		r = secretmsg_decode_ok((const char *)buf_bytes(&reply), buf_len(&reply), err);
	http_wipe(&reply);
	explicit_bzero(q, sizeof(*q));
	free(q);
	return r;
}

int session_secrets(const struct session *s, struct loginmsg_secrets *ret, struct err *err)
{
	auto_free struct loginmsg_request *q = calloc(1, sizeof(*q));
	struct buf reply;
	int r;

	if (!q)
		return err_errno(err, ENOMEM, "the sign-in");
	q->op = LOGINMSG_SECRETS;
	r = ask(s, q, &reply, err);
	if (r == 0)
		r = loginmsg_decode_secrets((const char *)buf_bytes(&reply), buf_len(&reply), ret, err);
	http_wipe(&reply);
	return r;
}

int session_credential(const struct session *s, const struct dest *registry, struct loginmsg_credential *ret, struct err *err)
{
	auto_free struct loginmsg_request *q = calloc(1, sizeof(*q));
	struct buf reply;
	int r;

	if (!q)
		return err_errno(err, ENOMEM, "the sign-in");
	q->op = LOGINMSG_CREDENTIAL;
	q->registry = *registry;
	r = ask(s, q, &reply, err);
	if (r == 0)
		r = loginmsg_decode_credential((const char *)buf_bytes(&reply), buf_len(&reply), ret, err);
	http_wipe(&reply);
	return r;
}

int session_with_tokens(struct session *s, session_tokens *run, struct err *err)
{
	struct loginmsg_secrets *k = calloc(1, sizeof(*k));
	struct oidc_tokens *t = calloc(1, sizeof(*t));
	int r = k && t ? run(s, t, k, err) : err_errno(err, ENOMEM, "the tokens");

	if (k)
		explicit_bzero(k, sizeof(*k));
	if (t)
		explicit_bzero(t, sizeof(*t));
	free(k);
	free(t);
	return r;
}
