/* SPDX-License-Identifier: Apache-2.0
 *
 * create: what `sbx run` and `sbx create` share: the creation options, the base template, and the new sandbox.
 */
#ifndef SBX_CLI_CREATE_H
#define SBX_CLI_CREATE_H

#include <stdint.h>

#include "cli/cmd.h"
#include "cli/envset.h"

struct create {
	const char *name;    /* borrowed; NULL: the default one */
	uint64_t memory_mib; /* 0: default */
	bool has_cpus;
	bool cold;
	int cpus; /* with has_cpus; 0: all */
	struct envset env;
	json_t *ports; /* owned; array as the API has them; NULL: none */
	json_t *denies; /* owned; array of resources that its own rules deny; NULL: none */
};

enum { CREATE_NAME = 0x100, CREATE_CPUS, CREATE_ENV_FILE, CREATE_DENY, CREATE_COLD };

#define CREATE_OPTIONS                                                                                              \
	{ "name", CREATE_NAME, "NAME", 0, "Name of the sandbox (default: <agent>-<folder>)", 0 },                   \
		{ "memory", 'm', "SIZE", 0,                                                                         \
		  "Memory, such as 2048m or 8g, at least 512m (default: half of the host's, at most 32g)", 0 },     \
		{ "cpus", CREATE_CPUS, "N", 0, "Processors (default: 0, all of the host's)", 0 },                   \
		{ "publish", 'p', "SPEC", 0,                                                                         \
		  "Publish a port on this host, [[HOST_IP:]HOST_PORT:]SANDBOX_PORT; may be repeated", 0 },           \
		{ "deny-network", CREATE_DENY, "RESOURCE", 0,                                                       \
		  "Keep this sandbox from a destination, as `sbx policy deny --sandbox` does; may be repeated", 0 }, \
		{ "cold", CREATE_COLD, NULL, 0,                                                                      \
		  "Boot the machine at each start instead of waking a copy of one that was booted before", 0 },      \
		{ "env", 'e', "NAME[=VALUE]", 0, "Set a variable; without a value, take the one that sbx has", 0 }, \
	{                                                                                                           \
		"env-file", CREATE_ENV_FILE, "FILE", 0, "Read variables from a file, one NAME=VALUE per line", 0    \
	}

/* Takes one of CREATE_OPTIONS; 0, negative with err filled, or 1 where key is none of them. */
int create_option(struct create *o, int key, const char *arg, struct err *err);
void create_done(struct create *o);
struct create_what {
	const char *agent;
	const json_t *workspaces; /* of paths_resolve; borrowed */
	bool keep;
	bool reuse; /* take one of that name, agent and folder as it is */
};

/* Makes the sandbox, stopped, on a base template that is up to date (made where needed, with progress on stderr). *ret
 * is the API's sandbox, owned; *ret_new false: it was there (reuse). Bad input fails before a template is made. */
int create_sandbox(struct cli *c, const struct create *o, const struct create_what *w, json_t **ret, bool *ret_new);
/* Removes a sandbox of ours again; c->err and the hint stay as they are. */
void create_undo(struct cli *c, const json_t *sandbox);
/* "Created sandbox ..." and its workspaces. */
void create_report(const json_t *sandbox);

#endif
