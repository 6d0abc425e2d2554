/* SPDX-License-Identifier: Apache-2.0
 *
 * job: what the steps of one build share. Its directory CACHE/templates/work/INPUTS/ holds what is finished under
 * its final name and what is not under another one, so that a build that was killed continues. Everything that a
 * tool says goes to the file `log` there.
 */
#ifndef SBX_IMAGE_JOB_H
#define SBX_IMAGE_JOB_H

#include "image/progress.h"
#include "image/template.h"

/* The finished artefacts. */
#define JOB_TAR "rootfs.tar"
#define JOB_VMLINUZ "vmlinuz" /* there before JOB_TAR is */
#define JOB_VMLINUX "vmlinux"
#define JOB_MODULES "modules.cpio"
#define JOB_RELEASE "release" /* there before JOB_MODULES is */
#define JOB_LAYER "layer.squashfs"
#define JOB_LOG "log"

struct job {
	const struct template *template; /* borrowed */
	struct progress *progress;	 /* borrowed */
	char dir[4096];			 /* absolute */
	int fd;				 /* of dir; owned by who made the job */
	int log;			 /* owned by who made the job */
};

/* Whether an artefact is finished. */
bool job_has(const struct job *j, const char *name);
/* Opens NAME.part anew, whatever had it open before keeps its own; -errno. */
int job_begin(const struct job *j, const char *name);
/* NAME.part, fully written to fd, becomes NAME for good. 0 or an error. */
int job_finish(const struct job *j, const char *name, int fd, struct err *err);

#endif
