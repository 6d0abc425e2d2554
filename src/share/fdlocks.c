/* SPDX-License-Identifier: Apache-2.0
 *
 * fdlocks: see fdlocks.h.
 */
#include "share/fdlocks.h"

#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define MAX_TEXT (4U << 20)

/* lock: NUMBER: KIND ADVISORY READ|WRITE PID DEV:INO FIRST LAST|EOF */
enum word { WORD_LOCK, WORD_NUMBER, WORD_KIND, WORD_MODE, WORD_ACCESS, WORD_PID, WORD_FILE, WORD_FIRST, WORD_LAST, WORDS };

/* The next piece that holds none of the separators, terminated in place; NULL where there is none. */
static char *piece(char **at, const char *separators)
{
	char *start = *at + strspn(*at, separators);

	*at = start + strcspn(start, separators);
	if (*at == start)
		return NULL;
	if (**at)
		*(*at)++ = 0;
	return start;
}

/* 1: a lock, 0: another line, -EPROTO, -ENOMEM. */
static int parse_line(char *line, struct fdlock *ret)
{
	char *words[WORDS];
	uint64_t first, last = INT64_MAX;
	size_t n = 0;

	while (n < WORDS && (words[n] = piece(&line, " \t")))
		n++;
	if (n == 0 || !str_eq(words[WORD_LOCK], "lock:"))
		return 0;
	if (n < WORDS)
		return -EPROTO;
	ret->whole = str_eq(words[WORD_KIND], "FLOCK");
	if (!ret->whole && !str_eq(words[WORD_KIND], "OFDLCK"))
		return 0;
	ret->write = str_eq(words[WORD_ACCESS], "WRITE");
	if (!ret->write && !str_eq(words[WORD_ACCESS], "READ"))
		return -EPROTO;
	if (str_u64(words[WORD_FIRST], INT64_MAX, &first) < 0 ||
	    (!str_eq(words[WORD_LAST], "EOF") && str_u64(words[WORD_LAST], INT64_MAX, &last) < 0) || last < first)
		return -EPROTO;
	ret->first = (int64_t)first;
	ret->last = (int64_t)last;
	return 1;
}

int fdlocks_parse(char *text, struct fdlocks *ret)
{
	size_t cap = 0;
	char *line;

	*ret = (struct fdlocks){ 0 };
	while ((line = piece(&text, "\n"))) {
		struct fdlock l;
		int r = parse_line(line, &l);

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		if (ret->n == cap) {
			struct fdlock *more = realloc(ret->list, (cap = cap ? cap * 2 : 8) * sizeof(*more));

			if (!more)
				return -ENOMEM;
			ret->list = more;
		}
		ret->list[ret->n++] = l;
	}
	return 0;
}

int fdlocks_read(int proc_fd, int fd, struct fdlocks *ret)
{
	auto_free char *text = NULL;
	char name[40];
	int r;

	*ret = (struct fdlocks){ 0 };
	(void)str_format(name, sizeof(name), "../fdinfo/%d", fd);
	r = io_read_file(proc_fd, name, MAX_TEXT, &text, NULL);
	return r < 0 ? r : fdlocks_parse(text, ret);
}

void fdlocks_done(struct fdlocks *l)
{
	free(l->list);
	*l = (struct fdlocks){ 0 };
}
