/* arp.c - ARP for IPv4 over Ethernet (RFC 826). */
#include "dataplane/wire/ip_hdr.h"

static const uint8_t fixed[6] = {0, 1, 8, 0, ETH_MAC, 4}; /* Ethernet, IPv4, their lengths */

int arp_parse(struct arp *a, const uint8_t *p, size_t len)
{
	struct arp out = {.sender.family = 4, .target.family = 4};

	if (len < ARP_LEN || memcmp(p, fixed, sizeof(fixed)))
		return ERR_MALFORMED;
	out.op = be16_get(p + 6);
	if (out.op != ARP_REQUEST && out.op != ARP_REPLY)
		return ERR_MALFORMED;
	memcpy(out.sender_mac, p + 8, ETH_MAC);
	memcpy(out.sender.ip, p + 14, 4);
	memcpy(out.target_mac, p + 18, ETH_MAC);
	memcpy(out.target.ip, p + 24, 4);
	*a = out;
	return 0;
}

void arp_build(uint8_t *p, const struct arp *a)
{
	memcpy(p, fixed, sizeof(fixed));
	be16_put(p + 6, a->op);
	memcpy(p + 8, a->sender_mac, ETH_MAC);
	memcpy(p + 14, a->sender.ip, 4);
	memcpy(p + 18, a->target_mac, ETH_MAC);
	memcpy(p + 24, a->target.ip, 4);
}
