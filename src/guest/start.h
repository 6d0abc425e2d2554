/* SPDX-License-Identifier: Apache-2.0
 *
 * start: the START record of a session (wire/record.h), decoded and checked.
 */
#ifndef SBX_GUEST_START_H
#define SBX_GUEST_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "guest/vars.h"

#define START_ARGS_MAX 8192

struct start {
	char **argv; /* owned, NULL-terminated, at least one, the first not empty */
	struct vars env;
	char *cwd;  /* owned, absolute; NULL: the caller's default */
	char *user; /* owned, "agent" where absent */
	char *term; /* owned, "xterm-256color" where absent */
	bool tty;
	uint16_t rows, cols; /* 0 where absent */
};

/* n bytes of JSON. On failure *ret is empty. */
int start_parse(const void *json, size_t n, struct start *ret, struct err *err);
/* Whether it is a START that takes over a session: {"attach": id, "rows", "cols"}, id 0: the one that was attached last. 1, 0, or
 * negative with err. Only those of *ret are filled. */
int start_attach(const void *json, size_t n, json_int_t *ret_id, struct start *ret, struct err *err);
void start_done(struct start *s);

#endif
