/* SPDX-License-Identifier: Apache-2.0
 *
 * envset: variables for a program, from -e and --env-file, with the precedence of `docker run`: -e over files, later
 * over earlier. A file has one NAME=VALUE per line, taken literally (no quotes); NAME alone takes the value that sbx
 * itself has, and nothing where it has none; blank lines and lines that start with # are skipped.
 */
#ifndef SBX_CLI_ENVSET_H
#define SBX_CLI_ENVSET_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#define ENVSET_FILE_MAX (1 << 20)
#define ENVSET_MAX 1024 /* variables */

struct envset {
	json_t *files; /* owned; NULL: none */
	json_t *flags; /* owned; NULL: none */
};

/* One -e NAME=VALUE or -e NAME. */
int envset_flag(struct envset *e, const char *arg, struct err *err);
/* One --env-file; errors name the file and the line. */
int envset_file(struct envset *e, const char *path, struct err *err);
/* The content of such a file, which is called `name` in errors. */
int envset_text(struct envset *e, const char *name, const char *text, size_t n, struct err *err);
/* {NAME: VALUE}; owned; NULL on -ENOMEM. */
json_t *envset_merge(const struct envset *e);
void envset_done(struct envset *e);

#endif
