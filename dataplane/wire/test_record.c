/* test_record.c - heads of TLS records: every edge of type, version and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/wire/record.h"

static const struct {
	int want;
	size_t len;
	uint8_t head[RECORD_HEAD];
} rows[] = {
	/* 0 */ {ERR_NOT_NOW, 0, {0}},
	/* 1 */ {ERR_NOT_NOW, 4, {23, 3, 3, 0}},
	/* 2 */ {0, 5, {23, 3, 3, 0, 0}},
	/* 3 */ {0, 5, {22, 3, 1, 0x40, 0}},
	/* 4 */ {0, 5, {21, 3, 3, 0, 2}},
	/* 5 */ {0, 5, {20, 3, 3, 0, 1}},
	/* 6 */ {ERR_MALFORMED, 5, {19, 3, 3, 0, 1}},
	/* 7 */ {ERR_MALFORMED, 5, {24, 3, 3, 0, 1}},
	/* 8 */ {ERR_MALFORMED, 5, {23, 2, 3, 0, 1}},
	/* 9 */ {ERR_MALFORMED, 5, {'G', 'E', 'T', ' ', '/'}},
	/* 10 */ {0, 5, {23, 3, 3, 0x48, 0}},
	/* 11 */ {ERR_MALFORMED, 5, {23, 3, 3, 0x48, 1}},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct record r = {.type = 99};
		uint8_t again[RECORD_HEAD];

		if (record_parse(&r, rows[i].head, rows[i].len) != rows[i].want)
			fail_msg("row %zu", i);
		if (rows[i].want) {
			assert_int_equal(r.type, 99); /* nothing is written on failure */
			continue;
		}
		record_put(again, r);
		assert_memory_equal(again, rows[i].head, RECORD_HEAD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
