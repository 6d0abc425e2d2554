/* SPDX-License-Identifier: Apache-2.0
 *
 * keyprog: one question to `sbx-keyring`, which fetches and keeps the key of the keeper's store (docs/secrets.md). Keys are 64
 * hexadecimal digits; wipe what holds one.
 */
#ifndef SBX_BASE_KEYPROG_H
#define SBX_BASE_KEYPROG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KEYPROG_KEY 65 /* with NUL */
#define KEYPROG_WAIT_MS 3000

struct keyprog_answer {
	char key[KEYPROG_KEY]; /* "": it had none to give */
	uint64_t expires_s;    /* of CLOCK_BOOTTIME; 0: never */
};

/* args: after the program's name, NULL-terminated, at most 6; input (n bytes, at most 4096) is its stdin. Within KEYPROG_WAIT_MS (a derivation
 * within a minute): ERR_TIMEOUT. Another error is what the program said, ERR_UNAVAILABLE. */
int keyprog_ask(const char *const *args, const char *input, size_t n, struct keyprog_answer *ret, struct err *err);

#endif
