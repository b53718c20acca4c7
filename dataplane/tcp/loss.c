/* loss.c - the segments in flight of each conn: sent, split, sacked, lost, sent again,
 * acknowledged. The scoreboard of RFC 6675 with the send times that RACK (RFC 8985) needs. Below
 * recovery.c. */
#include "dataplane/tcp/internal.h"

int sent_init(struct tcp *t)
{
	uint32_t n = t->cfg.n_sent;

	t->sent = column_new(n, sizeof(*t->sent));
	if (!t->sent)
		return ERR_FULL;
	t->sent_free = t->sent_fresh = 0;
	return 0;
}

uint32_t conn_pipe(const struct conn *c)
{
	uint32_t flight = conn_flight(c), out = c->sacked + c->lost;

	/* Without SACK each duplicate ACK says that one segment has left (RFC 5681 3.2). */
	if (!(c->flags & F_SACK))
		out += (uint32_t)c->dupacks * c->path.mss;
	return (flight > out ? flight - out : 0) + c->retx;
}

static uint32_t sent_len(const struct sent *s)
{
	return s->end - s->seq;
}

/* ---- the list by time ---- */

static void timed_add(struct tcp *t, struct conn *c, uint32_t i)
{
	struct sent *s = &t->sent[i];

	s->flags |= SENT_TIMED;
	s->t_next = SLOT_NONE;
	s->t_prev = c->timed_tail;
	if (c->timed_tail == SLOT_NONE)
		c->timed_head = i;
	else
		t->sent[c->timed_tail].t_next = i;
	c->timed_tail = i;
}

static void timed_del(struct tcp *t, struct conn *c, uint32_t i)
{
	struct sent *s = &t->sent[i];

	if (!(s->flags & SENT_TIMED))
		return;
	s->flags &= ~SENT_TIMED;
	if (s->t_prev == SLOT_NONE)
		c->timed_head = s->t_next;
	else
		t->sent[s->t_prev].t_next = s->t_next;
	if (s->t_next == SLOT_NONE)
		c->timed_tail = s->t_prev;
	else
		t->sent[s->t_next].t_prev = s->t_prev;
}

/* ---- the list by sequence ---- */

static uint32_t sent_take(struct tcp *t)
{
	uint32_t i = t->sent_free;

	if (i == SLOT_NONE)
		tcp_count(t, no_sent);
	else if (i == t->sent_fresh)
		t->sent_free = ++t->sent_fresh < t->cfg.n_sent ? t->sent_fresh : SLOT_NONE;
	else
		t->sent_free = t->sent[i].next;
	return i;
}

/* Links i behind prev (SLOT_NONE: first). */
static void sent_link(struct tcp *t, struct conn *c, uint32_t i, uint32_t prev)
{
	struct sent *s = &t->sent[i];

	s->prev = prev;
	s->next = prev == SLOT_NONE ? c->sent_head : t->sent[prev].next;
	if (prev == SLOT_NONE)
		c->sent_head = i;
	else
		t->sent[prev].next = i;
	if (s->next == SLOT_NONE)
		c->sent_tail = i;
	else
		t->sent[s->next].prev = i;
}

/* Takes the first segment out of everything. */
static void sent_shift(struct tcp *t, struct conn *c)
{
	uint32_t i = c->sent_head;
	struct sent *s = &t->sent[i];

	timed_del(t, c, i);
	c->sacked -= s->flags & SENT_SACKED ? sent_len(s) : 0;
	c->lost -= s->flags & SENT_LOST ? sent_len(s) : 0;
	c->retx -= s->flags & SENT_RETX ? sent_len(s) : 0;
	if (c->lost_hint == i)
		c->lost_hint = s->next;
	if (c->sack_hint == i)
		c->sack_hint = SLOT_NONE;
	c->sent_head = s->next;
	if (s->next == SLOT_NONE)
		c->sent_tail = SLOT_NONE;
	else
		t->sent[s->next].prev = SLOT_NONE;
	s->next = t->sent_free;
	t->sent_free = i;
}

void sent_free_all(struct tcp *t, struct conn *c)
{
	while (c->sent_head != SLOT_NONE)
		sent_shift(t, c);
}

bool sent_add(struct tcp *t, struct conn *c, uint32_t seq, uint32_t end, bool fin, uint64_t now_us)
{
	uint32_t i = sent_take(t);

	if (i == SLOT_NONE)
		return false;
	t->sent[i] = (struct sent) {
		.seq = seq, .end = end, .tx_us = (uint32_t)now_us, .flags = fin ? SENT_FIN : 0};
	sent_link(t, c, i, c->sent_tail);
	timed_add(t, c, i);
	return true;
}

/* Cuts segment i in two at sequence number at; the first part keeps the index. */
bool sent_split(struct tcp *t, struct conn *c, uint32_t i, uint32_t at)
{
	uint32_t j = sent_take(t);
	struct sent *a = &t->sent[i], *b = &t->sent[j];

	if (j == SLOT_NONE)
		return false;
	*b = *a;
	b->seq = at;
	a->end = at;
	a->flags &= ~SENT_FIN;
	sent_link(t, c, j, i);
	if (a->flags & SENT_TIMED) { /* right behind its first part: same time */
		b->t_prev = i;
		b->t_next = a->t_next;
		if (a->t_next == SLOT_NONE)
			c->timed_tail = j;
		else
			t->sent[a->t_next].t_prev = j;
		a->t_next = j;
	}
	return true;
}

/* ---- what becomes of a segment ---- */

void sent_lose(struct tcp *t, struct conn *c, uint32_t i)
{
	struct sent *s = &t->sent[i];

	if (s->flags & SENT_SACKED)
		return;
	timed_del(t, c, i);
	if (s->flags & SENT_RETX)
		c->retx -= sent_len(s);
	else if (!(s->flags & SENT_LOST))
		c->lost += sent_len(s);
	s->flags = (s->flags | SENT_LOST) & ~SENT_RETX;
	if (c->lost_hint == SLOT_NONE || seq_lt(s->seq, t->sent[c->lost_hint].seq))
		c->lost_hint = i;
	tcp_count(t, segs_lost);
}

/* Segment i has been sent once more. */
void sent_again(struct tcp *t, struct conn *c, uint32_t i, uint64_t now_us)
{
	struct sent *s = &t->sent[i];

	timed_del(t, c, i);
	if ((s->flags & (SENT_LOST | SENT_RETX)) == SENT_LOST) {
		s->flags |= SENT_RETX;
		c->retx += sent_len(s);
	}
	s->flags |= SENT_EVER;
	s->tx_us = (uint32_t)now_us;
	timed_add(t, c, i);
}

uint32_t sent_next_lost(struct tcp *t, struct conn *c)
{
	while (c->lost_hint != SLOT_NONE) {
		struct sent *s = &t->sent[c->lost_hint];

		if ((s->flags & (SENT_LOST | SENT_RETX | SENT_SACKED)) == SENT_LOST)
			return c->lost_hint;
		c->lost_hint = s->next;
	}
	return SLOT_NONE;
}

/* RFC 8985 6.2 steps 1 and 2: the segment sent last among those delivered. */
static void rack_update(struct conn *c, const struct sent *s, struct delivery *d, uint64_t now_us)
{
	uint32_t rtt = (uint32_t)now_us - s->tx_us;

	/* Too fast for the retransmission: it was the original that arrived. */
	if (s->flags & SENT_EVER && rtt < c->path.min_rtt_us)
		return;
	if (!(s->flags & SENT_EVER))
		d->rtt_us = MAX(rtt, 1u);
	if (!c->rack_rtt_us || seq_lt(c->rack_us, s->tx_us) ||
	    (c->rack_us == s->tx_us && seq_lt(c->rack_end, s->end))) {
		c->rack_us = s->tx_us;
		c->rack_end = s->end;
		c->rack_rtt_us = MAX(rtt, 1u);
	}
}

/* Segment i has arrived. */
static void sent_delivered(struct conn *c, struct sent *s, struct delivery *d, uint64_t now_us)
{
	if (s->flags & SENT_SACKED)
		return;
	d->bytes += sent_len(s);
	rack_update(c, s, d, now_us);
	/* Behind something that arrived before it, and never retransmitted: the path reorders. */
	if (!(s->flags & SENT_EVER) && seq_lt(s->end, d->high))
		c->flags |= F_REORDERS;
}

void sent_cum_ack(struct tcp *t, struct conn *c, uint32_t ack, struct delivery *d, uint64_t now_us)
{
	while (c->sent_head != SLOT_NONE && seq_lt(t->sent[c->sent_head].seq, ack)) {
		uint32_t i = c->sent_head;
		struct sent *s = &t->sent[i];

		if (s->next != SLOT_NONE)
			__builtin_prefetch(&t->sent[s->next]);
		if (seq_lt(ack, s->end)) {
			/* A part of a merged segment: what is acknowledged leaves the accounts. */
			uint32_t part = ack - s->seq;

			d->bytes += s->flags & SENT_SACKED ? 0 : part;
			c->sacked -= s->flags & SENT_SACKED ? part : 0;
			c->lost -= s->flags & SENT_LOST ? part : 0;
			c->retx -= s->flags & SENT_RETX ? part : 0;
			s->seq = ack;
			break;
		}
		sent_delivered(c, s, d, now_us);
		sent_shift(t, c);
	}
}

static void sent_mark_sacked(struct tcp *t, struct conn *c, uint32_t i, struct delivery *d,
			     uint64_t now_us)
{
	struct sent *s = &t->sent[i];

	sent_delivered(c, s, d, now_us);
	timed_del(t, c, i);
	c->lost -= s->flags & SENT_LOST ? sent_len(s) : 0;
	c->retx -= s->flags & SENT_RETX ? sent_len(s) : 0;
	s->flags = (s->flags | SENT_SACKED) & ~(SENT_LOST | SENT_RETX);
	c->sacked += sent_len(s);
	if (c->sack_hint == SLOT_NONE || seq_lt(t->sent[c->sack_hint].seq, s->seq))
		c->sack_hint = i;
}

/* Narrows a segment to what the block covers of it, in whole MSS (a peer that reports odd bytes
 * cannot make us cut to pieces). Returns the index of the covered part, or SLOT_NONE. */
static uint32_t sent_covered(struct tcp *t, struct conn *c, uint32_t i, uint32_t start,
			     uint32_t end)
{
	struct sent *s = &t->sent[i];
	uint32_t mss = c->path.mss, head = 0, keep;

	if (seq_lt(s->seq, start))
		head = (start - s->seq + mss - 1) / mss * mss;
	if (head >= sent_len(s))
		return SLOT_NONE;
	if (head) {
		if (!sent_split(t, c, i, s->seq + head))
			return SLOT_NONE;
		i = t->sent[i].next;
		s = &t->sent[i];
	}
	if (seq_lt(end, s->end)) {
		if (!seq_lt(s->seq, end))
			return SLOT_NONE;
		keep = (end - s->seq) / mss * mss;
		if (!keep || !sent_split(t, c, i, s->seq + keep))
			return SLOT_NONE;
	}
	return i;
}

static void sack_block(struct tcp *t, struct conn *c, uint32_t start, uint32_t end,
		       struct delivery *d, uint64_t now_us)
{
	uint32_t i = c->sent_head;

	if (c->sack_hint != SLOT_NONE && seq_leq(t->sent[c->sack_hint].end, start))
		i = c->sack_hint;
	while (i != SLOT_NONE && seq_lt(t->sent[i].seq, end)) {
		struct sent *s = &t->sent[i];

		if (seq_lt(start, s->end) && !(s->flags & SENT_SACKED)) {
			uint32_t j = sent_covered(t, c, i, start, end);

			if (j != SLOT_NONE) {
				sent_mark_sacked(t, c, j, d, now_us);
				i = j;
			}
		}
		i = t->sent[i].next;
	}
	c->high_sacked = seq_max(c->high_sacked, end);
}

static bool sack_known(const struct conn *c, uint32_t start, uint32_t end)
{
	for (size_t k = 0; k < ARRAY_LEN(c->sack_seen); k++)
		if (c->sack_seen[k].start == start && c->sack_seen[k].end == end && start != end)
			return true;
	return false;
}

void sent_sack(struct tcp *t, struct conn *c, const struct tcp_hdr *h, struct delivery *d,
	       uint64_t now_us)
{
	for (uint8_t k = 0; k < h->n_sack; k++) {
		uint32_t start = h->sack[k].start, end = h->sack[k].end;

		/* RFC 2883: a first block below the ACK or inside the second is a duplicate. */
		if (!k &&
		    (seq_leq(end, h->ack) || (h->n_sack > 1 && seq_leq(h->sack[1].start, start) &&
					      seq_leq(end, h->sack[1].end)))) {
			d->dsack = true;
			continue;
		}
		if (!seq_lt(start, end) || seq_lt(c->snd_nxt, end) || !seq_lt(h->ack, end))
			continue;
		if (!sack_known(c, start, end))
			sack_block(t, c, start, end, d, now_us);
	}
	for (uint8_t k = 0; k < 4; k++) {
		c->sack_seen[k].start = k < h->n_sack ? h->sack[k].start : 0;
		c->sack_seen[k].end = k < h->n_sack ? h->sack[k].end : 0;
	}
}

void sent_forget_sacks(struct tcp *t, struct conn *c)
{
	for (uint32_t i = c->sent_head; i != SLOT_NONE; i = t->sent[i].next)
		t->sent[i].flags &= ~SENT_SACKED;
	c->sacked = 0;
	c->sack_hint = SLOT_NONE;
	memset(c->sack_seen, 0, sizeof(c->sack_seen));
}

/* RFC 8985 6.2 step 4. */
static uint32_t rack_window(const struct conn *c)
{
	if (!(c->flags & F_REORDERS) && (c->ca != CA_OPEN || c->sacked >= 3 * c->path.mss))
		return 0;
	return MIN(c->path.min_rtt_us / 4 * c->reo_mult, c->path.srtt_us);
}

uint64_t rack_detect(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint32_t wait = 0, window = rack_window(c), next;

	if (!c->rack_rtt_us)
		return 0;
	for (uint32_t i = c->timed_head; i != SLOT_NONE; i = next) {
		struct sent *s = &t->sent[i];
		int32_t left;

		next = s->t_next;
		/* The list is in order of time: from here on all were sent after it. */
		if (seq_lt(c->rack_us, s->tx_us))
			break;
		if (s->tx_us == c->rack_us && !seq_lt(s->end, c->rack_end))
			continue;
		left = (int32_t)(s->tx_us + c->rack_rtt_us + window - (uint32_t)now_us);
		if (left <= 0)
			sent_lose(t, c, i);
		else
			wait = MAX(wait, (uint32_t)left);
	}
	return wait ? now_us + wait : 0;
}
