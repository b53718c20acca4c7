/* test_wire.c - the wire: order, luck that replays exactly, cutting, queues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "drivers/port.h"

static struct rte_mempool *pool;

struct pair {
	struct wire *wire;
	struct port port[2];
};

static void pair_open(struct pair *w, const struct wire_config *config)
{
	struct port_config pc = {.n_queues = config->n_queues ? config->n_queues : 1, .numa = -1};
	char err[PORT_ERR];

	for (unsigned i = 0; i < sizeof(pc.hash_key); i++)
		pc.hash_key[i] = (uint8_t)(i * 37 + 11);
	w->wire = wire_new("t", config);
	assert_non_null(w->wire);
	assert_null(wire_new("t", config));
	assert_int_equal(port_open(&w->port[0], "wire:t:0", &pc, err), 0);
	assert_int_equal(port_open(&w->port[1], "wire:t:1", &pc, err), 0);
	assert_int_equal(port_open(&(struct port) {0}, "wire:t:1", &pc, err), -1);
	assert_int_equal(port_open(&(struct port) {0}, "wire:x:1", &pc, err), -1);
	assert_int_equal(port_open(&(struct port) {0}, "wire:t:2", &pc, err), -1);
}

static void pair_close(struct pair *w)
{
	port_close(&w->port[0]);
	port_close(&w->port[1]);
	wire_free(w->wire);
}

static void send_number(struct pair *w, uint32_t v)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 60);

	memset(p, 0xee, 60);
	memcpy(p + 20, &v, 4);
	assert_int_equal(port_tx(&w->port[0], 0, &m, 1), 1);
}

/* Everything at end 1, as numbers; -1 for a frame that was damaged. */
static unsigned recv_numbers(struct pair *w, int64_t *v, unsigned max)
{
	struct rte_mbuf *m[PORT_BURST];
	unsigned n, k = 0;

	while ((n = port_rx(&w->port[1], 0, m, PORT_BURST))) {
		for (unsigned i = 0; i < n && k < max; i++, k++) {
			const uint8_t *p = rte_pktmbuf_mtod(m[i], uint8_t *);
			uint32_t got;

			assert_int_equal(m[i]->pkt_len, 60);
			memcpy(&got, p + 20, 4);
			v[k] = got;
			for (unsigned b = 0; b < 60; b++)
				if ((b < 20 || b > 23) && p[b] != 0xee)
					v[k] = -1;
		}
		rte_pktmbuf_free_bulk(m, n);
	}
	return k;
}

static void test_perfect(void **state)
{
	struct wire_config config = {.seed = 1};
	struct pair w;
	int64_t v[8];

	pair_open(&w, &config);
	assert_int_equal(wire_next(w.wire), UINT64_MAX);
	for (uint32_t i = 0; i < 5; i++)
		send_number(&w, i);
	assert_int_equal(wire_next(w.wire), 0);
	assert_int_equal(recv_numbers(&w, v, 8), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(v[i], i);
	pair_close(&w);
}

static void test_delay_and_rate(void **state)
{
	struct wire_config config = {.seed = 1};
	/* 60 bytes at 4.8 Mbit/s are 100 us. */
	struct wire_impair slow = {.delay_us = 1000, .bps = 4800000, .queue_max = 3};
	struct pair w;
	int64_t v[8];

	pair_open(&w, &config);
	wire_impair(w.wire, 0, &slow);
	for (uint32_t i = 0; i < 5; i++)
		send_number(&w, i);
	assert_int_equal(wire_stats_of(w.wire, 0)->overflowed, 2);
	assert_int_equal(wire_next(w.wire), 1100);
	wire_advance(w.wire, 1099);
	assert_int_equal(recv_numbers(&w, v, 8), 0);
	wire_advance(w.wire, 1200);
	assert_int_equal(recv_numbers(&w, v, 8), 2);
	wire_advance(w.wire, 1); /* never back */
	assert_int_equal(wire_next(w.wire), 1300);
	pair_close(&w);
}

/* One run of 2000 frames under every impairment: what arrived, in order. */
static unsigned bad_run(uint64_t seed, int64_t *v, unsigned max, struct wire_stats *st)
{
	struct wire_config config = {.seed = seed};
	struct wire_impair bad = {.loss_ppm = 30000,
				  .dup_ppm = 20000,
				  .reorder_ppm = 50000,
				  .reorder_us = 700,
				  .corrupt_ppm = 10000,
				  .delay_us = 500,
				  .jitter_us = 300};
	struct pair w;
	unsigned k = 0;

	pair_open(&w, &config);
	wire_impair(w.wire, 0, &bad);
	for (uint32_t i = 0; i < 2000; i++) {
		send_number(&w, i);
		wire_advance(w.wire, 50ull * i);
		k += recv_numbers(&w, v + k, max - k);
	}
	wire_advance(w.wire, 10000000);
	k += recv_numbers(&w, v + k, max - k);
	*st = *wire_stats_of(w.wire, 0);
	pair_close(&w);
	return k;
}

static void test_luck_replays(void **state)
{
	static int64_t a[4096], b[4096], c[4096];
	struct wire_stats st, st2;
	unsigned n = bad_run(7, a, 4096, &st), late = 0;

	assert_int_equal(bad_run(7, b, 4096, &st2), n);
	assert_memory_equal(a, b, n * sizeof(a[0]));
	assert_memory_equal(&st, &st2, sizeof(st));
	bad_run(8, c, 4096, &st2);
	assert_memory_not_equal(a, c, n * sizeof(a[0]));
	assert_int_equal(st.sent, 2000);
	assert_int_equal(st.delivered, st.sent - st.lost + st.duplicated);
	assert_int_equal(n, st.delivered);
	for (unsigned i = 1; i < n; i++)
		late += a[i] >= 0 && a[i - 1] >= 0 && a[i] < a[i - 1];
	assert_in_range(st.lost, 30, 95);
	assert_in_range(st.duplicated, 20, 65);
	assert_in_range(st.reordered, 60, 150);
	assert_in_range(st.corrupted, 8, 36);
	assert_in_range(late, 30, 200);
}

/* A superframe in a chain of three mbufs. */
static struct rte_mbuf *superframe(bool v6, uint32_t payload, uint16_t size)
{
	uint32_t ip_len = v6 ? 40 : 20, hdr = 14 + ip_len + 20, at = 0;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)hdr);
	struct rte_tcp_hdr *tcp = (void *)(p + 14 + ip_len);

	memset(p, 0, hdr);
	p[12] = v6 ? 0x86 : 8;
	p[13] = v6 ? 0xdd : 0;
	if (v6) {
		struct rte_ipv6_hdr *ip = (void *)(p + 14);

		ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip->proto = 6;
		ip->src_addr[15] = 1;
		ip->dst_addr[15] = 2;
	} else {
		struct rte_ipv4_hdr *ip = (void *)(p + 14);

		ip->version_ihl = 0x45;
		ip->next_proto_id = 6;
		ip->packet_id = rte_cpu_to_be_16(0xffff);
		ip->src_addr = rte_cpu_to_be_32(0x0a000001);
		ip->dst_addr = rte_cpu_to_be_32(0x0a000002);
	}
	tcp->data_off = 5 << 4;
	tcp->tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_CWR_FLAG;
	tcp->sent_seq = rte_cpu_to_be_32(0xfffffff0u);
	while (at < payload) {
		uint32_t n = payload - at < 1999 ? payload - at : 1999;
		struct rte_mbuf *s = rte_pktmbuf_alloc(pool);
		uint8_t *d = (uint8_t *)rte_pktmbuf_append(s, (uint16_t)n);

		for (uint32_t i = 0; i < n; i++)
			d[i] = (uint8_t)((at + i) * 7);
		at += n;
		last->next = s;
		last = s;
		m->nb_segs++;
		m->pkt_len += n;
	}
	m->l2_len = 14;
	m->l3_len = ip_len;
	m->l4_len = 20;
	m->tso_segsz = size;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
		       (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
	return m;
}

static void piece_check(const struct rte_mbuf *m, bool v6, uint32_t at, uint32_t n, bool last)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t ip_len = v6 ? 40 : 20;
	const struct rte_tcp_hdr *tcp = (const void *)(p + 14 + ip_len);
	const void *ip = p + 14;

	assert_int_equal(m->pkt_len, 14 + ip_len + 20 + n);
	assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), 0xfffffff0u + at);
	assert_int_equal(!!(tcp->tcp_flags & RTE_TCP_PSH_FLAG), last);
	assert_int_equal(!!(tcp->tcp_flags & RTE_TCP_CWR_FLAG), at == 0);
	if (v6) {
		assert_int_equal(rte_ipv6_udptcp_cksum_verify(ip, tcp), 0);
	} else {
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(ip, tcp), 0);
		assert_int_equal(rte_raw_cksum(ip, 20), 0xffff);
	}
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(p[14 + ip_len + 20 + i], (uint8_t)((at + i) * 7));
}

static void test_cut(void **state)
{
	static const struct {
		bool v6;
		uint32_t payload;
		uint16_t size;
	} rows[] = {
		{false, 1, 1400},   {false, 1400, 1400}, {false, 1401, 1400}, {false, 30000, 1448},
		{true, 2800, 1400}, {true, 60000, 1440}, {false, 64001, 536},
	};
	struct wire_config config = {.seed = 1, .tso_max = 65200};
	struct pair w;

	pair_open(&w, &config);
	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct rte_mbuf *m = superframe(rows[r].v6, rows[r].payload, rows[r].size), *got;
		uint32_t at = 0;

		assert_int_equal(port_tx(&w.port[0], 0, &m, 1), 1);
		while (port_rx(&w.port[1], 0, &got, 1)) {
			uint32_t left = rows[r].payload - at;
			uint32_t n = left < rows[r].size ? left : rows[r].size;

			piece_check(got, rows[r].v6, at, n, n == left);
			at += n;
			rte_pktmbuf_free(got);
		}
		assert_int_equal(at, rows[r].payload);
	}
	struct rte_mbuf *m = superframe(false, 9000, 1461); /* one byte over the MTU */

	assert_int_equal(port_tx(&w.port[0], 0, &m, 1), 1);
	assert_int_equal(w.port[0].stats[0].tx_error, 1);
	pair_close(&w);
}

static void test_queues(void **state)
{
	struct wire_config config = {.seed = 1, .n_queues = 3, .tso_max = 65200};
	unsigned used[3] = {0};
	struct pair w;

	pair_open(&w, &config);
	assert_int_equal(w.port[1].n_queues, 3);
	for (unsigned i = 0; i < 64; i++) {
		bool v6 = i & 1;
		struct rte_mbuf *m = superframe(v6, 10, 1000), *got;
		struct rte_tcp_hdr *tcp =
			rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, v6 ? 54 : 34);
		struct port_tuple t = {.family = v6 ? 6 : 4,
				       .local_port = 9001,
				       .remote_port = (uint16_t)(1000 + i)};
		const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, 14);
		int q;

		tcp->src_port = rte_cpu_to_be_16(t.remote_port);
		tcp->dst_port = rte_cpu_to_be_16(t.local_port);
		memcpy(t.remote_ip, ip + (v6 ? 8 : 12), v6 ? 16 : 4);
		memcpy(t.local_ip, ip + (v6 ? 24 : 16), v6 ? 16 : 4);
		q = port_queue_of(&w.port[1], &t);
		assert_in_range(q, 0, 2);
		used[q]++;
		assert_int_equal(port_tx(&w.port[0], 0, &m, 1), 1);
		assert_int_equal(port_rx(&w.port[1], (unsigned)q, &got, 1), 1);
		rte_pktmbuf_free(got);
	}
	assert_true(used[0] && used[1] && used[2]);
	pair_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_perfect),	     cmocka_unit_test(test_delay_and_rate),
		cmocka_unit_test(test_luck_replays), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_queues),
	};
	struct eal_config ec = {.mem_mb = 64, .port = "wire:t:0", .n_queues = 8};
	char err[PORT_ERR];

	if (eal_start(&ec, NULL, err) < 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
	return pool ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
