/* test_hs_cells.c - rows of ESTABLISH_INTRO, INTRODUCE1 and RENDEZVOUS1, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dataplane/wire/hs_cells.h"

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* key type, key, two extensions, MAC, signature */
static size_t establish_make(uint8_t *p, uint8_t type, uint16_t key_len, uint16_t sig_len)
{
	struct writer w = writer_of(p, 600);

	wr_u8(&w, type);
	wr_u16(&w, key_len);
	memset(wr_space(&w, 32), 0xaa, 32);
	wr_u8(&w, 2);
	wr_bytes(&w, "\1\3abc", 5);
	wr_bytes(&w, "\7\0", 2);
	memset(wr_space(&w, 32), 0xbb, 32);
	wr_u16(&w, sig_len);
	memset(wr_space(&w, 64), 0xcc, 64);
	return wr_len(&w);
}

static void test_establish(void **state)
{
	uint8_t p[600];
	size_t len = establish_make(p, 2, 32, 64);
	struct establish_intro e;

	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(establish_intro_get(&e, p, cut), ERR_MALFORMED);
	assert_int_equal(establish_intro_get(&e, p, len), 0);
	assert_int_equal(e.maced.len, 3 + 32 + 8);
	assert_int_equal(e.signed_part.len, e.maced.len + 32);
	assert_int_equal(e.auth_key[31], 0xaa);
	assert_int_equal(e.mac[0], 0xbb);
	assert_int_equal(e.sig[63], 0xcc);
	assert_int_equal(establish_intro_get(&e, p, len + 10), 0); /* trailing bytes */
	establish_make(p, 0, 32, 64);
	assert_int_equal(establish_intro_get(&e, p, len), ERR_MALFORMED);
	establish_make(p, 2, 31, 64);
	assert_int_equal(establish_intro_get(&e, p, len), ERR_MALFORMED);
	establish_make(p, 2, 32, 63);
	assert_int_equal(establish_intro_get(&e, p, len), ERR_MALFORMED);
}

/* What DoS extensions say: the rows hold the list of extensions, in hex. */
static void test_limit(void **state)
{
	static const struct {
		int n;
		const char *ext; /* count, then type, length, body of each */
		uint8_t said;
		uint32_t rate, burst;
	} rows[] = {
		{1, "00", HS_LIMIT_NONE, 0, 0},
		{2, "010700", HS_LIMIT_NONE, 0, 0},
		{3, "010113020100000000000000190200000000000000c8", HS_LIMIT_ON, 25, 200},
		{4, "010113020200000000000000c8010000000000000019", HS_LIMIT_ON, 25, 200},
		{5, "0101130201000000000000001902000000000000000a", HS_LIMIT_OFF, 0, 0},
		{6, "01011302010000000000000019020000000000000019", HS_LIMIT_ON, 25, 25},
		{7, "010113020100000000000000000200000000000000c8", HS_LIMIT_OFF, 0, 0},
		{8, "01011302010000000000000019020000000000000000", HS_LIMIT_OFF, 0, 0},
		{9, "0101130201000000000000001902000000007fffffff", HS_LIMIT_ON, 25, INT32_MAX},
		{10, "01011302010000000000000019020000000080000000", HS_LIMIT_OFF, 0, 0},
		{11, "01011302010000000080000000020000000080000000", HS_LIMIT_OFF, 0, 0},
		{12, "0101130201ffffffffffffffff02ffffffffffffffff", HS_LIMIT_OFF, 0, 0},
		/* one of the two alone, none at all */
		{13, "01010a01010000000000000019", HS_LIMIT_OFF, 0, 0},
		{14, "01010100", HS_LIMIT_OFF, 0, 0},
		/* of an unknown parameter, too short, empty: as if it were not there */
		{20, "010113020300000000000000190200000000000000c8", HS_LIMIT_NONE, 0, 0},
		{21, "010112020100000000000000190200000000000000", HS_LIMIT_NONE, 0, 0},
		{22, "010100", HS_LIMIT_NONE, 0, 0},
		/* more than its count says; the same parameter twice: the last */
		{23, "010114020100000000000000190200000000000000c8aa", HS_LIMIT_ON, 25, 200},
		{24, "01011c030100000000000000190200000000000000c801000000000000001a", HS_LIMIT_ON,
		 26, 200},
		/* two extensions: the last that can be read */
		{30,
		 "020113020100000000000000190200000000000000c8"
		 "011302010000000000000001020000000000000002",
		 HS_LIMIT_ON, 1, 2},
		{31, "020113020100000000000000190200000000000000c8010100", HS_LIMIT_OFF, 0, 0},
		{32, "020113020100000000000000190200000000000000c8010101", HS_LIMIT_ON, 25, 200},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct establish_intro e;
		uint8_t p[600] = {2, 0, 32};
		size_t len = 35;

		for (const char *h = rows[i].ext; *h; h += 2)
			p[len++] = (uint8_t)(hex_digit(h[0]) << 4 | hex_digit(h[1]));
		be16_put(p + len + 32, 64);
		if (establish_intro_get(&e, p, len + 32 + 2 + 64) || e.maced.len != len ||
		    e.limit.said != rows[i].said || e.limit.rate != rows[i].rate ||
		    e.limit.burst != rows[i].burst)
			fail_msg("row %d: %d %u %u", rows[i].n, e.limit.said, e.limit.rate,
				 e.limit.burst);
	}
}

static void test_introduce(void **state)
{
	uint8_t p[600] = {0};
	struct introduce1 i;
	size_t head = 20 + 1 + 2 + 32 + 1;

	p[20] = 2;
	p[22] = 32;
	memset(p + 23, 0xdd, 32);
	for (size_t cut = 0; cut <= head; cut++)
		assert_int_equal(introduce1_get(&i, p, cut), ERR_MALFORMED);
	assert_int_equal(introduce1_get(&i, p, head + 1), 0);
	assert_int_equal(i.auth_key[7], 0xdd);
	assert_int_equal(introduce1_get(&i, p, HS_INTRODUCE_MAX), 0);
	assert_int_equal(introduce1_get(&i, p, HS_INTRODUCE_MAX + 1), ERR_MALFORMED);
	p[19] = 1; /* a legacy key id */
	assert_int_equal(introduce1_get(&i, p, 300), ERR_MALFORMED);
	p[19] = 0;
	p[20] = 1;
	assert_int_equal(introduce1_get(&i, p, 300), ERR_MALFORMED);
	p[20] = 2;
	p[21] = 1;
	assert_int_equal(introduce1_get(&i, p, 300), ERR_MALFORMED);
	p[21] = 0;
	p[55] = 255; /* extensions that run out */
	memset(p + 56, 0xff, 300);
	assert_int_equal(introduce1_get(&i, p, 300), ERR_MALFORMED);
}

static void test_small(void **state)
{
	uint8_t ack[INTRODUCE_ACK_LEN], p[40] = {1};
	struct rendezvous1 r;

	introduce_ack_put(ack, INTRODUCE_BAD_FORMAT);
	assert_memory_equal(ack, "\0\2\0", 3);
	assert_int_equal(rendezvous1_get(&r, p, 19), ERR_MALFORMED);
	assert_int_equal(rendezvous1_get(&r, p, 20), 0);
	assert_int_equal(r.body.len, 0);
	assert_int_equal(rendezvous1_get(&r, p, 40), 0);
	assert_int_equal(r.body.len, 20);
	assert_ptr_equal(r.body.p, p + 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_establish),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_introduce),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
