/* close.c - the one close path: a circuit frees its column in each room, in the order of the walk,
 * and its id last; legs and links end in it too, and what memory.c takes away. */
#include "dataplane/worker/worker.h"

/* Without a word to the client: the circuit is the word. */
void streams_close(struct worker *w, uint32_t owner)
{
	uint32_t *streams = owner_streams(w, owner);

	while (*streams != SLOT_NONE) {
		uint32_t stream = *streams;

		/* The far end gets what the client sent and then FIN, as if an END had come. */
		edge_end(&w->edge, stream, streams, true, w->now_us);
		ctl_say_closed(w, CTL_STREAM_CLOSED, stream, END_DESTROY);
	}
}

void circ_shut(struct worker *w, uint32_t circ, uint8_t reason, int from)
{
	struct circ *k = &w->circs.circ[circ];
	uint32_t told = reason;

	if (k->state == CIRC_FREE || k->state == CIRC_CLOSED)
		return;
	if (reason == LEG_OVERRAN) {
		reason = DESTROY_RESOURCELIMIT;
		told = reason | CTL_CLOSED_OUTQ;
	}
	circ_set_state(&w->circs, circ, CIRC_CLOSED);
	k->reason = reason;
	if (from == SIDE_P || from == SIDE_N)
		k->leg[from] = WID_NONE;
	for (int side = SIDE_P; side <= SIDE_N; side++) {
		if (k->leg[side])
			leg_end(w, k->leg[side], reason);
		k->leg[side] = WID_NONE;
	}
	if (k->splice)
		splice_end(w, k->splice, circ_id_of(&w->circs, circ), DESTROY_DESTROYED);
	k->splice = WID_NONE;
	held_cross(w, circ); /* nowhere: they go with it */
	if (UNLIKELY(k->tied))
		set_circ_gone(w, circ);
	streams_close(w, circ);
	padding_stop(&w->padding, &k->padding);
	onion_stop(&w->onion, circ);
	relay_stop(&w->relay, circ);
	ctl_say_closed(w, CTL_CIRC_CLOSED, circ, told);
}

void leg_destroy(struct worker *w, uint32_t leg, uint8_t reason)
{
	w->circs.leg[leg].circ = WID_NONE;
	count(w->counts, circ_destroy_out);
	sched_destroy(&w->sched, leg, reason);
}

/* The leg's column goes, room by room. */
static void leg_release(struct worker *w, uint32_t leg)
{
	struct link *k = link_of(&w->links, w->circs.leg[leg].conn);

	sched_leg_stop(&w->sched, leg);
	leg_free(&w->circs, leg);
	if (k->n_legs)
		k->n_legs--;
	k->last_leg_us = w->now_us;
}

static void tell_circ(struct worker *w, wid circ, wid leg, uint8_t reason)
{
	if (wid_worker(circ) == w->index)
		on_leg_gone(w, circ, leg, reason);
	else
		mesh_send(w, MESH_LEG_GONE, circ, leg, reason, NULL, 0);
}

void leg_gone(struct worker *w, uint32_t leg, uint8_t reason)
{
	wid circ = w->circs.leg[leg].circ, id = leg_id_of(&w->circs, leg);

	leg_release(w, leg);
	if (circ)
		tell_circ(w, circ, id, reason);
}

void leg_kill(struct worker *w, uint32_t leg, uint8_t reason)
{
	wid circ = w->circs.leg[leg].circ;

	if (!circ)
		return; /* its DESTROY waits already */
	leg_destroy(w, leg, reason == LEG_OVERRAN ? DESTROY_RESOURCELIMIT : reason);
	tell_circ(w, circ, leg_id_of(&w->circs, leg), reason);
}

/* Rendezvous that are joined stay: a single onion service's is one hop long too. */
void conn_legs_stale(struct worker *w, uint32_t conn)
{
	uint32_t next;

	for (uint32_t leg = conn_legs(&w->circs, conn); leg != SLOT_NONE; leg = next) {
		uint32_t circ = circ_check(&w->circs, w->circs.leg[leg].circ);
		const struct circ *k = &w->circs.circ[circ == SLOT_NONE ? 0 : circ];

		next = w->circs.leg[leg].next;
		if (circ == SLOT_NONE || k->state != CIRC_OPEN || k->leg[SIDE_N] || k->splice ||
		    k->tied || k->streams != SLOT_NONE)
			continue;
		count(w->counts, circ_stale);
		circ_shut(w, circ, DESTROY_FINISHED, -1);
	}
}

void conn_legs_gone(struct worker *w, uint32_t conn, uint8_t reason)
{
	cells_flush(w);
	while (conn_legs(&w->circs, conn) != SLOT_NONE)
		leg_gone(w, conn_legs(&w->circs, conn), reason);
}
