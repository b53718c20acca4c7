/* test_tcp_hdr.c - rows for the TCP header codec: hostile lengths first, then every option. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/wire/tcp_hdr.h"

struct row {
	const char *what;
	uint8_t offset; /* data offset in words */
	uint8_t opts[40];
	uint8_t cut; /* bytes missing at the end */
	int result;
	uint8_t found; /* TCP_OPT_* */
};

static const struct row rows[] = {
	{"1 offset below five", 4, {0}, 0, ERR_MALFORMED, 0},
	{"2 offset zero", 0, {0}, 0, ERR_MALFORMED, 0},
	{"3 no options", 5, {0}, 0, 0, 0},
	{"4 one byte short", 5, {0}, 1, ERR_MALFORMED, 0},
	{"5 options run over the segment", 6, {1, 1, 1, 1}, 1, ERR_MALFORMED, 0},
	{"6 option without length", 6, {1, 1, 1, 3}, 0, ERR_MALFORMED, 0},
	{"7 length zero", 6, {3, 0, 1, 1}, 0, ERR_MALFORMED, 0},
	{"8 length one", 6, {3, 1, 1, 1}, 0, ERR_MALFORMED, 0},
	{"9 length over the header", 6, {2, 5, 5, 0xb4}, 0, ERR_MALFORMED, 0},
	{"10 end hides what follows", 6, {0, 0, 3, 0}, 0, 0, 0},
	{"11 unknown option", 6, {99, 4, 1, 2}, 0, 0, 0},
	{"12 mss of a wrong length", 6, {2, 3, 5, 1}, 0, 0, 0},
	{"13 mss", 6, {2, 4, 5, 0xb4}, 0, 0, TCP_OPT_MSS},
	{"14 window scale", 6, {1, 3, 3, 7}, 0, 0, TCP_OPT_WSCALE},
	{"15 sack permitted", 6, {4, 2, 1, 1}, 0, 0, TCP_OPT_SACK_OK},
	{"16 timestamps, usual form", 8, {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 0, 0, TCP_OPT_TS},
	{"17 timestamps, unaligned", 8, {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, 0, 0, TCP_OPT_TS},
	{"18 timestamps cut", 7, {1, 1, 8, 10, 0, 0, 0, 1}, 0, ERR_MALFORMED, 0},
	{"19 sack of half a block", 7, {5, 6, 0, 0, 0, 1, 1, 1}, 0, 0, 0},
	{"20 sack", 8, {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 0, 0, TCP_OPT_SACK},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct tcp_hdr h = {.seq = 77};
		uint8_t p[60] = {0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
		size_t len = MAX(row->offset, 5) * 4u - row->cut;

		p[12] = row->offset << 4;
		memcpy(p + 20, row->opts, 40);
		if (tcp_hdr_parse(&h, p, len) != row->result)
			fail_msg("row %s", row->what);
		if (row->result < 0) {
			assert_int_equal(h.seq, 77);
			continue;
		}
		if (h.opts != row->found)
			fail_msg("row %s: options %x", row->what, h.opts);
		assert_int_equal(h.seq, 3);
		assert_int_equal(h.ack, 4);
	}
}

static void test_wscale_is_clamped(void **state)
{
	uint8_t p[24] = {[12] = 0x60, [20] = 1, [21] = 3, [22] = 3, [23] = 200};
	struct tcp_hdr h;

	(void)state;
	assert_int_equal(tcp_hdr_parse(&h, p, sizeof(p)), 0);
	assert_int_equal(h.wscale, 14);
}

/* What is built parses to the same, for every set of options and number of blocks. */
static void test_round_trip(void **state)
{
	(void)state;
	for (unsigned opts = 0; opts < 32; opts++) {
		for (uint8_t n = 0; n <= 4; n++) {
			struct tcp_hdr a = {.src_port = 9001,
					    .dst_port = 443,
					    .seq = 0xfffffff0,
					    .ack = 0x80000001,
					    .flags = TCP_ACK | TCP_PSH,
					    .opts = opts,
					    .window = 501,
					    .mss = 1460,
					    .wscale = 7,
					    .ts_val = 0xdeadbeef,
					    .ts_ecr = 5,
					    .n_sack = n};
			struct tcp_hdr b;
			uint8_t p[TCP_HDR_MAX + 1];

			for (uint8_t i = 0; i < 4; i++) {
				a.sack[i].start = i * 100u;
				a.sack[i].end = i * 100u + 50;
			}
			p[TCP_HDR_MAX] = 0xa5;
			if (tcp_hdr_size(opts, n) > TCP_HDR_MAX)
				continue; /* a SYN's options and SACK blocks never meet */
			size_t len = tcp_hdr_build(&a, p);
			assert_int_equal(len, tcp_hdr_size(opts, n));
			assert_int_equal(len % 4, 0);
			assert_int_equal(p[TCP_HDR_MAX], 0xa5);
			assert_int_equal(tcp_hdr_parse(&b, p, len), 0);
			assert_int_equal(b.hdr_len, len);
			assert_int_equal(b.opts, n ? opts : opts & ~TCP_OPT_SACK);
			assert_int_equal(b.seq, a.seq);
			assert_int_equal(b.ack, a.ack);
			assert_int_equal(b.window, 501);
			assert_int_equal(b.flags, a.flags);
			assert_int_equal(b.src_port, 9001);
			assert_int_equal(b.dst_port, 443);
			if (opts & TCP_OPT_MSS)
				assert_int_equal(b.mss, 1460);
			if (opts & TCP_OPT_WSCALE)
				assert_int_equal(b.wscale, 7);
			if (opts & TCP_OPT_TS)
				assert_int_equal(b.ts_val, 0xdeadbeef);
			if (opts & TCP_OPT_SACK)
				assert_int_equal(b.n_sack, MIN(n, opts & TCP_OPT_TS ? 3 : 4));
			assert_memory_equal(a.sack, b.sack, b.n_sack * sizeof(a.sack[0]));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_wscale_is_clamped),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
