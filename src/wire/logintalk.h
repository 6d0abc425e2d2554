/* SPDX-License-Identifier: Apache-2.0
 *
 * logintalk: what sbx asks of sbx-login, one JSON object, and what sbx-login says meanwhile, one JSON object per line. Secrets
 * are in neither.
 *
 *   {"op":"device","login":LOGIN,"scope":"..."|null}     asks the issuer, waits, hands the tokens to the keeper
 *   {"op":"password","login":LOGIN}                      the password comes on standard input
 *   {"op":"check","login":LOGIN,"registry":"HOST:PORT"}  shows the credential to this registry
 *   {"op":"revoke","login":LOGIN}
 *
 *   {"event":"code","user_code":"...","uri":"...","complete":"..."|null,"expires_in":N}
 *   {"event":"note","message":"..."}
 *   {"event":"done","login":LOGIN}                       the last one where it went well
 *   {"event":"error","kind":"...","message":"..."}       the last one where it did not
 *
 * LOGIN as in loginmsg.h. Decoding is strict; what a person will see is printable ASCII. No I/O.
 */
#ifndef SBX_WIRE_LOGINTALK_H
#define SBX_WIRE_LOGINTALK_H

#include "wire/loginmsg.h"

#define LOGINTALK_MAX_BYTES 32768 /* of a request, and of a line */
#define LOGINTALK_SCOPE 513

enum logintalk_op { LOGINTALK_DEVICE, LOGINTALK_PASSWORD, LOGINTALK_CHECK, LOGINTALK_REVOKE };

struct logintalk_request {
	enum logintalk_op op;
	struct loginmsg_login login;
	char scope[LOGINTALK_SCOPE]; /* device; "": whatever is usual */
	struct dest registry;        /* check */
};

enum logintalk_kind { LOGINTALK_CODE, LOGINTALK_NOTE, LOGINTALK_DONE, LOGINTALK_ERROR };

struct logintalk_event {
	enum logintalk_kind kind;
	struct oidc_device code;     /* code: without device_code and interval */
	struct loginmsg_login login; /* done */
	struct err error;            /* error; note: the message only */
};

/* -EINVAL with err; ret untouched then. */
int logintalk_decode(const char *json, size_t n, struct logintalk_request *ret, struct err *err);
int logintalk_encode(const struct logintalk_request *q, struct buf *out);
int logintalk_decode_event(const char *json, size_t n, struct logintalk_event *ret, struct err *err);
/* With the line's end. */
int logintalk_encode_event(const struct logintalk_event *e, struct buf *out);

#endif
