/* ip_hdr.h - what stands before TCP on the wire: Ethernet (IEEE 802.3), ARP (RFC 826), IPv4
 * (RFC 791), IPv6 with its extension headers (RFC 8200), ICMP (RFC 792, 1191), ICMPv6 (RFC 4443),
 * neighbour discovery (RFC 4861), listener reports (RFC 3810), and the checksum (RFC 1071).
 * Used by net/ on both ways of the walk. */
#ifndef RAMSON_WIRE_IP_HDR_H
#define RAMSON_WIRE_IP_HDR_H

#include "dataplane/base/base.h"

/* ---- Ethernet ---- */
#define ETH_HDR 14
#define ETH_MAC 6
enum { ETH_IP4 = 0x0800, ETH_ARP = 0x0806, ETH_IP6 = 0x86dd };

/* Writes ETH_HDR bytes. */
void eth_build(uint8_t *p, const uint8_t dst[ETH_MAC], const uint8_t src[ETH_MAC], uint16_t type);

/* ---- the checksum. A sum is kept unfolded and in memory order; ip_sum_done gives the two bytes to
 * be stored as they are (memcpy). ---- */
/* The sum of len bytes that stand at an even offset of what is summed, added to acc. */
uint64_t ip_sum(uint64_t acc, const uint8_t *p, size_t len);
/* The same, and the bytes are copied to dst on the way. dst and src must not overlap. */
uint64_t ip_sum_copy(uint64_t acc, uint8_t *dst, const uint8_t *src, size_t len);
/* As ip_sum for bytes that stand at an odd offset. */
uint64_t ip_sum_odd(uint64_t acc, const uint8_t *p, size_t len);
/* The pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200 8.1). */
uint64_t ip_sum_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto, uint32_t len);
/* Folded to 16 bits, not inverted. */
uint16_t ip_sum_fold(uint64_t acc);
/* What a sum adds when its bytes stand at an odd offset after all. */
static inline uint64_t ip_sum_shift(uint64_t sum)
{
	return __builtin_bswap16(ip_sum_fold(sum));
}
static inline uint16_t ip_sum_done(uint64_t acc)
{
	return (uint16_t)~ip_sum_fold(acc);
}

/* ---- IP ---- */
#define IP4_HDR	   20
#define IP6_HDR	   40
#define IP_HDR_MAX 60 /* what net builds is never longer */
enum { IP6_HOP_BY_HOP = 0, IP_ICMP = 1, IP_TCP = 6, IP_UDP = 17, IP_ICMP6 = 58 };

struct ip_hdr {
	struct addr src, dst; /* ports are 0 */
	uint8_t proto;	      /* what follows all headers */
	uint8_t ttl;
	uint8_t tos;
	bool fragment;	  /* a part of a packet: look no further */
	bool sum_bad;	  /* IPv4: the header's checksum does not hold */
	uint16_t hdr_len; /* options and extension headers included */
	uint32_t len;	  /* of the packet, header included; at most what was given */
};
/* Reads the header of a packet of family 4 or 6 in len bytes (padding may follow). 0, or
 * ERR_MALFORMED: lengths do not fit, a wrong version, an extension header or option that a host
 * must not skip, a routing header not at its end; *h is then unchanged. */
int ip_hdr_parse(struct ip_hdr *h, unsigned family, const uint8_t *p, size_t len);
/* Writes the header for payload_len bytes of proto: no options, DF, the given id (IPv4).
 * Returns IP4_HDR or IP6_HDR. */
size_t ip_hdr_build(uint8_t *p, const struct addr *src, const struct addr *dst, uint8_t proto,
		    uint8_t ttl, uint32_t payload_len, uint16_t id);
/* Multicast, broadcast, unspecified, loopback or 0/8: nobody speaks from there. */
bool ip_never_a_source(const struct addr *a);
bool ip_is_multicast(const struct addr *a);
bool ip_is_link_local(const struct addr *a);

/* ---- ARP ---- */
#define ARP_LEN 28
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
struct arp {
	uint16_t op;
	uint8_t sender_mac[ETH_MAC], target_mac[ETH_MAC];
	struct addr sender, target; /* family 4 */
};
/* 0, or ERR_MALFORMED: too short, not Ethernet and IPv4, or an unknown operation. */
int arp_parse(struct arp *a, const uint8_t *p, size_t len);
/* Writes ARP_LEN bytes. */
void arp_build(uint8_t *p, const struct arp *a);

/* ---- ICMP and ICMPv6 ---- */
#define ICMP_HDR 8
enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO = 8,
	ICMP4_NEEDS_FRAG = 4, /* a code of ICMP4_UNREACHABLE */
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_MLD_QUERY = 130,
	ICMP6_NS = 135,
	ICMP6_NA = 136,
	ICMP6_MLD2_REPORT = 143,
};

/* The TCP segment that an ICMP error quotes: local is its source (us), remote its destination. */
struct icmp_quote {
	struct addr local, remote; /* with ports */
	uint32_t seq;
};
/* Reads the quoted packet behind the 8 bytes of the error's header. 0, or ERR_MALFORMED: not the
 * start of a TCP segment. */
int icmp_quote_parse(struct icmp_quote *q, unsigned family, const uint8_t *p, size_t len);

/* Neighbour solicitation and advertisement. */
#define ND_LEN 32 /* with the option */
enum { ND_ROUTER = 0x80, ND_SOLICITED = 0x40, ND_OVERRIDE = 0x20 };
struct nd {
	uint8_t type;  /* ICMP6_NS or ICMP6_NA */
	uint8_t flags; /* ND_*, of ICMP6_NA */
	bool has_mac;
	uint8_t mac[ETH_MAC]; /* the source's (NS) or target's (NA) */
	struct addr target;
};
/* Reads an ICMPv6 message (checksum and hop limit were verified by the caller). 0, or
 * ERR_MALFORMED: not of the two, too short, an option of length 0 or over the end, a multicast
 * target. */
int nd_parse(struct nd *nd, const uint8_t *p, size_t len);
/* Writes the message, with a zero checksum; with the MAC as option when has_mac. Its length. */
size_t nd_build(uint8_t *p, const struct nd *nd);
/* ff02::1:ffXX:XXXX of the address (RFC 4291 2.7.1). */
void nd_solicited_node(struct addr *group, const struct addr *a);
/* 33:33 and the last four bytes (RFC 2464 7). */
void eth_multicast6(uint8_t mac[ETH_MAC], const struct addr *group);

/* A listener report (version 2) that says: we listen to these groups. Writes a whole IPv6 packet
 * with its router alert, from src to ff02::16; its length, or 0 when cap is too small. */
size_t mld_report_build(uint8_t *p, size_t cap, const struct addr *src, const struct addr *groups,
			unsigned n);

#endif
