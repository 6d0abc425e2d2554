/* SPDX-License-Identifier: Apache-2.0
 *
 * config: what sbx-vm tells sbx-fs at its start, as JSON on a descriptor:
 *
 *   {"nonce": "<hex>", "cache_ms": 0, "control_fd": 5, "state_fd": 6,
 *    "roots": [{"fd": 5, "path": "/abs", "readonly": false, "type": "dir"|"file", "parent_fd": 6, "name": "base"}]}
 *
 * The descriptors were opened O_PATH outside of the jail. parent_fd and name are given for a single file and for a
 * read-only path inside another root. control_fd and state_fd may be missing: the socket of control.h, and a file with
 * the state that another sbx-fs has saved, to go on with (restore.h). cache_ms (default 0) is how long the guest may believe names and attributes.
 */
#ifndef SBX_SHARE_CONFIG_H
#define SBX_SHARE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CONFIG_MAX_ROOTS 64
#define CONFIG_MAX_NONCE 128
#define CONFIG_MAX_BYTES (1024 * 1024)

struct config_root {
	int fd;        /* owned, O_PATH */
	int parent_fd; /* owned, O_PATH directory, or -1 */
	char *name;    /* owned: the component below parent_fd; NULL where parent_fd is -1 */
	char *path;    /* owned: as seen in the guest; for messages only */
	bool readonly;
	bool is_file;
};

struct config {
	int control_fd, state_fd; /* owned; -1: none */
	char nonce[CONFIG_MAX_NONCE + 1];
	unsigned cache_ms;
	struct config_root roots[CONFIG_MAX_ROOTS];
	size_t nroots;
};

/* Reads fd to its end. On success *ret owns the roots' descriptors. */
int config_read(int fd, struct config *ret, struct err *err);
/* Reads the text of n bytes; as config_read. */
int config_parse(const char *text, size_t n, struct config *ret, struct err *err);
void config_done(struct config *c);

#endif
