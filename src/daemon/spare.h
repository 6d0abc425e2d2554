/* SPDX-License-Identifier: Apache-2.0
 *
 * spare: work on disks that nobody waits for. The next sandbox's disk is formatted while nothing starts, and the blocks of a removed
 * one are given back on a thread of their own.
 */
#ifndef SBX_DAEMON_SPARE_H
#define SBX_DAEMON_SPARE_H

#include "daemon/daemon.h"

/* There may be no spare disk any more: one is made in a moment, once nothing starts. Any number of times. */
void spare_wanted(struct daemon *d);
/* Ends what runs; the daemon's loop still turns. */
void spare_cancel(struct daemon *d);
/* Closes the last descriptor of a file whose name is gone. */
void spare_close(struct daemon *d, int fd);

#endif
