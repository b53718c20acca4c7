/* test_ports.c - ports against ports: superframes and queues over a veth pair, memif, DPDK's null
 * and ring devices through the same path as a card. Namespaces need root. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "drivers/port.h"

static struct rte_mempool *pool;
static bool is_root;

static const struct port_config one_queue = {.n_queues = 1, .numa = -1};

static void need_root(void)
{
	if (!is_root) {
		print_message("skipped: needs root for a network namespace\n");
		skip();
	}
}

static void open_or_fail(struct port *p, const char *spec, const struct port_config *config)
{
	char err[PORT_ERR];

	if (port_open(p, spec, config, err) < 0)
		fail_msg("%s", err);
}

static void veth(bool with)
{
	assert_int_equal(system(with ? "ip link add rpt0 type veth peer name rpt1 && "
				       "ip link set rpt0 up && ip link set rpt1 up"
				     : "ip link del rpt0"),
			 0);
}

/* A TCP frame in a chain, with the checksum and, above size, the cutting left to the port. */
static struct rte_mbuf *tcp_frame(const struct port *from, const struct port *to,
				  const struct port_tuple *t, uint32_t payload, uint16_t size)
{
	bool v6 = t->family == 6;
	uint32_t ip_len = v6 ? 40 : 20, hdr = 14 + ip_len + 20, at = 0;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)hdr);
	struct rte_tcp_hdr *tcp = (void *)(p + 14 + ip_len);

	memset(p, 0, hdr);
	memcpy(p, to->mac, 6);
	memcpy(p + 6, from->mac, 6);
	p[12] = v6 ? 0x86 : 8;
	p[13] = v6 ? 0xdd : 0;
	if (v6) {
		struct rte_ipv6_hdr *ip = (void *)(p + 14);

		ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip->payload_len = rte_cpu_to_be_16((uint16_t)(20 + payload));
		ip->proto = 6;
		ip->hop_limits = 64;
		memcpy(ip->src_addr, t->remote_ip, 16);
		memcpy(ip->dst_addr, t->local_ip, 16);
	} else {
		struct rte_ipv4_hdr *ip = (void *)(p + 14);

		ip->version_ihl = 0x45;
		ip->total_length = rte_cpu_to_be_16((uint16_t)(40 + payload));
		ip->time_to_live = 64;
		ip->next_proto_id = 6;
		memcpy(&ip->src_addr, t->remote_ip, 4);
		memcpy(&ip->dst_addr, t->local_ip, 4);
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	tcp->src_port = rte_cpu_to_be_16(t->remote_port);
	tcp->dst_port = rte_cpu_to_be_16(t->local_port);
	tcp->data_off = 5 << 4;
	tcp->tcp_flags = RTE_TCP_ACK_FLAG;
	while (at < payload) {
		uint32_t n = payload - at < 1777 ? payload - at : 1777;
		struct rte_mbuf *s = rte_pktmbuf_alloc(pool);
		uint8_t *d = (uint8_t *)rte_pktmbuf_append(s, (uint16_t)n);

		for (uint32_t i = 0; i < n; i++)
			d[i] = (uint8_t)((at + i) * 13 >> 3);
		at += n;
		last->next = s;
		last = s;
		m->nb_segs++;
		m->pkt_len += n;
	}
	m->l2_len = 14;
	m->l3_len = ip_len;
	m->l4_len = 20;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	if (size) {
		m->tso_segsz = size;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	}
	return m;
}

static struct port_tuple tuple(bool v6, uint16_t remote_port)
{
	struct port_tuple t = {.family = v6 ? 6 : 4,
			       .local_port = 9001,
			       .remote_port = remote_port,
			       .local_ip = {10, 9, 0, 2},
			       .remote_ip = {10, 9, 0, 1}};

	t.remote_ip[v6 ? 15 : 3] ^= (uint8_t)(remote_port * 31);
	return t;
}

/* One TCP frame from any queue within two seconds (a veth may carry other frames too). */
static struct rte_mbuf *receive(struct port *p, unsigned *queue)
{
	for (unsigned tries = 0; tries < 2000; tries++) {
		for (unsigned q = 0; q < p->n_queues; q++) {
			struct rte_mbuf *m;

			while (port_rx(p, q, &m, 1)) {
				const uint8_t *d = rte_pktmbuf_mtod(m, const uint8_t *);

				if (d[14 + (d[12] == 8 ? 9 : 6)] == 6) {
					*queue = q;
					return m;
				}
				rte_pktmbuf_free(m);
			}
		}
		usleep(1000);
	}
	return NULL;
}

static void payload_check(const struct rte_mbuf *m, uint32_t hdr, uint32_t payload)
{
	const uint8_t *d = rte_pktmbuf_mtod(m, const uint8_t *) + hdr;

	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(m->pkt_len, hdr + payload);
	for (uint32_t i = 0; i < payload; i++)
		if (d[i] != (uint8_t)(i * 13 >> 3))
			fail_msg("payload differs at %u of %u", i, payload);
}

/* ---- af_packet ---- */

static void test_superframes(void **state)
{
	static const struct {
		bool v6;
		uint32_t payload;
		uint16_t size;
	} rows[] = {
		{false, 0, 0},	     {false, 1, 0},	   {false, 1460, 0},	{true, 1440, 0},
		{false, 1461, 1460}, {false, 60000, 1448}, {true, 60000, 1428}, {true, 65000, 536},
	};
	struct port a, b;

	need_root();
	veth(true);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &one_queue);
	assert_string_equal(a.note, "");
	assert_int_equal(a.mtu, 1500);
	assert_true(a.tso_max >= 65000 && a.tx_segs >= 64);
	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct port_tuple t = tuple(rows[r].v6, (uint16_t)(500 + r));
		struct rte_mbuf *m = tcp_frame(&a, &b, &t, rows[r].payload, rows[r].size);
		unsigned q;

		assert_int_equal(port_tx(&a, 0, &m, 1), 1);
		m = receive(&b, &q);
		assert_non_null(m);
		payload_check(m, rows[r].v6 ? 74 : 54, rows[r].payload);
		assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK,
				 RTE_MBUF_F_RX_L4_CKSUM_GOOD);
		assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_RX_LRO), rows[r].size != 0);
		if (rows[r].size)
			assert_int_equal(m->tso_segsz, rows[r].size);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(a.stats[0].tx_error, 0);
	port_close(&a);
	port_close(&b);
	veth(false);
}

/* With the device's offloads off the kernel cuts and sums for us: the far side sees plain ones. */
static void test_cut_by_kernel(void **state)
{
	struct port_tuple t = tuple(false, 77);
	uint32_t got = 0;
	struct port a, b;
	struct rte_mbuf *m;
	unsigned q;

	need_root();
	veth(true);
	assert_int_equal(system("ethtool -K rpt0 tso off gso off tx off >/dev/null"), 0);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &one_queue);
	m = tcp_frame(&a, &b, &t, 10000, 1000);
	assert_int_equal(port_tx(&a, 0, &m, 1), 1);
	while (got < 10000) {
		const struct rte_tcp_hdr *tcp;

		m = receive(&b, &q);
		assert_non_null(m);
		assert_int_equal(m->pkt_len, 1054);
		tcp = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, 34);
		assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), got);
		assert_int_equal(rte_ipv4_udptcp_cksum_verify(
					 rte_pktmbuf_mtod_offset(m, const void *, 14), tcp),
				 0);
		got += 1000;
		rte_pktmbuf_free(m);
	}
	port_close(&a);
	port_close(&b);
	veth(false);
}

/* The device loses TSO while the port is open: the kernel would drop superframes for good. */
static void test_tso_lost(void **state)
{
	struct port_tuple t = tuple(false, 78);
	uint32_t got = 0;
	struct port a, b;
	struct rte_mbuf *m;
	unsigned q;

	need_root();
	veth(true);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &one_queue);
	assert_int_equal(system("ethtool -K rpt0 tso off gso off tx off >/dev/null"), 0);
	m = tcp_frame(&a, &b, &t, 10000, 1000);
	assert_int_equal(port_tx(&a, 0, &m, 1), 1);
	for (; got < 10000; got += 1000) {
		m = receive(&b, &q);
		assert_non_null(m);
		assert_int_equal(m->pkt_len, 1054);
		rte_pktmbuf_free(m);
	}
	/* The interface goes: frames are dropped and counted, and nothing stops. */
	veth(false);
	m = tcp_frame(&a, &b, &t, 100, 0);
	assert_int_equal(port_tx(&a, 0, &m, 1), 1);
	assert_int_equal(a.stats[0].tx_error, 1);
	assert_int_equal(port_rx(&b, 0, &m, 1), 0);
	port_close(&a);
	port_close(&b);
}

static void test_queue_of(void **state)
{
	struct port_config three = {.n_queues = 3, .numa = -1};
	unsigned used[3] = {0};
	struct port a, b;

	need_root();
	for (unsigned i = 0; i < sizeof(three.hash_key); i++)
		three.hash_key[i] = (uint8_t)(i * 91 + 5);
	veth(true);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &three);
	assert_int_equal(b.n_queues, 3);
	for (unsigned i = 0; i < 90; i++) {
		struct port_tuple t = tuple(i % 2, (uint16_t)(2000 + i * 7));
		struct rte_mbuf *m = tcp_frame(&a, &b, &t, i % 3 * 700, i % 3 == 2 ? 1000 : 0);
		unsigned q = 99;

		assert_int_equal(port_tx(&a, 0, &m, 1), 1);
		m = receive(&b, &q);
		assert_non_null(m);
		assert_int_equal(q, port_queue_of(&b, &t));
		used[q]++;
		rte_pktmbuf_free(m);
	}
	assert_true(used[0] && used[1] && used[2]);
	port_close(&a);
	port_close(&b);
	veth(false);
}

/* Received frames that are kept hold their ring frames; what comes meanwhile is not overwritten. */
static void test_kept_frames(void **state)
{
	struct port_config small = {.n_queues = 1, .numa = -1, .rx_frames = 30};
	struct rte_mbuf *kept[64], *m;
	unsigned n = 0, q;
	struct port a, b;

	need_root();
	veth(true);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &small);
	for (unsigned i = 0; i < 64; i++) {
		struct port_tuple t = tuple(false, (uint16_t)i);

		m = tcp_frame(&a, &b, &t, 1000, 0);
		assert_int_equal(port_tx(&a, 0, &m, 1), 1);
	}
	while (n < 64 && port_rx(&b, 0, &kept[n], 1))
		n++;
	assert_in_range(n, 20, 30);
	for (unsigned i = 0; i < n; i++)
		rte_pktmbuf_free(kept[n - 1 - i]); /* in another order than they came */
	assert_in_range(port_stats_of(&b, 0)->rx_lost, 30, 44);
	for (unsigned i = 0; i < 100; i++) {
		struct port_tuple t = tuple(false, (uint16_t)(300 + i));

		m = tcp_frame(&a, &b, &t, 1000, 0);
		assert_int_equal(port_tx(&a, 0, &m, 1), 1);
		m = receive(&b, &q);
		assert_non_null(m);
		payload_check(m, 54, 1000);
		rte_pktmbuf_free(m);
	}
	port_close(&a);
	port_close(&b);
	veth(false);
}

static void test_poll_fd(void **state)
{
	struct port_tuple t = tuple(false, 5);
	struct pollfd pfd = {.events = POLLIN};
	struct port a, b;
	struct rte_mbuf *m;

	need_root();
	veth(true);
	open_or_fail(&a, "af_packet:rpt0", &one_queue);
	open_or_fail(&b, "af_packet:rpt1", &one_queue);
	pfd.fd = port_fd(&b, 0);
	while (port_rx(&b, 0, &m, 1))
		rte_pktmbuf_free(m);
	m = tcp_frame(&a, &b, &t, 10, 0);
	assert_int_equal(port_tx(&a, 0, &m, 1), 1);
	assert_int_equal(poll(&pfd, 1, 2000), 1);
	port_close(&a);
	port_close(&b);
	veth(false);
}

/* ---- memif: the other end is another process ---- */

static int memif_peer(const char *spec)
{
	struct eal_config ec = {.mem_mb = 64, .port = spec, .n_queues = 1};
	struct port p;
	char err[PORT_ERR];
	struct rte_mbuf *m;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (eal_start(&ec, NULL, err) < 0 || port_open(&p, spec, &one_queue, err) < 0)
		return 1;
	for (unsigned i = 0; i < 20000; i++) { /* sends back what comes */
		if (!port_rx(&p, 0, &m, 1))
			usleep(500);
		else if (!port_tx(&p, 0, &m, 1))
			rte_pktmbuf_free(m);
	}
	return 0;
}

/* how: what stands behind the client's socket. */
static void memif_echo(const char *how)
{
	char dir[] = "/tmp/ramson-memif-XXXXXX", spec[64], peer[64], path[40];
	struct port_tuple t = tuple(false, 9);
	struct rte_mbuf *m = NULL;
	struct port p;
	unsigned q;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(spec, sizeof(spec), "memif:%s,server", path);
	snprintf(peer, sizeof(peer), "memif:%s%s", path, how);
	open_or_fail(&p, spec, &one_queue);
	port_close(&p);
	open_or_fail(&p, spec, &one_queue); /* over the socket that the first one left, if it did */
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "test_ports", peer, NULL);
		_exit(1);
	}
	/* Until the peer is connected frames go nowhere. */
	for (unsigned i = 0; i < 10 && !m; i++) {
		struct rte_mbuf *sent = tcp_frame(&p, &p, &t, 1400, 0);

		sent->ol_flags = 0;
		if (!port_tx(&p, 0, &sent, 1))
			rte_pktmbuf_free(sent);
		m = receive(&p, &q);
	}
	assert_non_null(m);
	payload_check(m, 54, 1400);
	rte_pktmbuf_free(m);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	port_close(&p);
	unlink(path);
	rmdir(dir);
}

static void test_memif(void **state)
{
	memif_echo("");
	memif_echo(",zero-copy");
}

/* ---- pci: the path of cards, on devices that need none ---- */

static void test_null(void **state)
{
	struct rte_mbuf *m[8];
	struct port_tuple t = tuple(false, 3);
	struct port p;

	open_or_fail(&p, "pci:net_null,size=60,copy=1", &one_queue);
	assert_int_equal(port_rx(&p, 0, m, 8), 8);
	assert_int_equal(p.stats[0].rx_bytes, 8 * 60);
	rte_pktmbuf_free_bulk(m, 8);
	m[0] = tcp_frame(&p, &p, &t, 1400,
			 0); /* a chain: it is copied for a device that takes none */
	m[0]->ol_flags = 0;
	assert_int_equal(port_tx(&p, 0, m, 1), 1);
	assert_int_equal(p.stats[0].tx_frames, 1);
	port_close(&p);
}

/* The verification suite of the receive hash that cards implement (Toeplitz): 0x51ccc178 and, for
 * IPv6, 0x40207d3d, over a table of 128 places and seven queues. */
static void test_rss(void **state)
{
	static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
					0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
					0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
					0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
	struct port_config seven = {.n_queues = 7, .numa = -1, .rx_frames = 32};
	struct port_tuple t4 = {.family = 4,
				.remote_port = 2794,
				.local_port = 1766,
				.remote_ip = {66, 9, 149, 187},
				.local_ip = {161, 142, 100, 80}};
	struct port_tuple t6 = {
		.family = 6,
		.remote_port = 2794,
		.local_port = 1766,
		.remote_ip = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, [15] = 7},
		.local_ip = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0, 3, [15] = 1}};
	struct port p;

	memcpy(seven.hash_key, key, sizeof(key));
	open_or_fail(&p, "pci:net_null", &seven);
	assert_int_equal(p.n_queues, 7);
	assert_int_equal(port_queue_of(&p, &t4), (0x51ccc178 & 127) % 7);
	assert_int_equal(port_queue_of(&p, &t6), (0x40207d3d & 127) % 7);
	port_close(&p);
}

static void test_ring(void **state)
{
	struct port_tuple t = tuple(true, 3);
	struct rte_mbuf *m;
	struct port p;
	unsigned q;

	open_or_fail(&p, "pci:net_ring", &one_queue); /* what is sent comes back */
	m = tcp_frame(&p, &p, &t, 1000, 0);
	m->ol_flags = 0;
	assert_int_equal(port_tx(&p, 0, &m, 1), 1);
	m = receive(&p, &q);
	assert_non_null(m);
	assert_int_equal(m->pkt_len, 1074);
	rte_pktmbuf_free(m);
	port_close(&p);
}

/* ---- words ---- */

static void test_errors(void **state)
{
	static const struct {
		const char *spec, *says;
	} rows[] = {
		{"", "no such kind"},
		{"af_paket:x", "no such kind"},
		{"af_packet", "INTERFACE"},
		{"af_packet:", "INTERFACE"},
		{"af_packet:nosuchif", "nosuchif"},
		{"af_packet:averyveryverylongname", "not the name"},
		{"af_packet_pmd:nosuchif", "nosuchif"},
		{"memif:/x,sevrer", "memif:SOCKET"},
		{"memif:/x,server,zero-copy", "memif:SOCKET"}, /* only a client lends */
		{"pci:0000:ff:1f.7", "dpdk-devbind"},
		{"tap:a,b", "not a name"},
	};
	char err[PORT_ERR];
	struct port p;

	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		assert_int_equal(port_open(&p, rows[r].spec, &one_queue, err), -1);
		if (!strstr(err, rows[r].says))
			fail_msg("row %u: %s", r, err);
	}
	assert_int_equal(port_check("af_packet:nosuchif", err), -1);
	assert_int_equal(port_check("tap:x", err), 0);
}

static void test_kernel(void **state)
{
	struct port_addr held = {.family = 4, .ip = {10, 66, 0, 2}},
			 not = {.family = 4, .ip = {10, 66}};
	struct port_addr held6 = {.family = 6, .ip = {0xfd, 0x66, [15] = 2}};
	struct port_addr neigh = {.family = 6, .ip = {0xfd, 0x66, [15] = 9}};
	uint8_t mac[6], wanted[6] = {2, 3, 4, 5, 6, 7};
	char name[16];

	port_ifname("af_packet:rpt0", name);
	assert_string_equal(name, "rpt0");
	port_ifname("memif:/x", name);
	assert_string_equal(name, "");
	need_root();
	veth(true);
	assert_int_equal(
		system("ip addr add 10.66.0.2/24 dev rpt0 && ip addr add fd66::2/64 dev rpt0 && "
		       "ip neigh add fd66::9 lladdr 02:03:04:05:06:07 dev rpt0"),
		0);
	assert_int_equal(port_kernel_has_address("rpt0", &held), 1);
	assert_int_equal(port_kernel_has_address("rpt0", &held6), 1);
	assert_int_equal(port_kernel_has_address("rpt0", &not ), 0);
	assert_int_equal(port_kernel_has_address("rpt1", &held), 0);
	assert_int_equal(port_kernel_neighbour("rpt0", &neigh, mac), 0);
	assert_memory_equal(mac, wanted, 6);
	assert_int_equal(port_kernel_neighbour("rpt0", &held, mac), -1);
	veth(false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tso_lost),    cmocka_unit_test(test_rss),
		cmocka_unit_test(test_superframes), cmocka_unit_test(test_cut_by_kernel),
		cmocka_unit_test(test_queue_of),    cmocka_unit_test(test_kept_frames),
		cmocka_unit_test(test_poll_fd),	    cmocka_unit_test(test_memif),
		cmocka_unit_test(test_null),	    cmocka_unit_test(test_ring),
		cmocka_unit_test(test_errors),	    cmocka_unit_test(test_kernel),
	};
	struct eal_config ec = {.mem_mb = 160, .port = "af_packet_pmd:x", .n_queues = 4};
	char err[PORT_ERR];

	if (argc > 1)
		return memif_peer(argv[1]);
	is_root = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	if (eal_start(&ec, NULL, err) < 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	pool = rte_pktmbuf_pool_create("test", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
	return pool ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
