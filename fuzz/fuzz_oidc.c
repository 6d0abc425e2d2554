/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_oidc: the same bytes as each of the documents that an issuer or a token service answers with. Every URL that is taken is https,
 * and nothing that goes into a header or onto a screen has a byte that does not belong there.
 */
#include <assert.h>
#include <string.h>

#include "wire/httpmsg.h"
#include "wire/oidc.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void url(const char *s)
{
	struct dest d;

	assert(!s[0] || (strncmp(s, "https://", 8) == 0 && oidc_url(s, &d) == 0 && d.host[0]));
}

static void documents(const char *text, size_t n)
{
	static struct oidc_issuer i;
	static struct oidc_device d;

	if (oidc_issuer_decode(text, n, "https://issuer.test", &i, NULL) == 0) {
		assert(strcmp(i.issuer, "https://issuer.test") == 0 && i.device[0] && i.token[0] && i.keys[0]);
		url(i.device);
		url(i.token);
		url(i.keys);
		url(i.revocation);
	}
	if (oidc_device_decode(text, n, &d, NULL) == 0) {
		url(d.uri);
		url(d.complete);
		assert(d.device_code[0] && httpmsg_is_value(d.user_code, strlen(d.user_code)));
		assert(d.expires_s >= 1 && d.expires_s <= OIDC_WAIT_MAX_S && d.interval_s >= 1 && d.interval_s <= OIDC_WAIT_MAX_S);
	}
}

static void tokens(const char *text, size_t n)
{
	static struct oidc_tokens t;
	static char token[OIDC_TOKEN];
	struct oidc_error e;

	if (oidc_tokens_decode(text, n, &t, NULL) == 0)
		assert(httpmsg_is_value(t.access, strlen(t.access)) && t.expires_s >= 0);
	if (oidc_registry_token_decode(text, n, token, NULL) == 0)
		assert(token[0] && httpmsg_is_value(token, strlen(token)));
	if (oidc_error_decode(text, n, &e, NULL) == 0)
		assert(e.code[0] && e.refusal <= OIDC_EXPIRED && strlen(e.description) < sizeof(e.description));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char s[1024];

	documents((const char *)bytes, n);
	tokens((const char *)bytes, n);
	if (n < sizeof(s)) {
		memcpy(s, bytes, n);
		s[n] = 0;
		(void)oidc_url(s, NULL);
	}
	return 0;
}
