/* SPDX-License-Identifier: Apache-2.0
 *
 * accel: whether hardware virtualization is worth a try, and what is remembered of earlier tries. The cheap signs are
 * read here; the proof is a guest that answers on it. No disk is attached before the guest answers, so a guest that
 * does not run on KVM is thrown away and booted again under software emulation: other speed, same isolation.
 */
#ifndef SBX_VM_ACCEL_H
#define SBX_VM_ACCEL_H

#include <stdbool.h>
#include <stddef.h>

#include "vm/spec.h"

struct accel {
	bool kvm;
	bool fallback;    /* kvm, and emulation may follow when it fails */
	char reason[200]; /* why, in words */
};

/* For `auto`: the signs, then what accel_remember wrote for this boot of the host. `kvm` and `tcg` are obeyed. */
void accel_decide(enum spec_accel wanted, const char *cache_dir, struct accel *ret);
/* A guest did not run on KVM: do not try again until the host boots anew. */
void accel_remember_failure(const char *cache_dir);

#endif
