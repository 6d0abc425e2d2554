/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenlink: asks `sbx-frozen` for the frozen machine that fits a shape; it is started where it does not run.
 */
#ifndef SBX_VM_FROZENLINK_H
#define SBX_VM_FROZENLINK_H

#include <uv.h>

#include "base/err.h"
#include "vm/shape.h"

struct frozenlink;

/* err NULL: memory and state are the callee's from here on, the state's to be read from its beginning. */
typedef void (*frozenlink_done)(void *user, int memory, int state, const struct err *err);

/* NULL with err where it cannot even be asked; else done is called once, from the loop, unless it is freed before: with an
 * error where there is no answer after wait_ms. */
struct frozenlink *frozenlink_ask(uv_loop_t *loop, const struct shape *s, uint64_t wait_ms, frozenlink_done done, void *user,
				  struct err *err);
/* NULL is allowed. The memory goes later, from the loop. */
void frozenlink_free(struct frozenlink *l);

#endif
