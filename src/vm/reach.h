/* SPDX-License-Identifier: Apache-2.0
 *
 * reach: what each process of a running sandbox can reach, read from /proc and not from our own intentions:
 * namespaces that differ from ours, mounts that it sees, capabilities, system call filter, open descriptors.
 */
#ifndef SBX_VM_REACH_H
#define SBX_VM_REACH_H

#include "vm/machine.h"

/* {"processes": [{"process": "qemu", "pid": n, "namespaces": {"net": "own"|"host", ...}, "seccomp": bool,
 * "no_new_privs": bool, "capabilities": "hex", "mounts": ["ro /path", ..], "descriptors": ["socket", ..]}]} */
json_t *reach_describe(const struct machine *m);

#endif
