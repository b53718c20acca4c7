/* fuzz_net.c - frames of any bytes into net. The input is a run of frames: a flag byte (bit 0: the
 * port vouches for the checksum; bit 1: merged; bit 2: keep our MAC as destination; bit 3: mend the
 * IPv4 header's and ICMP's checksum), two bytes of length, the frame. Time passes between. */
#include <stdlib.h>

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "dataplane/wire/ip_hdr.h"
#include "drivers/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { VOUCHED = 1, MERGED = 2, TO_US = 4, MENDED = 8 };

static struct rte_mempool *pool;
static struct counts counts;
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};

static void start(void)
{
	struct eal_config ec = {.mem_mb = 32};
	char err[PORT_ERR];

	if (eal_start(&ec, NULL, err) < 0)
		abort();
	pool = rte_pktmbuf_pool_create("fuzz", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
	if (!pool)
		abort();
}

static struct net *house(void)
{
	struct net_config c = {.mtu = 1500, .n_addrs = 2, .pool = pool, .counts = &counts};
	struct net *net;

	memcpy(c.mac, our_mac, 6);
	if (net_prefix_parse(&c.addrs[0], "10.0.0.2/24") < 0 ||
	    net_prefix_parse(&c.addrs[1], "fd00::2/64") < 0 || net_config_bad(&c))
		abort();
	net = net_init(&c);
	if (!net)
		abort();
	return net;
}

static void mend4(uint8_t *ip, size_t len)
{
	size_t hdr = (ip[0] & 15) * 4u, end = be16_get(ip + 2);
	uint16_t sum;

	if (hdr < IP4_HDR || hdr > len)
		return;
	memset(ip + 10, 0, 2);
	sum = ip_sum_done(ip_sum(0, ip, hdr));
	memcpy(ip + 10, &sum, 2);
	if (ip[9] != IP_ICMP || end < hdr + ICMP_HDR || end > len)
		return;
	memset(ip + hdr + 2, 0, 2);
	sum = ip_sum_done(ip_sum(0, ip + hdr, end - hdr));
	memcpy(ip + hdr + 2, &sum, 2);
}

/* Good enough to pass the checksum where no extension header stands between. */
static void mend6(uint8_t *ip, size_t len)
{
	struct addr src = {.family = 6}, dst = {.family = 6};
	size_t n = be16_get(ip + 4);
	uint16_t sum;

	if (ip[6] != IP_ICMP6 || n < ICMP_HDR || IP6_HDR + n > len)
		return;
	memcpy(src.ip, ip + 8, 16);
	memcpy(dst.ip, ip + 24, 16);
	memset(ip + IP6_HDR + 2, 0, 2);
	sum = ip_sum_done(
		ip_sum(ip_sum_pseudo(&src, &dst, IP_ICMP6, (uint32_t)n), ip + IP6_HDR, n));
	memcpy(ip + IP6_HDR + 2, &sum, 2);
}

static struct rte_mbuf *frame(uint8_t flags, const uint8_t *p, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *to = m ? (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len) : NULL;

	if (!to)
		abort();
	memcpy(to, p, len);
	if (flags & TO_US && len >= 6)
		memcpy(to, our_mac, 6);
	if (flags & MENDED && len >= ETH_HDR + IP4_HDR && be16_get(to + 12) == ETH_IP4)
		mend4(to + ETH_HDR, len - ETH_HDR);
	if (flags & MENDED && len >= ETH_HDR + IP6_HDR && be16_get(to + 12) == ETH_IP6)
		mend6(to + ETH_HDR, len - ETH_HDR);
	m->ol_flags = (flags & VOUCHED ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0) |
		      (flags & MERGED ? RTE_MBUF_F_RX_LRO : 0);
	return m;
}

/* What tcp relies on, and something to send so that neighbours are asked for. */
static void use(struct net *net, const struct net_rx *rx, uint64_t now_us)
{
	for (unsigned i = 0; i < rx->n_segs; i++) {
		const struct tcp_seg *s = &rx->segs[i];
		const uint8_t *end = rte_pktmbuf_mtod_offset(s->m, uint8_t *, s->m->data_len);
		struct tcp_tx t = {.m = rte_pktmbuf_alloc(pool), .src = s->dst, .dst = s->src};
		char *hdr = t.m ? rte_pktmbuf_append(t.m, 20) : NULL;

		if (s->tcp_len < 20 || s->tcp + s->tcp_len > end || !net_is_ours(net, &s->dst) ||
		    !hdr)
			abort();
		memset(hdr, 0, 20);
		t.m->l4_len = 20;
		if (!net_out(net, &t, 1, now_us))
			rte_pktmbuf_free(t.m);
	}
	for (unsigned i = 0; i < rx->n_hints; i++)
		if (!net_is_ours(net, &rx->hints[i].local))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	static struct net_rx rx, tick;
	struct rte_mbuf **ready, *m;
	uint64_t now_us = 1;
	struct net *net;

	if (!pool)
		start();
	net = house();
	for (unsigned i = 0; i < 64 && rd_left(&r) >= 3; i++, now_us += 300000) {
		uint8_t flags = rd_u8(&r);
		size_t n = rd_u16(&r);

		n = MIN(MIN(n, rd_left(&r)), 1900u);
		m = frame(flags, rd_bytes(&r, n), n);
		net_in(net, &m, 1, now_us, &rx);
		use(net, &rx, now_us);
		rte_pktmbuf_free(m);
		net_tick(net, now_us, &tick);
		n = net_ready(net, &ready);
		rte_pktmbuf_free_bulk(ready, (unsigned)n);
		net_sent(net, (unsigned)n);
	}
	net_fini(net);
	if (rte_mempool_in_use_count(pool) != 0)
		abort(); /* a frame was lost on the way */
	return 0;
}
