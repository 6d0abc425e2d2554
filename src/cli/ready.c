/* SPDX-License-Identifier: Apache-2.0
 *
 * ready: see ready.h.
 */
#include "cli/ready.h"

#include <errno.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/menu.h"

#define OFFERED 3 /* of the presets, in their order; the others are for who knows their names */

static const char *label_of(const json_t *state, const char *preset)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(state, "presets"), i, p)
		if (str_eq(cli_str(p, "name"), preset))
			return cli_str(p, "label");
	return preset;
}

int ready_init(struct cli *c, const char *preset)
{
	auto_(json) json_t *body = json_pack("{s:s}", "preset", preset), *state = NULL;
	int r;

	if (!body)
		return err_set(&c->err, ERR_INVALID, EILSEQ, "the preset's name must be UTF-8");
	r = api_call(c, &(struct api_req){ .method = "POST", .target = "/v1/policy/init", .body = body }, &state);
	if (r < 0)
		return r;
	cli_say("\xe2\x9c\x93 Network policy: %s", label_of(state, cli_str(state, "preset")));
	cli_say("  To change it:\n    sbx policy allow network <host>\n    sbx policy deny network <host>\n    sbx policy reset");
	return 0;
}

static int offer(struct cli *c, const json_t *state)
{
	const json_t *presets = json_object_get(state, "presets");
	struct menu_item items[OFFERED];
	size_t n = 0, at = 0;
	int r;

	for (; n < OFFERED && n < json_array_size(presets); n++) {
		const json_t *p = json_array_get(presets, n);

		items[n] = (struct menu_item){ cli_str(p, "label"), cli_str(p, "summary") };
		if (str_eq(cli_str(p, "name"), "balanced"))
			at = n;
	}
	r = menu_choose("Which network policy shall your sandboxes have?", items, n, at);
	if (r >= 0)
		return ready_init(c, cli_str(json_array_get(presets, (size_t)r), "name"));
	cli_hint(c, "sbx policy init open|balanced|locked-down");
	return r == -ECANCELED ? err_set(&c->err, ERR_UNAVAILABLE, ECANCELED, "no network policy was chosen")
			       : err_errno(&c->err, -r, "cannot use the terminal");
}

int ready_policy(struct cli *c)
{
	auto_(json) json_t *state = NULL;
	int r = api_get(c, "/v1/policy", &state);

	if (r < 0 || json_is_true(json_object_get(state, "initialised")))
		return r;
	if (cli_interactive())
		return offer(c, state);
	cli_hint(c, "sbx policy init open|balanced|locked-down");
	return err_set(&c->err, ERR_UNAVAILABLE, ENODATA,
		       "the network policy has not been initialised: choose one with `sbx policy init open|balanced|locked-down`");
}
