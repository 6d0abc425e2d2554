/* SPDX-License-Identifier: Apache-2.0
 *
 * keyring: `sbx-keyring`, which lives for one question about a key: a program of its own so that the keeper, which it is asked by before
 * confinement, has no bus, and the command line no cryptography. Keys come and go by pipes, as 64 hexadecimal digits, and never
 * stand in an argument. Exit 0; 1 with a line on stderr; 2 usage.
 *
 *   get service|kernel ID      "KEY EXPIRES\n": seconds of CLOCK_BOOTTIME, 0: never
 *   new ID LABEL               makes a key and stores it in the Secret Service; prints it as get
 *   hold ID SECONDS            KEY from stdin into the kernel's keyring, 0: until the next reboot; prints EXPIRES
 *   drop service|kernel ID
 *   derive SALT N R P          a passphrase from stdin, to its end; prints its key (scrypt, RFC 7914) as get
 */
#include "keeper/keyring.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "keeper/box.h"
#include "keeper/ring.h"
#include "keeper/service.h"

#define PASSPHRASE_MAX 1024

DEFINE_AUTO(kdf, EVP_KDF *, EVP_KDF_free);
DEFINE_AUTO(kdf_ctx, EVP_KDF_CTX *, EVP_KDF_CTX_free);

static int show(const uint8_t key[STOREMSG_KEY], uint64_t expires_s, struct err *err)
{
	char line[2 * STOREMSG_KEY + 32];
	int r;

	str_hex(line, key, STOREMSG_KEY);
	(void)str_format(line + 2 * STOREMSG_KEY, 32, " %llu\n", (unsigned long long)expires_s);
	r = io_write_all(STDOUT_FILENO, line, strlen(line));
	explicit_bzero(line, sizeof(line));
	return r < 0 ? err_errno(err, -r, "cannot write the key") : 0;
}

static int get(char **argv, struct err *err)
{
	uint8_t key[STOREMSG_KEY];
	uint64_t expires_s = 0;
	int r = str_eq(argv[2], "service") ? service_get(argv[3], key, err) : ring_get(argv[3], key, &expires_s, err);

	if (r == 0)
		r = show(key, expires_s, err);
	explicit_bzero(key, sizeof(key));
	return r;
}

/* Read back: a service that forgets at once is none. */
static int make(char **argv, struct err *err)
{
	uint8_t key[STOREMSG_KEY], again[STOREMSG_KEY] = { 0 };
	int r = box_random(key, sizeof(key)) < 0 ? err_set(err, ERR_INTERNAL, EIO, "no random bytes") : service_put(argv[2], argv[3], key, err);

	if (r == 0)
		r = service_get(argv[2], again, err);
	if (r == 0 && memcmp(key, again, sizeof(key)) != 0)
		r = err_set(err, ERR_UNAVAILABLE, EAGAIN, "the Secret Service gives back another key than it was given");
	if (r == 0)
		r = show(key, 0, err);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(again, sizeof(again));
	return r;
}

static int hold(char **argv, struct err *err)
{
	char text[2 * STOREMSG_KEY + 1] = "";
	uint8_t key[STOREMSG_KEY];
	uint64_t seconds, expires_s;
	ssize_t n = io_read_full(STDIN_FILENO, text, sizeof(text) - 1);
	int r;

	if (n < 0 || storemsg_unhex(text, STOREMSG_KEY, key) < 0 || str_u64(argv[3], UINT32_MAX, &seconds) < 0)
		return err_set(err, ERR_INVALID, EINVAL, "no key on stdin, or no number of seconds");
	r = ring_put(argv[2], key, seconds, &expires_s, err);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(key, sizeof(key));
	if (r == 0 && printf("%llu\n", (unsigned long long)expires_s) < 0)
		r = err_errno(err, EIO, "cannot write");
	return r;
}

static int drop(char **argv, struct err *err)
{
	return str_eq(argv[2], "service") ? service_drop(argv[3], err) : ring_drop(argv[3], err);
}

static bool scrypt(const struct storemsg_kdf *k, char *pass, size_t n, uint8_t key[STOREMSG_KEY])
{
	auto_(kdf) EVP_KDF *f = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	auto_(kdf_ctx) EVP_KDF_CTX *c = f ? EVP_KDF_CTX_new(f) : NULL;
	uint64_t cost = k->n, most = UINT64_C(300) << 20;
	uint32_t r = k->r, p = k->p;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, pass, n),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)k->salt, sizeof(k->salt)),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &cost),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &most),
		OSSL_PARAM_construct_end(),
	};

	return c && EVP_KDF_derive(c, key, STOREMSG_KEY, params) == 1;
}

static int derive(char **argv, struct err *err)
{
	struct storemsg_kdf k;
	uint64_t v[3];
	char pass[PASSPHRASE_MAX + 1];
	uint8_t key[STOREMSG_KEY];
	ssize_t n;
	int r = storemsg_unhex(argv[2], STOREMSG_SALT, k.salt);

	for (int i = 0; i < 3 && r == 0; i++)
		r = str_u64(argv[3 + i], STOREMSG_KDF_N_MAX, &v[i]);
	if (r < 0)
		return err_set(err, ERR_INVALID, EINVAL, "no salt, or no numbers");
	k.n = (uint32_t)v[0];
	k.r = (uint32_t)v[1];
	k.p = (uint32_t)v[2];
	n = io_read_full(STDIN_FILENO, pass, sizeof(pass));
	if (n <= 0 || n > PASSPHRASE_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "a passphrase has 1 to %d bytes", PASSPHRASE_MAX);
	r = scrypt(&k, pass, (size_t)n, key) ? show(key, 0, err) : err_set(err, ERR_INTERNAL, EIO, "cannot make a key of the passphrase");
	explicit_bzero(pass, sizeof(pass));
	explicit_bzero(key, sizeof(key));
	return r;
}

int keyring_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int argc;
		bool where; /* its first argument is one of two */
		int (*run)(char **argv, struct err *err);
	} commands[] = {
		{ "get", 4, true, get }, { "new", 4, false, make }, { "hold", 4, false, hold }, { "drop", 4, true, drop }, { "derive", 6, false, derive },
	};
	const struct rlimit no_core = { 0 };
	struct err err = { 0 };

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (!str_eq(argv[1], commands[i].name) || argc != commands[i].argc ||
		    (commands[i].where && !str_eq(argv[2], "service") && !str_eq(argv[2], "kernel")))
			continue;
		if (commands[i].run(argv, &err) == 0)
			return fflush(stdout) == 0 ? 0 : 1;
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	(void)fprintf(stderr, "usage: sbx-keyring get|new|hold|drop|derive ...\n");
	return 2;
}
