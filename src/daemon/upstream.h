/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: the proxy that this host itself goes through, as a sandbox's proxy is told (docs/network.md, message "config"): from the
 * settings network.httpProxy, network.httpsProxy and network.noProxy, and where one is not set from the daemon's environment
 * (http_proxy, https_proxy, no_proxy, in capitals too).
 */
#ifndef SBX_DAEMON_UPSTREAM_H
#define SBX_DAEMON_UPSTREAM_H

#include <jansson.h>
#include <stdbool.h>

#include "daemon/settings.h"

/* "http://[USER:PASSWORD@]HOST[:PORT]" */
bool upstream_is_url(const char *text);
/* {"http", "https", "no_proxy"}, or JSON null where nothing is set; a new reference. Never logged: it may hold a password. */
json_t *upstream_json(const struct settings *set);

#endif
