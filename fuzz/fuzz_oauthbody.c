/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_oauthbody: the bytes as a request to a token endpoint, JSON and form, as its answer, and as a token. A request that passes is still one after
 * the real token took its placeholder's place; an answer that passes has no token left in it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/oauthbody.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct oauthdef def = {
	.service = "x-oauth", .access = "sk-ant-oat01-proxy-managed", .refresh = "sk-ant-ort01-proxy-managed", .jwt = true,
	.fields = { "access_token", "refresh_token", "id_token" }, .claims = { "exp", "email" }, .nclaims = 2,
};
static struct oauthdef_list defs;
static struct secretmsg_list list;

static void request(const uint8_t *bytes, size_t n, const char *type, bool revoke)
{
	static const struct oauthmsg_begun real = { .ticket = 1, .access = { "real-access+token&" }, .refresh = { "real-refresh/token=" } };
	const struct oauthbody_known known = { &defs, &list };
	const struct oauthbody_bytes b = { type, bytes, n };
	struct oauthbody_fault why;
	struct oauthbody_ask a;
	struct buf out;

	if (oauthbody_read(&def, revoke, &b, &known, &a, &why) < 0) {
		assert(why.reason && why.text);
		return;
	}
	buf_init(&out, 1 << 20);
	assert(oauthbody_fill(&a, &b, &real, &out) == 0);
	if (a.purpose != OAUTHMSG_SIGN_IN) {
		const struct oauthbody_bytes filled = { type, buf_bytes(&out), buf_len(&out) };

		assert(oauthbody_read(&def, revoke, &filled, &known, &a, &why) < 0 && strcmp(why.reason, "foreign_credential") == 0);
	}
	buf_done(&out);
}

static void answer(const uint8_t *bytes, size_t n, int status)
{
	static const struct oauthmsg_given given = { "shown-access", "shown-refresh", "shown-id" };
	static struct oauthbody_tokens real;
	const struct oauthbody_bytes b = { "application/json", bytes, n };
	struct buf out;

	if (oauthbody_answer(&def, status, &b, &real) != OAUTHBODY_TOKENS)
		return;
	assert(status == 200 && real.access.s[0]);
	buf_init(&out, 1 << 21);
	if (!strstr("shown-access shown-refresh shown-id", real.access.s) && oauthbody_mask(&def, &b, &real, &given, &out) == 0)
		assert(!memmem(buf_bytes(&out), buf_len(&out), real.access.s, strlen(real.access.s)) || strpbrk(real.access.s, "\"{}:,"));
	buf_done(&out);
}

/* As a file, and as the token of one. */
static void expand(const char *text)
{
	static struct oauthmsg_given given = { .access = "shown-access", .refresh = "shown-refresh" };
	struct buf out;

	(void)snprintf(given.id, sizeof(given.id), "%s", text);
	buf_init(&out, 1 << 21);
	assert(oauthbody_expand(text, &given, &out) == 0);
	assert(strchr(text, '$') || (buf_len(&out) == strlen(text) && memcmp(buf_bytes(&out), text, buf_len(&out)) == 0));
	buf_done(&out);
	buf_init(&out, 1 << 21);
	assert(oauthbody_expand("\"${ID_TOKEN}\" ${ID_TOKEN exp} ${ID_TOKEN email a} ${ID_TOKEN email}", &given, &out) == 0);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static char shown[OAUTHMSG_SENTINEL_MAX + 1], token[4097];

	defs.of[0] = def;
	defs.n = 1;
	for (int revoke = 0; revoke < 2; revoke++) {
		request(bytes, n, "application/json", revoke);
		request(bytes, n, "application/x-www-form-urlencoded; charset=utf-8", revoke);
	}
	answer(bytes, n, 200);
	answer(bytes, n, 400);
	if (n < sizeof(token)) {
		memcpy(token, bytes, n);
		token[n] = 0;
		expand(token);
		if (oauthbody_sentinel(&def, token, true, shown) == 0)
			assert(strcmp(shown + strlen(shown) - strlen(def.access), def.access) == 0);
	}
	return 0;
}
