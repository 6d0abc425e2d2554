/* SPDX-License-Identifier: Apache-2.0
 *
 * ca: see ca.h. Enters: an id that was checked, a canonical host, a DER public key from the proxy, and our own file.
 */
#include "keeper/ca.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define DAY (INT64_C(24) * 3600)
#define CA_DAYS 730
#define CA_RENEW_DAYS 30
#define LEAF_DAYS 7
/* Clocks of guests may be behind. */
#define BACKDATE_DAYS 1
#define SECURE_HEAP (256U << 10)
#define SERIAL_BYTES 20
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096

struct ca_signed {
	unsigned char *body; /* owned */
	int body_len;
	uint8_t signature[128];
	size_t signature_len;
};

struct ca {
	char name[64];
	EVP_PKEY *key; /* owned */
	X509 *cert;    /* owned */
	EVP_MD_CTX *signs; /* owned; what each signature begins with: NULL at first */
	X509 *leaf;    /* owned; the last one, for the key spki: NULL at first, and after a failure */
	uint8_t spki[CA_SPKI_MAX];
	size_t spki_len;
};

DEFINE_AUTO(x509, X509 *, X509_free);
DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free);
DEFINE_AUTO(md, EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_AUTO(bio, BIO *, BIO_free_all);
DEFINE_AUTO(san, GENERAL_NAME *, GENERAL_NAME_free);
DEFINE_AUTO(sans, GENERAL_NAMES *, GENERAL_NAMES_free);

static int crypto_failed(struct err *err, const char *what)
{
	unsigned long e = ERR_get_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, EIO, "cannot %s: %s", what, why ? why : "OpenSSL does not say why");
}

static int64_t time_of(const int64_t *now)
{
	return now ? *now : (int64_t)time(NULL);
}

/* --- building a certificate --- */

static int set_serial(X509 *x)
{
	uint8_t n[SERIAL_BYTES];

	if (RAND_bytes(n, sizeof(n)) != 1)
		return 0;
	/* Positive, never zero, and always of the same length. */
	n[0] = (uint8_t)((n[0] & 0x7f) | 0x40);
	return ASN1_STRING_set(X509_get_serialNumber(x), n, sizeof(n));
}

static int set_times(X509 *x, int64_t from, int64_t to)
{
	return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from) && ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to);
}

static int set_name(X509_NAME *name, const char *cn)
{
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
}

static int extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	int ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

static int sign_it(X509 *x, EVP_PKEY *key)
{
	return X509_sign(x, key, EVP_sha256()) > 0;
}

static X509 *make_ca_cert(const char *name, EVP_PKEY *key, int64_t now)
{
	auto_(x509) X509 *x = X509_new();

	if (!x || !X509_set_version(x, X509_VERSION_3) || !set_serial(x) ||
	    !set_times(x, now - 2 * BACKDATE_DAYS * DAY, now + CA_DAYS * DAY) ||
	    !set_name(X509_get_subject_name(x), name) || !set_name(X509_get_issuer_name(x), name) ||
	    !X509_set_pubkey(x, key) || !extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(x, x, NID_key_usage, "critical,keyCertSign") || !extend(x, x, NID_ext_key_usage, "serverAuth") ||
	    !extend(x, x, NID_subject_key_identifier, "hash") || !sign_it(x, key))
		return NULL;
	return TAKE_PTR(x);
}

/* --- life --- */

int ca_setup(struct err *err)
{
	auto_(pkey) EVP_PKEY *key = NULL;
	auto_(x509) X509 *x = NULL;
	unsigned char warm[32];

	/* No openssl.cnf: nothing outside decides what is loaded. */
	if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
					 OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS,
				 NULL))
		return crypto_failed(err, "start OpenSSL");
	/* Where memory cannot be locked keys lie in ordinary memory, still wiped and kept out of dumps. */
	(void)CRYPTO_secure_malloc_init(SECURE_HEAP, 16);
	key = EVP_EC_gen("P-256");
	x = key && RAND_bytes(warm, sizeof(warm)) == 1 ? make_ca_cert("warm", key, (int64_t)time(NULL)) : NULL;
	return x && X509_verify(x, key) == 1 ? 0 : crypto_failed(err, "make a key");
}

static struct ca *alloc(const char *id, struct err *err)
{
	struct ca *ca = calloc(1, sizeof(*ca));

	if (ca)
		(void)str_format(ca->name, sizeof(ca->name), "sbx sandbox %s", id);
	else
		(void)err_errno(err, ENOMEM, "the sandbox's CA");
	return ca;
}

struct ca *ca_new(const char *id, const int64_t *now, struct err *err)
{
	auto_(ca) struct ca *ca = alloc(id, err);

	if (!ca)
		return NULL;
	ca->key = EVP_EC_gen("P-256");
	ca->cert = ca->key ? make_ca_cert(ca->name, ca->key, time_of(now)) : NULL;
	if (!ca->cert) {
		(void)crypto_failed(err, "make the sandbox's CA");
		return NULL;
	}
	return TAKE_PTR(ca);
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	EVP_MD_CTX_free(ca->signs);
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	X509_free(ca->leaf);
	free(ca);
}

bool ca_is_old(const struct ca *ca, const int64_t *now)
{
	int days, seconds;
	ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)(time_of(now) + CA_RENEW_DAYS * DAY));
	bool old = !at || !ASN1_TIME_diff(&days, &seconds, at, X509_get0_notAfter(ca->cert)) || days < 0 || seconds < 0;

	ASN1_TIME_free(at);
	return old;
}

int ca_renew(struct ca *ca, const int64_t *now, struct err *err)
{
	X509 *x = make_ca_cert(ca->name, ca->key, time_of(now));

	if (!x)
		return crypto_failed(err, "renew the sandbox's CA");
	X509_free(ca->cert);
	ca->cert = x;
	return 0;
}

/* --- files --- */

char *ca_memory(size_t n)
{
	return OPENSSL_secure_zalloc(n);
}

void ca_wipe(char *p, size_t n)
{
	OPENSSL_secure_clear_free(p, n);
}

static int bio_text(BIO *b, char *dst, size_t size)
{
	char *at = NULL;
	long n = BIO_get_mem_data(b, &at);

	if (n < 0 || (size_t)n >= size)
		return -EMSGSIZE;
	memcpy(dst, at, (size_t)n);
	dst[n] = 0;
	return (int)n;
}

int ca_save(const struct ca *ca, char *dst, size_t size)
{
	auto_(bio) BIO *b = BIO_new(BIO_s_secmem());

	if (!b || !PEM_write_bio_PrivateKey(b, ca->key, NULL, NULL, 0, NULL, NULL) || !PEM_write_bio_X509(b, ca->cert))
		return -ENOMEM;
	return bio_text(b, dst, size);
}

int ca_print(const struct ca *ca, char *dst, size_t size)
{
	auto_(bio) BIO *b = BIO_new(BIO_s_mem());

	if (!b || !PEM_write_bio_X509(b, ca->cert))
		return -ENOMEM;
	return bio_text(b, dst, size);
}

int ca_hash(const struct ca *ca, char *dst, size_t size)
{
	int ok = 0;
	unsigned long hash = X509_NAME_hash_ex(X509_get_subject_name(ca->cert), NULL, NULL, &ok);

	return ok ? str_format(dst, size, "%08lx", hash) : -ENOMEM;
}

static bool is_p256(EVP_PKEY *key)
{
	char group[32];
	size_t n;

	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) &&
	       OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

/* Whether it is the certificate that make_ca_cert makes of this name and key. */
static bool fits(const struct ca *ca)
{
	char cn[sizeof(ca->name)];

	return is_p256(ca->key) && X509_check_private_key(ca->cert, ca->key) && X509_check_ca(ca->cert) == 1 &&
	       X509_get_pathlen(ca->cert) == 0 && X509_verify(ca->cert, ca->key) == 1 &&
	       X509_NAME_get_text_by_NID(X509_get_subject_name(ca->cert), NID_commonName, cn, sizeof(cn)) > 0 &&
	       str_eq(cn, ca->name);
}

static int no_password(char *buf, int size, int rwflag, void *u)
{
	return -1;
}

struct ca *ca_load(const char *id, const char *pem, size_t n, struct err *err)
{
	auto_(ca) struct ca *ca = alloc(id, err);
	auto_(bio) BIO *b = n <= CA_PEM_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;

	if (!ca)
		return NULL;
	ca->key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
	ca->cert = ca->key ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
	if (!ca->cert || !fits(ca)) {
		ERR_clear_error();
		(void)err_set(err, ERR_INTERNAL, EBADMSG, "the file is not a CA of this sandbox");
		return NULL;
	}
	return TAKE_PTR(ca);
}

/* --- leaves --- */

/* What a TLS server of the proxy may use; anything else the keeper puts its name under would be a surprise. */
static EVP_PKEY *leaf_key(const uint8_t *spki, size_t n, struct err *err)
{
	const unsigned char *at = spki;
	auto_(pkey) EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)n);
	bool ok = key && at == spki + n;

	if (ok && EVP_PKEY_is_a(key, "RSA"))
		ok = EVP_PKEY_get_bits(key) >= RSA_BITS_MIN && EVP_PKEY_get_bits(key) <= RSA_BITS_MAX;
	else if (ok)
		ok = is_p256(key);
	if (!ok) {
		ERR_clear_error();
		(void)err_set(err, ERR_INVALID, EINVAL, "\"spki\" is no public key of P-256 or RSA");
		return NULL;
	}
	return TAKE_PTR(key);
}

static int set_host(X509 *x, const struct dest *host)
{
	auto_(sans) GENERAL_NAMES *names = GENERAL_NAMES_new();
	auto_(san) GENERAL_NAME *name = GENERAL_NAME_new();
	bool dns = host->kind == DEST_NAME;
	const void *bytes = dns ? (const void *)host->host : (const void *)host->addr;
	int n = dns ? (int)strlen(host->host) : host->kind == DEST_V4 ? 4 : 16;
	ASN1_STRING *s = dns ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();

	if (!names || !name || !s || !ASN1_STRING_set(s, bytes, n)) {
		ASN1_STRING_free(s);
		return 0;
	}
	GENERAL_NAME_set0_value(name, dns ? GEN_DNS : GEN_IPADD, s);
	if (sk_GENERAL_NAME_push(names, name) <= 0)
		return 0;
	name = NULL;
	/* Critical, as there is no subject (RFC 5280, 4.1.2.6). */
	return X509_add1_ext_i2d(x, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;
}

/* Not past the CA's end. */
static int set_leaf_times(X509 *x, const struct ca *ca)
{
	int64_t now = time_of(NULL);
	const ASN1_TIME *end = X509_get0_notAfter(ca->cert);

	if (!set_times(x, now - BACKDATE_DAYS * DAY, now + LEAF_DAYS * DAY))
		return 0;
	return ASN1_TIME_compare(X509_get0_notAfter(x), end) <= 0 || X509_set1_notAfter(x, end);
}

/* ecdsa-with-SHA256, as an AlgorithmIdentifier: every CA's key is of P-256. */
static const uint8_t algorithm[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };

/* Certificate ::= SEQUENCE { what was signed, algorithm, BIT STRING }. */
static int put_together(const struct ca_signed *s, struct ca_der *ret)
{
	int bits = (int)s->signature_len + 1, inner = s->body_len + (int)sizeof(algorithm) + ASN1_object_size(0, bits, V_ASN1_BIT_STRING);
	int n = ASN1_object_size(1, inner, V_ASN1_SEQUENCE);
	unsigned char *at = ret->bytes;

	if (inner < 0 || n < 0 || n > CA_DER_MAX)
		return 0;
	ASN1_put_object(&at, 1, inner, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(at, s->body, (size_t)s->body_len);
	at += s->body_len;
	memcpy(at, algorithm, sizeof(algorithm));
	at += sizeof(algorithm);
	ASN1_put_object(&at, 0, bits, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
	*at++ = 0; /* no bit of the last byte is unused */
	memcpy(at, s->signature, s->signature_len);
	ret->n = (size_t)n;
	return 1;
}

static bool begin_signing(struct ca *ca)
{
	if (ca->signs)
		return true;
	ca->signs = EVP_MD_CTX_new();
	if (ca->signs && EVP_DigestSignInit(ca->signs, NULL, EVP_sha256(), NULL, ca->key) == 1)
		return true;
	EVP_MD_CTX_free(TAKE_PTR(ca->signs));
	return false;
}

/* X509_sign and i2d_X509, which take twice as long: they ask for the algorithm anew and encode three times. */
static int sign_to(X509 *x, struct ca *ca, struct ca_der *ret)
{
	struct ca_signed s = { .signature_len = sizeof(s.signature) };
	auto_(md) EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok;

	if (!md || !begin_signing(ca) || EVP_MD_CTX_copy_ex(md, ca->signs) != 1)
		return 0;
	s.body_len = i2d_re_X509_tbs(x, &s.body);
	ok = s.body_len > 0 &&
	     EVP_DigestSign(md, s.signature, &s.signature_len, s.body, (size_t)s.body_len) == 1 && put_together(&s, ret);
	OPENSSL_free(s.body);
	return ok;
}

/* What is the same in all leaves of one key. Signed once, as that is what writes the algorithm into it. */
static X509 *make_leaf(const struct ca *ca, EVP_PKEY *key)
{
	auto_(x509) X509 *x = X509_new();

	if (!x || !X509_set_version(x, X509_VERSION_3) || !X509_set_issuer_name(x, X509_get_subject_name(ca->cert)) ||
	    !X509_set_pubkey(x, key) || !extend(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(x, ca->cert, NID_key_usage, "critical,digitalSignature") ||
	    !extend(x, ca->cert, NID_ext_key_usage, "serverAuth") ||
	    !extend(x, ca->cert, NID_authority_key_identifier, "keyid:always") || !sign_it(x, ca->key))
		return NULL;
	return TAKE_PTR(x);
}

/* A proxy has one key, and OpenSSL 3.0 takes ten times longer to decode and encode it than to sign. */
static int find_leaf(struct ca *ca, const uint8_t *spki, size_t n, struct err *err)
{
	EVP_PKEY *key;

	if (ca->leaf && n == ca->spki_len && memcmp(spki, ca->spki, n) == 0)
		return 0;
	X509_free(TAKE_PTR(ca->leaf));
	key = leaf_key(spki, n, err);
	if (!key)
		return err ? err_code(err) : -EINVAL;
	if (n <= sizeof(ca->spki)) {
		ca->leaf = make_leaf(ca, key);
		ca->spki_len = n;
		memcpy(ca->spki, spki, n);
	}
	EVP_PKEY_free(key);
	return ca->leaf ? 0 : crypto_failed(err, "make a certificate");
}

int ca_sign(struct ca *ca, const struct dest *host, const uint8_t *spki, size_t spki_len, struct ca_der *ret, struct err *err)
{
	int r = find_leaf(ca, spki, spki_len, err), at;
	X509 *x = ca->leaf;

	if (r < 0)
		return r;
	at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
	if (at >= 0)
		X509_EXTENSION_free(X509_delete_ext(x, at));
	if (set_serial(x) && set_leaf_times(x, ca) && set_host(x, host) && sign_to(x, ca, ret))
		return 0;
	X509_free(TAKE_PTR(ca->leaf));
	return crypto_failed(err, "sign a certificate");
}
