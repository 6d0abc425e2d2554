/* SPDX-License-Identifier: Apache-2.0
 *
 * saver: `sbx-frozen --save` and `--load`, one job each for a supervisor, which gives it everything by descriptor
 * (savelink.h): a machine that stands still becomes files of a directory, and files become a machine's memory again.
 */
#ifndef SBX_VM_SAVER_H
#define SBX_VM_SAVER_H

/* The exit code. */
int saver_main(void);

#endif
