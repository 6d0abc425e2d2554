/* SPDX-License-Identifier: Apache-2.0
 *
 * share: the program sbx-fs, the host's end of the file door. `sbx-fs --id ID` with
 *
 *   descriptor 3   a stream socket that carries FUSE messages of the guest
 *   descriptor 4   its configuration (share/config.h), read to the end
 *   stderr         its log
 *
 * It serves until the socket ends (exit status 0); 1 where it cannot start or the guest breaks the protocol.
 */
#ifndef SBX_SHARE_SHARE_H
#define SBX_SHARE_SHARE_H

int share_main(int argc, char **argv);

#endif
