/* SPDX-License-Identifier: Apache-2.0
 *
 * host: what this host's user has configured that concerns requests to others: the authorities that are trusted (the system's, and
 * those of the setting network.extraCaFile), and the proxy (network.httpsProxy, network.noProxy). Read once.
 */
#ifndef SBX_LOGIN_HOST_H
#define SBX_LOGIN_HOST_H

#include <stddef.h>

#include "base/err.h"

struct host {
	char *trust; /* owned: PEM */
	size_t trust_len;
	char proxy[1024], no_proxy[4096]; /* as the settings say; "": as the environment says */
};

/* config_dir: of settings.json; a missing one is none. */
int host_load(const char *config_dir, struct host *ret, struct err *err);
void host_done(struct host *h);

#endif
