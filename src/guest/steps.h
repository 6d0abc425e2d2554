/* SPDX-License-Identifier: Apache-2.0
 *
 * steps: how long each step of /setup took, for the host's log. Only the setup's thread may call this.
 */
#ifndef SBX_GUEST_STEPS_H
#define SBX_GUEST_STEPS_H

#include <jansson.h>

void steps_begin(void);
/* What was done since the last call, or since steps_begin; name is a literal of [a-z_]. */
void steps_end_of(const char *name);
/* {"name": microseconds}; a new object, NULL without memory. */
json_t *steps_json(void);

#endif
