/* SPDX-License-Identifier: Apache-2.0
 *
 * xdgopen: `xdg-open URL` in a sandbox: asks the host to open a URL, and ends with what the host said. The same file as sbx-guest, under
 * another name (opens.h), so that every image has it.
 */
#ifndef SBX_GUEST_XDGOPEN_H
#define SBX_GUEST_XDGOPEN_H

#include <stdbool.h>

/* Whether the program was started by one of the names. */
bool xdgopen_is(const char *argv0);
/* Exit status, as xdg-open's: 0 the host opened it, 1 wrong usage, 3 nobody there to ask, 4 refused or failed. */
int xdgopen_main(int argc, char **argv);

#endif
