/* SPDX-License-Identifier: Apache-2.0
 *
 * vm: the program `sbx-vm`, one per running sandbox: the machine's supervisor. Descriptor 3 holds the spec, descriptor
 * 4 the listening socket. It does not need the daemon to be alive, and ends when the machine has ended.
 */
#ifndef SBX_VM_VM_H
#define SBX_VM_VM_H

int vm_main(int argc, char **argv);

#endif
