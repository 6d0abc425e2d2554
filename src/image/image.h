/* SPDX-License-Identifier: Apache-2.0
 *
 * image: the program sbx-image. `ensure NAME` makes a template where it is missing or its inputs changed, `check
 * NAME` says whether that is so. stdout is data (--json), stderr is talk.
 */
#ifndef SBX_IMAGE_IMAGE_H
#define SBX_IMAGE_IMAGE_H

/* The program's main: 0, 1 (failed, or check: must be built), 64 (wrong usage). */
int image_main(int argc, char **argv);

#endif
