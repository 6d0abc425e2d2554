/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic: see traffic.h. A source is one open file; its lines are cut by `cut`. Rows are found by a hash of what they have in common.
 */
#include "daemon/traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/sandbox.h"
#include "policy/index.h"

#define PIECE 65536          /* bytes read at a time */
#define TURN (256U << 10)    /* bytes of one turn of the loop */
#define FOLLOW_MS 250        /* between two looks for new bytes */
#define FOLLOW_FILES_MAX 256

/* A file while it is read. */
struct source {
	int fd; /* owned */
	char sandbox[NAME_SIZE];
	struct buf line; /* the part of a line that has come so far */
	bool skip;       /* the line is too long: up to its end */
};

typedef void on_line(void *user, const char *sandbox, const char *line, size_t n);

static void source_init(struct source *s, int fd, const char *sandbox)
{
	*s = (struct source){ .fd = fd };
	(void)str_format(s->sandbox, sizeof(s->sandbox), "%s", sandbox);
	buf_init(&s->line, NETLOG_LINE_MAX);
}

static void source_done(struct source *s)
{
	own_close_p(&s->fd);
	buf_done(&s->line);
}

/* A line that is too long goes to `line` as nothing. */
static void cut(struct source *s, const char *bytes, size_t n, on_line *line, void *user)
{
	while (n > 0) {
		const char *end = memchr(bytes, '\n', n);
		size_t part = end ? (size_t)(end - bytes) : n;

		if (!s->skip && buf_append(&s->line, bytes, part) < 0)
			s->skip = true;
		if (end) {
			line(user, s->sandbox, (const char *)buf_bytes(&s->line), s->skip ? 0 : buf_len(&s->line));
			buf_consume(&s->line, buf_len(&s->line));
			s->skip = false;
		}
		part += end != NULL;
		bytes += part;
		n -= part;
	}
}

/* At most max bytes; how many there were, 0 at the end (or where it cannot be read). */
static size_t source_read(struct source *s, size_t max, on_line *line, void *user)
{
	char piece[PIECE];
	size_t total = 0;

	while (total < max) {
		ssize_t n = read(s->fd, piece, sizeof(piece));

		if (n <= 0)
			break;
		cut(s, piece, (size_t)n, line, user);
		total += (size_t)n;
	}
	return total;
}

/* STATE/sandboxes/<id>/network.jsonl, or a predecessor. */
static int open_log(const struct daemon *d, const char *id, int old)
{
	char name[STORE_ID_SIZE + 32];
	struct stat st;
	int fd;

	if (old)
		(void)str_format(name, sizeof(name), "%s/" TRAFFIC_FILE ".%d", id, old);
	else
		(void)str_format(name, sizeof(name), "%s/" TRAFFIC_FILE, id);
	fd = openat(d->disks.fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* --- the sum --- */

struct sum {
	uv_idle_t idle;
	struct source *sources; /* owned */
	size_t nsources, at;
	struct traffic t;
	struct index index; /* of the rows */
	traffic_done *done;
	void *user;
	int error;
};

static void sum_free(struct sum *s)
{
	for (size_t i = 0; i < s->nsources; i++)
		source_done(&s->sources[i]);
	free(s->sources);
	free(s->t.rows);
	index_done(&s->index);
	free(s);
}

static uint64_t hash_of(const char *sandbox, const struct netlog *l)
{
	uint64_t h = index_hash(INDEX_SEED, sandbox, strlen(sandbox) + 1);
	uint8_t rest[4] = { (uint8_t)l->verdict, (uint8_t)l->way, (uint8_t)(l->port >> 8), (uint8_t)l->port };

	h = index_hash(h, l->host, strlen(l->host) + 1);
	h = index_hash(h, l->rule, strlen(l->rule) + 1);
	h = index_hash(h, l->reason, strlen(l->reason) + 1);
	return index_hash(h, rest, sizeof(rest));
}

static bool is_like(const struct traffic_row *row, const char *sandbox, const struct netlog *l)
{
	return row->like.verdict == l->verdict && row->like.way == l->way && row->like.port == l->port &&
	       str_eq(row->like.host, l->host) && str_eq(row->like.rule, l->rule) && str_eq(row->like.reason, l->reason) &&
	       str_eq(row->sandbox, sandbox);
}

static struct traffic_row *find_row(struct sum *s, const char *sandbox, const struct netlog *l, uint64_t hash)
{
	for (uint32_t i = index_first(&s->index, hash); i != INDEX_END; i = index_next(&s->index, i))
		if (is_like(&s->t.rows[i], sandbox, l))
			return &s->t.rows[i];
	return NULL;
}

static struct traffic_row *new_row(struct sum *s, const char *sandbox, const struct netlog *l, uint64_t hash)
{
	struct traffic_row *row;

	if (s->t.n == TRAFFIC_ROWS_MAX)
		return NULL;
	if (s->t.n % 64 == 0) {
		struct traffic_row *rows = realloc(s->t.rows, (s->t.n + 64) * sizeof(*rows));

		if (!rows)
			return NULL;
		s->t.rows = rows;
	}
	if (index_reserve(&s->index) < 0)
		return NULL;
	index_add(&s->index, hash);
	row = &s->t.rows[s->t.n++];
	*row = (struct traffic_row){ .like = *l, .since_ms = l->time_ms, .last_ms = l->time_ms };
	(void)str_format(row->sandbox, sizeof(row->sandbox), "%s", sandbox);
	return row;
}

static void sum_line(void *user, const char *sandbox, const char *line, size_t n)
{
	struct sum *s = user;
	struct traffic_row *row;
	struct netlog l;
	uint64_t hash;

	if (netlog_parse(line, n, &l, NULL) < 0) {
		s->t.unreadable++;
		return;
	}
	if (l.event != NETLOG_DECISION)
		return;
	hash = hash_of(sandbox, &l);
	row = find_row(s, sandbox, &l, hash);
	row = row ? row : new_row(s, sandbox, &l, hash);
	if (!row) {
		s->t.left_out += l.count;
		return;
	}
	row->count += l.count;
	if (l.time_ms < row->since_ms)
		row->since_ms = l.time_ms;
	if (l.time_ms > row->last_ms)
		row->last_ms = l.time_ms;
}

static int compare_rows(const void *a, const void *b)
{
	const struct traffic_row *ra = a, *rb = b;

	if (ra->last_ms != rb->last_ms)
		return ra->last_ms < rb->last_ms ? 1 : -1;
	return strcmp(ra->like.host, rb->like.host);
}

static void on_sum_closed(uv_handle_t *h)
{
	sum_free(h->data);
}

static void on_idle(uv_idle_t *h)
{
	struct sum *s = h->data;

	if (s->at < s->nsources) {
		if (source_read(&s->sources[s->at], TURN, sum_line, s) == 0)
			s->at++;
		return;
	}
	if (s->t.n > 0)
		qsort(s->t.rows, s->t.n, sizeof(*s->t.rows), compare_rows);
	s->done(s->user, &s->t, 0);
	(void)uv_idle_stop(h);
	uv_close((uv_handle_t *)h, on_sum_closed);
}

static int add_sources(struct sum *s, const struct daemon *d, const struct sandbox *of)
{
	struct source *sources = realloc(s->sources, (s->nsources + TRAFFIC_OLD + 1) * sizeof(*sources));

	if (!sources)
		return -ENOMEM;
	s->sources = sources;
	/* The newest is opened first: a rotation in between makes a file be read twice rather than not at all. */
	for (int old = 0; old <= TRAFFIC_OLD; old++) {
		int fd = open_log(d, of->row.id, old);

		if (fd >= 0)
			source_init(&s->sources[s->nsources++], fd, of->row.name);
	}
	return 0;
}

int traffic_sum(struct daemon *d, const char *only, traffic_done *done, void *user, struct err *err)
{
	struct sum *s = calloc(1, sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	for (const struct sandbox *of = d->sandboxes; of && r == 0; of = of->next)
		if (!only || str_eq(of->row.id, only))
			r = add_sources(s, d, of);
	if (r == 0)
		r = uv_idle_init(&d->loop, &s->idle);
	if (r < 0) {
		if (s)
			sum_free(s);
		return err_errno(err, -r, "the decision logs");
	}
	s->idle.data = s;
	s->done = done;
	s->user = user;
	(void)uv_idle_start(&s->idle, on_idle);
	return 0;
}

/* --- following --- */

/* The log of one sandbox as it grows. */
struct tail {
	char id[STORE_ID_SIZE];
	struct source source; /* fd -1: there is no file yet */
	ino_t inode;
};

struct follow {
	uv_timer_t timer;
	struct daemon *daemon; /* borrowed */
	char only[STORE_ID_SIZE];
	struct tail *tails; /* owned */
	size_t n;
	const struct traffic_follow_ops *ops;
	void *user;
	bool over;
};

static void on_follow_closed(uv_handle_t *h)
{
	struct follow *f = h->data;

	for (size_t i = 0; i < f->n; i++)
		source_done(&f->tails[i].source);
	free(f->tails);
	free(f);
}

static void follow_line(void *user, const char *sandbox, const char *line, size_t n)
{
	struct follow *f = user;
	struct netlog l;
	json_t *record;

	if (f->over || netlog_parse(line, n, &l, &record) < 0)
		return;
	f->over = !f->ops->line(f->user, sandbox, record);
	json_decref(record);
}

static struct tail *find_tail(struct follow *f, const char *id)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_eq(f->tails[i].id, id))
			return &f->tails[i];
	return NULL;
}

static struct tail *new_tail(struct follow *f, const struct sandbox *s)
{
	struct tail *tails, *t;

	if (f->n == FOLLOW_FILES_MAX)
		return NULL;
	tails = realloc(f->tails, (f->n + 1) * sizeof(*tails));
	if (!tails)
		return NULL;
	f->tails = tails;
	t = &f->tails[f->n++];
	*t = (struct tail){ .inode = 0 };
	memcpy(t->id, s->row.id, sizeof(t->id));
	source_init(&t->source, -1, s->row.name);
	return t;
}

/* Goes on to the present file where there is none yet or another one; what the old one still has was read before. */
static void renew(struct follow *f, struct tail *t, bool from_end)
{
	int fd = open_log(f->daemon, t->id, 0);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || (t->source.fd >= 0 && st.st_ino == t->inode)) {
		(void)close(fd);
		return;
	}
	if (t->source.fd >= 0)
		(void)source_read(&t->source, TURN, follow_line, f);
	own_close_p(&t->source.fd);
	buf_consume(&t->source.line, buf_len(&t->source.line));
	t->source.skip = false;
	t->source.fd = fd;
	t->inode = st.st_ino;
	if (from_end)
		(void)lseek(fd, 0, SEEK_END);
}

static void look(struct follow *f, bool first)
{
	for (const struct sandbox *s = f->daemon->sandboxes; s && !f->over; s = s->next) {
		struct tail *t;

		if (f->only[0] && !str_eq(f->only, s->row.id))
			continue;
		t = find_tail(f, s->row.id);
		t = t ? t : new_tail(f, s);
		if (!t)
			continue;
		if (t->source.fd >= 0)
			(void)source_read(&t->source, TURN, follow_line, f);
		renew(f, t, first);
	}
}

static void on_tick(uv_timer_t *h)
{
	struct follow *f = h->data;

	look(f, false);
	if (!f->over && !f->daemon->stopping && f->ops->idle(f->user))
		return;
	f->ops->end(f->user);
	(void)uv_timer_stop(h);
	uv_close((uv_handle_t *)h, on_follow_closed);
}

int traffic_follow(struct daemon *d, const char *only, const struct traffic_follow_ops *ops, void *user, struct err *err)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (!f)
		return err_errno(err, ENOMEM, "the decision logs");
	f->daemon = d;
	f->ops = ops;
	f->user = user;
	(void)str_format(f->only, sizeof(f->only), "%s", only ? only : "");
	(void)uv_timer_init(&d->loop, &f->timer);
	f->timer.data = f;
	look(f, true);
	(void)uv_timer_start(&f->timer, on_tick, FOLLOW_MS, FOLLOW_MS);
	return 0;
}
