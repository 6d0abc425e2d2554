/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: keeps a secret out of the response to the request that carried it. Looked for: the value, and its base64 (both alphabets) wherever it
 * begins in a longer encoded text; each as it is, and with any of its bytes escaped as JSON strings, percent-encoding or HTML write them. In heads a match becomes
 * the placeholder, in bodies as many asterisks as it has bytes. A server that means to betray its client's key has other ways (reversed,
 * hexadecimal): this is for servers that echo.
 */
#ifndef SBX_PROXY_SCRUB_H
#define SBX_PROXY_SCRUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/httpmsg.h"
#include "wire/secretmsg.h"

struct scrub;

/* NULL: out of memory. Copies what it needs; scrub_free wipes it. */
struct scrub *scrub_new(const struct secretmsg_injection *i);
void scrub_free(struct scrub *s);
/* Masks matches in n bytes; how many there were. */
size_t scrub_mask(const struct scrub *s, uint8_t *bytes, size_t n);
/* How many of n masked bytes may go on: what follows them could be the beginning of a match. */
size_t scrub_safe(const struct scrub *s, const uint8_t *bytes, size_t n);
/* A body: takes up to n bytes (0: full, until some were given), masked; *ret_found matches. What is ready may go on; the rest could be the
 * beginning of a match, unless the body has ended. -> how many bytes were taken. */
#define SCRUB_HELD (64U << 10)
size_t scrub_take(struct scrub *s, const uint8_t *bytes, size_t n, size_t *ret_found);
const uint8_t *scrub_ready(const struct scrub *s, size_t *ret_n);
void scrub_given(struct scrub *s, size_t n);
void scrub_end(struct scrub *s);
/* It has ended, and everything was given. */
bool scrub_is_over(const struct scrub *s);
/* The fields of a head or of trailers. How many were changed; negative: -ENOMEM, -EMSGSIZE. */
int scrub_head(const struct scrub *s, struct httpmsg *m);

#endif
