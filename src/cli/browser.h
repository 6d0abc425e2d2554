/* SPDX-License-Identifier: Apache-2.0
 *
 * browser: the host's own browser: $BROWSER where it is the name or path of one program, else xdg-open, where there is a graphical session
 * (DISPLAY or WAYLAND_DISPLAY).
 */
#ifndef SBX_CLI_BROWSER_H
#define SBX_CLI_BROWSER_H

#include "base/err.h"

/* The program; borrowed. NULL: there is none here. */
const char *browser_find(void);
/* Runs it with url as its one argument, without a shell and without a terminal. It is not waited for beyond two seconds, in which it must not
 * fail. */
int browser_open(const char *program, const char *url, struct err *err);

#endif
