/* SPDX-License-Identifier: Apache-2.0
 *
 * box: see box.h.
 */
#include "keeper/box.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "wire/sealed.h"

DEFINE_AUTO(cipher, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);

int box_random(uint8_t *dst, size_t n)
{
	return n <= INT_MAX && RAND_priv_bytes(dst, (int)n) == 1 ? 0 : -EIO;
}

void box_done(struct box_bytes *b)
{
	if (b->p)
		explicit_bzero(b->p, b->n);
	free(b->p);
	*b = (struct box_bytes){ 0 };
}

struct parts {
	uint8_t aad[SEALED_MAGIC_LEN + SEALED_PURPOSE_MAX];
	int aad_len;
	uint8_t *nonce, *tag, *out;
};

static bool seal(const uint8_t *key, const struct parts *p, const void *text, int n)
{
	auto_(cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len = 0;

	return c && EVP_EncryptInit_ex2(c, EVP_aes_256_gcm(), key, p->nonce, NULL) == 1 &&
	       EVP_EncryptUpdate(c, NULL, &len, p->aad, p->aad_len) == 1 && EVP_EncryptUpdate(c, p->out, &len, text, n) == 1 && len == n &&
	       EVP_EncryptFinal_ex(c, p->out + n, &len) == 1 && len == 0 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_LEN, p->tag) == 1;
}

static bool unseal(const uint8_t *key, const uint8_t *aad, int aad_len, const struct sealed *s, char *out)
{
	auto_(cipher) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len = 0;

	return c && EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), key, s->nonce, NULL) == 1 &&
	       EVP_DecryptUpdate(c, NULL, &len, aad, aad_len) == 1 &&
	       EVP_DecryptUpdate(c, (unsigned char *)out, &len, s->text, (int)s->n) == 1 && len == (int)s->n &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEALED_TAG_LEN, (void *)(uintptr_t)s->tag) == 1 &&
	       EVP_DecryptFinal_ex(c, (unsigned char *)out + s->n, &len) == 1 && len == 0;
}

int box_seal(const uint8_t key[BOX_KEY_LEN], const char *purpose, const void *text, size_t n, struct box_bytes *ret, struct err *err)
{
	struct parts p;
	auto_free uint8_t *bytes = n <= SEALED_TEXT_MAX ? malloc(SEALED_HEAD + n) : NULL;

	if (n > SEALED_TEXT_MAX)
		return err_set(err, ERR_UNAVAILABLE, EMSGSIZE, "%s: too long to be encrypted", purpose);
	p.aad_len = sealed_aad(purpose, p.aad);
	if (!bytes || p.aad_len < 0)
		return err_errno(err, bytes ? EINVAL : ENOMEM, "%s", purpose);
	(void)sealed_begin(bytes, n, &p.nonce, &p.tag, &p.out);
	if (box_random(p.nonce, SEALED_NONCE_LEN) < 0 || !seal(key, &p, text, (int)n))
		return err_set(err, ERR_INTERNAL, EIO, "%s cannot be encrypted", purpose);
	*ret = (struct box_bytes){ .p = (char *)TAKE_PTR(bytes), .n = SEALED_HEAD + n };
	return 0;
}

int box_open(const uint8_t key[BOX_KEY_LEN], const char *purpose, const void *bytes, size_t n, struct box_bytes *ret, struct err *err)
{
	uint8_t aad[SEALED_MAGIC_LEN + SEALED_PURPOSE_MAX];
	int aad_len = sealed_aad(purpose, aad);
	auto_box struct box_bytes text = { 0 };
	struct sealed s;

	if (aad_len < 0 || sealed_decode(bytes, n, &s) < 0)
		return err_set(err, ERR_INVALID, EBADMSG, "it is no encrypted document");
	text = (struct box_bytes){ .p = calloc(1, s.n + 1), .n = s.n };
	if (!text.p)
		return err_errno(err, ENOMEM, "%s", purpose);
	if (!unseal(key, aad, aad_len, &s, text.p))
		return err_set(err, ERR_DENIED, EKEYREJECTED, "it was changed, or encrypted with another key");
	text.p[s.n] = 0;
	*ret = text;
	text = (struct box_bytes){ 0 };
	return 0;
}
