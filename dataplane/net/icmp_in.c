/* icmp_in.c - ICMP and ICMPv6 to us: echo is answered, errors about our segments become hints. */
#include "dataplane/net/internal.h"

#define MTU_FLOOR4 576	/* when a router names none (RFC 1191 4) */
#define MTU_FLOOR6 1280 /* RFC 8201 4: none smaller is believed */

static void hint(struct net *net, const struct frame *f, enum net_hint_kind kind, uint32_t mtu,
		 struct net_rx *rx)
{
	struct icmp_quote q;

	/* Only about what left here: a quote of somebody else's packet says nothing to us. */
	if (icmp_quote_parse(&q, f->ip.src.family, f->body + ICMP_HDR, f->body_len - ICMP_HDR) <
		    0 ||
	    !net_is_ours(net, &q.local)) {
		count(net->counts, net_icmp_ignored);
		return;
	}
	count(net->counts, net_icmp_hints);
	rx->hints[rx->n_hints++] = (struct net_hint) {
		.kind = kind, .local = q.local, .remote = q.remote, .seq = q.seq, .mtu = mtu};
}

static void echo(struct net *net, const struct frame *f, uint8_t reply)
{
	uint8_t body[2048];

	if (f->p[0] & 1 || f->body_len > sizeof(body) || !own_may_answer(net, f->now_us))
		return;
	memcpy(body, f->body, f->body_len);
	body[0] = reply;
	count(net->counts, net_icmp_echo);
	/* Back where it came from: an echo shall not fill the neighbour table. */
	own_icmp(net, f->p + ETH_MAC, &f->ip.dst, &f->ip.src, HOP_LIMIT, body, f->body_len);
}

static void icmp4(struct net *net, const struct frame *f, struct net_rx *rx)
{
	uint8_t type = f->body[0], code = f->body[1];
	uint32_t mtu = be16_get(f->body + 6);

	if (type == ICMP4_ECHO && code == 0)
		echo(net, f, ICMP4_ECHO_REPLY);
	else if (type == ICMP4_UNREACHABLE && code == ICMP4_NEEDS_FRAG)
		hint(net, f, NET_TOO_BIG, mtu ? mtu : MTU_FLOOR4, rx);
	else if (type == ICMP4_UNREACHABLE)
		hint(net, f, NET_UNREACHABLE, 0, rx);
	else
		count(net->counts, net_icmp_ignored);
}

static void icmp6(struct net *net, const struct frame *f, struct net_rx *rx)
{
	uint8_t type = f->body[0], code = f->body[1];

	if (type == ICMP6_NS || type == ICMP6_NA)
		nd_in(net, f, rx);
	else if (ip_never_a_source(&f->ip.src)) /* duplicate address detection alone may be that */
		count(net->counts, net_ip_martian);
	else if (type == ICMP6_MLD_QUERY && f->ip.ttl == 1 && own_may_answer(net, f->now_us))
		own_listener_report(net);
	else if (type == ICMP6_ECHO && code == 0 && !ip_is_multicast(&f->ip.dst))
		echo(net, f, ICMP6_ECHO_REPLY);
	else if (type == ICMP6_TOO_BIG)
		hint(net, f, NET_TOO_BIG, MAX(be32_get(f->body + 4), MTU_FLOOR6), rx);
	else if (type == ICMP6_UNREACHABLE)
		hint(net, f, NET_UNREACHABLE, 0, rx);
	else
		count(net->counts, net_icmp_ignored);
}

void icmp_in(struct net *net, const struct frame *f, struct net_rx *rx)
{
	bool v4 = f->ip.src.family == 4;
	uint64_t sum = v4 ? 0 : ip_sum_pseudo(&f->ip.src, &f->ip.dst, IP_ICMP6, f->body_len);

	if (f->body_len < ICMP_HDR) {
		count(net->counts, net_icmp_malformed);
		return;
	}
	if (ip_sum_done(ip_sum(sum, f->body, f->body_len)) != 0) {
		count(net->counts, net_icmp_sum_bad);
		return;
	}
	if (v4)
		icmp4(net, f, rx);
	else
		icmp6(net, f, rx);
}
