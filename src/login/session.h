/* SPDX-License-Identifier: Apache-2.0
 *
 * session: one run of sbx-login: what it is asked, whom it may ask, and the two that it answers to: sbx, by events on standard output,
 * and the keeper, by a connection that sbx has bound to this sign-in, so that it can reach no other.
 */
#ifndef SBX_LOGIN_SESSION_H
#define SBX_LOGIN_SESSION_H

#include "login/http.h"
#include "wire/logintalk.h"

struct session {
	struct logintalk_request q;
	struct http *http; /* owned */
	int keeper;        /* borrowed: descriptor 4 */
};

/* --- to sbx; -errno where it is gone --- */
int session_say(const struct logintalk_event *e);
void session_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Waits; -EPIPE where sbx went away meanwhile. */
int session_wait(int64_t ms);

/* --- to the keeper; negative with err --- */
/* Stores user, email and expires of q.login with the secrets. */
int session_put(const struct session *s, const struct loginmsg_secrets *secrets, struct err *err);
int session_secrets(const struct session *s, struct loginmsg_secrets *ret, struct err *err);
int session_credential(const struct session *s, const struct dest *registry, struct loginmsg_credential *ret, struct err *err);

/* Runs what handles tokens, in memory that is wiped after it; both begin as zeros. */
typedef int session_tokens(struct session *s, struct oidc_tokens *t, struct loginmsg_secrets *k, struct err *err);
int session_with_tokens(struct session *s, session_tokens *run, struct err *err);

/* The operations: each ends with the event "done", which the caller sends, or with err. */
int session_device(struct session *s, struct err *err);
int session_password(struct session *s, struct err *err);
int session_check(struct session *s, struct err *err);
int session_revoke(struct session *s, struct err *err);

/* Seconds since 1970. */
int64_t session_now(void);

#endif
