/* links_out.c - the way down of a link: what TCP can send now is pulled out of the queues, packed
 * into one record and sealed in place (sched -> link -> tls -> tcp). */
#include "dataplane/worker/worker.h"

#define RECORDS_A_LINK 4     /* in one turn, before the next link has its turn */
#define UNSENT_MAX     16384 /* sealed bytes of a link that the port did not take; then it waits */
#define PACK_AHEAD     2     /* cells fetched before they are copied: 18 lines */

static void pack_destroy(struct worker *w, uint8_t *p, const struct sched_pick *pick)
{
	const struct leg *leg = &w->circs.leg[pick->leg];

	cell_head_put(p, leg->circ_id, CELL_DESTROY);
	memset(p + CELL_HEAD, 0, CELL_PAYLOAD);
	p[CELL_HEAD] = pick->destroy;
}

/* The circuit's edge may go on when its queue has drained. */
static void drained(struct worker *w, uint32_t leg)
{
	uint32_t circ = circ_check(&w->circs, w->circs.leg[leg].circ);

	if (circ != SLOT_NONE)
		circ_unblock(w, circ);
}

static void pack_one(struct worker *w, uint8_t *p, const struct sched_pick *pick)
{
	if (pick->slot == SLOT_NONE) {
		/* Its id is free again only now (interop L22). */
		pack_destroy(w, p, pick);
		leg_gone(w, pick->leg, 0);
		return;
	}
	memcpy(p, slot_at(&w->sched, pick->slot)->head, CELL_LEN);
	slot_give(&w->sched, pick->slot);
	if (UNLIKELY(pick->drained))
		drained(w, pick->leg);
}

/* Moves up to n waiting cells of a conn to p; how many. All are chosen first: a cell that has
 * waited is cold, and is fetched while those before it are copied. */
static unsigned pack(struct worker *w, uint32_t conn, uint8_t *p, unsigned n)
{
	struct sched_pick pick[CELLS_A_RECORD];
	unsigned k = 0;

	for (; k < n && sched_pick(&w->sched, conn, w->now_us, &pick[k]); k++)
		if (k < PACK_AHEAD)
			slot_fetch(&w->sched, pick[k].slot);
	for (unsigned i = 0; i < k; i++, p += CELL_LEN) {
		if (i + PACK_AHEAD < k)
			slot_fetch(&w->sched, pick[i + PACK_AHEAD].slot);
		pack_one(w, p, &pick[i]);
	}
	w->figures->cells_out += k;
	link_count_out(&w->links, link_of(&w->links, conn), k);
	return k;
}

/* Cells that fit into what TCP would send at once; at least one when nothing is under way, so that
 * a tiny window cannot stop a link for good. */
static unsigned cells_that_fit(struct worker *w, uint32_t conn, unsigned overhead)
{
	uint32_t room = tcp_room(w->tcp, conn);
	unsigned n = room > overhead ? (room - overhead) / CELL_LEN : 0;

	if (!n && !tcp_unacked(w->tcp, conn) && !tcp_unsent(w->tcp, conn))
		n = 1;
	return MIN(n, (unsigned)CELLS_A_RECORD);
}

/* Builds and sends one record of at most so many cells; false when this link is done for now. */
static bool serve_record(struct worker *w, uint32_t conn, unsigned most)
{
	unsigned head = tls_head_len(&w->tls, conn), tail = tls_tail_len(&w->tls, conn);
	unsigned n = MIN(cells_that_fit(w, conn, head + tail), sched_waiting(&w->sched, conn));
	uint8_t *record;
	size_t len;

	if (tcp_unsent(w->tcp, conn) > UNSENT_MAX)
		return false; /* the port is full: what waits here can still be chosen later */
	if (!n) {
		sched_sleep(&w->sched, conn); /* TCP_WRITABLE wakes it */
		return false;
	}
	n = MIN(n, most);
	record = tcp_reserve(w->tcp, conn, head + n * CELL_LEN + tail);
	if (!record)
		return false;
	n = pack(w, conn, record + head, n);
	len = n ? tls_seal(&w->tls, conn, record, n * CELL_LEN) : 0;
	tcp_push(w->tcp, conn, (uint32_t)len);
	if (n && !len) { /* packed cells cannot go back: this link is at its end */
		link_shut(w, conn, CTL_WHY_PROTOCOL);
		return false;
	}
	if (!n)
		return false;
	w->worked = true;
	link_moved(w, conn, WAY_OUT, len);
	link_sent(&w->links, conn, w->now_us);
	return true;
}

/* Whether its turn is over before it began: for lack of tokens. */
static bool link_waits(struct worker *w, uint32_t conn)
{
	enum leave leave = link_may(w, conn, WAY_OUT);

	if (leave == LEAVE_TIMER)
		sched_sleep(&w->sched, conn);
	return leave != LEAVE_NOW;
}

static void link_serve(struct worker *w, uint32_t conn)
{
	unsigned share = share_cells(w);
	unsigned records = share == CELLS_A_RECORD ? RECORDS_A_LINK : 1;

	if (w->conn[conn].shut || link_of(&w->links, conn)->state != LINK_OPEN) {
		sched_sleep(&w->sched, conn);
		return;
	}
	if (tls_pending(&w->tls, conn))
		link_flush_small(w, conn);
	if (!tls_ready(&w->tls, conn))
		return; /* a KeyUpdate waits for a buffer: nothing may overtake it */
	for (unsigned i = 0; i < records; i++) {
		if (link_waits(w, conn)) {
			if (!i)
				return; /* it keeps its place */
			break;
		}
		if (!serve_record(w, conn, share))
			break;
	}
	sched_served(&w->sched, conn);
}

/* While turns are less than half full a link is served at once; with load the interval grows to the
 * full KISTSchedRunInterval. */
static uint64_t interval_us(const struct worker *w)
{
	uint64_t full = (uint64_t)w->params[CTL_PARAM_KIST_INTERVAL_MS] * 1000;
	uint32_t permille = w->fill / FILL_ONE;

	return permille < 500 ? 0 : full * (permille - 500) / 500;
}

/* What serving a link will touch, asked for while two others are served: first its rows, then what
 * these lead to. */
static void serve_fetch(const struct worker *w, uint32_t conn)
{
	if (conn == SLOT_NONE)
		return;
	sched_fetch(&w->sched, conn);
	__builtin_prefetch(&w->conn[conn]);
	__builtin_prefetch(&w->links.col[conn]);
	tcp_fetch(w->tcp, conn);
}

static void serve_fetch_far(const struct worker *w, uint32_t conn)
{
	if (conn == SLOT_NONE)
		return;
	sched_fetch_far(&w->sched, conn);
	tls_prefetch(&w->tls, conn, false, sched_waiting(&w->sched, conn) * CELL_LEN);
}

/* The one behind conn among those that are ready now. */
static uint32_t ready_next(const struct worker *w, const struct sched_list *ready, uint32_t conn)
{
	return conn == ready->tail || conn == SLOT_NONE ? SLOT_NONE : w->sched.conn[conn].next;
}

void links_serve(struct worker *w)
{
	struct sched_list ready;
	uint32_t conn, next, after;

	if (w->port_full)
		return; /* it has enough to send, and what waits can still be chosen later */
	sched_begin(&w->sched, w->now_us, interval_us(w));
	ready = sched_ready(&w->sched);
	next = ready_next(w, &ready, ready.head);
	serve_fetch(w, next);
	/* Who was served stands at the tail, so the next turn begins where the bucket was empty. */
	for (conn = ready.head; conn != SLOT_NONE; conn = next, next = after) {
		if (w->purse[BUCKET_ALL][WAY_OUT] <= 0 && !w->n_free) {
			w->short_of |= SHORT(BUCKET_ALL, WAY_OUT);
			break;
		}
		after = ready_next(w, &ready, next);
		serve_fetch(w, after);
		serve_fetch_far(w, next);
		link_serve(w, conn);
	}
}

void link_flush_small(struct worker *w, uint32_t conn)
{
	while (tls_pending(&w->tls, conn)) {
		uint8_t *p = tcp_reserve(w->tcp, conn, TLS_SMALL_MAX);
		size_t len;

		if (!p)
			return; /* the next turn tries again; data waits behind it */
		len = tls_make(&w->tls, conn, p);
		tcp_push(w->tcp, conn, (uint32_t)len);
		if (!len)
			return;
		link_moved(w, conn, WAY_OUT, len);
	}
}

/* TLS bytes of control's own handshake. */
static int write_raw(struct worker *w, uint32_t conn, const uint8_t *bytes, size_t len)
{
	uint8_t *p = tcp_reserve(w->tcp, conn, (uint32_t)len);

	if (!p)
		return ERR_FULL;
	memcpy(p, bytes, len);
	tcp_push(w->tcp, conn, (uint32_t)len);
	link_moved(w, conn, WAY_OUT, len);
	return 0;
}

int link_write(struct worker *w, uint32_t conn, const uint8_t *bytes, size_t len)
{
	unsigned head = tls_head_len(&w->tls, conn), tail = tls_tail_len(&w->tls, conn);
	uint8_t *record;
	size_t sealed;

	if (!len || len > TLS_PAYLOAD_MAX)
		return ERR_MALFORMED;
	w->worked = true;
	if (link_of(&w->links, conn)->state == LINK_TLS)
		return write_raw(w, conn, bytes, len);
	if (tls_pending(&w->tls, conn))
		link_flush_small(w, conn);
	if (!tls_ready(&w->tls, conn))
		return ERR_FULL;
	record = tcp_reserve(w->tcp, conn, (uint32_t)(head + len + tail));
	if (!record)
		return ERR_FULL;
	memcpy(record + head, bytes, len);
	sealed = tls_seal(&w->tls, conn, record, len);
	tcp_push(w->tcp, conn, (uint32_t)sealed);
	link_moved(w, conn, WAY_OUT, sealed);
	link_sent(&w->links, conn, w->now_us);
	return sealed ? 0 : ERR_NOT_NOW;
}

int link_own_cell(struct worker *w, uint32_t conn, uint32_t circ_id, uint8_t command,
		  const uint8_t *payload)
{
	uint32_t slot = slot_take(&w->sched);

	if (slot == SLOT_NONE)
		return ERR_FULL;
	cell_head_put(slot_at(&w->sched, slot)->head, circ_id, command);
	memcpy(slot_at(&w->sched, slot)->payload, payload, CELL_PAYLOAD);
	if (sched_own(&w->sched, conn, slot) == 0)
		return 0;
	slot_give(&w->sched, slot);
	return ERR_FULL;
}
