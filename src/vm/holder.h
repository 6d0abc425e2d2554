/* SPDX-License-Identifier: Apache-2.0
 *
 * holder: `sbx-frozen`, one per user, started on demand by the first supervisor that needs it: holds the frozen machines
 * that were used last, each as two sealed files in memory, and hands descriptors of them to supervisors of the same
 * user. It reads no byte that a guest wrote but to copy and digest it; what boots and freezes a machine, or reads one
 * from the disk, is a child.
 *
 * RUNTIME/frozen.sock, SOCK_SEQPACKET, one exchange per connection:
 *   request   a shape (shape.h) as JSON; or {"end": true} from another build's supervisor, which starts its own
 *   answer    {"key": "HEX"} with memory and state as descriptors, or {"error": {"kind", "message"}}
 */
#ifndef SBX_VM_HOLDER_H
#define SBX_VM_HOLDER_H

#define HOLDER_SOCKET "frozen.sock"
#define HOLDER_ANSWER_MAX 2048

int holder_main(int argc, char **argv);

#endif
