/* SPDX-License-Identifier: Apache-2.0
 *
 * netnames: see netnames.h. Enters: names that any program of the sandbox asks for. The hash is keyed (SipHash-2-4), so
 * that a program that knows the method still cannot choose names that fill one set without trying.
 */
#include "guest/netnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

#define WAYS 8U
#define SETS (NETNAMES_MAX / WAYS)

struct place {
	char *name;       /* owned; NULL where free */
	uint64_t used_ms; /* when it was asked for or connected to last */
};

struct netnames {
	uint64_t key[2];
	struct place places[NETNAMES_MAX]; /* a fresh page of it costs nothing until it is written */
};

static uint64_t rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
static uint64_t siphash(const uint64_t key[2], const char *s, size_t n)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
			  key[1] ^ 0x7465646279746573U };
	uint64_t word = 0;

	for (size_t i = 0; i <= n; i++) {
		uint64_t byte = i < n ? (uint8_t)s[i] : 0;

		word |= byte << 8 * (i % 8);
		if (i == n)
			word |= (uint64_t)n << 56;
		if (i % 8 != 7 && i < n)
			continue;
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
		word = 0;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct netnames *netnames_new(const uint8_t seed[16])
{
	struct netnames *m = calloc(1, sizeof(*m));

	if (m)
		memcpy(m->key, seed, sizeof(m->key));
	return m;
}

void netnames_free(struct netnames *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < NETNAMES_MAX; i++)
		free(m->places[i].name);
	free(m);
}

/* The place of a name in its set: its own, a free one, or the one that was not used for longest. */
static struct place *find(struct place set[WAYS], const char *name)
{
	struct place *best = &set[0];

	for (unsigned i = 0; i < WAYS; i++) {
		if (!set[i].name)
			return &set[i]; /* places fill in order: the name stands in none that follows */
		if (strcmp(set[i].name, name) == 0)
			return &set[i];
		if (set[i].used_ms < best->used_ms)
			best = &set[i];
	}
	return best;
}

int netnames_address(struct netnames *m, const char *name, uint64_t now_ms, uint32_t *ret)
{
	size_t set = siphash(m->key, name, strlen(name)) % SETS;
	struct place *p = find(m->places + set * WAYS, name);

	if (!p->name || strcmp(p->name, name) != 0) {
		char *copy;

		if (p->name && now_ms - p->used_ms < NETNAMES_IDLE_MS)
			return -ENOSPC;
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
		free(p->name);
		p->name = copy;
	}
	p->used_ms = now_ms;
	*ret = NETNAMES_FIRST + (uint32_t)(p - m->places);
	return 0;
}

const char *netnames_name(struct netnames *m, uint32_t address, uint64_t now_ms)
{
	struct place *p;

	if (address < NETNAMES_FIRST || address - NETNAMES_FIRST >= NETNAMES_MAX)
		return NULL;
	p = &m->places[address - NETNAMES_FIRST];
	if (p->name && now_ms)
		p->used_ms = now_ms;
	return p->name;
}
