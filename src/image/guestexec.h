/* SPDX-License-Identifier: Apache-2.0
 *
 * guestexec: a program in a running sandbox, through its supervisor's socket (wire/record.h), waited for. What it says is
 * a guest's: handed on as bytes, never interpreted here.
 */
#ifndef SBX_IMAGE_GUESTEXEC_H
#define SBX_IMAGE_GUESTEXEC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct guestexec {
	const char *socket;      /* the supervisor's */
	const char *user;        /* "root", "agent" */
	const json_t *argv;      /* borrowed */
	const json_t *env;       /* borrowed; NULL: what the sandbox has */
	unsigned timeout_ms;     /* for all of it */
	/* Bytes of stdout and stderr; negative ends it with that code (fill *err there). */
	int (*out)(void *arg, const uint8_t *bytes, size_t n, struct err *err);
	int (*says)(void *arg, const uint8_t *bytes, size_t n, struct err *err);
	/* About once a second. */
	void (*tick)(void *arg);
	void *arg;
};

/* Runs it to its end. *ret_status: its exit code, or 128 + the signal. A timeout, a signal to us, a lost connection and a
 * program that cannot be run are errors. */
int guestexec_run(const struct guestexec *g, int *ret_status, struct err *err);
/* A session that holds the machine up: starts `cat` and leaves it waiting. The descriptor is the session; -errno with err. */
int guestexec_hold(const char *socket, struct err *err);

#endif
