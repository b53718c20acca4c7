/* test_begin.c - rows of BEGIN, CONNECTED, END, RESOLVE and RESOLVED bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dataplane/wire/begin.h"
#include "dataplane/wire/relay_msg.h"

#define B(s) s, sizeof(s) - 1

static const struct {
	int n;
	const char *body;
	size_t len;
	int want;
	const char *host;
	unsigned port, flags, family;
} rows[] = {
	{1, B(""), ERR_MALFORMED, 0, 0, 0, 0},
	{2, B("example.com:80"), ERR_MALFORMED, 0, 0, 0, 0}, /* no NUL */
	{3, B("example.com:80\0"), 0, "example.com", 80, 0, 0},
	{4, B("example.com\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{5, B("example.com:\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{6, B("example.com:0\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{7, B("example.com:65535\0"), 0, "example.com", 65535, 0, 0},
	{8, B("example.com:65536\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{9, B("example.com:000080\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{10, B("example.com:8o\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{11, B("example.com:-1\0"), ERR_MALFORMED, 0, 0, 0, 0},
	{12, B("EXAMPLE.Com:443\0\0\0\0\1"), 0, "example.com", 443, 1, 0},
	{13, B("a:1\0\0\0\0"), 0, "a", 1, 0, 0}, /* three bytes of flags are none */
	{14, B("a:1\0\0\0\0\7junk"), 0, "a", 1, 7, 0},
	{15, B("1.2.3.4:5\0"), 0, "1.2.3.4", 5, 0, 4},
	{16, B("[2001:db8::1]:5\0"), 0, "[2001:db8::1]", 5, 0, 6},
	{17, B("2001:db8::1:5\0"), 0, "2001:db8::1", 5, 0, 6},
	{18, B("1.2.3.4:6:5\0"), 0, "1.2.3.4:6", 5, 0, 0}, /* no literal */
	{19, B("[::1:5\0"), 0, "[::1", 5, 0, 0},
	{20, B(":80\0"), 0, "", 80, 0, 0},
	{21, B("[:80\0"), 0, "[", 80, 0, 0},
};

static void test_begin(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct begin b;
		uint8_t again[600];
		int got = begin_get(&b, (const uint8_t *)rows[i].body, rows[i].len);

		if (got != rows[i].want)
			fail_msg("row %d: %d", rows[i].n, got);
		if (got)
			continue;
		if (strcmp(b.host, rows[i].host) || b.port != rows[i].port ||
		    b.flags != rows[i].flags || b.literal.family != rows[i].family)
			fail_msg("row %d: %s %u %x %u", rows[i].n, b.host, b.port, b.flags,
				 b.literal.family);
		if (b.literal.family)
			assert_int_equal(b.literal.port, b.port);
		int len = begin_put(&b, again, sizeof(again));
		struct begin c;
		assert_int_equal(begin_get(&c, again, (size_t)len), 0);
		assert_memory_equal(&b, &c, sizeof(b));
		assert_int_equal(begin_put(&b, again, (size_t)len - 1), ERR_FULL);
	}
}

static void test_connected_end(void **state)
{
	struct addr a4, a6, got;
	uint8_t p[CONNECTED_MAX], e[END_MAX];
	uint32_t ttl;

	assert_int_equal(addr_parse(&a4, "1.2.3.4"), 0);
	assert_int_equal(addr_parse(&a6, "2001:db8::2"), 0);
	assert_int_equal(connected_put(&a4, 300, p), 8);
	assert_memory_equal(p, "\1\2\3\4\0\0\1\054", 8);
	assert_int_equal(connected_get(&got, &ttl, p, 8), 0);
	assert_true(addr_same(&got, &a4) && ttl == 300);
	assert_int_equal(connected_get(&got, &ttl, p, 7), ERR_MALFORMED);
	assert_int_equal(connected_put(&a6, 3600, p), 25);
	assert_memory_equal(p, "\0\0\0\0\6\x20\1", 7);
	assert_int_equal(connected_get(&got, &ttl, p, 25), 0);
	assert_true(addr_same(&got, &a6) && ttl == 3600);
	p[4] = 7;
	assert_int_equal(connected_get(&got, &ttl, p, 25), ERR_MALFORMED);
	assert_int_equal(connected_put(&(struct addr) {0}, 1, p), 0);
	assert_int_equal(connected_get(&got, &ttl, p, 0), 0);
	assert_int_equal(got.family, 0);

	assert_int_equal(end_put(END_MISC, &a4, 5, e), 1);
	assert_int_equal(end_put(END_EXITPOLICY, NULL, 5, e), 1);
	assert_int_equal(end_put(END_EXITPOLICY, &a4, 5, e), 9);
	assert_memory_equal(e, "\4\1\2\3\4\0\0\0\5", 9);
	assert_int_equal(end_put(END_EXITPOLICY, &a6, 5, e), 21);
}

static void test_resolve(void **state)
{
	uint8_t p[100], long_name[600];
	char name[BEGIN_HOST];
	struct writer w = writer_of(p, sizeof(p));
	struct reader r;
	struct addr a4, a6;
	struct bytes value;
	uint8_t type;
	uint32_t ttl;

	assert_int_equal(resolve_get(name, (const uint8_t *)"WWW.x\0y", 7), 0);
	assert_string_equal(name, "www.x");
	assert_int_equal(resolve_get(name, (const uint8_t *)"www", 2), 0);
	assert_string_equal(name, "ww");
	assert_int_equal(resolve_get(name, NULL, 0), 0);
	assert_string_equal(name, "");
	memset(long_name, 'a', sizeof(long_name));
	assert_int_equal(resolve_get(name, long_name, 511), 0);
	assert_int_equal(resolve_get(name, long_name, 512), ERR_MALFORMED);

	addr_parse(&a4, "9.8.7.6");
	addr_parse(&a6, "::2");
	resolved_put_addr(&w, &a4, RESOLVED_TTL);
	resolved_put_addr(&w, &a6, RESOLVED_TTL);
	resolved_put_text(&w, RESOLVED_ERROR, "Error resolving hostname", RESOLVED_TTL);
	assert_false(w.bad);
	assert_int_equal(wr_len(&w), 10 + 22 + 30);
	assert_memory_equal(p, "\4\4\x9\x8\7\6\0\0\0\x3c\6\x10", 12);
	r = reader_of(p, wr_len(&w));
	assert_int_equal(resolved_next(&r, &type, &value, &ttl), 1);
	assert_int_equal(type, RESOLVED_IPV4);
	assert_int_equal(resolved_next(&r, &type, &value, &ttl), 1);
	assert_int_equal(value.len, 16);
	assert_int_equal(resolved_next(&r, &type, &value, &ttl), 1);
	assert_int_equal(type, RESOLVED_ERROR);
	assert_int_equal(ttl, 60);
	assert_memory_equal(value.p, "Error resolving hostname", value.len);
	assert_int_equal(resolved_next(&r, &type, &value, &ttl), 0);
	r = reader_of(p, wr_len(&w) - 1);
	resolved_next(&r, &type, &value, &ttl);
	resolved_next(&r, &type, &value, &ttl);
	assert_int_equal(resolved_next(&r, &type, &value, &ttl), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_connected_end),
		cmocka_unit_test(test_resolve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
