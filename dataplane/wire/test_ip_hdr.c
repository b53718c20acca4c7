/* test_ip_hdr.c - checksum, Ethernet, IP, ARP, ICMP and neighbour discovery: edges first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/wire/ip_hdr.h"

static struct addr ip(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, text), 0);
	return a;
}

/* RFC 1071 written down naively. */
static uint16_t slow_sum(const uint8_t *p, size_t len)
{
	uint32_t acc = 0;

	for (size_t i = 0; i < len; i++)
		acc += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)~acc;
}

static void test_sum(void **state)
{
	static const uint8_t rfc1071[8] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t p[600], copy[602];

	/* Section 3 of the RFC: the sum is ddf2. */
	assert_int_equal(be16_get((uint8_t *)&(uint16_t) {ip_sum_fold(ip_sum(0, rfc1071, 8))}),
			 0xddf2);
	for (unsigned i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i * 151 + 250);
	for (unsigned len = 0; len < 600; len++) {
		uint16_t sum = ip_sum_done(ip_sum(0, p, len));

		assert_int_equal(be16_get((uint8_t *)&sum), slow_sum(p, len));
		memset(copy, 1, sizeof(copy));
		assert_int_equal(ip_sum_done(ip_sum_copy(0, copy + 1, p, len)), sum);
		assert_memory_equal(copy + 1, p, len);
		assert_int_equal(copy[0] + copy[len + 1], 2);
		for (unsigned at = 0; at <= len; at += 37) { /* in two pieces */
			uint64_t acc = ip_sum(0, p, at);

			acc = at & 1 ? ip_sum_odd(acc, p + at, len - at)
				     : ip_sum(acc, p + at, len - at);
			assert_int_equal(ip_sum_done(acc), sum);
		}
	}
	for (unsigned i = 0; i < sizeof(p); i++)
		p[i] = 0xff;
	assert_int_equal(ip_sum_done(ip_sum(0, p, 600)), 0);
	assert_int_equal(ip_sum_done(ip_sum(0, p, 0)), 0xffff);
}

/* A header of RFC-era fame: 192.168.0.1 to 192.168.0.199, UDP, checksum b861. */
static const uint8_t ip4_known[20] = {0x45, 0,	  0,   0x73, 0, 0, 0x40, 0,   0x40, 0x11,
				      0xb8, 0x61, 192, 168,  0, 1, 192,	 168, 0,    199};

static void test_ip4(void **state)
{
	uint8_t p[0x80] = {0}, built[IP_HDR_MAX];
	struct addr src = ip("192.168.0.1"), dst = ip("192.168.0.199");
	struct ip_hdr h;

	memcpy(p, ip4_known, 20);
	assert_int_equal(ip_hdr_parse(&h, 4, p, sizeof(p)), 0);
	assert_int_equal(h.len, 0x73);
	assert_int_equal(h.hdr_len, 20);
	assert_int_equal(h.proto, IP_UDP);
	assert_int_equal(h.ttl, 64);
	assert_false(h.sum_bad);
	assert_false(h.fragment);
	assert_true(addr_same(&h.src, &src));
	assert_true(addr_same(&h.dst, &dst));
	assert_int_equal(ip_hdr_build(built, &src, &dst, IP_UDP, 64, 0x73 - 20, 0), 20);
	assert_memory_equal(built, ip4_known, 20);
	p[8]--;
	assert_int_equal(ip_hdr_parse(&h, 4, p, sizeof(p)), 0);
	assert_true(h.sum_bad);
}

static void test_ip4_edges(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		size_t len;
		int rc;
		bool fragment;
	} rows[] = {
		{0, 0x45, 0x73, 0, false},
		{0, 0x45, 0x72, ERR_MALFORMED, false}, /* one byte short */
		{0, 0x45, 19, ERR_MALFORMED, false},
		{0, 0x45, 0, ERR_MALFORMED, false},
		{0, 0x44, 0x80, ERR_MALFORMED, false}, /* header shorter than itself */
		{0, 0x4f, 0x80, 0, false},	       /* options */
		{0, 0x65, 0x80, ERR_MALFORMED, false},
		{3, 19, 0x80, ERR_MALFORMED, false}, /* packet shorter than its header */
		{3, 20, 0x80, 0, false},
		{2, 0xff, 0x80, ERR_MALFORMED, false},
		{6, 0x20, 0x80, 0, true},  /* more fragments */
		{7, 1, 0x80, 0, true},	   /* an offset */
		{6, 0xc0, 0x80, 0, false}, /* the reserved bit is nothing to us */
	};

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++) {
		uint8_t p[0x80] = {0};
		struct ip_hdr h = {.ttl = 99};

		memcpy(p, ip4_known, 20);
		p[rows[r].at] = rows[r].value;
		if (ip_hdr_parse(&h, 4, p, rows[r].len) != rows[r].rc)
			fail_msg("row %u", r);
		if (rows[r].rc == 0 && h.fragment != rows[r].fragment)
			fail_msg("row %u: fragment", r);
		if (rows[r].rc < 0)
			assert_int_equal(h.ttl, 99); /* untouched */
	}
}

static void test_ip6(void **state)
{
	uint8_t p[IP_HDR_MAX + 8] = {0};
	struct addr src = ip("2001:db8::1"), dst = ip("2001:db8::2");
	struct ip_hdr h;

	assert_int_equal(ip_hdr_build(p, &src, &dst, IP_TCP, 61, 8, 77), IP6_HDR);
	assert_int_equal(ip_hdr_parse(&h, 6, p, 48), 0);
	assert_int_equal(h.len, 48);
	assert_int_equal(h.hdr_len, 40);
	assert_int_equal(h.proto, IP_TCP);
	assert_int_equal(h.ttl, 61);
	assert_true(addr_same(&h.src, &src));
	assert_true(addr_same(&h.dst, &dst));
	assert_int_equal(ip_hdr_parse(&h, 6, p, 47), ERR_MALFORMED);
	assert_int_equal(ip_hdr_parse(&h, 6, p, 39), ERR_MALFORMED);
	assert_int_equal(ip_hdr_parse(&h, 4, p, 48), ERR_MALFORMED);
}

static void test_ip6_extensions(void **state)
{
	static const struct {
		uint8_t first;	 /* next header of the IPv6 header */
		uint8_t ext[16]; /* then 8 bytes of anything */
		uint8_t len;
		int rc;
		uint8_t proto, hdr_len;
		bool fragment;
	} rows[] = {
		{0, {6, 0, 1, 4}, 8, 0, 6, 48, false},		     /* hop-by-hop, PadN */
		{0, {6, 0, 0, 0, 0, 0, 0, 0}, 8, 0, 6, 48, false},   /* Pad1s */
		{0, {6, 0, 5, 2, 0, 0, 1, 0}, 8, 0, 6, 48, false},   /* router alert: skipped */
		{0, {6, 0, 0xc2, 4}, 8, ERR_MALFORMED, 0, 0, false}, /* jumbo: must not be */
		{0, {6, 0, 1, 5}, 8, ERR_MALFORMED, 0, 0, false},    /* an option over the end */
		{0, {6, 2, 1, 4}, 8, ERR_MALFORMED, 0, 0, false},    /* the header over the end */
		{60, {0, 0, 1, 4}, 16, ERR_MALFORMED, 0, 0, false}, /* hop-by-hop comes first or not
								       at all */
		{60, {60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4}, 16, 0, 6, 56, false},
		{43, {6, 0, 0, 0}, 8, 0, 6, 48, false},		   /* routing, at its end */
		{43, {6, 0, 0, 1}, 8, ERR_MALFORMED, 0, 0, false}, /* not at its end */
		{44, {6, 0, 0, 0}, 8, 0, 6, 48, false},		   /* an atomic fragment is whole */
		{44, {6, 0, 0, 1}, 8, 0, 6, 48, true},
		{44, {6, 0, 1, 0}, 8, 0, 6, 48, true},
		{59, {0}, 8, 0, 59, 40, false},
	};
	struct addr src = ip("fd00::1"), dst = ip("fd00::2");

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++) {
		uint8_t p[IP6_HDR + 24] = {0};
		struct ip_hdr h;

		ip_hdr_build(p, &src, &dst, rows[r].first, 64, rows[r].len + 8u, 0);
		memcpy(p + IP6_HDR, rows[r].ext, rows[r].len);
		if (ip_hdr_parse(&h, 6, p, IP6_HDR + rows[r].len + 8u) != rows[r].rc)
			fail_msg("row %u", r);
		if (rows[r].rc == 0 && (h.proto != rows[r].proto || h.hdr_len != rows[r].hdr_len ||
					h.fragment != rows[r].fragment))
			fail_msg("row %u: %u %u %u", r, h.proto, h.hdr_len, h.fragment);
	}
}

static void test_ip6_endless(void **state)
{
	uint8_t p[IP6_HDR + 8 * 20] = {0};
	struct addr a = ip("fd00::1");
	struct ip_hdr h;

	ip_hdr_build(p, &a, &a, 60, 64, 8 * 20, 0);
	for (unsigned i = 0; i < 20; i++) {
		p[IP6_HDR + 8 * i] = i == 19 ? 6 : 60;
		p[IP6_HDR + 8 * i + 2] = 1;
		p[IP6_HDR + 8 * i + 3] = 4;
	}
	assert_int_equal(ip_hdr_parse(&h, 6, p, sizeof(p)), ERR_MALFORMED);
}

static void test_sources(void **state)
{
	static const struct {
		const char *a;
		bool never, multicast, link_local;
	} rows[] = {
		{"0.0.0.0", true, false, false},
		{"0.1.2.3", true, false, false},
		{"127.0.0.1", true, false, false},
		{"224.0.0.1", true, true, false},
		{"255.255.255.255", true, false, false},
		{"169.254.1.1", false, false, true},
		{"1.2.3.4", false, false, false},
		{"223.255.255.255", false, false, false},
		{"::", true, false, false},
		{"::1", true, false, false},
		{"::2", false, false, false},
		{"ff02::1", true, true, false},
		{"fe80::1", false, false, true},
		{"febf::1", false, false, true},
		{"fec0::1", false, false, false},
		{"2001:db8::1", false, false, false},
	};

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++) {
		struct addr a = ip(rows[r].a);

		if (ip_never_a_source(&a) != rows[r].never ||
		    ip_is_multicast(&a) != rows[r].multicast ||
		    ip_is_link_local(&a) != rows[r].link_local)
			fail_msg("%s", rows[r].a);
	}
}

static void test_arp(void **state)
{
	struct arp a = {.op = ARP_REPLY,
			.sender_mac = {1, 2, 3, 4, 5, 6},
			.target_mac = {7, 8, 9, 10, 11, 12}},
		   b;
	static const uint8_t known[ARP_LEN] = {0,  1, 8, 0, 6, 4, 0, 2,	 1,  2,	 3,  4, 5, 6,
					       10, 0, 0, 1, 7, 8, 9, 10, 11, 12, 10, 0, 0, 2};
	uint8_t p[ARP_LEN];

	a.sender = ip("10.0.0.1");
	a.target = ip("10.0.0.2");
	arp_build(p, &a);
	assert_memory_equal(p, known, ARP_LEN);
	assert_int_equal(arp_parse(&b, p, ARP_LEN), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(arp_parse(&b, p, ARP_LEN - 1), ERR_MALFORMED);
	for (unsigned i = 0; i < 8; i++) { /* each fixed byte */
		memcpy(p, known, ARP_LEN);
		p[i] ^= 4;
		assert_int_equal(arp_parse(&b, p, ARP_LEN), ERR_MALFORMED);
	}
}

static void test_nd(void **state)
{
	struct nd nd = {.type = ICMP6_NA,
			.flags = ND_SOLICITED | ND_OVERRIDE,
			.has_mac = true,
			.mac = {1, 2, 3, 4, 5, 6}},
		  b;
	uint8_t p[48] = {0};
	size_t len;

	nd.target = ip("fd00::5");
	len = nd_build(p, &nd);
	assert_int_equal(len, ND_LEN);
	assert_int_equal(nd_parse(&b, p, len), 0);
	assert_memory_equal(&nd, &b, sizeof(nd));
	assert_int_equal(nd_parse(&b, p, 24), 0); /* no option */
	assert_false(b.has_mac);
	for (len = 0; len < ND_LEN; len++) /* each cut but that at the option's border */
		assert_int_equal(nd_parse(&b, p, len), len == 24 ? 0 : ERR_MALFORMED);
	p[25] = 0; /* an option without length would never end */
	assert_int_equal(nd_parse(&b, p, ND_LEN), ERR_MALFORMED);
	p[25] = 2;
	assert_int_equal(nd_parse(&b, p, ND_LEN), ERR_MALFORMED);
	p[25] = 1;
	p[24] = 1; /* the source's: not in an advertisement */
	assert_int_equal(nd_parse(&b, p, ND_LEN), 0);
	assert_false(b.has_mac);
	p[8] = 0xff;
	assert_int_equal(nd_parse(&b, p, ND_LEN), ERR_MALFORMED);
	p[8] = 0xfd;
	p[0] = 134;
	assert_int_equal(nd_parse(&b, p, ND_LEN), ERR_MALFORMED);
}

static void test_groups(void **state)
{
	struct addr a = ip("2001:db8::1:800:200e:8c6c"), wanted = ip("ff02::1:ff0e:8c6c"), group;
	static const uint8_t mac_wanted[6] = {0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c};
	uint8_t mac[6], p[128];
	struct addr src = ip("fe80::1");
	struct ip_hdr h;

	nd_solicited_node(&group, &a); /* the example of RFC 4291 2.7.1 */
	assert_true(addr_same(&group, &wanted));
	eth_multicast6(mac, &group);
	assert_memory_equal(mac, mac_wanted, 6);
	assert_int_equal(mld_report_build(p, 75, &src, &group, 1), 0);
	assert_int_equal(mld_report_build(p, 76, &src, &group, 1), 76);
	assert_int_equal(ip_hdr_parse(&h, 6, p, 76), 0);
	assert_int_equal(h.proto, IP_ICMP6);
	assert_int_equal(h.hdr_len, 48);
	assert_int_equal(h.ttl, 1);
	assert_int_equal(
		ip_sum_done(ip_sum(ip_sum_pseudo(&h.src, &h.dst, IP_ICMP6, 28), p + 48, 28)), 0);
	assert_memory_equal(p + 60, group.ip, 16);
}

static void test_quote(void **state)
{
	struct addr a = ip("10.0.0.1"), b = ip("10.0.0.2"), c = ip("fd00::1"), d = ip("fd00::2");
	uint8_t p[64] = {0};
	struct icmp_quote q;

	ip_hdr_build(p, &a, &b, IP_TCP, 64, 1000, 5); /* quoted in part */
	be16_put(p + 20, 9001);
	be16_put(p + 22, 443);
	be32_put(p + 24, 0xdeadbeef);
	assert_int_equal(icmp_quote_parse(&q, 4, p, 28), 0);
	assert_true(addr_same_ip(&q.local, &a) && addr_same_ip(&q.remote, &b));
	assert_int_equal(q.local.port, 9001);
	assert_int_equal(q.remote.port, 443);
	assert_int_equal(q.seq, 0xdeadbeef);
	assert_int_equal(icmp_quote_parse(&q, 4, p, 27), ERR_MALFORMED);
	assert_int_equal(icmp_quote_parse(&q, 6, p, 64), ERR_MALFORMED);
	p[9] = IP_UDP;
	assert_int_equal(icmp_quote_parse(&q, 4, p, 28), ERR_MALFORMED);
	p[9] = IP_TCP;
	p[7] = 1; /* a later fragment has no ports */
	assert_int_equal(icmp_quote_parse(&q, 4, p, 28), ERR_MALFORMED);
	memset(p, 0, sizeof(p));
	ip_hdr_build(p, &c, &d, IP_TCP, 64, 1000, 0);
	be16_put(p + 42, 80);
	assert_int_equal(icmp_quote_parse(&q, 6, p, 48), 0);
	assert_int_equal(q.remote.port, 80);
	assert_true(addr_same_ip(&q.local, &c) && addr_same_ip(&q.remote, &d));
	assert_int_equal(icmp_quote_parse(&q, 6, p, 47), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_ip4),
		cmocka_unit_test(test_ip4_edges),
		cmocka_unit_test(test_ip6),
		cmocka_unit_test(test_ip6_extensions),
		cmocka_unit_test(test_ip6_endless),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_nd),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
