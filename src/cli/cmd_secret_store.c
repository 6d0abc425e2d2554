/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_secret_store: `sbx secret protect`, `lock`, `unlock`, `reset`: how the secrets are kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/storekey.h"

#define PASSPHRASE_MAX 1024
#define PASSPHRASE_MIN 8

struct values {
	bool force;
	uint64_t timeout_s;
};

enum { KEY_FORCE = 'f', KEY_TIMEOUT = 0x100 };

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;
	uint64_t ms;

	if (key == KEY_FORCE) {
		v->force = true;
		return 0;
	}
	if (str_duration(arg, &ms) < 0 || ms < 1000 || ms / 1000 > UINT32_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "--timeout '%.60s' is no time of a second or more, such as 30m or 8h", arg);
	v->timeout_s = ms / 1000;
	return 0;
}

/* --- the passphrase --- */

static ssize_t read_once(struct cli *c, const char *prompt, char *dst)
{
	ssize_t n = isatty(STDIN_FILENO) ? ask_hidden(prompt, dst, PASSPHRASE_MAX + 3) : io_read_full(STDIN_FILENO, dst, PASSPHRASE_MAX + 3);

	if (n < 0)
		return err_errno(&c->err, (int)-n, "cannot read the passphrase");
	n = (ssize_t)ask_chomp(dst, (size_t)n);
	if (n == 0 || n > PASSPHRASE_MAX)
		return err_set(&c->err, ERR_INVALID, EINVAL, "a passphrase has 1 to %d bytes", PASSPHRASE_MAX);
	return n;
}

static ssize_t read_new(struct cli *c, char *dst)
{
	char again[PASSPHRASE_MAX + 3];
	ssize_t n = read_once(c, "New passphrase (not shown)", dst), m;

	if (n < 0)
		return n;
	if (n < PASSPHRASE_MIN)
		return err_set(&c->err, ERR_INVALID, EINVAL, "a new passphrase has at least %d bytes", PASSPHRASE_MIN);
	if (!isatty(STDIN_FILENO))
		return n;
	m = read_once(c, "Once more", again);
	if (m >= 0 && (m != n || memcmp(again, dst, (size_t)n) != 0))
		m = err_set(&c->err, ERR_INVALID, EINVAL, "they are not the same: nothing was changed");
	explicit_bzero(again, sizeof(again));
	return m;
}

/* --- protect --- */

static int protect_passphrase(struct cli *c)
{
	char pass[PASSPHRASE_MAX + 3];
	ssize_t n = read_new(c, pass);
	int r = n < 0 ? (int)n : storekey_protect_passphrase(c, pass, (size_t)n);

	explicit_bzero(pass, sizeof(pass));
	return r;
}

static int protect(struct cli *c, const struct cmd_args *a, void *values)
{
	const char *how = a->pos[0];
	const char *says;
	int r;

	if (str_eq(how, "service")) {
		r = storekey_protect_service(c);
		says = "encrypted; the key is in the Secret Service";
	} else if (str_eq(how, "passphrase")) {
		r = protect_passphrase(c);
		says = "encrypted with a passphrase; after a reboot: sbx secret unlock";
	} else if (str_eq(how, "none")) {
		r = storekey_protect_none(c);
		says = "not encrypted; only this user can read their files";
	} else {
		return err_set(&c->err, ERR_INVALID, EINVAL, "'%.60s' is no protection; they are service, passphrase, none", how);
	}
	if (r < 0)
		return r;
	(void)printf("The secrets are %s\n", says);
	return CMD_OK;
}

/* --- unlock and lock --- */

static int unlock_passphrase(struct cli *c, const struct storemsg_status *s, uint64_t timeout_s)
{
	char pass[PASSPHRASE_MAX + 3];
	ssize_t n = read_once(c, "Passphrase (not shown)", pass);
	int r = n < 0 ? (int)n : storekey_unlock_passphrase(c, s, pass, (size_t)n, timeout_s);

	explicit_bzero(pass, sizeof(pass));
	return r;
}

static int unlock(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	struct storemsg_status s;
	int r = storekey_status(c, &s);

	if (r < 0)
		return r;
	if (s.lock.protection == STOREMSG_PASSPHRASE) {
		r = unlock_passphrase(c, &s, v->timeout_s);
	} else if (v->timeout_s) {
		r = err_set(&c->err, ERR_INVALID, EINVAL, "--timeout is for secrets with a passphrase");
	} else if (s.lock.protection == STOREMSG_SERVICE) {
		r = s.locked ? storekey_unlock_service(c, &s) : 0;
	} else if (s.locked) {
		r = err_set(&c->err, ERR_UNAVAILABLE, ENOKEY, "%s", s.why);
	} else {
		(void)printf("The secrets are not encrypted\n");
		return CMD_OK;
	}
	if (r < 0)
		return r;
	(void)printf("The secrets are unlocked\n");
	return CMD_OK;
}

static int lock(struct cli *c, const struct cmd_args *a, void *values)
{
	struct storemsg_status s;
	int r = storekey_status(c, &s);

	if (r == 0)
		r = storekey_lock(c, &s);
	if (r < 0)
		return r;
	(void)printf("The secrets are locked, also for running sandboxes%s\n",
		     s.lock.protection == STOREMSG_SERVICE ? ", until the next sbx secret, run or exec" : "");
	return CMD_OK;
}

/* --- reset --- */

static int reset(struct cli *c, const struct cmd_args *a, void *values)
{
	int r;

	if (!((struct values *)values)->force) {
		r = ask_confirm(c, "--force", "sbx secret reset --force", "Delete all secrets, also those that cannot be read?",
				"the secrets are as they were");
		if (r < 0)
			return r;
	}
	r = storekey_reset(c);
	if (r < 0)
		return r;
	storekey_prepare(c);
	(void)printf("All secrets are deleted\n");
	return CMD_OK;
}

static const struct argp_option unlock_options[] = {
	{ "timeout", KEY_TIMEOUT, "TIME", 0, "Lock them again after this time (30m, 8h; default: at the next reboot)", 0 },
	{ 0 },
};

static const struct argp_option reset_options[] = {
	{ "force", KEY_FORCE, NULL, 0, "Do not ask", 0 },
	{ 0 },
};

const struct cmd cmd_secret_protect = {
	.name = "protect",
	.args = "{service|passphrase|none}",
	.summary = "Choose how the stored secrets are encrypted",
	.doc = "service: with a key in the Secret Service of your session (the default where there is one). passphrase: with one that\n"
	       "you give now, and to `sbx secret unlock` after each reboot. none: not at all; only your user can read the files.",
	.min_args = 1,
	.max_args = 1,
	.size = sizeof(struct values),
	.run = protect,
};

const struct cmd cmd_secret_unlock = {
	.name = "unlock",
	.args = "",
	.summary = "Give the passphrase of the secrets, or fetch their key again",
	.options = unlock_options,
	.size = sizeof(struct values),
	.option = option,
	.run = unlock,
};

const struct cmd cmd_secret_lock = {
	.name = "lock",
	.args = "",
	.summary = "Forget the key of the secrets until `sbx secret unlock`",
	.doc = "With a passphrase that is what unlocks them. A key in the Secret Service is fetched again by the next `sbx secret`, `run`\n"
	       "or `exec`: to keep it away, lock the keyring there, too.",
	.size = sizeof(struct values),
	.run = lock,
};

const struct cmd cmd_secret_reset = {
	.name = "reset",
	.args = "",
	.summary = "Delete all secrets, also those whose key is lost",
	.options = reset_options,
	.size = sizeof(struct values),
	.option = option,
	.run = reset,
};
