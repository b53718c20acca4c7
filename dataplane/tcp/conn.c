/* conn.c - birth, life and death of a conn, and the two rings through which it is heard: those with
 * something to send, and those with something to tell. */
#include "dataplane/tcp/internal.h"

/* ---- the room itself ---- */

int ring_init(struct index_ring *r, uint32_t n)
{
	uint32_t cap = 64;

	while (cap < n)
		cap *= 2;
	*r = (struct index_ring) {.mask = cap - 1};
	r->v = column_new(cap, sizeof(*r->v));
	return r->v ? 0 : ERR_FULL;
}

static void ring_fini(struct index_ring *r)
{
	if (r->v)
		column_free(r->v, (size_t)r->mask + 1, sizeof(*r->v));
}

static void config_defaults(struct tcp_config *cfg)
{
	cfg->n_half = cfg->n_half ? cfg->n_half : 4096;
	cfg->n_time_wait = cfg->n_time_wait ? cfg->n_time_wait : MAX(cfg->n_conns / 2, 1024u);
	cfg->n_listeners = cfg->n_listeners ? MIN(cfg->n_listeners, 255u) : 64;
	cfg->n_sent = cfg->n_sent ? cfg->n_sent : MIN(MAX(cfg->n_conns * 16, 16384u), 1u << 21);
	cfg->mss4 = cfg->mss4 ? cfg->mss4 : 1460;
	cfg->mss6 = cfg->mss6 ? cfg->mss6 : 1440;
	cfg->tso_max = MIN(cfg->tso_max, 65535u - TCP_HDR_MAX - 40);
	cfg->tx_segs = cfg->tx_segs ? MAX(cfg->tx_segs, 3) : 32;
	cfg->n_headers = cfg->n_headers ? cfg->n_headers : 8192;
	cfg->n_pieces = cfg->n_pieces ? cfg->n_pieces : 32768;
	cfg->max_mem = cfg->max_mem ? cfg->max_mem : 256u << 20;
	cfg->rx_max = MIN(MAX(cfg->rx_max ? cfg->rx_max : 4u << 20, RCV_WND_START), 8u << 20);
	cfg->tx_max = MIN(MAX(cfg->tx_max ? cfg->tx_max : 4u << 20, 65536u), 64u << 20);
	cfg->port_min = cfg->port_min ? cfg->port_min : 15000;
	cfg->port_max = cfg->port_max ? cfg->port_max : 65535;
}

static int columns_init(struct tcp *t, uint64_t now_us)
{
	struct tcp_config *cfg = &t->cfg;

	t->conns = column_new(cfg->n_conns, sizeof(*t->conns));
	t->halves = column_new(cfg->n_half, sizeof(*t->halves));
	t->waits = column_new(cfg->n_time_wait, sizeof(*t->waits));
	t->listeners = column_new(cfg->n_listeners, sizeof(*t->listeners));
	t->replies = column_new(N_REPLIES, sizeof(*t->replies));
	t->paths = column_new(N_PATHS, sizeof(*t->paths));
	t->wait_head = t->wait_tail = SLOT_NONE;
	if (!t->conns || !t->halves || !t->waits || !t->listeners || !t->replies || !t->paths)
		return ERR_FULL;
	if (slots_init(&t->slots, cfg->worker, cfg->n_conns) < 0 ||
	    slots_init(&t->half_slots, 0, cfg->n_half) < 0 ||
	    slots_init(&t->wait_slots, 0, cfg->n_time_wait) < 0 ||
	    wheel_init(&t->wheel, cfg->n_conns, now_us) < 0 ||
	    wheel_init(&t->half_wheel, cfg->n_half, now_us) < 0 ||
	    ring_init(&t->out, cfg->n_conns) < 0 || ring_init(&t->events, cfg->n_conns) < 0 ||
	    lookup_init(t, cfg->n_conns + cfg->n_half + cfg->n_time_wait) < 0)
		return ERR_FULL;
	return sent_init(t);
}

struct tcp *tcp_init(const struct tcp_config *config, uint64_t now_us, const char **err)
{
	struct tcp *t;

	if (!config->n_conns || config->n_conns > 1u << 24 || !config->counts) {
		*err = "n_conns must be 1 to 2^24, and counts be given";
		return NULL;
	}
	t = column_new(1, sizeof(*t));
	if (!t) {
		*err = "no memory for TCP";
		return NULL;
	}
	t->cfg = *config;
	config_defaults(&t->cfg);
	t->counts = config->counts;
	t->cc = cc_find(config->congestion);
	t->accepting = true;
	t->now_us = t->rst_at_us = now_us;
	t->rst_tokens = RST_BURST;
	rng_seed(&t->rng, config->seed);
	rng_bytes(&t->rng, &t->tuple_key, sizeof(t->tuple_key));
	rng_bytes(&t->rng, &t->isn_key, sizeof(t->isn_key));
	rng_bytes(&t->rng, &t->ts_key, sizeof(t->ts_key));
	rng_bytes(&t->rng, &t->port_key, sizeof(t->port_key));
	wipe(t->cfg.seed, sizeof(t->cfg.seed));
	*err = "no memory for the TCP tables: lower the number of connections";
	if (!t->cc)
		*err = "no such congestion controller";
	if (!t->cc || columns_init(t, now_us) < 0 || pool_init(t, err) < 0) {
		tcp_fini(t);
		return NULL;
	}
	*err = NULL;
	return t;
}

void tcp_fini(struct tcp *t)
{
	struct tcp_config *cfg = &t->cfg;

	for (uint32_t i = 0; i < t->slots.n; i++) {
		if (!slots_live(&t->slots, i))
			continue;
		tx_free(t, &t->conns[i]);
		rx_free(t, &t->conns[i]);
		reass_free(t, &t->conns[i]);
	}
	pool_fini(t);
	lookup_fini(t);
	ring_fini(&t->out);
	ring_fini(&t->events);
	slots_fini(&t->slots);
	slots_fini(&t->half_slots);
	slots_fini(&t->wait_slots);
	wheel_fini(&t->wheel);
	wheel_fini(&t->half_wheel);
	column_free(t->sent, cfg->n_sent, sizeof(*t->sent));
	column_free(t->conns, cfg->n_conns, sizeof(*t->conns));
	column_free(t->halves, cfg->n_half, sizeof(*t->halves));
	column_free(t->waits, cfg->n_time_wait, sizeof(*t->waits));
	column_free(t->listeners, cfg->n_listeners, sizeof(*t->listeners));
	column_free(t->replies, N_REPLIES, sizeof(*t->replies));
	column_free(t->paths, N_PATHS, sizeof(*t->paths));
	wipe(t, sizeof(*t));
	column_free(t, 1, sizeof(*t));
}

/* ---- the two rings; an index stands in each at most once, also across its lives ---- */

static void ring_put(struct index_ring *r, struct tcp *t, struct conn *c, uint8_t bit)
{
	if (c->queued & bit)
		return;
	c->queued |= bit;
	r->v[r->tail++ & r->mask] = conn_index(t, c);
}

void conn_output(struct tcp *t, struct conn *c)
{
	ring_put(&t->out, t, c, Q_OUT);
}

void conn_event(struct tcp *t, struct conn *c, uint16_t events)
{
	if (c->flags & F_HOLD)
		events &= ~TCP_READABLE;
	c->events |= events;
	if (c->events)
		ring_put(&t->events, t, c, Q_EVENT);
}

unsigned tcp_events(struct tcp *t, struct tcp_event *ev, unsigned max)
{
	unsigned n = 0;

	while (n < max && t->events.head != t->events.tail) {
		uint32_t i = t->events.v[t->events.head++ & t->events.mask];
		struct conn *c = &t->conns[i];

		c->queued &= ~Q_EVENT;
		if (!slots_live(&t->slots, i) || !c->events)
			continue;
		ev[n++] = (struct tcp_event) {i, c->events, c->reason, c->kind};
		c->events = 0;
	}
	return n;
}

bool tcp_busy(const struct tcp *t)
{
	return t->out.head != t->out.tail || t->events.head != t->events.tail ||
	       t->reply_head != t->reply_tail;
}

/* ---- birth ---- */

uint16_t conn_mss_for(struct tcp *t, const struct addr *remote)
{
	uint16_t mss = remote->family == 4 ? t->cfg.mss4 : t->cfg.mss6;
	uint16_t over = remote->family == 4 ? 40 : 60;
	uint32_t i = (uint32_t)hash_bytes(&t->port_key, remote->ip, 16) % N_PATHS;

	if (t->paths[i].until_us > t->now_us && addr_same_ip(&t->paths[i].ip, remote))
		mss = MIN(mss, t->paths[i].mtu - over);
	return mss;
}

struct conn *conn_new(struct tcp *t, const struct addr *local, const struct addr *remote,
		      uint32_t tag, uint8_t kind)
{
	uint32_t i = slots_take(&t->slots);
	struct conn *c;

	if (i == SLOT_NONE) {
		tcp_count(t, no_conn);
		return NULL;
	}
	c = &t->conns[i];
	*c = (struct conn) {
		.local = *local,
		.remote = *remote,
		.tuple = tag,
		.kind = kind,
		.queued = c->queued,
		.framing = t->cfg.records >> (kind % TCP_KINDS) & 1 ? TCP_RECORDS : TCP_RAW,
		.rx_max = RCV_WND_START,
		.mss = conn_mss_for(t, remote),
		.rto_us = RTO_FIRST_US,
		.n_quick = QUICK_ACKS,
		.reo_mult = 1,
		.sent_head = SLOT_NONE,
		.sent_tail = SLOT_NONE,
		.timed_head = SLOT_NONE,
		.timed_tail = SLOT_NONE,
		.lost_hint = SLOT_NONE,
		.sack_hint = SLOT_NONE,
		.ts_off = (uint32_t)lookup_hash(&t->ts_key, local, remote),
		.heard_us = t->now_us,
		.sent_us = t->now_us,
	};
	lookup_put(t, tag, HIT_CONN, i);
	return c;
}

/* What the peer's SYN offered and we do too (RFC 9293 3.7.1, 7323, 2018). */
void conn_options(struct tcp *t, struct conn *c, const struct tcp_hdr *syn)
{
	uint16_t mss = syn->opts & TCP_OPT_MSS ? syn->mss : c->remote.family == 4 ? 536 : 1220;

	/* A tiny MSS would make us send headers only. */
	c->mss = MIN(c->mss, MAX(mss, 88));
	if (syn->opts & TCP_OPT_WSCALE) {
		c->snd_wscale = syn->wscale;
		c->rcv_wscale = RCV_WSCALE;
	}
	if (syn->opts & TCP_OPT_SACK_OK)
		c->flags |= F_SACK;
	if (syn->opts & TCP_OPT_TS) {
		c->flags |= F_TS;
		c->ts_recent = syn->ts_val;
	}
}

void conn_opened(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint32_t mss = c->mss - (c->flags & F_TS ? 12 : 0);

	c->state = c->flags & F_FIN_QUEUED ? ST_FIN_WAIT_1 : ST_ESTABLISHED;
	c->flags &= ~F_SYN_NOW;
	c->path.mss = mss;
	c->path.cwnd = INIT_CWND_SEGS * mss;
	c->path.cwnd_max = t->cfg.tx_max;
	c->path.ssthresh = UINT32_MAX;
	t->cc->init(c->cc, &c->path);
	c->snd_una = c->snd_nxt = c->iss + 1;
	c->snd_end = c->snd_nxt;
	c->recover = c->high_sacked = c->snd_una;
	c->flight_seq = c->snd_una;
	c->rtx_mode = RTX_NONE;
	c->rtx_due_us = 0;
	c->n_tries = c->backoff = 0;
	c->rx_mark_us = (uint32_t)now_us;
	c->heard_us = c->sent_us = now_us;
	if (t->cfg.keepalive_us) {
		c->keep_due_us = now_us + t->cfg.keepalive_us;
		conn_arm(t, c);
	}
	tcp_count(t, opened);
	conn_event(t, c, TCP_OPENED | TCP_WRITABLE);
	if (c->flags & F_FIN_QUEUED)
		conn_output(t, c);
}

/* ---- death ---- */

void conn_closed(struct tcp *t, struct conn *c, uint8_t reason)
{
	if (c->state == ST_CLOSED)
		return;
	lookup_del(t, c->tuple, HIT_CONN, conn_index(t, c));
	wheel_clear(&t->wheel, conn_index(t, c));
	c->state = ST_CLOSED;
	c->reason = reason;
	c->flags &= ~F_SYN_NOW;
	c->rtx_due_us = c->ack_due_us = c->keep_due_us = 0;
	tx_free(t, c);
	reass_free(t, c);
	sent_free_all(t, c);
	tcp_count(t, closed);
	conn_event(t, c, TCP_CLOSED);
}

void conn_reset(struct tcp *t, struct conn *c, uint8_t reason)
{
	struct tcp_hdr h = {.src_port = c->local.port,
			    .dst_port = c->remote.port,
			    .seq = c->snd_nxt,
			    .ack = c->rcv_nxt,
			    .flags = TCP_RST | TCP_ACK};

	if (c->state == ST_CLOSED)
		return;
	if (c->state != ST_SYN_SENT) {
		tcp_count(t, resets_out);
		reply_put(t, &c->local, &c->remote, &h);
	}
	conn_closed(t, c, reason);
}

void conn_to_time_wait(struct tcp *t, struct conn *c, uint64_t now_us)
{
	uint32_t rcv_nxt = c->rcv_nxt;
	struct tcp_hdr h = {.src_port = c->local.port,
			    .dst_port = c->remote.port,
			    .seq = c->snd_nxt,
			    .ack = rcv_nxt,
			    .flags = TCP_ACK,
			    .window = 1};

	/* The ACK of the FIN cannot wait for a conn that is gone. */
	if (c->flags & F_TS) {
		h.opts = TCP_OPT_TS;
		h.ts_val = ts_clock(c->ts_off, now_us);
		h.ts_ecr = c->ts_recent;
	}
	reply_put(t, &c->local, &c->remote, &h);
	conn_closed(t, c, TCP_DONE);
	wait_add(t, c, now_us);
}

void tcp_close(struct tcp *t, uint32_t conn, uint64_t now_us)
{
	struct conn *c = &t->conns[conn];

	if (!slots_live(&t->slots, conn) || c->state == ST_CLOSED || c->flags & F_FIN_QUEUED)
		return;
	c->flags |= F_FIN_QUEUED;
	rx_free(t, c);
	if (c->state == ST_SYN_SENT) {
		conn_closed(t, c, TCP_DONE);
		return;
	}
	if (c->state == ST_ESTABLISHED)
		c->state = ST_FIN_WAIT_1;
	else if (c->state == ST_CLOSE_WAIT)
		c->state = ST_LAST_ACK;
	/* From here on the keepalive timer ends the wait for a peer that never closes. */
	c->keep_due_us = now_us + FIN_WAIT_US;
	c->keep_una = c->snd_una;
	conn_arm(t, c);
	conn_output(t, c);
}

void tcp_abort(struct tcp *t, uint32_t conn)
{
	if (slots_live(&t->slots, conn))
		conn_reset(t, &t->conns[conn], TCP_ABORTED);
}

void tcp_release(struct tcp *t, uint32_t conn)
{
	struct conn *c = &t->conns[conn];

	if (!slots_live(&t->slots, conn))
		return;
	conn_reset(t, c, TCP_ABORTED);
	rx_free(t, c);
	c->events = 0;
	slots_give(&t->slots, conn);
}

/* ---- accessors ---- */

bool tcp_live(const struct tcp *t, uint32_t conn)
{
	return slots_live(&t->slots, conn);
}

wid tcp_id(const struct tcp *t, uint32_t conn)
{
	return slots_live(&t->slots, conn) ? slots_id(&t->slots, conn) : WID_NONE;
}

uint32_t tcp_check(const struct tcp *t, wid id)
{
	return slots_check(&t->slots, id);
}

uint8_t tcp_kind(const struct tcp *t, uint32_t conn)
{
	return slots_live(&t->slots, conn) ? t->conns[conn].kind : 0;
}

void tcp_addrs(const struct tcp *t, uint32_t conn, struct addr *local, struct addr *remote)
{
	bool live = slots_live(&t->slots, conn);

	*local = live ? t->conns[conn].local : (struct addr) {0};
	*remote = live ? t->conns[conn].remote : (struct addr) {0};
}

uint64_t tcp_mem(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = &t->conns[conn];

	if (!slots_live(&t->slots, conn))
		return 0;
	return (uint64_t)c->rx_mem + c->tx_mem + (c->reass ? c->reass->mem : 0);
}

uint64_t tcp_mem_all(const struct tcp *t)
{
	return t->mem;
}

uint64_t tcp_since(const struct tcp *t, uint32_t conn)
{
	const struct conn *c = &t->conns[conn];
	uint64_t us = UINT64_MAX;

	if (!slots_live(&t->slots, conn))
		return us;
	if (c->tx.head)
		us = buf_of(c->tx.head)->since_us;
	if (c->rx.head)
		us = MIN(us, buf_of(c->rx.head)->since_us);
	if (c->rx_open)
		us = MIN(us, buf_of(c->rx_open)->since_us);
	return us;
}

unsigned tcp_oldest(const struct tcp *t, uint8_t kind, uint32_t *conns, unsigned max)
{
	unsigned n = 0, at;

	for (uint32_t i = 0; max && i < t->slots.n_touched; i++) {
		uint64_t us = t->conns[i].kind == kind ? tcp_since(t, i) : UINT64_MAX;

		if (us == UINT64_MAX || (n == max && us >= tcp_since(t, conns[n - 1])))
			continue;
		n += n < max;
		for (at = n - 1; at && tcp_since(t, conns[at - 1]) > us; at--)
			conns[at] = conns[at - 1];
		conns[at] = i;
	}
	return n;
}

int tcp_info(const struct tcp *t, uint32_t conn, struct tcp_info *info)
{
	const struct conn *c = &t->conns[conn];

	if (!slots_live(&t->slots, conn))
		return ERR_UNKNOWN;
	*info = (struct tcp_info) {
		.srtt_us = c->path.srtt_us,
		.min_rtt_us = c->path.min_rtt_us,
		.rto_us = c->rto_us,
		.cwnd = c->path.cwnd,
		.ssthresh = c->path.ssthresh,
		.in_flight = conn_pipe(c),
		.peer_wnd = c->snd_wnd,
		.rcv_wnd = c->rcv_adv - c->rcv_nxt,
		.mss = c->mss,
		.n_retransmits = c->n_retransmits,
		.n_timeouts = c->n_timeouts,
		.state = state_table[c->state].name,
	};
	return 0;
}

uint32_t tcp_n_conns(const struct tcp *t)
{
	return t->slots.n_used;
}

uint32_t tcp_n_half(const struct tcp *t)
{
	return t->half_slots.n_used;
}

uint32_t tcp_n_time_wait(const struct tcp *t)
{
	return t->wait_slots.n_used;
}
