/* SPDX-License-Identifier: Apache-2.0
 *
 * admission: see admission.h. What a start takes was measured: a woken machine has 76 to 96 MiB of its own when its first program
 * runs, one that booted with 11.5 GiB has 524 MiB, of which its table of pages is a sixty-fourth of its memory.
 */
#include "daemon/admission.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hostmem.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/pause.h"
#include "daemon/settings.h"

#define WOKEN_MIB 160U
#define BOOTED_MIB 352U
#define PAGES_PART 64U
#define TOTAL_LEAST_MIB 512U

uint64_t admission_total_mib(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	struct hostmem m;

	if (hostmem_read("", &m) == 0)
		return m.total >> 20;
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size >> 20 : TOTAL_LEAST_MIB;
}

/* A paused machine's memory is read into a file in memory, but for its holes. */
static uint64_t saved_mib(const struct sandbox *s)
{
	auto_free char *dir = pause_path(s), *path = dir ? str_new("%s/memory", dir) : NULL;
	struct stat st;

	return path && stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 >> 20 : 0;
}

static uint64_t need_mib(const struct sandbox *s)
{
	if (s->paused)
		return WOKEN_MIB + saved_mib(s);
	return s->row.cold ? BOOTED_MIB + s->row.memory_mib / PAGES_PART : WOKEN_MIB;
}

/* What those that start just now will have taken. */
static uint64_t starting_mib(const struct daemon *d)
{
	uint64_t n = 0;

	for (const struct sandbox *s = d->sandboxes; s; s = s->next)
		n += s->state == SANDBOX_STARTING ? need_mib(s) : 0;
	return n;
}

static int no_room(const struct hostmem *m, const char *name, uint64_t need, uint64_t reserve, struct err *err)
{
	char who[120] = "another sandbox";

	if (name)
		(void)str_format(who, sizeof(who), "sandbox '%s'", name);
	return err_set(err, ERR_UNAVAILABLE, ENOMEM,
		       "there is no room for %s: %llu MiB of memory are available%s%.200s, its start (with those under way) takes %llu MiB, "
		       "and %llu MiB stay free (setting sandbox.memoryReserve): end programs, or stop a sandbox with `sbx stop`",
		       who, (unsigned long long)(m->available >> 20), m->group[0] ? " in the control group " : "", m->group,
		       (unsigned long long)need, (unsigned long long)(reserve >> 20));
}

int admission_check(const struct sandbox *s, uint64_t reserve_bytes, struct err *err)
{
	uint64_t total, need = need_mib(s) + starting_mib(s->daemon);
	struct hostmem m;

	if (hostmem_read("", &m) < 0)
		return 0;
	total = m.total >> 20;
	if (s->row.memory_mib > total && total >= TOTAL_LEAST_MIB)
		return err_set(err, ERR_UNAVAILABLE, ENOMEM,
			       "sandbox '%s' was created with %llu MiB of memory, and this host has %llu MiB: remove it, and create it anew "
			       "with `-m %llum` or less",
			       s->row.name, (unsigned long long)s->row.memory_mib, (unsigned long long)total,
			       (unsigned long long)total);
	return m.available >> 20 < need + (reserve_bytes >> 20) ? no_room(&m, s->row.name, need, reserve_bytes, err) : 0;
}

int admission_room(const struct daemon *d, struct err *err)
{
	uint64_t need = WOKEN_MIB + starting_mib(d);
	struct settings set;
	struct hostmem m;
	int r = settings_load(d->dirs.config, &set, NULL, err);

	if (r < 0 || hostmem_read("", &m) < 0)
		return r;
	return m.available >> 20 < need + (set.memory_reserve_bytes >> 20) ? no_room(&m, NULL, need, set.memory_reserve_bytes, err) : 0;
}
