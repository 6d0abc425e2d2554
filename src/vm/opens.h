/* SPDX-License-Identifier: Apache-2.0
 *
 * opens: URLs that programs in the sandbox want this host to open. They come as lines of the stream /open (wire/openmsg.h) and are hostile; what
 * passes wire/openurl.h is offered to the session with a terminal that came last, or waits for `sbx open`. Who opens one asks the policy
 * first, takes it (opens_take: from then on its callback is listened for, see callback.h) and says how it went (opens_done). The program
 * in the sandbox is answered once: by opens_done, or at once where nobody is there, or when nobody has said anything in time.
 *
 *   waiting   since it came; for OPENS_KEEP_MS. Leaves by opens_done or when that time is over
 *   taken     for OPENS_ANSWER_MS, then waiting again
 *
 * Bounds: OPENS_WAITING at a time, with OPENS_TEXT_MAX altogether, which one record can list; OPENS_BURST at once, and one more every OPENS_REFILL_MS; OPENS_CALLBACKS.
 */
#ifndef SBX_VM_OPENS_H
#define SBX_VM_OPENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"
#include "vm/door.h"
#include "vm/ports.h"

#define OPENS_WAITING 8
#define OPENS_TEXT_MAX (56 * 1024)
#define OPENS_BURST 5
#define OPENS_REFILL_MS 12000
#define OPENS_KEEP_MS (5 * 60 * 1000)
#define OPENS_ANSWER_MS 20000
#define OPENS_CALLBACKS 4

struct opens;

struct opens_ops {
	/* Somebody with a terminal is told of it (event is stolen). False: nobody is there. */
	bool (*offer)(void *user, json_t *event);
};

/* Opens the stream. All but ops are borrowed until opens_free; name is the sandbox's. NULL on -ENOMEM. A guest that does not take the stream
 * has no URLs to open. */
struct opens *opens_new(uv_loop_t *loop, struct door *door, const struct ports *ports, const char *name, const struct opens_ops *ops,
			void *user);
/* Before the door's end. NULL is allowed. */
void opens_free(struct opens *o);

size_t opens_count(const struct opens *o);
/* [{"open": 3, "url", "local": false, "seconds": 240}], the oldest first; a new reference. "local": it leads to a published port of this sandbox. */
json_t *opens_describe(const struct opens *o);
/* Somebody is about to open it: {"ok", "url", "local", "callback": port or 0}; a new reference. */
int opens_take(struct opens *o, json_int_t id, json_t **ret, struct err *err);
/* error NULL: it was opened. Else the program is told why not; keep: it waits on. */
int opens_done(struct opens *o, json_int_t id, const char *error, bool keep, struct err *err);

#endif
