/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: signatures of ID tokens, by OpenSSL: RS256 and ES256 (RFC 7518, 3.3 and 3.4).
 */
#ifndef SBX_LOGIN_VERIFY_H
#define SBX_LOGIN_VERIFY_H

#include "base/err.h"
#include "wire/jws.h"

/* Whether the first s->signed_len bytes of text were signed by one of the keys: the one that s names, or where it names none any
 * of its algorithm. 0, or -EACCES. */
int verify(const char *text, const struct jws *s, const struct jws_keys *keys, struct err *err);

#endif
