/* fuzz_tcp.c - any segments into a stack with a listener, an open raw conn, an open record conn and
 * a dial in progress. The input is a list of: target, flags, offsets from what the conn expects,
 * length, options. Nothing may crash, nothing may leak, bounds hold. */
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/tcp/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CONNS 3

struct target {
	struct addr local, remote;
	uint32_t seq, ack, ts;
};

/* The peer's side of a conn is played by the input: its numbers come from the row itself. */
static struct target target_of(struct pair *p, uint32_t which)
{
	struct tcp *t = p->t[SERVER];
	struct target g = {.local = p->ip[SERVER], .remote = p->ip[CLIENT]};

	g.local.port = PAIR_PORT;
	g.remote.port = (uint16_t)(which + 1);
	if (which % 4 < CONNS && slots_live(&t->slots, which % 4)) {
		const struct conn *c = &t->conns[which % 4];

		g.local = c->local;
		g.remote = c->remote;
		g.seq = c->rcv_nxt;
		g.ack = c->snd_nxt;
		g.ts = c->ts_recent;
	}
	return g;
}

static void one_segment(struct pair *p, struct reader *r)
{
	static const uint8_t zeros[1500];
	uint8_t which = rd_u8(r), flags = rd_u8(r), opts = rd_u8(r), kind = rd_u8(r);
	struct target g = target_of(p, which);
	int16_t seq_off = (int16_t)rd_u16(r), ack_off = (int16_t)rd_u16(r);
	struct tcp_hdr h = {.src_port = g.remote.port,
			    .dst_port = g.local.port,
			    .flags = flags,
			    .window = rd_u16(r),
			    .opts = opts & 31,
			    .mss = rd_u16(r),
			    .wscale = kind & 15,
			    .n_sack = kind >> 4 & 3};
	uint32_t len = rd_u16(r) % 1400;
	const uint8_t *payload = len <= rd_left(r) && kind & 128 ? rd_bytes(r, len) : zeros;

	h.seq = g.seq + (uint32_t)seq_off * (kind & 64 ? 1u : 1000u);
	h.ack = g.ack + (uint32_t)ack_off;
	h.ts_val = g.ts + (which >> 4);
	h.ts_ecr = rd_u8(r);
	for (uint8_t i = 0; i < h.n_sack; i++) {
		h.sack[i].start = g.ack + (uint32_t)(int16_t)rd_u16(r);
		h.sack[i].end = h.sack[i].start + rd_u16(r);
	}
	if (tcp_hdr_size(h.opts, h.n_sack) <= TCP_HDR_MAX)
		pair_inject(p, SERVER, &g.remote, &g.local, &h, payload, len);
}

/* The rooms above: read a little, write a little, close now and then. */
static void one_action(struct pair *p, struct reader *r)
{
	uint8_t op = rd_u8(r), conn = rd_u8(r) % 8;
	struct tcp *t = p->t[SERVER];
	uint32_t len;
	uint8_t *b;

	if (op < 60 && tcp_peek(t, conn, &b, &len))
		tcp_take(t, conn, 1 + len / 2);
	else if (op < 120 && (b = tcp_reserve(t, conn, op * 20u)))
		tcp_push(t, conn, op * 20u);
	else if (op < 140)
		tcp_hold(t, conn, op & 1);
	else if (op < 145)
		tcp_close(t, conn, p->now_us);
	else if (op == 145)
		tcp_abort(t, conn);
	else if (op < 160)
		p->now_us += (uint64_t)rd_u8(r) * 50000;
	else
		pair_turn(p);
}

static void small(struct tcp_config *cfg, int side)
{
	cfg->n_conns = 8;
	cfg->n_sent = 256;
	cfg->n_headers = cfg->n_pieces = 256;
	cfg->tso_max = 30000;
	cfg->keepalive_us = 60000000;
	for (int i = 0; i < TCP_POOLS; i++)
		cfg->n_bufs[i] = 64;
}

static void check(struct pair *p)
{
	struct tcp *t = p->t[SERVER];

	for (uint32_t i = 0; i < t->slots.n; i++) {
		const struct conn *c = &t->conns[i];

		if (!slots_live(&t->slots, i) || !conn_can(c, IS_SYNCED))
			continue;
		if (conn_flight(c) > 1u << 26 || c->sacked + c->lost > conn_flight(c) ||
		    c->retx > c->lost || !c->path.cwnd ||
		    c->rx_mem > 5 * c->rx_max + TCP_UNIT_MAX) {
			fprintf(stderr, "conn %u: sacked %u lost %u retx %u flight %u\n", i,
				c->sacked, c->lost, c->retx, conn_flight(c));
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct pair *p;
	uint32_t conn[2];

	pair_eal();
	p = pair_new(1, small);
	pair_connect(p, KIND_RAW, conn);
	struct addr to = p->ip[SERVER], far = p->ip[CLIENT];
	to.port = PAIR_PORT + 1;
	tcp_listen(p->t[SERVER], &to, KIND_TLS, 1);
	tcp_open(p->t[CLIENT], &p->ip[CLIENT], &to, KIND_TLS, p->now_us);
	pair_run(p, 100000, NULL);
	far.port = 7;
	p->cut[SERVER] = true; /* from here on the input is the only peer */
	tcp_open(p->t[SERVER], &p->ip[SERVER], &far, KIND_RAW, p->now_us);
	pair_turn(p);
	for (int i = 0; i < 4096 && rd_left(&r); i++) {
		if (rd_u8(&r) & 1)
			one_segment(p, &r);
		else
			one_action(p, &r);
		check(p);
	}
	for (int i = 0; i < 50; i++)
		pair_turn(p);
	check(p);
	for (uint32_t i = 0; i < 8; i++)
		tcp_release(p->t[SERVER], i);
	if (tcp_mem_all(p->t[SERVER]) || p->t[SERVER]->reass_mem ||
	    rte_mempool_in_use_count(p->t[SERVER]->pieces))
		abort();
	pair_free(p);
	return 0;
}
