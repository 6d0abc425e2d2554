/* SPDX-License-Identifier: Apache-2.0
 *
 * accelerator: what the next machine will most likely run on, by the cheap signs, for people who ask. The decision
 * itself is the supervisor's, which sees whether a guest answers.
 */
#ifndef SBX_DAEMON_ACCELERATOR_H
#define SBX_DAEMON_ACCELERATOR_H

#include <jansson.h>

/* {"setting", "expected": "kvm"|"tcg", "reason"}; a new reference, NULL on -ENOMEM. */
json_t *accelerator_json(const char *setting, const char *cache_dir);

#endif
