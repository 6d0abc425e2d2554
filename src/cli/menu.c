/* SPDX-License-Identifier: Apache-2.0
 *
 * menu: see menu.h. Lines are cut to the terminal's width, so that the menu can be written over.
 */
#include "cli/menu.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/table.h"
#include "cli/term.h"

#define ESC_MS 100 /* an Esc that is followed by nothing is the key */

enum key { KEY_NONE, KEY_UP, KEY_DOWN, KEY_ENTER, KEY_CANCEL, KEY_DIGIT };

static int read_byte(int timeout_ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char c;
	ssize_t n;
	int r;

	do {
		r = poll(&p, 1, timeout_ms);
	} while (r < 0 && errno == EINTR);
	if (r <= 0)
		return -1;
	n = read(STDIN_FILENO, &c, 1);
	return n == 1 ? c : -1;
}

/* ESC [ A, ESC O A: an arrow; other sequences are swallowed; ESC before anything else is the key itself. */
static enum key read_escape(void)
{
	int c = read_byte(ESC_MS);

	if (c != '[' && c != 'O')
		return KEY_CANCEL;
	do {
		c = read_byte(ESC_MS);
	} while (c >= 0x20 && c < 0x40);
	return c == 'A' ? KEY_UP : c == 'B' ? KEY_DOWN : KEY_NONE;
}

static enum key read_key(size_t *ret_digit)
{
	int c = read_byte(-1);

	switch (c) {
	case -1:
	case 0x03:
	case 0x04:
	case 'q':
		return KEY_CANCEL;
	case 0x1b:
		return read_escape();
	case '\r':
	case '\n':
		return KEY_ENTER;
	case 'k':
		return KEY_UP;
	case 'j':
		return KEY_DOWN;
	default:
		if (c < '1' || c > '9')
			return KEY_NONE;
		*ret_digit = (size_t)(c - '1');
		return KEY_DIGIT;
	}
}

static void draw(const struct menu_item *items, size_t n, size_t at)
{
	uint16_t rows, cols;
	char line[300];

	term_size(STDERR_FILENO, &rows, &cols);
	for (size_t i = 0; i < n; i++) {
		(void)str_format(line, sizeof(line), "%s %zu. %-12s %s", i == at ? ">" : " ", i + 1, items[i].label,
				 items[i].summary);
		table_clean(line);
		(void)fprintf(stderr, "\r\033[K%s%.*s%s\r\n", i == at ? "\033[1m" : "", cols - 1, line, i == at ? "\033[0m" : "");
	}
	(void)fprintf(stderr, "\r\033[K%.*s", cols - 1, "  Up and Down or a number, Enter to choose, Esc to leave");
	(void)fflush(stderr);
}

static int choose(const struct menu_item *items, size_t n, size_t at)
{
	for (;;) {
		size_t digit = 0;

		draw(items, n, at);
		switch (read_key(&digit)) {
		case KEY_UP:
			at = at > 0 ? at - 1 : n - 1;
			break;
		case KEY_DOWN:
			at = at + 1 < n ? at + 1 : 0;
			break;
		case KEY_ENTER:
			return (int)at;
		case KEY_DIGIT:
			if (digit < n)
				return (int)digit;
			break;
		case KEY_CANCEL:
			return -ECANCELED;
		case KEY_NONE:
			break;
		}
		(void)fprintf(stderr, "\r\033[%zuA", n);
	}
}

int menu_choose(const char *title, const struct menu_item *items, size_t n, size_t at)
{
	int r = term_raw(STDIN_FILENO);

	if (r < 0)
		return r;
	(void)fprintf(stderr, "%s\r\n", title);
	r = choose(items, n, at);
	/* What was drawn below the title goes, and the title. */
	(void)fprintf(stderr, "\r\033[%zuA\033[J", n + 1);
	(void)fflush(stderr);
	term_restore();
	return r;
}
