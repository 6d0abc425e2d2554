/* SPDX-License-Identifier: Apache-2.0
 *
 * source: where this machine gets Debian from. Enters: what apt says about its own configuration. Leaves: the
 * addresses to make an image from. No mirror is known by name: what a Release file, which apt has verified, says of
 * its origin decides.
 */
#ifndef SBX_IMAGE_SOURCE_H
#define SBX_IMAGE_SOURCE_H

#include "image/job.h"

struct source {
	char main[512];	    /* the archive's URI */
	char security[512]; /* empty: this machine takes none */
	bool updates;	    /* SUITE-updates is wanted too */
};

/* One line of `apt-get indextargets`: fields separated by tabs, as SOURCE_FORMAT says. */
struct source_target {
	char release[128]; /* as configured: bookworm, stable-updates, ... */
	char uri[512];
	char file[1024]; /* of the Release file, without the name's last part (InRelease or Release) */
};
#define SOURCE_FORMAT "$(CREATED_BY)\t$(COMPONENT)\t$(RELEASE)\t$(REPO_URI)\t$(METAKEY)\t$(FILENAME)"

/* ERR_UNAVAILABLE with a remedy where apt knows no Debian archive. */
int source_find(const struct job *j, struct source *ret, struct err *err);
/* The one-line sources for apt that the template's suite needs, ending in newlines. 0 or -errno. */
int source_list(const struct source *s, const char *suite, struct buf *out);

/* For source_find and its tests. false: the line is no binary index of the component main. */
bool source_parse_target(const char *line, struct source_target *ret);
/* The fields Origin and Label of a Release or InRelease file: empty where they are missing. */
void source_parse_release(const char *text, char *ret_origin, char *ret_label, size_t size);

#endif
