/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenkey: the name of the frozen machine that fits a shape on this host: SHA-256 over everything that a booted guest
 * depends on. Whatever changes leads to another key, and so to another machine that is frozen anew.
 */
#ifndef SBX_VM_FROZENKEY_H
#define SBX_VM_FROZENKEY_H

#include "base/err.h"
#include "vm/frozen.h"
#include "vm/shape.h"

/* Digests of files are remembered as long as their identity (inode, size, times) is the same; one thread. */
int frozenkey(const struct shape *s, char ret[FROZEN_KEY], struct err *err);

#endif
