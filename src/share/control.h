/* SPDX-License-Identifier: Apache-2.0
 *
 * control: what sbx-vm asks of a running sbx-fs, over a stream socket. The request is one line, `save`. The answer is one
 * line, `ok BYTES LOST` and then as many bytes (wire/fsstate.h; save.h says what LOST counts), or `no KIND TEXT` (KIND of
 * err.h). The bytes go this way and not into a file that is sent along, so that sbx-fs need not receive descriptors.
 */
#ifndef SBX_SHARE_CONTROL_H
#define SBX_SHARE_CONTROL_H

#define CONTROL_SAVE "save\n"

/* struct door_ops; user is a struct fs. */
int control_serve(void *user);

#endif
