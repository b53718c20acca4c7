/* test_onionskin.c - rows of CREATE2, CREATED2 and EXTEND2 bodies, edges first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "dataplane/wire/onionskin.h"

static size_t unhex(uint8_t *to, const char *hex)
{
	size_t n = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		char two[3] = {hex[0], hex[1], 0};
		to[n++] = (uint8_t)strtoul(two, NULL, 16);
		hex++;
	}
	return n;
}

#define RSA  "0214 1111111111111111111111111111111111111111 "
#define RSA2 "0214 2222222222222222222222222222222222222222 "
#define ED   "0320 3333333333333333333333333333333333333333333333333333333333333333 "
#define V4   "0006 01020304 2329 "
#define V4B  "0006 05060708 0001 "
#define V6   "0112 20010db8000000000000000000000001 01bb "
#define MAKE "0002 0003 aabbcc"

static const struct {
	int n;
	const char *hex;
	int want;
	int families; /* 1: v4, 2: v6 */
	bool ed;
} rows[] = {
	{1, "", ERR_MALFORMED, 0, false},
	{2, "00 " MAKE, ERR_MALFORMED, 0, false},
	{3, "02 " V4 RSA MAKE, 0, 1, false},
	{4, "02 " V6 RSA MAKE, 0, 2, false},
	{5, "04 " V4 RSA ED V6 MAKE, 0, 3, true},
	{6, "04 " V6 ED RSA V4 MAKE, 0, 3, true}, /* any order */
	{7, "03 " V4 V4B RSA MAKE, 0, 1, false},  /* first wins */
	{8, "03 " V4 RSA RSA2 MAKE, ERR_MALFORMED, 0, false},
	{9, "04 " V4 RSA ED ED MAKE, ERR_MALFORMED, 0, false},
	{10, "01 " V4 MAKE, ERR_MALFORMED, 0, false},	     /* no identity */
	{11, "02 " RSA ED MAKE, ERR_MALFORMED, 0, false},    /* no address */
	{12, "03 " V4 RSA "7f03 010203 " MAKE, 0, 1, false}, /* unknown kind */
	{13, "02 0007 0102030400010000 " RSA MAKE, ERR_MALFORMED, 0, false},
	{14, "02 " V4 "0213 11111111111111111111111111111111111111 " MAKE, ERR_MALFORMED, 0, false},
	{15, "02 " V4 RSA "0002 0004 aabbcc", ERR_MALFORMED, 0, false},
	{16, "02 " V4 RSA "0002 0000", 0, 1, false},
	{17, "02 " V4 RSA, ERR_MALFORMED, 0, false},
	{18, "ff " V4 RSA MAKE, ERR_MALFORMED, 0, false},
	{19, "02 " V4 RSA MAKE "0000000000", 0, 1, false}, /* trailing bytes */
};

static void test_extend2(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct extend2 e = {.has_ed = true}, untouched = e;
		uint8_t body[600], again[600];
		size_t len = unhex(body, rows[i].hex);
		int got = extend2_get(&e, body, len);

		if (got != rows[i].want)
			fail_msg("row %d: %d", rows[i].n, got);
		if (got) {
			assert_memory_equal(&e, &untouched, sizeof(e));
			continue;
		}
		assert_int_equal((e.or4.family ? 1 : 0) + (e.or6.family ? 2 : 0), rows[i].families);
		assert_int_equal(e.has_ed, rows[i].ed);
		assert_int_equal(e.create.type, 2);
		if (e.or4.family)
			assert_int_equal(e.or4.port, 9001);
		int put = extend2_put(&e, again, sizeof(again));
		struct extend2 f;
		assert_true(put > 0);
		assert_int_equal(extend2_get(&f, again, (size_t)put), 0);
		assert_memory_equal(f.rsa_id, e.rsa_id, 20);
		assert_true(addr_same(&f.or4, &e.or4) && addr_same(&f.or6, &e.or6));
		assert_int_equal(f.create_bytes.len, e.create_bytes.len);
		assert_memory_equal(f.create_bytes.p, e.create_bytes.p, e.create_bytes.len);
	}
}

static void test_extend2_no_room(void **state)
{
	uint8_t body[600], again[600];
	struct extend2 e;
	size_t len = unhex(body, "04 " V4 RSA ED V6 MAKE);

	assert_int_equal(extend2_get(&e, body, len), 0);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(extend2_put(&e, again, cap), ERR_FULL);
	assert_int_equal(extend2_put(&e, again, len), (int)len);
	assert_memory_equal(again, body, len);
}

static void test_create2(void **state)
{
	uint8_t p[520] = {0, 3, 0x01, 0xf9}, q[520];
	struct create2 c;

	assert_int_equal(create2_get(&c, p, 509), 0);
	assert_int_equal(c.type, 3);
	assert_int_equal(c.len, 505);
	assert_int_equal(create2_get(&c, p, 508), ERR_MALFORMED);
	p[3] = 0xfa; /* 506: longer than a cell holds */
	assert_int_equal(create2_get(&c, p, 520), ERR_MALFORMED);
	p[3] = 0xf9;
	assert_int_equal(create2_get(&c, p, 509), 0);
	assert_int_equal(create2_put(&c, q, 508), ERR_FULL);
	assert_int_equal(create2_put(&c, q, 509), 509);
	assert_memory_equal(p, q, 509);
	assert_int_equal(create2_get(&c, p, 3), ERR_MALFORMED);
}

static void test_created2(void **state)
{
	uint8_t p[520] = {1, 0xf0}, q[520];
	struct bytes b;

	assert_int_equal(created2_get(&b, p, 498), 0);
	assert_int_equal(b.len, 496);
	assert_int_equal(created2_get(&b, p, 497), ERR_MALFORMED);
	p[1] = 0xf1;
	assert_int_equal(created2_get(&b, p, 520), ERR_MALFORMED);
	assert_int_equal(created2_put(p, 497, q, sizeof(q)), ERR_FULL);
	assert_int_equal(created2_put("abc", 3, q, 4), ERR_FULL);
	assert_int_equal(created2_put("abc", 3, q, 5), 5);
	assert_memory_equal(q, "\0\003abc", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extend2),
		cmocka_unit_test(test_extend2_no_room),
		cmocka_unit_test(test_create2),
		cmocka_unit_test(test_created2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
