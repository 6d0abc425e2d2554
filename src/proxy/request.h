/* SPDX-License-Identifier: Apache-2.0
 *
 * request: the heads of an exchange. A request is compared with the connection it came by; request and response lose what ends at this
 * hop. Nothing is added that would tell an origin of a proxy.
 */
#ifndef SBX_PROXY_REQUEST_H
#define SBX_PROXY_REQUEST_H

#include "policy/target.h"
#include "proxy/exchange.h"

struct request_fault {
	int status;
	const char *reason; /* static, for the log: "bad_request", "host_mismatch" */
	const char *text;   /* static, for a person */
};

/* Whether the request may be decided on: its target's form fits the connection, it is for the connection's destination. 0 and *ret, the
 * destination to decide by; or -EPROTO and *why. */
int request_check(const struct exchange_env *env, const struct httpmsg *m, struct dest *ret, struct request_fault *why);
/* Makes it what the origin gets. canonical: the path is sent in the canonical form (target). 0 or -ENOMEM, -EMSGSIZE. */
int request_clean(struct httpmsg *m, const struct target *target, bool canonical);
/* Whether repeating it cannot do harm (RFC 9110 9.2.2, of these only the safe ones). */
bool request_repeatable(const struct httpmsg *m);
/* Whether bytes may come as slowly as they like: gRPC and event streams. */
bool request_is_slow(const struct httpmsg *m);
/* Its Content-Type: "" where there is none; NULL where there are two, of which whoever reads it may take either. Borrowed. */
const char *request_type(const struct httpmsg *m);
/* Whether a body is not compressed: only such a one can be searched. */
bool request_is_plain(const struct httpmsg *m);
/* Leaves only what may stand behind a body. */
void request_clean_trailers(struct httpmsg *m);

#endif
