/* SPDX-License-Identifier: Apache-2.0
 *
 * copied: what checkpoint, restore and fork tell of what they did.
 */
#ifndef SBX_CLI_COPIED_H
#define SBX_CLI_COPIED_H

#include "cli/cmd.h"

/* How the disk was copied, how long the machine stood still, and what is not part of it. v: the daemon's answer. */
void copied_tell(const json_t *v);

#endif
