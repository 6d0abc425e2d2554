/* SPDX-License-Identifier: Apache-2.0
 *
 * console: the few lines that the guest's PID 1 says on /dev/console. They start with "sbx-guest:" and end up in
 * the host's console.log. From any thread.
 */
#ifndef SBX_GUEST_CONSOLE_H
#define SBX_GUEST_CONSOLE_H

/* Opens /dev/console and makes sure that descriptors 0-2 are in use; call once /dev is there. */
void console_open(void);
/* One line; without a console it is dropped. */
void console_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
