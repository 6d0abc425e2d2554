/* SPDX-License-Identifier: Apache-2.0
 *
 * sealed: the container of a document that is encrypted at rest: where its parts lie, and nothing of the cryptography (keeper/box.h).
 *
 *   "SBXSEAL1"   8 bytes: kind and version
 *   nonce       12 bytes, random for each writing
 *   tag         16 bytes
 *   text         the ciphertext, as long as the plain text
 *
 * What the document is for is not in it: whoever opens it says so, and it is authenticated (sealed_aad). No I/O.
 */
#ifndef SBX_WIRE_SEALED_H
#define SBX_WIRE_SEALED_H

#include <stddef.h>
#include <stdint.h>

#define SEALED_MAGIC_LEN 8
#define SEALED_NONCE_LEN 12
#define SEALED_TAG_LEN 16
#define SEALED_HEAD (SEALED_MAGIC_LEN + SEALED_NONCE_LEN + SEALED_TAG_LEN)
#define SEALED_TEXT_MAX (1U << 20)
#define SEALED_PURPOSE_MAX 32

/* Borrowed from the bytes. */
struct sealed {
	const uint8_t *nonce, *tag, *text;
	size_t n; /* of text */
};

/* -EBADMSG: not such a container; -EMSGSIZE: too long. */
int sealed_decode(const uint8_t *bytes, size_t n, struct sealed *ret);
/* Writes the magic into dst, which has SEALED_HEAD + n bytes, and says where the rest goes. -EMSGSIZE. */
int sealed_begin(uint8_t *dst, size_t n, uint8_t **ret_nonce, uint8_t **ret_tag, uint8_t **ret_text);
/* What is authenticated beside the text: the magic and the purpose. Its length; -EINVAL where purpose is empty or too long. */
int sealed_aad(const char *purpose, uint8_t dst[SEALED_MAGIC_LEN + SEALED_PURPOSE_MAX]);

#endif
