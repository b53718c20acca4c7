/* out.c - the egress path: what each conn may send now, cut from its byte stream into segments; a
 * superframe's payload is the record buffers themselves, a single frame's a copy (RFC 9293 3.8.6,
 * 5681). Last stop before net_out. */
#include "dataplane/tcp/internal.h"
#include "dataplane/wire/ip_hdr.h"

#define VISIT_SEGS 32 /* then the next conn's turn */

struct out {
	struct tcp_tx *tx;
	unsigned n, max;
	uint64_t now_us;
	bool stuck; /* no mbuf: nothing leaves before the port gives some back */
};

static struct rte_mbuf *header_new(struct tcp *t, const struct tcp_hdr *h)
{
	struct rte_mbuf *m = pool_take(t->headers);

	if (UNLIKELY(!m)) {
		tcp_count(t, no_header);
		return NULL;
	}
	m->data_off = TCP_TX_HEADROOM;
	m->data_len = (uint16_t)tcp_hdr_build(h, buf_data(m));
	m->pkt_len = m->data_len;
	m->tx_offload = 0;
	m->l4_len = m->data_len;
	return m;
}

static void out_put(struct out *o, struct rte_mbuf *m, const struct addr *src,
		    const struct addr *dst)
{
	o->tx[o->n++] = (struct tcp_tx) {.m = m, .src = *src, .dst = *dst};
}

/* ---- one segment of a conn ---- */

static bool out_says_sack(const struct conn *c)
{
	return c->flags & F_SACK && (c->reass || c->dsack_start != c->dsack_end);
}

/* Everything but sequence number and SYN's options. */
static void out_header(struct tcp_hdr *h, struct conn *c, uint64_t now_us)
{
	*h = (struct tcp_hdr) {.src_port = c->local.port,
			       .dst_port = c->remote.port,
			       .ack = c->rcv_nxt,
			       .flags = TCP_ACK};
	if (c->flags & F_TS) {
		h->opts = TCP_OPT_TS;
		h->ts_val = ts_clock(c->ts_off, now_us);
		h->ts_ecr = c->ts_recent;
	}
	if (UNLIKELY(out_says_sack(c)) && reass_sack(c, h))
		h->opts |= TCP_OPT_SACK;
}

/* Payload that fits in one wire segment beside these options. */
static uint32_t out_mss(const struct conn *c, const struct tcp_hdr *h)
{
	return c->mss - (uint32_t)(tcp_hdr_size(h->opts, h->n_sack) - TCP_HDR_MIN);
}

/* The buffer that holds seq. The hint is where the last search of its kind ended. */
static struct rte_mbuf *out_find(struct conn *c, uint32_t seq, struct rte_mbuf *hint)
{
	struct rte_mbuf *m = hint && seq_leq(buf_of(hint)->seq, seq) ? hint : c->tx.head;

	while (m && seq_leq(buf_of(m)->seq + m->data_len, seq))
		m = buf_of(m)->next;
	return m;
}

/* Chains pieces of [seq, seq + len) behind head, as many as the port takes. Returns the bytes, 0
 * when there is no piece left. */
static uint32_t out_pieces(struct tcp *t, struct conn *c, struct rte_mbuf *head, uint32_t seq,
			   uint32_t len, struct rte_mbuf **hint)
{
	struct rte_mbuf *m = out_find(c, seq, *hint), *last = head;
	uint32_t done = 0;

	while (done < len && m && head->nb_segs < t->cfg.tx_segs) {
		uint32_t skip = seq + done - buf_of(m)->seq;
		uint32_t n = MIN(len - done, m->data_len - skip);
		struct rte_mbuf *piece = rte_pktmbuf_alloc(t->pieces);

		if (UNLIKELY(!piece)) {
			tcp_count(t, no_piece);
			return 0;
		}
		rte_pktmbuf_attach(piece, m);
		piece->data_off += skip;
		piece->data_len = (uint16_t)n;
		last->next = piece;
		last = piece;
		head->nb_segs++;
		head->pkt_len += n;
		done += n;
		*hint = m;
		m = buf_of(m)->next;
	}
	return done;
}

/* Copies [seq, seq + len) behind the header in its buffer. A record that no port has read stays
 * this core's own, no reference is counted, and the sum comes with the copy. Returns the bytes. */
static uint32_t out_copy(struct tcp *t, struct conn *c, struct rte_mbuf *head, uint32_t seq,
			 uint32_t len, struct rte_mbuf **hint, struct tcp_tx *tx)
{
	struct rte_mbuf *m = out_find(c, seq, *hint);
	uint8_t *to = buf_data(head) + head->data_len;
	uint32_t done = 0;

	for (; done < len && m; m = buf_of(m)->next) {
		uint32_t skip = seq + done - buf_of(m)->seq;
		uint32_t n = MIN(len - done, m->data_len - skip);

		if (t->cfg.sums) {
			uint64_t sum = ip_sum_copy(0, to + done, buf_data(m) + skip, n);

			tx->sum += done & 1 ? ip_sum_shift(sum) : sum;
		} else {
			memcpy(to + done, buf_data(m) + skip, n);
		}
		done += n;
		*hint = m;
	}
	tx->summed = t->cfg.sums;
	head->data_len += (uint16_t)done;
	head->pkt_len += done;
	return done;
}

static void out_acked(struct conn *c, uint64_t now_us)
{
	c->ack_sent = c->rcv_nxt;
	c->n_unacked = 0;
	c->ack_due_us = 0;
	c->dsack_start = c->dsack_end = 0;
	c->flags &= ~F_ACK_NOW;
	c->sent_us = now_us;
}

/* One frame with these bytes behind its header: all of them where the port cuts, else what the
 * caller knows to fit. Returns how many went (fewer when the port's chain is too short), or -1 when
 * there is no mbuf. */
static int64_t out_frame(struct tcp *t, struct conn *c, struct out *o, const struct tcp_hdr *h,
			 uint32_t len, uint32_t mss, struct rte_mbuf **hint)
{
	struct tcp_tx *tx = &o->tx[o->n];
	struct rte_mbuf *m = header_new(t, h);
	uint32_t done = 0;

	*tx = (struct tcp_tx) {.m = m, .src = c->local, .dst = c->remote};
	if (m && len)
		done = len <= rte_pktmbuf_tailroom(m) ? out_copy(t, c, m, h->seq, len, hint, tx)
						      : out_pieces(t, c, m, h->seq, len, hint);
	if (UNLIKELY(!m || (len && !done))) {
		rte_pktmbuf_free(m);
		o->stuck = true;
		return -1;
	}
	tx->gso_size = done > mss ? (uint16_t)mss : 0;
	o->n++;
	tcp_count(t, segs_out);
	return done;
}

/* Sends up to len bytes from seq, and the FIN behind them if asked: as one frame where the port
 * cuts, else as a train of frames that are alike but for their place. Returns the bytes sent (fewer
 * when mbufs, or pieces for the port's chain, ran out; then without FIN), or -1 when there is no
 * mbuf. len takes no more frames than o has room for. */
static int64_t out_segment(struct tcp *t, struct conn *c, struct out *o, uint32_t seq, uint32_t len,
			   bool fin, struct rte_mbuf **hint)
{
	uint32_t mss, done = 0;
	struct tcp_hdr h;
	int64_t some;

	out_header(&h, c, o->now_us);
	mss = out_mss(c, &h);
	h.window = rx_window(c);
	do {
		uint32_t want = t->cfg.tso_max ? len - done : MIN(len - done, mss);

		h.seq = seq + done;
		some = out_frame(t, c, o, &h, want, mss, hint);
		if (some < 0)
			break;
		done += (uint32_t)some;
		if (some < want)
			break;
	} while (done < len && o->n < o->max);
	if (UNLIKELY(some < 0 && !done))
		return -1;
	if (done == len && fin)
		buf_data(o->tx[o->n - 1].m)[13] |= TCP_FIN;
	if (done && seq + done == c->snd_end)
		buf_data(o->tx[o->n - 1].m)[13] |= TCP_PSH;
	out_acked(c, o->now_us);
	return done;
}

/* ---- what a conn has to send ---- */

static bool out_full(const struct out *o)
{
	return o->n >= o->max || o->stuck;
}

static uint32_t out_cwnd_room(const struct conn *c)
{
	uint32_t pipe = conn_pipe(c);

	/* An empty pipe may always be filled by one segment. */
	if (!pipe)
		return MAX(c->path.cwnd, c->path.mss);
	return c->path.cwnd > pipe ? c->path.cwnd - pipe : 0;
}

/* The longest unit of whole MSS that congestion window and port take, or frames in o where the port
 * cuts nothing. */
static uint32_t out_unit(const struct tcp *t, const struct out *o, uint32_t mss, uint32_t room)
{
	uint32_t max = MIN(t->cfg.tso_max ? t->cfg.tso_max : (o->max - o->n) * mss, room);

	return max > mss ? max / mss * mss : mss;
}

static uint32_t out_data_mss(struct conn *c, uint64_t now_us)
{
	struct tcp_hdr h;

	if (LIKELY(!out_says_sack(c)))
		return c->mss -
		       (uint32_t)(tcp_hdr_size(c->flags & F_TS ? TCP_OPT_TS : 0, 0) - TCP_HDR_MIN);
	out_header(&h, c, now_us);
	return out_mss(c, &h);
}

static void out_counts_prr(struct conn *c, uint32_t len)
{
	if (c->ca == CA_RECOVERY)
		c->prr_out += len;
}

/* Sends segment i again, at most unit bytes of it. False when it could not. */
static bool out_again(struct tcp *t, struct conn *c, struct out *o, uint32_t i, uint32_t unit)
{
	struct sent *s = &t->sent[i];
	bool fin = s->flags & SENT_FIN;
	uint32_t len = s->end - s->seq - fin;
	int64_t done;

	if (len > unit) {
		/* Without a row for the rest it counts as sent too, and comes when it is missed. */
		sent_split(t, c, i, s->seq + unit);
		len = unit;
		fin = false;
	}
	done = out_segment(t, c, o, s->seq, len, fin, &c->rtx_hint);
	if (done < 0)
		return false;
	if (done < len)
		sent_split(t, c, i, s->seq + (uint32_t)done);
	sent_again(t, c, i, o->now_us);
	out_counts_prr(c, (uint32_t)done);
	c->n_retransmits++;
	tcp_count(t, retransmits);
	return true;
}

static void out_lost(struct tcp *t, struct conn *c, struct out *o)
{
	uint32_t i, mss = out_data_mss(c, o->now_us);

	while (!out_full(o) && (i = sent_next_lost(t, c)) != SLOT_NONE) {
		struct sent *s = &t->sent[i];
		uint32_t room = out_cwnd_room(c);

		if (room < MIN(s->end - s->seq, mss))
			break;
		/* A window that shrank holds back all but the first. */
		if (i != c->sent_head && seq_lt(c->snd_una + c->snd_wnd, s->end))
			break;
		if (!out_again(t, c, o, i, out_unit(t, o, mss, room)))
			break;
	}
}

/* How much new data one segment may carry now; 0: wait. */
static uint32_t out_new_len(const struct tcp *t, const struct conn *c, const struct out *o,
			    uint32_t mss, bool probe)
{
	uint32_t unsent = tx_unsent(c), cwnd = out_cwnd_room(c);
	int32_t wnd = (int32_t)(c->snd_una + c->snd_wnd - c->snd_nxt);
	uint32_t len;

	if (!unsent || wnd <= 0)
		return 0;
	if (probe)
		return MIN(MIN(unsent, mss), (uint32_t)wnd);
	if (cwnd < MIN(unsent, mss))
		return 0;
	len = MIN(MIN(unsent, (uint32_t)wnd), out_unit(t, o, mss, cwnd));
	/* Silly window: a small segment only when it is all there is, or nothing is on its way. */
	if (len < mss && len < unsent && c->snd_una != c->snd_nxt && len < c->max_wnd / 2)
		return 0;
	return len;
}

/* One segment of new data, with the FIN when it is due. False: nothing more to send now. */
static bool out_new(struct tcp *t, struct conn *c, struct out *o, bool probe)
{
	uint32_t len = out_new_len(t, c, o, out_data_mss(c, o->now_us), probe), seq = c->snd_nxt;
	bool fin = (c->flags & (F_FIN_QUEUED | F_FIN_SENT)) == F_FIN_QUEUED;
	int64_t done;

	fin = fin && seq + len == c->snd_end && seq_lt(seq + len, c->snd_una + c->snd_wnd);
	if (!len && !fin)
		return false;
	/* RFC 5681 4.1: after a pause the old window says nothing. */
	if (c->snd_una == seq && o->now_us - c->sent_us > c->rto_us && c->ca == CA_OPEN)
		c->path.cwnd = MIN(c->path.cwnd, INIT_CWND_SEGS * c->path.mss);
	if (t->sent_free == SLOT_NONE) {
		tcp_count(t, no_sent);
		o->stuck = true;
		return false;
	}
	done = out_segment(t, c, o, seq, len, fin, &c->tx_hint);
	if (done < 0)
		return false;
	fin = fin && done == len;
	c->snd_nxt += (uint32_t)done + fin;
	sent_add(t, c, seq, c->snd_nxt, fin, o->now_us);
	out_counts_prr(c, (uint32_t)done);
	if (fin)
		c->flags |= F_FIN_SENT;
	return true;
}

/* RFC 8985 7.3: new data if there is some, else the last segment again. */
static void out_tlp(struct tcp *t, struct conn *c, struct out *o)
{
	uint32_t mss = out_data_mss(c, o->now_us), i, len;

	c->flags &= ~(F_TLP_NOW | F_TLP_RETX);
	tcp_count(t, tail_probes);
	if (!out_new(t, c, o, true) && (i = c->sent_tail) != SLOT_NONE && !out_full(o)) {
		len = t->sent[i].end - t->sent[i].seq;
		if (len > mss && sent_split(t, c, i, t->sent[i].end - mss))
			i = c->sent_tail;
		out_again(t, c, o, i, mss);
		c->flags |= F_TLP_RETX;
	}
	c->tlp_end = c->snd_nxt;
}

/* An old sequence number, which the peer must answer with its state (RFC 9293 3.8.4, 3.8.6.1). */
static void out_probe(struct tcp *t, struct conn *c, struct out *o)
{
	struct rte_mbuf *none = NULL;

	c->flags &= ~F_PROBE_NOW;
	out_segment(t, c, o, c->snd_una - 1, 0, false, &none);
}

static void out_syn(struct tcp *t, struct conn *c, struct out *o)
{
	struct tcp_hdr h = {
		.src_port = c->local.port,
		.dst_port = c->remote.port,
		.seq = c->iss,
		.flags = TCP_SYN,
		.window = RCV_WND_START,
		.mss = c->mss,
		.wscale = RCV_WSCALE,
		.ts_val = ts_clock(c->ts_off, o->now_us),
		.opts = TCP_OPT_MSS | TCP_OPT_WSCALE | TCP_OPT_SACK_OK | TCP_OPT_TS,
	};
	struct rte_mbuf *m;

	if (c->state == ST_SYN_RCVD) {
		h.flags |= TCP_ACK;
		h.ack = c->rcv_nxt;
		h.ts_ecr = c->ts_recent;
		if (!c->rcv_wscale)
			h.opts &= ~TCP_OPT_WSCALE;
		h.opts &= c->flags & F_TS ? 255 : ~TCP_OPT_TS;
		h.opts &= c->flags & F_SACK ? 255 : ~TCP_OPT_SACK_OK;
	}
	m = header_new(t, &h);
	if (!m) {
		o->stuck = true;
		return;
	}
	out_put(o, m, &c->local, &c->remote);
	c->flags &= ~(F_SYN_NOW | F_ACK_NOW);
	c->sent_us = o->now_us;
	c->rtx_mode = RTX_SYN;
	c->rtx_due_us = o->now_us + ((uint64_t)RTO_FIRST_US << MIN(c->n_tries, 7u));
	c->n_tries++;
	conn_arm(t, c);
	tcp_count(t, segs_out);
}

static void out_synced(struct tcp *t, struct conn *c, struct out *o)
{
	uint32_t nxt = c->snd_nxt, retransmits = c->n_retransmits, pipe;
	bool idle = c->snd_una == c->snd_nxt;
	struct rte_mbuf *none = NULL;

	if (UNLIKELY(c->flags & F_TLP_NOW))
		out_tlp(t, c, o);
	if (UNLIKELY(c->lost != c->retx))
		out_lost(t, c, o);
	if (conn_can(c, DOES_SEND))
		while (!out_full(o) && out_new(t, c, o, false))
			;
	if (UNLIKELY(c->flags & F_PROBE_NOW) && !out_full(o))
		out_probe(t, c, o);
	if (c->flags & F_ACK_NOW && !out_full(o)) {
		tcp_count(t, acks_out);
		out_segment(t, c, o, c->snd_nxt, 0, false, &none);
	}
	if (c->snd_nxt == nxt && c->n_retransmits == retransmits &&
	    (c->rtx_mode != RTX_NONE || (idle && !tx_waits(c))))
		return;
	pipe = conn_pipe(c);
	if (pipe > c->flight_max || seq_leq(c->flight_seq, c->snd_una)) {
		c->flight_max = pipe;
		c->flight_seq = c->snd_nxt;
	}
	recovery_arm(t, c, idle && c->snd_nxt != nxt, o->now_us);
}

/* Lets one conn send. True when it has sent all it may. */
static bool out_conn(struct tcp *t, struct conn *c, struct out *o)
{
	unsigned max = o->max;

	o->max = MIN(max, o->n + VISIT_SEGS);
	if (c->flags & F_SYN_NOW)
		out_syn(t, c, o);
	else if (conn_can(c, IS_SYNCED))
		out_synced(t, c, o);
	bool all = !out_full(o);
	o->max = max;
	return all;
}

static void out_replies(struct tcp *t, struct out *o)
{
	while (o->n < o->max && t->reply_head != t->reply_tail) {
		struct reply *r = &t->replies[t->reply_head % N_REPLIES];
		struct rte_mbuf *m = header_new(t, &r->h);

		if (!m) {
			o->stuck = true;
			return;
		}
		t->reply_head++;
		out_put(o, m, &r->src, &r->dst);
		tcp_count(t, segs_out);
	}
}

unsigned tcp_out(struct tcp *t, uint64_t now_us, struct tcp_tx *tx, unsigned max)
{
	struct out o = {.tx = tx, .max = max, .now_us = now_us};

	t->now_us = now_us;
	out_replies(t, &o);
	while (o.n < o.max && !o.stuck && t->out.head != t->out.tail) {
		uint32_t i = t->out.v[t->out.head++ & t->out.mask];
		struct conn *c = &t->conns[i];

		c->queued &= ~Q_OUT;
		if (slots_live(&t->slots, i) && !out_conn(t, c, &o))
			conn_output(t, c);
	}
	return o.n;
}
