/* SPDX-License-Identifier: Apache-2.0
 *
 * freezer: boots a machine of a shape up to the moment where it waits to be told whom it belongs to, and freezes it there.
 * Nothing of any sandbox is in it, and nobody is at its doors.
 */
#ifndef SBX_VM_FREEZER_H
#define SBX_VM_FREEZER_H

#include "base/err.h"
#include "vm/frozen.h"
#include "vm/shape.h"

/* Blocks until it is done, at most a minute or two. *ret is sealed. */
int freezer_make(const struct shape *s, struct frozen *ret, struct err *err);

#endif
