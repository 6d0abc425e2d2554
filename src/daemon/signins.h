/* SPDX-License-Identifier: Apache-2.0
 *
 * signins: what can be signed in at inside every sandbox (wire/oauthdef.h), whatever its agent is: a token that a shell got is a token, too.
 */
#ifndef SBX_DAEMON_SIGNINS_H
#define SBX_DAEMON_SIGNINS_H

#include <jansson.h>

#include "base/env.h"
#include "base/err.h"

/* An array that oauthdef_read_list takes; a new reference. NULL with err. What any agent's profile says (`oauth`), and what is built in, where no
 * profile has that service or its endpoints. */
json_t *signins_json(const struct env_dirs *dirs, struct err *err);

#endif
