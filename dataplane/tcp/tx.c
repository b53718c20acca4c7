/* tx.c - bytes on their way down: buffers reserved, filled in place by the rooms above, pushed into
 * the stream, and kept as their own retransmit buffers until acknowledged. Before out.c. */
#include "dataplane/tcp/internal.h"

/* Raw writes are small and many: several share a buffer. */
#define RAW_CAP 2240

static struct conn *tx_conn(const struct tcp *t, uint32_t conn)
{
	return slots_live(&t->slots, conn) ? &t->conns[conn] : NULL;
}

void tcp_fetch(const struct tcp *t, uint32_t conn)
{
	if (conn < t->cfg.n_conns)
		conn_fetch(&t->conns[conn], 0, CONN_LINES);
}

void tcp_fetch_bufs(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = tx_conn(t, conn);

	if (c && c->tx.tail)
		buf_fetch(c->tx.tail);
	if (c && c->rx.head)
		buf_fetch(c->rx.head);
}

uint32_t tcp_room(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = tx_conn(t, conn);

	if (!c || !conn_can(c, DOES_SEND) || c->flags & F_FIN_QUEUED)
		return 0;
	uint32_t pipe = conn_pipe(c), unsent = tx_unsent(c), flight = conn_flight(c);
	uint32_t by_cwnd = c->path.cwnd > pipe ? c->path.cwnd - pipe : 0;
	uint32_t by_peer = c->snd_wnd > flight ? c->snd_wnd - flight : 0;
	uint32_t room = MIN(by_cwnd, by_peer);

	return room > unsent ? room - unsent : 0;
}

static void reserved_drop(struct tcp *t, struct conn *c)
{
	if (c->reserved && !(c->flags & F_APPEND)) {
		c->tx_mem -= buf_cap(c->reserved);
		buf_free(t, c->reserved);
	}
	c->flags &= ~F_APPEND;
	c->reserved = NULL;
}

uint8_t *tcp_reserve(struct tcp *t, uint32_t conn, uint32_t cap)
{
	struct conn *c = tx_conn(t, conn);
	struct rte_mbuf *m;

	if (!c || !conn_can(c, DOES_SEND) || c->flags & F_FIN_QUEUED || cap > TCP_UNIT_MAX)
		return NULL;
	reserved_drop(t, c);
	m = c->tx.tail;
	if (c->framing == TCP_RAW && m && m->data_len + cap <= buf_cap(m)) {
		c->flags |= F_APPEND;
		c->reserved = m;
		return buf_data(m) + m->data_len;
	}
	m = buf_new(t, c->framing == TCP_RAW ? MAX(cap, RAW_CAP) : cap, t->cfg.max_mem);
	if (!m)
		return NULL;
	c->tx_mem += buf_cap(m);
	c->reserved = m;
	return buf_data(m);
}

void tcp_push(struct tcp *t, uint32_t conn, uint32_t len)
{
	struct conn *c = tx_conn(t, conn);
	struct rte_mbuf *m = c ? c->reserved : NULL;

	if (!m)
		return;
	if (!len || len + (c->flags & F_APPEND ? m->data_len : 0) > buf_cap(m)) {
		reserved_drop(t, c);
		return;
	}
	if (!(c->flags & F_APPEND)) {
		buf_of(m)->seq = c->snd_end;
		buf_append(&c->tx, m);
	}
	c->flags &= ~F_APPEND;
	c->reserved = NULL;
	m->data_len += len;
	m->pkt_len = m->data_len;
	c->snd_end += len;
	c->tx_off += len;
	conn_output(t, c);
}

uint32_t tcp_unsent(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = tx_conn(t, conn);

	return c && conn_can(c, IS_SYNCED) ? tx_unsent(c) : 0;
}

uint32_t tcp_unacked(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = tx_conn(t, conn);

	return c && conn_can(c, IS_SYNCED) ? conn_flight(c) : 0;
}

uint64_t tcp_tx_offset(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = tx_conn(t, conn);

	return c ? c->tx_off : 0;
}

void tx_acked(struct tcp *t, struct conn *c)
{
	struct rte_mbuf *m;

	while ((m = c->tx.head) && seq_leq(buf_of(m)->seq + m->data_len, c->snd_una)) {
		/* A reservation at its end keeps the buffer. */
		if (c->reserved == m)
			break;
		buf_shift(&c->tx);
		if (c->tx.head)
			buf_fetch(c->tx.head);
		if (c->tx_hint == m)
			c->tx_hint = NULL;
		if (c->rtx_hint == m)
			c->rtx_hint = NULL;
		c->tx_mem -= buf_cap(m);
		buf_free(t, m);
	}
}

void tx_free(struct tcp *t, struct conn *c)
{
	struct rte_mbuf *m;

	reserved_drop(t, c);
	while ((m = buf_shift(&c->tx))) {
		c->tx_mem -= buf_cap(m);
		buf_free(t, m);
	}
	c->tx_hint = c->rtx_hint = NULL;
}
