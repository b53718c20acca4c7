/* test_net.c - net against hand-built frames: what it takes, answers, refuses and sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "dataplane/wire/ip_hdr.h"
#include "drivers/port.h"

#define SECOND 1000000ull

static struct rte_mempool *pool;
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 9};
static const uint8_t gw_mac[6] = {2, 0, 0, 0, 0, 0xfe};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct rig {
	struct net *net;
	struct counts counts;
	struct net_rx rx;
	struct net_config config;
};

static struct addr ip(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text), 0);
	return a;
}

static void rig_config(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->config = (struct net_config) {.mtu = 1500,
					 .n_addrs = 2,
					 .pool = pool,
					 .counts = &r->counts,
					 .tx_csum = true,
					 .tso = true,
					 .seed = {1}};
	memcpy(r->config.mac, our_mac, 6);
	assert_int_equal(net_prefix_parse(&r->config.addrs[0], "10.0.0.2/24"), 0);
	assert_int_equal(net_prefix_parse(&r->config.addrs[1], "fd00::2/64"), 0);
	r->config.gateway4 = ip("10.0.0.254");
	r->config.gateway6 = ip("fe80::fe");
}

static void rig_start(struct rig *r)
{
	assert_null(net_config_bad(&r->config));
	r->net = net_init(&r->config);
	assert_non_null(r->net);
}

/* Throws away what is ready. */
static void rig_flush(struct rig *r)
{
	struct rte_mbuf **m;
	unsigned n = net_ready(r->net, &m);

	rte_pktmbuf_free_bulk(m, n);
	net_sent(r->net, n);
}

static void rig_stop(struct rig *r)
{
	net_fini(r->net);
	assert_int_equal(rte_mempool_in_use_count(pool), 0); /* nothing leaked */
}

/* ---- frames by hand ---- */

static struct rte_mbuf *frame(const uint8_t dst[6], uint16_t type, const uint8_t *body, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ETH_HDR + len));

	eth_build(p, dst, peer_mac, type);
	memcpy(p + ETH_HDR, body, len);
	return m;
}

static struct rte_mbuf *ip_frame(const uint8_t dst_mac[6], const struct addr *src,
				 const struct addr *dst, uint8_t proto, uint8_t ttl,
				 const uint8_t *body, size_t len)
{
	uint8_t p[2048];
	size_t n = ip_hdr_build(p, src, dst, proto, ttl, (uint32_t)len, 1);

	memcpy(p + n, body, len);
	return frame(dst_mac, src->family == 4 ? ETH_IP4 : ETH_IP6, p, n + len);
}

/* With its checksum at offset at, over the pseudo-header when there is one. */
static struct rte_mbuf *summed(const uint8_t dst_mac[6], const char *from, const char *to,
			       uint8_t proto, uint8_t ttl, uint8_t *body, size_t len, size_t at)
{
	struct addr src = ip(from), dst = ip(to);
	uint64_t acc = proto == IP_ICMP ? 0 : ip_sum_pseudo(&src, &dst, proto, (uint32_t)len);
	uint16_t sum;

	memset(body + at, 0, 2);
	sum = ip_sum_done(ip_sum(acc, body, len));
	memcpy(body + at, &sum, 2);
	return ip_frame(dst_mac, &src, &dst, proto, ttl, body, len);
}

static struct rte_mbuf *tcp_frame(const char *from, const char *to)
{
	uint8_t body[24] = {0x23, 0x29, 1, 0xbb, [12] = 5 << 4, [20] = 'a', 'b', 'c', 'd'};

	return summed(our_mac, from, to, IP_TCP, 64, body, sizeof(body), 16);
}

static void in(struct rig *r, struct rte_mbuf *m, uint64_t now_us)
{
	net_in(r->net, &m, 1, now_us, &r->rx);
	rte_pktmbuf_free(m);
}

static struct rte_mbuf *arp_frame(uint16_t op, const char *from, const char *about)
{
	struct arp a = {.op = op, .sender = ip(from), .target = ip(about)};
	uint8_t p[ARP_LEN];

	memcpy(a.sender_mac, peer_mac, 6);
	arp_build(p, &a);
	return frame(op == ARP_REQUEST ? everybody : our_mac, ETH_ARP, p, ARP_LEN);
}

static struct rte_mbuf *nd_frame(uint8_t type, const char *from, const char *to, const char *target,
				 uint8_t ttl, bool with_mac)
{
	struct nd nd = {.type = type,
			.flags = ND_SOLICITED | ND_OVERRIDE,
			.has_mac = with_mac,
			.target = ip(target)};
	struct addr dst = ip(to);
	uint8_t body[ND_LEN], mac[6];
	size_t len;

	memcpy(nd.mac, peer_mac, 6);
	len = nd_build(body, &nd);
	memcpy(mac, our_mac, 6);
	if (ip_is_multicast(&dst))
		eth_multicast6(mac, &dst);
	return summed(mac, from, to, IP_ICMP6, ttl, body, len, 2);
}

/* The only ready frame, which stays there; NULL when there is not exactly one. */
static const uint8_t *only(struct rig *r, uint32_t *len)
{
	struct rte_mbuf **m;

	if (net_ready(r->net, &m) != 1)
		return NULL;
	*len = m[0]->pkt_len;
	return rte_pktmbuf_mtod(m[0], const uint8_t *);
}

#define COUNTED(r, name) ((r)->counts.v[COUNT_net_##name])

/* ---- questions ---- */

static void test_arp(void **state)
{
	struct rig r;
	struct arp a;
	const uint8_t *p;
	uint32_t len = 0;

	rig_config(&r);
	rig_start(&r);
	in(&r, arp_frame(ARP_REQUEST, "10.0.0.9", "10.0.0.2"), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_memory_equal(p, peer_mac, 6);
	assert_memory_equal(p + 6, our_mac, 6);
	assert_int_equal(arp_parse(&a, p + ETH_HDR, len - ETH_HDR), 0);
	assert_int_equal(a.op, ARP_REPLY);
	assert_memory_equal(a.sender_mac, our_mac, 6);
	assert_true(addr_same(&a.sender, &r.config.addrs[0].ip));
	assert_int_equal(r.rx.n_learned, 1);
	assert_true(r.rx.learned[0].asked_us);
	rig_flush(&r);
	in(&r, arp_frame(ARP_REQUEST, "0.0.0.0", "10.0.0.2"),
	   1); /* a probe is answered, not learned */
	assert_non_null(only(&r, &len));
	assert_int_equal(r.rx.n_learned, 0);
	rig_flush(&r);
	in(&r, arp_frame(ARP_REQUEST, "10.0.0.9", "10.0.0.3"), 1);
	assert_int_equal(r.rx.n_learned, 0);
	in(&r, arp_frame(ARP_REQUEST, "192.0.2.1", "10.0.0.2"), 1); /* off the link */
	assert_int_equal(r.rx.n_learned, 0);
	rig_flush(&r);
	in(&r, arp_frame(ARP_REQUEST, "10.0.0.2", "10.0.0.2"), 1);
	assert_int_equal(COUNTED(&r, address_conflict), 1);
	in(&r, frame(our_mac, ETH_ARP, our_mac, 6), 1);
	assert_int_equal(COUNTED(&r, arp_malformed), 1);
	assert_null(only(&r, &len));
	rig_stop(&r);
}

static void test_nd(void **state)
{
	struct addr nodes = ip("ff02::1");
	struct ip_hdr h;
	struct rig r;
	const uint8_t *p;
	struct nd nd;
	uint32_t len = 0;

	rig_config(&r);
	rig_start(&r);
	in(&r, nd_frame(ICMP6_NS, "fd00::9", "ff02::1:ff00:2", "fd00::2", 255, true), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_memory_equal(p, peer_mac, 6);
	assert_int_equal(ip_hdr_parse(&h, 6, p + ETH_HDR, len - ETH_HDR), 0);
	assert_int_equal(h.ttl, 255);
	assert_int_equal(ip_sum_done(ip_sum(ip_sum_pseudo(&h.src, &h.dst, IP_ICMP6, ND_LEN),
					    p + ETH_HDR + IP6_HDR, ND_LEN)),
			 0);
	assert_int_equal(nd_parse(&nd, p + ETH_HDR + IP6_HDR, ND_LEN), 0);
	assert_int_equal(nd.type, ICMP6_NA);
	assert_int_equal(nd.flags, ND_SOLICITED | ND_OVERRIDE);
	assert_memory_equal(nd.mac, our_mac, 6);
	assert_true(addr_same(&nd.target, &r.config.addrs[1].ip));
	rig_flush(&r);
	/* Duplicate address detection asks from nowhere and is answered to all. */
	in(&r, nd_frame(ICMP6_NS, "::", "ff02::1:ff00:2", "fd00::2", 255, false), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_int_equal(p[0], 0x33);
	assert_int_equal(ip_hdr_parse(&h, 6, p + ETH_HDR, len - ETH_HDR), 0);
	assert_true(addr_same(&h.dst, &nodes));
	rig_flush(&r);
	/* Our link-local address, from the MAC. */
	in(&r, nd_frame(ICMP6_NS, "fe80::9", "fe80::ff:fe00:1", "fe80::ff:fe00:1", 255, true), 1);
	assert_non_null(only(&r, &len));
	rig_flush(&r);
	in(&r, nd_frame(ICMP6_NS, "fd00::9", "fd00::2", "fd00::2", 254, true),
	   1); /* through a router */
	assert_int_equal(COUNTED(&r, nd_malformed), 1);
	in(&r, nd_frame(ICMP6_NS, "fd00::9", "fd00::2", "fd00::3", 255, true), 1);
	in(&r, nd_frame(ICMP6_NS, "fd00::9", "ff02::1:ff00:3", "fd00::3", 255, true), 1);
	assert_int_equal(COUNTED(&r, ip_not_ours), 1);
	in(&r, nd_frame(ICMP6_NA, "fd00::9", "ff02::1", "fd00::2", 255, true), 1);
	assert_int_equal(COUNTED(&r, address_conflict), 1);
	assert_null(only(&r, &len));
	rig_stop(&r);
}

static void test_announce(void **state)
{
	struct rte_mbuf **m;
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	net_announce(r.net, 1);
	assert_int_equal(net_ready(r.net, &m), 3); /* ARP, advertisement, listener report */
	rig_flush(&r);
	rig_stop(&r);
}

static void test_echo(void **state)
{
	uint8_t ask4[64] = {ICMP4_ECHO}, ask6[64] = {ICMP6_ECHO};
	struct ip_hdr h;
	struct rig r;
	const uint8_t *p;
	uint32_t len = 0;

	for (unsigned i = 4; i < 64; i++)
		ask4[i] = ask6[i] = (uint8_t)i;
	rig_config(&r);
	rig_start(&r);
	in(&r, summed(our_mac, "10.0.0.9", "10.0.0.2", IP_ICMP, 64, ask4, 64, 2), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_int_equal(ip_hdr_parse(&h, 4, p + ETH_HDR, len - ETH_HDR), 0);
	assert_false(h.sum_bad);
	assert_int_equal(p[ETH_HDR + 20], ICMP4_ECHO_REPLY);
	assert_memory_equal(p + ETH_HDR + 24, ask4 + 4, 60);
	assert_int_equal(ip_sum_done(ip_sum(0, p + ETH_HDR + 20, 64)), 0);
	rig_flush(&r);
	in(&r, summed(our_mac, "fd01::9", "fd00::2", IP_ICMP6, 3, ask6, 63, 2), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_int_equal(p[ETH_HDR + 40], ICMP6_ECHO_REPLY);
	assert_memory_equal(p + ETH_HDR + 44, ask6 + 4, 59);
	rig_flush(&r);
	ask4[2] ^= 1; /* a broken sum */
	in(&r,
	   ip_frame(our_mac, &(struct addr) {.family = 4, .ip = {10, 0, 0, 9}},
		    &r.config.addrs[0].ip, IP_ICMP, 64, ask4, 64),
	   1);
	assert_int_equal(COUNTED(&r, icmp_sum_bad), 1);
	in(&r, summed(everybody, "10.0.0.9", "10.0.0.2", IP_ICMP, 64, ask4, 64, 2), 1);
	assert_null(only(&r, &len)); /* not to a broadcast */
	for (unsigned i = 0; i < 300; i++) {
		in(&r, summed(our_mac, "10.0.0.9", "10.0.0.2", IP_ICMP, 64, ask4, 64, 2), SECOND);
		rig_flush(&r);
	}
	assert_int_equal(COUNTED(&r, answer_limited), 100);
	in(&r, summed(our_mac, "10.0.0.9", "10.0.0.2", IP_ICMP, 64, ask4, 64, 2), 2 * SECOND);
	assert_non_null(only(&r, &len));
	rig_stop(&r);
}

/* ---- segments ---- */

static void test_tcp_in(void **state)
{
	struct rig r;
	struct rte_mbuf *m;

	rig_config(&r);
	rig_start(&r);
	m = tcp_frame("192.0.2.1", "10.0.0.2");
	net_in(r.net, &m, 1, 1, &r.rx);
	assert_int_equal(r.rx.n_segs, 1);
	assert_int_equal(r.rx.segs[0].tcp_len, 24);
	assert_int_equal(r.rx.segs[0].gso_size, 0);
	assert_int_equal(r.rx.segs[0].src.port, 9001);
	assert_int_equal(r.rx.segs[0].dst.port, 443);
	assert_int_equal(r.rx.segs[0].tcp[20], 'a');
	assert_true(addr_same_ip(&r.rx.segs[0].dst, &r.config.addrs[0].ip));
	assert_ptr_equal(r.rx.segs[0].m, m);
	/* The port vouches: a partial sum is not looked at; and a merged run. */
	rte_pktmbuf_mtod(m, uint8_t *)[ETH_HDR + 20 + 16] ^= 1;
	net_in(r.net, &m, 1, 1, &r.rx);
	assert_int_equal(r.rx.n_segs, 0);
	assert_int_equal(COUNTED(&r, tcp_sum_bad), 1);
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_LRO;
	m->tso_segsz = 1448;
	net_in(r.net, &m, 1, 1, &r.rx);
	assert_int_equal(r.rx.n_segs, 1);
	assert_int_equal(r.rx.segs[0].gso_size, 1448);
	m->tso_segsz = 0;
	net_in(r.net, &m, 1, 1, &r.rx);
	assert_int_equal(r.rx.segs[0].gso_size, 1460);
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
	net_in(r.net, &m, 1, 1, &r.rx);
	assert_int_equal(r.rx.n_segs, 0);
	rte_pktmbuf_free(m);
	in(&r, tcp_frame("fd01::1", "fd00::2"), 1);
	assert_int_equal(r.rx.n_segs, 1);
	assert_int_equal(COUNTED(&r, rx_packets), 6);
	rig_stop(&r);
}

static void test_refused(void **state)
{
	static const struct {
		const char *from, *to;
		unsigned at; /* a byte of the frame to change ... */
		uint8_t flip;
		unsigned cut; /* ... or bytes to cut off */
		enum count_id counted;
	} rows[] = {
		{"10.0.0.9", "10.0.0.2", 0, 0, 0, N_COUNTS}, /* the frame itself is good */
		{"10.0.0.9", "10.0.0.2", 5, 1, 0, COUNT_net_rx_other_mac},
		{"10.0.0.9", "10.0.0.2", 12, 1, 0, COUNT_net_rx_other_type},
		{"10.0.0.9", "10.0.0.2", 0, 0, 46, COUNT_net_rx_runt},
		{"10.0.0.9", "10.0.0.2", 0, 0, 1, COUNT_net_ip_malformed},
		{"10.0.0.9", "10.0.0.2", 14, 0x10, 0, COUNT_net_ip_malformed},
		{"10.0.0.9", "10.0.0.2", 22, 1, 0, COUNT_net_ip_sum_bad},
		{"127.0.0.1", "10.0.0.2", 0, 0, 0, COUNT_net_ip_martian},
		{"224.0.0.1", "10.0.0.2", 0, 0, 0, COUNT_net_ip_martian},
		{"10.0.0.2", "10.0.0.2", 0, 0, 0, COUNT_net_ip_martian},
		{"::1", "fd00::2", 0, 0, 0, COUNT_net_ip_martian},
		{"::", "fd00::2", 0, 0, 0, COUNT_net_ip_martian},
		{"10.0.0.9", "10.0.0.3", 0, 0, 0, COUNT_net_ip_not_ours},
		{"10.0.0.9", "10.0.0.255", 0, 0, 0, COUNT_net_ip_not_ours},
		{"fd00::9", "ff02::1", 0, 0, 0, COUNT_net_ip_not_ours},
		{"fe80::9", "fe80::ff:fe00:1", 0, 0, 0, COUNT_net_ip_other_proto}, /* not for TCP */
		{"10.0.0.9", "10.0.0.2", 40, 1, 0, COUNT_net_tcp_sum_bad},
		{"fd00::9", "fd00::2", 70, 1, 0, COUNT_net_tcp_sum_bad},
		{"fd00::9", "fd00::2", 0, 1, 0,
		 COUNT_net_ip_other_proto}, /* to a group of stations */
	};
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rte_mbuf *m = tcp_frame(rows[i].from, rows[i].to);

		memset(&r.counts, 0, sizeof(r.counts));
		rte_pktmbuf_mtod(m, uint8_t *)[rows[i].at] ^= rows[i].flip;
		rte_pktmbuf_trim(m, (uint16_t)rows[i].cut);
		in(&r, m, 1);
		if (rows[i].counted == N_COUNTS ? r.rx.n_segs != 1
						: r.rx.n_segs || r.counts.v[rows[i].counted] != 1)
			fail_msg("row %u: %u segments", i, r.rx.n_segs);
	}
	rig_stop(&r);
}

static void test_fragments_and_short(void **state)
{
	uint8_t body[24] = {0};
	struct rte_mbuf *m = tcp_frame("10.0.0.9", "10.0.0.2");
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *) + ETH_HDR;
	uint16_t sum;
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	p[6] = 0x20;
	memset(p + 10, 0, 2);
	sum = ip_sum_done(ip_sum(0, p, 20));
	memcpy(p + 10, &sum, 2);
	in(&r, m, 1);
	assert_int_equal(COUNTED(&r, ip_fragment), 1);
	in(&r, summed(our_mac, "10.0.0.9", "10.0.0.2", IP_TCP, 64, body, 19, 16), 1);
	assert_int_equal(COUNTED(&r, tcp_short), 1);
	in(&r, summed(our_mac, "10.0.0.9", "10.0.0.2", IP_UDP, 64, body, 24, 6), 1);
	assert_int_equal(COUNTED(&r, ip_other_proto), 1);
	/* In two pieces that fit in one buffer. */
	m = tcp_frame("10.0.0.9", "10.0.0.2");
	rte_pktmbuf_trim(m, 10);
	m->next = rte_pktmbuf_alloc(pool);
	memcpy(rte_pktmbuf_append(m->next, 10), rte_pktmbuf_mtod(m, uint8_t *) + 48, 10);
	m->nb_segs = 2;
	m->pkt_len += 10;
	in(&r, m, 1);
	assert_int_equal(r.rx.n_segs, 1);
	rig_stop(&r);
}

/* ---- hints ---- */

static void test_hints(void **state)
{
	static const struct {
		const char *local; /* source of the quoted segment */
		bool v6;
		uint8_t type, code;
		uint32_t mtu;
		int kind; /* -1: no hint */
		uint32_t hint_mtu;
	} rows[] = {
		{"10.0.0.2", false, ICMP4_UNREACHABLE, ICMP4_NEEDS_FRAG, 1400, NET_TOO_BIG, 1400},
		{"10.0.0.2", false, ICMP4_UNREACHABLE, ICMP4_NEEDS_FRAG, 0, NET_TOO_BIG, 576},
		{"10.0.0.2", false, ICMP4_UNREACHABLE, 1, 0, NET_UNREACHABLE, 0},
		{"10.0.0.3", false, ICMP4_UNREACHABLE, 1, 0, -1, 0},
		{"10.0.0.2", false, 11, 0, 0, -1, 0}, /* time exceeded */
		{"fd00::2", true, ICMP6_TOO_BIG, 0, 1300, NET_TOO_BIG, 1300},
		{"fd00::2", true, ICMP6_TOO_BIG, 0, 68, NET_TOO_BIG, 1280},
		{"fd00::2", true, ICMP6_UNREACHABLE, 0, 0, NET_UNREACHABLE, 0},
		{"fd00::3", true, ICMP6_TOO_BIG, 0, 1300, -1, 0},
	};
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr local = ip(rows[i].local),
			    remote = ip(rows[i].v6 ? "fd05::1" : "192.0.2.9");
		uint8_t body[8 + 40 + 8] = {rows[i].type, rows[i].code};
		size_t n = 8;

		be32_put(body + 4, rows[i].mtu);
		n += ip_hdr_build(body + n, &local, &remote, IP_TCP, 60, 1000, 0);
		be16_put(body + n, 9001);
		be16_put(body + n + 2, 443);
		be32_put(body + n + 4, 12345);
		in(&r,
		   summed(our_mac, rows[i].v6 ? "fd09::1" : "192.0.2.1",
			  rows[i].v6 ? "fd00::2" : "10.0.0.2", rows[i].v6 ? IP_ICMP6 : IP_ICMP, 60,
			  body, n + 8, 2),
		   1);
		if (r.rx.n_hints != (rows[i].kind >= 0))
			fail_msg("row %u: %u hints", i, r.rx.n_hints);
		if (rows[i].kind < 0)
			continue;
		assert_int_equal(r.rx.hints[0].kind, rows[i].kind);
		assert_int_equal(r.rx.hints[0].mtu, rows[i].hint_mtu);
		assert_int_equal(r.rx.hints[0].seq, 12345);
		assert_int_equal(r.rx.hints[0].local.port, 9001);
		remote.port = 443;
		assert_true(addr_same(&r.rx.hints[0].remote, &remote));
	}
	rig_stop(&r);
}

/* ---- out ---- */

static struct tcp_tx segment(const char *from, const char *to, uint32_t payload, uint16_t gso)
{
	struct tcp_tx t = {
		.m = rte_pktmbuf_alloc(pool), .src = ip(from), .dst = ip(to), .gso_size = gso};
	struct rte_mbuf *last = t.m;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(t.m, 20);

	if (!p)
		abort();
	memset(p, 0, 20);
	be16_put(p, t.src.port);
	be16_put(p + 2, t.dst.port);
	p[12] = 5 << 4;
	t.m->l4_len = 20;
	while (payload) {
		uint32_t n = MIN(payload, 333u); /* odd pieces */
		struct rte_mbuf *s = rte_pktmbuf_alloc(pool);

		memset(rte_pktmbuf_append(s, (uint16_t)n), (int)n, n);
		last->next = s;
		last = s;
		t.m->nb_segs++;
		t.m->pkt_len += n;
		payload -= n;
	}
	return t;
}

static void out(struct rig *r, struct tcp_tx t, uint64_t now_us)
{
	assert_int_equal(net_out(r->net, &t, 1, now_us), 1);
}

static void test_resolve(void **state)
{
	struct rte_mbuf **m;
	const uint8_t *p;
	struct rig r;
	struct arp a;
	uint32_t len = 0;

	rig_config(&r);
	rig_start(&r);
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1000", 10, 0), 0);
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1001", 10, 0), 0);
	p = only(&r, &len); /* one question for both */
	assert_non_null(p);
	assert_memory_equal(p, everybody, 6);
	assert_int_equal(arp_parse(&a, p + ETH_HDR, len - ETH_HDR), 0);
	assert_int_equal(a.op, ARP_REQUEST);
	assert_true(addr_same(&a.sender, &r.config.addrs[0].ip));
	assert_int_equal(a.target.ip[3], 9);
	rig_flush(&r);
	in(&r, arp_frame(ARP_REPLY, "10.0.0.8", "10.0.0.2"), 10); /* unasked: no entry, no frame */
	assert_null(only(&r, &len));
	in(&r, arp_frame(ARP_REPLY, "10.0.0.9", "10.0.0.2"), 10);
	assert_int_equal(net_ready(r.net, &m), 2);
	for (unsigned i = 0; i < 2; i++) {
		struct ip_hdr h;

		p = rte_pktmbuf_mtod(m[i], const uint8_t *);
		assert_memory_equal(p, peer_mac, 6);
		assert_int_equal(ip_hdr_parse(&h, 4, p + ETH_HDR, m[i]->pkt_len - ETH_HDR), 0);
		assert_false(h.sum_bad);
		assert_int_equal(h.len, 50);
		assert_int_equal(h.ttl, 64);
		assert_int_equal(be16_get(p + ETH_HDR + 22), 1000 + i);
	}
	net_sent(r.net, 0);
	rte_pktmbuf_free(m[0]);
	net_sent(r.net, 1); /* the port took one */
	assert_int_equal(net_ready(r.net, &m), 1);
	assert_int_equal(be16_get(rte_pktmbuf_mtod(m[0], const uint8_t *) + ETH_HDR + 22), 1001);
	rig_flush(&r);
	/* Known for 30 s; then used while it is asked again, by unicast. */
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1002", 10, 0), 29 * SECOND);
	assert_int_equal(net_ready(r.net, &m), 1);
	rig_flush(&r);
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1003", 10, 0), 31 * SECOND);
	assert_int_equal(net_ready(r.net, &m), 2);
	assert_memory_equal(rte_pktmbuf_mtod(m[0], uint8_t *), peer_mac, 6);
	assert_int_equal(be16_get(rte_pktmbuf_mtod(m[0], uint8_t *) + 12), ETH_ARP);
	rig_flush(&r);
	rig_stop(&r);
}

static void test_resolve6(void **state)
{
	struct addr group = ip("ff02::1:ff00:9");
	struct rte_mbuf **m;
	const uint8_t *p;
	struct ip_hdr h;
	struct rig r;
	struct nd nd;
	uint32_t len = 0;

	rig_config(&r);
	rig_start(&r);
	out(&r, segment("[fd00::2]:80", "[fd00::9]:1000", 11, 0), 0);
	p = only(&r, &len);
	assert_non_null(p);
	assert_int_equal(p[0], 0x33);
	assert_int_equal(ip_hdr_parse(&h, 6, p + ETH_HDR, len - ETH_HDR), 0);
	assert_true(addr_same(&h.dst, &group));
	assert_int_equal(nd_parse(&nd, p + ETH_HDR + 40, ND_LEN), 0);
	assert_int_equal(nd.type, ICMP6_NS);
	assert_memory_equal(nd.mac, our_mac, 6);
	rig_flush(&r);
	in(&r, nd_frame(ICMP6_NA, "fd00::9", "fd00::2", "fd00::9", 255, true), 1);
	p = only(&r, &len);
	assert_non_null(p);
	assert_memory_equal(p, peer_mac, 6);
	rig_flush(&r);
	/* The gateway has a link-local address; it is asked from ours. */
	out(&r, segment("[fd00::2]:80", "[2001:db8::9]:1000", 11, 0), 0);
	p = only(&r, &len);
	assert_non_null(p);
	assert_int_equal(ip_hdr_parse(&h, 6, p + ETH_HDR, len - ETH_HDR), 0);
	assert_int_equal(h.src.ip[0], 0xfe);
	rig_flush(&r);
	in(&r, nd_frame(ICMP6_NA, "fe80::fe", "fe80::ff:fe00:1", "fe80::fe", 255, true), 1);
	assert_int_equal(net_ready(r.net, &m), 1);
	rig_flush(&r);
	rig_stop(&r);
}

static void test_no_answer(void **state)
{
	struct net_rx tick;
	struct rte_mbuf **m;
	uint64_t now = 0;
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	assert_int_equal(net_tick(r.net, 0, &tick), UINT64_MAX);
	for (unsigned i = 0; i < 20; i++) /* to the gateway; four of the oldest go */
		out(&r, segment("10.0.0.2:80", "192.0.2.9:1000", i, 0), 0);
	assert_int_equal(COUNTED(&r, wait_full), 4);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(net_ready(r.net, &m), 1);
		rig_flush(&r);
		now = net_tick(r.net, i * SECOND - 1, &tick);
		assert_int_equal(now, i * SECOND);
		net_tick(r.net, now, &tick);
		assert_int_equal(tick.n_hints, i == 3 ? 16 : 0);
	}
	assert_int_equal(net_ready(r.net, &m), 0);
	assert_int_equal(tick.hints[0].kind, NET_NO_NEIGHBOUR);
	assert_int_equal(tick.hints[0].remote.port, 1000);
	assert_int_equal(tick.hints[0].local.port, 80);
	assert_int_equal(net_tick(r.net, now + SECOND, &tick), UINT64_MAX);
	assert_int_equal(tick.n_hints, 0);
	rig_stop(&r);
}

static void test_nowhere(void **state)
{
	static const char *const rows[] = {"10.0.0.2:5", "127.0.0.1:5", "224.0.0.5:5",
					   "192.0.2.1:5"};
	struct net_rx tick;
	struct rig r;

	rig_config(&r);
	r.config.gateway4 = (struct addr) {0};
	rig_start(&r);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		out(&r, segment("10.0.0.2:80", rows[i], 5, 0), 0);
		net_tick(r.net, 0, &tick);
		assert_int_equal(tick.n_hints, 1);
		assert_int_equal(COUNTED(&r, no_neighbour), i + 1);
	}
	rig_stop(&r);
}

static void test_fixed_gateway(void **state)
{
	const uint8_t *p;
	struct rig r;
	uint32_t len = 0;

	rig_config(&r);
	memcpy(r.config.gateway4_mac, gw_mac, 6);
	rig_start(&r);
	in(&r, arp_frame(ARP_REQUEST, "10.0.0.254", "10.0.0.2"), 1); /* cannot move it */
	rig_flush(&r);
	out(&r, segment("10.0.0.2:80", "192.0.2.9:1000", 5, 0), 1000 * SECOND);
	p = only(&r, &len);
	assert_non_null(p);
	assert_memory_equal(p, gw_mac, 6);
	rig_stop(&r);
}

static void test_gateway_off_prefix(void **state)
{
	struct rte_mbuf **m;
	struct rig r;

	rig_config(&r);
	assert_int_equal(net_prefix_parse(&r.config.addrs[0], "10.0.0.2/32"), 0);
	rig_start(&r);
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1000", 5, 0), 0);
	assert_int_equal(net_ready(r.net, &m), 1);
	rig_flush(&r);
	in(&r, arp_frame(ARP_REPLY, "10.0.0.9", "10.0.0.2"), 1); /* not who was asked */
	assert_int_equal(net_ready(r.net, &m), 0);
	in(&r, arp_frame(ARP_REPLY, "10.0.0.254", "10.0.0.2"), 1);
	assert_int_equal(net_ready(r.net, &m), 1);
	assert_memory_equal(rte_pktmbuf_mtod(m[0], uint8_t *), peer_mac, 6);
	rig_stop(&r);
}

static void test_learn(void **state)
{
	struct net_neigh told = {.ip = ip("10.0.0.9")},
			 foreign = {.ip = ip("10.9.9.9"), .asked_us = true};
	struct rte_mbuf **m;
	struct rig r;

	memcpy(told.mac, peer_mac, 6);
	rig_config(&r);
	rig_start(&r);
	net_learn(r.net, &told, 1, 0); /* nobody asked here: not kept */
	net_learn(r.net, &foreign, 1, 0);
	out(&r, segment("10.0.0.2:80", "10.0.0.9:1000", 5, 0), 0);
	assert_int_equal(net_ready(r.net, &m), 1);
	rig_flush(&r);
	net_learn(r.net, &told, 1, 5);
	assert_int_equal(net_ready(r.net, &m), 1);
	assert_memory_equal(rte_pktmbuf_mtod(m[0], uint8_t *), peer_mac, 6);
	rig_stop(&r);
}

/* The kernel gets the answers: whoever speaks to us is answered where the frame came from. */
static void test_shared(void **state)
{
	struct rte_mbuf **m;
	struct rig r;

	for (unsigned shared = 0; shared < 2; shared++) {
		rig_config(&r);
		r.config.shared = shared;
		rig_start(&r);
		in(&r, tcp_frame("10.0.0.9", "10.0.0.2"), 1);
		out(&r, segment("10.0.0.2:80", "10.0.0.9:1000", 5, 0), 2);
		assert_int_equal(net_ready(r.net, &m), 1); /* a question, or the segment */
		assert_memory_equal(rte_pktmbuf_mtod(m[0], uint8_t *),
				    shared ? peer_mac : everybody, 6);
		rig_stop(&r);
	}
}

/* However many ask, the table keeps its size, and whom we talk to stays known. */
static void test_table_is_bounded(void **state)
{
	struct rte_mbuf **m;
	char from[32];
	struct rig r;

	rig_config(&r);
	assert_int_equal(net_prefix_parse(&r.config.addrs[0], "10.0.0.2/8"), 0);
	rig_start(&r);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(from, sizeof(from), "10.1.%u.%u", i >> 8, i & 255);
		in(&r, arp_frame(ARP_REQUEST, from, "10.0.0.2"), 1);
		rig_flush(&r);
		if (i % 100 == 0) { /* the gateway has a place of its own */
			out(&r, segment("10.0.0.2:80", "192.0.2.9:1000", 5, 0), 1);
			if (i == 0) {
				in(&r, arp_frame(ARP_REPLY, "10.0.0.254", "10.0.0.2"), 1);
				assert_int_equal(net_ready(r.net, &m), 2);
			} else {
				assert_int_equal(net_ready(r.net, &m), 1);
			}
			rig_flush(&r);
		}
	}
	rig_stop(&r);
}

static void test_checksums_out(void **state)
{
	static const struct {
		bool v6, offload;
		uint32_t payload;
	} rows[] = {{false, false, 0},	 {false, false, 1},   {false, false, 1000},
		    {true, false, 1001}, {false, true, 1000}, {true, true, 1001}};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const char *from = rows[i].v6 ? "[fd00::2]:80" : "10.0.0.2:80";
		const char *to = rows[i].v6 ? "[fd00::9]:81" : "10.0.0.9:81";
		struct net_neigh peer = {.ip = ip(rows[i].v6 ? "fd00::9" : "10.0.0.9"),
					 .asked_us = true};
		struct addr src = ip(from), dst = ip(to);
		uint8_t flat[2048];
		struct rte_mbuf **m;
		struct ip_hdr h;
		uint64_t pseudo;
		struct rig r;
		uint16_t sum;

		rig_config(&r);
		r.config.tx_csum = r.config.tso = rows[i].offload;
		rig_start(&r);
		net_learn(r.net, &peer, 1, 0);
		out(&r, segment(from, to, rows[i].payload, 0), 0);
		assert_int_equal(net_ready(r.net, &m), 1);
		assert_int_equal(m[0]->pkt_len,
				 ETH_HDR + (rows[i].v6 ? 40 : 20) + 20 + rows[i].payload);
		const uint8_t *p = rte_pktmbuf_read(m[0], 0, m[0]->pkt_len, flat);

		assert_int_equal(
			ip_hdr_parse(&h, rows[i].v6 ? 6 : 4, p + ETH_HDR, m[0]->pkt_len - ETH_HDR),
			0);
		pseudo = ip_sum_pseudo(&src, &dst, IP_TCP, h.len - h.hdr_len);
		memcpy(&sum, p + ETH_HDR + h.hdr_len + 16, 2);
		assert_int_equal(!!(m[0]->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM), rows[i].offload);
		if (rows[i].offload)
			assert_int_equal(sum, ip_sum_fold(pseudo));
		else
			assert_int_equal(ip_sum_done(ip_sum(pseudo, p + ETH_HDR + h.hdr_len,
							    h.len - h.hdr_len)),
					 0);
		assert_int_equal(m[0]->l2_len, 14);
		assert_int_equal(m[0]->l3_len, h.hdr_len);
		assert_int_equal(m[0]->l4_len, 20);
		rig_stop(&r);
	}
}

static void test_sizes_out(void **state)
{
	static const struct {
		uint32_t payload;
		uint16_t gso;
		bool tso, sent, cut;
	} rows[] = {
		{1460, 0, true, true, false},	  {1461, 0, true, false, false},
		{1460, 1460, true, true, false},  {1461, 1460, true, true, true},
		{3000, 1461, true, false, false}, {3000, 1460, false, false, false},
		{65000, 1460, true, true, true},  {65496, 1460, true, false, false},
	};
	struct net_neigh peer = {.ip = ip("10.0.0.9"), .asked_us = true};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct rte_mbuf **m;
		struct rig r;

		rig_config(&r);
		r.config.tso = rows[i].tso;
		rig_start(&r);
		net_learn(r.net, &peer, 1, 0);
		out(&r, segment("10.0.0.2:80", "10.0.0.9:81", rows[i].payload, rows[i].gso), 0);
		if (net_ready(r.net, &m) != rows[i].sent || COUNTED(&r, tx_unfit) == rows[i].sent)
			fail_msg("row %u", i);
		if (rows[i].sent)
			assert_int_equal(!!(m[0]->ol_flags & RTE_MBUF_F_TX_TCP_SEG), rows[i].cut);
		rig_stop(&r);
	}
}

static void test_room(void **state)
{
	struct net_neigh peer = {.ip = ip("10.0.0.9"), .asked_us = true};
	struct tcp_tx t;
	unsigned n = 0;
	struct rig r;

	rig_config(&r);
	rig_start(&r);
	net_learn(r.net, &peer, 1, 0);
	while (net_room(r.net)) {
		out(&r, segment("10.0.0.2:80", "10.0.0.9:81", 0, 0), 0);
		n++;
	}
	assert_in_range(n, 256, NET_READY - 64);
	t = segment("10.0.0.2:80", "10.0.0.9:81", 0, 0);
	assert_int_equal(net_out(r.net, &t, 1, 0), 0); /* it stays ours */
	rte_pktmbuf_free(t.m);
	for (unsigned i = 0; i < NET_READY; i++) /* answers have their own places, and an end */
		in(&r, arp_frame(ARP_REQUEST, "10.0.0.9", "10.0.0.2"), 1);
	assert_int_equal(COUNTED(&r, ready_full), n);
	rig_stop(&r);
}

/* ---- settings ---- */

static void test_settings(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"192.0.2.7/24", 0},
		{"2001:db8::7/64", 0},
		{"192.0.2.7/32", 0},
		{"192.0.2.7/1", 0},
		{"fd00::1/128", 0},
		{"192.0.2.7", ERR_MALFORMED},
		{"192.0.2.7/", ERR_MALFORMED},
		{"192.0.2.7/33", ERR_MALFORMED},
		{"192.0.2.7/0", ERR_MALFORMED},
		{"fd00::1/129", ERR_MALFORMED},
		{"192.0.2.7:80/24", ERR_MALFORMED},
		{"192.0.2.7/2 4", ERR_MALFORMED},
		{"192.0.2.7/-1", ERR_MALFORMED},
		{"127.0.0.1/8", ERR_MALFORMED},
		{"::1/128", ERR_MALFORMED},
		{"", ERR_MALFORMED},
		{"/24", ERR_MALFORMED},
		{"ff02::1/64", ERR_MALFORMED},
		{"192.0.2.7/00000024", ERR_MALFORMED},
	};
	struct addr local, remote = ip("192.0.2.5");
	struct net_prefix p;
	struct rig r;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (net_prefix_parse(&p, rows[i].text) != rows[i].rc)
			fail_msg("%s", rows[i].text);
	rig_config(&r);
	r.config.n_addrs = 0;
	assert_non_null(net_config_bad(&r.config));
	rig_config(&r);
	r.config.gateway4 = ip("fd00::1");
	assert_non_null(net_config_bad(&r.config));
	rig_config(&r);
	r.config.gateway4 = ip("10.0.0.2");
	assert_non_null(net_config_bad(&r.config));
	rig_config(&r);
	r.config.mtu = 1279;
	assert_non_null(net_config_bad(&r.config));
	rig_config(&r);
	r.config.n_addrs = 3;
	assert_int_equal(net_prefix_parse(&r.config.addrs[2], "192.0.2.130/25"), 0);
	rig_start(&r);
	assert_true(net_source(r.net, &remote, &local)); /* 192.0.2.5 is not in /25 */
	assert_true(addr_same(&local, &r.config.addrs[0].ip));
	remote = ip("192.0.2.129");
	assert_true(net_source(r.net, &remote, &local));
	assert_true(addr_same(&local, &r.config.addrs[2].ip));
	assert_true(net_is_ours(r.net, &local));
	assert_false(net_is_ours(r.net, &remote));
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_nd),
		cmocka_unit_test(test_announce),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_tcp_in),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fragments_and_short),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_resolve6),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_nowhere),
		cmocka_unit_test(test_fixed_gateway),
		cmocka_unit_test(test_gateway_off_prefix),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_table_is_bounded),
		cmocka_unit_test(test_checksums_out),
		cmocka_unit_test(test_sizes_out),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_settings),
	};
	struct eal_config ec = {.mem_mb = 64};
	char err[PORT_ERR];

	if (eal_start(&ec, NULL, err) < 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	pool = rte_pktmbuf_pool_create("test", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
	return pool ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
