/* SPDX-License-Identifier: Apache-2.0
 *
 * sealed: see sealed.h. Enters: a file that anything may have happened to.
 */
#include "wire/sealed.h"

#include <errno.h>
#include <string.h>

static const char magic[] = "SBXSEAL1";

int sealed_decode(const uint8_t *bytes, size_t n, struct sealed *ret)
{
	if (n < SEALED_HEAD || memcmp(bytes, magic, SEALED_MAGIC_LEN) != 0)
		return -EBADMSG;
	if (n - SEALED_HEAD > SEALED_TEXT_MAX)
		return -EMSGSIZE;
	*ret = (struct sealed){ .nonce = bytes + SEALED_MAGIC_LEN,
				.tag = bytes + SEALED_MAGIC_LEN + SEALED_NONCE_LEN,
				.text = bytes + SEALED_HEAD,
				.n = n - SEALED_HEAD };
	return 0;
}

int sealed_begin(uint8_t *dst, size_t n, uint8_t **ret_nonce, uint8_t **ret_tag, uint8_t **ret_text)
{
	if (n > SEALED_TEXT_MAX)
		return -EMSGSIZE;
	memcpy(dst, magic, SEALED_MAGIC_LEN);
	*ret_nonce = dst + SEALED_MAGIC_LEN;
	*ret_tag = *ret_nonce + SEALED_NONCE_LEN;
	*ret_text = *ret_tag + SEALED_TAG_LEN;
	return 0;
}

int sealed_aad(const char *purpose, uint8_t dst[SEALED_MAGIC_LEN + SEALED_PURPOSE_MAX])
{
	size_t n = strlen(purpose);

	if (n == 0 || n > SEALED_PURPOSE_MAX)
		return -EINVAL;
	memcpy(dst, magic, SEALED_MAGIC_LEN);
	memcpy(dst + SEALED_MAGIC_LEN, purpose, n);
	return (int)(SEALED_MAGIC_LEN + n);
}
