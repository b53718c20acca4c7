/* ip_hdr.c - Ethernet and IP headers and the internet checksum: the outermost codec of the walk. */
#include "dataplane/wire/ip_hdr.h"

#include <endian.h>

#define MAX_EXT_HDRS 8

enum { EXT_HOP = IP6_HOP_BY_HOP, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_DEST = 60 };

void eth_build(uint8_t *p, const uint8_t dst[ETH_MAC], const uint8_t src[ETH_MAC], uint16_t type)
{
	memcpy(p, dst, ETH_MAC);
	memcpy(p + ETH_MAC, src, ETH_MAC);
	be16_put(p + 2 * ETH_MAC, type);
}

/* The halves of 64-bit words into a sum each: 2^32 of them fit, and no carry is needed in the loop.
 * Ports without checksums pass every payload through here. */
static inline uint64_t sum_fit(uint64_t sum)
{
	return (sum & UINT32_MAX) + (sum >> 32);
}

FOR_EACH_WIDTH static uint64_t sum_words(const uint8_t *p, size_t n)
{
	uint64_t low = 0, high = 0, w;

	for (size_t i = 0; i < n; i++) {
		memcpy(&w, p + 8 * i, sizeof(w));
		low += w & UINT32_MAX;
		high += w >> 32;
	}
	return sum_fit(low) + sum_fit(high);
}

FOR_EACH_WIDTH static uint64_t copy_words(uint8_t *restrict dst, const uint8_t *restrict p,
					  size_t n)
{
	uint64_t low = 0, high = 0, w;

	for (size_t i = 0; i < n; i++) {
		memcpy(&w, p + 8 * i, sizeof(w));
		memcpy(dst + 8 * i, &w, sizeof(w));
		low += w & UINT32_MAX;
		high += w >> 32;
	}
	return sum_fit(low) + sum_fit(high);
}

#define SUM_SHORT 64 /* below, the call costs more than it saves */

uint64_t ip_sum_copy(uint64_t acc, uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t n = len / 8;

	acc += copy_words(dst, src, n);
	memcpy(dst + 8 * n, src + 8 * n, len - 8 * n);
	return ip_sum(acc, src + 8 * n, len - 8 * n);
}

uint64_t ip_sum(uint64_t acc, const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t w;

	if (len >= SUM_SHORT) {
		acc += sum_words(p, len / 8);
		p += len & ~(size_t)7;
		len &= 7;
	}
	for (; len >= 4; p += 4, len -= 4) {
		memcpy(&w, p, sizeof(w));
		sum += w;
	}
	acc += sum;
	for (; len >= 2; p += 2, len -= 2) {
		uint16_t v;

		memcpy(&v, p, 2);
		acc += v;
	}
	if (len) {
		uint8_t last[2] = {*p, 0};
		uint16_t v;

		memcpy(&v, last, 2);
		acc += v;
	}
	return acc;
}

uint16_t ip_sum_fold(uint64_t acc)
{
	acc = (acc & UINT32_MAX) + (acc >> 32);
	acc = (acc & UINT32_MAX) + (acc >> 32);
	acc = (acc & 0xffff) + (acc >> 16);
	acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

uint64_t ip_sum_odd(uint64_t acc, const uint8_t *p, size_t len)
{
	return acc + ip_sum_shift(ip_sum(0, p, len));
}

uint64_t ip_sum_pseudo(const struct addr *src, const struct addr *dst, uint8_t proto, uint32_t len)
{
	uint64_t acc = (uint64_t)htobe32(len) + htobe16(proto);
	uint32_t s, d;

	if (LIKELY(src->family == 4)) {
		memcpy(&s, src->ip, 4);
		memcpy(&d, dst->ip, 4);
		return acc + s + d;
	}
	acc = ip_sum(acc, src->ip, addr_ip_len(src));
	return ip_sum(acc, dst->ip, addr_ip_len(dst));
}

/* In the two stores that a copy will read: it follows at once, and would have to wait until smaller
 * pieces had reached the cache. */
static void addr_set4(struct addr *a, const uint8_t *ip)
{
	typedef uint32_t words __attribute__((vector_size(16)));
	uint32_t at;
	words w;

	memcpy(&at, ip, sizeof(at));
	w = (words) {4, at}; /* family and port 0; the address */
	memcpy(a, &w, sizeof(w));
	memset((uint8_t *)a + sizeof(w), 0, sizeof(*a) - sizeof(w));
}

static int ip4_parse(struct ip_hdr *h, const uint8_t *p, size_t len)
{
	uint16_t hdr_len, whole;

	if (len < IP4_HDR || p[0] >> 4 != 4)
		return ERR_MALFORMED;
	hdr_len = (p[0] & 15) * 4;
	whole = be16_get(p + 2);
	if (hdr_len < IP4_HDR || whole < hdr_len || whole > len)
		return ERR_MALFORMED;
	addr_set4(&h->src, p + 12);
	addr_set4(&h->dst, p + 16);
	h->proto = p[9];
	h->ttl = p[8];
	h->tos = p[1];
	h->fragment = be16_get(p + 6) & 0x3fff; /* more fragments, or an offset */
	h->sum_bad = ip_sum_done(ip_sum(0, p, hdr_len)) != 0;
	h->hdr_len = hdr_len;
	h->len = whole;
	return 0;
}

/* RFC 8200 4.2: an unknown option whose two top bits are not 00 must not be skipped. */
static bool options_may_be_skipped(const uint8_t *p, size_t len)
{
	while (len) {
		if (*p == 0) { /* Pad1 */
			p++;
			len--;
			continue;
		}
		if (len < 2 || len < 2u + p[1] || *p & 0xc0)
			return false;
		len -= 2u + p[1];
		p += 2u + p[1];
	}
	return true;
}

/* One extension header: its length, 0 when it is the upper layer, ERR_MALFORMED. */
static int ext_hdr(struct ip_hdr *h, const uint8_t *p, size_t len, unsigned nth)
{
	size_t ext_len;

	if (h->proto != EXT_HOP && h->proto != EXT_DEST && h->proto != EXT_ROUTING &&
	    h->proto != EXT_FRAGMENT)
		return 0;
	if (len < 8)
		return ERR_MALFORMED;
	ext_len = h->proto == EXT_FRAGMENT ? 8 : 8u + 8u * p[1];
	if (ext_len > len)
		return ERR_MALFORMED;
	if (h->proto == EXT_FRAGMENT)
		h->fragment = be16_get(p + 2) & 0xfff9; /* atomic ones are whole: RFC 6946 */
	else if (h->proto == EXT_ROUTING ? p[3] != 0 : !options_may_be_skipped(p + 2, ext_len - 2))
		return ERR_MALFORMED;
	else if (h->proto == EXT_HOP && nth)
		return ERR_MALFORMED;
	h->proto = p[0];
	return (int)ext_len;
}

static int ip6_parse(struct ip_hdr *h, const uint8_t *p, size_t len)
{
	struct ip_hdr out = {.src.family = 6, .dst.family = 6, .hdr_len = IP6_HDR};
	int n = 0;

	if (len < IP6_HDR || p[0] >> 4 != 6)
		return ERR_MALFORMED;
	out.len = IP6_HDR + be16_get(p + 4);
	if (out.len > len)
		return ERR_MALFORMED;
	out.tos = (uint8_t)(be16_get(p) >> 4);
	out.proto = p[6];
	out.ttl = p[7];
	memcpy(out.src.ip, p + 8, 16);
	memcpy(out.dst.ip, p + 24, 16);
	for (unsigned i = 0; !out.fragment; i++) {
		n = ext_hdr(&out, p + out.hdr_len, out.len - out.hdr_len, i);
		if (n <= 0)
			break;
		if (i == MAX_EXT_HDRS)
			return ERR_MALFORMED;
		out.hdr_len += (uint16_t)n;
	}
	if (n < 0)
		return n;
	*h = out;
	return 0;
}

int ip_hdr_parse(struct ip_hdr *h, unsigned family, const uint8_t *p, size_t len)
{
	return family == 4 ? ip4_parse(h, p, len) : ip6_parse(h, p, len);
}

/* The fields come as they lie in the second and the first 64-bit word. Summed in registers: a wide
 * load of what narrow stores have just written waits until the line, often another core's, is here.
 */
static void ip4_put(uint8_t *p, const struct addr *src, const struct addr *dst, uint32_t ttl_proto,
		    uint64_t len_id)
{
	const uint64_t version = 0x45ull << 56, dont_fragment = 0x4000; /* our path MTU discovery */
	uint64_t first = htobe64(version | len_id | dont_fragment);
	uint32_t third = htobe32(ttl_proto), s, d;
	uint16_t sum;

	memcpy(&s, src->ip, 4);
	memcpy(&d, dst->ip, 4);
	sum = ip_sum_done((first & UINT32_MAX) + (first >> 32) + third + s + d);
	third |= htobe32(be16toh(sum));
	memcpy(p, &first, 8);
	memcpy(p + 8, &third, 4);
	memcpy(p + 12, &s, 4);
	memcpy(p + 16, &d, 4);
}

size_t ip_hdr_build(uint8_t *p, const struct addr *src, const struct addr *dst, uint8_t proto,
		    uint8_t ttl, uint32_t payload_len, uint16_t id)
{
	if (src->family == 6) {
		be32_put(p, 6u << 28);
		be16_put(p + 4, (uint16_t)payload_len);
		p[6] = proto;
		p[7] = ttl;
		memcpy(p + 8, src->ip, 16);
		memcpy(p + 24, dst->ip, 16);
		return IP6_HDR;
	}
	ip4_put(p, src, dst, (uint32_t)ttl << 24 | (uint32_t)proto << 16,
		(uint64_t)(uint16_t)(IP4_HDR + payload_len) << 32 | (uint64_t)id << 16);
	return IP4_HDR;
}

bool ip_is_multicast(const struct addr *a)
{
	return a->family == 4 ? a->ip[0] >> 4 == 14 : a->ip[0] == 0xff;
}

bool ip_is_link_local(const struct addr *a)
{
	return a->family == 4 ? a->ip[0] == 169 && a->ip[1] == 254
			      : a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

bool ip_never_a_source(const struct addr *a)
{
	static const uint8_t zero[15];

	if (a->family == 4)
		return a->ip[0] == 0 || a->ip[0] == 127 || a->ip[0] >= 224;
	return a->ip[0] == 0xff || (!memcmp(a->ip, zero, 15) && a->ip[15] <= 1);
}
