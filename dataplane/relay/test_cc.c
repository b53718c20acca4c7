/* test_cc.c - congestion control: what one SENDME makes of a window, row by row (proposal 324); the
 * round-trip time and the clock; tags beyond those of a fixed window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/relay/internal.h"

#define MS 1000ull

static struct cipher cipher;
static struct rng rng;
static struct counts counts;
static struct relay r;
static int64_t params[N_CTL_PARAMS];
static const int64_t defaults[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};

static const struct relay_terms terms = {.flow = CTL_FLOW_CC, .sendme_inc = 31, .tag_len = 20};

/* A circuit of the defaults: gamma and alpha 186, beta 248, delta 310, cap 600. */
static int fresh(void **state)
{
	memcpy(params, defaults, sizeof(params));
	memset(&counts, 0, sizeof(counts));
	r.clock_bad = false;
	return relay_start(&r, 0, &terms);
}

static void ack(uint64_t rtt_us, uint32_t queued, bool blocked)
{
	struct relay_ack a = {.sent_us = 1, .now_us = 1 + rtt_us, .queue = {queued, blocked}};

	cc_acked(&r, 0, &a);
}

/* The window, open all the way. */
static void window_is(uint32_t cwnd, uint32_t in_flight)
{
	r.cc[0].cwnd = r.window[0].limit = cwnd;
	r.window[0].in_flight = in_flight;
}

/* The path holds limit * least / rtt cells; what is more than that waits. */
static const struct {
	int n;
	uint32_t limit, in_flight;
	uint64_t least_ms, rtt_ms;
	struct {
		uint8_t slow, full, was_blocked, blocked;
		uint32_t next_update;
		uint16_t inc; /* 0: the default, 1 */
	} at;
	uint32_t want;
	uint8_t want_slow;
} rows[] = {
	/* slow start: one increment a SENDME while the window is used */
	{1, 124, 124, 100, 100, {1, 0, 0, 0, 1, 0}, 155, 1},
	{2, 300, 176, 100, 100, {1, 0, 0, 0, 1, 0}, 331, 1}, /* but for four increments */
	{3, 300, 175, 100, 100, {1, 0, 0, 0, 1, 0}, 300, 1},
	{4, 300, 175, 100, 100, {1, 1, 0, 0, 1, 0}, 331, 1},
	{5, 1000, 249, 100, 100, {1, 1, 0, 0, 1, 0}, 1000, 1}, /* not a quarter is used */
	{6, 1000, 250, 100, 100, {1, 1, 0, 0, 1, 0}, 1009, 1},
	/* less beyond the cap */
	{7, 600, 600, 100, 100, {1, 0, 0, 0, 1, 0}, 631, 1},
	{8, 601, 601, 100, 100, {1, 0, 0, 0, 1, 0}, 616, 1},
	/* until cells wait, or our own queue is full */
	{9, 370, 370, 100, 200, {1, 0, 0, 0, 1, 0}, 401, 1},
	{10, 372, 372, 100, 200, {1, 0, 0, 0, 1, 0}, 372, 0},
	{11, 400, 400, 100, 400, {1, 0, 0, 0, 1, 0}, 286, 0},
	{12, 400, 400, 100, 100, {1, 0, 0, 1, 1, 0}, 586, 0},
	/* never beyond cc_ss_max, nor slower than steady state */
	{13, 4990, 4990, 100, 100, {1, 0, 0, 0, 1, 0}, 4992, 1},
	{14, 4999, 4999, 100, 100, {1, 0, 0, 0, 1, 0}, 5000, 0},
	{15, 4990, 4990, 100, 100, {1, 0, 0, 0, 1, 100}, 4992, 0},
	/* steady: alpha, beta and delta, once a look */
	{16, 500, 500, 100, 100, {0, 0, 0, 0, 1, 0}, 501, 0},
	{17, 500, 300, 100, 100, {0, 0, 0, 0, 1, 0}, 500, 0},
	{18, 370, 370, 100, 200, {0, 0, 0, 0, 1, 0}, 371, 0},
	{19, 372, 372, 100, 200, {0, 0, 0, 0, 1, 0}, 372, 0},
	{20, 496, 496, 100, 200, {0, 0, 0, 0, 1, 0}, 496, 0},
	{21, 498, 498, 100, 200, {0, 0, 0, 0, 1, 0}, 497, 0},
	{22, 620, 620, 100, 200, {0, 0, 0, 0, 1, 0}, 619, 0},
	{23, 622, 622, 100, 200, {0, 0, 0, 0, 1, 0}, 620, 0},
	{24, 500, 500, 100, 100, {0, 0, 0, 0, 2, 0}, 500, 0},
	/* our own queue: at once when it fills and when it has drained */
	{25, 500, 500, 100, 100, {0, 0, 0, 1, 5, 0}, 499, 0},
	{26, 500, 500, 100, 100, {0, 0, 1, 1, 5, 0}, 500, 0},
	{27, 500, 500, 100, 100, {0, 0, 1, 0, 5, 0}, 501, 0},
	/* never below cc_cwnd_min */
	{28, 124, 124, 100, 100, {0, 0, 0, 1, 1, 0}, 124, 0},
	{29, 130, 130, 100, 100, {0, 0, 0, 1, 1, 1000}, 124, 0},
	{30, 900, 900, 100, 100000, {0, 0, 0, 0, 1, 1000}, 124, 0},
};

static void test_vegas(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_window *w = &r.window[0];
		struct relay_cc *c = &r.cc[0];

		fresh(state);
		window_is(rows[i].limit, rows[i].in_flight);
		c->min_rtt_us = rows[i].least_ms * MS;
		c->rtt_us = rows[i].rtt_ms * MS;
		c->slow_start = rows[i].at.slow;
		c->full = rows[i].at.full;
		c->blocked = rows[i].at.was_blocked;
		c->next_update = rows[i].at.next_update;
		if (rows[i].at.inc)
			c->cwnd_inc = rows[i].at.inc;
		ack(c->rtt_us, 0, rows[i].at.blocked);
		if (c->cwnd != rows[i].want || w->limit > c->cwnd ||
		    c->slow_start != rows[i].want_slow || c->blocked != rows[i].at.blocked ||
		    w->in_flight != rows[i].in_flight - w->inc)
			fail_msg("row %d: %u", rows[i].n, c->cwnd);
	}
}

/* cc_cwnd_max, at once when a new consensus lowers it. */
static void test_max(void **state)
{
	window_is(800, 62);
	params[CTL_PARAM_CC_CWND_MAX] = 500;
	ack(100 * MS, 0, false);
	assert_int_equal(r.cc[0].cwnd, 500);
	params[CTL_PARAM_CC_CWND_MAX] = 7; /* no consensus may say so */
	ack(100 * MS, 0, false);
	assert_int_equal(r.cc[0].cwnd, 500);
}

/* A window a round trip, doubled each time, and then the long way: how a circuit fares whose path
 * holds 1000 cells. */
static void test_course(void **state)
{
	struct relay_cc *c = &r.cc[0];
	uint32_t want[] = {155, 186, 217, 248, 279, 310, 341, 372, 403, 434, 465, 496};

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		window_is(c->cwnd, c->cwnd);
		ack(50 * MS, 0, false);
		assert_int_equal(c->cwnd, want[i]);
	}
	for (unsigned i = 0; i < 4000; i++) {
		window_is(c->cwnd, c->cwnd);
		ack(50 * MS * MAX(c->cwnd, 1000u) / 1000, 0, false);
		assert_true(c->cwnd < 1300);
	}
	assert_int_equal(c->slow_start, 0);
	assert_int_equal(counts.v[COUNT_relay_cc_ss_exit], 1);
	assert_in_range(c->cwnd, 1180,
			1250); /* between alpha and beta beyond what the path holds */
}

static void test_rtt(void **state)
{
	static const struct {
		int n;
		uint64_t ewma, least, rtt;
		bool slow;
		uint32_t limit;
		uint8_t inc_rate, reset_pct;
		uint64_t want, want_least;
	} rtts[] = {
		{1, 0, 0, 50000, true, 500, 31, 100, 50000, 50000},
		{2, 90000, 90000, 30000, true, 500, 31, 100, 50000, 50000},
		{3, 30000, 30000, 90000, true, 500, 31, 100, 70000, 30000},
		{4, 90000, 90000, 30000, false, 500, 31, 100, 50000, 50000},
		/* 100 SENDMEs a look, half of them, at most ten */
		{5, 110000, 90000, 22000, false, 3100, 1, 100, 94000, 90000},
		/* at the smallest window it is taken anew */
		{6, 30000, 10000, 30000, false, 124, 31, 100, 30000, 30000},
		{7, 30000, 10000, 30000, false, 124, 31, 50, 30000, 20000},
		{8, 30000, 10000, 30000, false, 124, 31, 0, 30000, 10000},
		{9, 30000, 10000, 30000, true, 124, 31, 100, 30000, 10000},
	};

	for (size_t i = 0; i < ARRAY_LEN(rtts); i++) {
		struct relay_cc *c = &r.cc[0];

		fresh(state);
		window_is(rtts[i].limit, rtts[i].limit);
		c->rtt_us = rtts[i].ewma;
		c->min_rtt_us = rtts[i].least;
		c->slow_start = rtts[i].slow;
		c->inc_rate = rtts[i].inc_rate;
		params[CTL_PARAM_CC_RTT_RESET_PCT] = rtts[i].reset_pct;
		ack(rtts[i].rtt, 0, false);
		if (c->rtt_us != rtts[i].want || c->min_rtt_us != rtts[i].want_least)
			fail_msg("row %d: %lu, %lu", rtts[i].n, c->rtt_us, c->min_rtt_us);
	}
}

/* A clock that stands or jumps moves neither average nor window; the cells are acknowledged. */
static void test_clock(void **state)
{
	static const struct {
		int n;
		uint64_t ewma, rtt;
		bool slow, bad, taken, bad_after;
	} clocks[] = {
		{1, 0, 0, true, false, false, true},
		{2, 0, 700, true, true, true, true}, /* too early to say that it goes again */
		{3, 700, 700, true, true, true, true},
		{4, 700, 700, false, true, true, false},
		{5, 700, 0, false, false, false, true},
		{6, 5000, 1, false, false, true, false},
		{7, 5001, 1, false, false, true, false}, /* far shorter: it may be so */
		{8, 5001, 1, false, true, false, true},	 /* not of a clock that stood */
		{9, 5001, 1, true, true, true, true},
		{10, 1, 5000, false, true, true, false},
		{11, 1, 5001, false, false, false, false}, /* far longer: never */
		{12, 1, 5001, true, false, true, false},
		{13, 0, 5001, false, false, true, false}, /* there is nothing to compare it with */
	};

	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		struct relay_cc *c = &r.cc[0];
		struct relay_window *w = &r.window[0];

		fresh(state);
		window_is(300, 300);
		c->rtt_us = c->min_rtt_us = clocks[i].ewma;
		c->slow_start = clocks[i].slow;
		r.clock_bad = clocks[i].bad;
		ack(clocks[i].rtt, 0, false);
		if (counts.v[COUNT_relay_cc_clock] == clocks[i].taken ||
		    (!clocks[i].taken && c->rtt_us != clocks[i].ewma) ||
		    r.clock_bad != clocks[i].bad_after || w->in_flight != 269 ||
		    (!clocks[i].taken && c->cwnd != 300))
			fail_msg("row %d", clocks[i].n);
	}
}

/* Time has stood still since the circuit began: only our own queue tells anything. */
static void test_untimed(void **state)
{
	static const struct {
		int n;
		uint32_t queued;
		bool blocked;
		uint32_t want;
	} stalls[] = {
		{1, 0, false, 300},	    {2, 250, false, 300},      {3, 0, true, 300 + 186},
		{4, 50, true, 250 + 186},   {5, 299, true, 124 + 186}, {6, 300, true, 124 + 186},
		{7, 5000, true, 124 + 186},
	};

	for (size_t i = 0; i < ARRAY_LEN(stalls); i++) {
		fresh(state);
		window_is(300, 300);
		ack(0, stalls[i].queued, stalls[i].blocked);
		if (r.cc[0].cwnd != stalls[i].want || r.window[0].in_flight != 269 ||
		    r.window[0].limit != stalls[i].want)
			fail_msg("row %d: %u", stalls[i].n, r.cc[0].cwnd);
	}
}

/* What a circuit may not begin with, and what control may not make of it. */
static void test_terms(void **state)
{
	static const struct {
		int n;
		struct relay_terms t;
		int rc;
		uint32_t limit;
	} starts[] = {
		{1, {CTL_FLOW_FIXED, 0, 20, false}, 0, 1000},
		{2, {CTL_FLOW_CC, 0, 20, false}, ERR_MALFORMED, 0},
		{3, {N_CTL_FLOWS, 31, 20, false}, ERR_MALFORMED, 0},
		{4, {CTL_FLOW_CC, 31, 21, false}, ERR_MALFORMED, 0},
		{5, {CTL_FLOW_CC, 31, 16, false}, 0, 124},
		{6,
		 {CTL_FLOW_CC, 254, 20, false},
		 0,
		 254}, /* a window below one increment stalls */
	};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		relay_stop(&r, 0);
		if (relay_start(&r, 0, &starts[i].t) != starts[i].rc ||
		    r.window[0].limit != starts[i].limit)
			fail_msg("row %d", starts[i].n);
	}
	for (unsigned i = 0; i < N_CTL_PARAMS; i++)
		params[i] = 0;
	assert_int_equal(relay_start(&r, 0, &terms), 0);
	assert_int_equal(r.window[0].limit, 31);
	for (unsigned i = 0; i < 100; i++) {
		window_is(r.cc[0].cwnd, r.cc[0].cwnd);
		ack(i * MS, i, i & 4);
		assert_true(r.cc[0].cwnd >= 31);
	}
}

/* ---- how a window opens ---- */
static uint64_t now_us = 1000000;

static uint32_t room(void)
{
	return r.window[0].limit - r.window[0].in_flight;
}

/* Milliseconds of the wheel; false when the window opened and it was not said. */
static bool pass(unsigned ms)
{
	while (ms--) {
		uint32_t circ, before = room(), n;

		now_us += MS;
		n = relay_opened(&r, now_us, &circ, 1);
		if (room() != before && (n != 1 || circ != 0))
			return false;
	}
	return true;
}

/* SENDMEs that come together. A window of 1000 in 100 ms fills by 10 cells a millisecond, and opens
 * by 12.5. */
static void test_opening(void **state)
{
	static const struct {
		int n;
		uint32_t cwnd;
		uint16_t least_ms, rtt_ms;
		uint8_t n_acks;
		uint32_t at_once, in_10_ms;
	} opens[] = {
		{1, 1000, 100, 100, 1, 31, 31}, /* one needs no time, nor do two */
		{2, 1000, 100, 100, 2, 62, 62},
		{3, 1000, 100, 100, 3, 62, 93},
		{4, 1000, 100, 100, 10, 62, 187},
		{5, 1000, 100, 100, 32, 62, 187},    /* the whole window */
		{6, 1000, 100, 180, 10, 62, 187},    /* the least round trip counts */
		{7, 1000, 8, 8, 32, 623, 992},	     /* nor do cells of 4 ms, so that */
		{8, 1000, 4, 4, 32, 992, 992},	     /* a short way is not felt */
		{9, 1000, 60000, 60000, 10, 62, 70}, /* taken for a second; by eight cells */
		{10, 124, 100, 100, 3, 62, 71},
		{11, 32, 1000, 1000, 1, 31, 31},
	};

	for (size_t i = 0; i < ARRAY_LEN(opens); i++) {
		struct relay_ack a = {.sent_us = now_us, .now_us = now_us + opens[i].rtt_ms * MS};
		struct relay_cc *c = &r.cc[0];
		uint32_t at_once, later;
		bool said;

		fresh(state);
		/* Not full nor due for a look: the window itself stays as it is. */
		params[CTL_PARAM_CC_FULL_GAP] = 0;
		window_is(opens[i].cwnd, opens[i].cwnd - 1);
		c->min_rtt_us = opens[i].least_ms * MS;
		c->rtt_us = opens[i].rtt_ms * MS;
		c->next_update = 1000;
		c->slow_start = 0;
		now_us = a.now_us;
		for (unsigned k = 0; k < opens[i].n_acks; k++)
			cc_acked(&r, 0, &a);
		at_once = room() - 1;
		said = pass(10);
		later = room() - 1;
		if (at_once != opens[i].at_once || later != opens[i].in_10_ms || !said ||
		    c->cwnd != opens[i].cwnd)
			fail_msg("row %d: %u, then %u", opens[i].n, at_once, later);
		/* All of it before it fills again, and then there is peace. */
		said = pass(MIN(MAX(opens[i].least_ms, 10u), 1000u) * 4 / 5 - 8);
		if (!said || r.window[0].limit != c->cwnd || wheel_is_set(&r.opening, 0))
			fail_msg("row %d: %u of %u", opens[i].n, r.window[0].limit, c->cwnd);
	}
}

/* What is cut is not open; a clock that stands opens all; a circuit that is gone says nothing. */
static void test_opening_ends(void **state)
{
	struct relay_ack a = {.sent_us = now_us, .now_us = now_us + 100 * MS};
	struct relay_cc *c = &r.cc[0];
	uint32_t circ;

	now_us = a.now_us;
	window_is(1000, 1000);
	c->min_rtt_us = c->rtt_us = 100 * MS;
	c->slow_start = 0;
	c->next_update = 1000;
	for (unsigned k = 0; k < 16; k++)
		cc_acked(&r, 0, &a);
	assert_int_equal(room(), 62);
	params[CTL_PARAM_CC_CWND_MAX] = 500; /* of which 473 are in flight */
	cc_acked(&r, 0, &a);
	assert_int_equal(c->cwnd, 500);
	assert_int_equal(r.window[0].limit, 500);
	window_is(1000, 1000);
	cc_acked(&r, 0, &a); /* more is in flight than may be, and nothing to open */
	assert_int_equal(r.window[0].limit, 500);
	assert_int_equal(r.window[0].in_flight, 969);
	params[CTL_PARAM_CC_CWND_MAX] = INT32_MAX;
	window_is(1000, 1000);
	for (unsigned k = 0; k < 16; k++)
		cc_acked(&r, 0, &a);
	assert_true(r.window[0].limit < 600);
	assert_true(wheel_is_set(&r.opening, 0));
	a.sent_us = a.now_us;
	cc_acked(&r, 0, &a);
	assert_int_equal(r.window[0].limit, 1000);
	relay_stop(&r, 0);
	now_us += 10 * MS;
	assert_int_equal(relay_opened(&r, now_us, &circ, 1), 0);
	assert_int_equal(r.window[0].limit, 0);
}

static void tag_of(uint32_t i, uint8_t tag[RELAY_TAG])
{
	memset(tag, 0x5a, RELAY_TAG);
	be32_put(tag, i);
}

/* First in, first out, over many more than a fixed window has, while the ring grows and turns; with
 * tags of each length. */
static void test_tags(void **state)
{
	static const uint8_t lens[] = {20, 16};

	for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
		struct relay_terms t = {CTL_FLOW_CC, 7, lens[k], false};
		uint32_t sent = 0, acked = 0;
		uint8_t tag[RELAY_TAG], body[RELAY_SENDME_LEN];

		assert_int_equal(relay_start(&r, 0, &t), 0);
		for (unsigned round = 0; round < 300; round++) {
			window_is(r.cc[0].cwnd, r.window[0].in_flight); /* time has passed */
			while (relay_room(&r, 0)) {
				tag_of(++sent, tag);
				assert_int_equal(relay_data_out(&r, 0, tag, sent), 0);
			}
			for (unsigned i = 0; i < 1 + round % 9 && acked + 7 <= sent; i++) {
				tag_of(acked += 7, tag);
				assert_int_equal(relay_sendme_make(&r, 0, tag, body), 3 + lens[k]);
				assert_int_equal(relay_sendme_in(&r, 0, body, 3u + lens[k],
								 (struct relay_queue) {0},
								 acked + 50 * MS),
						 0);
			}
			assert_int_equal(r.window[0].in_flight, sent - acked);
		}
		assert_true(r.tags[0].cap > 64);
		/* one byte of it wrong, wherever */
		tag_of(acked + 7, tag);
		tag[lens[k] - 1] ^= 1;
		relay_sendme_make(&r, 0, tag, body);
		assert_int_equal(
			relay_sendme_in(&r, 0, body, 3u + lens[k], (struct relay_queue) {0}, acked),
			ERR_MALFORMED);
		assert_int_equal(counts.v[COUNT_relay_sendme_tag], k + 1);
		relay_stop(&r, 0);
		assert_int_equal(relay_sendme_in(&r, 0, NULL, 0, (struct relay_queue) {0}, 0),
				 ERR_MALFORMED);
	}
}

/* Our own SENDMEs come by the increment that was agreed. */
static void test_due(void **state)
{
	static const uint8_t incs[] = {1, 2, 31, 254};

	for (size_t i = 0; i < ARRAY_LEN(incs); i++) {
		struct relay_terms t = {CTL_FLOW_CC, incs[i], 16, false};
		unsigned due = 0;

		assert_int_equal(relay_start(&r, 0, &t), 0);
		for (unsigned k = 1; k <= 10u * incs[i]; k++) {
			bool now = relay_data_in(&r, 0);

			assert_int_equal(now, k % incs[i] == 0);
			due += now;
		}
		assert_int_equal(due, 10);
	}
}

static int setup(void **state)
{
	static const uint8_t seed[32] = {1};

	rng_seed(&rng, seed);
	if (cipher_init(&cipher, 0))
		return -1;
	return relay_init(&r, 1, &cipher, &rng, &counts, params);
}

static int teardown(void **state)
{
	relay_fini(&r);
	cipher_fini(&cipher);
	return 0;
}

#define FRESH(t) cmocka_unit_test_setup(t, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_vegas), FRESH(test_max),	FRESH(test_course),	  FRESH(test_rtt),
		FRESH(test_clock), FRESH(test_untimed), FRESH(test_terms),	  FRESH(test_tags),
		FRESH(test_due),   FRESH(test_opening), FRESH(test_opening_ends),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
