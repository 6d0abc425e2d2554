/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_secret: `sbx secret`, what programs in sandboxes authenticate with and never see. A value comes from standard input, a variable
 * or another program, never from the command line, which other processes can read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/io.h"
#include "base/spawn.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/ask.h"
#include "cli/keeper.h"
#include "cli/services.h"
#include "cli/storekey.h"
#include "cli/table.h"

#define COLUMNS 5
#define COMMAND_MS 120000 /* somebody may have to type something */
#define WAIT_MS 5000

struct values {
	bool global, json;
	const char *host, *env, *placeholder, *header, *format, *path, *basic, *command, *from_env, *query, *body, *from;
};

enum { KEY_GLOBAL = 'g', KEY_JSON = 0x100, KEY_HOST, KEY_ENV, KEY_PLACEHOLDER, KEY_HEADER, KEY_FORMAT, KEY_PATH, KEY_BASIC, KEY_COMMAND, KEY_FROM_ENV, KEY_QUERY, KEY_BODY, KEY_FROM };

static int option(void *values, int key, const char *arg, struct err *err)
{
	struct values *v = values;

	switch (key) {
	case KEY_GLOBAL:
		v->global = true;
		break;
	case KEY_JSON:
		v->json = true;
		break;
	case KEY_HOST:
		v->host = arg;
		break;
	case KEY_ENV:
		v->env = arg;
		break;
	case KEY_PLACEHOLDER:
		v->placeholder = arg;
		break;
	case KEY_HEADER:
		v->header = arg;
		break;
	case KEY_FORMAT:
		v->format = arg;
		break;
	case KEY_BASIC:
		v->basic = arg;
		break;
	case KEY_COMMAND:
		v->command = arg;
		break;
	case KEY_FROM_ENV:
		v->from_env = arg;
		break;
	case KEY_QUERY:
		v->query = arg;
		break;
	case KEY_BODY:
		v->body = arg;
		break;
	case KEY_FROM:
		v->from = arg;
		break;
	default:
		v->path = arg;
	}
	return 0;
}

/* --- whose --- */

static int find_id(struct cli *c, const char *name, char dst[KEEPERMSG_ID])
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "");

	if (r == 0)
		r = api_get(c, target, &v);
	if (r == 0 && (str_format(dst, KEEPERMSG_ID, "%s", cli_str(v, "id")) < 0 || !keepermsg_id_ok(dst)))
		r = err_set(&c->err, ERR_INTERNAL, EINVAL, "sandboxd's answer has no id");
	return r;
}

/* "-g NAME" or "SANDBOX NAME": the scope into q, and the secret's name. */
static int scope(struct cli *c, const struct cmd_args *a, const struct values *v, struct secretmsg_request *q, const char **ret_name)
{
	*ret_name = a->pos[a->npos - 1];
	if (v->global == (a->npos == 1))
		return v->global ? 0 : find_id(c, a->pos[0], q->secret.sandbox);
	cli_hint(c, "sbx secret %s -g %s", q->op == SECRETMSG_RM ? "rm" : "set", *ret_name);
	return err_set(&c->err, ERR_INVALID, EINVAL, "say for whom: -g for all sandboxes, or a sandbox's name before the secret's");
}

/* --- the value --- */

static ssize_t typed(const char *name, char *dst, size_t size)
{
	char prompt[SECRETMSG_NAME + 32];

	(void)str_format(prompt, sizeof(prompt), "Value of %s (not shown)", name);
	return ask_hidden(prompt, dst, size);
}

/* Up to its end, or until there is too much, or too late. */
static ssize_t gather(int fd, char *dst, size_t size)
{
	uint64_t until = io_now_ms() + COMMAND_MS;
	size_t n = 0;

	for (;;) {
		uint64_t now = io_now_ms();
		int r = now >= until ? 0 : poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)(until - now));
		ssize_t got;

		if (r == 0)
			return -ETIMEDOUT;
		got = r < 0 ? -1 : read(fd, dst + n, size - n);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return (ssize_t)n;
		n += got > 0 ? (size_t)got : 0;
		if (n == size)
			return -EMSGSIZE;
	}
}

/* What a command of the user's prints. It has our stdin and stderr: it may ask. */
static ssize_t printed(struct cli *c, const char *command, char *dst, size_t size)
{
	auto_fd int pidfd = -1, out = -1;
	int fds[2], status = 0, r;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(&c->err, errno, "cannot make a pipe");
	out = fds[0];
	r = spawn_start(&(struct spawn){ .path = "/bin/sh",
					 .argv = (const char *const[]){ "sh", "-c", command, NULL },
					 .stdin_fd = STDIN_FILENO,
					 .stdout_fd = fds[1],
					 .stderr_fd = -1,
					 .die_with_parent = true },
			NULL, &pidfd, &c->err);
	(void)close(fds[1]);
	if (r < 0)
		return r;
	n = gather(out, dst, size);
	r = n < 0 ? -ETIMEDOUT : spawn_wait(pidfd, WAIT_MS, &status);
	if (r < 0) {
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0U);
		(void)spawn_wait(pidfd, -1, &status);
	}
	if (n == -EMSGSIZE)
		return err_set(&c->err, ERR_INVALID, EMSGSIZE, "the command prints more than a secret can be: nothing was stored");
	if (r < 0)
		return err_set(&c->err, ERR_TIMEOUT, ETIMEDOUT, "the command did not end within %d s: nothing was stored", COMMAND_MS / 1000);
	if (status != 0)
		return err_set(&c->err, ERR_INVALID, EIO, "the command failed (%s %d): nothing was stored", WIFSIGNALED(status) ? "signal" : "exit",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return n;
}

static ssize_t variable(struct cli *c, const char *name, char *dst, size_t size)
{
	const char *value = env_get(name);
	size_t n = value ? strnlen(value, size) : 0;

	if (!value)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "the variable %.100s is not set, or empty", name);
	memcpy(dst, value, n);
	return (ssize_t)n;
}

static int read_value(struct cli *c, const char *name, const struct values *v, struct secret *ret)
{
	char text[SECRETMSG_VALUE_MAX + 3];
	ssize_t n;
	int r;

	if (v->command && v->from_env)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--command and --from-env exclude each other");
	n = v->command	       ? printed(c, v->command, text, sizeof(text)) :
	    v->from_env	       ? variable(c, v->from_env, text, sizeof(text)) :
	    isatty(STDIN_FILENO) ? typed(name, text, sizeof(text)) :
				   io_read_full(STDIN_FILENO, text, sizeof(text));
	if (n < 0)
		return v->command || v->from_env ? (int)n : err_errno(&c->err, (int)-n, "cannot read the value");
	/* The line's end is not meant. */
	n = (ssize_t)ask_chomp(text, (size_t)n);
	r = secret_check(text, (size_t)n, &c->err);
	if (r == 0)
		memcpy(ret->s, text, (size_t)n);
	explicit_bzero(text, sizeof(text));
	return r;
}

/* --- set --- */

/* Where it goes. */
static int carrier(const struct values *v, struct secretmsg_binding *b)
{
	const char *name = v->query ? v->query : v->body ? v->body : v->header ? v->header : "authorization";
	bool bare = v->query || v->body || v->header;
	int r = str_format(b->header, sizeof(b->header), "%s", name);

	b->where = v->query ? SECRETMSG_QUERY : v->body ? SECRETMSG_BODY : SECRETMSG_HEADER;
	for (char *at = b->header; b->where == SECRETMSG_HEADER && *at; at++)
		*at = *at >= 'A' && *at <= 'Z' ? (char)(*at | 0x20) : *at;
	if (v->basic)
		return r | str_format(b->format, sizeof(b->format), "Basic %s:%%s", v->basic);
	return r | str_format(b->format, sizeof(b->format), "%s", v->format ? v->format : bare ? "%s" : "Bearer %s");
}

static int custom(struct cli *c, const char *name, const struct values *v, struct secretmsg_secret *s)
{
	struct secretmsg_binding *b = &s->bindings[0];
	auto_free char *rand = str_random_hex(12);
	enum dest_refusal why = dest_parse_authority(v->host, strlen(v->host), 443, DEST_HTTPS, &b->to);
	int r = 0;

	if (why != DEST_OK)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--host '%.200s': %s", v->host, dest_refusal_text(why));
	if (!!v->query + !!v->body + (v->header || v->format || v->basic) > 1)
		return err_set(&c->err, ERR_INVALID, EINVAL, "a secret goes into one place: --header and --format, --basic, --query, or --body");
	if (!rand)
		return err_set(&c->err, ERR_INTERNAL, EIO, "no random bytes");
	if (v->basic && (v->header || v->format || !v->basic[0] || strpbrk(v->basic, "%: ")))
		return err_set(&c->err, ERR_INVALID, EINVAL,
			       "--basic takes a user name without blanks, %% and :, and stands in place of --header and --format");
	if (!v->placeholder)
		r |= str_format(s->placeholder, sizeof(s->placeholder), "sbx-cs-%s", rand);
	else
		r |= str_format(s->placeholder, sizeof(s->placeholder), "%s", v->placeholder);
	r |= str_format(s->name, sizeof(s->name), "%s", name);
	r |= str_format(s->env[0], sizeof(s->env[0]), "%s", v->env ? v->env : "");
	s->nenv = v->env ? 1 : 0;
	r |= str_format(b->path, sizeof(b->path), "%s", v->path ? v->path : "/**");
	r |= carrier(v, b);
	s->nbindings = 1;
	return r < 0 ? err_set(&c->err, ERR_INVALID, ENAMETOOLONG, "an argument is too long") : 0;
}

static int describe(struct cli *c, const char *name, const struct values *v, struct secretmsg_secret *s)
{
	char sandbox[KEEPERMSG_ID];

	if (v->host)
		return services_find(name, &(struct secretmsg_secret){ 0 }) == 0 ?
			       err_set(&c->err, ERR_INVALID, EINVAL, "'%s' is a service: a secret of your own needs another name", name) :
			       custom(c, name, v, s);
	if (v->env || v->placeholder || v->header || v->format || v->path || v->basic || v->query || v->body)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--env, --placeholder, --header, --format, --basic, --query, --body and --path need --host");
	memcpy(sandbox, s->sandbox, sizeof(sandbox));
	if (services_find(name, s) < 0)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "'%.100s' is no service; they are %s. For others give --host", name,
			       services_names());
	memcpy(s->sandbox, sandbox, sizeof(sandbox));
	return 0;
}

/* What a program in a sandbox signed in for, for all. */
static int set_from(struct cli *c, const struct cmd_args *a, const struct values *v)
{
	char id[KEEPERMSG_ID];
	int r;

	if (!v->global || a->npos != 1 || v->host || v->command || v->from_env)
		return err_set(&c->err, ERR_INVALID, EINVAL, "--from is for a sign-in, and for all sandboxes: sbx secret set -g --from SANDBOX NAME");
	r = find_id(c, v->from, id);
	if (r == 0) {
		storekey_prepare(c);
		r = keeper_share(c, a->pos[0], id);
	}
	if (r < 0)
		return r;
	(void)printf("The sign-in %s of %s is for all sandboxes now\n", a->pos[0], v->from);
	return CMD_OK;
}

static int set(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_free struct secretmsg_request *q = calloc(1, sizeof(*q));
	const char *name;
	int r;

	if (v->from)
		return set_from(c, a, v);
	if (!q)
		return err_errno(&c->err, ENOMEM, "the secret");
	q->op = SECRETMSG_SET;
	r = scope(c, a, v, q, &name);
	if (r == 0)
		r = describe(c, name, v, &q->secret);
	if (r == 0)
		r = read_value(c, name, v, &q->value);
	if (r == 0) {
		storekey_prepare(c);
		r = keeper_change(c, q);
	}
	secret_wipe(&q->value);
	if (r < 0)
		return r;
	(void)printf("Stored %s for %s\n", q->secret.name, v->global ? "all sandboxes" : a->pos[0]);
	return CMD_OK;
}

static int rm(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_free struct secretmsg_request *q = calloc(1, sizeof(*q));
	const struct values *v = values;
	const char *name;
	int r;

	if (!q)
		return err_errno(&c->err, ENOMEM, "the secret");
	q->op = SECRETMSG_RM;
	r = scope(c, a, v, q, &name);
	if (r == 0 && str_format(q->secret.name, sizeof(q->secret.name), "%s", name) < 0)
		r = err_set(&c->err, ERR_INVALID, ENAMETOOLONG, "the secret's name is too long");
	if (r == 0) {
		storekey_prepare(c);
		r = keeper_change(c, q);
	}
	if (r < 0)
		return r;
	(void)printf("Removed %s for %s\n", name, v->global ? "all sandboxes" : a->pos[0]);
	return CMD_OK;
}

/* --- ls --- */

static char *hosts_of(const struct secretmsg_secret *s)
{
	struct buf b;
	char *text = NULL;

	buf_init(&b, 8192);
	for (size_t i = 0; i < s->nbindings; i++)
		(void)buf_printf(&b, "%s%s", i ? "," : "", s->bindings[i].to.host);
	text = str_new("%s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_done(&b);
	return text;
}

static int print_table(struct cli *c, const struct secretmsg_list *l)
{
	static const char *const heads[COLUMNS] = { "NAME", "SANDBOX", "VARIABLE", "PLACEHOLDER", "HOSTS" };
	size_t rows = l->n + 1, i;
	char **cells = table_new(heads, rows, COLUMNS);

	for (i = 0; i < l->n && cells; i++) {
		const struct secretmsg_secret *s = &l->of[i];
		char **row = cells + (i + 1) * COLUMNS;

		row[0] = str_new("%s", s->name);
		row[1] = str_new("%s", s->sandbox[0] ? s->sandbox : "(all)");
		row[2] = str_new("%s", s->refresh[0] ? "(oauth)" : s->nenv ? s->env[0] : "-");
		row[3] = str_new("%s", s->placeholder);
		row[4] = hosts_of(s);
	}
	return table_show(cells, rows, COLUMNS, &c->err);
}

/* Talk, not data. */
static void say_how_kept(struct cli *c)
{
	struct storemsg_status s;
	char text[600];

	if (!keeper_has_any(c) || storekey_status(c, &s) < 0)
		return;
	storekey_describe(&s, text, sizeof(text));
	cli_say("%s%s", s.locked ? "" : "Kept ", text);
}

static int ls(struct cli *c, const struct cmd_args *a, void *values)
{
	const struct values *v = values;
	auto_free struct secretmsg_list *l = NULL;
	auto_(json) json_t *list = json_array();

	if (keeper_has_any(c))
		storekey_prepare(c);
	l = keeper_list(c);
	if (!l || keeper_add_grants(c, l) < 0)
		return err_code(&c->err);
	if (!v->json && l->n == 0)
		cli_say("No secrets yet: printenv KEY | sbx secret set -g SERVICE stores one");
	if (!v->json) {
		int r = l->n ? print_table(c, l) : CMD_OK;

		(void)fflush(stdout);
		if (l->n)
			say_how_kept(c);
		return r;
	}
	for (size_t i = 0; i < l->n; i++) {
		json_t *one = secretmsg_write(&l->of[i]);

		(void)json_object_set_new(one, "kind", json_string(l->of[i].refresh[0] ? "oauth" : "secret"));
		(void)json_array_append_new(list, one);
	}
	return cli_print_json(c, list) < 0 ? err_code(&c->err) : CMD_OK;
}

static const struct argp_option set_options[] = {
	{ "global", KEY_GLOBAL, NULL, 0, "For all sandboxes", 0 },
	{ "host", KEY_HOST, "HOST[:PORT]", 0, "A secret of your own, for this host only", 0 },
	{ "env", KEY_ENV, "NAME", 0, "With --host: the variable that has the placeholder in the sandbox", 0 },
	{ "placeholder", KEY_PLACEHOLDER, "TEXT", 0, "With --host: the placeholder (default: sbx-cs- and a random number)", 0 },
	{ "header", KEY_HEADER, "NAME", 0, "With --host: the header that carries it (default: authorization)", 0 },
	{ "format", KEY_FORMAT, "TEXT", 0, "With --host: the header's value; %s is the secret; after \"Basic \" it is encoded", 0 },
	{ "basic", KEY_BASIC, "USER", 0, "With --host: HTTP Basic with this user name, the secret being the password", 0 },
	{ "query", KEY_QUERY, "NAME", 0, "With --host: the query's member that carries it, in place of the placeholder there", 0 },
	{ "body", KEY_BODY, "NAME", 0, "With --host: the field of a form, or of a JSON object, that carries it, likewise", 0 },
	{ "path", KEY_PATH, "PATTERN", 0, "With --host: requests to these paths only, as in `sbx policy`", 0 },
	{ "command", KEY_COMMAND, "CMD", 0, "The value is what `sh -c CMD` prints, now; nothing is stored where it fails", 0 },
	{ "from-env", KEY_FROM_ENV, "NAME", 0, "The value is that of this variable of your environment", 0 },
	{ "from", KEY_FROM, "SANDBOX", 0, "With -g: the sign-in that a program in this sandbox made becomes one for all", 0 },
	{ 0 },
};

static const struct argp_option rm_options[] = {
	{ "global", KEY_GLOBAL, NULL, 0, "The one for all sandboxes", 0 },
	{ 0 },
};

static const struct argp_option ls_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static const struct cmd cmd_set = {
	.name = "set",
	.args = "{-g|SANDBOX} NAME",
	.summary = "Store a secret; its value is read from standard input",
	.doc = "NAME is a service that sbx knows, or with --host a name of your own. Programs in the sandbox get a placeholder in\n"
	       "the service's variable; the value itself is written into their requests on the host, and never enters the machine.",
	.options = set_options,
	.min_args = 1,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = set,
};

static const struct cmd cmd_rm_secret = {
	.name = "rm",
	.args = "{-g|SANDBOX} NAME",
	.summary = "Remove a secret, also from running sandboxes",
	.options = rm_options,
	.min_args = 1,
	.max_args = 2,
	.size = sizeof(struct values),
	.option = option,
	.run = rm,
};

static const struct cmd cmd_ls_secrets = {
	.name = "ls",
	.args = "",
	.summary = "List secrets, without their values",
	.options = ls_options,
	.size = sizeof(struct values),
	.option = option,
	.run = ls,
};

static const struct cmd *const subs[] = { &cmd_secret_import, &cmd_secret_lock, &cmd_ls_secrets, &cmd_secret_protect,
					  &cmd_secret_reset, &cmd_rm_secret, &cmd_set, &cmd_secret_unlock, NULL };

const struct cmd cmd_secret = {
	.name = "secret",
	.args = "",
	.summary = "Keep secrets that programs in sandboxes use and never see",
	.subs = subs,
	.flags = CMD_TAKES_REST,
	.max_args = 1,
};
