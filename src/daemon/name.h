/* SPDX-License-Identifier: Apache-2.0
 *
 * name: what a sandbox may be called. 2 to 63 letters, digits, '-', '.', '_'; a letter or digit first, neither '-' nor
 * '.' last; "default" is reserved. The name is also where the guest's host name comes from.
 */
#ifndef SBX_DAEMON_NAME_H
#define SBX_DAEMON_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define NAME_SIZE 64

int name_check(const char *name, struct err *err);
/* <agent>-<basename of path>, made legal; n > 1 appends "-n". Always a legal name. */
void name_default(char dst[NAME_SIZE], const char *agent, const char *path, unsigned n);
/* The name as a host name: '_' becomes '-'. */
void name_hostname(char dst[NAME_SIZE], const char *name);

#endif
