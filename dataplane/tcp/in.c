/* in.c - the ingress path: a vector of checked segments is parsed, looked up and worked on in three
 * passes (RFC 9293 3.10.7). What is usual goes straight, what says the same as the segment before
 * it straighter; every doubt is one branch. net -> here. */
#include "dataplane/tcp/internal.h"

#define BATCH 64

/* ---- doubts: what is not an in-order segment of an open connection ---- */

/* RFC 7323 5.3: an old timestamp, unless ours is older than its clock can wrap. */
static bool paws_old(const struct conn *c, const struct tcp_hdr *h, uint64_t now_us)
{
	return c->flags & F_TS && h->opts & TCP_OPT_TS && seq_lt(h->ts_val, c->ts_recent) &&
	       (uint32_t)(now_us / 1000) - c->ts_recent_ms < 24u * 86400 * 1000;
}

static void in_rst(struct tcp *t, struct conn *c, const struct tcp_hdr *h, uint64_t now_us)
{
	/* RFC 5961 3.2: only the exact number resets; a guess in the window is asked back. */
	if (h->seq == c->rcv_nxt) {
		tcp_count(t, resets_in);
		conn_closed(t, c, c->state == ST_SYN_RCVD ? TCP_REFUSED : TCP_RESET);
	} else {
		ack_challenge(t, c, now_us);
	}
}

/* These bytes came twice: the next ACK says so (RFC 2883). */
static void in_twice(struct tcp *t, struct conn *c, const struct in *in)
{
	if (c->flags & F_SACK) {
		c->dsack_start = in->h.seq;
		c->dsack_end = in->h.seq + in->len;
	}
	tcp_count(t, duplicates);
	ack_now(t, c);
}

/* Out of the window: told where we are. */
static void in_outside(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	tcp_count(t, out_of_window);
	if (in->h.flags & TCP_RST)
		return;
	if (!in->len && !(in->h.flags & TCP_FIN)) {
		ack_challenge(t, c, now_us); /* also the answer to keepalives and window probes */
		return;
	}
	if (in->len && seq_leq(in->h.seq + in->len, c->rcv_nxt))
		in_twice(t, c, in);
	else
		ack_now(t, c);
}

/* A SYN on a connection whose handshake is over or, in SYN-RCVD, the peer's SYN-ACK of a
 * simultaneous open. */
static void in_syn(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	if (c->state == ST_SYN_RCVD && in->h.seq + 1 == c->rcv_nxt && in->h.flags & TCP_ACK &&
	    in->h.ack == c->iss + 1) {
		conn_opened(t, c, now_us);
		c->snd_wnd = c->max_wnd = in->h.window;
		ack_now(t, c);
		return;
	}
	ack_challenge(t, c, now_us);
}

/* RFC 9293 3.10.7.4 steps 1 to 5. False: the segment ends here. */
static bool in_accept(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	const struct tcp_hdr *h = &in->h;
	uint32_t end = h->seq + in->len + !!(h->flags & TCP_FIN);

	if (UNLIKELY(h->flags & TCP_SYN) && c->state == ST_SYN_RCVD) {
		in_syn(t, c, in, now_us);
		return false;
	}
	if (!(h->flags & TCP_RST) && paws_old(c, h, now_us)) {
		tcp_count(t, paws);
		if (in->len)
			ack_now(t, c);
		else
			ack_challenge(t, c, now_us);
		return false;
	}
	if (seq_lt(end, c->ack_sent) || seq_lt(c->rcv_adv, h->seq)) {
		in_outside(t, c, in, now_us);
		return false;
	}
	if (h->flags & (TCP_RST | TCP_SYN)) {
		if (h->flags & TCP_RST)
			in_rst(t, c, h, now_us);
		else
			in_syn(t, c, in, now_us);
		return false;
	}
	if (!(h->flags & TCP_ACK))
		return false;
	if (c->state == ST_SYN_RCVD) {
		if (h->ack != c->iss + 1)
			return false;
		conn_opened(t, c, now_us);
		c->snd_wl1 = h->seq;
		c->snd_wl2 = h->ack;
		c->snd_wnd = c->max_wnd = (uint32_t)h->window << c->snd_wscale;
	}
	return true;
}

/* ---- data ---- */

static void in_fin(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint8_t was = c->state;

	c->rcv_nxt++;
	c->flags = (c->flags | F_FIN_GOT) & ~F_FIN_AHEAD;
	if (was == ST_FIN_WAIT_2) {
		conn_to_time_wait(t, c, now_us);
		return;
	}
	c->state = state_table[was].fin_got;
	ack_now(t, c);
	rx_eof(t, c);
}

static unsigned in_n_segs(const struct in *in)
{
	uint16_t gso = in->seg->gso_size;

	return gso ? (in->len + gso - 1) / gso : 1;
}

/* The bytes of the segment, cut to the window; what is in order goes up, the rest waits. */
static void in_data(struct tcp *t, struct conn *c, struct in *in, uint64_t now_us)
{
	uint32_t seq = in->h.seq, len = in->len, skip;
	const uint8_t *p = in->data;
	bool filled = c->reass != NULL;

	if (UNLIKELY(seq_lt(c->rcv_adv, seq + len))) {
		len = seq_lt(seq, c->rcv_adv) ? c->rcv_adv - seq : 0;
		in->h.flags &= ~TCP_FIN;
		tcp_count(t, beyond_window);
		ack_now(t, c);
	}
	if (UNLIKELY(seq_lt(c->rcv_nxt, seq))) {
		if (len)
			reass_add(t, c, seq, p, len);
		tcp_count(t, out_of_order);
		ack_now(t, c);
		return;
	}
	skip = c->rcv_nxt - seq;
	if (UNLIKELY(len && skip >= len)) {
		in_twice(t, c, in);
		return;
	}
	if (skip < len) {
		c->rcv_nxt += rx_bytes(t, c, p + skip, len - skip);
		if (UNLIKELY(c->rcv_nxt != seq + len)) { /* no memory: it will come again */
			in->h.flags &= ~TCP_FIN;
			ack_now(t, c);
		}
	}
	if (UNLIKELY(filled)) {
		reass_drain(t, c);
		ack_now(t, c);
	} else if (len) {
		ack_soon(t, c, in_n_segs(in), now_us);
	}
}

/* Bytes and FIN of an acceptable segment. */
static void in_text(struct tcp *t, struct conn *c, struct in *in, uint64_t now_us)
{
	uint32_t fin_seq = in->h.seq + in->len;

	if (UNLIKELY(!conn_can(c, DOES_RECV))) {
		ack_now(t, c); /* after their FIN there is nothing: perhaps the FIN again */
		return;
	}
	/* We have closed and all was acknowledged: nobody will read this (RFC 9293 3.6.1). */
	if (UNLIKELY(c->state == ST_FIN_WAIT_2 && in->len && seq_lt(c->rcv_nxt, fin_seq))) {
		conn_reset(t, c, TCP_DONE);
		return;
	}
	in_data(t, c, in, now_us);
	if (UNLIKELY(in->h.flags & TCP_FIN)) {
		c->flags |= F_FIN_AHEAD;
		c->fin_seq = fin_seq;
	}
	if (UNLIKELY(c->flags & F_FIN_AHEAD && c->rcv_nxt == c->fin_seq))
		in_fin(t, c, now_us);
}

void in_conn(struct tcp *t, struct conn *c, struct in *in, uint64_t now_us)
{
	const struct tcp_hdr *h = &in->h;
	bool doubt;

	doubt = c->state != ST_ESTABLISHED;
	doubt |= (h->flags & ~TCP_PSH) != TCP_ACK;
	doubt |= h->seq != c->rcv_nxt;
	doubt |= seq_lt(c->rcv_adv, h->seq + in->len);
	doubt |= (c->flags & F_TS) && (!(h->opts & TCP_OPT_TS) || seq_lt(h->ts_val, c->ts_recent));
	if (UNLIKELY(doubt)) {
		if (c->state == ST_SYN_SENT) {
			in_syn_sent(t, c, in, now_us);
			return;
		}
		if (c->state == ST_CLOSED || !in_accept(t, c, in, now_us))
			return;
	}
	c->heard_us = now_us;
	if (h->opts & TCP_OPT_TS && seq_leq(h->seq, c->ack_sent) &&
	    seq_leq(c->ts_recent, h->ts_val)) {
		c->ts_recent = h->ts_val;
		c->ts_recent_ms = (uint32_t)(now_us / 1000);
	}
	if (!ack_in(t, c, in, now_us))
		return;
	if (in->len || h->flags & TCP_FIN)
		in_text(t, c, in, now_us);
}

/* A segment that says nothing new, behind one that was taken: its bytes. False: to in_conn. */
static bool in_follow(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	uint32_t done;

	if (UNLIKELY(c->state != ST_ESTABLISHED || c->rcv_nxt != in->h.seq || c->reass ||
		     c->flags & F_FIN_AHEAD || seq_lt(c->rcv_adv, in->h.seq + in->len)))
		return false;
	done = rx_bytes(t, c, in->data, in->len);
	c->rcv_nxt += done;
	if (UNLIKELY(done < in->len)) /* no memory: it will come again */
		ack_now(t, c);
	ack_soon(t, c, in_n_segs(in), now_us);
	return true;
}

/* What it says was judged with the one that it follows only if that one was taken: one that was
 * refused, or came before, ends at the number that is next as well. */
static void in_known(struct tcp *t, struct conn *c, struct in *in, uint64_t now_us)
{
	uint32_t was = c->rcv_nxt;

	if (!in->follows || !in[-1].taken || !in_follow(t, c, in, now_us))
		in_conn(t, c, in, now_us);
	in->taken = was == in->h.seq && c->rcv_nxt == was + in->len;
}

/* RFC 9293 3.10.7.3 */
void in_syn_sent(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	const struct tcp_hdr *h = &in->h;
	bool acks = h->flags & TCP_ACK;

	if (acks && h->ack != c->iss + 1) {
		if (!(h->flags & TCP_RST))
			reply_rst(t, in, now_us);
		return;
	}
	if (h->flags & TCP_RST) {
		if (acks) {
			tcp_count(t, refused);
			conn_closed(t, c, TCP_REFUSED);
		}
		return;
	}
	if (!(h->flags & TCP_SYN))
		return;
	conn_options(t, c, h);
	c->rcv_nxt = c->ack_sent = h->seq + 1;
	c->rcv_adv = c->rcv_nxt + RCV_WND_START;
	c->ts_recent_ms = (uint32_t)(now_us / 1000);
	c->snd_wl1 = h->seq;
	c->snd_wl2 = h->ack;
	if (!acks) { /* simultaneous open */
		c->state = ST_SYN_RCVD;
		c->flags |= F_SYN_NOW;
		conn_output(t, c);
		return;
	}
	uint32_t tries = c->n_tries, rtt = (uint32_t)(now_us - c->sent_us);
	conn_opened(t, c, now_us);
	if (tries <= 1)
		ack_rtt(c, MAX(rtt, 1u));
	c->snd_wnd = c->max_wnd = h->window; /* never scaled in a SYN */
	ack_now(t, c);
}

/* ---- the three passes ---- */

/* Trains come with one acknowledgement, one window and one time on all segments. */
static bool in_follows(const struct in *in, const struct in *first)
{
	const struct tcp_hdr *h = &in->h, *f = &first->h;

	return h->seq == f->seq + first->len && h->ack == f->ack && h->window == f->window &&
	       (h->flags & ~TCP_PSH) == TCP_ACK && (f->flags & ~TCP_PSH) == TCP_ACK &&
	       h->opts == f->opts && !(h->opts & ~TCP_OPT_TS) && h->ts_val == f->ts_val &&
	       h->ts_ecr == f->ts_ecr && in->len && first->len && !first->bad &&
	       addr_same(&in->local, &first->local) && addr_same(&in->remote, &first->remote);
}

/* before: the one before it in the batch, or NULL. */
static void in_parse(struct tcp *t, struct in *in, const struct tcp_seg *seg,
		     const struct in *before)
{
	in->seg = seg;
	in->hit = (struct hit) {HIT_NONE, 0};
	in->follows = in->taken = false;
	in->bad = tcp_hdr_parse(&in->h, seg->tcp, seg->tcp_len) < 0 || !addr_ip_len(&seg->dst) ||
		  seg->dst.family != seg->src.family || !in->h.src_port || !in->h.dst_port;
	if (UNLIKELY(in->bad)) {
		tcp_count(t, malformed);
		return;
	}
	in->data = seg->tcp + in->h.hdr_len;
	in->len = seg->tcp_len - in->h.hdr_len;
	in->local = seg->dst;
	in->remote = seg->src;
	in->local.port = in->h.dst_port;
	in->remote.port = in->h.src_port;
	in->follows = before && in_follows(in, before);
	if (in->follows) {
		in->tag = before->tag;
		return;
	}
	in->tag = lookup_tag(t, &in->local, &in->remote);
	__builtin_prefetch(&t->tuples[in->tag & t->tuple_mask]);
}

static void in_find(struct tcp *t, struct in *in)
{
	in->hit = lookup_find(t, in->tag, &in->local, &in->remote);
	if (in->hit.kind == HIT_CONN) /* who is only acknowledged sends */
		conn_fetch(&t->conns[in->hit.index], 0, in->len ? CONN_LINES_SEND : CONN_LINES);
}

/* What an acknowledgement will look at: the oldest segment in flight and the oldest buffer. len: of
 * the data that it comes with. */
static void in_fetch(const struct tcp *t, const struct conn *c, uint32_t len)
{
	if (c->sent_head != SLOT_NONE) {
		if (len)
			conn_fetch(c, CONN_LINES_SEND, CONN_LINES);
		__builtin_prefetch(&t->sent[c->sent_head]);
	}
	if (c->tx.head)
		buf_fetch(c->tx.head);
}

/* ... and the next oldest, once that one is there. */
static void in_fetch_far(const struct conn *c)
{
	struct rte_mbuf *next = c->tx.head ? buf_of(c->tx.head)->next : NULL;

	if (next)
		buf_fetch(next);
}

static void in_work(struct tcp *t, struct in *in, uint64_t now_us)
{
	struct hit hit = in->hit;

	if (hit.kind == HIT_CONN) {
		in_known(t, &t->conns[hit.index], in, now_us);
		return;
	}
	if (hit.kind == HIT_HALF) {
		half_in(t, hit.index, in, now_us);
		return;
	}
	if (hit.kind == HIT_WAIT && !wait_in(t, hit.index, in, now_us))
		return;
	listen_in(t, in, now_us);
}

static void in_batch(struct tcp *t, const struct tcp_seg *seg, unsigned n, uint64_t now_us)
{
	struct in in[BATCH];
	uint32_t version;

	for (unsigned i = 0; i < n; i++)
		in_parse(t, &in[i], &seg[i], i ? &in[i - 1] : NULL);
	for (unsigned i = 0; i < n; i++) {
		if (in[i].follows)
			in[i].hit = in[i - 1].hit;
		else if (LIKELY(!in[i].bad))
			in_find(t, &in[i]);
	}
	for (unsigned i = 0; i < n; i++)
		if (LIKELY(in[i].hit.kind == HIT_CONN) && !in[i].follows)
			in_fetch(t, &t->conns[in[i].hit.index], in[i].len);
	for (unsigned i = 0; i < n; i++)
		if (LIKELY(in[i].hit.kind == HIT_CONN) && !in[i].follows)
			in_fetch_far(&t->conns[in[i].hit.index]);
	version = t->tuple_version;
	for (unsigned i = 0; i < n; i++) {
		if (UNLIKELY(in[i].bad))
			continue;
		/* An earlier segment of the batch opened or closed something: look again. */
		if (UNLIKELY(version != t->tuple_version))
			in_find(t, &in[i]);
		in_work(t, &in[i], now_us);
	}
}

void tcp_in(struct tcp *t, const struct tcp_seg *seg, unsigned n, uint64_t now_us)
{
	t->now_us = now_us;
	count_add(t->counts, tcp_segs_in, n);
	for (unsigned i = 0; i < n; i += BATCH)
		in_batch(t, seg + i, MIN(n - i, BATCH), now_us);
}
