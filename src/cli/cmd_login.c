/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_login: `sbx login`: sign-ins to OpenID issuers and registries (docs/login.md). Nothing that sbx does on this machine needs one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/login.h"
#include "cli/table.h"

#define COLUMNS 4
#define CLIENT "sbx"

struct values {
	const char *issuer, *client, *scope, *user, *realm, *check;
	const char *registries[LOGINMSG_REGISTRIES_MAX];
	size_t nregistries;
	bool password, status, json;
};

enum { KEY_ISSUER = 0x100, KEY_CLIENT, KEY_SCOPE, KEY_REGISTRY, KEY_REALM, KEY_PASSWORD, KEY_CHECK, KEY_STATUS, KEY_JSON };

static int add_registry(struct values *v, const char *arg, struct err *err)
{
	if (v->nregistries == LOGINMSG_REGISTRIES_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "--registry may be given %d times", LOGINMSG_REGISTRIES_MAX);
	v->registries[v->nregistries++] = arg;
	return 0;
}

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	switch (key) {
	case KEY_ISSUER:
		v->issuer = arg;
		break;
	case KEY_CLIENT:
		v->client = arg;
		break;
	case KEY_SCOPE:
		v->scope = arg;
		break;
	case KEY_REGISTRY:
		return add_registry(v, arg, err);
	case KEY_REALM:
		v->realm = arg;
		break;
	case 'u':
		v->user = arg;
		break;
	case KEY_PASSWORD:
		v->password = true;
		break;
	case KEY_CHECK:
		v->check = arg;
		break;
	case KEY_STATUS:
		v->status = true;
		break;
	default:
		v->json = true;
	}
	return 0;
}

static int usage(struct cli *c, const char *why)
{
	cli_hint(c, "sbx login --help");
	return err_set(&c->err, ERR_INVALID, EINVAL, "%s", why);
}

static const char *who(const struct loginmsg_login *l)
{
	return l->email[0] ? l->email : l->user;
}

static int sign_in(struct cli *c, struct logintalk_request *q, int stdin_fd)
{
	auto_fd int keeper = login_begin(c, &q->login);
	char name[OIDC_URL];
	int r = keeper < 0 ? err_code(&c->err) : login_run(c, q, keeper, stdin_fd);

	if (r < 0)
		return r;
	loginmsg_name(&q->login, name);
	(void)printf("Signed in to %s as %s\n", name, who(&q->login));
	return CMD_OK;
}

/* --- an issuer --- */

static int at_issuer(struct cli *c, const struct cmd_args *a, const struct values *v, struct logintalk_request *q)
{
	struct loginmsg_login *l = &q->login;
	int r = 0;

	if (a->npos || v->user || v->password || v->realm)
		return usage(c, "--issuer goes with --client-id, --scope and --registry only");
	if (oidc_url(v->issuer, NULL) < 0)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--issuer '%.200s': it is no https URL", v->issuer);
	q->op = LOGINTALK_DEVICE;
	if (str_format(l->issuer, sizeof(l->issuer), "%s", v->issuer) < 0 ||
	    str_format(l->client, sizeof(l->client), "%s", v->client ? v->client : CLIENT) < 0 ||
	    str_format(q->scope, sizeof(q->scope), "%s", v->scope ? v->scope : "") < 0 || !l->client[0])
		return err_set(&c->err, ERR_INVALID, ENAMETOOLONG, "--client-id or --scope is too long, or empty");
	for (size_t i = 0; i < v->nregistries && r == 0; i++) {
		struct dest d;

		r = login_registry(c, "--registry", v->registries[i], &d);
		if (r == 0 && !loginmsg_has_registry(l, &d))
			l->registries[l->nregistries++] = d;
	}
	return r < 0 ? r : sign_in(c, q, -1);
}

/* --- a registry --- */

static int at_registry(struct cli *c, const struct cmd_args *a, const struct values *v, struct logintalk_request *q)
{
	struct loginmsg_login *l = &q->login;
	int r;

	if (!v->user || !v->password || a->npos != 1 || v->client || v->scope || v->nregistries)
		return usage(c, "for a registry say --username USER --password-stdin REGISTRY");
	if (!v->user[0] || strchr(v->user, ':') || str_format(l->user, sizeof(l->user), "%s", v->user) < 0)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--username is empty, too long, or has a colon");
	q->op = LOGINTALK_PASSWORD;
	l->nregistries = 1;
	r = login_registry(c, "the registry", a->pos[0], &l->registries[0]);
	if (r == 0 && v->realm)
		r = login_registry(c, "--realm", v->realm, &l->realm);
	return r < 0 ? r : sign_in(c, q, STDIN_FILENO);
}

static int check(struct cli *c, const struct values *v, struct logintalk_request *q)
{
	auto_fd int lock = login_lock(c), keeper = -1;
	auto_free struct loginmsg_list *l = lock < 0 ? NULL : login_list(c);
	char name[OIDC_URL], registry[DEST_PRINT_MAX];
	size_t i = 0;
	int r = l ? login_registry(c, "--check", v->check, &q->registry) : err_code(&c->err);

	if (r < 0)
		return r;
	dest_print(&q->registry, registry);
	while (i < l->n && !loginmsg_has_registry(&l->of[i], &q->registry))
		i++;
	if (i == l->n)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "nobody is signed in to %s", registry);
	q->op = LOGINTALK_CHECK;
	q->login = l->of[i];
	loginmsg_name(&q->login, name);
	keeper = login_use(c, name);
	r = keeper < 0 ? err_code(&c->err) : login_run(c, q, keeper, -1);
	if (r < 0)
		return r;
	(void)printf("%s accepts the credentials of %s\n", registry, who(&q->login));
	return CMD_OK;
}

/* --- list --- */

static char *registries_of(const struct loginmsg_login *l)
{
	char *text = str_new("%s", l->nregistries ? "" : "-");

	for (size_t i = 0; i < l->nregistries && text; i++) {
		char one[DEST_PRINT_MAX];
		char *longer;

		dest_print(&l->registries[i], one);
		longer = str_new("%s%s%s", text, i ? "," : "", one);
		free(text);
		text = longer;
	}
	return text;
}

static char *until(const struct loginmsg_login *l)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)l->expires;

	if (t == 0 || !gmtime_r(&t, &tm))
		return str_new("-");
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return str_new("%s%s", text, t <= time(NULL) ? " (over)" : "");
}

static int print_table(struct cli *c, const struct loginmsg_list *l)
{
	static const char *const heads[COLUMNS] = { "NAME", "USER", "REGISTRIES", "TOKEN UNTIL" };
	size_t rows = l->n + 1, i;
	char **cells = table_new(heads, rows, COLUMNS), name[OIDC_URL];

	for (i = 0; i < l->n && cells; i++) {
		char **row = cells + (i + 1) * COLUMNS;

		loginmsg_name(&l->of[i], name);
		row[0] = str_new("%s", name);
		row[1] = str_new("%s", who(&l->of[i]));
		row[2] = registries_of(&l->of[i]);
		row[3] = until(&l->of[i]);
	}
	return table_show(cells, rows, COLUMNS, &c->err);
}

static int list(struct cli *c, const struct values *v)
{
	auto_free struct loginmsg_list *l = login_list(c);
	auto_(json) json_t *all = json_array();

	if (!l)
		return err_code(&c->err);
	if (!v->json && l->n == 0)
		cli_say("Nobody is signed in, and nothing on this machine needs it: sbx login --help");
	if (!v->json)
		return l->n ? print_table(c, l) : CMD_OK;
	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(all, loginmsg_write(&l->of[i]));
	return cli_print_json(c, all) < 0 ? err_code(&c->err) : CMD_OK;
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_free struct logintalk_request *q = calloc(1, sizeof(*q));
	const struct values *v = values;

	if (!q)
		return err_errno(&c->err, ENOMEM, "the sign-in");
	if (v->issuer)
		return at_issuer(c, a, v, q);
	if (a->npos || v->user || v->password || v->realm)
		return at_registry(c, a, v, q);
	if (v->client || v->scope || v->nregistries)
		return usage(c, "--client-id, --scope and --registry need --issuer");
	return v->check ? check(c, v, q) : list(c, v);
}

static const struct argp_option options[] = {
	{ "issuer", KEY_ISSUER, "URL", 0, "Sign in to this OpenID issuer, by a code that you enter in a browser", 0 },
	{ "client-id", KEY_CLIENT, "ID", 0, "With --issuer: what it knows sbx as (default: " CLIENT ")", 0 },
	{ "scope", KEY_SCOPE, "WORDS", 0, "With --issuer: what is asked for (default: openid, email, offline_access, as far as it knows them)", 0 },
	{ "registry", KEY_REGISTRY, "HOST[:PORT]", 0, "With --issuer: this registry gets the token (several)", 0 },
	{ "username", 'u', "USER", 0, "Sign in to REGISTRY by password", 0 },
	{ "password-stdin", KEY_PASSWORD, NULL, 0, "With --username: read the password from standard input", 0 },
	{ "realm", KEY_REALM, "HOST[:PORT]", 0, "With --username: the registry's token service, which gets the password, too", 0 },
	{ "check", KEY_CHECK, "HOST[:PORT]", 0, "Ask this registry whether it accepts the credentials that are kept for it", 0 },
	{ "status", KEY_STATUS, NULL, 0, "Show who is signed in where (the default)", 0 },
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

const struct cmd cmd_login = {
	.name = "login",
	.args = "[REGISTRY]",
	.summary = "Sign in to an OpenID issuer or a registry, or show who is signed in",
	.doc = "Nothing on this machine needs it. Tokens and passwords go to sbx-keeper, and are shown to nobody but the\n"
	       "registries that the sign-in is for.",
	.options = options,
	.max_args = 1,
	.size = sizeof(struct values),
	.option = option,
	.run = run,
};
