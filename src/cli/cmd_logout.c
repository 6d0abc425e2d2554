/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_logout: `sbx logout`: removes sign-ins, and has an issuer revoke its tokens where it can; what it says to that changes nothing here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/login.h"

struct values {
	bool all;
};

static int option(void *values, int key, const char *arg, struct err *err)
{
	((struct values *)values)->all = true;
	return 0;
}

static void revoke_tokens(struct cli *c, const struct loginmsg_login *l)
{
	auto_free struct logintalk_request *q = calloc(1, sizeof(*q));
	auto_fd int keeper = q ? login_use(c, l->issuer) : -1;
	int r = -ENOMEM;

	if (q && keeper >= 0) {
		q->op = LOGINTALK_REVOKE;
		q->login = *l;
		r = login_run(c, q, keeper, -1);
	}
	if (r < 0)
		cli_say("The token was not revoked: %s", c->err.msg);
	c->err = (struct err){ 0 };
}

static int sign_out(struct cli *c, const struct loginmsg_login *l)
{
	char name[OIDC_URL];
	int r;

	loginmsg_name(l, name);
	if (l->issuer[0])
		revoke_tokens(c, l);
	r = login_remove(c, name);
	if (r == 0)
		(void)printf("Signed out of %s\n", name);
	return r;
}

/* By an issuer's URL, or by a registry. */
static int find(struct cli *c, const struct loginmsg_list *l, const char *arg, const struct loginmsg_login **ret)
{
	struct dest d = { 0 };
	int r = str_starts(arg, "https://") ? 0 : login_registry(c, "the registry", arg, &d);

	for (size_t i = 0; i < l->n && r == 0; i++) {
		const struct loginmsg_login *one = &l->of[i];

		if (d.host[0] ? !loginmsg_has_registry(one, &d) : !str_eq(one->issuer, arg))
			continue;
		if (d.host[0] && one->issuer[0]) {
			cli_hint(c, "sbx logout %s", one->issuer);
			return err_set(&c->err, ERR_CONFLICT, EBUSY, "%.200s uses the sign-in to %.200s", arg, one->issuer);
		}
		*ret = one;
		return 0;
	}
	return r < 0 ? r : err_set(&c->err, ERR_NOT_FOUND, ENOENT, "nobody is signed in to %.300s", arg);
}

static int choose(struct cli *c, const struct loginmsg_list *l, const char *arg, const struct loginmsg_login **ret)
{
	if (arg)
		return find(c, l, arg, ret);
	if (l->n == 0)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "nobody is signed in");
	if (l->n > 1) {
		cli_hint(c, "sbx login --status");
		return err_set(&c->err, ERR_INVALID, EINVAL, "there are %zu sign-ins: say of which to sign out, or --all", l->n);
	}
	*ret = &l->of[0];
	return 0;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_fd int lock = login_lock(c);
	auto_free struct loginmsg_list *l = lock < 0 ? NULL : login_list(c);
	const struct loginmsg_login *one = NULL;
	int r = 0;

	if (!l)
		return err_code(&c->err);
	if (v->all && a->npos)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--all leaves nothing to be named");
	for (size_t i = 0; v->all && i < l->n && r == 0; i++)
		r = sign_out(c, &l->of[i]);
	if (v->all)
		return r < 0 ? r : CMD_OK;
	r = choose(c, l, a->npos ? a->pos[0] : NULL, &one);
	if (r == 0)
		r = sign_out(c, one);
	return r < 0 ? r : CMD_OK;
}

static const struct argp_option options[] = {
	{ "all", 'a', NULL, 0, "Out of everything", 0 },
	{ 0 },
};

const struct cmd cmd_logout = {
	.name = "logout",
	.args = "[ISSUER|REGISTRY]",
	.summary = "Forget a sign-in, and revoke its token where the issuer can",
	.options = options,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
