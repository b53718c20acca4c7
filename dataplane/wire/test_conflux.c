/* test_conflux.c - LINK and SWITCH: which bytes are one, and what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/wire/conflux.h"

static void link_bytes(uint8_t p[CONFLUX_LINK_LEN])
{
	for (unsigned i = 0; i < CONFLUX_LINK_LEN; i++)
		p[i] = (uint8_t)i;
	p[0] = CONFLUX_VERSION;
	p[49] = CONFLUX_UX_THROUGHPUT;
}

static void test_link(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		size_t len;
		bool good;
	} rows[] = {
		/* 1 */ {0, 1, CONFLUX_LINK_LEN, true},
		/* 2 */ {0, 0, CONFLUX_LINK_LEN, false},
		/* 3 */ {0, 2, CONFLUX_LINK_LEN, false},
		/* 4 */ {49, 0, CONFLUX_LINK_LEN, true},
		/* 5 */ {49, 4, CONFLUX_LINK_LEN, true},
		/* 6 */ {49, 5, CONFLUX_LINK_LEN, false},
		/* 7 */ {49, 255, CONFLUX_LINK_LEN, false},
		/* 8 */ {0, 1, CONFLUX_LINK_LEN - 1, false},
		/* 9 */ {0, 1, 0, false},
		/* 10 */ {0, 1, CONFLUX_LINK_LEN + 3, true}, /* what is behind is passed over */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conflux_link l = {.ux = 77}, before = l;
		uint8_t p[CONFLUX_LINK_LEN + 3] = {0}, back[CONFLUX_LINK_LEN];

		link_bytes(p);
		p[rows[i].at] = rows[i].value;
		assert_int_equal(conflux_link_get(&l, p, rows[i].len),
				 rows[i].good ? 0 : ERR_MALFORMED);
		if (!rows[i].good) {
			assert_memory_equal(&l, &before, sizeof(l));
			continue;
		}
		assert_memory_equal(l.nonce, p + 1, CONFLUX_NONCE);
		assert_true(l.sent == 0x2122232425262728ull);
		assert_true(l.received == 0x292a2b2c2d2e2f30ull);
		conflux_link_put(back, &l);
		assert_memory_equal(back, p, CONFLUX_LINK_LEN);
	}
}

static void test_switch(void **state)
{
	static const uint8_t p[] = {0xff, 0xfe, 0xfd, 0xfc, 9};

	assert_true(conflux_switch_get(p, 5) == 0xfffefdfcu);
	assert_true(conflux_switch_get(p, 4) == 0xfffefdfcu);
	assert_int_equal(conflux_switch_get(p, 3), 0);
	assert_int_equal(conflux_switch_get(p, 0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
