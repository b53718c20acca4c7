/* sched.c - slots, queues, and the lists of what may go next on each link. */
#include "dataplane/sched/sched.h"

#include <stdlib.h>

#include "dataplane/sched/internal.h"

int sched_init(struct sched *s, const struct sched_config *cf, uint64_t now_us)
{
	*s = (struct sched) {
		.cf = *cf, .epoch_us = now_us, .weight_us = now_us, .weight = 1, .now_us = now_us};
	for (unsigned i = 0; i < N_SCHED_LISTS; i++)
		s->list[i] = (struct sched_list) {SLOT_NONE, SLOT_NONE};
	s->slots = column_new(cf->n_slots, sizeof(*s->slots));
	s->free_slots = column_new(cf->n_slots, sizeof(*s->free_slots));
	s->leg = column_new(cf->n_legs, sizeof(*s->leg));
	s->heap_at = column_new(cf->n_legs, sizeof(*s->heap_at));
	s->conn = column_new(cf->n_conns, sizeof(*s->conn));
	if (!s->slots || !s->free_slots || !s->leg || !s->heap_at || !s->conn) {
		sched_fini(s);
		return ERR_FULL;
	}
	s->n_free = cf->n_slots;
	ewma_half_life(s, now_us);
	return 0;
}

void sched_fini(struct sched *s)
{
	for (uint32_t i = 0; i < s->n_conns; i++)
		free(s->conn[i].below);
	column_free(s->slots, s->cf.n_slots, sizeof(*s->slots));
	column_free(s->free_slots, s->cf.n_slots, sizeof(*s->free_slots));
	column_free(s->leg, s->cf.n_legs, sizeof(*s->leg));
	column_free(s->heap_at, s->cf.n_legs, sizeof(*s->heap_at));
	column_free(s->conn, s->cf.n_conns, sizeof(*s->conn));
	*s = (struct sched) {0};
}

/* Slots that were given back are used first: they are warm. Others are touched only on need, so a
 * quiet relay holds little memory. */
uint32_t slot_take(struct sched *s)
{
	uint32_t n_back = s->n_free - (s->cf.n_slots - s->n_touched);

	if (!s->n_free)
		return SLOT_NONE;
	s->n_free--;
	return n_back ? s->free_slots[n_back - 1] : s->n_touched++;
}

void slot_give(struct sched *s, uint32_t slot)
{
	uint32_t n_back = s->n_free - (s->cf.n_slots - s->n_touched);

	s->free_slots[n_back] = slot;
	s->n_free++;
}

static bool conn_has_work(const struct sched_conn *c)
{
	return c->n_waiting || c->own_head != SLOT_NONE || c->destroy_head != SLOT_NONE;
}

static bool conn_is_due(const struct sched *s, const struct sched_conn *c)
{
	return c->n_cells >= CELLS_A_RECORD || c->n_own ||
	       (uint32_t)s->now_us - c->served_us >= s->interval_us;
}

static void list_add(struct sched *s, enum sched_list_id id, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];
	struct sched_list *l = &s->list[id];

	c->list = (uint8_t)id;
	c->next = SLOT_NONE;
	c->prev = l->tail;
	if (l->tail == SLOT_NONE)
		l->head = conn;
	else
		s->conn[l->tail].next = conn;
	l->tail = conn;
}

void sched_sleep(struct sched *s, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];
	struct sched_list *l = &s->list[c->list];

	if (c->list == SCHED_NONE)
		return;
	c->list = SCHED_NONE;
	if (c->prev == SLOT_NONE)
		l->head = c->next;
	else
		s->conn[c->prev].next = c->next;
	if (c->next == SLOT_NONE)
		l->tail = c->prev;
	else
		s->conn[c->next].prev = c->prev;
}

void sched_wake(struct sched *s, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];

	if (c->list == SCHED_READY || !conn_has_work(c))
		return;
	if (conn_is_due(s, c)) {
		sched_sleep(s, conn);
		list_add(s, SCHED_READY, conn);
	} else if (c->list == SCHED_NONE) {
		list_add(s, SCHED_LATER, conn);
	}
}

/* Only the first ones are looked at: thousands of links may wait for their interval. */
void sched_begin(struct sched *s, uint64_t now_us, uint64_t interval_us)
{
	uint32_t conn;

	s->now_us = now_us;
	s->interval_us = interval_us;
	while ((conn = s->list[SCHED_LATER].head) != SLOT_NONE && conn_is_due(s, &s->conn[conn])) {
		sched_sleep(s, conn);
		list_add(s, SCHED_READY, conn);
	}
}

void sched_served(struct sched *s, uint32_t conn)
{
	s->conn[conn].served_us = (uint32_t)s->now_us;
	if (s->conn[conn].list == SCHED_NONE)
		return; /* put to sleep while it was served: TCP has no room */
	sched_sleep(s, conn);
	sched_wake(s, conn);
}

void sched_conn_start(struct sched *s, uint32_t conn)
{
	s->n_conns = MAX(s->n_conns, conn + 1);
	s->conn[conn] = (struct sched_conn) {.own_head = SLOT_NONE,
					     .own_tail = SLOT_NONE,
					     .destroy_head = SLOT_NONE,
					     .destroy_tail = SLOT_NONE,
					     .next = SLOT_NONE,
					     .prev = SLOT_NONE};
}

int sched_leg_start(struct sched *s, uint32_t leg, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];

	if (heap_reserve(c, c->n_legs + 1) < 0)
		return ERR_FULL;
	c->n_legs++;
	s->n_legs = MAX(s->n_legs, leg + 1);
	s->leg[leg] = (struct sched_leg) {
		.head = SLOT_NONE, .tail = SLOT_NONE, .conn = conn, .next_destroy = SLOT_NONE};
	return 0;
}

void sched_leg_stop(struct sched *s, uint32_t leg)
{
	sched_leg_clear(s, leg);
	s->conn[s->leg[leg].conn].n_legs--;
}

uint32_t sched_add(struct sched *s, uint32_t leg, uint32_t slot, uint64_t now_us)
{
	struct sched_leg *k = &s->leg[leg];
	struct slot *cell = slot_at(s, slot);

	cell->next = SLOT_NONE;
	cell->leg = leg;
	cell->arrival_us = now_us;
	if (k->tail == SLOT_NONE)
		k->head = slot;
	else
		slot_at(s, k->tail)->next = slot;
	k->tail = slot;
	k->n++;
	s->conn[k->conn].n_cells++;
	if (!k->waiting)
		heap_add(s, k->conn, leg);
	sched_wake(s, k->conn);
	return k->n;
}

void sched_leg_clear(struct sched *s, uint32_t leg)
{
	struct sched_leg *k = &s->leg[leg];

	while (k->head != SLOT_NONE) {
		uint32_t slot = k->head;

		k->head = slot_at(s, slot)->next;
		slot_give(s, slot);
	}
	s->conn[k->conn].n_cells -= k->n;
	k->tail = SLOT_NONE;
	k->n = 0;
	if (k->waiting)
		heap_remove(s, k->conn, leg);
}

void sched_destroy(struct sched *s, uint32_t leg, uint8_t reason)
{
	struct sched_leg *k = &s->leg[leg];
	struct sched_conn *c = &s->conn[k->conn];

	sched_leg_clear(s, leg);
	if (k->destroy)
		return;
	k->destroy = 1;
	k->destroy_reason = reason;
	k->next_destroy = SLOT_NONE;
	if (c->destroy_tail == SLOT_NONE)
		c->destroy_head = leg;
	else
		s->leg[c->destroy_tail].next_destroy = leg;
	c->destroy_tail = leg;
	sched_wake(s, k->conn);
}

int sched_own(struct sched *s, uint32_t conn, uint32_t slot)
{
	struct sched_conn *c = &s->conn[conn];
	struct slot *cell = slot_at(s, slot);

	if (c->n_own >= SCHED_OWN_MAX)
		return ERR_FULL;
	cell->next = SLOT_NONE;
	cell->leg = SLOT_NONE;
	if (c->own_tail == SLOT_NONE)
		c->own_head = slot;
	else
		slot_at(s, c->own_tail)->next = slot;
	c->own_tail = slot;
	c->n_own++;
	sched_wake(s, conn);
	return 0;
}

void sched_conn_clear(struct sched *s, uint32_t conn)
{
	struct sched_conn *c = &s->conn[conn];

	while (c->own_head != SLOT_NONE) {
		uint32_t slot = c->own_head;

		c->own_head = slot_at(s, slot)->next;
		slot_give(s, slot);
	}
	sched_sleep(s, conn);
	free(c->below);
	sched_conn_start(s, conn);
}

uint32_t sched_waiting(const struct sched *s, uint32_t conn)
{
	const struct sched_conn *c = &s->conn[conn];

	return c->n_cells + c->n_own + (c->destroy_head != SLOT_NONE);
}

/* The first cell of a queue, taken out. The last one is not even looked at: it is cold. */
static uint32_t pop(struct sched *s, uint32_t *head, uint32_t *tail)
{
	uint32_t slot = *head;

	*head = slot == *tail ? SLOT_NONE : slot_at(s, slot)->next;
	if (*head == SLOT_NONE)
		*tail = SLOT_NONE;
	else /* it has waited, so it is cold, and its turn comes soon */
		__builtin_prefetch(slot_at(s, *head));
	return slot;
}

static void pick_destroy(struct sched *s, struct sched_conn *c, struct sched_pick *pick)
{
	uint32_t leg = c->destroy_head;

	c->destroy_head = s->leg[leg].next_destroy;
	if (c->destroy_head == SLOT_NONE)
		c->destroy_tail = SLOT_NONE;
	s->leg[leg].destroy = 0;
	c->destroyed = 1;
	*pick = (struct sched_pick) {SLOT_NONE, leg, false, s->leg[leg].destroy_reason};
}

static void pick_data(struct sched *s, uint32_t conn, uint64_t now_us, struct sched_pick *pick)
{
	struct sched_conn *c = &s->conn[conn];
	uint32_t leg = (uint32_t)c->root;
	struct sched_leg *k = &s->leg[leg];
	double weight;

	*pick = (struct sched_pick) {pop(s, &k->head, &k->tail), leg, false, 0};
	k->n--;
	if (UNLIKELY(k->watched) && k->n <= s->cf.params[CTL_PARAM_CELLQ_LOW]) {
		k->watched = 0;
		pick->drained = true;
	}
	weight = ewma_weight(s, now_us); /* it may rescale all that was sent */
	k->sent += weight;
	c->n_cells--;
	c->destroyed = 0;
	if (k->n)
		heap_sink(s, conn, leg);
	else
		heap_remove(s, conn, leg);
}

bool sched_pick(struct sched *s, uint32_t conn, uint64_t now_us, struct sched_pick *pick)
{
	struct sched_conn *c = &s->conn[conn];

	if (c->own_head != SLOT_NONE) {
		*pick = (struct sched_pick) {pop(s, &c->own_head, &c->own_tail), SLOT_NONE, false,
					     0};
		c->n_own--;
	} else if (c->destroy_head != SLOT_NONE && !(c->destroyed && c->n_waiting)) {
		pick_destroy(s, c, pick);
	} else if (c->n_waiting) {
		pick_data(s, conn, now_us, pick);
	} else {
		sched_sleep(s, conn);
		return false;
	}
	return true;
}

static uint64_t waits_since(const struct sched *s, uint32_t leg)
{
	return s->slots[s->leg[leg].head].arrival_us;
}

unsigned sched_oldest(const struct sched *s, uint32_t *legs, unsigned max)
{
	unsigned n = 0, at;

	for (uint32_t i = 0; max && i < s->n_legs; i++) {
		if (!s->leg[i].n)
			continue;
		if (n == max && waits_since(s, i) >= waits_since(s, legs[n - 1]))
			continue;
		n += n < max;
		for (at = n - 1; at && waits_since(s, legs[at - 1]) > waits_since(s, i); at--)
			legs[at] = legs[at - 1];
		legs[at] = i;
	}
	return n;
}
