/* SPDX-License-Identifier: Apache-2.0
 *
 * term: the terminal of this process. Raw mode is given back on every way out: by term_restore, at exit, and from
 * the handlers of the signals that a crash raises. Only SIGKILL leaves it raw.
 */
#ifndef SBX_CLI_TERM_H
#define SBX_CLI_TERM_H

#include <stdint.h>

/* Raw mode on fd; keeps what was set before the first call. 0 or -errno. */
int term_raw(int fd);
/* Gives back what term_raw found. Nothing where it was not called. Async-signal-safe. */
void term_restore(void);
/* What a full-screen program that died leaves behind: another screen, no cursor, mouse reports. */
void term_reset_modes(int fd);
/* Rows and columns; 24 x 80 where the terminal does not say. */
void term_size(int fd, uint16_t *ret_rows, uint16_t *ret_cols);

#endif
