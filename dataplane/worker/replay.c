/* replay.c - a new control at the same wall: what the old one was still deciding is refused, and
 * the new one is told of every open link and circuit, with the tags that the old one left. */
#include "dataplane/worker/worker.h"

/* Handshakes in progress have lost their other half. */
static void forget_links(struct worker *w)
{
	for (uint32_t i = 0; i < w->plane->n_conns; i++) {
		uint8_t state = link_of(&w->links, i)->state;

		if (state != LINK_NONE && state != LINK_OPEN)
			link_shut(w, i, CTL_WHY_RESOURCE);
	}
}

static void forget_streams(struct worker *w)
{
	for (uint32_t i = 0; i < w->edge.slots.n; i++) {
		uint8_t state = w->edge.stream[i].state;

		if (state == STREAM_ASKED || state == STREAM_DIR)
			stream_end(w, i, END_RESOURCELIMIT, false);
	}
}

static void forget_circuits(struct worker *w)
{
	for (uint32_t i = 0; i < w->circs.circ_slots.n; i++) {
		const struct circ *k = &w->circs.circ[i];

		if (k->state == CIRC_PENDING || k->state == CIRC_ORIGIN ||
		    (k->state == CIRC_OPEN && k->asked))
			circ_shut(w, i, DESTROY_RESOURCELIMIT, -1);
	}
}

void replay_forget(struct worker *w)
{
	count(w->counts, worker_reattached);
	w->replay_at = REPLAY_NONE;
	forget_streams(w);
	forget_circuits(w);
	forget_links(w);
}

void replay_begin(struct worker *w)
{
	w->replay_at = 0;
}

static int say_conn(struct worker *w, uint32_t conn)
{
	const struct link *k = link_of(&w->links, conn);
	struct ctl_conn_replay body = {
		.ready = {.link_proto = k->proto,
			  .peer = k->peer,
			  .initiator = k->initiator,
			  .canonical = k->canonical,
			  .identity = k->identity},
	};

	if (k->state != LINK_OPEN || w->conn[conn].shut)
		return 0;
	memcpy(body.ready.tag, k->tag, CTL_TAG_LEN);
	tcp_addrs(w->tcp, conn, &body.local, &body.remote);
	return ctl_say(w, CTL_CONN_REPLAY, tcp_id(w->tcp, conn), 0, &body, sizeof(body), NULL, 0);
}

static int say_circ(struct worker *w, uint32_t circ)
{
	const struct circ *k = &w->circs.circ[circ];
	struct ctl_circ_replay body = {
		.conn = tcp_id(w->tcp, k->conn),
		.serial = k->serial,
		.extended = k->leg[SIDE_N] != WID_NONE,
		.spliced = k->splice != WID_NONE,
		.legacy = w->relay.window[circ].legacy,
	};
	int rc;

	if (k->state != CIRC_OPEN)
		return 0;
	memcpy(body.tag, w->circs.tag[circ], CTL_TAG_LEN);
	rc = ctl_say(w, CTL_CIRC_REPLAY, circ_id_of(&w->circs, circ), 0, &body, sizeof(body), NULL,
		     0);
	wipe(&body, sizeof(body));
	return rc;
}

void replay_go_on(struct worker *w)
{
	uint32_t n_conns = w->plane->n_conns, end = n_conns + w->plane->n_circs;

	if (w->replay_at == REPLAY_NONE)
		return;
	for (; w->replay_at < end; w->replay_at++)
		if ((w->replay_at < n_conns ? say_conn(w, w->replay_at)
					    : say_circ(w, w->replay_at - n_conns)) < 0)
			return; /* the ring is full: the next turn goes on */
	if (ctl_say(w, CTL_REPLAY_END, WID_NONE, 0, NULL, 0, NULL, 0) == 0)
		w->replay_at = REPLAY_NONE;
}
