/* test_xon.c - XOFF and XON: said for a destination that TCP cannot serve as fast as the client
 * sends, obeyed for a client that cannot be served so fast; under a virtual clock, with two stacks
 * joined in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/edge/edge.h"
#include "dataplane/tcp/pair.h"

#define CIRC 3
#define MS   1000ull

static struct pair *pair;
static struct edge e;
static struct counts counts;
static uint32_t list, conn[2], stream;
static int64_t params[N_CTL_PARAMS];
static uint8_t said[EDGE_XON_LEN];

/* An open exit stream; the side CLIENT of the pair is ours, SERVER the destination. */
static int setup(void **state)
{
	static const int64_t defaults[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
		CTL_PARAMS(X)
#undef X
	};
	int i;

	memcpy(params, defaults, sizeof(params));
	memset(&counts, 0, sizeof(counts));
	list = SLOT_NONE;
	pair = pair_new(7, NULL);
	pair_connect(pair, KIND_RAW, conn);
	if (edge_init(&e, 0, 8, 4096, (struct hash_key) {0}, pair->t[CLIENT], &counts, params,
		      pair->now_us))
		return -1;
	i = edge_begin(&e, CIRC, &list, 9, RELAY_BEGIN, true);
	stream = (uint32_t)i;
	edge_connecting(&e, stream, conn[CLIENT], 60);
	return edge_opened(&e, stream);
}

static int teardown(void **state)
{
	edge_end(&e, stream, &list, false, pair->now_us);
	edge_fini(&e);
	pair_free(pair);
	return 0;
}

static enum edge_word data_in(unsigned cells)
{
	static const uint8_t body[RELAY_BODY];
	enum edge_word word = EDGE_NOTHING, last;

	for (unsigned i = 0; i < cells; i++) {
		assert_int_equal(edge_data(&e, stream, body, sizeof(body)), 0);
		last = edge_look(&e, stream, true, true, pair->now_us, said);
		word = last ? last : word;
	}
	return word;
}

/* Time passes; what the destination got is read if reads. The last word that was due. */
static enum edge_word pass(uint64_t us, bool reads)
{
	uint64_t end = pair->now_us + us;
	enum edge_word word = EDGE_NOTHING, last;
	uint32_t len;
	uint8_t *p;

	while (pair->now_us < end) {
		pair_turn(pair);
		while (reads && tcp_peek(pair->t[SERVER], conn[SERVER], &p, &len))
			tcp_take(pair->t[SERVER], conn[SERVER], len);
		if (!pair->n_events[CLIENT])
			continue;
		last = edge_look(&e, stream, false, true, pair->now_us, said);
		word = last ? last : word;
	}
	return word;
}

static uint32_t waits(void)
{
	return tcp_unsent(pair->t[CLIENT], conn[CLIENT]);
}

/* The destination reads nothing: XOFF, once, and not before the burst is 5 ms old. */
static void test_xoff(void **state)
{
	while (waits() <= 500 * 488)
		assert_int_equal(data_in(1), EDGE_NOTHING);
	assert_int_equal(data_in(100), EDGE_NOTHING); /* a burst may drain */
	pass(6 * MS, false);
	assert_int_equal(data_in(1), EDGE_XOFF);
	assert_int_equal(said[0], 0);
	assert_int_equal(counts.v[COUNT_edge_xoff_out], 1);
	pass(200 * MS, false);
	assert_int_equal(data_in(50), EDGE_NOTHING); /* one is enough */
	/* It reads: XON when the last byte has left, with a rate. */
	assert_int_equal(pass(20000 * MS, true), EDGE_XON);
	assert_int_equal(waits(), 0);
	assert_int_equal(counts.v[COUNT_edge_xon_out], 1);
	assert_true(e.flow[stream].rate_said == be32_get(said + 1));
	assert_int_equal(e.flow[stream].xoff_said, 0);
}

/* A burst that drains within its grace says nothing, and begins the grace anew. */
static void test_grace(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		while (waits() <= 500 * 488)
			assert_int_equal(data_in(1), EDGE_NOTHING);
		pass(20000 * MS, true);
		assert_int_equal(waits(), 0);
		assert_int_equal(data_in(1), EDGE_NOTHING);
	}
	assert_int_equal(counts.v[COUNT_edge_xoff_out], 0);
}

/* A slow destination: the rate that XON tells is near the one at which bytes drain, and another XON
 * comes only when that has moved by a quarter. */
static void test_rate(void **state)
{
	uint64_t from, us, bytes;
	uint32_t rate;

	pair->rate = 1000000; /* bytes a second */
	data_in(1200);
	pass(6 * MS, true);
	assert_int_equal(data_in(1), EDGE_XOFF);
	from = pair->now_us;
	bytes = waits();
	assert_int_equal(pass(2000 * MS, true), EDGE_XON);
	us = pair->now_us - from;
	rate = e.flow[stream].rate_said;
	assert_true(us && bytes);
	assert_in_range(rate, 700, 1300); /* in 1000 bytes a second */
	/* kept at about that rate, nothing is said */
	for (unsigned i = 0; i < 400; i++) {
		data_in(10);
		assert_int_not_equal(pass(5 * MS, true), EDGE_XOFF);
	}
	assert_in_range(counts.v[COUNT_edge_xon_out], 1, 12);
	/* three times as fast: said, on the way up */
	pair->rate = 4000000;
	for (unsigned i = 0; i < 400; i++) {
		while (waits() < 200000)
			data_in(1);
		pass(5 * MS, true);
	}
	assert_in_range(e.flow[stream].rate_said, 2500, 6500);
}

/* Who does not heed XOFF loses the stream; memory is bounded. */
static void test_flood(void **state)
{
	static const uint8_t body[RELAY_BODY];
	unsigned n = 0;

	while (edge_data(&e, stream, body, sizeof(body)) == 0)
		assert_true(++n < 12000);
	assert_true(n >= 10000);
	assert_int_equal(counts.v[COUNT_edge_flooded] + counts.v[COUNT_tcp_no_buffer], 1);
}

/* What a client says: row by row. */
static void test_heard(void **state)
{
	static const struct {
		int n;
		uint8_t command, len, body[6];
		int rc;
		bool may_send;
		uint32_t rate;
	} rows[] = {
		{1, RELAY_XOFF, 1, {0}, 0, false, 0},
		{2, RELAY_XOFF, 1, {0}, ERR_NOT_NOW, false, 0}, /* once is enough */
		{3, RELAY_XON, 4, {0, 0, 0, 1}, ERR_MALFORMED, false, 0},
		{4, RELAY_XON, 5, {1, 0, 0, 0, 1}, ERR_MALFORMED, false, 0},
		{5, RELAY_XON, 0, {0}, ERR_MALFORMED, false, 0},
		{6, RELAY_XON, 5, {0, 0, 0, 0, 0}, 0, true, 0}, /* as fast as you like */
		{7, RELAY_XON, 6, {0, 0, 0, 0, 9, 7}, 0, true, 9000},
		{8, RELAY_XOFF, 0, {0}, 0, false, 9000}, /* its body is nothing, as with C tor */
		{9, RELAY_XON, 5, {0, 0, 0x20, 0xc4, 0x9b}, 0, true, 2147483000},
		{10, RELAY_XON, 5, {0, 0, 0x20, 0xc4, 0x9c}, 0, true, 0}, /* beyond all rates */
		{11, RELAY_XON, 5, {0, 0xff, 0xff, 0xff, 0xff}, 0, true, 0},
		{12, RELAY_XOFF, 5, {9, 9, 9, 9, 9}, 0, false, 0},
		{13, RELAY_XON, 5, {0, 0, 0, 0, 1}, 0, true, 1000},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int rc = edge_flow_in(&e, stream, rows[i].command, rows[i].body, rows[i].len, 1);

		if (rc != rows[i].rc || edge_may_send(&e, stream) != rows[i].may_send ||
		    e.flow[stream].bucket_rate != rows[i].rate ||
		    e.stream[stream].rated != (rows[i].rate != 0))
			fail_msg("row %d: %d", rows[i].n, rc);
	}
}

/* On circuits without congestion control, and before CONNECTED, they mean nothing; and a stream
 * SENDME ends a circuit with it, whether or not the stream is held. */
static void test_not_now(void **state)
{
	static const uint8_t xon[5];
	uint32_t fixed = (uint32_t)edge_begin(&e, CIRC, &list, 10, RELAY_BEGIN_DIR, false);
	uint32_t asked = (uint32_t)edge_begin(&e, CIRC, &list, 11, RELAY_BEGIN_DIR, true);

	edge_dir(&e, fixed);
	assert_int_equal(edge_flow_in(&e, fixed, RELAY_XOFF, xon, 1, 1), ERR_NOT_NOW);
	assert_int_equal(edge_flow_in(&e, fixed, RELAY_XON, xon, 5, 1), ERR_NOT_NOW);
	assert_true(edge_may_send(&e, fixed));
	assert_int_equal(edge_flow_in(&e, asked, RELAY_XOFF, xon, 1, 1), ERR_NOT_NOW);
	edge_dir(&e, asked);
	assert_int_equal(edge_flow_in(&e, asked, RELAY_XOFF, xon, 1, 1), 0);
	assert_false(edge_may_send(&e, asked));
	assert_int_equal(edge_sendme_in(&e, asked), ERR_MALFORMED);
	assert_int_equal(edge_sendme_in(&e, stream), ERR_MALFORMED);
	assert_int_equal(edge_sendmes(&e, asked), 0);
	edge_end(&e, fixed, &list, false, 1);
	edge_end(&e, asked, &list, false, 1);
}

/* Their rate is kept: so many bytes in a second and no more than one second's at once. */
static void test_bucket(void **state)
{
	static const uint8_t xon[] = {0, 0, 0, 0, 50}; /* 50,000 bytes a second */
	uint64_t now = pair->now_us + 1000 * MS, sent = 0, first = 0;

	assert_int_equal(edge_flow_in(&e, stream, RELAY_XON, xon, 5, now), 0);
	for (uint64_t end = now + 10000 * MS; now < end; now += MS) {
		edge_refill(&e, now);
		while (edge_may_send(&e, stream)) {
			edge_spent(&e, stream, RELAY_BODY, now);
			sent += RELAY_BODY;
		}
		first = first ? first : sent;
	}
	assert_in_range(first, 50000, 50500);
	assert_in_range(sent, 549000, 551000);
	/* A faster rate is heard at once, also while the bucket is empty. */
	assert_false(edge_may_send(&e, stream));
	assert_int_equal(edge_flow_in(&e, stream, RELAY_XON, (uint8_t[5]) {0}, 5, now), 0);
	assert_true(edge_may_send(&e, stream));
	/* A stream that ends in want of tokens is not heard of again. */
	assert_int_equal(edge_flow_in(&e, stream, RELAY_XON, xon, 5, now), 0);
	while (edge_may_send(&e, stream))
		edge_spent(&e, stream, RELAY_BODY, now);
	edge_end(&e, stream, &list, false, now);
	edge_refill(&e, now + 60000 * MS);
	assert_int_equal(edge_next_ready(&e), SLOT_NONE);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_xoff),  WITH(test_grace),   WITH(test_rate),	 WITH(test_flood),
		WITH(test_heard), WITH(test_not_now), WITH(test_bucket),
	};

	pair_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
