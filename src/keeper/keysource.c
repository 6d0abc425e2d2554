/* SPDX-License-Identifier: Apache-2.0
 *
 * keysource: see keysource.h.
 */
#include "keeper/keysource.h"

#include <string.h>

#include "base/keyprog.h"
#include "base/log.h"
#include "base/str.h"

static void fetch(struct store *s, const struct storemsg_lock *by)
{
	const char *args[] = { "get", by->protection == STOREMSG_SERVICE ? "service" : "kernel", by->id, NULL };
	struct keyprog_answer a = { 0 };
	uint8_t key[STOREMSG_KEY];
	struct err err = { 0 };
	int r = keyprog_ask(args, "", 0, &a, &err);

	if (r == 0)
		r = storemsg_unhex(a.key, sizeof(key), key);
	if (r == 0)
		r = store_unlock(s, key, a.expires_s, &err);
	explicit_bzero(&a, sizeof(a));
	explicit_bzero(key, sizeof(key));
	if (r == 0) {
		log_info("event=store_unlocked by=%s", storemsg_protection_name(by->protection));
		return;
	}
	log_warn("event=store_locked by=%s error=\"%s\"", storemsg_protection_name(by->protection), err.msg);
	store_lock(s, by->protection == STOREMSG_PASSPHRASE ? "the passphrase was not given since the last boot, or its time is over" : err.msg);
}

static void begin(struct store *s, const char *where)
{
	struct storemsg_lock by = { .protection = STOREMSG_SERVICE };
	struct keyprog_answer a = { 0 };
	uint8_t key[STOREMSG_KEY], id[(STOREMSG_ID - 1) / 2];
	struct err err = { 0 };
	char label[256];
	int r = box_random(id, sizeof(id));

	str_hex(by.id, id, sizeof(id));
	(void)str_format(label, sizeof(label), "sbx: key of the secrets in %.200s", where);
	if (r == 0)
		r = keyprog_ask((const char *const[]){ "new", by.id, label, NULL }, "", 0, &a, &err);
	if (r == 0)
		r = storemsg_unhex(a.key, sizeof(key), key);
	if (r == 0)
		r = store_protect(s, &by, key, &err);
	explicit_bzero(&a, sizeof(a));
	explicit_bzero(key, sizeof(key));
	if (r < 0)
		log_info("event=store_plain reason=\"%s\"", err.msg);
	else
		log_info("event=store_protected by=service");
}

void keysource_apply(struct store *s, const char *where)
{
	struct storemsg_status now;

	store_status(s, &now);
	if (now.lock.protection == STOREMSG_SERVICE || now.lock.protection == STOREMSG_PASSPHRASE)
		fetch(s, &now.lock);
	else if (now.lock.protection == STOREMSG_UNDECIDED && !now.locked)
		begin(s, where);
	else if (now.locked)
		log_error("event=store_broken error=\"%s\"", now.why);
}
