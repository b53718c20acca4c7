/* stream.c - net and tcp by the cell: two stacks in memory, one sends records, the other reads them
 * and acknowledges. Frames are handed over as a port would, in one piece; that is not timed. */
#include "bench/micro/micro.h"

#include "dataplane/net/net.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/wire/cell.h"
#include "dataplane/wire/record.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#define PORT	   9001
#define MSS	   1460
#define MTU	   1500
#define KIND	   1
#define TURN_US	   50
#define PUSHES	   24 /* records pushed in one turn */
#define FLAT_ROOM  2048
#define RECORD_ADD 22	/* header, type and tag of a TLS 1.3 record */
#define MANY	   5000 /* from here on the size means conns, each with records of 8 cells */
#define FEW_CONNS  10

enum stage {
	ST_NET_IN,  /* frames of data */
	ST_TCP_IN,  /* and their bytes, into records */
	ST_READ,    /* events, peek, take */
	ST_ACK_OUT, /* the acknowledgements that this side sends, through net */
	ST_PUSH,    /* reserve and push, without the bytes */
	ST_TCP_OUT, /* segments of data */
	ST_NET_OUT, /* and their headers */
	ST_ACK_IN,  /* the acknowledgements that this side gets, through net, and their events */
	N_STAGES
};

struct end {
	struct net *net;
	struct tcp *tcp;
	struct rte_mempool *pool; /* of net */
	struct counts counts;
	struct net_rx rx;
	struct addr ip;
};

struct stream {
	struct end end[2]; /* 0 sends, 1 reads */
	struct rte_mempool *flat;
	uint32_t n_conns, at, *conn;
	unsigned cells, n_open;
	uint64_t now_us;
	uint64_t tsc[N_STAGES], n_cells, n_data, n_acks;
};

static struct stream *newest;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "micro: stream: %s\n", what);
	exit(1);
}

static void end_make(struct stream *s, unsigned side, unsigned number)
{
	struct end *e = &s->end[side];
	struct net_config nc = {.mtu = MTU, .n_addrs = 1, .counts = &e->counts};
	struct tcp_config tc = {.worker = number,
				.numa = -1,
				.n_conns = s->n_conns + 16,
				.mss4 = MSS,
				.max_mem = 64u << 20,
				.records = 1u << KIND,
				.counts = &e->counts};
	char name[32], text[32];
	const char *why = "";

	snprintf(text, sizeof(text), "10.0.0.%u/24", side + 1);
	must(net_prefix_parse(&nc.addrs[0], text) == 0, "address");
	e->ip = nc.addrs[0].ip;
	nc.mac[0] = 2;
	nc.mac[5] = (uint8_t)(side + 1);
	snprintf(name, sizeof(name), "micronet%u", number);
	nc.pool = rte_pktmbuf_pool_create(name, 1023, 32, 0, 2048 + RTE_PKTMBUF_HEADROOM,
					  SOCKET_ID_ANY);
	must(nc.pool != NULL, "frames");
	micro_fill(nc.seed, sizeof(nc.seed));
	micro_fill(tc.seed, sizeof(tc.seed));
	micro_fill(&tc.cookie_key, sizeof(tc.cookie_key));
	e->pool = nc.pool;
	e->net = net_init(&nc);
	e->tcp = tcp_init(&tc, s->now_us, &why);
	must(e->net && e->tcp, why);
}

/* What net has ready, each frame in one piece; the originals go back. */
static unsigned frames(struct stream *s, struct end *from, struct rte_mbuf **flat)
{
	struct rte_mbuf **ready;
	unsigned n = MIN(net_ready(from->net, &ready), (unsigned)NET_VEC);

	must(rte_pktmbuf_alloc_bulk(s->flat, flat, n) == 0, "no frame is free");
	for (unsigned i = 0; i < n; i++) {
		uint8_t *to = (uint8_t *)rte_pktmbuf_append(flat[i], (uint16_t)ready[i]->pkt_len);

		for (const struct rte_mbuf *m = ready[i]; m; m = m->next) {
			memcpy(to, rte_pktmbuf_mtod(m, void *), m->data_len);
			to += m->data_len;
		}
		rte_pktmbuf_free(ready[i]);
	}
	net_sent(from->net, n);
	return n;
}

static void out(struct stream *s, struct end *e, enum stage tcp_stage, enum stage net_stage)
{
	struct tcp_tx tx[NET_VEC];
	uint64_t t0 = rte_rdtsc(), t1;
	unsigned n = tcp_out(e->tcp, s->now_us, tx, NET_VEC);

	t1 = rte_rdtsc();
	s->tsc[tcp_stage] += t1 - t0;
	if (n)
		net_out(e->net, tx, n, s->now_us);
	s->tsc[net_stage] += rte_rdtsc() - t1;
}

static uint64_t in(struct stream *s, struct end *e, struct rte_mbuf **flat, unsigned n,
		   enum stage net_stage, enum stage tcp_stage)
{
	uint64_t t0 = rte_rdtsc(), t1;

	net_in(e->net, flat, n, s->now_us, &e->rx);
	t1 = rte_rdtsc();
	s->tsc[net_stage] += t1 - t0;
	tcp_in(e->tcp, e->rx.segs, e->rx.n_segs, s->now_us);
	s->tsc[tcp_stage] += rte_rdtsc() - t1;
	return e->rx.n_segs;
}

/* Reads all records; how many conns opened. */
static void events(struct stream *s, struct end *e, enum stage stage)
{
	struct tcp_event ev[64];
	uint64_t start = rte_rdtsc();
	unsigned n;
	uint8_t *p;
	uint32_t len;

	while ((n = tcp_events(e->tcp, ev, ARRAY_LEN(ev))))
		for (unsigned i = 0; i < n; i++) {
			s->n_open += (ev[i].flags & TCP_OPENED) != 0;
			must(!(ev[i].flags & (TCP_CLOSED | TCP_BAD_UNIT)), "a conn was lost");
			while (tcp_peek(e->tcp, ev[i].conn, &p, &len)) {
				s->n_cells += len / CELL_LEN;
				tcp_take(e->tcp, ev[i].conn, len);
			}
		}
	s->tsc[stage] += rte_rdtsc() - start;
}

static void push(struct stream *s, unsigned n)
{
	uint16_t body = (uint16_t)(s->cells * CELL_LEN + RECORD_ADD - 5);
	struct tcp *t = s->end[0].tcp;
	uint64_t start = rte_rdtsc();

	for (unsigned i = 0; i < n; i++) {
		uint32_t conn = s->conn[s->at];
		uint8_t *p;

		s->at = s->at + 1 == s->n_conns ? 0 : s->at + 1;
		if (tcp_unsent(t, conn) || !tcp_room(t, conn))
			continue;
		p = tcp_reserve(t, conn, body + 5u);
		must(p != NULL, "no send buffer");
		p[0] = RECORD_DATA;
		p[1] = p[2] = 3;
		be16_put(p + 3, body);
		tcp_push(t, conn, body + 5u);
	}
	s->tsc[ST_PUSH] += rte_rdtsc() - start;
}

static void turn(struct stream *s, unsigned pushes)
{
	struct end *a = &s->end[0], *b = &s->end[1];
	struct rte_mbuf *flat[NET_VEC];
	unsigned n, more;

	s->now_us += TURN_US;
	push(s, pushes);
	do {
		out(s, a, ST_TCP_OUT, ST_NET_OUT);
		n = frames(s, a, flat);
		s->n_data += in(s, b, flat, n, ST_NET_IN, ST_TCP_IN);
		rte_pktmbuf_free_bulk(flat, n);
		events(s, b, ST_READ);
		tcp_timers(b->tcp, s->now_us);
		net_tick(b->net, s->now_us, &b->rx);
		out(s, b, ST_ACK_OUT, ST_ACK_OUT);
		more = frames(s, b, flat);
		s->n_acks += in(s, a, flat, more, ST_ACK_IN, ST_ACK_IN);
		rte_pktmbuf_free_bulk(flat, more);
		events(s, a, ST_ACK_IN);
		tcp_timers(a->tcp, s->now_us);
		net_tick(a->net, s->now_us, &a->rx);
	} while (n || more);
}

static void dial(struct stream *s)
{
	struct addr to = s->end[1].ip;

	to.port = PORT;
	must(tcp_listen(s->end[1].tcp, &to, KIND, 1024) == 0, "listen");
	for (uint32_t i = 0; i < s->n_conns; i++) {
		int conn = tcp_open(s->end[0].tcp, &s->end[0].ip, &to, KIND, s->now_us);

		must(conn >= 0, "dial");
		s->conn[i] = (uint32_t)conn;
		if (i % 32 == 31)
			turn(s, 0);
	}
	for (unsigned i = 0; i < 100000 && s->n_open < 2 * s->n_conns; i++)
		turn(s, 0);
	must(s->n_open == 2 * s->n_conns, "not every conn opened");
}

static void stream_free(struct stream *s)
{
	for (unsigned side = 0; side < 2; side++) {
		net_fini(s->end[side].net);
		tcp_fini(s->end[side].tcp);
		rte_mempool_free(s->end[side].pool);
	}
	rte_mempool_free(s->flat);
	column_free(s->conn, s->n_conns, sizeof(*s->conn));
	column_free(s, 1, sizeof(*s));
}

static void *stream_make(uint64_t size)
{
	static unsigned number;
	struct stream *s;
	char name[32];

	if (!micro_eal())
		return NULL;
	if (newest)
		stream_free(newest); /* its rows are done, and DPDK's memory is one */
	newest = NULL;
	s = micro_new(1, sizeof(*s));
	s->now_us = 1000000;
	s->n_conns = size >= MANY ? (uint32_t)size : FEW_CONNS;
	s->cells = size >= MANY ? 8 : (unsigned)size;
	s->conn = micro_new(s->n_conns, sizeof(*s->conn));
	snprintf(name, sizeof(name), "microflat%u", number);
	s->flat = rte_pktmbuf_pool_create(name, 511, 32, 0, FLAT_ROOM + RTE_PKTMBUF_HEADROOM,
					  SOCKET_ID_ANY);
	must(s->flat != NULL, "frames");
	end_make(s, 0, number);
	end_make(s, 1, number + 1);
	number += 2;
	dial(s);
	for (unsigned i = 0; i < 2000; i++) /* windows have grown */
		turn(s, PUSHES);
	newest = s;
	return s;
}

/* At least n cells, and the stage's time as if it had been n. */
static uint64_t stage_run(struct stream *s, unsigned n, enum stage stage)
{
	uint64_t cells = s->n_cells, tsc = s->tsc[stage];

	while (s->n_cells - cells < n)
		turn(s, PUSHES);
	return (uint64_t)((double)(s->tsc[stage] - tsc) * n / (double)(s->n_cells - cells));
}

#define STAGE(name, stage)                                                                         \
	static uint64_t name(void *state, unsigned n)                                              \
	{                                                                                          \
		return stage_run(state, n, stage);                                                 \
	}
STAGE(net_in_part, ST_NET_IN)
STAGE(tcp_in_part, ST_TCP_IN)
STAGE(read_part, ST_READ)
STAGE(ack_out_part, ST_ACK_OUT)
STAGE(push_part, ST_PUSH)
STAGE(tcp_out_part, ST_TCP_OUT)
STAGE(net_out_part, ST_NET_OUT)
STAGE(ack_in_part, ST_ACK_IN)

void stream_frames(double *data, double *acks)
{
	*data = newest ? (double)newest->n_data / (double)newest->n_cells : 0;
	*acks = newest ? (double)newest->n_acks / (double)newest->n_cells : 0;
}

#define ROWS(size, why)                                                                             \
	{"net_in", "a cell's share of its frames" why, size, 0, stream_make, NULL, net_in_part},    \
		{"tcp_in", "copied into its record", size, 0, stream_make, NULL, tcp_in_part},      \
		{"tcp read", "events, peek and take", size, 0, stream_make, NULL, read_part},       \
		{"tcp ack out", "our acknowledgements, net_out too", size, 0, stream_make, NULL,    \
		 ack_out_part},                                                                     \
		{"tcp push", "reserve and push", size, 0, stream_make, NULL, push_part},            \
		{"tcp_out", "segments cut from records", size, 0, stream_make, NULL, tcp_out_part}, \
		{"net_out", "headers", size, 0, stream_make, NULL, net_out_part},                   \
	{                                                                                           \
		"tcp ack in", "the peer's acknowledgements, net_in too", size, 0, stream_make,      \
			NULL, ack_in_part                                                           \
	}

const struct row stream_rows[] = {
	ROWS(5000, "; 5,000 conns, records of 8 cells"),
	ROWS(1, "; 10 conns, records of so many cells"),
	ROWS(31, ""),
	ROWS(8, ""),
	{NULL, NULL, 0, 0, NULL, NULL, NULL},
};
