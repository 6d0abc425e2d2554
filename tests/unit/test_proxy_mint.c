/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates from a keeper that this test plays: asked once per host, remembered, in order; a keeper that refuses, lies, is
 * silent or goes.
 */
#include "proxy/mint.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "unit.h"

struct answer {
	int calls, error;
	char name[64];
	struct world *again; /* asks for another host from within the callback */
	struct answer *second;
};

struct world {
	uv_loop_t loop;
	struct mint *mint;
	int keeper; /* our end */
	int lost;
	EVP_PKEY *ca;
};

static void on_lost(void *user)
{
	((struct world *)user)->lost++;
}

static struct dest host(const char *name)
{
	struct dest d;

	assert_int_equal(dest_make(name, strlen(name), 443, DEST_HTTPS, &d), DEST_OK);
	return d;
}

static void world_keeper(struct world *w)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	own_close_p(&w->keeper);
	w->keeper = fds[0];
	assert_int_equal(mint_keeper(w->mint, fds[1]), 0);
}

static void world_make(struct world *w)
{
	*w = (struct world){ .keeper = -1 };
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->ca = EVP_EC_gen("P-256");
	w->mint = mint_new(&w->loop, on_lost, w);
	assert_non_null(w->mint);
	assert_false(mint_ready(w->mint));
	world_keeper(w);
	assert_true(mint_ready(w->mint));
}

static void world_end(struct world *w)
{
	mint_free(w->mint);
	own_close_p(&w->keeper);
	EVP_PKEY_free(w->ca);
	assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void done(void *user, X509 *leaf, int error)
{
	struct answer *a = user;

	a->calls++;
	a->error = error;
	if (leaf)
		(void)X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, a->name, sizeof(a->name));
	if (a->again) {
		struct dest d = host("again.test");

		assert_non_null(mint_get(a->again->mint, &d, done, a->second));
	}
}

/* What the keeper is asked next; the name in dst, the key returned. */
static EVP_PKEY *asked(struct world *w, char *dst, size_t size)
{
	char text[4096];
	uint8_t der[512];
	const uint8_t *p = der;
	ssize_t n = recv(w->keeper, text, sizeof(text), MSG_DONTWAIT);
	json_t *root;
	const char *spki;
	EVP_PKEY *key;

	assert_true(n > 0);
	root = json_loadb(text, (size_t)n, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(root, "op")), "leaf");
	(void)snprintf(dst, size, "%s", json_string_value(json_object_get(root, "host")));
	spki = json_string_value(json_object_get(root, "spki"));
	assert_true(EVP_DecodeBlock(der, (const uint8_t *)spki, (int)strlen(spki)) > 0);
	key = d2i_PUBKEY(NULL, &p, sizeof(der));
	assert_non_null(key);
	json_decref(root);
	return key;
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(send(w->keeper, text, strlen(text), MSG_DONTWAIT), strlen(text));
}

static void give(struct world *w, const char *name, EVP_PKEY *key)
{
	X509 *x = X509_new();
	uint8_t *der = NULL, text[4096];
	char message[5000];
	int n;

	(void)X509_set_version(x, 2);
	(void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	(void)X509_set_pubkey(x, key);
	assert_true(X509_sign(x, w->ca, EVP_sha256()) > 0);
	n = i2d_X509(x, &der);
	assert_true(n > 0);
	(void)EVP_EncodeBlock(text, der, n);
	(void)snprintf(message, sizeof(message), "{\"ok\":true,\"cert\":\"%s\"}", (char *)text);
	say(w, message);
	OPENSSL_free(der);
	X509_free(x);
}

static void turn(struct world *w)
{
	(void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* The keeper signs for what it was asked. */
static void serve(struct world *w, const char *name)
{
	char got[256];
	EVP_PKEY *key = asked(w, got, sizeof(got));

	assert_string_equal(got, name);
	give(w, name, key);
	EVP_PKEY_free(key);
}

static void one_request_serves_all_who_wait(void **state)
{
	struct answer a = { 0 }, b = { 0 }, c = { 0 };
	struct dest one = host("one.test"), two = host("two.test");
	struct mint_wait *w2;
	struct world w;
	X509 *x;

	world_make(&w);
	assert_null(mint_find(w.mint, &one));
	assert_non_null(mint_get(w.mint, &one, done, &a));
	w2 = mint_get(w.mint, &one, done, &b);
	assert_non_null(mint_get(w.mint, &two, done, &c));
	serve(&w, "one.test");
	mint_cancel(w2);
	serve(&w, "two.test");
	assert_int_equal(recv(w.keeper, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	turn(&w);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.error, 0);
	assert_string_equal(a.name, "one.test");
	assert_int_equal(b.calls, 0);
	assert_string_equal(c.name, "two.test");
	x = mint_find(w.mint, &one);
	assert_non_null(x);
	X509_free(x);
	world_end(&w);
}

static void a_refusal_is_for_one_host(void **state)
{
	struct answer a = { 0 }, b = { 0 }, again = { 0 };
	struct dest one = host("one.test"), two = host("two.test");
	char name[64];
	struct world w;

	world_make(&w);
	a.again = &w;
	a.second = &again;
	assert_non_null(mint_get(w.mint, &one, done, &a));
	assert_non_null(mint_get(w.mint, &two, done, &b));
	EVP_PKEY_free(asked(&w, name, sizeof(name)));
	say(&w, "{\"error\":{\"kind\":\"denied\",\"message\":\"no\"}}");
	serve(&w, "two.test");
	turn(&w);
	assert_int_equal(a.error, -EACCES);
	assert_int_equal(b.error, 0);
	assert_int_equal(w.lost, 0);
	serve(&w, "again.test");
	turn(&w);
	assert_string_equal(again.name, "again.test");
	world_end(&w);
}

static void nonsense_loses_the_keeper(void **state)
{
	static const char *const lies[] = { "", "{", "[]", "{\"ok\":true}", "{\"ok\":true,\"cert\":7}", "{\"cert\":\"AAA\"}",
					    "{\"cert\":\"AAAA\"}", "{\"cert\":\"!!!!\"}", "{\"cert\":\"\",\"cert\":\"\"}" };

	for (size_t i = 0; i < ARRAY_LEN(lies) + 1; i++) {
		struct answer a = { 0 }, b = { 0 };
		struct dest one = host("one.test"), two = host("two.test");
		char name[64];
		struct world w;

		world_make(&w);
		assert_non_null(mint_get(w.mint, &one, done, &a));
		assert_non_null(mint_get(w.mint, &two, done, &b));
		EVP_PKEY_free(asked(&w, name, sizeof(name)));
		if (i < ARRAY_LEN(lies) && lies[i][0])
			say(&w, lies[i]);
		else if (i < ARRAY_LEN(lies))
			own_close_p(&w.keeper);
		else
			give(&w, "one.test", w.ca); /* a certificate for another key */
		turn(&w);
		assert_int_equal(a.error, -EPIPE);
		assert_int_equal(b.error, -EPIPE);
		assert_int_equal(w.lost, 1);
		assert_false(mint_ready(w.mint));
		/* Until there is a new one, nothing can be had; then everything. */
		a = (struct answer){ 0 };
		assert_non_null(mint_get(w.mint, &one, done, &a));
		assert_int_equal(a.calls, 0);
		(void)uv_run(&w.loop, UV_RUN_ONCE);
		assert_int_equal(a.error, -EPIPE);
		world_keeper(&w);
		assert_non_null(mint_get(w.mint, &one, done, &a));
		serve(&w, "one.test");
		turn(&w);
		assert_int_equal(a.calls, 2);
		assert_int_equal(a.error, 0);
		world_end(&w);
	}
}

static void an_unasked_reply_loses_the_keeper(void **state)
{
	struct world w;

	world_make(&w);
	say(&w, "{\"ok\":true}");
	turn(&w);
	assert_int_equal(w.lost, 1);
	world_end(&w);
}

static void the_cache_is_bounded_and_keeps_what_is_used(void **state)
{
	struct dest first = host("first.test");
	struct world w;

	world_make(&w);
	for (int i = -1; i <= MINT_CACHE; i++) {
		struct answer a = { 0 };
		struct dest d = first;
		char name[64] = "first.test";

		if (i >= 0) {
			(void)snprintf(name, sizeof(name), "h%d.test", i);
			d = host(name);
		}
		assert_non_null(mint_get(w.mint, &d, done, &a));
		serve(&w, name);
		turn(&w);
		assert_int_equal(a.error, 0);
		X509_free(mint_find(w.mint, &first));
	}
	{
		struct dest h0 = host("h0.test"), h1 = host("h2.test");
		X509 *x = mint_find(w.mint, &first), *y = mint_find(w.mint, &h1);

		assert_null(mint_find(w.mint, &h0));
		assert_non_null(x);
		assert_non_null(y);
		X509_free(x);
		X509_free(y);
	}
	world_end(&w);
}

static void only_so_many_wait(void **state)
{
	static struct answer a[MINT_PENDING_MAX];
	struct world w;
	struct dest one = host("one-more.test");

	world_make(&w);
	for (int i = 0; i < MINT_PENDING_MAX; i++) {
		char name[64];
		struct dest d;

		(void)snprintf(name, sizeof(name), "h%d.test", i);
		d = host(name);
		a[i] = (struct answer){ 0 };
		assert_non_null(mint_get(w.mint, &d, done, &a[i]));
	}
	assert_null(mint_get(w.mint, &one, done, &a[0]));
	/* The socket may have been full: what was not sent is sent as the keeper reads. */
	for (int i = 0; i < MINT_PENDING_MAX; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "h%d.test", i);
		serve(&w, name);
		turn(&w);
	}
	for (int i = 0; i < MINT_PENDING_MAX; i++)
		assert_true(a[i].calls == 1 && a[i].error == 0);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request_serves_all_who_wait),
		cmocka_unit_test(a_refusal_is_for_one_host),
		cmocka_unit_test(nonsense_loses_the_keeper),
		cmocka_unit_test(an_unasked_reply_loses_the_keeper),
		cmocka_unit_test(the_cache_is_bounded_and_keeps_what_is_used),
		cmocka_unit_test(only_so_many_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
