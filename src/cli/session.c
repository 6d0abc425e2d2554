/* SPDX-License-Identifier: Apache-2.0
 *
 * session: see session.h.
 */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/attach.h"

#define TRIES 3
#define LOST_LOOK_MS 50 /* between two looks at a machine that ends */
#define LOST_LOOKS 40

int session_boot(struct cli *c, const char *name, char *dst, size_t size)
{
	auto_(json) json_t *v = NULL;
	char target[1100];
	int r = api_target(c, target, sizeof(target), name, "/start");

	if (r == 0)
		r = api_call(c, &(struct api_req){ .method = "POST", .target = target, .timeout_ms = API_START_MS }, &v);
	if (r < 0)
		return r;
	if (json_is_true(json_object_get(v, "resumed")))
		cli_say("Sandbox '%s' was paused: it goes on where it was", name);
	if (cli_str(v, "socket")[0] != '/' || str_format(dst, size, "%s", cli_str(v, "socket")) < 0)
		return err_set(&c->err, ERR_INTERNAL, EPROTO, "sandboxd named no socket for '%s'", name);
	return 0;
}

/* The grace period may end between the daemon's answer and our connection. */
static bool just_ended(const struct cli *c)
{
	switch (c->err.errnum) {
	case EAGAIN:
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOENT:
		return true;
	default:
		return c->err.kind == ERR_CONFLICT;
	}
}

/* The machine's end is known to the daemon a moment after the connection's. */
int session_lost(struct cli *c, const char *name)
{
	const struct err broke = c->err;
	char target[1100];

	if (broke.errnum != ECONNRESET || api_target(c, target, sizeof(target), name, "") < 0)
		return err_code(&c->err);
	for (int i = 0; i < LOST_LOOKS; i++) {
		auto_(json) json_t *v = NULL;
		const char *status;

		if (api_get(c, target, &v) < 0)
			break;
		status = cli_str(v, "status");
		if (str_eq(status, "paused")) {
			cli_hint(c, "sbx resume %s", name);
			return err_set(&c->err, ERR_UNAVAILABLE, ECONNRESET, "sandbox '%s' was paused", name);
		}
		if (!str_eq(status, "running") && !str_eq(status, "stopping"))
			break;
		(void)poll(NULL, 0, LOST_LOOK_MS);
	}
	c->err = broke;
	return err_code(&c->err);
}

int session_run(struct cli *c, const struct session_spec *s)
{
	for (int i = 1;; i++) {
		char socket[SESSION_SOCKET_MAX];
		struct attach a = {
			.name = s->name, .socket = socket, .start = s->start, .tty = s->tty, .opens = s->tty,
			.input = s->input
		};
		int r = session_boot(c, s->name, socket, sizeof(socket));

		if (r < 0)
			return r;
		r = attach_run(c, &a);
		if (r < 0 && a.started)
			return session_lost(c, s->name);
		if (r >= 0 || i == TRIES || !just_ended(c))
			return r;
		cli_debug(c, "%s; starting it again", c->err.msg);
		c->err = (struct err){ 0 };
		c->hint[0] = 0;
	}
}

json_t *session_start_record(json_t *argv, json_t *env, bool tty)
{
	json_t *start = json_pack("{s:o, s:b}", "argv", argv, "tty", tty);

	if (start && env)
		(void)json_object_set_new(start, "env", env);
	else
		json_decref(env);
	if (start && tty)
		(void)json_object_set_new(start, "term", json_string("xterm-256color"));
	return start;
}
