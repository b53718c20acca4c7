/* sets.c - the life of a set: it begins with its first leg, one function ends it, and what is left
 * of a leg that went on its own is what it brought early. */
#include "dataplane/conflux/internal.h"

int cfx_init(struct conflux *c, unsigned worker, uint32_t n_sets, uint32_t n_circs,
	     struct hash_key key, struct sched *sched, struct counts *counts, const int64_t *params)
{
	*c = (struct conflux) {
		.key = key, .n_circs = n_circs, .sched = sched, .counts = counts, .params = params};
	c->set = column_new(n_sets, sizeof(*c->set));
	c->name = column_new(n_sets, sizeof(*c->name));
	c->tie = column_new(n_circs, sizeof(*c->tie));
	if (c->set && c->name && c->tie && slots_init(&c->slots, worker, n_sets) == 0 &&
	    slots_init(&c->name_slots, worker, n_sets) == 0 &&
	    map_init(&c->by_nonce, n_sets, key) == 0 && map_init(&c->by_name, n_sets, key) == 0)
		return 0;
	cfx_fini(c);
	return ERR_FULL;
}

void cfx_fini(struct conflux *c)
{
	column_free(c->set, c->slots.n, sizeof(*c->set));
	column_free(c->name, c->name_slots.n, sizeof(*c->name));
	column_free(c->tie, c->n_circs, sizeof(*c->tie));
	slots_fini(&c->slots);
	slots_fini(&c->name_slots);
	map_fini(&c->by_nonce);
	map_fini(&c->by_name);
	*c = (struct conflux) {0};
}

uint32_t cfx_find(const struct conflux *c, const uint8_t nonce[CONFLUX_NONCE])
{
	uint32_t i = map_get(&c->by_nonce, nonce_key(c, nonce));

	return i != SLOT_NONE && same_nonce(c->set[i].nonce, nonce) ? i : SLOT_NONE;
}

unsigned cfx_leg_of(const struct conflux *c, uint32_t set, wid circ)
{
	unsigned i = 0;

	while (i < CFX_LEGS && (!circ || c->set[set].leg[i].circ != circ))
		i++;
	return i;
}

static uint32_t set_new(struct conflux *c, const uint8_t nonce[CONFLUX_NONCE])
{
	uint32_t i = named_take(&c->slots, &c->by_nonce, nonce_key(c, nonce));
	struct cfx_set *s;

	if (i == SLOT_NONE)
		return i;
	s = &c->set[i];
	*s = (struct cfx_set) {.streams = SLOT_NONE, .current = CFX_NONE};
	memcpy(s->nonce, nonce, CONFLUX_NONCE);
	return i;
}

/* A row without leg and without a leg's early messages. */
static unsigned row_free(const struct cfx_set *s)
{
	unsigned i = 0;

	while (i < CFX_LEGS && (s->leg[i].circ || s->leg[i].n))
		i++;
	return i;
}

static uint64_t highest(const struct cfx_set *s, bool received)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < CFX_LEGS; i++)
		if (s->leg[i].circ)
			most = MAX(most, received ? s->leg[i].received : s->leg[i].sent);
	return most;
}

/* The policy that a client's wish asks for (interop F11). */
static const uint8_t policy_of[N_CONFLUX_UX] = {
	[CONFLUX_UX_NONE] = CFX_LOWRTT,		  [CONFLUX_UX_LATENCY] = CFX_MINRTT,
	[CONFLUX_UX_LATENCY_MEM] = CFX_MINRTT,	  [CONFLUX_UX_THROUGHPUT] = CFX_LOWRTT,
	[CONFLUX_UX_THROUGHPUT_MEM] = CFX_MINRTT,
};

static int leg_add(struct conflux *c, struct cfx_set *s, const struct conflux_link *l, wid circ,
		   wid conn)
{
	unsigned row = row_free(s);

	if (row == CFX_NONE || s->n_legs >= c->params[CTL_PARAM_CFX_MAX_LEGS])
		return ERR_FULL;
	if (l->sent > s->delivered)
		return ERR_MALFORMED;
	s->leg[row] = (struct cfx_leg) {.circ = circ,
					.received = l->sent,
					.sent = l->received,
					.head = SLOT_NONE,
					.tail = SLOT_NONE,
					.conn = conn};
	s->n_legs++;
	s->policy = policy_of[l->ux];
	return (int)row;
}

int cfx_join(struct conflux *c, const struct conflux_link *l, uint32_t asked, wid circ, wid conn,
	     uint32_t *set, struct conflux_link *answer)
{
	uint32_t i = cfx_find(c, l->nonce);
	bool fresh = i == SLOT_NONE;
	struct conflux_link x = {.ux = CONFLUX_UX_LATENCY};
	int row;

	*set = SLOT_NONE;
	if (fresh)
		i = set_new(c, l->nonce);
	if (i == SLOT_NONE)
		return ERR_FULL;
	c->set[i].asked = asked;
	memcpy(x.nonce, l->nonce, sizeof(x.nonce));
	x.sent = highest(&c->set[i], false);
	x.received = c->set[i].delivered;
	row = leg_add(c, &c->set[i], l, circ, conn);
	if (row < 0 && fresh) {
		cfx_free(c, i);
		return row;
	}
	*set = i;
	*answer = x;
	return row;
}

bool cfx_leave(struct conflux *c, uint32_t set, unsigned leg, bool in_flight)
{
	struct cfx_set *s = &c->set[set];
	struct cfx_leg *l = &s->leg[leg];
	bool whole = in_flight || s->current == leg;

	l->circ = WID_NONE;
	s->n_legs--;
	if (s->current == leg)
		s->current = CFX_NONE;
	return whole || !s->n_legs || highest(s, false) < l->sent || highest(s, true) < l->received;
}

void cfx_free(struct conflux *c, uint32_t set)
{
	struct cfx_set *s = &c->set[set];

	map_del(&c->by_nonce, nonce_key(c, s->nonce));
	for (unsigned i = 0; i < CFX_LEGS; i++)
		queue_clear(c, s, &s->leg[i]);
	wipe(s->nonce, sizeof(s->nonce));
	slots_give(&c->slots, set);
}

uint32_t cfx_heaviest(const struct conflux *c)
{
	uint32_t most = 0, set = SLOT_NONE;

	for (uint32_t i = 0; i < c->slots.n_touched; i++) {
		if (!slots_live(&c->slots, i) || c->set[i].n_held <= most)
			continue;
		most = c->set[i].n_held;
		set = i;
	}
	return set;
}
