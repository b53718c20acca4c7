/* test_flow.c - circuits with congestion control through a whole house: bytes both ways, windows
 * that grow with the path, SENDMEs that lie, clients that snipe or do not listen, XOFF and XON both
 * ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;

static struct peer_circ *made(struct peer_link *l, uint8_t inc)
{
	struct peer_circ *c;

	h.cc_inc = inc;
	c = house_create(&h, l);
	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

static struct peer_circ *begun(struct peer_link *l, uint8_t inc, enum house_dest dest)
{
	struct peer_circ *c = made(l, inc);

	h.dest = dest;
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 5000));
	return c;
}

/* Bytes there and back, 100 KB of them under way; cells may be merged, so that it is not cells that
 * count. */
static bool echo(struct peer_circ *c, uint64_t bytes, unsigned limit_ms)
{
	uint64_t until = h.now_us + limit_ms * 1000ull;
	uint8_t body[RELAY_BODY];

	while (c->bytes_in < bytes && !c->destroyed && h.now_us < until) {
		while (c->bytes_out < bytes && c->n_data_out < c->window &&
		       c->bytes_out < c->bytes_in + 100000) {
			uint64_t some = 1 + rng_below(&h.rng, RELAY_BODY);
			uint16_t len = (uint16_t)MIN(bytes - c->bytes_out, some);

			rng_bytes(&h.rng, body, len);
			c->hash_out = house_fold(c->hash_out, body, len);
			c->bytes_out += len;
			house_say(&h, c, RELAY_DATA, 7, body, len, false);
		}
		house_step(&h);
	}
	return c->bytes_in == bytes && c->hash_in == c->hash_out;
}

static void data_out(struct peer_circ *c, unsigned n)
{
	static const uint8_t body[RELAY_BODY];

	for (; n; n--)
		house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
}

static const struct relay_window *window(void)
{
	return &h.workers[0].relay.window[0];
}

static uint32_t cwnd(uint32_t circ)
{
	return h.workers[0].relay.cc[circ].cwnd;
}

static void test_both_ways(void **state)
{
	static const struct {
		unsigned n_workers;
		uint8_t inc;
		struct wire_impair wire;
	} rows[] = {
		{1, 31, {0}},
		{2, 31, {0}},
		{1, 1, {0}},
		{1, 254, {0}},
		{1, 100, {.delay_us = 20000, .loss_ppm = 10000}},
		{2,
		 31,
		 {.delay_us = 20000, .loss_ppm = 10000, .reorder_ppm = 10000, .reorder_us = 3000}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c;
		uint64_t total = 3 << 20;

		house_open(&h, rows[i].n_workers, 300 + i, &rows[i].wire);
		c = begun(house_link(&h), rows[i].inc, DEST_ECHO);
		assert_true(echo(c, 1 << 20, 60000));
		house_destroy(&h, c);
		h.source = total;
		c = begun(c->link, rows[i].inc, DEST_SOURCE);
		assert_true(house_until(&h, &c->ended, 120000));
		assert_int_equal(c->bytes_in, total);
		assert_true(c->hash_in == h.source_hash);
		assert_int_equal(house_count(&h, COUNT_relay_cc_circuits), 2);
		house_destroy(&h, c);
		house_run(&h, 500);
		for (unsigned w = 0; w < rows[i].n_workers; w++)
			assert_int_equal(h.workers[w].circs.circ_slots.n_used, 0);
		assert_int_equal(window()->inc, 0); /* the column is free again */
		house_close(&h);
	}
}

/* A path of 100 ms: the window grows far beyond the first one, and past slow start it is kept. */
static void test_growth(void **state)
{
	const struct wire_impair wire = {.delay_us = 50000};
	struct peer_circ *c;

	house_open(&h, 1, 320, &wire);
	h.source = 16 << 20;
	c = begun(house_link(&h), 31, DEST_SOURCE);
	assert_int_equal(cwnd(0), 124);
	assert_int_equal(h.workers[0].relay.cc[0].slow_start, 1);
	assert_true(house_until(&h, &c->ended, 60000));
	assert_true(cwnd(0) > 500);
	assert_in_range(h.workers[0].relay.cc[0].min_rtt_us, 100000, 120000);
	assert_int_equal(c->bytes_in, 16 << 20);
	house_close(&h);
}

/* SENDMEs that come in bunches are not answered by bunches of DATA: those would come back as the
 * same bunches for ever. What a bunch opens takes a while, and comes whole. */
static void test_bunches(void **state)
{
	const struct wire_impair wire = {.delay_us = 50000};
	uint32_t most = 0, most_held = 0;
	struct peer_circ *c;

	house_open(&h, 1, 321, &wire);
	house_param(&h, CTL_PARAM_CC_CWND_MAX, 1000);
	h.source = 12 << 20;
	c = begun(house_link(&h), 31, DEST_SOURCE);
	house_run(&h, 1500);
	assert_int_equal(cwnd(0), 1000);
	c->hold_sendmes = true;
	for (unsigned ms = 5; !c->ended && ms < 60000; ms += 5) {
		uint32_t before = c->n_data_in;

		house_run(&h, 5);
		if (ms > 200)
			most = MAX(most, c->n_data_in - before);
		most_held = MAX(most_held, c->n_held);
		if (ms % 30 == 0)
			house_acknowledge(&h, c);
	}
	assert_true(c->ended);
	assert_int_equal(c->bytes_in, 12 << 20);
	assert_true(c->hash_in == h.source_hash);
	print_message("up to %u SENDMEs at once, and %u cells in 5 ms\n", most_held, most);
	assert_true(most_held >= 8);
	assert_true(most < 150);
	house_close(&h);
}

/* What a download makes of a path of 100 ms, with congestion control and beside it with fixed
 * windows: told in bytes of virtual seconds; every byte arrives. */
static void test_goodput(void **state)
{
	static const struct {
		uint32_t loss_ppm;
		uint64_t total;
	} rows[] = {{0, 32 << 20}, {10000, 4 << 20}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct wire_impair wire = {.delay_us = 50000, .loss_ppm = rows[i].loss_ppm};
		uint64_t rate[2];

		for (unsigned cc = 0; cc <= 1; cc++) {
			struct peer_circ *c;
			uint64_t at_us;

			house_open(&h, 1, 390 + i, &wire);
			h.source = rows[i].total;
			c = begun(house_link(&h), cc ? 31 : 0, DEST_SOURCE);
			at_us = h.now_us;
			assert_true(house_until(&h, &c->ended, 240000));
			assert_int_equal(c->bytes_in, rows[i].total);
			assert_true(c->hash_in == h.source_hash);
			rate[cc] = rows[i].total * 1000 / ((h.now_us - at_us) / 1000);
			house_close(&h);
		}
		print_message(
			"100 ms, loss %u ppm: %llu bytes a second with fixed windows, %llu with "
			"congestion control\n",
			rows[i].loss_ppm, (unsigned long long)rate[0], (unsigned long long)rate[1]);
	}
}

/* One wrong word about what came, and the circuit is closed. */
static void test_lies(void **state)
{
	static const struct {
		int n;
		uint8_t cells; /* that have come before it, in increments; none is acknowledged */
		uint16_t stream;
		uint8_t len, body[23];
		enum count_id counted;
	} rows[] = {
		{1, 0, 0, 0, {0}, COUNT_relay_sendme_unexpected},
		{2, 0, 0, 23, {1, 0, 20}, COUNT_relay_sendme_unexpected},
		{3, 1, 0, 23, {1, 0, 20}, COUNT_relay_sendme_tag},
		{4, 1, 0, 23, {1, 0, 16}, COUNT_relay_sendme_tag},
		{5, 1, 0, 3, {1, 0, 0}, COUNT_relay_sendme_tag},
		{6, 1, 0, 1, {1}, COUNT_relay_sendme_tag},
		{7, 1, 0, 23, {2, 0, 20}, COUNT_relay_sendme_version},
		{8, 1, 7, 0, {0}, COUNT_relay_violation}, /* of a stream: there is none such */
		{9, 0, 7, 0, {0}, COUNT_relay_violation},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c, *other;
		struct peer_link *l;

		house_open(&h, 1, 330 + i, NULL);
		l = house_link(&h);
		h.source = rows[i].cells ? 8 << 20 : 0;
		c = made(l, 31);
		c->no_sendmes = true;
		h.dest = rows[i].cells ? DEST_SOURCE : DEST_ECHO;
		house_begin(&h, c, 7);
		assert_true(house_until(&h, &c->connected, 5000));
		house_run(&h, 500);
		assert_int_equal(c->n_data_in, rows[i].cells ? 124 : 0);
		house_say(&h, c, RELAY_SENDME, rows[i].stream, rows[i].body, rows[i].len, false);
		if (!house_until(&h, &c->destroyed, 1000) ||
		    c->destroy_reason != DESTROY_TORPROTOCOL ||
		    house_count(&h, rows[i].counted) != 1)
			fail_msg("row %d", rows[i].n);
		other = begun(l, 31, DEST_ECHO);
		assert_true(echo(other, 20000, 5000));
		house_close(&h);
	}
}

/* A client whose window has grown stops reading and goes on to say that it has read: its queue is
 * bounded, and the first lie ends it; others do not feel it. */
static void test_sniper(void **state)
{
	const struct wire_impair wire = {.delay_us = 20000};
	struct peer_circ *c, *other;
	struct peer_link *l;
	uint32_t most = 0;

	house_open(&h, 1, 350, &wire);
	l = house_link(&h);
	other = begun(house_link(&h), 31, DEST_ECHO);
	h.source = 64 << 20;
	c = begun(l, 31, DEST_SOURCE);
	house_run(&h, 1500);
	assert_true(cwnd(1) > 200);
	l->deaf = true;
	for (int i = 0; i < 100; i++) {
		house_run(&h, 20);
		most = MAX(most, slots_in_use(&h.workers[0].sched));
	}
	assert_true(most <= 300); /* cellq_high is 256 */
	assert_true(tcp_mem_all(h.workers[0].tcp) < 4 << 20);
	assert_false(c->destroyed);
	assert_true(echo(other, 50000, 10000));
	for (int i = 0; i < 50; i++) {
		house_say(&h, c, RELAY_SENDME, 0, NULL, 0, false); /* version 0 still counts */
		house_say(&h, c, RELAY_SENDME, 0, (uint8_t[23]) {1, 0, 20}, 23, false);
		house_run(&h, 10);
		most = MAX(most, slots_in_use(&h.workers[0].sched));
	}
	assert_true(most <= 300);
	assert_int_equal(house_count(&h, COUNT_relay_sendme_tag), 1);
	house_hear(&h, l);
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_true(echo(other, 100000, 10000));
	house_close(&h);
}

/* What the client says of the rate at which it wants bytes. */
static void test_they_say(void **state)
{
	static const uint8_t xoff[1], fast[5], slow[5] = {0, 0, 0, 0, 100};
	const struct wire_impair wire = {.delay_us = 5000};
	struct peer_circ *c;
	uint64_t before;

	house_open(&h, 1, 360, &wire);
	h.source = 32 << 20;
	c = begun(house_link(&h), 31, DEST_SOURCE);
	house_run(&h, 200);
	house_say(&h, c, RELAY_XOFF, 7, xoff, sizeof(xoff), false);
	house_run(&h, 100);
	before = c->bytes_in;
	house_run(&h, 3000);
	assert_int_equal(c->bytes_in, before);
	assert_true(before > 0);
	/* 100,000 bytes a second, and a second's worth at once */
	house_say(&h, c, RELAY_XON, 7, slow, sizeof(slow), false);
	house_run(&h, 3000);
	assert_in_range(c->bytes_in - before, 360000, 410000);
	house_say(&h, c, RELAY_XON, 7, fast, sizeof(fast), false);
	assert_true(house_until(&h, &c->ended, 60000));
	assert_int_equal(c->bytes_in, 32 << 20);
	assert_true(c->hash_in == h.source_hash);
	assert_int_equal(house_count(&h, COUNT_edge_xoff_in), 1);
	assert_int_equal(house_count(&h, COUNT_edge_xon_in), 2);
	house_close(&h);
}

/* Where they mean nothing they do nothing: a fixed window, a stream that is not there, or not yet.
 */
static void test_they_may_not(void **state)
{
	static const uint8_t xoff[1];
	struct peer_circ *c, *d;
	struct peer_link *l;

	house_open(&h, 1, 370, NULL);
	l = house_link(&h);
	c = begun(l, 0, DEST_ECHO);
	house_say(&h, c, RELAY_XOFF, 7, xoff, sizeof(xoff), false);
	house_say(&h, c, RELAY_XON, 7, xoff, sizeof(xoff), false);
	house_say(&h, c, RELAY_XOFF, 8, xoff, sizeof(xoff), false);
	house_say(&h, c, RELAY_XOFF, 0, xoff, sizeof(xoff), false);
	assert_true(echo(c, 200000, 10000));
	assert_int_equal(house_count(&h, COUNT_edge_flow_not_now), 2);
	d = made(l, 31);
	h.holds = 1u << (CTL_STREAM_RECV - CTL_UP_FIRST);
	house_begin(&h, d, 7);
	house_run(&h, 50);
	house_say(&h, d, RELAY_XOFF, 7, xoff, sizeof(xoff), false);
	house_run(&h, 50);
	assert_int_equal(house_count(&h, COUNT_edge_flow_not_now), 3);
	house_release(&h);
	assert_true(house_until(&h, &d->connected, 5000));
	assert_true(echo(d, 100000, 10000));
	assert_false(c->destroyed || d->destroyed);
	house_close(&h);
}

/* The destination reads on its own again. */
static void dest_reads(unsigned ms)
{
	uint8_t *p;
	uint32_t len;

	for (; ms; ms--) {
		while (tcp_peek(h.tcp, h.dest_conn, &p, &len))
			tcp_take(h.tcp, h.dest_conn, len);
		house_run(&h, 1);
	}
}

/* A destination that is slower than the client: XOFF, XON when all has gone; and a client that does
 * not listen loses the stream, not the circuit. */
static void test_we_say(void **state)
{
	struct peer_circ *c;
	struct peer_link *l;

	house_open(&h, 1, 380, NULL);
	l = house_link(&h);
	c = begun(l, 31, DEST_DEAF);
	for (unsigned i = 0; i < 120 && !c->n_xoff; i++) {
		data_out(c, 20);
		house_run(&h, 6);
	}
	assert_int_equal(c->n_xoff, 1);
	assert_in_range(c->n_data_out, 500, 2000);
	data_out(c, 100); /* was on its way */
	house_run(&h, 500);
	assert_int_equal(c->n_xoff, 1);
	assert_int_equal(c->n_xon, 0);
	dest_reads(3000);
	assert_int_equal(c->n_xon, 1);
	assert_false(c->ended || c->destroyed);
	for (unsigned i = 0; i < 1000 && !c->ended; i++) {
		data_out(c, 20);
		house_run(&h, 3);
	}
	assert_true(c->ended);
	assert_int_equal(c->end_reason, END_RESOURCELIMIT);
	assert_int_equal(c->n_xoff, 2);
	assert_int_equal(house_count(&h, COUNT_edge_flooded), 1);
	house_run(&h, 500);
	assert_true(tcp_mem_all(h.workers[0].tcp) < 1 << 20);
	assert_false(c->destroyed);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways), cmocka_unit_test(test_growth),
		cmocka_unit_test(test_bunches),	  cmocka_unit_test(test_goodput),
		cmocka_unit_test(test_lies),	  cmocka_unit_test(test_sniper),
		cmocka_unit_test(test_they_say),  cmocka_unit_test(test_they_may_not),
		cmocka_unit_test(test_we_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
