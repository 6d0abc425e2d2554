/* SPDX-License-Identifier: Apache-2.0
 *
 * tsc: see tsc.h.
 */
#include "vm/tsc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define MEASURE_NS 20000000ULL

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* One pair of readings that lie close together: the clock is read between two counter readings, and the pair with
 * the smallest gap of several tries is taken, so that a preemption in between does not count. */
static void sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t a = __rdtsc(), t = now_ns(), b = __rdtsc();

		if (b - a < best) {
			best = b - a;
			*tsc = a + (b - a) / 2;
			*ns = t;
		}
	}
}

static uint64_t measure(void)
{
	uint64_t t0, n0, t1, n1;

	sample(&t0, &n0);
	while (now_ns() - n0 < MEASURE_NS)
		;
	sample(&t1, &n1);
	return (t1 - t0) * 1000000ULL / (n1 - n0);
}

/* The line that the cache file holds for this boot: "BOOT_ID ". */
static int boot_prefix(char *dst, size_t size)
{
	auto_free char *id = NULL;
	int r = io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &id, NULL);

	if (r < 0)
		return r;
	id[strcspn(id, "\n")] = 0;
	return str_format(dst, size, "%s ", id);
}

uint64_t tsc_khz(const char *cache_dir)
{
	auto_fd int dir = open(cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_free char *text = NULL;
	char prefix[80], line[128];
	uint64_t khz;

	if (boot_prefix(prefix, sizeof(prefix)) < 0)
		return measure();
	if (dir >= 0 && io_read_file(dir, "tsc", 128, &text, NULL) == 0 && str_starts(text, prefix)) {
		text[strcspn(text, "\n")] = 0;
		if (str_u64(text + strlen(prefix), 100000000, &khz) == 0 && khz > 100000)
			return khz;
	}
	khz = measure();
	if (dir >= 0 && str_format(line, sizeof(line), "%s%llu\n", prefix, (unsigned long long)khz) == 0)
		(void)io_write_file_atomic(dir, "tsc", line, strlen(line), 0600);
	return khz;
}
