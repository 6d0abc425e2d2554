/* SPDX-License-Identifier: Apache-2.0
 *
 * services: see services.h.
 */
#include "cli/services.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define PLACEHOLDER "proxy-managed"
#define BEARER { "authorization", "Bearer %s" }
/* Which of them it is, GitHub says by the account's plan. */
#define COPILOT_HOSTS "api.githubcopilot.com", "api.individual.githubcopilot.com", "api.business.githubcopilot.com", "api.enterprise.githubcopilot.com"

struct service {
	const char *name;
	const char *env[SECRETMSG_ENV_MAX];
	const char *placeholder; /* of the shape that clients check; NULL: PLACEHOLDER */
	struct {
		const char *header, *format;
	} how;
	const char *hosts[SECRETMSG_BINDINGS_MAX];
	const char *basic_host, *basic_format; /* one more, by Basic; NULL: none */
};

static const struct service services[] = {
	{ "anthropic", { "ANTHROPIC_API_KEY" }, NULL, { "x-api-key", "%s" }, { "api.anthropic.com" }, NULL, NULL },
	/* A token of its own for Copilot, which its program takes before GitHub's. */
	{ "copilot", { "COPILOT_GITHUB_TOKEN" }, "gho_sbxproxymanagedcopilot00000000000000", BEARER, { "api.github.com", COPILOT_HOSTS }, NULL, NULL },
	{ "cursor", { "CURSOR_API_KEY" }, NULL, BEARER, { "api2.cursor.sh", "api3.cursor.sh", "repo42.cursor.sh" }, NULL, NULL },
	{ "droid", { "FACTORY_API_KEY" }, NULL, BEARER, { "api.factory.ai", "app.factory.ai", "relay.factory.ai" }, NULL, NULL },
	{ "github",
	  { "GH_TOKEN", "GITHUB_TOKEN" },
	  "gho_sbxproxymanaged000000000000000000000",
	  BEARER,
	  { "api.github.com", "raw.githubusercontent.com", COPILOT_HOSTS },
	  "github.com",
	  "Basic x-access-token:%s" },
	{ "google",
	  { "GEMINI_API_KEY", "GOOGLE_API_KEY" },
	  NULL,
	  { "x-goog-api-key", "%s" },
	  { "generativelanguage.googleapis.com" },
	  NULL,
	  NULL },
	{ "groq", { "GROQ_API_KEY" }, NULL, BEARER, { "api.groq.com" }, NULL, NULL },
	{ "mistral", { "MISTRAL_API_KEY" }, NULL, BEARER, { "api.mistral.ai" }, NULL, NULL },
	{ "nebius", { "NEBIUS_API_KEY" }, NULL, BEARER, { "api.studio.nebius.ai", "api.studio.nebius.com", "api.tokenfactory.nebius.com" }, NULL, NULL },
	{ "openai", { "OPENAI_API_KEY" }, NULL, BEARER, { "api.openai.com" }, NULL, NULL },
	{ "openrouter", { "OPENROUTER_API_KEY" }, NULL, BEARER, { "openrouter.ai" }, NULL, NULL },
	{ "xai", { "XAI_API_KEY" }, NULL, BEARER, { "api.x.ai" }, NULL, NULL },
};

static void bind_to(struct secretmsg_secret *s, const char *host, const char *header, const char *format)
{
	struct secretmsg_binding *b = &s->bindings[s->nbindings++];

	(void)dest_make(host, strlen(host), 443, DEST_HTTPS, &b->to);
	(void)str_format(b->path, sizeof(b->path), "/**");
	(void)str_format(b->header, sizeof(b->header), "%s", header);
	(void)str_format(b->format, sizeof(b->format), "%s", format);
}

int services_find(const char *name, struct secretmsg_secret *ret)
{
	const struct service *v = services;

	while (v < services + ARRAY_LEN(services) && !str_eq(v->name, name))
		v++;
	if (v == services + ARRAY_LEN(services))
		return -ENOENT;
	*ret = (struct secretmsg_secret){ 0 };
	(void)str_format(ret->name, sizeof(ret->name), "%s", v->name);
	(void)str_format(ret->placeholder, sizeof(ret->placeholder), "%s", v->placeholder ? v->placeholder : PLACEHOLDER);
	for (; ret->nenv < SECRETMSG_ENV_MAX && v->env[ret->nenv]; ret->nenv++)
		(void)str_format(ret->env[ret->nenv], sizeof(ret->env[0]), "%s", v->env[ret->nenv]);
	for (size_t i = 0; i < SECRETMSG_BINDINGS_MAX - 1 && v->hosts[i]; i++)
		bind_to(ret, v->hosts[i], v->how.header, v->how.format);
	if (v->basic_host)
		bind_to(ret, v->basic_host, "authorization", v->basic_format);
	return 0;
}

const char *services_names(void)
{
	static char names[256];

	names[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		size_t n = strlen(names);

		(void)str_format(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", services[i].name);
	}
	return names;
}

const char *services_name(size_t i)
{
	return i < ARRAY_LEN(services) ? services[i].name : NULL;
}
