/* test_pace.c - how long cells wait for company, how long an idle worker sleeps, and what a port
 * that is full changes: all of it in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"
#include "dataplane/worker/pace.h"

static struct house h;

/* A circuit whose stream 7 has the given far end. */
static struct peer_circ *streaming(enum house_dest dest)
{
	struct peer_circ *c = house_made(&h, house_link(&h));

	h.dest = dest;
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 1000));
	return c;
}

static uint32_t permille(void)
{
	return h.workers[0].fill / FILL_ONE;
}

/* How full turns are follows what came in each of the last, and is forgotten as quickly. */
static void test_fill(void **state)
{
	static const struct {
		unsigned n_circs;	    /* each brings a cell a turn, and its echo */
		uint32_t at_least, at_most; /* thousandths, after two hundred turns */
	} rows[] = {{0, 0, 0}, {1, 20, 80}, {12, 300, 800}, {48, 900, 1000}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c[48];

		house_open(&h, 1, 300, NULL);
		for (unsigned k = 0; k < rows[i].n_circs; k++)
			c[k] = streaming(DEST_ECHO);
		house_run(&h, 100);
		for (unsigned turn = 0; turn < 200; turn++) {
			for (unsigned k = 0; k < rows[i].n_circs; k++)
				house_say(&h, c[k], RELAY_DATA, 7, "x", 1, false);
			house_step(&h);
		}
		if (permille() < rows[i].at_least || permille() > rows[i].at_most)
			fail_msg("row %zu: %u", i, permille());
		house_run(&h, 200);
		assert_in_range(permille(), 0, 5);
		house_close(&h);
	}
}

/* A link that was just served waits for more until its interval is over: none while turns are less
 * than half full, and all of KISTSchedRunInterval when they are full (interop C11). */
static void test_interval(void **state)
{
	static const struct {
		uint32_t permille;
		int64_t interval_ms;
		unsigned at_least, at_most; /* records for a hundred cells, one each 200 us */
	} rows[] = {
		{0, 2, 90, 110},    {499, 2, 90, 110}, {500, 2, 90, 110},
		{600, 2, 40, 60},   {750, 2, 17, 26},  {1000, 2, 9, 14},
		{1000, 0, 90, 110}, {1000, 4, 5, 8},   {750, 4, 9, 14},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c;
		unsigned before;

		house_open(&h, 1, 310, NULL);
		house_param(&h, CTL_PARAM_KIST_INTERVAL_MS, rows[i].interval_ms);
		c = streaming(DEST_ECHO);
		before = c->link->n_records;
		for (unsigned turn = 0; turn < 150; turn++) {
			if (turn < 100)
				house_say(&h, c, RELAY_DATA, 7, "x", 1, false);
			h.workers[0].fill = rows[i].permille * FILL_ONE;
			house_step(&h);
		}
		assert_int_equal(c->bytes_in, 100); /* each came back, none waits on */
		if (c->link->n_records - before < rows[i].at_least ||
		    c->link->n_records - before > rows[i].at_most)
			fail_msg("row %zu: %u records", i, c->link->n_records - before);
		house_close(&h);
	}
}

/* Short naps while cells wait, or have passed within 20 ms; else as long as TCP's timers allow. */
static void test_naps(void **state)
{
	struct peer_circ *c;
	struct worker *w;

	house_open(&h, 1, 320, NULL);
	w = &h.workers[0];
	c = house_made(&h, house_link(&h));
	house_extend(&h, c);
	assert_true(house_until(&h, &c->extended, 5000));
	for (unsigned round = 0; round < 3; round++) {
		pace_look(w);
		house_run(&h, 100);
		pace_look(w);
		assert_int_equal(pace_nap_us(w), 1000);
		assert_true(house_echo(&h, c, c->bytes_out + 600, 1000));
		pace_look(w);
		assert_int_equal(pace_nap_us(w), 100);
		for (unsigned us = 0; us < 19800; us += 200) {
			house_step(&h);
			pace_look(w);
			assert_int_equal(pace_nap_us(w), 100);
		}
		house_run(&h, 2);
		pace_look(w);
		assert_int_equal(pace_nap_us(w), 1000);
	}
	/* Cells that cannot leave are awaited, however long. */
	c->link->deaf = true;
	for (unsigned i = 0; i < 2000 && !slots_in_use(&w->sched); i++) {
		house_say(&h, c, RELAY_DATA, 7, "more", 4, false);
		house_step(&h);
	}
	house_run(&h, 500);
	assert_true(slots_in_use(&w->sched) > 0);
	assert_int_equal(pace_nap_us(w), 100);
	house_hear(&h, c->link);
	house_run(&h, 3000);
	assert_int_equal(slots_in_use(&w->sched), 0);
	assert_int_equal(pace_nap_us(w), 1000);
	house_close(&h);
}

/* A port that took less than there was has nothing sealed in the next turn: what waits unsealed can
 * still be chosen. What it did not take it takes later. */
static void test_port_full(void **state)
{
	static const struct {
		uint32_t tx_room; /* frames a turn */
		bool full;
	} rows[] = {{0, false}, {1000, false}, {8, true}, {1, true}};
	enum { LINKS = 2, SHARE = LINKS * CELLS_A_RECORD };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire_impair narrow = {.tx_room = rows[i].tx_room};
		struct peer_circ *c[LINKS];
		struct worker *w;
		unsigned n_full = 0;
		uint64_t most = 0, bytes = 0;

		house_open(&h, 1, 330, NULL);
		w = &h.workers[0];
		h.source = 4 << 20;
		for (unsigned k = 0; k < LINKS; k++)
			c[k] = house_loading(&h, house_link(&h));
		wire_impair(h.wire, 0, &narrow);
		for (unsigned turn = 0; turn < 3000; turn++) {
			uint64_t out = w->figures->cells_out;
			bool full = w->port_full;

			/* Cells gather while clients read nothing. */
			for (unsigned k = 0; k < LINKS; k++) {
				if (turn % 300 == 0)
					c[k]->link->deaf = true;
				else if (turn % 300 == 200)
					house_hear(&h, c[k]->link);
			}
			house_step(&h);
			out = w->figures->cells_out - out;
			if (full && out)
				fail_msg("row %zu: %llu cells sealed", i, (unsigned long long)out);
			most = MAX(most, out);
			n_full += w->port_full;
		}
		assert_int_equal(n_full > 100, rows[i].full);
		assert_int_equal(house_count(&h, COUNT_net_port_full), n_full);
		print_message("room for %u frames: at most %llu cells in a turn, %u turns full\n",
			      rows[i].tx_room, (unsigned long long)most, n_full);
		if (!rows[i].full)
			assert_true(most > SHARE);
		wire_impair(h.wire, 0, &(struct wire_impair) {0});
		for (unsigned k = 0; k < LINKS; k++)
			house_hear(&h, c[k]->link);
		house_run(&h, 10000);
		for (unsigned k = 0; k < LINKS; k++)
			bytes += c[k]->bytes_in;
		assert_int_equal(bytes, 4 << 20);
		house_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_naps),
		cmocka_unit_test(test_port_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
