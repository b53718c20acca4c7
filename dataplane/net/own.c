/* own.c - frames that net makes itself: announcements, answers, questions; and the ready frames. */
#include "dataplane/net/internal.h"

static const uint8_t broadcast[ETH_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void net_push(struct net *net, struct rte_mbuf *m)
{
	if (net->n_ready == NET_READY) {
		count(net->counts, net_ready_full);
		rte_pktmbuf_free(m);
		return;
	}
	count(net->counts, net_tx_packets);
	count_add(net->counts, net_tx_bytes, m->pkt_len);
	net->ready[net->n_ready++] = m;
}

unsigned net_ready(struct net *net, struct rte_mbuf ***m)
{
	*m = net->ready;
	return net->n_ready;
}

void net_sent(struct net *net, unsigned n)
{
	net->n_ready -= n;
	memmove(net->ready, net->ready + n, net->n_ready * sizeof(net->ready[0]));
}

uint8_t *own_frame(struct net *net, struct rte_mbuf **m, const uint8_t dst[ETH_MAC], uint16_t type,
		   size_t len)
{
	uint8_t *p;

	*m = rte_pktmbuf_alloc(net->config.pool);
	p = *m && ETH_HDR + len <= rte_pktmbuf_tailroom(*m)
		    ? (uint8_t *)rte_pktmbuf_append(*m, (uint16_t)(ETH_HDR + len))
		    : NULL;
	if (!p) {
		rte_pktmbuf_free(*m);
		count(net->counts, net_no_buffer);
		return NULL;
	}
	eth_build(p, dst, net->config.mac, type);
	return p + ETH_HDR;
}

void own_icmp(struct net *net, const uint8_t mac[ETH_MAC], const struct addr *src,
	      const struct addr *dst, uint8_t hop_limit, const uint8_t *body, size_t len)
{
	bool v4 = src->family == 4;
	size_t ip_len = v4 ? IP4_HDR : IP6_HDR;
	uint8_t proto = v4 ? IP_ICMP : IP_ICMP6, *p;
	struct rte_mbuf *m;
	uint16_t sum;

	p = own_frame(net, &m, mac, v4 ? ETH_IP4 : ETH_IP6, ip_len + len);
	if (!p)
		return;
	ip_hdr_build(p, src, dst, proto, hop_limit, (uint32_t)len, net->ip_id++);
	memcpy(p + ip_len, body, len);
	memset(p + ip_len + 2, 0, 2);
	sum = ip_sum_done(
		ip_sum(v4 ? 0 : ip_sum_pseudo(src, dst, proto, (uint32_t)len), p + ip_len, len));
	memcpy(p + ip_len + 2, &sum, 2);
	net_push(net, m);
}

bool own_may_answer(struct net *net, uint64_t now_us)
{
	if (now_us - net->answers_from_us >= ANSWER_SLICE_US) {
		net->answers_from_us = now_us;
		net->n_answers = 0;
	}
	if (net->n_answers == ANSWERS_A_SLICE) {
		count(net->counts, net_answer_limited);
		return false;
	}
	net->n_answers++;
	return true;
}

void own_listener_report(struct net *net)
{
	const struct addr routers = {.family = 6, .ip = {0xff, 2, [15] = 0x16}};
	struct addr groups[NET_ADDRS + 1];
	uint8_t packet[1280], mac[ETH_MAC], *p;
	struct rte_mbuf *m;
	unsigned n = 0;
	size_t len;

	nd_solicited_node(&groups[n++], &net->link_local);
	for (unsigned i = 0; i < net->config.n_addrs; i++)
		if (net->config.addrs[i].ip.family == 6)
			nd_solicited_node(&groups[n++], &net->config.addrs[i].ip);
	len = mld_report_build(packet, sizeof(packet), &net->link_local, groups, n);
	eth_multicast6(mac, &routers);
	p = own_frame(net, &m, mac, ETH_IP6, len);
	if (!p)
		return;
	memcpy(p, packet, len);
	net_push(net, m);
}

static void announce4(struct net *net, const struct addr *ip)
{
	struct arp a = {.op = ARP_REQUEST, .sender = *ip, .target = *ip}; /* RFC 5227 3 */
	struct rte_mbuf *m;
	uint8_t *p = own_frame(net, &m, broadcast, ETH_ARP, ARP_LEN);

	if (!p)
		return;
	memcpy(a.sender_mac, net->config.mac, ETH_MAC);
	arp_build(p, &a);
	net_push(net, m);
}

static void announce6(struct net *net, const struct addr *ip)
{
	const struct addr nodes = {.family = 6, .ip = {0xff, 2, [15] = 1}};
	struct nd nd = {.type = ICMP6_NA, .flags = ND_OVERRIDE, .has_mac = true, .target = *ip};
	uint8_t body[ND_LEN], mac[ETH_MAC];

	memcpy(nd.mac, net->config.mac, ETH_MAC);
	eth_multicast6(mac, &nodes);
	own_icmp(net, mac, ip, &nodes, ND_HOP_LIMIT, body, nd_build(body, &nd));
}

void net_announce(struct net *net, uint64_t now_us)
{
	bool v6 = false;

	for (unsigned i = 0; i < net->config.n_addrs; i++) {
		const struct addr *ip = &net->config.addrs[i].ip;

		v6 |= ip->family == 6;
		if (ip->family == 4)
			announce4(net, ip);
		else
			announce6(net, ip);
	}
	if (v6)
		own_listener_report(net);
}
