/* icmp.c - ICMP errors and their quotes, neighbour discovery, listener reports. */
#include "dataplane/wire/ip_hdr.h"

enum { ND_OPT_SOURCE = 1, ND_OPT_TARGET = 2 };

static int quote_ports(struct icmp_quote *q, const uint8_t *p)
{
	q->local.port = be16_get(p);
	q->remote.port = be16_get(p + 2);
	q->seq = be32_get(p + 4);
	return 0;
}

/* The quote may be cut off, so the lengths inside it are not held against it. */
int icmp_quote_parse(struct icmp_quote *q, unsigned family, const uint8_t *p, size_t len)
{
	struct icmp_quote out = {.local.family = (uint8_t)family, .remote.family = (uint8_t)family};
	size_t hdr_len = family == 4 ? IP4_HDR : IP6_HDR;

	if (len < hdr_len || p[0] >> 4 != family)
		return ERR_MALFORMED;
	if (family == 4) {
		hdr_len = (p[0] & 15) * 4u;
		if (hdr_len < IP4_HDR || p[9] != IP_TCP || be16_get(p + 6) & 0x1fff)
			return ERR_MALFORMED;
		memcpy(out.local.ip, p + 12, 4);
		memcpy(out.remote.ip, p + 16, 4);
	} else {
		if (p[6] != IP_TCP) /* we send no extension headers */
			return ERR_MALFORMED;
		memcpy(out.local.ip, p + 8, 16);
		memcpy(out.remote.ip, p + 24, 16);
	}
	if (len < hdr_len + 8)
		return ERR_MALFORMED;
	quote_ports(&out, p + hdr_len);
	*q = out;
	return 0;
}

static int nd_options(struct nd *nd, const uint8_t *p, size_t len)
{
	uint8_t wanted = nd->type == ICMP6_NS ? ND_OPT_SOURCE : ND_OPT_TARGET;

	while (len) {
		size_t n;

		if (len < 8 || p[1] == 0)
			return ERR_MALFORMED;
		n = 8u * p[1];
		if (n > len)
			return ERR_MALFORMED;
		if (p[0] == wanted && n == 8) {
			memcpy(nd->mac, p + 2, ETH_MAC);
			nd->has_mac = true;
		}
		p += n;
		len -= n;
	}
	return 0;
}

int nd_parse(struct nd *nd, const uint8_t *p, size_t len)
{
	struct nd out = {.target.family = 6};

	if (len < 24 || (p[0] != ICMP6_NS && p[0] != ICMP6_NA) || p[1] != 0)
		return ERR_MALFORMED;
	out.type = p[0];
	out.flags = p[4];
	memcpy(out.target.ip, p + 8, 16);
	if (ip_is_multicast(&out.target) || nd_options(&out, p + 24, len - 24) < 0)
		return ERR_MALFORMED;
	*nd = out;
	return 0;
}

size_t nd_build(uint8_t *p, const struct nd *nd)
{
	memset(p, 0, ND_LEN);
	p[0] = nd->type;
	p[4] = nd->flags;
	memcpy(p + 8, nd->target.ip, 16);
	if (!nd->has_mac)
		return 24;
	p[24] = nd->type == ICMP6_NS ? ND_OPT_SOURCE : ND_OPT_TARGET;
	p[25] = 1;
	memcpy(p + 26, nd->mac, ETH_MAC);
	return ND_LEN;
}

void nd_solicited_node(struct addr *group, const struct addr *a)
{
	static const uint8_t prefix[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

	*group = (struct addr) {.family = 6};
	memcpy(group->ip, prefix, 13);
	memcpy(group->ip + 13, a->ip + 13, 3);
}

void eth_multicast6(uint8_t mac[ETH_MAC], const struct addr *group)
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->ip + 12, 4);
}

size_t mld_report_build(uint8_t *p, size_t cap, const struct addr *src, const struct addr *groups,
			unsigned n)
{
	static const uint8_t alert[8] = {IP_ICMP6, 0, 5, 2, 0, 0, 1, 0}; /* RFC 2711, PadN */
	const struct addr routers = {.family = 6, .ip = {0xff, 2, [15] = 0x16}};
	size_t body = 8 + 20 * (size_t)n;
	uint8_t *icmp = p + IP6_HDR + sizeof(alert);
	uint16_t sum;

	if (IP6_HDR + sizeof(alert) + body > cap)
		return 0;
	ip_hdr_build(p, src, &routers, IP6_HOP_BY_HOP, 1, (uint32_t)(sizeof(alert) + body), 0);
	memcpy(p + IP6_HDR, alert, sizeof(alert));
	memset(icmp, 0, body);
	icmp[0] = ICMP6_MLD2_REPORT;
	be16_put(icmp + 6, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		icmp[8 + 20 * i] = 4; /* change to exclude nothing: a join */
		memcpy(icmp + 12 + 20 * i, groups[i].ip, 16);
	}
	sum = ip_sum_done(
		ip_sum(ip_sum_pseudo(src, &routers, IP_ICMP6, (uint32_t)body), icmp, body));
	memcpy(icmp + 2, &sum, 2);
	return IP6_HDR + sizeof(alert) + body;
}
