/* held.c - cells that a service sends behind its RENDEZVOUS1, while control looks for the client:
 * as in C tor they cross when the circuits are joined, and end with the circuit when they are not.
 */
#include "dataplane/worker/worker.h"

/* Takes those of one circuit out, in their order. */
static unsigned held_take(struct held *h, wid circ, uint32_t slot[HELD_A_CIRC])
{
	unsigned n = 0, left = 0;

	for (unsigned i = 0; i < h->n; i++) {
		if (h->circ[i] == circ) {
			slot[n++] = h->slot[i];
			continue;
		}
		h->circ[left] = h->circ[i];
		h->slot[left++] = h->slot[i];
	}
	h->n = left;
	return n;
}

static unsigned held_of(const struct held *h, wid circ)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n; i++)
		n += h->circ[i] == circ;
	return n;
}

bool cell_hold(struct worker *w, uint32_t circ, uint32_t slot)
{
	struct held *h = &w->held;
	wid id = circ_id_of(&w->circs, circ);

	if (w->circs.circ[circ].asked != ASKED_SPLICE)
		return false;
	if (h->n == HELD_MAX || held_of(h, id) == HELD_A_CIRC) {
		count(w->counts, worker_held_full);
		circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
		slot_give(&w->sched, slot);
		return true;
	}
	h->circ[h->n] = id;
	h->slot[h->n++] = slot;
	return true;
}

void held_cross(struct worker *w, uint32_t circ)
{
	wid id = circ_id_of(&w->circs, circ), to = w->circs.circ[circ].splice;
	uint32_t slot[HELD_A_CIRC];
	unsigned n = held_take(&w->held, id, slot);

	w->circs.circ[circ].asked = 0;
	for (unsigned i = 0; i < n; i++) {
		if (to)
			splice_cell(w, to, id, slot_at(&w->sched, slot[i])->payload);
		slot_give(&w->sched, slot[i]);
	}
}
