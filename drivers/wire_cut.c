/* wire_cut.c - the wire's own checksum and TCP segmentation, as a card would do them. */
#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "drivers/wire.h"

#define ETH_LEN	   14
#define SUPER_MAX  (65535 + ETH_LEN)
#define ONLY_LAST  (RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG)
#define ONLY_FIRST RTE_TCP_CWR_FLAG

struct cut {
	uint8_t *frame;
	uint32_t hdr_len; /* Ethernet, IP and TCP */
	uint32_t l3_len, len;
	bool v6;
};

static void complete(const struct cut *c, uint8_t *frame, uint32_t len, uint16_t nth)
{
	void *ip = frame + ETH_LEN;
	struct rte_tcp_hdr *tcp = (void *)(frame + ETH_LEN + c->l3_len);

	tcp->cksum = 0;
	if (c->v6) {
		struct rte_ipv6_hdr *h = ip;

		h->payload_len = rte_cpu_to_be_16((uint16_t)(len - ETH_LEN - c->l3_len));
		tcp->cksum = rte_ipv6_udptcp_cksum(h, tcp);
		return;
	}
	struct rte_ipv4_hdr *h = ip;

	h->total_length = rte_cpu_to_be_16((uint16_t)(len - ETH_LEN));
	h->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(h->packet_id) + nth));
	h->hdr_checksum = 0;
	h->hdr_checksum = rte_ipv4_cksum(h);
	tcp->cksum = rte_ipv4_udptcp_cksum(h, tcp);
}

static void cut_all(const struct cut *c, uint32_t size, wire_put put, void *arg)
{
	uint8_t piece[WIRE_FRAME_MAX];
	uint32_t payload = c->len - c->hdr_len, at = 0;
	uint16_t nth = 0;

	do {
		uint32_t n = payload - at < size ? payload - at : size;
		struct rte_tcp_hdr *tcp = (void *)(piece + ETH_LEN + c->l3_len);

		memcpy(piece, c->frame, c->hdr_len);
		memcpy(piece + c->hdr_len, c->frame + c->hdr_len + at, n);
		tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + at);
		if (at + n < payload)
			tcp->tcp_flags &= (uint8_t)~ONLY_LAST;
		if (at)
			tcp->tcp_flags &= (uint8_t)~ONLY_FIRST;
		complete(c, piece, c->hdr_len + n, nth++);
		put(arg, piece, c->hdr_len + n);
		at += n;
	} while (at < payload);
}

bool wire_cut(struct rte_mbuf *m, unsigned mtu, wire_put put, void *arg)
{
	static __thread uint8_t super[SUPER_MAX];
	struct cut c = {.frame = super, .len = m->pkt_len, .l3_len = m->l3_len};
	bool seg = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	uint32_t size = 0;

	if (m->pkt_len > sizeof(super) || m->pkt_len < ETH_LEN ||
	    (!seg && m->pkt_len > mtu + ETH_LEN))
		return false;
	for (uint32_t at = 0; m; at += m->data_len, m = m->next) {
		if (!at) {
			c.v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;
			c.hdr_len = (uint32_t)m->l2_len + m->l3_len + m->l4_len;
			size = seg ? m->tso_segsz : c.len;
			seg |= !!(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
		}
		memcpy(super + at, rte_pktmbuf_mtod(m, void *), m->data_len);
	}
	if (!seg) {
		put(arg, super, c.len);
		return true;
	}
	if (!size || c.hdr_len > c.len || c.hdr_len + (size < c.len ? size : 0) > mtu + ETH_LEN ||
	    c.len > SUPER_MAX)
		return false;
	cut_all(&c, size, put, arg);
	return true;
}
