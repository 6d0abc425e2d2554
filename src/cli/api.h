/* SPDX-License-Identifier: Apache-2.0
 *
 * api: requests to sandboxd (docs/api.md). One connection per request: a command may think as long as it likes
 * between two of them. The first request of a process compares versions; a daemon of another version is replaced
 * (machines go on without it), unless the request was only looking.
 */
#ifndef SBX_CLI_API_H
#define SBX_CLI_API_H

#include <jansson.h>

#include "base/buf.h"
#include "cli/cmd.h"

enum {
	API_QUICK_MS = 10 * 1000,
	API_SLOW_MS = 5 * 60 * 1000,    /* create, rm */
	API_START_MS = 32 * 60 * 1000,  /* the daemon's own limit (daemon.bootTimeout, at most 30 min) comes first */
	API_BUILD_MS = 3 * 3600 * 1000, /* the base template over a slow mirror */
};

struct api_req {
	const char *method;
	const char *target;   /* encoded; see api_target */
	const json_t *body;   /* borrowed; NULL: none */
	int timeout_ms;       /* for the whole exchange; 0: API_QUICK_MS */
	bool only_look;       /* do not start or replace the daemon */
	bool once;            /* not sent again where a daemon that was just ending took it and said nothing */
	int *ret_status;      /* gets the HTTP status of a success; NULL: not wanted */
	/* A body of JSON lines: called per object, borrowed; a negative return ends the call with it. */
	int (*line)(void *user, const json_t *object);
	void *user;
};

/* Does the request. 0 and *ret (may be NULL: dropped; owned; JSON null for an empty body), or negative with c->err as the
 * daemon said it. */
int api_call(struct cli *c, const struct api_req *req, json_t **ret);
/* GET of a target. */
int api_get(struct cli *c, const char *target, json_t **ret);
/* "/v1/sandboxes/NAME" + suffix into dst, NAME encoded. */
int api_target(struct cli *c, char *dst, size_t size, const char *name, const char *suffix);
/* Ends the daemon that answers now and waits until it is gone. */
int api_shutdown(struct cli *c);

#endif
