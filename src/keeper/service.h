/* SPDX-License-Identifier: Apache-2.0
 *
 * service: keys in the Secret Service of this user's session (freedesktop.org, Secret Service API draft 0.2: GNOME Keyring, KWallet, KeePassXC),
 * over the session bus. Never asks anybody: what is locked stays locked. Every call has a deadline. On the bus, which is a socket of this
 * user's, the key is in plain ("plain" sessions); any program of the session can read it.
 */
#ifndef SBX_KEEPER_SERVICE_H
#define SBX_KEEPER_SERVICE_H

#include <stdint.h>

#include "base/err.h"
#include "wire/storemsg.h"

/* ERR_NOT_FOUND: it has no such key; ERR_UNAVAILABLE: no bus, no service, or it is locked. */
int service_get(const char *id, uint8_t ret[STOREMSG_KEY], struct err *err);
/* Into the default collection. label: for people. */
int service_put(const char *id, const char *label, const uint8_t key[STOREMSG_KEY], struct err *err);
/* A missing one is no error. */
int service_drop(const char *id, struct err *err);

#endif
