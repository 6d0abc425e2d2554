/* SPDX-License-Identifier: Apache-2.0
 *
 * stop: SIGINT, SIGTERM and SIGHUP as something to look at: what runs ends its children and says so, instead of
 * dying in the middle. Once asked to stop, it stays so.
 */
#ifndef SBX_IMAGE_STOP_H
#define SBX_IMAGE_STOP_H

#include "base/err.h"

/* Blocks the signals for this process (children get them back, spawn.h). Call once, first. */
int stop_init(struct err *err);
/* Readable when a signal came; -1 before stop_init. */
int stop_fd(void);
/* 0, or -EINTR and an error for the user when a signal came. */
int stop_check(struct err *err);

#endif
