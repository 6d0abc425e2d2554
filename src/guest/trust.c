/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: see trust.h. The copy in /usr/local/share/ca-certificates is what update-ca-certificates(8) takes up when it makes
 * the bundle anew, and at the next start it says what to take out of the bundle should the CA be another one by then.
 */
#include "guest/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/jks.h"

#define LOCAL_DIR "/usr/local/share/ca-certificates"
#define LOCAL_NAME "sbx.crt"
#define CERTS_DIR "/etc/ssl/certs"
#define BUNDLE_NAME "ca-certificates.crt"
#define BUNDLE_MAX (8 * 1024 * 1024)
#define JAVA_DIR "/etc/ssl/certs/java"
#define JAVA_NAME "cacerts"
#define JAVA_ALIAS "debian:sbx.pem" /* what ca-certificates-java calls CERTS_DIR/sbx.pem */
#define LINK_NAME "sbx.pem"
#define LINKS_MAX 10
#define BEGIN_LINE "-----BEGIN CERTIFICATE-----"
#define END_LINE "-----END CERTIFICATE-----"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* A line of base64 as in RFC 7468: 1-64 characters, padding only at its end. */
static bool is_base64_line(const char *s, size_t n)
{
	size_t chars = strspn(s, BASE64), pad = strspn(s + chars, "=");

	return n >= 1 && n <= 64 && chars + pad == n && pad <= 2 && n % 4 == 0;
}

static bool is_line(const char *s, size_t n, const char *wanted)
{
	return n == strlen(wanted) && memcmp(s, wanted, n) == 0;
}

bool trust_is_pem(const char *text)
{
	bool inside = false;
	size_t n, lines = 0, certificates = 0;

	if (strlen(text) > TRUST_PEM_MAX)
		return false;
	for (; *text; text += n + 1) {
		n = strcspn(text, "\n");
		if (text[n] != '\n')
			return false;
		if (!inside) {
			if (!is_line(text, n, BEGIN_LINE))
				return false;
			inside = true;
			lines = 0;
		} else if (is_line(text, n, END_LINE)) {
			if (lines == 0)
				return false;
			inside = false;
			certificates++;
		} else if (is_base64_line(text, n)) {
			lines++;
		} else {
			return false;
		}
	}
	return certificates > 0 && !inside;
}

char *trust_merge(const char *bundle, const char *old, const char *pem)
{
	const char *cut = old && *old ? strstr(bundle, old) : NULL;
	const char *rest = cut ? cut + strlen(old) : bundle;
	size_t head = cut ? (size_t)(cut - bundle) : 0;
	auto_free char *kept = str_new("%.*s%s", (int)head, bundle, rest);
	size_t n = kept ? strlen(kept) : 0;

	if (!kept)
		return NULL;
	if (strstr(kept, pem))
		return TAKE_PTR(kept);
	return str_new("%s%s%s", kept, n > 0 && kept[n - 1] != '\n' ? "\n" : "", pem);
}

/* Replaces dir/name where its content differs. */
static int put(const char *dir, const char *name, const char *old, const char *text, struct err *err)
{
	auto_fd int fd = -1;
	int r;

	if (old && str_eq(old, text))
		return 0;
	r = io_mkdirs(dir, 0755);
	if (r == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : io_write_file_whole(fd, name, text, strlen(text), 0644);
	}
	return r < 0 ? err_errno(err, -r, "cannot write %s/%s in the sandbox", dir, name) : 0;
}

bool trust_is_hash(const char *s)
{
	return strlen(s) == TRUST_HASH - 1 && strspn(s, "0123456789abcdef") == TRUST_HASH - 1;
}

/* One line's bytes; dst has room for 3 per 4 characters. */
static size_t from_base64(const char *line, size_t n, uint8_t *dst)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t j = 0; j < 4; j++) {
			const char *digit = line[i + j] == '=' ? BASE64 : strchr(BASE64, line[i + j]);

			v = v << 6 | (uint32_t)(digit - BASE64);
		}
		for (unsigned j = 0; j < 3; j++)
			if (line[i + j + 1] != '=')
				dst[at++] = (uint8_t)(v >> (16 - 8 * j));
	}
	return at;
}

int trust_java(const uint8_t *store, size_t n, const char *pem, int64_t now_ms, struct buf *out)
{
	struct jks_cert certs[JKS_CERTS_MAX];
	struct jks_change change = { .alias = JAVA_ALIAS, .certs = certs, .now_ms = now_ms };
	auto_free uint8_t *der = malloc(strlen(pem));
	uint8_t *start = der, *end = der;
	size_t line;

	if (!der)
		return -ENOMEM;
	for (; *pem; pem += line + 1) {
		line = strcspn(pem, "\n");
		if (is_line(pem, line, BEGIN_LINE)) {
			start = end;
		} else if (!is_line(pem, line, END_LINE)) {
			end += from_base64(pem, line, end);
		} else {
			if (change.ncerts == JKS_CERTS_MAX)
				return -E2BIG;
			certs[change.ncerts++] = (struct jks_cert){ start, (size_t)(end - start) };
		}
	}
	return jks_put(store, n, &change, out);
}

/* Into Debian's Java store, where there is one: 0 where that is none. */
static int put_java(const char *pem)
{
	auto_free char *store = NULL;
	auto_fd int dir = -1;
	struct timespec now;
	struct buf out;
	size_t n;
	int r = io_read_file(AT_FDCWD, JAVA_DIR "/" JAVA_NAME, BUNDLE_MAX, &store, &n);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	buf_init(&out, BUNDLE_MAX + TRUST_PEM_MAX);
	r = trust_java((const uint8_t *)store, n, pem, (int64_t)now.tv_sec * 1000, &out);
	if (r > 0) {
		dir = open(JAVA_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dir < 0 ? -errno : io_write_file_whole(dir, JAVA_NAME, buf_bytes(&out), buf_len(&out), 0644);
	}
	buf_done(&out);
	return r;
}

/* CERTS_DIR/HASH.N, the first N that is free; nothing where one of them is ours. */
static void link_hash(const char *hash)
{
	char path[sizeof(CERTS_DIR) + TRUST_HASH + 8], to[sizeof(LINK_NAME)];

	for (unsigned i = 0; hash[0] && i < LINKS_MAX; i++) {
		ssize_t n;

		(void)str_format(path, sizeof(path), "%s/%s.%u", CERTS_DIR, hash, i);
		if (symlink(LINK_NAME, path) == 0 || errno != EEXIST)
			return;
		n = readlink(path, to, sizeof(to));
		if (n == sizeof(LINK_NAME) - 1 && memcmp(to, LINK_NAME, sizeof(LINK_NAME) - 1) == 0)
			return;
	}
}

int trust_install(const char *pem, const char *hash, int *ret_java, struct err *err)
{
	auto_free char *bundle = NULL, *old = NULL, *merged = NULL;
	int r = io_read_file(AT_FDCWD, TRUST_BUNDLE, BUNDLE_MAX, &bundle, NULL);

	if (r < 0 && r != -ENOENT)
		return err_errno(err, -r, "cannot read %s in the sandbox", TRUST_BUNDLE);
	(void)io_read_file(AT_FDCWD, LOCAL_DIR "/" LOCAL_NAME, TRUST_PEM_MAX, &old, NULL);
	merged = trust_merge(bundle ? bundle : "", old && trust_is_pem(old) && !str_eq(old, pem) ? old : NULL, pem);
	if (!merged)
		return err_errno(err, ENOMEM, "certificates");
	r = put(CERTS_DIR, BUNDLE_NAME, bundle, merged, err);
	if (r == 0)
		r = put(LOCAL_DIR, LOCAL_NAME, old, pem, err);
	/* As update-ca-certificates makes them; ca-certificates-java looks here. */
	(void)!symlink(LOCAL_DIR "/" LOCAL_NAME, CERTS_DIR "/" LINK_NAME);
	link_hash(hash);
	*ret_java = r == 0 ? put_java(pem) : 0;
	return r;
}

static char *base64(const char *s)
{
	size_t n = strlen(s), at = 0;
	char *dst = malloc((n + 2) / 3 * 4 + 1);

	if (!dst)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(uint8_t)s[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)(uint8_t)s[i + 1] << 8;
		if (i + 2 < n)
			v |= (uint8_t)s[i + 2];
		dst[at++] = BASE64[v >> 18];
		dst[at++] = BASE64[v >> 12 & 63];
		dst[at++] = i + 1 < n ? BASE64[v >> 6 & 63] : '=';
		dst[at++] = i + 2 < n ? BASE64[v & 63] : '=';
	}
	dst[at] = 0;
	return dst;
}

int trust_vars(struct vars *v, const char *pem)
{
	static const char *const names[] = { "SSL_CERT_FILE",  "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
					     "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",      "PIP_CERT",
					     "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE" };
	auto_free char *coded = base64(pem);
	int r = coded ? vars_set(v, "PROXY_CA_CERT_B64", coded) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		r = vars_set(v, names[i], TRUST_BUNDLE);
	return r;
}
