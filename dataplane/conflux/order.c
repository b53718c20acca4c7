/* order.c - messages of a set in the order of their numbers. Those of one leg are in order among
 * themselves, so what came early waits in a queue per leg, and the next one is at the head of one
 * of them. */
#include "dataplane/conflux/internal.h"

enum cfx_in cfx_in(struct conflux *c, uint32_t set, unsigned leg)
{
	struct cfx_set *s = &c->set[set];
	uint64_t number = ++s->leg[leg].received;

	if (LIKELY(number == s->delivered + 1)) {
		s->delivered = number;
		return CFX_NOW;
	}
	if (number > s->delivered)
		return CFX_EARLY;
	count(c->counts, conflux_stale);
	return CFX_STALE;
}

static bool set_full(const struct conflux *c, const struct cfx_set *s)
{
	return (int64_t)s->n_held * (int64_t)sizeof(struct slot) >=
	       c->params[CTL_PARAM_CFX_MAX_OOOQ];
}

int cfx_hold(struct conflux *c, uint32_t set, unsigned leg, const struct relay_msg *m)
{
	struct cfx_set *s = &c->set[set];
	struct cfx_leg *l = &s->leg[leg];
	struct held h = {l->received, m->stream_id, m->len, m->command};
	uint32_t slot = set_full(c, s) || cfx_full(c) ? SLOT_NONE : slot_take(c->sched);
	struct slot *to;

	if (slot == SLOT_NONE) {
		count(c->counts, conflux_queue_full);
		return ERR_FULL;
	}
	to = slot_at(c->sched, slot);
	to->next = SLOT_NONE;
	memcpy(to->scratch, &h, sizeof(h));
	memcpy(to->payload, m->body, m->len);
	if (l->n++)
		slot_at(c->sched, l->tail)->next = slot;
	else
		l->head = slot;
	l->tail = slot;
	s->n_held++;
	c->n_held++;
	count(c->counts, conflux_early);
	return 0;
}

void cfx_switched(struct conflux *c, uint32_t set, unsigned leg, uint32_t delta)
{
	c->set[set].leg[leg].received += delta;
}

/* The slot at the head of a queue, taken out. */
static uint32_t queue_take(struct conflux *c, struct cfx_set *s, struct cfx_leg *l)
{
	uint32_t slot = l->head;

	l->head = slot_at(c->sched, slot)->next;
	l->n--;
	s->n_held--;
	c->n_held--;
	return slot;
}

void queue_clear(struct conflux *c, struct cfx_set *s, struct cfx_leg *l)
{
	while (l->n)
		slot_give(c->sched, queue_take(c, s, l));
}

enum cfx_next cfx_next(struct conflux *c, uint32_t set, struct relay_msg *m, uint32_t *slot,
		       unsigned *leg)
{
	struct cfx_set *s = &c->set[set];

	for (unsigned i = 0; s->n_held && i < CFX_LEGS; i++) {
		struct slot *head = s->leg[i].n ? slot_at(c->sched, s->leg[i].head) : NULL;
		struct held h;

		if (!head)
			continue;
		memcpy(&h, head->scratch, sizeof(h));
		if (h.number > s->delivered + 1)
			continue;
		*leg = i;
		*slot = queue_take(c, s, &s->leg[i]);
		if (h.number <= s->delivered) {
			slot_give(c->sched, *slot);
			count(c->counts, conflux_stale);
			return CFX_LIED;
		}
		s->delivered = h.number;
		*m = (struct relay_msg) {.command = h.command,
					 .stream_id = h.stream_id,
					 .len = h.len,
					 .body = head->payload};
		return CFX_NEXT;
	}
	return CFX_NOTHING;
}
