/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: keys in the kernel's keyring of this user (keyrings(7), user-keyring(7)): they are gone after a reboot, or when their time is over. Any
 * process of the user can read them. The payload is the key and when it ends, so that whoever reads it can keep to it.
 */
#ifndef SBX_KEEPER_RING_H
#define SBX_KEEPER_RING_H

#include <stdint.h>

#include "base/err.h"
#include "wire/storemsg.h"

/* *ret_expires_s: of CLOCK_BOOTTIME; 0: never. ERR_NOT_FOUND; ERR_UNAVAILABLE where there is no keyring (as in some containers). */
int ring_get(const char *id, uint8_t ret[STOREMSG_KEY], uint64_t *ret_expires_s, struct err *err);
/* Replaces what is there. seconds: 0: until the next reboot. */
int ring_put(const char *id, const uint8_t key[STOREMSG_KEY], uint64_t seconds, uint64_t *ret_expires_s, struct err *err);
/* A missing one is no error. */
int ring_drop(const char *id, struct err *err);

#endif
