/* SPDX-License-Identifier: Apache-2.0
 *
 * netasks: the questions of a proxy that wait for the user. What the proxy says is untrusted: at most NETASKS_MAX at a time, no number is shown
 * for two questions, and one of whose end nothing was heard ends by itself, a few seconds after its time.
 */
#ifndef SBX_VM_NETASKS_H
#define SBX_VM_NETASKS_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#define NETASKS_MAX 64

struct netasks;

/* changed: the number of questions, soon after it did, from the loop; the proxy makes and drops them as fast as it likes. NULL: out of memory. */
struct netasks *netasks_new(uv_loop_t *loop, void (*changed)(void *user), void *user);
/* No callback any more. The memory goes later, from the loop. NULL is allowed. */
void netasks_free(struct netasks *a);

/* What the proxy said of a question (docs/network.md; number: its member "ask"), of which only the members named there are kept. false: it is
 * not shown, because there are too many or because of its number. */
bool netasks_add(struct netasks *a, const json_t *message);
/* It waits no longer: answered, or over. false: there is none of that number. */
bool netasks_remove(struct netasks *a, json_int_t number);
/* All of them. false: there were none. */
bool netasks_clear(struct netasks *a);

size_t netasks_count(const struct netasks *a);
/* The highest number that was ever shown. */
json_int_t netasks_last(const struct netasks *a);
/* A new array: the oldest first, as many as take at most max_bytes. */
json_t *netasks_list(const struct netasks *a, size_t max_bytes);

#endif
