/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: `sbx-keeper`, one per user: the only process that holds the keys of the sandboxes' CAs, and the one that keeps the user's secrets. It is started by
 * whoever needs it (base/ondemand.h) and ends by itself when nobody has been connected for ten minutes.
 */
#ifndef SBX_KEEPER_KEEPER_H
#define SBX_KEEPER_KEEPER_H

int keeper_main(int argc, char **argv);

#endif
