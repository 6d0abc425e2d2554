/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: CONFIG/settings.json, one flat JSON object of strings and lists of strings. Read anew whenever it matters; a missing file
 * means the defaults, a wrong one is an error that names the file, the key and the accepted form.
 */
#ifndef SBX_DAEMON_SETTINGS_H
#define SBX_DAEMON_SETTINGS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/policy.h"

#define SETTINGS_TEXT 32
#define SETTINGS_URL 1024
#define SETTINGS_LIST 4096
#define SETTINGS_PATH 4096

struct settings {
	uint64_t stop_grace_ms;
	uint64_t auto_pause_ms; /* sandbox.autoPause: 0: never */
	uint64_t disk_bytes;
	uint64_t memory_reserve_bytes;   /* sandbox.memoryReserve: what a start leaves to the host */
	uint64_t boot_timeout_ms;
	char accelerator[SETTINGS_TEXT]; /* auto, kvm, tcg */
	enum rule_tls tls;               /* network.tlsDefault: AUTO or INTERCEPT */
	struct cidr ranges[POLICY_RANGES_MAX]; /* network.permittedRanges */
	size_t nranges;
	char http_proxy[SETTINGS_URL], https_proxy[SETTINGS_URL]; /* network.httpProxy, network.httpsProxy: a URL, "none", "" (the environment's) */
	char no_proxy[SETTINGS_LIST];    /* network.noProxy: the same */
	char extra_ca[SETTINGS_PATH];    /* network.extraCaFile: absolute; "": none */
};

/* ret_json may be NULL; else an owned object of every key with the text in effect. */
int settings_load(const char *config_dir, struct settings *ret, json_t **ret_json, struct err *err);

#endif
