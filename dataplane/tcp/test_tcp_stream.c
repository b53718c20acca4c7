/* test_tcp_stream.c - bytes through two stacks and a bad wire: every byte arrives once, in order,
 * in both framings, whatever is lost, doubled or reordered; and the same seed gives the same
 * packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/tcp/pair.h"

struct flow { /* one direction */
	uint64_t total, pushed, taken;
	uint32_t record;   /* bytes of record left to push, TCP_RECORDS */
	bool closed, done; /* done: the other direction has arrived */
};

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)((offset * 0x9e3779b97f4a7c15ull) >> 56);
}

/* Pushes what TCP can send now: whole records of random size, or random runs. */
static void flow_push(struct pair *p, int side, uint32_t conn, struct flow *f, bool records)
{
	struct tcp *t = p->t[side];
	uint32_t room;

	while (f->pushed < f->total && (room = tcp_room(t, conn))) {
		static const uint32_t sizes[] = {1, 509, 543, 1200, 2080, 4092, 15956, 16640};
		uint32_t len = sizes[rng_below(&p->rng, ARRAY_LEN(sizes))];

		len = (uint32_t)MIN(len, f->total - f->pushed);
		if (records) { /* no record shorter than its header, also not the last */
			uint64_t left = f->total - f->pushed;

			len = MAX(len, 5);
			if (left - len < 5)
				len = left < 16000 ? (uint32_t)left : len - 5;
		}
		uint8_t *b = tcp_reserve(t, conn, len);
		if (!b)
			break;
		for (uint32_t i = 0; i < len; i++)
			b[i] = pattern(f->pushed + i);
		if (records) {
			b[0] = 23;
			b[1] = 3;
			b[2] = 3;
			be16_put(b + 3, (uint16_t)(len - 5));
		}
		tcp_push(t, conn, len);
		f->pushed += len;
	}
	if (f->pushed == f->total && !f->closed && f->done) {
		tcp_close(t, conn, p->now_us);
		f->closed = true;
	}
}

static void flow_take(struct pair *p, int side, uint32_t conn, struct flow *f, bool records)
{
	struct tcp *t = p->t[side];
	uint32_t len;
	uint8_t *b;

	while (tcp_peek(t, conn, &b, &len)) {
		assert_int_equal(tcp_rx_offset(t, conn), f->taken);
		if (records)
			assert_int_equal(be16_get(b + 3) + 5, len);
		else if (len > 3)
			len -= rng_below(&p->rng, 3);
		for (uint32_t i = records ? 5 : 0; i < len; i++)
			if (b[i] != pattern(f->taken + i))
				fail_msg("side %d: byte %lu", side, (unsigned long)(f->taken + i));
		tcp_take(t, conn, len);
		f->taken += len;
	}
}

struct wire_row {
	const char *what;
	uint32_t loss_ppm, dup_ppm, reorder_ppm, delay_us;
	uint64_t total[2]; /* client to server, server to client */
	uint8_t kind;
	uint32_t tso;
	const char *congestion;
	uint8_t v6;
	uint32_t rate, queue; /* bytes per second, bytes */
	uint8_t strip;	      /* offers taken out of SYNs */
};

static const struct wire_row *row_now;

static void show(const struct pair *p)
{
	for (int side = 0; side < 2 && getenv("TCP_SHOW"); side++)
		for (int i = 0; i < N_COUNTS; i++)
			if (p->counts[side].v[i])
				printf("%d %s %lu\n", side, count_name(i),
				       (unsigned long)p->counts[side].v[i]);
}

static void row_config(struct tcp_config *cfg, int side)
{
	cfg->tso_max = row_now->tso;
	cfg->congestion = row_now->congestion;
}

struct result {
	uint64_t trace, end_us;
	struct counts counts[2];
};

/* Both directions, until both sides have closed. */
static struct result run_row(const struct wire_row *row, uint64_t seed)
{
	struct result r;
	struct flow f[2] = {{.total = row->total[0]}, {.total = row->total[1]}};
	bool records = row->kind == KIND_TLS;
	bool gone[2] = {false, false};
	uint32_t conn[2];
	struct pair *p;

	row_now = row;
	p = pair_new(seed, row_config);
	if (row->v6) {
		addr_parse(&p->ip[CLIENT], "fd00::1");
		addr_parse(&p->ip[SERVER], "fd00::2");
	}
	p->delay_us = row->delay_us;
	p->loss_ppm = row->loss_ppm;
	p->dup_ppm = row->dup_ppm;
	p->reorder_ppm = row->reorder_ppm;
	p->merge = seed % 3 == 0;
	p->strip = row->strip;
	p->rate = row->rate;
	p->queue_bytes = row->queue;
	pair_connect(p, row->kind, conn);
	for (int turn = 0; turn < 3000000 && !(gone[0] && gone[1]); turn++) {
		for (int side = 0; side < 2; side++) {
			if (gone[side])
				continue;
			flow_take(p, side, conn[side], &f[!side], records);
			f[side].done = f[!side].taken == f[!side].total;
			flow_push(p, side, conn[side], &f[side], records);
		}
		pair_turn(p);
		for (int side = 0; side < 2; side++)
			for (unsigned i = 0; i < p->n_events[side]; i++) {
				struct tcp_event *ev = &p->events[side][i];

				if (!(ev->flags & TCP_CLOSED))
					continue;
				flow_take(p, side, conn[side], &f[!side], records);
				gone[side] = true;
				if (ev->reason != TCP_DONE)
					show(p);
				if (ev->reason != TCP_DONE)
					fail_msg("row %s: side %d closed for %d", row->what, side,
						 ev->reason);
			}
	}
	if (!gone[0] || !gone[1])
		show(p);
	if (!gone[0] || !gone[1] || f[0].taken != f[0].total || f[1].taken != f[1].total)
		fail_msg("row %s seed %lu: %lu/%lu and %lu/%lu bytes, closed %d %d", row->what,
			 (unsigned long)seed, (unsigned long)f[0].taken, (unsigned long)f[0].total,
			 (unsigned long)f[1].taken, (unsigned long)f[1].total, gone[0], gone[1]);
	r = (struct result) {.trace = p->trace, .end_us = p->now_us - 1000000000};
	memcpy(r.counts, p->counts, sizeof(r.counts));
	pair_turn(p);
	/* Nothing is kept but what lies in the pools. */
	for (int side = 0; side < 2; side++) {
		assert_int_equal(tcp_n_conns(p->t[side]), 0);
		assert_int_equal(tcp_mem_all(p->t[side]), 0);
		assert_int_equal(p->t[side]->reass_mem, 0);
		assert_int_equal(p->t[side]->n_reass_free, p->t[side]->n_reass);
		assert_int_equal(rte_mempool_in_use_count(p->t[side]->headers), 0);
		assert_int_equal(rte_mempool_in_use_count(p->t[side]->pieces), 0);
		for (int i = 0; i < TCP_POOLS; i++)
			assert_int_equal(rte_mempool_in_use_count(p->t[side]->pools[i]), 0);
	}
	pair_free(p);
	return r;
}

#define MB	1000000ull
#define RAW	KIND_RAW
#define TLS	KIND_TLS
#define TSO	64000
#define NO_SACK TCP_OPT_SACK_OK
/* clang-format off */
static const struct wire_row wire_rows[] = {
	{"1 nothing to send", 0, 0, 0, 10000, {0, 0}, RAW, 0, NULL, 0, 0, 0, 0},
	{"2 one byte", 0, 0, 0, 10000, {1, 0}, RAW, 0, NULL, 0, 0, 0, 0},
	{"3 one byte back", 0, 0, 0, 0, {0, 1}, RAW, 0, NULL, 0, 0, 0, 0},
	{"4 clean, raw", 0, 0, 0, 5000, {4*MB, 1*MB}, RAW, 0, NULL, 0, 0, 0, 0},
	{"5 clean, records", 0, 0, 0, 5000, {4*MB, 1*MB}, TLS, 0, NULL, 0, 0, 0, 0},
	{"6 clean, tso", 0, 0, 0, 5000, {8*MB, 8*MB}, TLS, TSO, NULL, 0, 0, 0, 0},
	{"7 no delay", 0, 0, 0, 0, {4*MB, 4*MB}, TLS, 0, NULL, 0, 0, 0, 0},
	{"8 1 % loss", 10000, 0, 0, 10000, {4*MB, 1*MB}, TLS, 0, NULL, 0, 0, 0, 0},
	{"9 5 % loss, raw", 50000, 0, 0, 10000, {2*MB, 1*MB}, RAW, 0, NULL, 0, 0, 0, 0},
	{"10 5 % loss, tso", 50000, 0, 0, 10000, {2*MB, 2*MB}, TLS, TSO, NULL, 0, 0, 0, 0},
	{"11 reordering", 0, 0, 100000, 10000, {4*MB, 0}, TLS, 0, NULL, 0, 0, 0, 0},
	{"12 duplicates", 0, 100000, 0, 10000, {2*MB, 1*MB}, RAW, 0, NULL, 0, 0, 0, 0},
	{"13 all of it", 30000, 30000, 50000, 20000, {2*MB, 2*MB}, TLS, 0, NULL, 0, 0, 0, 0},
	{"14 newreno, loss", 20000, 0, 0, 10000, {2*MB, 0}, RAW, 0, "newreno", 0, 0, 0, 0},
	{"15 ipv6, loss", 20000, 10000, 20000, 10000, {2*MB, 1*MB}, TLS, 0, NULL, 1, 0, 0, 0},
	{"16 long path", 1000, 0, 0, 150000, {8*MB, 0}, TLS, TSO, NULL, 0, 0, 0, 0},
	{"17 10 Mbit/s router", 0, 0, 0, 20000, {2*MB, 0}, TLS, 0, NULL, 0, 1250000, 50000, 0},
	{"18 the same, tso", 0, 0, 0, 20000, {2*MB, 2*MB}, TLS, TSO, NULL, 0, 1250000, 50000, 0},
	{"19 tso, 1 % loss", 10000, 0, 0, 10000, {8*MB, 0}, TLS, TSO, NULL, 0, 0, 0, 0},
	{"20 reordering, tso", 0, 0, 50000, 10000, {8*MB, 0}, RAW, TSO, NULL, 0, 0, 0, 0},
	{"21 no options, loss", 20000, 0, 0, 10000, {1*MB, 1*MB}, TLS, 0, NULL, 0, 0, 0, 31},
	{"22 no sack, loss", 20000, 0, 0, 10000, {2*MB, 0}, RAW, TSO, NULL, 0, 0, 0, NO_SACK},
	{"23 no sack, reno", 5000, 0, 0, 10000, {2*MB, 0}, RAW, 0, "newreno", 0, 0, 0, NO_SACK},
	{"24 no sack, router", 0, 0, 0, 20000, {2*MB, 0}, RAW, 0, NULL, 0, 1250000, 50000, NO_SACK},
	{"25 no timestamps", 20000, 0, 5000, 10000, {2*MB, 0}, TLS, 0, NULL, 0, 0, 0, TCP_OPT_TS},
};
/* clang-format on */

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wire_rows); i++)
		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct result r = run_row(&wire_rows[i], seed);

			if (getenv("TCP_SHOW"))
				printf("%-20s seed %lu: %6.2f s, retx %lu, rto %lu, rec %lu, "
				       "undone %lu\n",
				       wire_rows[i].what, (unsigned long)seed,
				       (double)r.end_us / 1e6,
				       (unsigned long)r.counts[0].v[COUNT_tcp_retransmits],
				       (unsigned long)r.counts[0].v[COUNT_tcp_timeouts],
				       (unsigned long)r.counts[0].v[COUNT_tcp_recoveries],
				       (unsigned long)r.counts[0].v[COUNT_tcp_undone]);
		}
}

/* The same seed replays to the packet; another does not. */
static void test_replay(void **state)
{
	const struct wire_row *row = &wire_rows[12];
	uint64_t a = run_row(row, 7).trace, b = run_row(row, 7).trace, c = run_row(row, 8).trace;

	(void)state;
	assert_true(a == b);
	assert_true(a != c);
}

/* A burst is acknowledged before its reader, who takes a little each turn, has come to its end. The
 * window keeps ahead of a sender in slow start all the same: from ten segments to a megabyte is
 * less than seven round trips of the virtual clock. */
static void test_burst_reader(void **state)
{
	static const struct wire_row row = {.kind = KIND_RAW};
	struct pair *p;
	struct flow f = {.total = 1 << 20};
	uint32_t conn[2], len;
	uint64_t begun;
	uint8_t *b;

	(void)state;
	row_now = &row;
	p = pair_new(1, row_config);
	p->delay_us = 50000;
	pair_connect(p, KIND_RAW, conn);
	begun = p->now_us;
	while (f.taken < f.total) {
		flow_push(p, CLIENT, conn[CLIENT], &f, false);
		pair_turn(p);
		for (uint32_t n = 0; n < 16384; n += len, f.taken += len) {
			if (!tcp_peek(p->t[SERVER], conn[SERVER], &b, &len))
				break;
			tcp_take(p->t[SERVER], conn[SERVER], len);
		}
	}
	if (getenv("TCP_SHOW"))
		printf("burst reader: %lu us\n", (unsigned long)(p->now_us - begun));
	assert_true(p->now_us - begun < 7 * 2 * p->delay_us);
	pair_free(p);
}

static uint64_t max_mem;

static void memory_config(struct tcp_config *cfg, int side)
{
	if (side == SERVER)
		cfg->max_mem = max_mem;
}

/* Bytes whose reader is behind lie in few large buffers, in small ones once a quarter of the memory
 * is used; read gives them whatever their cuts. */
static void test_behind(void **state)
{
	static const struct {
		uint64_t max_mem;
		uint32_t mem; /* of 40,000 bytes: buffers of 2,240 and 16,704 */
	} rows[] = {
		{32 << 20, 2240 + 3 * 16704},
		{64 << 10, 2240 + 16704 + 10 * 2240},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct flow f = {.total = 40000};
		uint32_t conn[2], seen[2] = {0}, len;
		uint8_t b[3000];
		struct pair *p;

		max_mem = rows[i].max_mem;
		p = pair_new(1, memory_config);
		pair_connect(p, KIND_RAW, conn);
		assert_false(tcp_has(p->t[SERVER], conn[SERVER]));
		for (unsigned turns = 0; f.pushed < f.total && turns < 1000; turns++) {
			flow_push(p, CLIENT, conn[CLIENT], &f, false);
			pair_turn(p);
		}
		pair_run(p, 2000000, seen);
		assert_int_equal(tcp_mem(p->t[SERVER], conn[SERVER]), rows[i].mem);
		while (tcp_has(p->t[SERVER], conn[SERVER])) {
			assert_int_equal(tcp_rx_offset(p->t[SERVER], conn[SERVER]), f.taken);
			len = tcp_read(p->t[SERVER], conn[SERVER], b,
				       1 + rng_below(&p->rng, sizeof(b)));
			assert_int_not_equal(len, 0);
			for (uint32_t k = 0; k < len; k++)
				assert_int_equal(b[k], pattern(f.taken + k));
			f.taken += len;
		}
		assert_int_equal(f.taken, f.total);
		assert_int_equal(tcp_read(p->t[SERVER], conn[SERVER], b, sizeof(b)), 0);
		assert_int_equal(tcp_mem(p->t[SERVER], conn[SERVER]), 0);
		pair_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_burst_reader),
	};

	pair_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
