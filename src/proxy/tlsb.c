/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsb: see tlsb.h.
 */
#include "proxy/tlsb.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

struct session {
	TAILQ_ENTRY(session) link;
	struct dest dest;
	SSL_SESSION *session; /* ref */
};

struct tlsb {
	SSL_CTX *ctx; /* owned */
	int trust_fd; /* owned; -1: none, or read already */
	TAILQ_HEAD(sessions, session) sessions; /* the most recent first */
	size_t nsessions;
	struct dues *dues; /* borrowed */
};

/* --- sessions --- */

static void forget(struct tlsb *b, struct session *s)
{
	TAILQ_REMOVE(&b->sessions, s, link);
	b->nsessions--;
	SSL_SESSION_free(s->session);
	free(s);
}

static void forget_all(struct tlsb *b)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&b->sessions)))
		forget(b, s);
}

static struct session *find(struct tlsb *b, const struct dest *dest)
{
	struct session *s;

	TAILQ_FOREACH(s, &b->sessions, link)
		if (dest_equal(&s->dest, dest))
			return s;
	return NULL;
}

static void dest_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	free(ptr);
}

/* The index under which an SSL has its struct dest; for the life of the process. */
static int dest_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, dest_freed);
	return index;
}

/* Returns 1 where it keeps the reference. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tlsb *b = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct dest *dest = SSL_get_ex_data(ssl, dest_index());
	struct session *s = dest ? find(b, dest) : NULL;

	if (!dest || SSL_get_verify_result(ssl) != X509_V_OK)
		return 0;
	if (s) {
		SSL_SESSION_free(s->session);
		TAILQ_REMOVE(&b->sessions, s, link);
	} else if (!(s = calloc(1, sizeof(*s)))) {
		return 0;
	} else {
		s->dest = *dest;
		b->nsessions++;
	}
	s->session = session;
	TAILQ_INSERT_HEAD(&b->sessions, s, link);
	if (b->nsessions > TLSB_SESSIONS_MAX)
		forget(b, TAILQ_LAST(&b->sessions, sessions));
	return 1;
}

/* --- trust --- */

void tlsb_trust(struct tlsb *b, int fd)
{
	own_close_p(&b->trust_fd);
	b->trust_fd = fd;
	/* What an old store said is not true of the new one. */
	forget_all(b);
	SSL_CTX_set_cert_store(b->ctx, X509_STORE_new());
}

static int add_all(X509_STORE *store, const struct buf *pem)
{
	BIO *in = BIO_new_mem_buf(buf_bytes(pem), (int)buf_len(pem));
	X509 *x;
	int n = 0;

	while (in && (x = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, x);
		X509_free(x);
	}
	BIO_free(in);
	ERR_clear_error();
	return n;
}

static void load_trust(struct tlsb *b)
{
	struct buf pem;
	int r, n = 0;

	if (b->trust_fd < 0)
		return;
	buf_init(&pem, TLSB_TRUST_MAX);
	(void)lseek(b->trust_fd, 0, SEEK_SET);
	r = io_read_to_end(b->trust_fd, &pem);
	if (r >= 0)
		n = add_all(SSL_CTX_get_cert_store(b->ctx), &pem);
	buf_done(&pem);
	own_close_p(&b->trust_fd);
	if (n == 0)
		log_warn("event=trust error=\"no certificate could be read, every upstream certificate is refused\"");
}

/* --- life --- */

struct tlsb *tlsb_new(struct dues *dues)
{
	struct tlsb *b = calloc(1, sizeof(*b));

	if (!b || dest_index() < 0 || !(b->ctx = SSL_CTX_new(TLS_client_method()))) {
		free(b);
		return NULL;
	}
	b->trust_fd = -1;
	b->dues = dues;
	TAILQ_INIT(&b->sessions);
	tls_context(b->ctx);
	(void)SSL_CTX_set_app_data(b->ctx, b);
	SSL_CTX_set_verify(b->ctx, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_session_cache_mode(b->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(b->ctx, keep_session);
	return b;
}

void tlsb_free(struct tlsb *b)
{
	if (!b)
		return;
	forget_all(b);
	own_close_p(&b->trust_fd);
	SSL_CTX_free(b->ctx);
	free(b);
}

/* Whom the certificate must name, and what is told to the server about it. */
static int set_name(SSL *ssl, const struct dest *dest)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (dest->kind != DEST_NAME)
		return X509_VERIFY_PARAM_set1_ip(param, dest->addr, dest->kind == DEST_V4 ? 4 : 16) == 1 ? 0 : -ENOMEM;
	if (X509_VERIFY_PARAM_set1_host(param, dest->host, 0) != 1 || SSL_set_tlsext_host_name(ssl, dest->host) != 1)
		return -ENOMEM;
	return 0;
}

static int prepare(struct tlsb *b, SSL *ssl, const struct dest *dest, bool h2)
{
	static const uint8_t both[] = "\2h2\10http/1.1";
	const uint8_t *alpn = h2 ? both : both + 3;
	struct dest *mine = malloc(sizeof(*mine));
	struct session *s = find(b, dest);

	if (!mine || SSL_set_ex_data(ssl, dest_index(), mine) != 1) {
		free(mine);
		return -ENOMEM;
	}
	*mine = *dest;
	if (set_name(ssl, dest) < 0 || SSL_set_alpn_protos(ssl, alpn, (unsigned int)(both + sizeof(both) - 1 - alpn)) != 0)
		return -ENOMEM;
	if (s)
		(void)SSL_set_session(ssl, s->session);
	SSL_set_connect_state(ssl);
	return 0;
}

struct tls *tlsb_start(struct tlsb *b, const struct dest *dest, struct chan *below, bool h2, tls_done *done, void *user)
{
	SSL *ssl;

	load_trust(b);
	ssl = SSL_new(b->ctx);
	if (!ssl || prepare(b, ssl, dest, h2) < 0) {
		SSL_free(ssl);
		chan_free(below);
		return NULL;
	}
	return tls_start(b->dues, ssl, below, TLSB_HANDSHAKE_MS, done, user);
}
