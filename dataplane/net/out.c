/* out.c - segments from tcp: wrapped in IP and Ethernet, sent towards their next hop. The last
 * stage of the walk before the port. */
#include "dataplane/net/internal.h"

#define TCP_SUM_AT 16

unsigned net_room(const struct net *net)
{
	return net->n_ready < NET_READY - READY_RESERVE ? NET_READY - READY_RESERVE - net->n_ready
							: 0;
}

/* The sum over a chain from its TCP header on; odd lengths inside it shift what follows. */
static uint16_t chain_sum(const struct rte_mbuf *m, uint64_t acc)
{
	bool odd = false;

	for (; m; m = m->next) {
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

		acc = odd ? ip_sum_odd(acc, p, m->data_len) : ip_sum(acc, p, m->data_len);
		odd ^= m->data_len & 1;
	}
	return ip_sum_done(acc);
}

/* The payload's part may be known already; headers are whole words. */
static uint16_t whole_sum(const struct tcp_tx *t, uint64_t acc)
{
	const uint8_t *header = rte_pktmbuf_mtod(t->m, const uint8_t *);

	return t->summed ? ip_sum_done(ip_sum(acc + t->sum, header, t->m->l4_len))
			 : chain_sum(t->m, acc);
}

/* Before IP is prepended: m begins at the TCP header. */
static void tcp_checksum(const struct net *net, const struct tcp_tx *t, bool cut)
{
	struct rte_mbuf *m = t->m;
	bool v4 = t->src.family == 4;
	uint64_t pseudo = ip_sum_pseudo(&t->src, &t->dst, IP_TCP, cut ? 0 : m->pkt_len);
	uint8_t *field = rte_pktmbuf_mtod(m, uint8_t *) + TCP_SUM_AT;
	uint16_t sum;

	m->ol_flags &= ~RTE_MBUF_F_TX_OFFLOAD_MASK;
	if (net->config.tx_csum) {
		m->ol_flags |=
			RTE_MBUF_F_TX_TCP_CKSUM | (v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
		sum = ip_sum_fold(pseudo);
	} else {
		sum = whole_sum(t, pseudo);
	}
	if (cut) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (v4 ? RTE_MBUF_F_TX_IP_CKSUM : 0);
		m->tso_segsz = t->gso_size;
	}
	memcpy(field, &sum, 2);
}

static bool fits(const struct net *net, const struct tcp_tx *t, size_t ip_len, bool cut)
{
	if (!cut)
		return t->m->pkt_len + ip_len <= net->config.mtu;
	return net->config.tso && t->m->pkt_len + ip_len <= UINT16_MAX &&
	       t->gso_size + t->m->l4_len + ip_len <= net->config.mtu;
}

/* Ethernet (without destination) and IP before the segment. False: it cannot be sent. */
static bool wrap(struct net *net, const struct tcp_tx *t)
{
	size_t ip_len = t->src.family == 4 ? IP4_HDR : IP6_HDR;
	uint32_t tcp_len = t->m->pkt_len;
	bool cut = t->gso_size && tcp_len > (uint32_t)t->m->l4_len + t->gso_size;
	static const uint8_t unknown[ETH_MAC];
	uint8_t *p;

	if (!fits(net, t, ip_len, cut) || rte_pktmbuf_headroom(t->m) < NET_HEADROOM ||
	    t->m->data_len < TCP_SUM_AT + 2) {
		count(net->counts, net_tx_unfit);
		return false;
	}
	tcp_checksum(net, t, cut);
	p = (uint8_t *)rte_pktmbuf_prepend(t->m, (uint16_t)(ETH_HDR + ip_len));
	eth_build(p, unknown, net->config.mac, t->src.family == 4 ? ETH_IP4 : ETH_IP6);
	ip_hdr_build(p + ETH_HDR, &t->src, &t->dst, IP_TCP, HOP_LIMIT, tcp_len, net->ip_id);
	/* A cut frame uses one id for each piece. */
	net->ip_id += cut ? (uint16_t)(tcp_len / t->gso_size + 1) : 1;
	t->m->l2_len = ETH_HDR;
	t->m->l3_len = ip_len;
	return true;
}

/* Where a packet for dst goes: itself when on-link, else the gateway. NULL: nowhere. */
static struct neigh *next_hop(struct net *net, const struct addr *dst, uint64_t now_us)
{
	struct neigh *gw = &net->gateways[dst->family == 6];
	struct addr ip = *dst;

	ip.port = 0;
	if (ip_is_multicast(dst) || ip_never_a_source(dst) || net_has(net, dst))
		return NULL;
	if (net_on_link(net, dst))
		return neigh_get(net, &ip, true, now_us);
	return gw->ip.family ? gw : NULL;
}

unsigned net_out(struct net *net, const struct tcp_tx *tx, unsigned n, uint64_t now_us)
{
	struct neigh *hop = NULL;

	n = MIN(n, net_room(net));
	for (unsigned i = 0; i < n; i++) {
		if (!wrap(net, &tx[i])) {
			rte_pktmbuf_free(tx[i].m);
			continue;
		}
		if (!hop || !i || !addr_same_ip(&tx[i].dst, &tx[i - 1].dst))
			hop = next_hop(net, &tx[i].dst, now_us);
		if (hop)
			neigh_send(net, hop, tx[i].m, now_us);
		else
			neigh_fail(net, tx[i].m);
	}
	return n;
}
