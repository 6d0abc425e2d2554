/* SPDX-License-Identifier: Apache-2.0
 *
 * menu: one choice out of a few, on the terminal of stdin and stderr: arrows (or j and k), a digit, Enter, Esc.
 */
#ifndef SBX_CLI_MENU_H
#define SBX_CLI_MENU_H

#include <stddef.h>

#define MENU_MAX 9

struct menu_item {
	const char *label, *summary; /* borrowed */
};

/* Index of the choice; -ECANCELED for Esc, an interrupt or the end of the input; -errno. The menu is gone afterwards. */
int menu_choose(const char *title, const struct menu_item *items, size_t n, size_t at);

#endif
