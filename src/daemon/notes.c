/* SPDX-License-Identifier: Apache-2.0
 *
 * notes: see notes.h.
 */
#include "daemon/notes.h"

#include "base/buf.h"

#define NOTES_MAX (32U << 10)

static const char text[] =
	"# This sandbox\n"
	"\n"
	"You run in a microVM of your own (sbx), as user `agent`; `sudo` needs no password. Your permissions end at this machine:\n"
	"there is no need to ask before installing packages or changing system files here. The workspace is the user's real folder\n"
	"at its real path; everything else on this machine is yours and goes when the sandbox is removed.\n"
	"\n"
	"## Network\n"
	"\n"
	"- Every connection passes a proxy on the user's machine that decides by a policy. Programs need no setting for it. HTTP,\n"
	"  HTTPS and WebSockets are what it carries; UDP and ICMP (ping) are not there, and names resolve to addresses that mean\n"
	"  nothing outside.\n"
	"- An answer of status 403 that names a rule, a refused connection and \"connection reset\" during TLS mean that the policy\n"
	"  said no. It is not broken: do not try other mirrors, addresses or tunnels.\n"
	"- You cannot change the policy; the user can, on the host. Say which host and port you need and what for, and name the\n"
	"  command: `sbx policy allow network HOST:PORT` (one sandbox only: with `--sandbox NAME`). `sbx policy log` shows the user\n"
	"  what was refused. It takes effect at once; then try again.\n"
	"- HTTPS may be terminated by the proxy with a certificate authority that this machine trusts already. Do not switch\n"
	"  verification off.\n"
	"\n"
	"## Ports\n"
	"\n"
	"A server that you start is reachable inside only. The user publishes it with `sbx ports NAME --publish HOST_PORT:PORT`.\n"
	"The user's own local services are not reachable from here unless the policy allows them.\n"
	"\n"
	"## Credentials\n"
	"\n"
	"A variable such as `GITHUB_TOKEN` may hold a placeholder (`proxy-managed` or alike). It works as it is for the hosts it is\n"
	"meant for: the proxy puts the real value into the request. There is no real value here to find or to copy. `git` over HTTPS\n"
	"works the same way; there are no SSH keys. Where a service says that you are not signed in, the user sets a secret on the\n"
	"host: `sbx secret set`.\n";

json_t *notes_text(const json_t *profile)
{
	const json_t *hosts = json_object_get(profile, "hosts"), *h;
	struct buf out;
	json_t *s;
	size_t i;
	int r;

	buf_init(&out, NOTES_MAX);
	r = buf_append_str(&out, text);
	if (r == 0 && json_array_size(hosts) > 0)
		r = buf_append_str(&out, "\nThis agent itself needs:");
	json_array_foreach(hosts, i, h)
		if (r == 0)
			r = buf_printf(&out, "%s %s", i ? "," : "", json_string_value(h));
	if (r == 0 && json_array_size(hosts) > 0)
		r = buf_append_str(&out, "\n");
	s = r == 0 ? json_stringn((const char *)buf_bytes(&out), buf_len(&out)) : NULL;
	buf_done(&out);
	return s;
}
