/* SPDX-License-Identifier: Apache-2.0
 *
 * storekey: see storekey.h. Keys pass through here from one program to the other, and are wiped.
 */
#include "cli/storekey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/keyprog.h"
#include "base/str.h"
#include "cli/keeper.h"

/* RFC 7914 parameters: 128 MiB, under a second. */
#define KDF_N 131072
#define KDF_R 8
#define KDF_P 1

int storekey_status(struct cli *c, struct storemsg_status *ret)
{
	return keeper_store(c, &(struct storemsg_request){ .op = STOREMSG_STATUS }, ret);
}

static bool has_key(const struct storemsg_lock *l)
{
	return l->protection == STOREMSG_SERVICE || l->protection == STOREMSG_PASSPHRASE;
}

/* Sends the request with a's key in it, and wipes a. */
static int send_key(struct cli *c, struct storemsg_request *q, struct keyprog_answer *a)
{
	int r = storemsg_unhex(a->key, sizeof(q->key), q->key);

	r = r < 0 ? err_set(&c->err, ERR_INTERNAL, EBADMSG, "sbx-keyring gave no key") : keeper_store(c, q, NULL);
	explicit_bzero(q->key, sizeof(q->key));
	return r;
}

int storekey_unlock_service(struct cli *c, const struct storemsg_status *s)
{
	struct storemsg_request q = { .op = STOREMSG_UNLOCK };
	struct keyprog_answer a = { 0 };
	int r = keyprog_ask((const char *const[]){ "get", "service", s->lock.id, NULL }, "", 0, &a, &c->err);

	if (r == -ENOKEY && strstr(c->err.msg, "any more"))
		cli_hint(c, "sbx secret reset");
	if (r == 0)
		r = send_key(c, &q, &a);
	explicit_bzero(&a, sizeof(a));
	return r;
}

static int derive(struct cli *c, const struct storemsg_kdf *k, const char *pass, size_t n, struct keyprog_answer *ret)
{
	char salt[2 * STOREMSG_SALT + 1], number[3][16];
	const uint32_t v[3] = { k->n, k->r, k->p };

	str_hex(salt, k->salt, sizeof(k->salt));
	for (size_t i = 0; i < 3; i++)
		(void)str_format(number[i], sizeof(number[i]), "%u", v[i]);
	return keyprog_ask((const char *const[]){ "derive", salt, number[0], number[1], number[2], NULL }, pass, n, ret, &c->err);
}

/* Without a kernel's keyring the keeper alone has the key, as long as it runs. */
static void hold(struct cli *c, const char *id, struct keyprog_answer *a, uint64_t seconds)
{
	struct keyprog_answer held = { 0 };
	struct err why = { 0 };
	char text[24];

	(void)str_format(text, sizeof(text), "%llu", (unsigned long long)seconds);
	if (keyprog_ask((const char *const[]){ "hold", id, text, NULL }, a->key, strlen(a->key), &held, &why) < 0)
		cli_say("sbx-keeper keeps the key only as long as it runs: %s", why.msg);
	else
		a->expires_s = held.expires_s;
}

static void drop(const struct storemsg_lock *l)
{
	struct keyprog_answer none;

	if (has_key(l))
		(void)keyprog_ask((const char *const[]){ "drop", l->protection == STOREMSG_SERVICE ? "service" : "kernel", l->id, NULL }, "", 0,
				  &none, NULL);
}

/* Held only once the keeper has said that it is the right one; then once more, for its end. */
int storekey_unlock_passphrase(struct cli *c, const struct storemsg_status *s, const char *pass, size_t n, uint64_t seconds)
{
	struct storemsg_request q = { .op = STOREMSG_UNLOCK };
	struct keyprog_answer a = { 0 };
	int r = derive(c, &s->lock.kdf, pass, n, &a);

	if (r == 0)
		r = send_key(c, &q, &a);
	if (r == 0) {
		hold(c, s->lock.id, &a, seconds);
		q.expires_s = a.expires_s;
		if (a.expires_s)
			r = send_key(c, &q, &a);
	}
	explicit_bzero(&a, sizeof(a));
	return r;
}

int storekey_lock(struct cli *c, const struct storemsg_status *s)
{
	int r = keeper_store(c, &(struct storemsg_request){ .op = STOREMSG_LOCK }, NULL);

	if (r == 0 && s->lock.protection == STOREMSG_PASSPHRASE)
		drop(&s->lock);
	return r;
}

/* --- another protection --- */

static int random_id(struct cli *c, char id[STOREMSG_ID])
{
	auto_free char *text = str_random_hex((STOREMSG_ID - 1) / 2);

	return text && str_format(id, STOREMSG_ID, "%s", text) == 0 ? 0 : err_set(&c->err, ERR_INTERNAL, EIO, "no random bytes");
}

/* The key of before goes once the new one is in force. */
static int protect(struct cli *c, struct storemsg_request *q, struct keyprog_answer *a)
{
	struct storemsg_status before;
	int r = storekey_status(c, &before);

	if (r == 0)
		r = has_key(&q->lock) ? send_key(c, q, a) : keeper_store(c, q, NULL);
	if (r == 0)
		drop(&before.lock);
	return r;
}

int storekey_protect_service(struct cli *c)
{
	struct storemsg_request q = { .op = STOREMSG_PROTECT, .lock.protection = STOREMSG_SERVICE };
	struct keyprog_answer a = { 0 };
	char label[256];
	int r = random_id(c, q.lock.id);

	(void)str_format(label, sizeof(label), "sbx: key of the secrets in %.200s", c->dirs.state);
	if (r == 0)
		r = keyprog_ask((const char *const[]){ "new", q.lock.id, label, NULL }, "", 0, &a, &c->err);
	if (r == 0 && (r = protect(c, &q, &a)) < 0)
		drop(&q.lock);
	explicit_bzero(&a, sizeof(a));
	return r;
}

int storekey_protect_passphrase(struct cli *c, const char *pass, size_t n)
{
	struct storemsg_request q = { .op = STOREMSG_PROTECT,
				      .lock = { .protection = STOREMSG_PASSPHRASE, .kdf = { .n = KDF_N, .r = KDF_R, .p = KDF_P } } };
	auto_free char *salt = str_random_hex(STOREMSG_SALT);
	struct keyprog_answer a = { 0 };
	int r = random_id(c, q.lock.id);

	if (r == 0 && (!salt || storemsg_unhex(salt, STOREMSG_SALT, q.lock.kdf.salt) < 0))
		r = err_set(&c->err, ERR_INTERNAL, EIO, "no random bytes");
	if (r == 0)
		r = derive(c, &q.lock.kdf, pass, n, &a);
	if (r == 0)
		r = protect(c, &q, &a);
	if (r == 0)
		hold(c, q.lock.id, &a, 0);
	explicit_bzero(&a, sizeof(a));
	return r;
}

int storekey_protect_none(struct cli *c)
{
	return protect(c, &(struct storemsg_request){ .op = STOREMSG_PROTECT, .lock.protection = STOREMSG_NONE }, NULL);
}

int storekey_reset(struct cli *c)
{
	struct storemsg_status before;
	int r = storekey_status(c, &before);

	if (r == 0)
		r = keeper_store(c, &(struct storemsg_request){ .op = STOREMSG_RESET }, NULL);
	if (r == 0)
		drop(&before.lock);
	return r;
}

void storekey_prepare(struct cli *c)
{
	struct storemsg_status s;
	struct err ignored = c->err;

	if (storekey_status(c, &s) == 0) {
		if (s.lock.protection == STOREMSG_SERVICE && s.locked)
			(void)storekey_unlock_service(c, &s);
		else if (s.lock.protection == STOREMSG_UNDECIDED && !s.locked)
			(void)storekey_protect_service(c);
	}
	c->err = ignored;
	c->hint[0] = 0;
}

void storekey_fetch(struct cli *c)
{
	struct storemsg_status s;
	struct err kept = c->err;

	if (storekey_status(c, &s) == 0 && s.locked &&
	    (s.lock.protection != STOREMSG_SERVICE || storekey_unlock_service(c, &s) < 0))
		cli_say("Requests to the hosts of secrets are refused: %s", s.why);
	c->err = kept;
	c->hint[0] = 0;
}

void storekey_describe(const struct storemsg_status *s, char *dst, size_t size)
{
	static const char *const texts[] = {
		[STOREMSG_UNDECIDED] = "in files that only this user can read; they are not encrypted (no Secret Service; sbx secret protect)",
		[STOREMSG_NONE] = "in files that only this user can read; they are not encrypted, by choice",
		[STOREMSG_SERVICE] = "encrypted; the key is in the Secret Service",
		[STOREMSG_PASSPHRASE] = "encrypted with a passphrase, which was given since the last boot",
	};

	(void)str_format(dst, size, "%s", s->locked ? s->why : texts[s->lock.protection]);
}
