/* reply.c - segments that no conn can send: SYN-ACKs, resets, last ACKs. They wait in a small ring
 * for tcp_out; when it is full they are as lost as on the wire. */
#include "dataplane/tcp/internal.h"

#define RST_PER_S 10000

void reply_put(struct tcp *t, const struct addr *src, const struct addr *dst,
	       const struct tcp_hdr *h)
{
	if (t->reply_tail - t->reply_head == N_REPLIES) {
		tcp_count(t, reply_full);
		return;
	}
	t->replies[t->reply_tail++ % N_REPLIES] = (struct reply) {*src, *dst, *h};
}

static bool rst_allowed(struct tcp *t, uint64_t now_us)
{
	uint64_t more = (now_us - t->rst_at_us) * RST_PER_S / 1000000;

	if (more) {
		t->rst_tokens = MIN(t->rst_tokens + more, RST_BURST);
		t->rst_at_us = now_us;
	}
	if (!t->rst_tokens) {
		tcp_count(t, resets_spared);
		return false;
	}
	t->rst_tokens--;
	return true;
}

void reply_rst(struct tcp *t, const struct in *in, uint64_t now_us)
{
	const struct tcp_hdr *h = &in->h;
	struct tcp_hdr r = {.src_port = h->dst_port, .dst_port = h->src_port, .flags = TCP_RST};

	if (h->flags & TCP_RST || !rst_allowed(t, now_us))
		return;
	if (h->flags & TCP_ACK) {
		r.seq = h->ack;
	} else {
		r.flags |= TCP_ACK;
		r.ack = h->seq + in->len + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);
	}
	tcp_count(t, resets_out);
	reply_put(t, &in->local, &in->remote, &r);
}
