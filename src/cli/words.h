/* SPDX-License-Identifier: Apache-2.0
 *
 * words: how resources are written behind `sbx policy allow` and its siblings: joined by commas, perhaps behind the word `network`
 * (which the original asks for), and `tcp HOST:PORT` as one argument or two.
 */
#ifndef SBX_CLI_WORDS_H
#define SBX_CLI_WORDS_H

#include <jansson.h>

#include "cli/cmd.h"

/* Positionals that a command takes at most for them. */
#define WORDS_MAX 3

/* The resources as a list of strings, owned; negative with c->err filled. */
int words_resources(struct cli *c, const struct cmd_args *a, json_t **ret);
/* The one target of `check` and `explain`, owned. */
int words_target(struct cli *c, const struct cmd_args *a, char **ret);
/* The parts of "GET,HEAD" as a list, owned. NULL: they are no UTF-8, or there is no memory. */
json_t *words_split(const char *s);
/* Puts a string into a request's body where it is given; negative with c->err filled where it is no UTF-8. */
int words_put(struct cli *c, json_t *body, const char *key, const char *value);

#endif
