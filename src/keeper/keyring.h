/* SPDX-License-Identifier: Apache-2.0
 *
 * keyring: the program sbx-keyring, which fetches and keeps the key of the keeper's store where the system keeps keys.
 */
#ifndef SBX_KEEPER_KEYRING_H
#define SBX_KEEPER_KEYRING_H

int keyring_main(int argc, char **argv);

#endif
