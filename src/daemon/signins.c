/* SPDX-License-Identifier: Apache-2.0
 *
 * signins: see signins.h. The endpoints are those that Claude Code, Codex and Gemini CLI have built in.
 */
#include "daemon/signins.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "daemon/agents.h"
#include "wire/oauthdef.h"

/* A key that Claude Code makes with a token would be the guest's: it is for those who pay by use, who store a key. */
static const char anthropic[] =
	"{\"service\":\"anthropic-oauth\","
	"\"token\":[\"https://platform.claude.com/v1/oauth/token\",\"https://console.anthropic.com/v1/oauth/token\","
	"\"https://api.anthropic.com/v1/oauth/token\",\"https://claude.ai/v1/oauth/token\"],"
	"\"refuse\":[\"https://api.anthropic.com/api/oauth/claude_cli/create_api_key\"],"
	"\"access\":{\"placeholder\":\"sk-ant-oat01-proxy-managed\",\"form\":\"opaque\","
	"\"hosts\":[\"api.anthropic.com\",\"mcp-proxy.anthropic.com\"],\"header\":\"authorization\",\"format\":\"Bearer %s\"},"
	"\"refresh\":{\"placeholder\":\"sk-ant-ort01-proxy-managed\"}}";

/* Codex reads account and plan from the claims of the identity token, and when the access token ends from its. */
static const char openai[] =
	"{\"service\":\"openai-oauth\",\"token\":[\"https://auth.openai.com/oauth/token\"],"
	"\"revoke\":[\"https://auth.openai.com/oauth/revoke\"],"
	"\"access\":{\"placeholder\":\"sbx-proxy-managed-openai\",\"form\":\"jwt\",\"hosts\":[\"chatgpt.com\"],\"header\":\"authorization\","
	"\"format\":\"Bearer %s\"},"
	"\"refresh\":{\"placeholder\":\"rt_sbx-proxy-managed-refresh\"},"
	"\"claims\":[\"exp\",\"iat\",\"iss\",\"aud\",\"sub\",\"email\",\"email_verified\",\"https://api.openai.com/auth\",\"https://api.openai.com/profile\"]}";

static const char google[] =
	"{\"service\":\"google-oauth\","
	"\"token\":[\"https://oauth2.googleapis.com/token\",\"https://www.googleapis.com/oauth2/v4/token\",\"https://www.googleapis.com/oauth2/v3/token\",\"https://accounts.google.com/o/oauth2/token\"],"
	"\"revoke\":[\"https://oauth2.googleapis.com/revoke\",\"https://accounts.google.com/o/oauth2/revoke\"],"
	"\"access\":{\"placeholder\":\"ya29.sbx-proxy-managed\",\"form\":\"opaque\","
	"\"hosts\":[\"cloudcode-pa.googleapis.com\",\"www.googleapis.com/oauth2/**\",\"oauth2.googleapis.com/tokeninfo\"],\"header\":\"authorization\","
	"\"format\":\"Bearer %s\"},"
	"\"refresh\":{\"placeholder\":\"1//sbx-proxy-managed-refresh\"},"
	"\"claims\":[\"exp\",\"iat\",\"iss\",\"aud\",\"sub\",\"email\",\"email_verified\",\"name\"]}";

/* Nobody signs in by this. For the token that is GitHub's secret, older programs of Copilot are handed another one, good for half an hour anywhere. */
static const char github[] =
	"{\"service\":\"github-exchange\",\"token\":[],"
	"\"refuse\":[\"https://api.github.com/copilot_internal/v2/token\",\"https://api.github.com/copilot_internal/token\"],"
	"\"access\":{\"placeholder\":\"sbx-proxy-managed-exchange\",\"form\":\"opaque\",\"hosts\":[\"api.github.com\"],"
	"\"header\":\"authorization\",\"format\":\"Bearer %s\"},"
	"\"refresh\":{\"placeholder\":\"sbx-proxy-managed-no-refresh\"}}";

static const char *const builtin[] = { anthropic, openai, google, github };

/* One more, unless it does not go with those that are there. Takes one's reference. */
static int add(json_t *list, json_t *one, struct oauthdef_list *room, struct err *err)
{
	int r = json_array_append_new(list, one) < 0 ? err_errno(err, ENOMEM, "the sign-ins") : oauthdef_read_list(list, room, err);

	if (r < 0)
		(void)json_array_remove(list, json_array_size(list) - 1);
	return r;
}

static void add_profiles(json_t *list, const struct env_dirs *dirs, struct oauthdef_list *room)
{
	json_t *all = NULL;
	const json_t *profile;
	struct err err = { 0 };
	size_t i;

	if (agents_list(dirs, &all, &err) < 0)
		log_warn("event=signins error=\"%s\"", err.msg);
	json_array_foreach(json_object_get(all, "agents"), i, profile) {
		json_t *one;
		size_t n;

		json_array_foreach(json_object_get(profile, "oauth"), n, one)
			/* The last places are for what is built in. */
			if (json_array_size(list) + ARRAY_LEN(builtin) >= OAUTHDEF_MAX || add(list, json_incref(one), room, &err) < 0)
				log_warn("event=signins agent=%s error=\"%s\"", json_string_value(json_object_get(profile, "name")),
					 err.kind ? err.msg : "too many");
	}
	json_decref(all);
}

json_t *signins_json(const struct env_dirs *dirs, struct err *err)
{
	auto_free struct oauthdef_list *room = calloc(1, sizeof(*room));
	json_t *list = json_array();
	struct err why = { 0 };
	json_error_t e;

	if (!room || !list) {
		(void)err_errno(err, ENOMEM, "the sign-ins");
		json_decref(list);
		return NULL;
	}
	add_profiles(list, dirs, room);
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (add(list, json_loads(builtin[i], JSON_REJECT_DUPLICATES, &e), room, &why) < 0)
			log_info("event=signins replaced=\"%s\"", why.msg);
	return list;
}
