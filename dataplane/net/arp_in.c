/* arp_in.c - ARP and neighbour discovery: answering who we are, hearing who they are. */
#include "dataplane/net/internal.h"

static bool is_nobody(const struct addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->ip, zero, sizeof(zero));
}

static void arp_answer(struct net *net, const struct arp *asked)
{
	struct arp a = {.op = ARP_REPLY, .sender = asked->target, .target = asked->sender};
	struct rte_mbuf *m;
	uint8_t *p = own_frame(net, &m, asked->sender_mac, ETH_ARP, ARP_LEN);

	if (!p)
		return;
	memcpy(a.sender_mac, net->config.mac, ETH_MAC);
	memcpy(a.target_mac, asked->sender_mac, ETH_MAC);
	arp_build(p, &a);
	net_push(net, m);
}

void arp_in(struct net *net, const struct frame *f, struct net_rx *rx)
{
	struct net_neigh heard;
	struct arp a;

	if (arp_parse(&a, f->body, f->body_len) < 0 || a.sender_mac[0] & 1) {
		count(net->counts, net_arp_malformed);
		return;
	}
	if (net_is_ours(net, &a.sender)) {
		count(net->counts, net_address_conflict);
		return;
	}
	if (!net_is_ours(net, &a.target)) {
		/* An announcement still tells of a neighbour that we know. */
		if (!addr_same_ip(&a.sender, &a.target))
			return;
	} else if (a.op == ARP_REQUEST) {
		arp_answer(net, &a);
	}
	if (ip_never_a_source(&a.sender) || !net_on_link(net, &a.sender))
		return; /* a probe (RFC 5227), or of another subnet */
	heard = (struct net_neigh) {.ip = a.sender,
				    .asked_us = a.op == ARP_REQUEST && net_is_ours(net, &a.target)};
	memcpy(heard.mac, a.sender_mac, ETH_MAC);
	neigh_heard(net, &heard, true, f->now_us, rx);
}

static void nd_answer(struct net *net, const struct frame *f, const struct nd *asked)
{
	const struct addr nodes = {.family = 6, .ip = {0xff, 2, [15] = 1}};
	bool dad = is_nobody(&f->ip.src);
	struct nd nd = {.type = ICMP6_NA,
			.flags = ND_OVERRIDE | (dad ? 0 : ND_SOLICITED),
			.has_mac = true,
			.target = asked->target};
	uint8_t body[ND_LEN], mac[ETH_MAC];

	memcpy(nd.mac, net->config.mac, ETH_MAC);
	if (dad)
		eth_multicast6(mac, &nodes);
	else
		memcpy(mac, f->p + ETH_MAC, ETH_MAC);
	own_icmp(net, mac, &nd.target, dad ? &nodes : &f->ip.src, ND_HOP_LIMIT, body,
		 nd_build(body, &nd));
}

/* RFC 4861 7.1.1, 7.1.2 */
void nd_in(struct net *net, const struct frame *f, struct net_rx *rx)
{
	struct net_neigh heard;
	struct nd nd;

	if (f->ip.ttl != ND_HOP_LIMIT || nd_parse(&nd, f->body, f->body_len) < 0 ||
	    (nd.has_mac && nd.mac[0] & 1)) {
		count(net->counts, net_nd_malformed);
		return;
	}
	heard.asked_us = nd.type == ICMP6_NS;
	if (nd.type == ICMP6_NS) {
		if (!net_has(net, &nd.target))
			return;
		nd_answer(net, f, &nd);
		heard.ip = f->ip.src;
	} else {
		if (net_has(net, &nd.target)) {
			count(net->counts, net_address_conflict);
			return;
		}
		heard.ip = nd.target;
	}
	if (!nd.has_mac || is_nobody(&heard.ip) || !net_on_link(net, &heard.ip))
		return;
	memcpy(heard.mac, nd.mac, ETH_MAC);
	neigh_heard(net, &heard, heard.asked_us || nd.flags & ND_OVERRIDE, f->now_us, rx);
}
