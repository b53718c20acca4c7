/* test_relay_msg.c - both formats: where everything stands, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/wire/relay_msg.h"

static const struct {
	int n;
	enum relay_format format;
	uint8_t command;
	uint16_t stream, len;
	unsigned at; /* of the body */
	int rc;
} rows[] = {
	{1, RELAY_V0, RELAY_DATA, 0x1234, 498, 11, 0},
	{2, RELAY_V0, RELAY_DATA, 1, 499, 11, ERR_MALFORMED},
	{3, RELAY_V0, RELAY_SENDME, 0x1234, 0, 11, 0}, /* of a stream */
	{4, RELAY_V0, 200, 7, 3, 11, 0},	       /* unknown ones are read */
	{5, RELAY_V1, RELAY_DATA, 0x1234, 488, 21, 0},
	{6, RELAY_V1, RELAY_DATA, 1, 489, 21, ERR_MALFORMED},
	{7, RELAY_V1, RELAY_DATA, 0, 0, 21, 0}, /* what stream 0 means is not ours to say */
	{8, RELAY_V1, RELAY_SENDME, 0, 490, 19, 0},
	{9, RELAY_V1, RELAY_SENDME, 0, 491, 19, ERR_MALFORMED},
	{10, RELAY_V1, RELAY_EXTENDED2, 0, 490, 19, 0},
	{11, RELAY_V1, 0, 0, 0, 19, ERR_UNKNOWN},
	{12, RELAY_V1, 16, 0, 0, 19, ERR_UNKNOWN},
	{13, RELAY_V1, 45, 0, 0, 19, ERR_UNKNOWN},
	{14, RELAY_V1, 64 + RELAY_DATA, 0, 0, 19, ERR_UNKNOWN},
	{15, RELAY_V1, 200, 0, 0, 19, ERR_UNKNOWN},
	{16, RELAY_V1, 200, 0, 500, 19, ERR_UNKNOWN},
	{17, RELAY_V1, RELAY_EXTEND, 0, 1, 19, 0}, /* known, if dead */
	{18, RELAY_V1, RELAY_XON, 9, 5, 21, 0},
	{19, RELAY_V1, RELAY_INTRODUCE1, 0, 490, 19, 0},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t p[CELL_PAYLOAD], before[CELL_PAYLOAD];
		struct relay_msg m = {.command = 99}, was = m;

		memset(p, 0xa5, sizeof(p));
		relay_msg_write(p, rows[i].format, rows[i].command, rows[i].stream, rows[i].len);
		memcpy(before, p, sizeof(p));
		if (relay_msg_read(&m, p, rows[i].format) != rows[i].rc)
			fail_msg("row %d", rows[i].n);
		assert_memory_equal(p, before, sizeof(p));
		for (size_t k = rows[i].at; k < sizeof(p); k++)
			assert_int_equal(p[k], 0xa5); /* a head and no more was written */
		if (rows[i].rc) {
			assert_memory_equal(&m, &was, sizeof(m));
			continue;
		}
		assert_int_equal(m.command, rows[i].command);
		assert_int_equal(m.stream_id, rows[i].stream);
		assert_int_equal(m.len, rows[i].len);
		assert_ptr_equal(m.body, p + rows[i].at);
		assert_int_equal(relay_body_at(rows[i].format, m.command), rows[i].at);
	}
}

/* Where each field stands, byte by byte. */
static void test_bytes(void **state)
{
	static const uint8_t v0[11] = {2, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 1, 2},
			     v1[21] = {[16] = 2, 1, 2, 0x12, 0x34}, sendme[19] = {[16] = 5, 0, 19};
	uint8_t p[CELL_PAYLOAD] = {0};

	relay_msg_write(p, RELAY_V0, RELAY_DATA, 0x1234, 0x102);
	assert_memory_equal(p, v0, sizeof(v0));
	relay_msg_write(p, RELAY_V1, RELAY_DATA, 0x1234, 0x102);
	assert_memory_equal(p, v1, sizeof(v1));
	relay_msg_write(p, RELAY_V1, RELAY_SENDME, 0, 19);
	assert_memory_equal(p, sendme, sizeof(sendme));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
					   cmocka_unit_test(test_bytes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
