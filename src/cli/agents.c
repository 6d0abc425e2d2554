/* SPDX-License-Identifier: Apache-2.0
 *
 * agents: see agents.h.
 */
#include "cli/agents.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/api.h"

#define NAMES_MAX 4096

int agents_find(struct cli *c, const char *name, json_t **ret)
{
	char target[120];
	int r;

	*ret = NULL;
	/* A name that no agent can have needs no question. */
	if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] ||
	    str_format(target, sizeof(target), "/v1/agents/%s", name) < 0)
		return 0;
	r = api_get(c, target, ret);
	if (r < 0 && c->err.kind == ERR_NOT_FOUND) {
		c->err = (struct err){ 0 };
		c->hint[0] = 0;
		return 0;
	}
	return r;
}

char *agents_names(struct cli *c)
{
	auto_(json) json_t *v = NULL;
	const json_t *agent;
	struct buf b;
	char *names;
	size_t i;

	if (api_get(c, "/v1/agents", &v) < 0)
		return NULL;
	buf_init(&b, NAMES_MAX);
	json_array_foreach(json_object_get(v, "agents"), i, agent)
		(void)buf_printf(&b, "%s%s", i ? ", " : "", cli_str(agent, "name"));
	names = str_new("%s", buf_cstr(&b) ? buf_cstr(&b) : "");
	buf_done(&b);
	return names;
}

json_t *agents_argv(const json_t *agent, char *const *args, size_t nargs)
{
	bool replace = nargs > 0 && args[0][0] != '-';
	json_t *list = replace ? json_array() : json_copy(json_object_get(agent, "command"));
	int r = list ? 0 : -1;

	for (size_t i = 0; i < nargs && r == 0; i++)
		r = json_array_append_new(list, json_string(args[i]));
	if (r < 0 || json_array_size(list) == 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}
