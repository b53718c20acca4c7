/* listen.c - listeners and the connections strangers open: SYN, half-open, ACK, conn. Segments that
 * no 4-tuple claims arrive here. */
#include "dataplane/tcp/internal.h"

#define COOKIE_LIFE_US 128000000ull

/* ---- listeners ---- */

static struct listener *listener_exact(struct tcp *t, const struct addr *addr)
{
	for (uint32_t i = 0; i < t->cfg.n_listeners; i++)
		if (t->listeners[i].used && addr_same(&t->listeners[i].addr, addr))
			return &t->listeners[i];
	return NULL;
}

static struct listener *listener_for(struct tcp *t, const struct addr *local)
{
	struct listener *l = listener_exact(t, local);
	struct addr any = {.family = local->family, .port = local->port};

	return l ? l : listener_exact(t, &any);
}

int tcp_listen(struct tcp *t, const struct addr *addr, uint8_t kind, uint32_t backlog)
{
	if (!addr_ip_len(addr) || !addr->port || listener_exact(t, addr))
		return ERR_NOT_NOW;
	for (uint32_t i = 0; i < t->cfg.n_listeners; i++) {
		if (t->listeners[i].used)
			continue;
		t->listeners[i] = (struct listener) {
			.addr = *addr, .used = true, .kind = kind, .backlog = backlog};
		return 0;
	}
	return ERR_FULL;
}

int tcp_unlisten(struct tcp *t, const struct addr *addr)
{
	struct listener *l = listener_exact(t, addr);

	if (!l)
		return ERR_UNKNOWN;
	for (uint32_t i = 0; l->n_half && i < t->half_slots.n; i++)
		if (slots_live(&t->half_slots, i) && &t->listeners[t->halves[i].listener] == l)
			half_free(t, i);
	l->used = false;
	return 0;
}

void tcp_accepting(struct tcp *t, bool yes)
{
	t->accepting = yes;
}

/* ---- half-open connections ---- */

uint32_t isn_of(const struct tcp *t, const struct addr *local, const struct addr *remote,
		uint64_t now_us)
{
	return (uint32_t)lookup_hash(&t->isn_key, local, remote) + (uint32_t)(now_us / 4);
}

void half_free(struct tcp *t, uint32_t i)
{
	struct half *f = &t->halves[i];

	lookup_del(t, f->tuple, HIT_HALF, i);
	wheel_clear(&t->half_wheel, i);
	t->listeners[f->listener].n_half--;
	slots_give(&t->half_slots, i);
}

/* The SYN-ACK: of the peer's offers those we take. */
static void syn_ack(struct tcp *t, const struct addr *local, const struct addr *remote,
		    uint32_t iss, uint32_t irs, const struct tcp_hdr *offer, uint32_t ts_val)
{
	struct tcp_hdr h = {
		.src_port = local->port,
		.dst_port = remote->port,
		.seq = iss,
		.ack = irs + 1,
		.flags = TCP_SYN | TCP_ACK,
		.window = RCV_WND_START,
		.mss = local->family == 4 ? t->cfg.mss4 : t->cfg.mss6,
		.wscale = RCV_WSCALE,
		.ts_val = ts_val,
		.ts_ecr = offer->ts_val,
		.opts = (offer->opts & (TCP_OPT_WSCALE | TCP_OPT_SACK_OK | TCP_OPT_TS)) |
			TCP_OPT_MSS,
	};

	reply_put(t, local, remote, &h);
}

static struct tcp_hdr half_syn(const struct half *f)
{
	return (struct tcp_hdr) {.seq = f->irs,
				 .opts = f->opts,
				 .mss = f->mss,
				 .wscale = f->wscale,
				 .ts_val = f->ts_recent,
				 .window = f->window};
}

static void half_send(struct tcp *t, uint32_t i, uint64_t now_us)
{
	struct half *f = &t->halves[i];
	struct tcp_hdr syn = half_syn(f);

	f->sent_us = (uint32_t)now_us;
	syn_ack(t, &f->local, &f->remote, f->iss, f->irs, &syn, ts_clock(f->ts_off, now_us));
}

void half_timer(struct tcp *t, uint32_t i, uint64_t now_us)
{
	struct half *f = &t->halves[i];

	if (f->tries >= SYN_ACK_TRIES) {
		tcp_count(t, half_timed_out);
		half_free(t, i);
		return;
	}
	half_send(t, i, now_us);
	wheel_set(&t->half_wheel, i, now_us + ((uint64_t)RTO_FIRST_US << f->tries++ << 1));
}

static void half_new(struct tcp *t, const struct in *in, uint8_t listener, uint64_t now_us)
{
	uint32_t i = slots_take(&t->half_slots);
	const struct tcp_hdr *h = &in->h;

	t->halves[i] = (struct half) {
		.local = in->local,
		.remote = in->remote,
		.tuple = in->tag,
		.irs = h->seq,
		.iss = isn_of(t, &in->local, &in->remote, now_us),
		.ts_off = (uint32_t)lookup_hash(&t->ts_key, &in->local, &in->remote),
		.ts_recent = h->ts_val,
		.window = h->window,
		.opts = h->opts,
		.wscale = h->wscale,
		.mss = h->mss,
		.listener = listener,
	};
	t->listeners[listener].n_half++;
	lookup_put(t, in->tag, HIT_HALF, i);
	half_send(t, i, now_us);
	wheel_set(&t->half_wheel, i, now_us + RTO_FIRST_US);
}

/* The handshake is complete: a conn, and the segment goes on to it. */
static void accept_in(struct tcp *t, struct in *in, const struct tcp_hdr *syn, uint32_t iss,
		      uint8_t kind, uint32_t rtt_us, uint64_t now_us)
{
	struct conn *c = conn_new(t, &in->local, &in->remote, in->tag, kind);

	if (!c)
		return;
	c->iss = iss;
	conn_options(t, c, syn);
	c->rcv_nxt = c->ack_sent = syn->seq + 1;
	c->rcv_adv = c->rcv_nxt + RCV_WND_START;
	c->ts_recent_ms = (uint32_t)(now_us / 1000);
	conn_opened(t, c, now_us);
	if (rtt_us)
		ack_rtt(c, rtt_us);
	c->snd_wl1 = in->h.seq;
	c->snd_wl2 = in->h.ack;
	c->snd_wnd = c->max_wnd = (uint32_t)in->h.window << c->snd_wscale;
	tcp_count(t, accepted);
	in_conn(t, c, in, now_us);
}

/* The peer is there, for it has acknowledged; whether it may stay costs one look-up. */
static bool is_denied(struct tcp *t, const struct in *in, uint64_t now_us)
{
	unsigned whys = t->cfg.denied ? denied_whys(t->cfg.denied, &in->remote,
						    (uint32_t)(now_us / 1000000))
				      : 0;

	if (LIKELY(!(whys & (1u << TCP_DENIED_MARKED | 1u << TCP_DENIED_CROWDED))))
		return false;
	if (whys & 1u << TCP_DENIED_MARKED)
		tcp_count(t, denied_marked);
	else
		tcp_count(t, denied_crowded);
	reply_rst(t, in, now_us);
	return true;
}

/* Whether one more cannot be taken now: it is not wanted, or all slots are in use. */
static bool no_place(struct tcp *t)
{
	if (!t->accepting)
		tcp_count(t, not_accepting);
	else if (slots_full(&t->slots))
		tcp_count(t, no_conn);
	else
		return false;
	return true;
}

static void half_ack(struct tcp *t, uint32_t i, struct in *in, uint64_t now_us)
{
	struct half f = t->halves[i];
	struct tcp_hdr syn = half_syn(&f);
	uint32_t rtt = f.tries ? 0 : MAX((uint32_t)now_us - f.sent_us, 1u);

	if (in->h.ack != f.iss + 1) {
		reply_rst(t, in, now_us);
		return;
	}
	if (seq_lt(in->h.seq, f.irs + 1) || seq_lt(f.irs + 1 + RCV_WND_START, in->h.seq)) {
		tcp_count(t, out_of_window);
		return;
	}
	if (is_denied(t, in, now_us)) {
		half_free(t, i);
		return;
	}
	/* Kept: the peer's data will ask again. */
	if (no_place(t))
		return;
	half_free(t, i);
	accept_in(t, in, &syn, f.iss, t->listeners[f.listener].kind, rtt, now_us);
}

void half_in(struct tcp *t, uint32_t i, struct in *in, uint64_t now_us)
{
	const struct half *f = &t->halves[i];
	uint8_t flags = in->h.flags;

	if (flags & TCP_RST) {
		if (in->h.seq == f->irs + 1) /* RFC 5961 3.2 */
			half_free(t, i);
	} else if (flags & TCP_SYN) {
		/* The SYN again: our answer was lost. Another one is left to the peer's own RST,
		 * which our next SYN-ACK provokes. */
		if (in->h.seq == f->irs && !(flags & TCP_ACK))
			half_send(t, i, now_us);
	} else if (flags & TCP_ACK) {
		half_ack(t, i, in, now_us);
	}
}

/* ---- segments that belong to nothing yet ---- */

static void syn_in(struct tcp *t, struct listener *l, const struct in *in, uint64_t now_us)
{
	uint32_t ts_off;

	if (!t->accepting || in->h.flags & TCP_FIN) {
		tcp_count(t, not_accepting);
		return;
	}
	if (l->n_half < l->backlog && !slots_full(&t->half_slots)) {
		half_new(t, in, (uint8_t)(l - t->listeners), now_us);
		return;
	}
	t->cookies_until_us = now_us + COOKIE_LIFE_US;
	tcp_count(t, cookies_sent);
	struct tcp_hdr syn = in->h;
	ts_off = (uint32_t)lookup_hash(&t->ts_key, &in->local, &in->remote);
	/* Without timestamps nothing can carry the other options. */
	if (!(syn.opts & TCP_OPT_TS))
		syn.opts &= TCP_OPT_MSS;
	syn_ack(t, &in->local, &in->remote, cookie_make(t, in, now_us), syn.seq, &syn,
		cookie_ts(ts_clock(ts_off, now_us), &syn));
}

void listen_in(struct tcp *t, const struct in *in, uint64_t now_us)
{
	struct listener *l = listener_for(t, &in->local);
	struct tcp_hdr syn;

	if (in->h.flags & TCP_RST)
		return;
	if (l && (in->h.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		syn_in(t, l, in, now_us);
		return;
	}
	if (l && (in->h.flags & (TCP_SYN | TCP_ACK)) == TCP_ACK && now_us < t->cookies_until_us &&
	    cookie_check(t, in, &syn, now_us)) {
		struct in copy = *in;

		if (is_denied(t, in, now_us))
			return;
		if (no_place(t))
			return;
		tcp_count(t, cookies_good);
		accept_in(t, &copy, &syn, in->h.ack - 1, l->kind, 0, now_us);
		return;
	}
	tcp_count(t, no_conn_for);
	reply_rst(t, in, now_us);
}
