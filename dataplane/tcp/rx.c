/* rx.c - in-order bytes on their way up: one copy from the segment into the open record, units
 * shown to the reader, and the window that follows. Between in.c and tls/. */
#include "dataplane/tcp/internal.h"

#define RECORD_HDR	5
#define RECORD_BODY_MAX (16384 + 256)
#define RAW_CAP		2240 /* raw bytes come in runs: not one small buffer per write */

/* What in-order data may use: the rest is for answers, which make room. */
static uint64_t rx_limit(const struct tcp *t)
{
	return t->cfg.max_mem / 8 * 7;
}

static struct rte_mbuf *rx_new(struct tcp *t, struct conn *c, uint32_t len)
{
	struct rte_mbuf *m;

	/* Bytes that cost far more memory than they are (records of one byte) end here. */
	if (UNLIKELY(c->rx_mem > 4 * c->rx_max + TCP_UNIT_MAX)) {
		tcp_count(t, rx_amplified);
		return NULL;
	}
	m = buf_new(t, len, rx_limit(t));
	if (m)
		c->rx_mem += buf_cap(m);
	return m;
}

static void rx_buf_free(struct tcp *t, struct conn *c, struct rte_mbuf *m)
{
	c->rx_mem -= buf_cap(m);
	buf_free(t, m);
}

static void rx_copy(struct rte_mbuf *m, const uint8_t *p, uint32_t len)
{
	memcpy(buf_data(m) + m->data_len, p, len);
	m->data_len += len;
	m->pkt_len = m->data_len;
}

/* Behind bytes that wait a large one: each is a few cold lines, and a reader that is behind has
 * many bytes to read. While less than a quarter of the memory is used, so that streams leave the
 * long records of links their share of the largest size (pool.c). */
static struct rte_mbuf *raw_new(struct tcp *t, struct conn *c)
{
	bool large = c->rx.head && t->mem < t->cfg.max_mem / 4;

	return rx_new(t, c, large ? TCP_UNIT_MAX : RAW_CAP);
}

static uint32_t raw_bytes(struct tcp *t, struct conn *c, const uint8_t *p, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		struct rte_mbuf *m = c->rx.tail;
		/* data_off moves as the reader takes: the end is what counts. */
		uint32_t end = m ? m->data_off + m->data_len - RTE_PKTMBUF_HEADROOM : 0;

		if (!m || end == buf_cap(m)) {
			m = raw_new(t, c);
			if (!m)
				break;
			buf_append(&c->rx, m);
			end = 0;
		}
		uint32_t n = MIN(len - done, buf_cap(m) - end);
		rx_copy(m, p + done, n);
		done += n;
	}
	if (done)
		conn_event(t, c, TCP_READABLE);
	return done;
}

/* The record header is complete: a buffer of its size, or the verdict that it is none. */
static bool record_open(struct tcp *t, struct conn *c)
{
	uint32_t body = be16_get(c->rx_hdr + 3);

	if (c->rx_hdr[1] != 3 || body > RECORD_BODY_MAX) {
		c->flags |= F_BAD_UNIT;
		tcp_count(t, bad_unit);
		conn_event(t, c, TCP_BAD_UNIT);
		return false;
	}
	c->rx_open = rx_new(t, c, RECORD_HDR + body);
	if (!c->rx_open)
		return false;
	rx_copy(c->rx_open, c->rx_hdr, RECORD_HDR);
	c->rx_hdr_len = 0;
	c->rx_need = body;
	return true;
}

static void record_done(struct tcp *t, struct conn *c)
{
	buf_append(&c->rx, c->rx_open);
	c->rx_open = NULL;
	conn_event(t, c, TCP_READABLE);
}

static uint32_t record_bytes(struct tcp *t, struct conn *c, const uint8_t *p, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		if (c->rx_open) {
			uint32_t n = MIN(len - done, c->rx_need);

			rx_copy(c->rx_open, p + done, n);
			done += n;
			c->rx_need -= n;
		} else {
			uint32_t n = MIN(len - done, RECORD_HDR - (uint32_t)c->rx_hdr_len);

			memcpy(c->rx_hdr + c->rx_hdr_len, p + done, n);
			c->rx_hdr_len += n;
			if (c->rx_hdr_len == RECORD_HDR && !record_open(t, c)) {
				if (c->flags & F_BAD_UNIT)
					return len;
				/* No buffer: the header's last bytes will come again. */
				c->rx_hdr_len -= n;
				break;
			}
			done += n;
		}
		if (c->rx_open && !c->rx_need)
			record_done(t, c);
	}
	return done;
}

uint32_t rx_bytes(struct tcp *t, struct conn *c, const uint8_t *p, uint32_t len)
{
	uint32_t done;

	/* Nobody reads: acknowledged, so that the peer can finish, and dropped. */
	if (UNLIKELY(c->flags & (F_FIN_QUEUED | F_BAD_UNIT)))
		return len;
	done = c->framing == TCP_RAW ? raw_bytes(t, c, p, len) : record_bytes(t, c, p, len);
	if (LIKELY(!(c->flags & F_BAD_UNIT)))
		c->rx_bytes += done;
	if (UNLIKELY(done < len))
		tcp_count(t, rx_no_room);
	return done;
}

/* ---- the reader ---- */

static struct conn *rx_conn(const struct tcp *t, uint32_t conn)
{
	return slots_live(&t->slots, conn) ? &t->conns[conn] : NULL;
}

void rx_eof(struct tcp *t, struct conn *c)
{
	if (c->flags & F_FIN_GOT && !(c->flags & (F_EOF_TOLD | F_FIN_QUEUED)) && !c->rx.head) {
		c->flags |= F_EOF_TOLD;
		conn_event(t, c, TCP_EOF);
	}
}

bool tcp_peek(struct tcp *t, uint32_t conn, uint8_t **p, uint32_t *len)
{
	struct conn *c = rx_conn(t, conn);

	if (!c || !c->rx.head)
		return false;
	*p = buf_data(c->rx.head);
	*len = c->rx.head->data_len;
	return true;
}

/* Keeps the window at four times what the reader takes in a round trip: the sender doubles its own
 * in slow start and must not be the slower for us. It grows while a burst is read, not a round trip
 * later, when the next one would be held up already. */
static void rx_autotune(struct tcp *t, struct conn *c, uint32_t len)
{
	uint32_t now = (uint32_t)t->now_us;

	if (now - c->rx_mark_us >= MAX(c->path.srtt_us, 1000u)) {
		c->rx_taken = 0;
		c->rx_mark_us = now;
	}
	c->rx_taken += len;
	if (4 * c->rx_taken > c->rx_max && c->rcv_wscale && t->mem < t->cfg.max_mem / 2)
		c->rx_max = MIN(4 * c->rx_taken, t->cfg.rx_max);
}

static uint32_t rx_space(const struct conn *c)
{
	uint32_t used = MAX(c->rx_bytes, c->rx_mem / 4);

	return used < c->rx_max ? c->rx_max - used : 0;
}

/* The next len bytes of the first buffer are consumed. */
static void rx_skip(struct tcp *t, struct conn *c, uint32_t len)
{
	struct rte_mbuf *m = c->rx.head;

	m->data_off += len;
	m->data_len -= len;
	if (!m->data_len)
		rx_buf_free(t, c, buf_shift(&c->rx));
}

/* The reader took so many: the window may open. */
static void rx_took(struct tcp *t, struct conn *c, uint32_t len)
{
	uint32_t offered = c->rcv_adv - c->rcv_nxt, space;

	c->rx_bytes -= len;
	c->rx_off += len;
	rx_autotune(t, c, len);
	/* Tell the peer when its window doubles or grows by half of what it can be, not for every
	 * record (RFC 9293 3.8.6.2.2): a burst is acknowledged before it is read. */
	space = rx_space(c);
	if (conn_can(c, DOES_RECV) && space >= offered + MIN(offered, c->rx_max / 2) &&
	    space > 2u * c->mss)
		ack_now(t, c);
	rx_eof(t, c);
}

void tcp_take(struct tcp *t, uint32_t conn, uint32_t len)
{
	struct conn *c = rx_conn(t, conn);

	if (!c || !c->rx.head)
		return;
	if (c->framing == TCP_RECORDS || len > c->rx.head->data_len)
		len = c->rx.head->data_len;
	rx_skip(t, c, len);
	rx_took(t, c, len);
}

bool tcp_has(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = rx_conn(t, conn);

	return c && c->rx.head;
}

uint32_t tcp_read(struct tcp *t, uint32_t conn, uint8_t *to, uint32_t len)
{
	struct conn *c = rx_conn(t, conn);
	uint32_t done = 0;

	while (c && done < len && c->rx.head) {
		uint32_t n = MIN(len - done, (uint32_t)c->rx.head->data_len);

		memcpy(to + done, buf_data(c->rx.head), n);
		rx_skip(t, c, n);
		done += n;
	}
	if (done)
		rx_took(t, c, done);
	return done;
}

void tcp_again(struct tcp *t, uint32_t conn)
{
	struct conn *c = rx_conn(t, conn);

	if (!c || !c->rx.head)
		return;
	conn_event(t, c, TCP_READABLE);
}

void tcp_hold(struct tcp *t, uint32_t conn, bool hold)
{
	struct conn *c = rx_conn(t, conn);

	if (!c)
		return;
	if (hold) {
		c->flags |= F_HOLD;
	} else if (c->flags & F_HOLD) {
		c->flags &= ~F_HOLD;
		tcp_again(t, conn);
	}
}

uint64_t tcp_rx_offset(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = rx_conn(t, conn);

	return c ? c->rx_off : 0;
}

const uint8_t *tcp_bad_unit(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = rx_conn(t, conn);

	return c && c->flags & F_BAD_UNIT ? c->rx_hdr : NULL;
}

uint16_t rx_window(struct conn *c)
{
	uint32_t offered = c->rcv_adv - c->rcv_nxt, space = rx_space(c), window;

	if (UNLIKELY(seq_lt(c->rcv_adv, c->rcv_nxt)))
		offered = 0;
	/* The right edge never moves back, nor forth by a little (silly window). */
	if (space > offered && (space - offered >= MIN(c->rx_max / 2, (uint32_t)c->mss)))
		offered = space;
	/* Rounded up, for a smaller offer would move the edge back. */
	window = MIN((offered + (1u << c->rcv_wscale) - 1) >> c->rcv_wscale, 65535u);
	c->rcv_adv = c->rcv_nxt + (window << c->rcv_wscale);
	return (uint16_t)window;
}

void rx_free(struct tcp *t, struct conn *c)
{
	struct rte_mbuf *m;

	while ((m = buf_shift(&c->rx)))
		rx_buf_free(t, c, m);
	if (c->rx_open)
		rx_buf_free(t, c, c->rx_open);
	c->rx_open = NULL;
	c->rx_bytes = 0;
	c->rx_hdr_len = 0;
}
