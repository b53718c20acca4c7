/* ewma.c - the circuit that has sent least of late goes first (interop C10). Instead of decaying
 * all counts, a cell sent later weighs more: weights double each half-life, so nobody's rank
 * changes with time alone and a pairing heap keeps the order. */
#include "dataplane/sched/internal.h"

#include <math.h>

#define RESCALE_AT 0x1p200 /* long before a double overflows; about 100 minutes at 30 s */

/* A common factor keeps the order; a very old count fades to zero. */
static void rescale(struct sched *s, uint64_t now_us)
{
	for (uint32_t i = 0; i < s->n_legs; i++)
		s->leg[i].sent /= s->weight;
	s->epoch_us = now_us;
	s->weight = 1;
}

void ewma_half_life(struct sched *s)
{
	s->half_ms = MAX(s->cf.params[CTL_PARAM_EWMA_HALFLIFE_MS], 1);
	s->halves_a_us = 1e-3 / (double)s->half_ms;
}

double ewma_weight(struct sched *s, uint64_t now_us)
{
	bool other;

	if (LIKELY(now_us == s->weight_us))
		return s->weight;
	s->weight_us = now_us;
	s->weight = exp2((double)(now_us - s->epoch_us) * s->halves_a_us);
	other = s->half_ms != MAX(s->cf.params[CTL_PARAM_EWMA_HALFLIFE_MS], 1);
	if (UNLIKELY(other || s->weight >= RESCALE_AT))
		rescale(s, now_us);
	if (UNLIKELY(other)) /* what was sent has faded by the old one; from here on by the new */
		ewma_half_life(s);
	return s->weight;
}

/* Two heaps become one: the root with more sent becomes a child of the other. */
static uint32_t meld(struct sched *s, uint32_t a, uint32_t b)
{
	uint32_t child;

	if (a == SLOT_NONE || b == SLOT_NONE)
		return a == SLOT_NONE ? b : a;
	if (s->leg[b].sent < s->leg[a].sent) {
		child = a;
		a = b;
	} else {
		child = b;
	}
	s->leg[child].sibling = s->leg[a].child;
	s->leg[child].prev = a;
	if (s->leg[a].child != SLOT_NONE)
		s->leg[s->leg[a].child].prev = child;
	s->leg[a].child = child;
	return a;
}

/* The first of a list of siblings, cut off; *list moves on. SLOT_NONE at its end. */
static uint32_t cut(struct sched *s, uint32_t *list)
{
	uint32_t leg = *list;

	if (leg == SLOT_NONE)
		return SLOT_NONE;
	*list = s->leg[leg].sibling;
	s->leg[leg].sibling = SLOT_NONE;
	return leg;
}

/* Melds a list of siblings: in pairs from the left, then the pairs from the right. */
static uint32_t meld_list(struct sched *s, uint32_t list)
{
	uint32_t pairs = SLOT_NONE, root = SLOT_NONE;

	while (list != SLOT_NONE) {
		uint32_t a = cut(s, &list), pair = meld(s, a, cut(s, &list));

		s->leg[pair].sibling = pairs;
		pairs = pair;
	}
	while (pairs != SLOT_NONE)
		root = meld(s, root, cut(s, &pairs));
	return root;
}

static void root_set(struct sched *s, uint32_t conn, uint32_t root)
{
	s->conn[conn].root = root;
	if (root != SLOT_NONE)
		s->leg[root].prev = SLOT_NONE;
}

void heap_add(struct sched *s, uint32_t conn, uint32_t leg)
{
	struct sched_leg *k = &s->leg[leg];

	k->child = k->sibling = k->prev = SLOT_NONE;
	k->waiting = 1;
	root_set(s, conn, meld(s, s->conn[conn].root, leg));
}

/* Takes a leg that is not the root out from among its siblings, its children still with it. */
static void unlink_leg(struct sched *s, uint32_t leg)
{
	struct sched_leg *k = &s->leg[leg], *before = &s->leg[k->prev];

	if (before->child == leg)
		before->child = k->sibling;
	else
		before->sibling = k->sibling;
	if (k->sibling != SLOT_NONE)
		s->leg[k->sibling].prev = k->prev;
	k->sibling = SLOT_NONE;
}

void heap_remove(struct sched *s, uint32_t conn, uint32_t leg)
{
	struct sched_leg *k = &s->leg[leg];
	uint32_t children = meld_list(s, k->child), root = s->conn[conn].root;

	k->child = SLOT_NONE;
	k->waiting = 0;
	if (root == leg) {
		root_set(s, conn, children);
		return;
	}
	unlink_leg(s, leg);
	root_set(s, conn, meld(s, root, children));
}
