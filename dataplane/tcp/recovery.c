/* recovery.c - what to do about loss: RACK and tail loss probes (RFC 8985), NewReno for peers
 * without SACK (RFC 6582), proportional rate reduction (RFC 6937), timeouts (RFC 6298), and undoing
 * what was no loss (RFC 3522). Between ack.c and loss.c. */
#include "dataplane/tcp/internal.h"

/* An episode can be taken back only if no retransmission of an earlier one is still out: its ACK
 * would look like the original's. */
static void undo_save(struct tcp *t, struct conn *c, uint64_t now_us)
{
	c->flags &= ~F_UNDO;
	if (c->retx || c->sent_head == SLOT_NONE || t->sent[c->sent_head].flags & SENT_EVER)
		return;
	c->undo_cwnd = c->path.cwnd;
	c->undo_ssthresh = c->path.ssthresh;
	c->undo_ts = ts_clock(c->ts_off, now_us);
	c->flags |= F_UNDO;
}

/* The ACK that ends the doubt answers a segment sent before our first retransmission: the original
 * had arrived, nothing was lost (Eifel). */
static void undo_try(struct tcp *t, struct conn *c, const struct tcp_hdr *h)
{
	if (!(c->flags & F_UNDO) || !(h->opts & TCP_OPT_TS) || !seq_lt(h->ts_ecr, c->undo_ts))
		return;
	c->flags &= ~F_UNDO;
	c->flags |= F_REORDERS;
	tcp_count(t, undone);
	c->path.cwnd = MAX(c->path.cwnd, c->undo_cwnd);
	c->path.ssthresh = c->undo_ssthresh;
	t->cc->undo(c->cc, &c->path);
	c->ca = CA_OPEN;
	for (uint32_t i = c->sent_head; i != SLOT_NONE; i = t->sent[i].next) {
		struct sent *s = &t->sent[i];

		if ((s->flags & (SENT_LOST | SENT_RETX)) != SENT_LOST)
			continue;
		/* Back in flight as if sent now: RACK may still find it missing. */
		s->flags &= ~SENT_LOST;
		c->lost -= s->end - s->seq;
		sent_again(t, c, i, t->now_us);
	}
}

static void recovery_enter(struct tcp *t, struct conn *c, uint64_t now_us)
{
	undo_save(t, c, now_us);
	t->cc->lost(c->cc, &c->path, now_us);
	c->ca = CA_RECOVERY;
	c->recover = c->snd_nxt;
	c->recover_fs = MAX(conn_flight(c), (uint32_t)c->path.mss);
	c->prr_delivered = c->prr_out = 0;
	tcp_count(t, recoveries);
}

static void recovery_leave(struct conn *c)
{
	if (c->ca == CA_RECOVERY)
		c->path.cwnd = MIN(c->path.cwnd_max, MAX(c->path.ssthresh, c->path.mss));
	c->ca = CA_OPEN;
	c->flags &= ~F_UNDO;
	c->dupacks = 0;
}

/* RFC 6937 3: while recovering, what leaves follows what arrives. */
static void prr(struct conn *c, const struct delivery *d)
{
	uint32_t pipe = conn_pipe(c), mss = c->path.mss, ssthresh = c->path.ssthresh;
	int64_t send;

	c->prr_delivered += d->bytes;
	if (pipe > ssthresh) {
		send = ((int64_t)c->prr_delivered * ssthresh + c->recover_fs - 1) / c->recover_fs;
		send -= c->prr_out;
	} else {
		send = MAX((int64_t)c->prr_delivered - c->prr_out, (int64_t)d->bytes) + mss;
		send = MIN(send, (int64_t)ssthresh - pipe);
	}
	/* The fast retransmission itself must leave. */
	if (!c->prr_out)
		send = MAX(send, (int64_t)mss);
	c->path.cwnd = pipe + (uint32_t)MAX(send, 0);
}

/* Whether the window, not the writer, has limited what was sent (RFC 7661 4.3): a writer that fills
 * whole records leaves up to one of them free. */
static bool cwnd_limited(const struct conn *c)
{
	if (c->path.cwnd < c->path.ssthresh)
		return c->path.cwnd < 2 * c->flight_max;
	return c->flight_max + MAX(c->path.mss, MIN(c->path.cwnd / 4, TCP_UNIT_MAX)) > c->path.cwnd;
}

static void cwnd_grow(struct tcp *t, struct conn *c, const struct delivery *d, bool limited,
		      uint64_t now_us)
{
	if (!d->bytes)
		return;
	if (c->ca == CA_LOSS || limited)
		t->cc->acked(c->cc, &c->path, d->bytes, now_us);
	c->path.cwnd = MIN(c->path.cwnd, c->path.cwnd_max);
}

/* RFC 8985 7.4: a probe that repaired a loss without being noticed costs window too. */
static void tlp_in(struct tcp *t, struct conn *c, uint32_t ack, const struct delivery *d,
		   uint64_t now_us)
{
	if (!(c->flags & F_TLP_OUT) || seq_lt(ack, c->tlp_end))
		return;
	/* At tlp_end itself it is not known which copy the ACK answers: wait for the next. */
	if (c->flags & F_TLP_RETX && ack == c->tlp_end && !d->dup && !d->dsack)
		return;
	c->flags &= ~F_TLP_OUT;
	if (!(c->flags & F_TLP_RETX) || d->dsack || d->dup || c->ca != CA_OPEN)
		return;
	t->cc->lost(c->cc, &c->path, now_us);
	c->path.cwnd = MIN(c->path.cwnd, c->path.ssthresh);
	tcp_count(t, tlp_repaired);
}

/* Without SACK: the third duplicate, then each partial ACK, points at one lost segment. */
static void newreno_detect(struct tcp *t, struct conn *c, bool advanced)
{
	uint32_t i = c->sent_head;

	if (i == SLOT_NONE || t->sent[i].flags & SENT_LOST)
		return;
	if ((c->ca == CA_OPEN && c->dupacks >= 3) || (c->ca == CA_RECOVERY && advanced))
		sent_lose(t, c, i);
}

void recovery_in(struct tcp *t, struct conn *c, const struct tcp_hdr *h, bool dup, uint64_t now_us)
{
	struct delivery d = {.high = c->high_sacked, .dup = dup};
	bool advanced = seq_lt(c->snd_una, h->ack), limited = cwnd_limited(c);

	if (advanced) {
		sent_cum_ack(t, c, h->ack, &d, now_us);
		c->snd_una = h->ack;
		c->high_sacked = seq_max(c->high_sacked, h->ack);
		c->dupacks = 0;
		c->n_tries = c->backoff = 0;
	}
	if (c->flags & F_SACK) {
		if (UNLIKELY(h->opts & TCP_OPT_SACK))
			sent_sack(t, c, h, &d, now_us);
	} else if (dup) {
		c->dupacks = MIN(c->dupacks + 1, 1000);
		d.bytes += c->path.mss;
	}
	if (d.dsack)
		c->reo_mult = MIN(c->reo_mult + 1, 64u);
	if (d.rtt_us)
		ack_rtt(c, d.rtt_us);
	if (advanced)
		undo_try(t, c, h);
	tlp_in(t, c, h->ack, &d, now_us);
	if (c->ca != CA_OPEN && seq_leq(c->recover, h->ack))
		recovery_leave(c);
	c->reo_due_us = 0;
	if (c->flags & F_SACK)
		c->reo_due_us = rack_detect(t, c, now_us);
	else
		newreno_detect(t, c, advanced);
	if (UNLIKELY(c->lost && c->ca == CA_OPEN))
		recovery_enter(t, c, now_us);
	if (c->ca == CA_RECOVERY)
		prr(c, &d);
	else
		cwnd_grow(t, c, &d, limited, now_us);
	recovery_arm(t, c, d.bytes != 0, now_us);
}

/* ---- timers ---- */

static uint64_t rto_now(const struct conn *c)
{
	uint64_t rto = (uint64_t)c->rto_us << MIN(c->backoff, 16u);

	return MIN(rto, RTO_MAX_US);
}

/* RFC 8985 7.2: two round trips, and time for a delayed ACK when one segment is all there is. */
static uint64_t tlp_after(const struct conn *c)
{
	uint64_t pto = 2ull * c->path.srtt_us;

	if (!(c->flags & F_SACK) || c->ca != CA_OPEN || c->sacked || c->flags & F_TLP_OUT ||
	    !c->path.srtt_us || c->backoff)
		return UINT64_MAX;
	return pto + (conn_flight(c) <= c->path.mss ? 200000 : 2000);
}

void recovery_arm(struct tcp *t, struct conn *c, bool restart, uint64_t now_us)
{
	uint64_t due;

	if (c->snd_una == c->snd_nxt) {
		c->rto_at_us = 0;
		if (!tx_waits(c) || c->snd_wnd) {
			c->rtx_mode = RTX_NONE;
			c->rtx_due_us = 0;
		} else if (c->rtx_mode != RTX_PERSIST) {
			c->rtx_mode = RTX_PERSIST;
			c->rtx_due_us = now_us + rto_now(c);
		}
	} else {
		if (restart || !c->rto_at_us)
			c->rto_at_us = now_us + rto_now(c);
		c->rtx_mode = RTX_RTO;
		c->rtx_due_us = c->rto_at_us;
		due = tlp_after(c);
		if (due != UINT64_MAX && now_us + due < c->rtx_due_us) {
			c->rtx_mode = RTX_TLP;
			c->rtx_due_us = now_us + due;
		}
		if (c->reo_due_us && c->reo_due_us < c->rtx_due_us) {
			c->rtx_mode = RTX_REO;
			c->rtx_due_us = c->reo_due_us;
		}
	}
	conn_arm(t, c);
}

/* A path that swallows large packets without a word (RFC 4821): after some timeouts try less. */
static void mtu_doubt(struct tcp *t, struct conn *c)
{
	if (c->n_tries != 4 || c->mss <= 1220)
		return;
	c->mss = 1220;
	c->path.mss = c->mss - (c->flags & F_TS ? 12 : 0);
	tcp_count(t, mtu_guesses);
}

void recovery_timeout(struct tcp *t, struct conn *c, uint64_t now_us)
{
	if (++c->n_tries > DATA_TRIES) {
		tcp_count(t, timed_out);
		conn_closed(t, c, TCP_TIMEOUT);
		return;
	}
	tcp_count(t, timeouts);
	c->n_timeouts++;
	if (c->ca == CA_OPEN) {
		undo_save(t, c, now_us);
		t->cc->lost(c->cc, &c->path, now_us);
	} else if (c->ca == CA_RECOVERY) {
		c->flags &= ~F_UNDO;
	}
	c->ca = CA_LOSS;
	c->recover = c->snd_nxt;
	c->path.cwnd = c->path.mss;
	c->dupacks = 0;
	c->reo_due_us = 0;
	c->flags &= ~(F_TLP_OUT | F_TLP_NOW);
	mtu_doubt(t, c);
	/* The peer dropped what it had reported (RFC 2018 8). */
	if (c->sent_head != SLOT_NONE && t->sent[c->sent_head].flags & SENT_SACKED)
		sent_forget_sacks(t, c);
	for (uint32_t i = c->sent_head; i != SLOT_NONE; i = t->sent[i].next)
		sent_lose(t, c, i);
	c->backoff++;
	recovery_arm(t, c, true, now_us);
	conn_output(t, c);
}

void recovery_reorder(struct tcp *t, struct conn *c, uint64_t now_us)
{
	c->reo_due_us = rack_detect(t, c, now_us);
	if (c->lost && c->ca == CA_OPEN) {
		recovery_enter(t, c, now_us);
		prr(c, &(struct delivery) {0});
	}
	recovery_arm(t, c, false, now_us);
	conn_output(t, c);
}

void recovery_probe(struct tcp *t, struct conn *c, uint64_t now_us)
{
	c->flags |= F_TLP_NOW | F_TLP_OUT;
	recovery_arm(t, c, true, now_us);
	conn_output(t, c);
}
