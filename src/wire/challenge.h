/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge: the value of a WWW-Authenticate field (RFC 9110, 11.6.1): which schemes a server takes, and the parameters that
 * registries use (realm, service, scope: the distribution specification's token authentication). A field may hold several
 * challenges, and a response several fields. No I/O, no allocation.
 */
#ifndef SBX_WIRE_CHALLENGE_H
#define SBX_WIRE_CHALLENGE_H

#include <stddef.h>

#define CHALLENGE_MAX 8
#define CHALLENGE_TEXT 513

enum challenge_scheme { CHALLENGE_BASIC, CHALLENGE_BEARER, CHALLENGE_OTHER };

struct challenge {
	enum challenge_scheme scheme;
	char realm[CHALLENGE_TEXT], service[CHALLENGE_TEXT], scope[CHALLENGE_TEXT]; /* printable ASCII; "": not said */
};

struct challenges {
	struct challenge of[CHALLENGE_MAX];
	size_t n;
};

/* Adds the challenges of one field. -EINVAL: it is not of the form, has a byte that is not printable, a parameter twice, or
 * one that is too long; -E2BIG: more than CHALLENGE_MAX. list is then as it was. */
int challenge_add(struct challenges *list, const char *value, size_t n);
/* The first of a scheme; NULL. Borrowed from list. */
const struct challenge *challenge_find(const struct challenges *list, enum challenge_scheme scheme);

#endif
