/* SPDX-License-Identifier: Apache-2.0
 *
 * confine: what sbx-login takes from itself before it says a word to a host: capabilities, new privileges, core dumps and ptrace;
 * files but those that names are resolved by, which it may read; programs; and all system calls but those of a client.
 */
#ifndef SBX_LOGIN_CONFINE_H
#define SBX_LOGIN_CONFINE_H

#include "base/err.h"

/* After everything is open and loaded. Where the kernel has no Landlock, files can be read, and still not written. */
int confine(struct err *err);

#endif
