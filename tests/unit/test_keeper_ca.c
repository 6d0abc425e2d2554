/* SPDX-License-Identifier: Apache-2.0
 *
 * CAs and their home: what is saved loads again, renewal keeps the key, nothing foreign is taken.
 */
#include "keeper/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "base/str.h"
#include "keeper/home.h"
#include "unit.h"

#define ID "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "01234567-89ab-cdef-0123-456789abcdee"
#define DAY (INT64_C(24) * 3600)

static char dir[256];

static int setup(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	return ca_setup(NULL);
}

static int teardown(void **state)
{
	unit_tmpdir_remove(dir);
	return 0;
}

static X509 *cert_of(const struct ca *ca)
{
	char pem[CA_PEM_MAX];
	BIO *b;
	X509 *x;

	assert_true(ca_print(ca, pem, sizeof(pem)) > 0);
	assert_null(strstr(pem, "PRIVATE"));
	b = BIO_new_mem_buf(pem, -1);
	x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	BIO_free(b);
	assert_non_null(x);
	return x;
}

/* Whether a client that trusts root takes leaf as a server's. */
static bool trusted(X509 *root, X509 *leaf)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok;

	assert_int_equal(X509_STORE_add_cert(store, root), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	assert_int_equal(X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER), 1);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
	ok = X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return ok;
}

static X509 *leaf_for(struct ca *ca, const char *host, EVP_PKEY *key)
{
	static struct ca_der der;
	const unsigned char *at = der.bytes;
	uint8_t *spki = NULL;
	int n = i2d_PUBKEY(key, &spki);
	struct dest d;
	X509 *x;

	assert_int_equal(dest_make(host, strlen(host), 1, DEST_HTTPS, &d), DEST_OK);
	assert_int_equal(ca_sign(ca, &d, spki, (size_t)n, &der, NULL), 0);
	x = d2i_X509(NULL, &at, (long)der.n);
	assert_non_null(x);
	assert_int_equal(at - der.bytes, (ptrdiff_t)der.n);
	assert_int_equal(X509_check_private_key(x, key), 1);
	OPENSSL_free(spki);
	return x;
}

static X509 *leaf_of(struct ca *ca, const char *host)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = leaf_for(ca, host, key);

	EVP_PKEY_free(key);
	return x;
}

/* One key, as a proxy has: each leaf is for its own host and no other. */
static void leaves_of_one_key(void **state)
{
	static const char *const hosts[] = { "a.test", "b.test", "192.0.2.1", "a.test" };
	auto_(ca) struct ca *ca = ca_new(ID, NULL, NULL);
	X509 *root = cert_of(ca), *leaf, *before = NULL;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		leaf = leaf_for(ca, hosts[i], i == 3 ? other : key);
		assert_true(trusted(root, leaf));
		assert_int_equal(X509_get_ext_count(leaf), 5);
		assert_int_equal(X509_check_host(leaf, "a.test", 0, 0, NULL), str_eq(hosts[i], "a.test"));
		assert_int_equal(X509_check_host(leaf, "b.test", 0, 0, NULL), str_eq(hosts[i], "b.test"));
		assert_int_equal(X509_check_ip_asc(leaf, "192.0.2.1", 0), str_eq(hosts[i], "192.0.2.1"));
		if (before)
			assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(before), X509_get0_serialNumber(leaf)), 0);
		X509_free(before);
		before = leaf;
	}
	X509_free(before);
	X509_free(root);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void save_and_load(void **state)
{
	auto_(ca) struct ca *ca = ca_new(ID, NULL, NULL), *again = NULL;
	char text[CA_PEM_MAX], text2[CA_PEM_MAX], *wrong;
	struct err err = { 0 };
	int n = ca_save(ca, text, sizeof(text));

	assert_true(n > 0);
	again = ca_load(ID, text, (size_t)n, NULL);
	assert_non_null(again);
	assert_int_equal(ca_save(again, text2, sizeof(text2)), n);
	assert_memory_equal(text, text2, (size_t)n);
	assert_null(ca_load(OTHER, text, (size_t)n, &err));
	assert_int_equal(err.kind, ERR_INTERNAL);
	for (int cut = 0; cut < n; cut += 13)
		assert_null(ca_load(ID, text, (size_t)cut, &err));
	assert_int_equal(ca_save(ca, text2, 100), -EMSGSIZE);
	/* The certificate of one, the key of another. */
	wrong = strstr(text, "-----BEGIN CERTIFICATE");
	again = (ca_free(again), ca_new(ID, NULL, NULL));
	assert_true(ca_save(again, text2, sizeof(text2)) > 0);
	*strstr(text2, "-----BEGIN CERTIFICATE") = 0;
	(void)snprintf(text2 + strlen(text2), sizeof(text2) - strlen(text2), "%s", wrong);
	assert_null(ca_load(ID, text2, strlen(text2), &err));
}

static void leaves(void **state)
{
	auto_(ca) struct ca *ca = ca_new(ID, NULL, NULL), *other = ca_new(OTHER, NULL, NULL);
	X509 *root = cert_of(ca), *foreign = cert_of(other), *leaf = leaf_of(ca, "a.test"), *again = leaf_of(ca, "a.test");
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);

	assert_true(trusted(root, leaf));
	assert_false(trusted(foreign, leaf));
	assert_int_equal(X509_check_host(leaf, "a.test", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(leaf, "b.a.test", 0, 0, NULL), 0);
	assert_int_equal(serial->type, V_ASN1_INTEGER);
	assert_int_equal(serial->length, 20);
	assert_true(serial->data[0] >= 0x40 && serial->data[0] < 0x80);
	assert_int_not_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(again)), 0);
	assert_int_equal(X509_check_ca(leaf), 0);
	X509_free(leaf);
	leaf = leaf_of(ca, "2001:db8::1");
	assert_true(trusted(root, leaf));
	assert_int_equal(X509_check_ip_asc(leaf, "2001:db8::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(leaf, "2001:db8::2", 0), 0);
	X509_free(leaf);
	leaf = leaf_of(ca, "192.0.2.1");
	assert_int_equal(X509_check_ip_asc(leaf, "192.0.2.1", 0), 1);
	X509_free(leaf);
	X509_free(again);
	X509_free(root);
	X509_free(foreign);
}

static void keys_that_are_not_signed(void **state)
{
	static const char *const groups[] = { "P-384", "secp256k1" };
	auto_(ca) struct ca *ca = ca_new(ID, NULL, NULL);
	static struct ca_der der;
	uint8_t spki[256], *made = NULL;
	struct err err = { 0 };
	struct dest d;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	int n = i2d_PUBKEY(key, &made);

	assert_int_equal(dest_make("a.test", 6, 1, DEST_HTTPS, &d), DEST_OK);
	memcpy(spki, made, (size_t)n);
	spki[n] = 0;
	assert_true(ca_sign(ca, &d, spki, (size_t)n + 1, &der, &err) < 0); /* a byte too many */
	for (int cut = 0; cut < n; cut++)
		assert_true(ca_sign(ca, &d, spki, (size_t)cut, &der, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	OPENSSL_free(made);
	EVP_PKEY_free(key);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		made = NULL;
		key = EVP_EC_gen(groups[i]);
		n = i2d_PUBKEY(key, &made);
		assert_true(ca_sign(ca, &d, made, (size_t)n, &der, &err) < 0);
		OPENSSL_free(made);
		EVP_PKEY_free(key);
	}
	assert_int_equal(der.n, 0);
}

static void renewed_when_a_month_is_left(void **state)
{
	int64_t now = (int64_t)time(NULL), old = now - 700 * DAY, edge = now - 729 * DAY;
	auto_(ca) struct ca *ca = ca_new(ID, &old, NULL), *ending = ca_new(ID, &edge, NULL);
	X509 *before = cert_of(ca), *after, *leaf = leaf_of(ca, "a.test"), *late, *last;

	assert_true(trusted(before, leaf));
	assert_false(ca_is_old(ca, &(int64_t){ now - DAY }));
	assert_true(ca_is_old(ca, &(int64_t){ now + DAY }));
	assert_int_equal(ca_renew(ca, NULL, NULL), 0);
	assert_false(ca_is_old(ca, &(int64_t){ now + 699 * DAY }));
	after = cert_of(ca);
	late = leaf_of(ca, "b.test");
	assert_int_not_equal(X509_cmp(before, after), 0);
	assert_true(trusted(after, leaf) && trusted(before, late) && trusted(after, late));
	/* A leaf does not outlive its CA. */
	last = leaf_of(ending, "c.test");
	X509_free(before);
	before = cert_of(ending);
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(last), X509_get0_notAfter(before)), 0);
	X509_free(before);
	X509_free(after);
	X509_free(leaf);
	X509_free(late);
	X509_free(last);
}

static void home_keeps_them(void **state)
{
	int64_t old = (int64_t)time(NULL) - 720 * DAY;
	struct home h = { .fd = -1, .ca = -1 };
	struct err err = { 0 };
	auto_(ca) struct ca *a = NULL, *b = NULL, *c = NULL;
	X509 *xa, *xb;

	assert_int_equal(home_open(&h, dir, &err), 0);
	a = home_ca(&h, ID, &old, &err);
	b = home_ca(&h, ID, &old, &err); /* 10 days left: renewed, which changes the file */
	assert_true(a && b);
	xa = cert_of(a);
	xb = cert_of(b);
	assert_int_equal(X509_cmp(xa, xb), 0);
	X509_free(xb);
	c = home_ca(&h, ID, NULL, &err);
	xb = cert_of(c);
	assert_int_not_equal(X509_cmp(xa, xb), 0);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(xa), X509_get0_pubkey(xb)), 1);
	X509_free(xa);
	X509_free(xb);
	assert_int_equal(fchmodat(h.ca, ID ".pem", 0644, 0), 0);
	assert_null(home_ca(&h, ID, NULL, &err));
	assert_int_equal(err.kind, ERR_DENIED);
	assert_int_equal(home_forget(&h, ID, &err), 0);
	assert_int_equal(home_forget(&h, ID, &err), 0);
	assert_int_equal(faccessat(h.ca, ID ".pem", F_OK, 0), -1);
	assert_int_equal(mkdirat(h.ca, ID ".pem", 0700), 0);
	assert_null(home_ca(&h, ID, NULL, &err));
	assert_int_equal(err.kind, ERR_DENIED);
	home_close(&h);
	assert_int_equal(h.ca, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(leaves),
		cmocka_unit_test(leaves_of_one_key),
		cmocka_unit_test(keys_that_are_not_signed),
		cmocka_unit_test(renewed_when_a_month_is_left),
		cmocka_unit_test(home_keeps_them),
	};

	return cmocka_run_group_tests_name("keeper_ca", tests, setup, teardown);
}
