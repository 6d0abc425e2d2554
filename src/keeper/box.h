/* SPDX-License-Identifier: Apache-2.0
 *
 * box: a document under a key: AES-256-GCM with a random nonce for each sealing (2^32 of them are safe), and the container's version and
 * the document's purpose authenticated with it, so that one document cannot stand in another's place. An older version of the same
 * document can: nothing here remembers the newest. Needs ca_setup where the key is to lie in secure memory; does no I/O.
 */
#ifndef SBX_KEEPER_BOX_H
#define SBX_KEEPER_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BOX_KEY_LEN 32

struct box_bytes {
	char *p; /* owned: box_done */
	size_t n;
};
/* Clears and frees. */
void box_done(struct box_bytes *b);
#define auto_box __attribute__((cleanup(box_done)))

/* purpose: at most SEALED_PURPOSE_MAX characters. */
int box_seal(const uint8_t key[BOX_KEY_LEN], const char *purpose, const void *text, size_t n, struct box_bytes *ret, struct err *err);
/* A zero byte follows the text. ERR_DENIED, -EKEYREJECTED: another key, another purpose, or changed bytes; which of them cannot be told.
 * ERR_INVALID, -EBADMSG: no such container. */
int box_open(const uint8_t key[BOX_KEY_LEN], const char *purpose, const void *bytes, size_t n, struct box_bytes *ret, struct err *err);
/* Random bytes; -EIO. */
int box_random(uint8_t *dst, size_t n);

#endif
