/* SPDX-License-Identifier: Apache-2.0
 *
 * notes: what an agent is told about the sandbox that it works in, as a file of standing instructions in its home.
 */
#ifndef SBX_DAEMON_NOTES_H
#define SBX_DAEMON_NOTES_H

#include <jansson.h>

/* The text; a new reference, NULL on -ENOMEM. It names the hosts of the profile, and no secret. */
json_t *notes_text(const json_t *profile);

#endif
