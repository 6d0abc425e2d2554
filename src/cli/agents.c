/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: see agents.h. Constant data.
 */
#include "cli/agents.h"

#include "base/own.h"
#include "base/str.h"

static const char *const shell_command[] = { "bash", "-l", NULL };

static const struct {
	const char *name;
	const char *const *command;
} agents[] = {
	{ "shell", shell_command },
};

bool agents_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(agents); i++)
		if (str_eq(agents[i].name, name))
			return true;
	return false;
}

const char *agents_list(void)
{
	return "shell";
}

static int append(json_t *list, const char *s)
{
	return json_array_append_new(list, json_string(s));
}

json_t *agents_argv(const char *agent, char *const *args, size_t nargs)
{
	json_t *list = json_array();
	bool replace = nargs > 0 && args[0][0] != '-';
	int r = list ? 0 : -1;

	for (size_t i = 0; i < ARRAY_LEN(agents) && !replace; i++)
		for (const char *const *s = agents[i].command; str_eq(agents[i].name, agent) && *s && r == 0; s++)
			r = append(list, *s);
	for (size_t i = 0; i < nargs && r == 0; i++)
		r = append(list, args[i]);
	if (r < 0 || json_array_size(list) == 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}
