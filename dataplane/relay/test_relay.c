/* test_relay.c - windows and SENDMEs: which are due, which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/relay/relay.h"

static struct cipher cipher;
static struct rng rng;
static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};

static const struct relay_terms fixed = {.tag_len = 20};
static const struct relay_queue idle;

static void start(struct relay *r, const struct relay_terms *terms)
{
	assert_int_equal(relay_start(r, 1, terms), 0);
}

static void tag_of(unsigned i, uint8_t tag[RELAY_TAG])
{
	memset(tag, (int)i, RELAY_TAG);
}

static uint16_t body_of(uint8_t *body, uint8_t version, uint16_t len, unsigned tag)
{
	body[0] = version;
	be16_put(body + 1, len);
	tag_of(tag, body + 3);
	return RELAY_SENDME_LEN;
}

static void send_cells(struct relay *r, unsigned n)
{
	uint8_t tag[RELAY_TAG];

	for (unsigned i = 1; i <= n; i++) {
		assert_true(relay_room(r, 1));
		tag_of(i % 256, tag);
		assert_int_equal(relay_data_out(r, 1, tag, 0), 0);
	}
}

static void test_window(void **state)
{
	uint8_t body[RELAY_SENDME_LEN];
	struct relay r;

	assert_int_equal(relay_init(&r, 2, &cipher, &rng, &counts, params), 0);
	start(&r, &fixed);
	send_cells(&r, 1000);
	assert_false(relay_room(&r, 1));
	for (unsigned i = 1; i <= 10; i++) /* in order, each by the tag of its hundredth cell */
		assert_int_equal(
			relay_sendme_in(&r, 1, body, body_of(body, 1, 20, i * 100 % 256), idle, 0),
			0);
	assert_int_equal(r.window[1].in_flight, 0);
	assert_int_equal(relay_sendme_in(&r, 1, body, body_of(body, 1, 20, 0), idle, 0),
			 ERR_MALFORMED);
	relay_fini(&r);
}

static void test_refused(void **state)
{
	static const struct {
		uint8_t version;
		uint16_t len;
		unsigned tag;
		int64_t accept_min;
		bool legacy;
		int rc;
	} rows[] = {
		/* 1 */ {1, 20, 100, 0, false, 0},
		/* 2 */ {1, 20, 101, 0, false, ERR_MALFORMED}, /* another cell's tag */
		/* 3 */ {1, 19, 100, 0, false, ERR_MALFORMED},
		/* 4 */ {1, 21, 100, 0, false, ERR_MALFORMED},
		/* 5 */ {2, 20, 100, 0, false, ERR_MALFORMED},
		/* 6 */ {0, 0, 0, 0, false, 0}, /* version 0 while it is accepted */
		/* 7 */ {0, 0, 0, 1, false, ERR_MALFORMED},
		/* 8 */ {0, 0, 0, 1, true, 0}, /* CREATE_FAST */
	};
	uint8_t body[RELAY_SENDME_LEN];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay r;

		params[CTL_PARAM_SENDME_ACCEPT_MIN] = rows[i].accept_min;
		assert_int_equal(relay_init(&r, 2, &cipher, &rng, &counts, params), 0);
		start(&r, &(struct relay_terms) {.tag_len = 20, .legacy = rows[i].legacy});
		send_cells(&r, 199);
		body_of(body, rows[i].version, rows[i].len, rows[i].tag);
		assert_int_equal(relay_sendme_in(&r, 1, body, sizeof(body), idle, 0), rows[i].rc);
		assert_int_equal(r.window[1].in_flight, rows[i].rc ? 199 : 99);
		relay_fini(&r);
	}
	params[CTL_PARAM_SENDME_ACCEPT_MIN] = 0;
}

static void test_due(void **state)
{
	uint8_t tag[RELAY_TAG] = {9}, body[RELAY_SENDME_LEN];
	unsigned n_due = 0, n_short = 0, since = 0;
	struct relay r;

	assert_int_equal(relay_init(&r, 2, &cipher, &rng, &counts, params), 0);
	start(&r, &fixed);
	for (unsigned i = 1; i <= 1000; i++) {
		bool due = relay_data_in(&r, 1);

		assert_int_equal(due, i % 100 == 0);
		n_due += due;
	}
	assert_int_equal(n_due, 10);
	assert_int_equal(relay_sendme_make(&r, 1, tag, body), RELAY_SENDME_LEN);
	assert_memory_equal(body, "\1\0\24\t", 4);
	/* At least 16 random bytes in one DATA cell of each 50 to 99. */
	for (unsigned i = 0; i < 2000; i++) {
		since++;
		if (relay_data_room(&r, 1, RELAY_BODY, &rng) < RELAY_BODY) {
			assert_true(!n_short || (since >= 50 && since < 100));
			since = 0;
			n_short++;
		}
	}
	assert_true(n_short >= 20);
	relay_fini(&r);
}

/* Four zero bytes, then bytes that do not come twice, and nothing beside them. */
static void test_pad(void **state)
{
	static const uint16_t lens[] = {0, 1, 477, 478, 492, 493, 494, 495, 497, 498};
	uint8_t room[2][CELL_PAYLOAD + 16];
	struct relay r;

	assert_int_equal(relay_init(&r, 2, &cipher, &rng, &counts, params), 0);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		size_t at = RELAY_HEAD + lens[i], random = MIN(at + 4, (size_t)CELL_PAYLOAD);

		for (unsigned k = 0; k < 2; k++) {
			memset(room[k], 0xa5, sizeof(room[k]));
			relay_pad(&r, room[k], at);
			for (size_t b = 0; b < sizeof(room[k]); b++)
				if (b < at || b >= CELL_PAYLOAD)
					assert_int_equal(room[k][b], 0xa5);
				else if (b < random)
					assert_int_equal(room[k][b], 0);
		}
		if (CELL_PAYLOAD - random >= 16)
			assert_memory_not_equal(room[0] + random, room[1] + random, 16);
	}
	relay_fini(&r);
}

static int setup(void **state)
{
	static const uint8_t seed[32] = {1};

	rng_seed(&rng, seed);
	return cipher_init(&cipher, 0);
}

static int teardown(void **state)
{
	cipher_fini(&cipher);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_window),
					   cmocka_unit_test(test_refused),
					   cmocka_unit_test(test_due), cmocka_unit_test(test_pad)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
