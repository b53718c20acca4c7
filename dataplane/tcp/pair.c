/* pair.c - the test wire between two stacks; see pair.h. */
#include "dataplane/tcp/pair.h"
#include "dataplane/wire/ip_hdr.h"

#include <stdio.h>
#include <stdlib.h>
#include <rte_eal.h>

void pair_eal(void)
{
	static char a0[] = "test", a1[] = "--no-huge", a2[] = "-m", a3[] = "384",
		    a4[] = "--no-shconf", a5[] = "--no-pci", a6[] = "--no-telemetry", a7[] = "-l",
		    a8[] = "0", a9[] = "--log-level=4";
	static char *args[] = {a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, NULL};
	static bool done;

	if (!done && rte_eal_init(ARRAY_LEN(args) - 1, args) < 0) {
		fprintf(stderr, "no EAL\n");
		exit(1);
	}
	done = true;
}

struct tcp_config pair_config(struct pair *p, int side)
{
	struct tcp_config cfg = {
		.worker = (unsigned)side,
		.numa = -1,
		.n_conns = 64,
		.n_half = 16,
		.n_time_wait = 32,
		.sums = side,
		.n_headers = 1024,
		.n_pieces = 4096,
		.n_sent = 8192,
		.max_mem = 48u << 20,
		.records = 1u << KIND_TLS,
		.counts = &p->counts[side],
		.cookie_key = {{1, 2}},
		.port_min = 20000,
		.port_max = 60000,
	};

	rng_bytes(&p->rng, cfg.seed, sizeof(cfg.seed));
	return cfg;
}

struct pair *pair_new(uint64_t seed, void (*change)(struct tcp_config *, int side))
{
	struct pair *p = calloc(1, sizeof(*p));
	uint8_t key[32] = {0};
	const char *err;

	be64_put(key, seed);
	rng_seed(&p->rng, key);
	p->heap = calloc(PAIR_PACKETS, sizeof(*p->heap));
	p->now_us = 1000000000;
	p->delay_us = 10000;
	addr_parse(&p->ip[CLIENT], "10.0.0.1");
	addr_parse(&p->ip[SERVER], "10.0.0.2");
	for (int side = 0; side < 2; side++) {
		struct tcp_config cfg = pair_config(p, side);

		if (change)
			change(&cfg, side);
		p->t[side] = tcp_init(&cfg, p->now_us, &err);
		if (!p->t[side]) {
			fprintf(stderr, "tcp_init: %s\n", err);
			exit(1);
		}
	}
	return p;
}

void pair_free(struct pair *p)
{
	while (p->n_heap) {
		free(p->heap[--p->n_heap]->bytes);
		free(p->heap[p->n_heap]);
	}
	tcp_fini(p->t[0]);
	tcp_fini(p->t[1]);
	free(p->heap);
	free(p);
}

/* ---- the delay queue: a heap by due time, then by order of sending ---- */

static bool packet_before(const struct packet *a, const struct packet *b)
{
	return a->due_us < b->due_us || (a->due_us == b->due_us && a->order < b->order);
}

static void heap_push(struct pair *p, struct packet *k)
{
	uint32_t i = p->n_heap++;

	for (; i && packet_before(k, p->heap[(i - 1) / 2]); i = (i - 1) / 2)
		p->heap[i] = p->heap[(i - 1) / 2];
	p->heap[i] = k;
}

static struct packet *heap_pop(struct pair *p)
{
	struct packet *top = p->heap[0], *last = p->heap[--p->n_heap];
	uint32_t i = 0, kid;

	while ((kid = 2 * i + 1) < p->n_heap) {
		if (kid + 1 < p->n_heap && packet_before(p->heap[kid + 1], p->heap[kid]))
			kid++;
		if (!packet_before(p->heap[kid], last))
			break;
		p->heap[i] = p->heap[kid];
		i = kid;
	}
	p->heap[i] = last;
	return top;
}

static bool chance(struct pair *p, uint32_t ppm)
{
	return ppm && rng_below(&p->rng, 1000000) < ppm;
}

/* Puts one packet on the line, unless the router's queue is full. */
static void wire_queue(struct pair *p, int from, const struct tcp_tx *tx, const uint8_t *bytes,
		       uint32_t len, uint64_t extra_us)
{
	uint64_t start = MAX(p->free_us[from], p->now_us);
	struct packet *k;

	if (p->n_heap == PAIR_PACKETS)
		return;
	if (p->rate && p->queue_bytes && (start - p->now_us) * p->rate / 1000000 > p->queue_bytes)
		return;
	k = calloc(1, sizeof(*k));
	*k = (struct packet) {.due_us = p->now_us + p->delay_us + extra_us,
			      .order = p->sent++,
			      .src = tx->src,
			      .dst = tx->dst,
			      .len = (uint16_t)len,
			      .gso_size = p->merge ? tx->gso_size : 0,
			      .to = !from,
			      .bytes = malloc(len)};
	memcpy(k->bytes, bytes, len);
	if (p->rate) {
		p->free_us[from] = start + len * 1000000ull / p->rate;
		k->due_us += p->free_us[from] - p->now_us;
	}
	heap_push(p, k);
}

/* The wire's mischief to one packet. */
static void wire_packet(struct pair *p, int from, const struct tcp_tx *tx, const uint8_t *bytes,
			uint32_t len)
{
	struct tcp_hdr h;

	if (tcp_hdr_parse(&h, bytes, len) < 0)
		abort();
	if (p->cut[from] || (p->filter && p->filter(p, from, &h, len - h.hdr_len)) ||
	    (p->mtu[from] && len + 20 > p->mtu[from]) || chance(p, p->loss_ppm))
		return;
	uint8_t syn[TCP_HDR_MAX];
	if (h.flags & TCP_SYN && p->strip) {
		h.opts &= ~p->strip;
		len = (uint32_t)tcp_hdr_build(&h, syn);
		bytes = syn;
	}
	uint64_t extra = chance(p, p->reorder_ppm) ? rng_below(&p->rng, p->delay_us + 1) : 0;
	wire_queue(p, from, tx, bytes, len, extra);
	if (chance(p, p->dup_ppm))
		wire_queue(p, from, tx, bytes, len, rng_below(&p->rng, p->delay_us + 1));
}

/* What a port does with a TSO unit. */
static void wire_cut(struct pair *p, int from, const struct tcp_tx *tx, uint8_t *bytes,
		     uint32_t len)
{
	uint32_t hdr_len = tx->m->l4_len, payload = len - hdr_len, at = 0,
		 seq = be32_get(bytes + 4);
	static uint8_t one[65536];

	while (at < payload) {
		uint32_t n = MIN(payload - at, tx->gso_size);

		memcpy(one, bytes, hdr_len);
		memcpy(one + hdr_len, bytes + hdr_len + at, n);
		be32_put(one + 4, seq + at);
		at += n;
		if (at < payload)
			one[13] &= ~(TCP_FIN | TCP_PSH);
		wire_packet(p, from, tx, one, hdr_len + n);
	}
}

static uint16_t payload_sum(const uint8_t *bytes, uint32_t len, uint32_t hdr_len)
{
	return ip_sum_fold(ip_sum(0, bytes + hdr_len, len - hdr_len));
}

static void wire_send(struct pair *p, int from, const struct tcp_tx *tx)
{
	static uint8_t bytes[65536];
	uint32_t len = tx->m->pkt_len, at = 0;
	struct tcp_hdr h;

	for (struct rte_mbuf *m = tx->m; m; m = m->next) {
		memcpy(bytes + at, rte_pktmbuf_mtod(m, void *), m->data_len);
		at += m->data_len;
	}
	if (at != len || tcp_hdr_parse(&h, bytes, len) < 0 || tx->m->l4_len != h.hdr_len ||
	    (tx->gso_size && len - h.hdr_len <= tx->gso_size) ||
	    (tx->summed && ip_sum_fold(tx->sum) != payload_sum(bytes, len, h.hdr_len))) {
		fprintf(stderr, "malformed segment sent\n");
		abort();
	}
	struct hash_key key = {{p->trace, p->now_us}};
	p->trace = hash_bytes(&key, bytes, len);
	if (tx->gso_size && !p->merge)
		wire_cut(p, from, tx, bytes, len);
	else
		wire_packet(p, from, tx, bytes, len);
}

/* ---- a turn ---- */

static void side_in(struct pair *p, int side)
{
	struct tcp_seg seg[64];
	struct packet *got[64];
	unsigned n = 0;

	/* Only the head: packets of the other side wait for their own call. */
	while (n < 64 && p->n_heap && p->heap[0]->due_us <= p->now_us && p->heap[0]->to == side) {
		got[n] = heap_pop(p);
		seg[n] = (struct tcp_seg) {.tcp = got[n]->bytes,
					   .tcp_len = got[n]->len,
					   .src = got[n]->src,
					   .dst = got[n]->dst,
					   .gso_size = got[n]->gso_size};
		n++;
	}
	tcp_in(p->t[side], seg, n, p->now_us);
	for (unsigned i = 0; i < n; i++) {
		free(got[i]->bytes);
		free(got[i]);
	}
}

static void side_out(struct pair *p, int side)
{
	struct tcp_tx tx[32];
	unsigned n;

	do {
		n = tcp_out(p->t[side], p->now_us, tx, ARRAY_LEN(tx));
		for (unsigned i = 0; i < n; i++) {
			wire_send(p, side, &tx[i]);
			rte_pktmbuf_free(tx[i].m);
		}
	} while (n == ARRAY_LEN(tx));
}

void pair_turn(struct pair *p)
{
	uint64_t next;

	for (int side = 0; side < 2; side++) {
		side_out(p, side);
		for (unsigned i = 0; i < p->n_events[side]; i++)
			if (p->events[side][i].flags & TCP_CLOSED)
				tcp_release(p->t[side], p->events[side][i].conn);
	}
	/* To the next packet, but never past the next millisecond: timers. */
	next = (p->now_us / 1000 + 1) * 1000;
	if (p->n_heap)
		next = MIN(next, MAX(p->heap[0]->due_us, p->now_us));
	p->now_us = next;
	while (p->n_heap && p->heap[0]->due_us <= p->now_us)
		side_in(p, p->heap[0]->to);
	for (int side = 0; side < 2; side++) {
		tcp_timers(p->t[side], p->now_us);
		p->n_events[side] = tcp_events(p->t[side], p->events[side], 256);
	}
}

void pair_run(struct pair *p, uint64_t us, uint32_t seen[2])
{
	uint64_t end = p->now_us + us;

	while (p->now_us < end) {
		pair_turn(p);
		for (int side = 0; side < 2; side++)
			for (unsigned i = 0; seen && i < p->n_events[side]; i++)
				seen[side] |= p->events[side][i].flags |
					      (uint32_t)p->events[side][i].reason << 16;
	}
}

void pair_inject(struct pair *p, int to, const struct addr *src, const struct addr *dst,
		 const struct tcp_hdr *h, const void *payload, uint32_t len)
{
	struct tcp_seg seg = {.src = *src, .dst = *dst};
	uint8_t bytes[2048];

	seg.tcp_len = (uint32_t)tcp_hdr_build(h, bytes) + len;
	if (len)
		memcpy(bytes + seg.tcp_len - len, payload, len);
	seg.tcp = bytes;
	tcp_in(p->t[to], &seg, 1, p->now_us);
}

void pair_connect(struct pair *p, uint8_t kind, uint32_t conn[2])
{
	struct addr to = p->ip[SERVER];
	bool open[2] = {false, false};
	int dialled;

	to.port = PAIR_PORT;
	tcp_listen(p->t[SERVER], &to, kind, 16);
	dialled = tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, kind, p->now_us);
	conn[CLIENT] = (uint32_t)dialled;
	for (int turn = 0; turn < 200000 && !(open[0] && open[1]); turn++) {
		pair_turn(p);
		for (int side = 0; side < 2; side++)
			for (unsigned i = 0; i < p->n_events[side]; i++) {
				if (!(p->events[side][i].flags & TCP_OPENED))
					continue;
				open[side] = true;
				conn[side] = p->events[side][i].conn;
			}
	}
	if (!open[0] || !open[1]) {
		fprintf(stderr, "no connection\n");
		abort();
	}
}
