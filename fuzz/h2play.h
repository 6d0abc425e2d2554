/* SPDX-License-Identifier: Apache-2.0
 *
 * h2play: what stands around a codec of HTTP/2 in the fuzz targets: a random source, and a chan without a peer. Included once by each
 * target, which plays the exchange.
 */
#ifndef SBX_FUZZ_H2PLAY_H
#define SBX_FUZZ_H2PLAY_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "proxy/h2conn.h"

#define EXCHANGES_MAX 256

static uint32_t seed;
static struct dues dues;
static struct turn turn;
static uv_loop_t loop;

/* 0..n-1 */
static unsigned int some(unsigned int n)
{
	seed = seed * 1664525U + 1013904223U;
	return (seed >> 8) % n;
}

static bool released;

static size_t fake_writev(struct chan *c, const struct iovec *iov, int n)
{
	size_t all = 0;

	for (int i = 0; i < n; i++)
		all += iov[i].iov_len;
	return some(4) ? all : some((unsigned int)all + 1);
}

static size_t fake_room(const struct chan *c)
{
	return some(2) ? 65536 : 0;
}

static void fake_shutdown(struct chan *c)
{
}

static void fake_set_reading(struct chan *c, bool on)
{
}

static void fake_release(struct chan *c, bool reset)
{
	chan_done(c);
	free(c);
	released = true;
}

static const struct chan_class fake_class = {
	.name = "fake",
	.writev = fake_writev,
	.room = fake_room,
	.shutdown = fake_shutdown,
	.set_reading = fake_set_reading,
	.release = fake_release,
};

static void settle(struct chan *c)
{
	for (int i = 0; i < 3; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		if (!released)
			chan_deliver_writable(c);
	}
}

static void act_all(void);

static void feed(struct chan *c, const uint8_t *bytes, size_t n)
{
	while (n > 0 && !released) {
		size_t part = some(3) ? n : 1 + some((unsigned int)n);

		if (chan_deliver(c, bytes, part) < 0)
			return;
		bytes += part;
		n -= part;
		act_all();
		settle(c);
		act_all();
		settle(c);
	}
}

static struct chan *play_begin(const uint8_t *bytes)
{
	static bool started;
	struct chan *c = calloc(1, sizeof(*c));

	if (!started)
		started = uv_loop_init(&loop) == 0 && turn_init(&turn, &loop) == 0 && dues_init(&dues, &loop) == 0;
	memcpy(&seed, bytes, sizeof(seed));
	released = false;
	if (c)
		chan_init(c, &fake_class, &turn);
	return c;
}

/* The codec is gone. */
static void play_end(struct chan *c)
{
	/* One that was closed in order still waits for the peer's end. */
	if (!released)
		chan_deliver_closed(c, -ECONNRESET);
	settle(c);
	assert(released);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

#endif
