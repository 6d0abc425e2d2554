/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_loginmsg: a message about sign-ins to sbx-keeper, the same bytes as each of its replies, and as what sbx and sbx-login say to
 * each other. What decodes encodes again to a message that decodes to the same.
 */
#include <assert.h>
#include <string.h>

#include "wire/httpmsg.h"
#include "wire/logintalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *text_of(const struct buf *b)
{
	return (const char *)buf_bytes(b);
}

static void request(const char *text, size_t n, struct buf *again)
{
	static struct loginmsg_request a, b;

	if (loginmsg_decode(text, n, &a, NULL) < 0)
		return;
	/* Escaped otherwise it may be longer than it came. */
	if (loginmsg_encode(&a, again) < 0)
		return;
	assert(loginmsg_decode(text_of(again), buf_len(again), &b, NULL) == 0);
	assert(a.op == b.op && strcmp(a.name, b.name) == 0 && strcmp(a.login.user, b.login.user) == 0 &&
	       a.login.nregistries == b.login.nregistries && strcmp(a.secrets.access, b.secrets.access) == 0 &&
	       strcmp(a.secrets.password, b.secrets.password) == 0 && dest_equal(&a.registry, &b.registry));
}

static void replies(const char *text, size_t n, struct buf *again)
{
	static struct loginmsg_list list, list2;
	static struct loginmsg_login login;
	static struct loginmsg_secrets secrets;
	static struct loginmsg_credential c;
	char name[OIDC_URL];

	if (loginmsg_decode_list(text, n, &list, NULL) == 0 && loginmsg_encode_list(&list, again) == 0) {
		assert(loginmsg_decode_list(text_of(again), buf_len(again), &list2, NULL) == 0 && list.n == list2.n);
		for (size_t i = 0; i < list.n; i++)
			assert(memcmp(&list.of[i], &list2.of[i], sizeof(list.of[i])) == 0);
	}
	if (loginmsg_decode_login(text, n, &login, NULL) == 0) {
		loginmsg_name(&login, name);
		assert(name[0] && (login.issuer[0] || login.nregistries == 1));
	}
	(void)loginmsg_decode_secrets(text, n, &secrets, NULL);
	if (loginmsg_decode_credential(text, n, &c, NULL) == 0)
		assert(httpmsg_is_value(c.authorization, strlen(c.authorization)));
}

static void talk(const char *text, size_t n, struct buf *again)
{
	static struct logintalk_request q, q2;
	static struct logintalk_event e, e2;

	if (logintalk_decode(text, n, &q, NULL) == 0 && logintalk_encode(&q, again) == 0) {
		assert(logintalk_decode(text_of(again), buf_len(again), &q2, NULL) == 0);
		assert(q.op == q2.op && strcmp(q.scope, q2.scope) == 0);
		buf_consume(again, buf_len(again));
	}
	if (logintalk_decode_event(text, n, &e, NULL) == 0 && logintalk_encode_event(&e, again) == 0) {
		assert(logintalk_decode_event(text_of(again), buf_len(again) - 1, &e2, NULL) == 0);
		assert(e.kind == e2.kind && strcmp(e.code.uri, e2.code.uri) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static void (*const each[])(const char *, size_t, struct buf *) = { request, replies, talk };

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		struct buf again;

		buf_init(&again, 4 * KEEPERMSG_MAX_BYTES);
		each[i]((const char *)bytes, n, &again);
		buf_done(&again);
	}
	return 0;
}
