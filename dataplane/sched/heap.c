/* heap.c - who is next on a link: a heap of its waiting legs, eight below each. An entry is what
 * the leg has sent, as a float, over its index: one number, least first. The root stands in the
 * conn's row and the others in one run of memory, for the legs' own rows are cold. */
#include "dataplane/sched/internal.h"

#include <stdlib.h>

#define WAYS  8U
#define NOONE UINT64_MAX /* behind every entry */
_Static_assert(WAYS * sizeof(uint64_t) == CACHE_LINE, "those below an entry share a line");

/* Numbers that are not negative stand in the order of their bits. */
static uint64_t entry_of(const struct sched *s, uint32_t leg)
{
	float sent = (float)s->leg[leg].sent;
	uint32_t bits;

	memcpy(&bits, &sent, sizeof(bits));
	return (uint64_t)bits << 32 | leg;
}

/* Entry 0 is the root; those below i begin at WAYS * i + 1. */
static uint64_t *entry_at(struct sched_conn *c, uint32_t i)
{
	return i ? &c->below[i - 1] : &c->root;
}

static void put(struct sched *s, struct sched_conn *c, uint32_t i, uint64_t entry)
{
	uint32_t leg = (uint32_t)entry;

	*entry_at(c, i) = entry;
	s->heap_at[leg] = i;
	if (i <= WAYS) /* its turn comes soon, and its row is cold */
		__builtin_prefetch(&s->leg[leg], 1);
}

static void sift_up(struct sched *s, struct sched_conn *c, uint32_t i, uint64_t entry)
{
	while (i) {
		uint32_t above = (i - 1) / WAYS;
		uint64_t other = *entry_at(c, above);

		if (other <= entry)
			break;
		put(s, c, i, other);
		i = above;
	}
	put(s, c, i, entry);
}

static void sift_down(struct sched *s, struct sched_conn *c, uint32_t i, uint64_t entry)
{
	for (uint32_t first = WAYS * i; first < c->cap && first < c->n_waiting; first = WAYS * i) {
		const uint64_t *few = &c->below[first];
		uint64_t least = few[0];
		uint32_t at = 0;

		for (uint32_t k = 1; k < WAYS; k++) {
			at = few[k] < least ? k : at;
			least = MIN(few[k], least);
		}
		if (entry <= least)
			break;
		put(s, c, i, least);
		i = first + at + 1;
	}
	put(s, c, i, entry);
}

int heap_reserve(struct sched_conn *c, uint32_t n)
{
	uint32_t cap = MAX(c->cap, WAYS);
	uint64_t *wide;

	if (n <= 1 || n - 1 <= c->cap)
		return 0;
	while (cap < n - 1)
		cap *= 2;
	wide = aligned_alloc(CACHE_LINE, cap * sizeof(*wide));
	if (!wide)
		return ERR_FULL;
	memset(wide, 0xff, cap * sizeof(*wide));
	if (c->cap)
		memcpy(wide, c->below, c->cap * sizeof(*wide));
	free(c->below);
	c->below = wide;
	c->cap = cap;
	return 0;
}

void heap_add(struct sched *s, uint32_t conn, uint32_t leg)
{
	struct sched_conn *c = &s->conn[conn];

	if (UNLIKELY(c->n_waiting > c->cap)) {
		count(s->cf.counts, sched_not_begun);
		return;
	}
	s->leg[leg].waiting = 1;
	sift_up(s, c, c->n_waiting++, entry_of(s, leg));
}

void heap_remove(struct sched *s, uint32_t conn, uint32_t leg)
{
	struct sched_conn *c = &s->conn[conn];
	uint32_t i = s->heap_at[leg], end = --c->n_waiting;
	uint64_t last = *entry_at(c, end);

	s->leg[leg].waiting = 0;
	*entry_at(c, end) = NOONE;
	if (i == end)
		return;
	if (i && last < *entry_at(c, (i - 1) / WAYS))
		sift_up(s, c, i, last);
	else
		sift_down(s, c, i, last);
}

void heap_sink(struct sched *s, uint32_t conn, uint32_t leg)
{
	sift_down(s, &s->conn[conn], s->heap_at[leg], entry_of(s, leg));
}

void heap_renew(struct sched *s, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];

	for (uint32_t i = 0; i < c->n_waiting; i++)
		*entry_at(c, i) = entry_of(s, (uint32_t)*entry_at(c, i));
}
