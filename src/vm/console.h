/* SPDX-License-Identifier: Apache-2.0
 *
 * console: lines that a helper writes where nobody answers: QEMU's serial console into a file that is bounded
 * (CONSOLE_MAX_BYTES, then the file is started anew and the old one kept once), and a helper's stderr into our log,
 * escaped and bounded in number, with the last line kept for error messages.
 */
#ifndef SBX_VM_CONSOLE_H
#define SBX_VM_CONSOLE_H

#include <uv.h>

#define CONSOLE_MAX_BYTES (512 * 1024)
#define CONSOLE_MAX_LINES 2000

struct console;

/* The guest's console: fd (owned) is copied to DIR/console.log; what was there becomes console.log.old. */
struct console *console_to_file(uv_loop_t *loop, int fd, const char *dir);
/* A helper's stderr: fd (owned) goes to our log, each line with the name. */
struct console *console_to_log(uv_loop_t *loop, int fd, const char *name);
/* The last whole line seen (escaped); "" where there was none. Borrowed until more arrives. */
const char *console_last(const struct console *c);
/* Reads what is there now without waiting (after the helper's end). */
void console_drain(struct console *c);
void console_free(struct console *c);

#endif
