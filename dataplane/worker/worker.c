/* worker.c - the loop: one turn takes what has come, up the stair and down again, in one straight
 * line. Nothing else moves data; the parts of each step are in the files beside this one. */
#include "dataplane/worker/worker.h"

#include <rte_mbuf.h>

/* How full turns are, of late: what tells a worker that keeps up from one that does not. Time in
 * turns that moved something does not, for they are many and small where there is time for them. */
static void fill_look(struct worker *w, unsigned n, uint64_t bytes)
{
	unsigned full = (unsigned)MAX(n * 1000 / TURN_PACKETS, bytes * 1000 / TURN_BYTES);

	w->fill = (w->fill * (FILL_TURNS - 1) + MIN(full, 1000u) * FILL_ONE) / FILL_TURNS;
}

/* port rx -> net -> tcp. The frames live until the turn's end. */
static unsigned receive(struct worker *w, struct rte_mbuf **frames)
{
	uint64_t bytes = w->counts->v[COUNT_net_rx_bytes];
	unsigned n = port_rx(w->port, w->index, frames, TURN_PACKETS);

	if (n) {
		net_in(w->net, frames, n, w->now_us, w->rx);
		tcp_in(w->tcp, w->rx->segs, w->rx->n_segs, w->now_us);
		mesh_share_neighbours(w, w->rx->learned, w->rx->n_learned);
	}
	fill_look(w, n, w->counts->v[COUNT_net_rx_bytes] - bytes);
	return n;
}

/* What the network says about segments that we sent. */
static void take_hints(struct worker *w)
{
	for (unsigned i = 0; i < w->rx->n_hints; i++) {
		const struct net_hint *h = &w->rx->hints[i];

		if (h->kind == NET_TOO_BIG)
			tcp_mtu_hint(w->tcp, &h->local, &h->remote, h->seq, h->mtu, w->now_us);
		else
			tcp_unreach(w->tcp, &h->local, &h->remote, h->seq);
	}
	w->rx->n_hints = 0;
}

/* tcp -> net -> port tx. */
static bool transmit(struct worker *w)
{
	struct tcp_tx tx[TURN_PACKETS];
	struct rte_mbuf **ready;
	unsigned n, room, sent = 0;

	w->port_full = false;
	do {
		room = MIN(net_room(w->net), (unsigned)TURN_PACKETS);
		n = room ? tcp_out(w->tcp, w->now_us, tx, room) : 0;
		if (n)
			net_out(w->net, tx, n, w->now_us);
		n = net_ready(w->net, &ready);
		if (n) {
			unsigned want = MIN(n, (unsigned)PORT_BURST);

			n = port_tx(w->port, w->index, ready, want);
			w->port_full = n < want;
			net_sent(w->net, n);
			sent += n;
		}
	} while (n && sent < 8 * TURN_PACKETS);
	if (UNLIKELY(w->port_full))
		count(w->counts, net_port_full);
	return sent != 0;
}

/* A PADDING cell, unless what waits on the link will do as well. */
static void link_pad(struct worker *w, uint32_t conn)
{
	static const uint8_t nothing[CELL_PAYLOAD];

	if (sched_waiting(&w->sched, conn) || tcp_unsent(w->tcp, conn)) {
		count(w->counts, link_padding_late);
	} else if (link_own_cell(w, conn, 0, CELL_PADDING, nothing) == 0) {
		count(w->counts, link_padding_out);
		if (link_of(&w->links, conn)->padded)
			count(w->counts, link_padded_padding_out);
	}
}

static void run_timers(struct worker *w)
{
	struct link_timer due[LINK_CELLS_MAX];
	unsigned n = link_timers(&w->links, w->now_us, due, ARRAY_LEN(due));

	for (unsigned i = 0; i < n; i++) {
		if (due[i].due == LINK_DUE_IDLE)
			link_shut(w, due[i].conn, CTL_WHY_IDLE);
		else if (due[i].due == LINK_DUE_STALE)
			conn_legs_stale(w, due[i].conn);
		else
			link_pad(w, due[i].conn);
	}
	pad_timers(w);
	buckets_timers(w);
	tcp_timers(w->tcp, w->now_us);
	net_tick(w->net, w->now_us, w->rx);
	take_hints(w);
}

bool worker_turn(struct worker *w, uint64_t now_us)
{
	struct rte_mbuf *frames[TURN_PACKETS];
	unsigned n_frames;

	w->now_us = now_us;
	w->worked = false;
	buckets_draw(w);	       /* bytes that may be read and written */
	mesh_in(w);		       /* cells and closings of other workers, into queues */
	ctl_in(w);		       /* control's words */
	n_frames = receive(w, frames); /* port -> net -> tcp */
	take_hints(w);
	conns_events(w); /* opened, readable, closed */
	links_read(w);	 /* tcp -> tls -> link -> circ -> onion -> relay -> edge, sched */
	streams_read(w); /* tcp -> edge -> onion -> sched */
	run_timers(w);
	conns_events(w); /* what closing and timers brought about */
	links_serve(w);	 /* sched -> link -> tls -> tcp */
	if (w->stopping)
		links_stop(w);	  /* close_notify and FIN behind the last cell */
	w->worked |= transmit(w); /* tcp -> net -> port */
	buckets_return(w);
	rte_pktmbuf_free_bulk(frames, n_frames);
	ctl_say_late(w);
	replay_go_on(w);
	ctl_wake(w);
	return w->worked || n_frames;
}
