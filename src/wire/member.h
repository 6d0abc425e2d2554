/* SPDX-License-Identifier: Apache-2.0
 *
 * member: members of a JSON object as text and numbers of bounded size, for decoders of what other hosts say. No I/O.
 */
#ifndef SBX_WIRE_MEMBER_H
#define SBX_WIRE_MEMBER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/own.h"

DEFINE_AUTO(member_root, json_t *, json_decref);

/* One JSON object of n bytes, no member twice, owned by the caller. -EINVAL; "WHAT is not a JSON object". */
int member_parse(const char *text, size_t n, const char *what, json_t **ret, struct err *err);
/* A string of printable ASCII and less than size bytes. 0; -ENOENT: absent or null, and dst is ""; -EINVAL. */
int member_text(const json_t *o, const char *key, char *dst, size_t size);
/* The same without blanks: what can stand in a header or a URL. */
int member_word(const json_t *o, const char *key, char *dst, size_t size);
/* A whole number from min to max; -ENOENT where it is absent and *ret as it was; -EINVAL. */
int member_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *ret);

#endif
