/* wait.c - TIME-WAIT (RFC 9293 3.6.1): the 4-tuples of closed connections, apart from the conns, in
 * a bounded queue whose oldest makes room. */
#include "dataplane/tcp/internal.h"

static void wait_unlink(struct tcp *t, struct time_wait *w)
{
	if (w->prev == SLOT_NONE)
		t->wait_head = w->next;
	else
		t->waits[w->prev].next = w->next;
	if (w->next == SLOT_NONE)
		t->wait_tail = w->prev;
	else
		t->waits[w->next].prev = w->prev;
}

/* All live equally long, so the queue is in order of expiry. */
static void wait_queue(struct tcp *t, uint32_t i, uint64_t now_us)
{
	struct time_wait *w = &t->waits[i];

	w->due_us = now_us + TIME_WAIT_US;
	w->next = SLOT_NONE;
	w->prev = t->wait_tail;
	if (t->wait_tail == SLOT_NONE)
		t->wait_head = i;
	else
		t->waits[t->wait_tail].next = i;
	t->wait_tail = i;
}

void wait_free(struct tcp *t, uint32_t i)
{
	wait_unlink(t, &t->waits[i]);
	lookup_del(t, t->waits[i].tuple, HIT_WAIT, i);
	slots_give(&t->wait_slots, i);
}

void wait_add(struct tcp *t, const struct conn *c, uint64_t now_us)
{
	uint32_t i = slots_take(&t->wait_slots);

	if (i == SLOT_NONE) {
		tcp_count(t, time_wait_full);
		wait_free(t, t->wait_head);
		i = slots_take(&t->wait_slots);
	}
	t->waits[i] = (struct time_wait) {
		.local = c->local,
		.remote = c->remote,
		.tuple = c->tuple,
		.snd_nxt = c->snd_nxt,
		.rcv_nxt = c->rcv_nxt,
		.ts_off = c->ts_off,
		.ts_recent = c->ts_recent,
		.has_ts = c->flags & F_TS,
	};
	wait_queue(t, i, now_us);
	lookup_put(t, c->tuple, HIT_WAIT, i);
}

void wait_expire(struct tcp *t, uint64_t now_us)
{
	while (t->wait_head != SLOT_NONE && t->waits[t->wait_head].due_us <= now_us)
		wait_free(t, t->wait_head);
}

static void wait_ack(struct tcp *t, const struct time_wait *w, uint64_t now_us)
{
	struct tcp_hdr h = {.src_port = w->local.port,
			    .dst_port = w->remote.port,
			    .seq = w->snd_nxt,
			    .ack = w->rcv_nxt,
			    .flags = TCP_ACK,
			    .window = 1};

	if (w->has_ts) {
		h.opts = TCP_OPT_TS;
		h.ts_val = ts_clock(w->ts_off, now_us);
		h.ts_ecr = w->ts_recent;
	}
	reply_put(t, &w->local, &w->remote, &h);
}

bool wait_in(struct tcp *t, uint32_t i, const struct in *in, uint64_t now_us)
{
	struct time_wait *w = &t->waits[i];
	const struct tcp_hdr *h = &in->h;

	if (h->flags & TCP_RST) /* RFC 1337: it does not end TIME-WAIT */
		return false;
	if ((h->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		/* RFC 6191: a new connection, if it is later for sure. */
		if (w->has_ts && h->opts & TCP_OPT_TS ? seq_lt(w->ts_recent, h->ts_val)
						      : seq_lt(w->rcv_nxt, h->seq)) {
			wait_free(t, i);
			return true;
		}
	} else if (h->flags & TCP_FIN) {
		wait_unlink(t, w);
		wait_queue(t, i, now_us);
	} else if (!in->len) {
		return false;
	}
	wait_ack(t, w, now_us);
	return false;
}
