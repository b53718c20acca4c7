/* conns.c - the conns of the generator: records are opened and cut into cells, by what the conn is:
 * a client's link, a sink's link, or a destination of exit streams. */
#include "bench/load/load.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>

#define SINK_BURST_S 0.004 /* of a slow sink: about as long as we may be kept from the core */

int conns_dial(struct load *ld)
{
	int conn = tcp_open(ld->tcp, &ld->opt.address.ip, &ld->relay.at, CONN_CLIENT, ld->now_us);

	if (conn < 0) {
		load_fail(ld, "no connection can be opened: no free slot, port or memory");
		return conn;
	}
	ld->conn[conn] = (struct conn) {
		.kind = CONN_CLIENT, .state = CONN_DIALLED, .ready = {SLOT_NONE, SLOT_NONE, 0}};
	ld->n_dialling++;
	return conn;
}

void peer_raw(struct load *ld, uint32_t conn, const void *bytes, size_t len)
{
	uint8_t *p = tcp_reserve(ld->tcp, conn, (uint32_t)len);

	if (!p) {
		load_fail(ld, "out of send buffers during a handshake: --mem is too small");
		return;
	}
	memcpy(p, bytes, len);
	tcp_push(ld->tcp, conn, (uint32_t)len);
}

/* KeyUpdates and the like go out before data. False when data must wait. */
bool peer_ready(struct load *ld, uint32_t conn)
{
	while (tls_pending(&ld->tls, conn)) {
		uint8_t *p = tcp_reserve(ld->tcp, conn, TLS_SMALL_MAX);

		if (!p)
			return false;
		tcp_push(ld->tcp, conn, (uint32_t)tls_make(&ld->tls, conn, p));
	}
	return tls_ready(&ld->tls, conn);
}

bool peer_send(struct load *ld, uint32_t conn, const void *cells, size_t len)
{
	unsigned head = tls_head_len(&ld->tls, conn), tail = tls_tail_len(&ld->tls, conn);
	uint8_t *p = NULL;

	if (peer_ready(ld, conn))
		p = tcp_reserve(ld->tcp, conn, (uint32_t)(head + len + tail));
	if (!p)
		return false;
	memcpy(p + head, cells, len);
	tcp_push(ld->tcp, conn, (uint32_t)tls_seal(&ld->tls, conn, p, len));
	return true;
}

bool peer_cell(struct load *ld, uint32_t conn, uint32_t id, uint8_t command, const void *payload,
	       size_t len)
{
	uint8_t cell[CELL_LEN] = {0};

	cell_head_put(cell, id, command);
	memcpy(cell + CELL_HEAD, payload, len);
	if (peer_send(ld, conn, cell, sizeof(cell)))
		return true;
	load_fail(ld, "out of send buffers: --mem is too small");
	return false;
}

void peer_keys(struct load *ld, uint32_t conn, const struct tls_keys *keys)
{
	if (tls_start(&ld->tls, conn, keys) < 0)
		load_fail(ld, "TLS version %04x or suite %04x is not ours", keys->version,
			  keys->suite);
	ld->conn[conn].state = CONN_CELLS;
}

void peer_open(struct load *ld, uint32_t conn)
{
	struct conn *c = &ld->conn[conn];

	c->state = CONN_OPEN;
	hello_free(c);
	if (c->kind != CONN_CLIENT)
		return;
	ld->n_dialling--;
	ld->n_links_open++;
	ld->sum.connects++;
	if (ld->redial)
		tcp_abort(ld->tcp, conn);
}

void peer_wake(struct load *ld, uint32_t conn)
{
	struct conn *c = &ld->conn[conn];

	if (c->active || !c->ready.n)
		return;
	c->active = true;
	c->next_active = SLOT_NONE;
	if (ld->active == SLOT_NONE)
		ld->active = conn;
	else
		ld->conn[ld->active_tail].next_active = conn;
	ld->active_tail = conn;
}

/* One whole cell. */
static void cell_in(struct load *ld, uint32_t conn, uint8_t *cell, size_t len)
{
	struct conn *c = &ld->conn[conn];

	if (LIKELY(c->state == CONN_OPEN)) {
		if (UNLIKELY(ld->fetch && c->kind == CONN_CLIENT))
			fetch_cell(ld, conn, cell);
		else if (!cell_is_variable(cell[4]))
			circuit_cell(ld, conn, cell);
	} else {
		bool versions = !c->versions && cell[2] == CELL_VERSIONS;

		if (c->kind == CONN_CLIENT)
			hello_cell(ld, conn, cell, len);
		else
			sink_cell(ld, conn, cell, len);
		c->versions |= versions;
	}
}

/* Adds to the stash until a cell is whole there; how many bytes it took. */
static size_t stash(struct load *ld, uint32_t conn, const uint8_t *p, size_t len)
{
	struct conn *c = &ld->conn[conn];
	size_t took = 0;

	while (took < len) {
		int size = cell_size(c->stash, c->stash_len, c->versions ? 4 : 2);

		if (size < 0) {
			load_fail(ld, "the relay sent a cell that is too long");
			return len;
		}
		if (size && c->stash_len >= size) {
			c->stash_len = 0;
			cell_in(ld, conn, c->stash, (size_t)size);
			return took;
		}
		size_t n = size ? MIN((size_t)size - c->stash_len, len - took) : 1;
		memcpy(c->stash + c->stash_len, p + took, n);
		c->stash_len += (uint16_t)n;
		took += n;
	}
	if (cell_size(c->stash, c->stash_len, c->versions ? 4 : 2) == c->stash_len &&
	    c->stash_len) {
		size_t size = c->stash_len;

		c->stash_len = 0;
		cell_in(ld, conn, c->stash, size);
	}
	return took;
}

static void cells_in(struct load *ld, uint32_t conn, uint8_t *p, size_t len)
{
	struct conn *c = &ld->conn[conn];

	while (len && tcp_live(ld->tcp, conn) && c->state != CONN_NONE) {
		size_t n;
		int size = c->stash_len ? 0 : cell_size(p, len, c->versions ? 4 : 2);

		if (size > 0 && (size_t)size <= len) {
			cell_in(ld, conn, p, (size_t)size);
			n = (size_t)size;
		} else {
			if (!c->stash)
				c->stash = malloc(CELL_VAR_MAX + 16);
			n = stash(ld, conn, p, len);
		}
		p += n;
		len -= n;
	}
}

static void record_in(struct load *ld, uint32_t conn, uint8_t *p, uint32_t len)
{
	struct conn *c = &ld->conn[conn];
	struct tls_got got;

	if (c->state == CONN_TLS && c->kind == CONN_CLIENT) {
		hello_record(ld, conn, p, len);
		return;
	}
	if (c->state == CONN_TLS) {
		sink_record(ld, conn, tcp_rx_offset(ld->tcp, conn), p, len);
		return;
	}
	ld->record_tsc = rte_rdtsc();
	got = tls_in(&ld->tls, conn, p, len);
	if (UNLIKELY(tls_pending(&ld->tls, conn)))
		peer_ready(ld, conn);
	if (got.what == TLS_DATA) {
		ld->sum.rx_records++;
		ld->sum.rx_cells += got.len / CELL_LEN;
		cells_in(ld, conn, got.data, got.len);
	}
	if (got.what == TLS_CLOSE)
		tcp_close(ld->tcp, conn, ld->now_us);
	else if (got.what == TLS_ERROR)
		load_fail(ld, "a TLS record of the relay: %s", tls_why_name(got.why));
}

/* A slow sink has read what it may: the rest stays in TCP, and the window closes. */
static bool sink_waits(struct load *ld, uint32_t conn, uint32_t len)
{
	struct conn *c = &ld->conn[conn];

	if (!ld->opt.mode->thin || !(ld->opt.sink_rate > 0) || !ld->flowing || c->kind != CONN_SINK)
		return false;
	c->paused = ld->sink_tokens <= 0;
	if (!c->paused)
		ld->sink_tokens -= len;
	return c->paused;
}

static void records_in(struct load *ld, uint32_t conn)
{
	uint8_t *p;
	uint32_t len;

	while (tcp_live(ld->tcp, conn) && tcp_peek(ld->tcp, conn, &p, &len)) {
		if (sink_waits(ld, conn, len))
			return;
		record_in(ld, conn, p, len);
		tcp_take(ld->tcp, conn, len);
	}
}

void sinks_read(struct load *ld)
{
	uint64_t now = rte_rdtsc();

	if (!ld->opt.mode->thin)
		return;
	ld->sink_tokens += (double)(now - ld->sink_tsc) * ld->ns_per_tsc * 1e-9 * ld->opt.sink_rate;
	ld->sink_tokens = MIN(ld->sink_tokens, SINK_BURST_S * ld->opt.sink_rate);
	ld->sink_tsc = now;
	for (uint32_t i = 0; i < ld->n_conns; i++)
		if (ld->conn[i].paused && (ld->sink_tokens > 0 || !ld->flowing)) {
			ld->conn[i].paused = false;
			records_in(ld, i);
		}
}

static void opened(struct load *ld, const struct tcp_event *ev)
{
	struct conn *c = &ld->conn[ev->conn];

	if (ev->kind != CONN_CLIENT)
		*c = (struct conn) {.kind = ev->kind, .ready = {SLOT_NONE, SLOT_NONE, 0}};
	c->state = CONN_TLS;
	if (ev->kind == CONN_CLIENT)
		hello_start(ld, ev->conn);
	else if (ev->kind == CONN_SINK)
		sink_opened(ld, ev->conn);
	else
		dest_opened(ld, ev->conn);
}

static void closed(struct load *ld, const struct tcp_event *ev)
{
	static const char *const why[] = {
		"",	   "closed by the relay", "aborted",	"reset by the relay",
		"refused", "timed out",		  "unreachable"};
	struct conn *c = &ld->conn[ev->conn];

	if (c->kind == CONN_CLIENT) {
		if (c->state == CONN_OPEN)
			ld->n_links_open--;
		else
			ld->n_dialling--;
		if (!ld->redial && !ld->retry && ev->reason != TCP_ABORTED)
			load_fail(ld, "link %u of %u: %s", ev->conn, ld->opt.n_links,
				  why[ev->reason]);
	}
	if (c->kind == CONN_SINK)
		sink_closed(ld, ev->conn);
	hello_free(c);
	free(c->stash);
	c->stash = NULL;
	c->state = CONN_NONE;
	tls_stop(&ld->tls, ev->conn);
	tcp_release(ld->tcp, ev->conn);
	if (c->kind == CONN_CLIENT && (ld->redial || ld->retry))
		conns_dial(ld);
}

void peer_event(struct load *ld, const struct tcp_event *ev)
{
	if (ev->flags & TCP_OPENED)
		opened(ld, ev);
	if (ev->kind <= CONN_SINK) {
		if (ev->flags & TCP_READABLE)
			records_in(ld, ev->conn);
		if (ev->flags & TCP_WRITABLE)
			peer_wake(ld, ev->conn);
	} else if (!(ev->flags & TCP_CLOSED)) {
		dest_event(ld, ev->conn);
	}
	if (ev->flags & TCP_BAD_UNIT)
		load_fail(ld, "the relay sends what is no TLS record");
	if (ev->flags & TCP_EOF)
		tcp_close(ld->tcp, ev->conn, ld->now_us);
	if (ev->flags & TCP_CLOSED)
		closed(ld, ev);
}
