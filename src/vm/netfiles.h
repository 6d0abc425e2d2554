/* SPDX-License-Identifier: Apache-2.0
 *
 * netfiles: the files that the proxy is given as descriptors, because it can open none: the sandbox's policy and decision
 * log, and the certificates that upstream servers are verified by. dir is STATE/sandboxes/<id>. Every descriptor that is
 * returned is owned by the caller.
 */
#ifndef SBX_VM_NETFILES_H
#define SBX_VM_NETFILES_H

#include "base/err.h"

/* network.jsonl and its predecessors network.jsonl.1 (the newest) to .4. */
#define NETFILES_LOG "network.jsonl"
#define NETFILES_OLD_LOGS 4
#define NETFILES_CA_MAX (56 * 1024)

/* policy.json, read-only, at its beginning. -ENOENT where there is none. */
int netfiles_policy(int dir, struct err *err);
/* A descriptor of a policy as if it had been opened now: its reader shares no offset with others. -errno. */
int netfiles_again(int fd);
/* The decision log, append-only, 0600. */
int netfiles_log(int dir, struct err *err);
/* The proxy says that the log is full: the old ones move by one, and the next netfiles_log begins anew. -EAGAIN where it
 * is not full: whoever could make the host throw old logs away at will could hide what was done. */
int netfiles_rotate(int dir);
/* The host's trust store and, where extra is not NULL, one more file of certificates; in memory, read-only. */
int netfiles_trust(const char *extra, struct err *err);
/* The certificates of a file and nothing else of it, as the guest takes them (armour and base64); owned. At most
 * NETFILES_CA_MAX bytes. */
int netfiles_certificates(const char *path, char **ret, struct err *err);

#endif
