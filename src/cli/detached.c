/* SPDX-License-Identifier: Apache-2.0
 *
 * detached: see detached.h.
 */
#include "cli/detached.h"

#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/attach.h"
#include "cli/session.h"
#include "cli/vmcall.h"

int detached_list(struct cli *c, const char *name, const char *socket, json_t **ret)
{
	auto_(json) json_t *v = NULL;
	int r = vmcall(c, name, socket, json_pack("{s:s}", "op", "sessions"), &v);

	if (r < 0)
		return r;
	*ret = json_incref(json_object_get(v, "sessions"));
	return json_is_array(*ret) ? 0 : err_set(&c->err, ERR_INTERNAL, EPROTO, "sandbox '%s' lists no sessions", name);
}

int detached_find(struct cli *c, const char *name, const json_t *list, json_int_t id, json_int_t *ret_id, bool *ret_tty)
{
	json_int_t last = 0;
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		json_int_t n = json_integer_value(json_object_get(one, "id")), turn = json_integer_value(json_object_get(one, "turn"));

		if (json_is_true(json_object_get(one, "attached")) || (id != 0 && n != id) || turn <= last)
			continue;
		*ret_id = n;
		*ret_tty = json_is_true(json_object_get(one, "tty"));
		last = turn;
	}
	if (last > 0)
		return 0;
	if (id == 0)
		return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "sandbox '%s' has no session to attach to", name);
	cli_hint(c, "sbx inspect %s", name);
	return err_set(&c->err, ERR_NOT_FOUND, ENOENT, "sandbox '%s' has no session %lld to attach to", name, (long long)id);
}

int detached_attach(struct cli *c, const char *name, const char *socket, json_int_t id, bool tty)
{
	auto_(json) json_t *start = json_pack("{s:I}", "attach", id);
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	struct attach a = { .name = name, .socket = socket, .start = start, .tty = tty && terminal, .opens = tty && terminal, .input = true };
	int r;

	if (!start)
		return err_set(&c->err, ERR_INTERNAL, ENOMEM, "out of memory");
	r = attach_run(c, &a);
	return r < 0 && a.started ? session_lost(c, name) : r;
}
