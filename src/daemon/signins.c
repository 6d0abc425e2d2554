/* SPDX-License-Identifier: Apache-2.0
 *
 * signins: see signins.h. The endpoints are those that Claude Code, Codex and Gemini CLI have built in.
 */
#include "daemon/signins.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
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
	"\"token\":[\"https://oauth2.googleapis.com/token\",\"https://www.googleapis.com/oauth2/v4/token\",\"https://accounts.google.com/o/oauth2/token\"],"
	"\"revoke\":[\"https://oauth2.googleapis.com/revoke\",\"https://accounts.google.com/o/oauth2/revoke\"],"
	"\"access\":{\"placeholder\":\"ya29.sbx-proxy-managed\",\"form\":\"opaque\","
	"\"hosts\":[\"cloudcode-pa.googleapis.com\",\"www.googleapis.com/oauth2/**\",\"oauth2.googleapis.com/tokeninfo\"],\"header\":\"authorization\","
	"\"format\":\"Bearer %s\"},"
	"\"refresh\":{\"placeholder\":\"1//sbx-proxy-managed-refresh\"},"
	"\"claims\":[\"exp\",\"iat\",\"iss\",\"aud\",\"sub\",\"email\",\"email_verified\",\"name\"]}";

static const char *const builtin[] = { anthropic, openai, google };

json_t *signins_json(struct err *err)
{
	auto_free struct oauthdef_list *l = calloc(1, sizeof(*l));
	json_t *list = json_array();
	json_error_t e;

	if (!l || !list) {
		(void)err_errno(err, ENOMEM, "the sign-ins");
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		(void)json_array_append_new(list, json_loads(builtin[i], JSON_REJECT_DUPLICATES, &e));
	if (oauthdef_read_list(list, l, err) == 0)
		return list;
	json_decref(list);
	return NULL;
}
