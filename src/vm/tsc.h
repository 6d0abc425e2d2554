/* SPDX-License-Identifier: Apache-2.0
 *
 * tsc: the host's time stamp counter frequency, for the guest's `tsc_early_khz=`: under software emulation the
 * guest's own calibration against the PIT fails at random when the host is busy.
 */
#ifndef SBX_VM_TSC_H
#define SBX_VM_TSC_H

#include <stdint.h>

/* kHz, measured for about 20 ms against CLOCK_MONOTONIC, or taken from CACHE_DIR/tsc where this boot of the host
 * has measured already (keyed by boot_id). 0 on a machine without a usable counter. */
uint64_t tsc_khz(const char *cache_dir);

#endif
