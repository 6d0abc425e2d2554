/* SPDX-License-Identifier: Apache-2.0
 *
 * store: the finished templates, CACHE/templates/. Who reads it takes NAME.json and then the blobs that it names;
 * both appear whole or not at all. One builder at a time writes, under the file `lock`.
 *
 *   NAME.json          manifest (wire/manifest.h), written last
 *   blobs/DIGEST       0444, never changed
 *   refs/ANYTHING.json manifests that somebody else needs to stay valid: their blobs are kept too, as long as the directory
 *                      is there that their "holder" names (the daemon's: one per sandbox)
 *   work/INPUTS/       a build that is not finished (job.h)
 */
#ifndef SBX_IMAGE_STORE_H
#define SBX_IMAGE_STORE_H

#include "image/job.h"
#include "wire/manifest.h"

struct store {
	char dir[4096]; /* absolute */
	int fd;		/* of dir, owned */
	int blobs;	/* of dir/blobs, owned */
};

#define STORE_LOCK_TIMEOUT_MS (30 * 60 * 1000)

/* Makes what is missing of it. To be let go of with store_done, also after a failure. */
int store_open(struct store *s, const char *cache_dir, struct err *err);
/* Opens it only for reading; -ENOENT without a message where there is none. */
int store_open_existing(struct store *s, const char *cache_dir, struct err *err);
void store_done(struct store *s);

/* The manifest of a template all of whose blobs are there with their sizes: 0, or -ENOENT and the like. */
int store_load(const struct store *s, const char *name, struct manifest *ret, struct err *err);
/* Waits until no one else builds; *ret is owned, closing it lets go. */
int store_lock(const struct store *s, struct progress *p, int *ret, struct err *err);
/* Opens, making it where needed, work/INPUTS and its log; fills j's dir, fd and log, which the caller owns. */
int store_job(const struct store *s, const char *inputs, struct job *j, struct err *err);
/* Makes an artefact of the job a blob (a second name of the same file). */
int store_put(const struct store *s, const struct job *j, const char *artefact, struct manifest_blob *ret, struct err *err);
/* Writes the manifest, atomically, after everything that it names is on the disk. */
int store_save(const struct store *s, const struct manifest *m, struct err *err);
/* Removes work/, each blob that no manifest names, and what a killed build had begun as a manifest. Nothing is removed
 * where a manifest cannot be read. */
int store_clean(const struct store *s, struct err *err);
/* The same for what a build left that was killed after its last step; nothing where somebody builds. */
void store_sweep(const struct store *s);

#endif
