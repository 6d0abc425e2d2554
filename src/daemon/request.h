/* SPDX-License-Identifier: Apache-2.0
 *
 * request: one request to the API and its answer. The server makes it, a handler of api/ answers it exactly once, now
 * or later, by request_reply, request_fail, or request_stream ... request_end; the handle dies with that. Where the
 * client has gone meanwhile the answer goes nowhere, and the handler need not know.
 */
#ifndef SBX_DAEMON_REQUEST_H
#define SBX_DAEMON_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "daemon/daemon.h"

#define REQUEST_BODY_MAX (1U << 20)
#define REQUEST_NAME_MAX 256

struct conn;

struct request {
	struct daemon *daemon; /* borrowed */
	struct conn *conn;     /* borrowed; NULL: the client has gone */
	char method[16];
	char path[4096];             /* without the query, still encoded */
	char name[REQUEST_NAME_MAX]; /* the decoded {name} of the path; "" where it has none */
	bool force;                  /* ?force=true */
	json_t *body;                /* owned object; empty where there was none */
	bool streaming;
};

/* status with a JSON body (its reference is taken; NULL: 500, out of memory), or none for 204. */
void request_reply(struct request *r, int status, json_t *body);
void request_empty(struct request *r);
/* The kind's status and {"error": ...}. */
void request_fail(struct request *r, const struct err *err);
/* 200 and one JSON object per line; a line that does not fit into what a slow client leaves is dropped unless it is
 * the last one. */
void request_stream(struct request *r);
void request_line(struct request *r, const json_t *line);
void request_end(struct request *r, const json_t *last);

/* server.c: frees without an answer. */
void request_free(struct request *r);

#endif
