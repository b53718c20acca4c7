/* conns.c - what TCP reports: links and exit connections that open, can be read, or end. */
#include "dataplane/worker/worker.h"

/* What control is told for each of TCP's reasons. */
static const uint8_t why_of[] = {
	[TCP_DONE] = CTL_WHY_DONE,	 [TCP_ABORTED] = CTL_WHY_DONE,
	[TCP_RESET] = CTL_WHY_RESET,	 [TCP_REFUSED] = CTL_WHY_REFUSED,
	[TCP_TIMEOUT] = CTL_WHY_TIMEOUT, [TCP_UNREACHABLE] = CTL_WHY_UNREACHABLE,
};
/* What a client is told (interop E11). */
static const uint8_t end_of[] = {
	[TCP_DONE] = END_DONE,	     [TCP_ABORTED] = END_DONE,
	[TCP_RESET] = END_CONNRESET, [TCP_REFUSED] = END_CONNECTREFUSED,
	[TCP_TIMEOUT] = END_TIMEOUT, [TCP_UNREACHABLE] = END_NOROUTE,
};

void link_want_read(struct worker *w, uint32_t conn)
{
	struct conn *k = &w->conn[conn];

	if (k->reading || k->shut)
		return;
	k->reading = 1;
	k->next_read = SLOT_NONE;
	if (w->read_tail == SLOT_NONE)
		w->read_head = conn;
	else
		w->conn[w->read_tail].next_read = conn;
	w->read_tail = conn;
}

static void link_opened(struct worker *w, uint32_t conn)
{
	struct conn *k = &w->conn[conn];
	struct ctl_conn_opened opened = {.cookie = k->cookie};

	tcp_addrs(w->tcp, conn, &opened.local, &opened.remote);
	link_start(&w->links, conn, w->now_us);
	buckets_conn_start(w, conn);
	if (ctl_say(w, CTL_CONN_OPENED, tcp_id(w->tcp, conn), 0, &opened, sizeof(opened), NULL, 0) <
	    0) {
		count(w->counts, worker_conn_refused);
		link_stop(&w->links, conn);
		tcp_abort(w->tcp, conn);
		return;
	}
	k->known = 1;
}

/* Its place in the list of links to read stays: the list outlives its conns, and whoever stands
 * there without a record to open is passed over. */
void conn_row_new(struct worker *w, uint32_t conn, uint64_t cookie)
{
	struct conn *k = &w->conn[conn];

	buckets_conn_end(w, conn);
	sched_conn_start(&w->sched, conn);
	*k = (struct conn) {.cookie = cookie,
			    .next_read = k->next_read,
			    .reading = k->reading,
			    .why = CTL_WHY_DONE};
}

static void link_closed(struct worker *w, uint32_t conn, uint8_t reason)
{
	struct conn *k = &w->conn[conn];

	if (!k->shut)
		k->why = why_of[reason];
	k->shut = 1;
	conn_legs_gone(w, conn, DESTROY_CHANNEL_CLOSED);
	sched_conn_clear(&w->sched, conn);
	buckets_conn_end(w, conn);
	tls_stop(&w->tls, conn);
	link_stop(&w->links, conn);
	if (k->known || k->cookie)
		ctl_say_closed(w, CTL_CONN_CLOSED, conn, k->why);
	else
		tcp_release(w->tcp, conn);
}

void link_shut(struct worker *w, uint32_t conn, enum ctl_why why)
{
	struct conn *k = &w->conn[conn];

	if (k->shut)
		return;
	k->shut = 1;
	k->why = (uint8_t)why;
	conn_legs_gone(w, conn, DESTROY_CHANNEL_CLOSED);
	if (tls_started(&w->tls, conn)) {
		tls_close(&w->tls, conn);
		link_flush_small(w, conn);
	}
	sched_conn_clear(&w->sched, conn);
	tcp_close(w->tcp, conn, w->now_us);
}

void links_stop(struct worker *w)
{
	bool late = w->now_us + STOP_US / 2 >= w->stop_us;

	for (uint32_t i = 0; i < w->plane->n_conns; i++) {
		uint8_t state = link_of(&w->links, i)->state;

		if (state != LINK_NONE &&
		    (late || state != LINK_OPEN || !sched_waiting(&w->sched, i)))
			link_shut(w, i, CTL_WHY_SHUTDOWN);
	}
}

static void link_event(struct worker *w, const struct tcp_event *ev)
{
	uint32_t conn = ev->conn;

	if (ev->flags & TCP_OPENED) {
		if (!w->conn[conn].cookie) /* accepted; a dialled one was set up by ctl_in */
			conn_row_new(w, conn, 0);
		link_opened(w, conn);
	}
	if (ev->flags & TCP_READABLE)
		link_want_read(w, conn);
	if (ev->flags & TCP_WRITABLE)
		sched_wake(&w->sched, conn);
	if (ev->flags & TCP_BAD_UNIT) {
		count(w->counts, worker_no_record);
		link_shut(w, conn, CTL_WHY_PROTOCOL);
	}
	if (ev->flags & TCP_EOF)
		link_shut(w, conn, CTL_WHY_DONE);
	if (ev->flags & TCP_CLOSED)
		link_closed(w, conn, ev->reason);
}

static void exit_closed(struct worker *w, uint32_t conn, uint8_t reason)
{
	uint32_t stream = edge_stream_of(&w->edge, conn);

	if (stream != SLOT_NONE)
		stream_end(w, stream, end_of[reason], false);
	buckets_conn_end(w, conn);
	tcp_release(w->tcp, conn);
}

static void exit_event(struct worker *w, const struct tcp_event *ev)
{
	uint32_t stream = edge_stream_of(&w->edge, ev->conn);

	if (stream != SLOT_NONE) {
		if (ev->flags & TCP_OPENED)
			stream_connected(w, stream);
		if (ev->flags & TCP_WRITABLE)
			stream_say_flow(w, stream, false, circ_say);
		if (ev->flags & TCP_EOF)
			w->edge.stream[stream].far_end = END_DONE;
		/* The window opens again when bytes are taken; the order of the list is fair. */
		if (w->edge.stream[stream].state != STREAM_ENDED)
			edge_ready(&w->edge, stream);
	}
	if (ev->flags & TCP_CLOSED)
		exit_closed(w, ev->conn, ev->reason);
}

void conns_events(struct worker *w)
{
	struct tcp_event ev[BATCH];
	unsigned n;

	while ((n = tcp_events(w->tcp, ev, BATCH))) {
		w->worked = true;
		for (unsigned i = 0; i < n; i++) {
			if (ev[i].kind == CONN_LINK)
				link_event(w, &ev[i]);
			else
				exit_event(w, &ev[i]);
		}
	}
}
