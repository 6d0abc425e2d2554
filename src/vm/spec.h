/* SPDX-License-Identifier: Apache-2.0
 *
 * spec: what one machine is made of, as `sandboxd` wrote it (JSON on descriptor 3; docs/architecture.md). Strings
 * are borrowed from the parsed text and live as long as the spec.
 */
#ifndef SBX_VM_SPEC_H
#define SBX_VM_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/portmap.h"

#define SPEC_MAX_INITRDS 4
#define SPEC_MAX_LAYERS 32
#define SPEC_MAX_WORKSPACES 16
#define SPEC_MAX_BYTES (1024 * 1024)

enum spec_accel { SPEC_ACCEL_AUTO, SPEC_ACCEL_KVM, SPEC_ACCEL_TCG };

struct spec_workspace {
	const char *path;
	bool readonly;
	bool is_file;
};

struct spec {
	json_t *json; /* owned; everything below points into it */
	const char *id, *name, *hostname, *machine_id;
	unsigned cpus;
	uint64_t memory_mib;
	enum spec_accel accel;
	const char *kernel, *disk, *state_dir, *cache_dir;
	const char *initrds[SPEC_MAX_INITRDS];
	size_t ninitrds;
	const char *layers[SPEC_MAX_LAYERS];
	size_t nlayers;
	struct spec_workspace workspaces[SPEC_MAX_WORKSPACES];
	size_t nworkspaces;
	json_t *env; /* object of strings */
	json_t *files; /* of the agent's home folder: [{"path", "mode", "content"}], which the guest checks; NULL: none */
	json_t *upstream;     /* the host's own proxy, as sbx-proxy is told; NULL: none */
	json_t *signins;      /* what can be signed in at inside (wire/oauthdef.h), an array; NULL: nothing */
	const char *extra_ca; /* certificates that upstream servers may have besides the host's; NULL: none */
	struct portmap ports[PORTMAP_MAX]; /* to publish */
	uint16_t prefer[PORTMAP_MAX];      /* of those that the host chooses: the choice of last time; 0: none */
	size_t nports;
	uint64_t grace_ms, boot_timeout_ms;
	uint64_t auto_pause_ms; /* how long one that is kept may be unused until it is paused; 0: for ever */
	bool keep;
	const char *saved; /* the directory of a saved machine that is to go on (save.h); NULL: a new start */
	bool cold; /* boots instead of being thawed from a frozen machine */
};

int spec_parse(const char *text, size_t n, struct spec *ret, struct err *err);
void spec_done(struct spec *s);

#endif
