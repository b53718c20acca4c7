/* in.c - frames from the port: checked, and sorted into TCP to us, questions, errors, and the rest.
 * The second stage of the walk. */
#include "dataplane/net/internal.h"

#define TCP_HDR 20

static bool tcp_sum_holds(const struct net *net, const struct frame *f)
{
	uint64_t sum;

	switch (f->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
		return true;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		return false;
	default:
		sum = ip_sum_pseudo(&f->ip.src, &f->ip.dst, IP_TCP, f->body_len);
		return ip_sum_done(ip_sum(sum, f->body, f->body_len)) == 0;
	}
}

/* Payload of each merged segment; where the port does not know it, what the link carries. */
static uint16_t merged_size(const struct net *net, const struct frame *f)
{
	unsigned ip = f->ip.hdr_len, tcp = (f->body[12] >> 4) * 4u;

	if (!(f->m->ol_flags & RTE_MBUF_F_RX_LRO))
		return 0;
	return f->m->tso_segsz ? f->m->tso_segsz : (uint16_t)MAX(net->config.mtu - ip - tcp, 1u);
}

/* Whoever speaks TCP to us from the link can be answered where the frame came from. */
static void learn_from_frame(struct net *net, const struct frame *f, struct net_rx *rx)
{
	struct net_neigh heard = {.ip = f->ip.src, .asked_us = true};

	if (!net_on_link(net, &heard.ip) || f->p[ETH_MAC] & 1)
		return;
	memcpy(heard.mac, f->p + ETH_MAC, ETH_MAC);
	neigh_heard(net, &heard, true, f->now_us, rx);
}

static void tcp_to(struct net *net, const struct frame *f, struct net_rx *rx)
{
	struct tcp_seg *s = &rx->segs[rx->n_segs];

	if (f->body_len < TCP_HDR) {
		count(net->counts, net_tcp_short);
		return;
	}
	if (!tcp_sum_holds(net, f)) {
		count(net->counts, net_tcp_sum_bad);
		return;
	}
	*s = (struct tcp_seg) {.m = f->m,
			       .tcp = f->body,
			       .tcp_len = f->body_len,
			       .gso_size = merged_size(net, f),
			       .src = f->ip.src,
			       .dst = f->ip.dst};
	if (net->config.shared)
		learn_from_frame(net, f, rx);
	s->src.port = be16_get(f->body);
	s->dst.port = be16_get(f->body + 2);
	rx->n_segs++;
}

/* ff02::1, or the solicited-node group of an address of ours. */
static bool group_is_ours(const struct net *net, const struct addr *a)
{
	const struct addr nodes = {.family = 6, .ip = {0xff, 2, [15] = 1}};
	struct addr group;

	if (a->family != 6 || !ip_is_multicast(a))
		return false;
	nd_solicited_node(&group, &net->link_local);
	if (addr_same_ip(a, &nodes) || addr_same_ip(a, &group))
		return true;
	for (unsigned i = 0; i < net->config.n_addrs; i++) {
		if (net->config.addrs[i].ip.family != 6)
			continue;
		nd_solicited_node(&group, &net->config.addrs[i].ip);
		if (addr_same_ip(a, &group))
			return true;
	}
	return false;
}

/* Counts why a packet is not for us; true when it is. */
static bool ip_for_us(struct net *net, const struct frame *f)
{
	bool icmp6 = f->ip.proto == IP_ICMP6 && f->ip.src.family == 6;
	/* Duplicate address detection asks from nowhere. */
	bool from_nobody = icmp6 && f->ip.src.ip[0] == 0 && f->ip.ttl == ND_HOP_LIMIT;

	if (f->ip.sum_bad) {
		count(net->counts, net_ip_sum_bad);
		return false;
	}
	if ((ip_never_a_source(&f->ip.src) && !from_nobody) || net_has(net, &f->ip.src)) {
		count(net->counts, net_ip_martian);
		return false;
	}
	if (!net_has(net, &f->ip.dst) && !(icmp6 && group_is_ours(net, &f->ip.dst))) {
		count(net->counts, net_ip_not_ours);
		return false;
	}
	if (f->ip.fragment) {
		count(net->counts, net_ip_fragment);
		return false;
	}
	return true;
}

static void ip_in(struct net *net, struct frame *f, unsigned family, struct net_rx *rx)
{
	if (ip_hdr_parse(&f->ip, family, f->body, f->body_len) < 0) {
		count(net->counts, net_ip_malformed);
		return;
	}
	if (!ip_for_us(net, f))
		return;
	f->body += f->ip.hdr_len;
	f->body_len = f->ip.len - f->ip.hdr_len;
	if (f->ip.proto == IP_TCP && !(f->p[0] & 1) && net_is_ours(net, &f->ip.dst))
		tcp_to(net, f, rx);
	else if (f->ip.proto == (family == 4 ? IP_ICMP : IP_ICMP6))
		icmp_in(net, f, rx);
	else
		count(net->counts, net_ip_other_proto);
}

static bool mac_same(const uint8_t *a, const uint8_t *b)
{
	return be32_get(a) == be32_get(b) && be16_get(a + 4) == be16_get(b + 4);
}

static void frame_in(struct net *net, struct rte_mbuf *m, uint64_t now_us, struct net_rx *rx)
{
	struct frame f = {.m = m, .now_us = now_us};
	uint16_t type;

	if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) < 0) {
		count(net->counts, net_rx_chain);
		return;
	}
	f.p = rte_pktmbuf_mtod(m, const uint8_t *);
	f.len = m->data_len;
	if (f.len < ETH_HDR) {
		count(net->counts, net_rx_runt);
		return;
	}
	if (!(f.p[0] & 1) && !mac_same(f.p, net->config.mac)) {
		count(net->counts, net_rx_other_mac);
		return;
	}
	f.body = f.p + ETH_HDR;
	f.body_len = f.len - ETH_HDR;
	type = be16_get(f.p + 2 * ETH_MAC);
	if (type == ETH_IP4 || type == ETH_IP6)
		ip_in(net, &f, type == ETH_IP4 ? 4 : 6, rx);
	else if (type == ETH_ARP)
		arp_in(net, &f, rx);
	else
		count(net->counts, net_rx_other_type);
}

#define FETCH_AHEAD 2	 /* frames asked for before they are looked at */
#define FETCH_MAX   1536 /* bytes of each: what the second level takes at a time */

/* All of a frame is read soon (checksum, copy), and it lies in another core's or the port's cache.
 */
static void fetch(const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

	for (uint32_t i = 0; i < MIN(m->data_len, FETCH_MAX); i += CACHE_LINE)
		__builtin_prefetch(p + i);
}

void net_in(struct net *net, struct rte_mbuf **m, unsigned n, uint64_t now_us, struct net_rx *rx)
{
	rx->n_segs = rx->n_hints = rx->n_learned = 0;
	n = MIN(n, NET_VEC);
	for (unsigned i = 0; i < n && i < FETCH_AHEAD; i++)
		fetch(m[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + FETCH_AHEAD < n)
			fetch(m[i + FETCH_AHEAD]);
		count_add(net->counts, net_rx_bytes, m[i]->pkt_len);
		frame_in(net, m[i], now_us, rx);
	}
	count_add(net->counts, net_rx_packets, n);
}
