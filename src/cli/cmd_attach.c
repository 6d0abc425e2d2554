/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_attach: `sbx attach`, a session that goes on in a sandbox without a client.
 */
#include <errno.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/detached.h"
#include "cli/session.h"

/* A stopped one has no session: it is not worth a start to say so. */
static int must_live(struct cli *c, const char *name)
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "");

	if (r == 0)
		r = api_get(c, target, &v);
	if (r < 0 || !str_eq(cli_str(v, "status"), "stopped"))
		return r;
	cli_hint(c, "sbx run %s", name);
	return err_set(&c->err, ERR_CONFLICT, EAGAIN, "sandbox '%s' is stopped: no program goes on in it", name);
}

static int run(struct cli *c, const struct cmd_args *a, void *values)
{
	auto_(json) json_t *list = NULL;
	char socket[SESSION_SOCKET_MAX];
	const char *name = a->pos[0];
	uint64_t wanted = 0;
	json_int_t id = 0;
	bool tty = false;
	int r = 0;

	if (a->npos > 1 && (str_u64(a->pos[1], INT32_MAX, &wanted) < 0 || wanted == 0))
		return err_set(&c->err, ERR_INVALID, EINVAL, "'%.100s' is not the number of a session: `sbx inspect %s` lists them", a->pos[1], name);
	r = must_live(c, name);
	if (r == 0)
		r = session_boot(c, name, socket, sizeof(socket));
	if (r == 0)
		r = detached_list(c, name, socket, &list);
	if (r == 0)
		r = detached_find(c, name, list, (json_int_t)wanted, &id, &tty);
	return r < 0 ? r : detached_attach(c, name, socket, id, tty);
}

const struct cmd cmd_attach = {
	.name = "attach",
	.args = "SANDBOX [SESSION]",
	.summary = "Attach to a program that goes on in a sandbox after a pause",
	.doc = "Without SESSION, to the one that was attached last; `sbx inspect` lists them. The exit status is the program's.",
	.flags = CMD_SESSION,
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
