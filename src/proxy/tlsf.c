/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsf: see tlsf.h.
 */
#include "proxy/tlsf.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct tlsf {
	SSL_CTX *ctx;  /* owned */
	struct dues *dues;
	bool h2;
};

/* As SSL_select_next_proto, but a client that offers neither is refused: whatever it speaks is not what we read. */
static int choose_alpn(SSL *ssl, const uint8_t **ret, uint8_t *ret_n, const uint8_t *in, unsigned int n, void *arg)
{
	static const uint8_t h2[] = "\2h2", h1[] = "\10http/1.1";
	const uint8_t *found = NULL;
	bool allow_h2 = ((const struct tlsf *)arg)->h2;

	for (unsigned int i = 0; i < n && i + in[i] < n; i += in[i] + 1U) {
		if (allow_h2 && in[i] == h2[0] && memcmp(in + i, h2, 3) == 0) {
			found = in + i;
			break;
		}
		if (in[i] == h1[0] && memcmp(in + i, h1, 9) == 0)
			found = in + i;
	}
	if (!found)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret = found + 1;
	*ret_n = *found;
	return SSL_TLSEXT_ERR_OK;
}

/* The name was compared with the destination before TLS began (entry); this only has the extension acknowledged. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
	return SSL_TLSEXT_ERR_OK;
}

struct tlsf *tlsf_new(EVP_PKEY *key, struct dues *dues, bool h2)
{
	struct tlsf *f = calloc(1, sizeof(*f));

	if (!f || !(f->ctx = SSL_CTX_new(TLS_server_method())) || SSL_CTX_use_PrivateKey(f->ctx, key) != 1) {
		tlsf_free(f);
		return NULL;
	}
	f->dues = dues;
	f->h2 = h2;
	tls_context(f->ctx);
	(void)SSL_CTX_set_options(f->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	(void)SSL_CTX_set_cipher_list(f->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
	(void)SSL_CTX_set_ciphersuites(f->ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
	(void)SSL_CTX_set1_groups_list(f->ctx, "X25519:P-256:P-384");
	/* The CA is in the guest's store: a chain that OpenSSL looks for at each handshake would not be sent, either. */
	(void)SSL_CTX_set_mode(f->ctx, SSL_MODE_NO_AUTO_CHAIN);
	/* Tickets only: nothing of a session is kept here. */
	(void)SSL_CTX_set_session_cache_mode(f->ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(f->ctx, 1);
	(void)SSL_CTX_set_max_early_data(f->ctx, 0);
	SSL_CTX_set_alpn_select_cb(f->ctx, choose_alpn, f);
	(void)SSL_CTX_set_tlsext_servername_callback(f->ctx, accept_name);
	return f;
}

void tlsf_free(struct tlsf *f)
{
	if (!f)
		return;
	SSL_CTX_free(f->ctx);
	free(f);
}

struct tls *tlsf_start(struct tlsf *f, X509 *leaf, const struct dest *host, struct chan *below, tls_done *done, void *user)
{
	uint8_t context[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	SSL *ssl = SSL_new(f->ctx);

	if (!ssl || EVP_Digest(host->host, strlen(host->host), context, &n, EVP_sha256(), NULL) != 1 ||
	    SSL_set_session_id_context(ssl, context, n) != 1 || SSL_use_certificate(ssl, leaf) != 1) {
		SSL_free(ssl);
		chan_free(below);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return tls_start(f->dues, ssl, below, TLSF_HANDSHAKE_MS, done, user);
}

bool tls_is_h2(struct chan *c)
{
	const uint8_t *alpn = NULL;
	unsigned int n = 0;

	SSL_get0_alpn_selected(tls_ssl(c), &alpn, &n);
	return n == 2 && memcmp(alpn, "h2", 2) == 0;
}
