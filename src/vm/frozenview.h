/* SPDX-License-Identifier: Apache-2.0
 *
 * frozenview: a view of a frozen machine's memory in the process that keeps it, so that its pages are seen to be shared, by
 * whoever counts, from the first woken machine on: they stay when that one goes. Nothing reads it.
 */
#ifndef SBX_VM_FROZENVIEW_H
#define SBX_VM_FROZENVIEW_H

#include <stddef.h>

struct frozenview {
	void *at; /* owned; NULL: none */
	size_t bytes;
};

/* Of the file fd; holes stay holes. Where it cannot be had there is none. */
void frozenview_open(struct frozenview *v, int fd);
void frozenview_close(struct frozenview *v);

#endif
