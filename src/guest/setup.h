/* SPDX-License-Identifier: Apache-2.0
 *
 * setup: the body of /setup, and the steps that turn the booted machine into a sandbox.
 */
#ifndef SBX_GUEST_SETUP_H
#define SBX_GUEST_SETUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guest/trust.h"
#include "guest/users.h"
#include "guest/vars.h"

#define SETUP_LAYERS_MAX 32
#define SETUP_WORKSPACES_MAX 256
#define SETUP_BODY_MAX (2 * 1024 * 1024)

struct workspace {
	unsigned index; /* its name in the file door's root */
	char *path;     /* owned */
	bool readonly;
	bool file;    /* a single file */
	uint64_t ino; /* filled by setup_run: st_ino at path */
};

struct setup {
	char hostname[65];
	char machine_id[33];
	uint64_t time_ns;
	uint8_t entropy[256];
	size_t entropy_bytes;
	unsigned layers[SETUP_LAYERS_MAX]; /* SCSI targets, lowest first */
	size_t nlayers;
	unsigned disk; /* SCSI target */
	bool fs;       /* there is a file door */
	bool network;  /* there is a network door */
	char *ca;      /* owned: PEM; NULL where there is none */
	char ca_hash[TRUST_HASH]; /* of its first certificate; "": not known */
	struct workspace *workspaces; /* owned, in the host's order: the first is the default cwd */
	size_t nworkspaces;
	struct vars env;
	json_t *files; /* owned: of the agent's home folder, homefiles.h; NULL: none */
	char nonce[129]; /* filled by setup_run */
	struct user agent; /* filled by setup_run: uid 0 where the image has no agent */
};

/* n bytes of JSON. On failure *ret is empty. */
int setup_parse(const void *json, size_t n, struct setup *ret, struct err *err);
/* Only hostname, machine_id, time_ns and entropy. */
int setup_identity(const json_t *o, struct setup *s, struct err *err);
/* Only network, ca and ca_hash. */
int setup_network(const json_t *o, struct setup *s, struct err *err);
void setup_done(struct setup *s);

/* Everything, in order. Blocks up to about 40 s: for a thread of its own. After a failure the machine is of no use. */
int setup_run(struct setup *s, struct err *err);
/* The response's JSON, owned by the caller; NULL on -ENOMEM. */
char *setup_reply(const struct setup *s);

#endif
