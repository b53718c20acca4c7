/* test_hs_cells.c - rows of ESTABLISH_INTRO, INTRODUCE1 and RENDEZVOUS1, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dataplane/wire/hs_cells.h"

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
		cmocka_unit_test(test_introduce),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
