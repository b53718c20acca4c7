/* close.c - the one close path: a circuit frees its column in each room, in the order of the walk,
 * and its id last; legs, links and memory pressure end in it too. */
#include "dataplane/worker/worker.h"

/* Its streams, without a word to the client: the circuit is the word. */
static void streams_close(struct worker *w, uint32_t circ)
{
	struct circ *k = &w->circs.circ[circ];

	while (k->streams != SLOT_NONE) {
		uint32_t stream = k->streams;

		/* The far end gets what the client sent and then FIN, as if an END had come. */
		edge_end(&w->edge, stream, &k->streams, true, w->now_us);
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

	sched_leg_clear(&w->sched, leg);
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

void conn_legs_gone(struct worker *w, uint32_t conn, uint8_t reason)
{
	cells_flush(w);
	while (conn_legs(&w->circs, conn) != SLOT_NONE)
		leg_gone(w, conn_legs(&w->circs, conn), reason);
}

/* ---- memory ---- */
#define OLDEST 64 /* circuits that one walk over the legs finds */
#define WALKS  8

static int64_t memory_used(const struct worker *w)
{
	return (int64_t)slots_in_use(&w->sched) * (int64_t)sizeof(struct slot) +
	       (int64_t)tcp_mem_all(w->tcp) + (int64_t)w->edge.mem;
}

static int64_t memory_share(const struct worker *w)
{
	return MAX(w->params[CTL_PARAM_MAX_MEM], 0) / w->plane->n_workers;
}

void memory_bound(struct worker *w)
{
	w->edge.mem_max = (uint64_t)memory_share(w) / 4 + 1;
}

/* Whether more than so many twentieths are used, or nearly so many of what TCP's pools hold: a full
 * one stops every connection. */
static bool memory_short(const struct worker *w, int64_t twentieths)
{
	int64_t pools = (int64_t)w->plane->tcp.max_mem;

	return memory_used(w) > memory_share(w) / 20 * twentieths ||
	       (pools && (int64_t)tcp_mem_all(w->tcp) > pools / 20 * (twentieths - 1));
}

/* Far ends are cut off at once: what waits for them is what is to be freed. */
static void circ_reclaim(struct worker *w, uint32_t circ)
{
	count(w->counts, worker_memory_killed);
	while (w->circs.circ[circ].streams != SLOT_NONE)
		stream_end(w, w->circs.circ[circ].streams, 0, false);
	circ_shut(w, circ, DESTROY_RESOURCELIMIT, -1);
	conns_events(w); /* TCP gives its buffers back when the end of a conn has been heard */
}

static void leg_reclaim(struct worker *w, uint32_t leg)
{
	wid circ = w->circs.leg[leg].circ;

	if (wid_worker(circ) == w->index && circ_check(&w->circs, circ) != SLOT_NONE) {
		circ_reclaim(w, circ_check(&w->circs, circ));
	} else {
		count(w->counts, worker_memory_killed);
		leg_kill(w, leg, DESTROY_RESOURCELIMIT);
	}
}

/* The circuit whose streams hold most, when no cell waits anywhere. */
static uint32_t heaviest(const struct worker *w)
{
	uint64_t most = 0, mem;
	uint32_t circ = SLOT_NONE;

	for (uint32_t i = 0; i < w->edge.slots.n_touched; i++) {
		const struct stream *s = &w->edge.stream[i];

		if (s->state == STREAM_FREE || s->state == STREAM_ENDED)
			continue;
		mem = s->in.cap + s->out.cap +
		      (s->conn == SLOT_NONE ? 0 : tcp_mem(w->tcp, s->conn));
		if (mem <= most)
			continue;
		most = mem;
		circ = s->circ;
	}
	return circ;
}

/* The rule of tor-spec 8.1: whose oldest cell has waited longest goes first. */
void memory_relieve(struct worker *w)
{
	uint32_t legs[OLDEST], circ;
	unsigned n;

	w->figures->mem_bytes = (uint64_t)memory_used(w);
	if (!memory_short(w, 20))
		return;
	count(w->counts, worker_memory_pressure);
	for (unsigned walk = 0; walk < WALKS && memory_short(w, 18); walk++) {
		n = sched_oldest(&w->sched, legs, OLDEST);
		for (unsigned i = 0; i < n && memory_short(w, 18); i++)
			if (w->sched.leg[legs[i]]
				    .n) /* its circuit may have gone with another leg */
				leg_reclaim(w, legs[i]);
		if (n)
			continue;
		circ = heaviest(w);
		if (circ == SLOT_NONE)
			return;
		circ_reclaim(w, circ);
	}
}
