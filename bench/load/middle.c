/* middle.c - cells of circuits that run through the relay to a sink. What the sink sees is what the
 * client put in below the relay's layer, so each end knows every byte; the payload is marked as not
 * for the relay, and there is no third layer: the relay's work is the same. */
#include "bench/load/load.h"

#include <rte_cycles.h>

#define MARK	  0xa5a5 /* where a zero would mean that the cell may be for the relay */
#define HEAD	  19	 /* kind 1, mark 2, circuit 4, sequence 4, time 8 */
#define SERVE_MIN 4	 /* cells worth a record while more are under way */
#define TURN_MAX  512	 /* cells packed in one turn: they stay in L2, and so do their conns */

static unsigned way_of(const struct load *ld, uint32_t conn)
{
	return ld->conn[conn].kind == CONN_CLIENT ? UP : DOWN;
}

static const uint8_t *body_of(const struct load *ld, uint32_t circ, uint32_t seq)
{
	return ld->pattern + ((circ * 131 + seq * 67) & (PATTERN_LEN - 1) & 0xfff);
}

/* ---- what a circuit may send ---- */
static void enqueue(struct load *ld, uint32_t i, unsigned way)
{
	struct circ *c = &ld->circ[i];
	uint32_t conn = way == UP ? c->conn : c->sink_conn;
	struct queue *q = &ld->conn[conn].ready;

	if (c->queued[way])
		return;
	c->queued[way] = true;
	c->next[way] = SLOT_NONE;
	if (!q->n++)
		q->head = i;
	else
		ld->circ[q->tail].next[way] = i;
	q->tail = i;
	peer_wake(ld, conn);
}

static uint32_t dequeue(struct load *ld, uint32_t conn, unsigned way)
{
	struct queue *q = &ld->conn[conn].ready;
	uint32_t i = q->head;

	if (!q->n)
		return SLOT_NONE;
	q->head = ld->circ[i].next[way];
	q->n--;
	ld->circ[i].queued[way] = false;
	return i;
}

static bool may_send(const struct load *ld, const struct circ *c, unsigned way)
{
	if (ld->opt.mode->thin && c == &ld->circ[ld->opt.n_circs - 1])
		return false; /* its cells have their own clock */
	if (ld->opt.mode->streams)
		return way == UP && ld->opt.direction & DIR_UP && c->package > 0;
	return ld->opt.direction & (way == UP ? DIR_UP : DIR_DOWN) &&
	       c->sent[way] - c->got[way] < ld->opt.window;
}

void middle_flow(struct load *ld, uint32_t i)
{
	struct circ *c = &ld->circ[i];

	if (!ld->flowing || c->state != CIRC_OPEN)
		return;
	if (may_send(ld, c, UP))
		enqueue(ld, i, UP);
	if (c->sink_conn != SLOT_NONE && may_send(ld, c, DOWN))
		enqueue(ld, i, DOWN);
}

/* ---- packing ---- */
static void put(struct load *ld, uint32_t i, unsigned way, uint8_t *p, uint64_t stamp)
{
	struct circ *c = &ld->circ[i];
	uint8_t *payload = p + CELL_HEAD;

	cell_head_put(p, way == UP ? c->id : c->sink_id, CELL_RELAY);
	payload[0] = (uint8_t)(0xc0 | way);
	be16_put(payload + 1, MARK);
	be32_put(payload + 3, i);
	be32_put(payload + 7, c->sent[way]);
	be64_put(payload + 11, stamp);
	memcpy(payload + HEAD, body_of(ld, i, c->sent[way]), CELL_PAYLOAD - HEAD);
	c->sent[way]++;
	ld->conn[way == UP ? c->conn : c->sink_conn].n_out++;
	ld->n_flight++;
	if (way == UP)
		layer_pass(ld, c, payload);
}

/* With --rate: whether a cell's time has come, and when that was. */
static bool due(struct load *ld, uint64_t now, uint64_t *stamp)
{
	uint64_t at = ld->pace_start + (uint64_t)((double)ld->pace_n * ld->pace_step);

	*stamp = now;
	if (!(ld->pace_step > 0))
		return true;
	if (at > now)
		return false;
	*stamp = at;
	ld->pace_n++;
	return true;
}

unsigned middle_pack(struct load *ld, uint32_t conn, uint8_t *p, unsigned n)
{
	unsigned way = way_of(ld, conn), k = 0;
	uint64_t stamp, now = rte_rdtsc();
	uint32_t i;

	while (k < n && (i = dequeue(ld, conn, way)) != SLOT_NONE) {
		struct circ *c = &ld->circ[i];
		bool time = true;

		for (unsigned b = 0; b < ld->opt.run && k < n && may_send(ld, c, way); b++) {
			time = due(ld, now, &stamp);
			if (!time)
				break;
			put(ld, i, way, p + k++ * CELL_LEN, stamp);
		}
		if (may_send(ld, c, way))
			enqueue(ld, i, way);
		if (!time)
			break;
	}
	return k;
}

/* With --rate: cells whose time has come. What is late goes in longer records, as it would behind
 * any client. */
static uint64_t overdue(const struct load *ld)
{
	double gone = (double)(rte_rdtsc() - ld->pace_start) / ld->pace_step;

	return gone < (double)ld->pace_n ? 0 : (uint64_t)gone - ld->pace_n + 1;
}

/* Cells that a conn may have under way: those of all its circuits. */
static uint64_t window_of(const struct load *ld, const struct conn *c)
{
	return (uint64_t)c->n_circs * ld->opt.window;
}

static unsigned wanted(const struct load *ld, uint32_t conn)
{
	const struct conn *c = &ld->conn[conn];
	uint64_t ready = c->ready.n ? ld->opt.record : 0;

	if (!ld->opt.mode->streams)
		ready = MIN(ready, window_of(ld, c) - c->n_out);
	if (ld->pace_step > 0)
		ready = MIN(ready, overdue(ld));
	return (unsigned)MIN(ready, ld->opt.record);
}

/* Cells below which no record is made while more are to come. */
static unsigned least(const struct load *ld, uint32_t conn, unsigned want)
{
	if (!ld->opt.burst || ld->pace_step > 0 || ld->opt.mode->streams)
		return MIN(want, (unsigned)SERVE_MIN);
	return (unsigned)MIN(window_of(ld, &ld->conn[conn]), ld->opt.burst);
}

/* One record. False when this conn is done for now: TCP_WRITABLE or a window wakes it. */
static bool serve(struct load *ld, uint32_t conn)
{
	unsigned head = tls_head_len(&ld->tls, conn), tail = tls_tail_len(&ld->tls, conn);
	uint32_t room = tcp_room(ld->tcp, conn);
	unsigned want = wanted(ld, conn), fit, n;
	bool idle = !tcp_unacked(ld->tcp, conn) && !tcp_unsent(ld->tcp, conn);
	uint8_t *p;

	if (!want)
		return ld->conn[conn].ready.n != 0; /* the time comes */
	if (ld->opt.burst && tcp_unsent(ld->tcp, conn))
		return room != 0; /* the port is full; else TCP_WRITABLE comes */
	fit = room > head + tail ? (room - head - tail) / CELL_LEN : 0;
	if (idle && !fit)
		fit = 1;
	n = MIN(fit, want);
	if (!n || (n < least(ld, conn, want) && (!idle || ld->opt.burst)))
		return false;
	p = peer_ready(ld, conn) ? tcp_reserve(ld->tcp, conn, head + n * CELL_LEN + tail) : NULL;
	if (!p)
		return ld->conn[conn].ready.n != 0; /* buffers come back as they are acknowledged */
	n = ld->opt.mode->streams ? exit_pack(ld, conn, p + head, n)
				  : middle_pack(ld, conn, p + head, n);
	tcp_push(ld->tcp, conn, n ? (uint32_t)tls_seal(&ld->tls, conn, p, n * CELL_LEN) : 0);
	ld->sum.tx_cells += n;
	ld->sum.tx_records += n != 0;
	return ld->conn[conn].ready.n != 0;
}

void thin_turn(struct load *ld)
{
	uint32_t i = ld->opt.n_circs - 1;
	uint64_t now = rte_rdtsc();
	uint8_t cell[CELL_LEN];

	if (!ld->opt.mode->thin || !ld->flowing || now < ld->thin_tsc)
		return;
	put(ld, i, UP, cell, ld->thin_tsc);
	if (!peer_send(ld, ld->circ[i].conn, cell, sizeof(cell)))
		load_fail(ld, "out of send buffers: --mem is too small");
	ld->thin_tsc += (uint64_t)(ld->opt.every_ms * 1e6 * ld->tsc_per_ns);
}

void pump(struct load *ld)
{
	uint32_t conn, last = ld->active_tail;
	uint64_t stop = ld->sum.tx_cells + TURN_MAX;

	for (unsigned n = 0; ld->active != SLOT_NONE && n < TURN_MAX; n++) {
		if (ld->n_flight > ld->opt.flight - ld->opt.record)
			break; /* who is next stays the next */
		struct conn *c = &ld->conn[conn = ld->active];

		ld->active = c->next_active;
		c->active = false;
		if (c->state == CONN_OPEN && ld->flowing && serve(ld, conn))
			peer_wake(ld, conn);
		if (conn == last || ld->sum.tx_cells >= stop)
			break;
	}
}

/* ---- arrivals ---- */
static bool arrived(struct load *ld, uint32_t i, unsigned way, const uint8_t *payload)
{
	struct circ *c = &ld->circ[i];
	uint32_t seq = c->got[way], from = way == UP ? c->conn : c->sink_conn;

	if (payload[0] != (0xc0 | way) || be16_get(payload + 1) != MARK ||
	    be32_get(payload + 3) != i || be32_get(payload + 7) != seq ||
	    memcmp(payload + HEAD, body_of(ld, i, seq), CELL_PAYLOAD - HEAD)) {
		load_fail(ld, "circuit %u: cell %u %s is not what was sent", i, seq,
			  way == UP ? "up" : "down");
		return false;
	}
	c->got[way]++;
	ld->conn[from].n_out--;
	ld->n_flight--;
	ld->sum.cells[way]++;
	ld->sum.bytes[way] += RELAY_BODY;
	if (ld->timing && (!ld->opt.mode->thin || is_thin(ld, i)))
		latency_note(ld, be64_get(payload + 11));
	if (ld->flowing && may_send(ld, c, way)) {
		enqueue(ld, i, way);
		peer_wake(ld, from); /* it may have waited for this one to make a burst */
	}
	return true;
}

void middle_up(struct load *ld, uint32_t conn, uint8_t *payload, uint32_t id)
{
	uint32_t i = be32_get(payload + 3);

	if (i >= ld->opt.n_circs || ld->circ[i].sink_conn != conn || ld->circ[i].sink_id != id)
		load_fail(ld, "a cell at the sink that belongs to no circuit there");
	else
		arrived(ld, i, UP, payload);
}

void middle_down(struct load *ld, uint32_t i, uint8_t *payload)
{
	layer_back(ld, &ld->circ[i], payload);
	arrived(ld, i, DOWN, payload);
}
