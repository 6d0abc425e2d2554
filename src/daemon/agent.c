/* SPDX-License-Identifier: Apache-2.0
 *
 * agent: see agent.h. Constant data.
 */
#include "daemon/agent.h"

#include <string.h>

#include "base/own.h"
#include "base/str.h"

static const char *const shell_command[] = { "bash", "-l", NULL };

static const struct agent agents[] = {
	{ "shell", shell_command, "a login shell, no AI program" },
};

const struct agent *agent_find(const char *name, struct err *err)
{
	char known[256] = "", shown[80];
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(agents); i++)
		if (str_eq(agents[i].name, name))
			return &agents[i];
	for (size_t i = 0; i < ARRAY_LEN(agents) && at < sizeof(known); i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", agents[i].name);
	str_escape(shown, sizeof(shown), name, strlen(name));
	(void)err_set(err, ERR_NOT_FOUND, 0, "unknown agent '%s': known agents are: %s", shown, known);
	return NULL;
}
