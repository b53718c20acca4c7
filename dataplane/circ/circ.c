/* circ.c - circuits and legs: taking, finding and freeing them. */
#include "dataplane/circ/circ.h"

int circs_init(struct circs *c, unsigned worker, uint32_t n_circs, uint32_t n_legs,
	       uint32_t n_conns, struct hash_key key)
{
	*c = (struct circs) {.n_conns = n_conns};
	c->circ = column_new(n_circs, sizeof(*c->circ));
	c->leg = column_new(n_legs, sizeof(*c->leg));
	c->tag = column_new(n_circs, sizeof(*c->tag));
	c->conn_legs = column_new(n_conns, sizeof(*c->conn_legs));
	c->conn_pending = column_new(n_conns, sizeof(*c->conn_pending));
	if (!c->circ || !c->leg || !c->tag || !c->conn_legs || !c->conn_pending ||
	    slots_init_in(&c->circ_slots, worker, n_circs, &c->circ->gen, sizeof(*c->circ)) < 0 ||
	    slots_init_in(&c->leg_slots, worker, n_legs, &c->leg->gen, sizeof(*c->leg)) < 0 ||
	    map_init(&c->by_id, n_legs, key) < 0) {
		circs_fini(c);
		return ERR_FULL;
	}
	return 0;
}

void circs_fini(struct circs *c)
{
	column_free(c->circ, c->circ_slots.n, sizeof(*c->circ));
	column_free(c->leg, c->leg_slots.n, sizeof(*c->leg));
	column_free(c->tag, c->circ_slots.n, sizeof(*c->tag));
	column_free(c->conn_legs, c->n_conns, sizeof(*c->conn_legs));
	column_free(c->conn_pending, c->n_conns, sizeof(*c->conn_pending));
	slots_fini(&c->circ_slots);
	slots_fini(&c->leg_slots);
	map_fini(&c->by_id);
	*c = (struct circs) {0};
}

uint32_t circ_new(struct circs *c, enum circ_state state, uint32_t conn)
{
	uint32_t i = slots_take(&c->circ_slots);

	if (i == SLOT_NONE)
		return SLOT_NONE;
	c->circ[i] = (struct circ) {
		.conn = conn, .streams = SLOT_NONE, .padding = SLOT_NONE, .gen = c->circ[i].gen};
	circ_set_state(c, i, state);
	return i;
}

void circ_set_state(struct circs *c, uint32_t circ, enum circ_state state)
{
	struct circ *k = &c->circ[circ];

	c->conn_pending[k->conn] -= k->state == CIRC_PENDING;
	c->conn_pending[k->conn] += state == CIRC_PENDING;
	k->state = state;
}

void circ_free(struct circs *c, uint32_t circ)
{
	circ_set_state(c, circ, CIRC_FREE);
	wipe(c->tag[circ], CIRC_TAG);
	slots_give(&c->circ_slots, circ);
}

uint32_t leg_new(struct circs *c, uint32_t conn, uint32_t circ_id, wid circ, enum circ_side side)
{
	uint32_t i, first = conn_legs(c, conn);

	if (leg_find(c, conn, circ_id) != SLOT_NONE)
		return SLOT_NONE;
	i = slots_take(&c->leg_slots);
	if (i == SLOT_NONE)
		return SLOT_NONE;
	if (map_put(&c->by_id, leg_key(conn, circ_id), i) < 0) {
		slots_give(&c->leg_slots, i);
		return SLOT_NONE;
	}
	c->leg[i] = (struct leg) {.circ = circ,
				  .conn = conn,
				  .circ_id = circ_id,
				  .next = first,
				  .prev = SLOT_NONE,
				  .gen = c->leg[i].gen,
				  .side = (uint8_t)side};
	if (first != SLOT_NONE)
		c->leg[first].prev = i;
	c->conn_legs[conn] = i + 1;
	return i;
}

void legs_find(const struct circs *c, const uint32_t *conn, const uint32_t *circ_id, unsigned n,
	       uint32_t *leg)
{
	uint64_t key[LEGS_ASKED + HASH_LANES], hash[LEGS_ASKED + HASH_LANES];

	memset(key + n, 0, HASH_LANES * sizeof(*key)); /* hashed too, and not looked at */
	for (unsigned i = 0; i < n; i++)
		key[i] = leg_key(conn[i], circ_id[i]);
	map_hash(&c->by_id, key, n, hash);
	for (unsigned i = 0; i < n; i++) {
		leg[i] = map_get_hashed(&c->by_id, key[i], hash[i]);
		if (leg[i] != SLOT_NONE)
			leg_fetch(c, leg[i]);
	}
	for (unsigned i = 0; i < n; i++)
		if (leg[i] != SLOT_NONE)
			__builtin_prefetch(&c->circ[wid_index(c->leg[leg[i]].circ)]);
}

uint32_t leg_draw(struct circs *c, uint32_t conn, bool initiator, wid circ, enum circ_side side,
		  struct rng *rng)
{
	for (int i = 0; i < CIRC_ID_TRIES; i++) {
		uint32_t id = (rng_u32(rng) & 0x7fffffff) | (uint32_t)initiator << 31;

		if ((id & 0x7fffffff) && leg_find(c, conn, id) == SLOT_NONE)
			return leg_new(c, conn, id, circ, side);
	}
	return SLOT_NONE;
}

void leg_free(struct circs *c, uint32_t leg)
{
	struct leg *k = &c->leg[leg];

	if (k->prev == SLOT_NONE)
		c->conn_legs[k->conn] = k->next + 1;
	else
		c->leg[k->prev].next = k->next;
	if (k->next != SLOT_NONE)
		c->leg[k->next].prev = k->prev;
	map_del(&c->by_id, leg_key(k->conn, k->circ_id));
	slots_give(&c->leg_slots, leg);
}
