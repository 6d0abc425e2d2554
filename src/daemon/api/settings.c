/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: GET /v1/settings.
 */
#include "base/own.h"
#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/settings.h"

void api_settings(struct request *r)
{
	auto_free char *file = str_new("%s/settings.json", r->daemon->dirs.config);
	struct settings set;
	struct err err;
	json_t *o;

	if (settings_load(r->daemon->dirs.config, &set, &o, &err) < 0)
		request_fail(r, &err);
	else
		request_reply(r, 200, json_pack("{s:s?, s:o}", "file", file, "settings", o));
}
