/* ack.c - acknowledgements: what theirs say about our bytes, and when ours are due. Called by in.c
 * for every segment of an open connection. */
#include "dataplane/tcp/internal.h"

/* RFC 6298 2, with the variance never below RTO_MIN_US (as Linux). */
void ack_rtt(struct conn *c, uint32_t rtt_us)
{
	uint32_t diff;

	if (!c->path.srtt_us) {
		c->path.srtt_us = c->path.min_rtt_us = rtt_us;
		c->rttvar_us = rtt_us / 2;
	} else {
		diff = rtt_us > c->path.srtt_us ? rtt_us - c->path.srtt_us
						: c->path.srtt_us - rtt_us;
		c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + diff / 4;
		c->path.srtt_us = MAX(c->path.srtt_us - c->path.srtt_us / 8 + rtt_us / 8, 1u);
		c->path.min_rtt_us = MIN(c->path.min_rtt_us, rtt_us);
	}
	c->rto_us = MIN(c->path.srtt_us + MAX(4 * c->rttvar_us, RTO_MIN_US), RTO_MAX_US);
}

void ack_now(struct tcp *t, struct conn *c)
{
	c->flags |= F_ACK_NOW;
	conn_output(t, c);
}

/* Every second segment at once, else within DELACK_US (RFC 5681 4.2); the first ones at once, for
 * the sender's slow start. All segments of a turn share one ACK, for tcp_out runs after them. */
void ack_soon(struct tcp *t, struct conn *c, unsigned n_segs, uint64_t now_us)
{
	c->n_unacked = MIN(c->n_unacked + n_segs, 1000u);
	if (c->n_quick) {
		c->n_quick -= MIN(c->n_quick, n_segs);
		ack_now(t, c);
	} else if (c->n_unacked >= 2) {
		ack_now(t, c);
	} else if (!c->ack_due_us) {
		c->ack_due_us = now_us + DELACK_US;
		conn_arm(t, c);
	}
}

/* RFC 5961: bounded per conn, so that one conn's limit tells nothing about another's. */
void ack_challenge(struct tcp *t, struct conn *c, uint64_t now_us)
{
	if (c->challenge_us && now_us - c->challenge_us < CHALLENGE_US) {
		tcp_count(t, challenges_spared);
		return;
	}
	c->challenge_us = now_us;
	tcp_count(t, challenges);
	ack_now(t, c);
}

static void ack_window(struct tcp *t, struct conn *c, const struct tcp_hdr *h)
{
	uint32_t wnd = (uint32_t)h->window << c->snd_wscale;

	if (!(seq_lt(c->snd_wl1, h->seq) || (c->snd_wl1 == h->seq && seq_leq(c->snd_wl2, h->ack))))
		return;
	if (seq_lt(c->snd_una + c->snd_wnd, h->ack + wnd)) {
		conn_event(t, c, TCP_WRITABLE);
		if (!c->snd_wnd) /* the window was closed: probes start afresh */
			c->backoff = 0;
	}
	c->snd_wnd = wnd;
	c->snd_wl1 = h->seq;
	c->snd_wl2 = h->ack;
	c->max_wnd = MAX(c->max_wnd, wnd);
}

static void fin_acked(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint8_t was = c->state;

	c->state = state_table[was].fin_acked;
	if (was == ST_LAST_ACK) {
		c->state = was;
		conn_closed(t, c, TCP_DONE);
	} else if (was == ST_CLOSING) {
		c->state = was;
		conn_to_time_wait(t, c, now_us);
	} else if (was == ST_FIN_WAIT_1) {
		c->keep_due_us = now_us + FIN_WAIT_US;
		conn_arm(t, c);
	}
}

bool ack_in(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us)
{
	const struct tcp_hdr *h = &in->h;
	uint32_t una = c->snd_una;
	bool dup;

	/* RFC 5961 5.2 */
	if (UNLIKELY(seq_lt(c->snd_nxt, h->ack) || seq_lt(h->ack, una - c->max_wnd))) {
		tcp_count(t, ack_bad);
		ack_challenge(t, c, now_us);
		return false;
	}
	c->n_keep = 0;
	if (seq_lt(h->ack, una))
		return true;
	dup = h->ack == una && !in->len && !(h->flags & TCP_FIN) && una != c->snd_nxt &&
	      (uint32_t)h->window << c->snd_wscale == c->snd_wnd;
	ack_window(t, c, h);
	if (una == c->snd_nxt) { /* nothing in flight: at most the window has moved */
		c->n_tries = 0;
		if (c->rtx_mode == RTX_PERSIST)
			recovery_arm(t, c, false, now_us);
	} else if (h->ack != una || dup || h->opts & TCP_OPT_SACK) {
		recovery_in(t, c, h, dup, now_us);
	}
	if (h->ack != una) {
		tx_acked(t, c);
		conn_event(t, c, TCP_WRITABLE);
		if (c->flags & F_FIN_SENT && c->snd_una == c->snd_end + 1) {
			fin_acked(t, c, now_us);
			if (c->state == ST_CLOSED)
				return false;
		}
	}
	if (tx_waits(c) || c->lost != c->retx)
		conn_output(t, c);
	return true;
}
