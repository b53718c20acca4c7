/* test_bounds.c - what holds when somebody takes more than his share, says nothing, lies or leaves:
 * control that is silent, clients that flood or do not read, shutdown. Memory and bandwidth:
 * test_limits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;

static struct peer_circ *made(struct peer_link *l)
{
	return house_made(&h, l);
}

static struct peer_circ *loading(struct peer_link *l)
{
	return house_loading(&h, l);
}

static unsigned live(void)
{
	return h.workers[0].circs.circ_slots.n_used;
}

static uint32_t slots_used(void)
{
	return slots_in_use(&h.workers[0].sched);
}

static void create_raw(struct peer_link *l, uint32_t id)
{
	static const uint8_t payload[4 + TOR1_KEYS] = {0, 2, 0, TOR1_KEYS};

	house_cell(&h, l, id, CELL_CREATE2, payload, sizeof(payload));
}

/* The ring is full and control is away: closings wait, ids with them, and nothing is lost. */
static void test_late(void **state)
{
	struct peer_link *l;
	unsigned n = 900;

	house_open(&h, 1, 100, NULL);
	l = house_link(&h);
	for (uint32_t i = 0; i < n; i++) {
		create_raw(l, HOUSE_CIRC_ID + i);
		if (i % 50 == 0)
			house_run(&h, 2);
	}
	house_run(&h, 200);
	assert_int_equal(h.n_up[CTL_CIRC_CREATE], n);
	assert_int_equal(live(), n);
	h.silent = true;
	/* All of the ring but what is kept for closings. */
	for (int i = 0; i < 20000; i++)
		if (ctl_say(&h.workers[0], CTL_REPLAY_END, WID_NONE, 0, NULL, 0, NULL, 0) < 0)
			break;
	for (uint32_t i = 0; i < n; i++) {
		house_cell(&h, l, HOUSE_CIRC_ID + i, CELL_DESTROY, NULL, 0);
		if (i % 50 == 0)
			house_run(&h, 2);
	}
	house_run(&h, 3000);
	assert_true(h.workers[0].late.n > 0);
	assert_int_equal(live(), h.workers[0].late.n);
	assert_int_equal(h.workers[0].circs.leg_slots.n_used, 0);
	/* New ones are refused, and no id of a closing that waits is given out. */
	for (uint32_t i = 0; i < 200; i++)
		create_raw(l, HOUSE_CIRC_ID + i);
	house_run(&h, 100);
	assert_int_equal(live(), h.workers[0].late.n);
	assert_int_equal(house_count(&h, COUNT_circ_create_refused), 200);
	h.silent = false;
	house_run(&h, 100);
	assert_int_equal(h.workers[0].late.n, 0);
	assert_int_equal(live(), 0);
	assert_int_equal(h.n_up[CTL_CIRC_CLOSED], n);
	made(l);
	house_close(&h);
}

/* More CREATEs than control may be asked at once. */
static void test_create_flood(void **state)
{
	struct peer_link *l;

	house_open(&h, 1, 101, NULL);
	l = house_link(&h);
	h.holds = 1u << (CTL_CIRC_CREATE - CTL_UP_FIRST);
	for (uint32_t i = 0; i < CIRC_PENDING_MAX + 20; i++) {
		create_raw(l, HOUSE_CIRC_ID + 1000 + i);
		if (i % 30 == 0)
			house_run(&h, 2);
	}
	house_run(&h, 100);
	assert_int_equal(house_count(&h, COUNT_circ_create_refused), 20);
	assert_int_equal(live(), CIRC_PENDING_MAX);
	assert_int_equal(h.workers[0].circs.conn_pending[wid_index(h.last[CTL_CONN_OPENED])],
			 CIRC_PENDING_MAX);
	house_cut(&h, l);
	house_run(&h, 100);
	assert_int_equal(live(), 0);
	assert_int_equal(h.workers[0].circs.leg_slots.n_used, 0);
	h.holds = h.n_kept = 0;
	made(house_link(&h));
	house_close(&h);
}

/* A client that does not read: the relay stops reading from the destination. Then it reads again.
 */
static void test_slow_client(void **state)
{
	struct peer_circ *c, *other;
	struct peer_link *l, *m;
	uint64_t total = 4 << 20;

	house_open(&h, 1, 102, NULL);
	l = house_link(&h);
	m = house_link(&h);
	other = made(m);
	h.source = total;
	c = loading(l);
	l->deaf = true;
	house_run(&h, 3000);
	assert_true(slots_used() <= 300); /* cellq_high is 256 */
	assert_true(tcp_mem_all(h.workers[0].tcp) < 1 << 20);
	assert_true(h.source > total / 2);
	house_begin(&h, other, 7);
	assert_true(house_echo(&h, other, 50000, 10000));
	house_hear(&h, l);
	assert_true(house_until(&h, &c->ended, 60000));
	assert_int_equal(c->bytes_in, total);
	assert_true(c->hash_in == h.source_hash);
	assert_int_equal(house_count(&h, COUNT_worker_memory_killed), 0);
	house_close(&h);
}

/* A client that reads nothing and says that it has: what it may have waiting is bounded, and words
 * that answer nothing close the circuit. */
static void test_sniper(void **state)
{
	struct peer_circ *c;
	struct peer_link *l;
	uint32_t most = 0;

	house_open(&h, 1, 103, NULL);
	l = house_link(&h);
	h.source = 8 << 20;
	c = loading(l);
	l->deaf = true;
	house_run(&h, 200);
	for (int i = 0; i < 100; i++) {
		house_say(&h, c, RELAY_SENDME, 7, NULL, 0, false);
		house_say(&h, c, RELAY_SENDME, 0, NULL, 0, false);
		house_run(&h, 10);
		most = MAX(most, slots_used());
	}
	assert_true(most < 600);
	assert_true(house_count(&h, COUNT_relay_sendme_unexpected) +
			    house_count(&h, COUNT_relay_violation) >=
		    1);
	house_hear(&h, l);
	assert_true(house_until(&h, &c->destroyed, 1000));
	house_close(&h);
}

/* As a middle: what the next hop sends waits for a client that does not read, up to a bound. */
static void test_queue_full(void **state)
{
	static const uint8_t payload[CELL_PAYLOAD];

	for (unsigned n = 1; n <= 2; n++) {
		struct peer_circ *c, *other;
		struct peer_link *l, *m;

		house_open(&h, n, 104, NULL);
		l = house_link(&h);
		m = house_link(&h);
		other = made(m);
		c = made(l);
		house_extend(&h, c);
		assert_true(house_until(&h, &c->extended, 5000));
		l->deaf = true;
		for (int i = 0; i < 3500; i++) {
			if (h.hop[0].used)
				house_cell(&h, h.hop[0].link, h.hop[0].id, CELL_RELAY, payload,
					   CELL_PAYLOAD);
			if (i % 30 == 0)
				house_run(&h, 2);
		}
		house_run(&h, 50);
		assert_int_equal(house_count(&h, COUNT_circ_queue_full), 1);
		assert_false(h.hop[0].used);
		for (unsigned i = 0; i < n; i++)
			assert_true(slots_in_use(&h.workers[i].sched) < 100);
		house_begin(&h, other, 7);
		assert_true(house_echo(&h, other, 50000, 10000));
		c->n_layers = 0; /* what came is not deciphered here */
		house_close(&h);
	}
}

/* DESTROY on every circuit, close_notify, FIN: the peer sees all of it. */
static void test_shutdown(void **state)
{
	struct peer_link *l;
	unsigned n = 250, seen = 0;

	house_open(&h, 1, 108, NULL);
	l = house_link(&h);
	for (unsigned i = 0; i < n; i++) {
		house_create(&h, l);
		if (i % 20 == 0)
			house_run(&h, 2);
	}
	house_run(&h, 100);
	house_begin(&h, &h.circ[0], 7);
	assert_true(house_until(&h, &h.circ[0].connected, 1000));
	house_down(&h, 0, CTL_SHUTDOWN, WID_NONE, 1, NULL, 0, NULL, 0);
	house_run(&h, 450);
	for (unsigned i = 0; i < n; i++)
		seen += h.circ[i].destroyed;
	assert_int_equal(seen, n);
	for (unsigned i = 0; i < h.n_links; i++) {
		assert_true(h.link[i].notified);
		assert_true(h.link[i].ended);
		assert_false(h.link[i].reset);
	}
	assert_true(h.dest_ended);
	assert_int_equal(h.n_up[CTL_CIRC_CLOSED], n);
	assert_int_equal(h.n_up[CTL_CONN_CLOSED], 2);
	assert_int_equal(tcp_n_conns(h.workers[0].tcp), 0);
	house_close(&h);
}

/* A record that is none, or whose tag does not hold: an alert, and that link alone is closed. */
static void test_bad_record(void **state)
{
	static const uint8_t bad[][7] = {{23, 3, 3, 0, 2, 1, 2},
					 {0x47, 0x45, 0x54, 0x20, 0x2f, 0, 0}};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct peer_circ *c, *other;
		struct peer_link *l, *m;
		uint8_t *p;

		house_open(&h, 1, 109, NULL);
		l = house_link(&h);
		m = house_link(&h);
		c = made(l);
		other = made(m);
		p = tcp_reserve(h.tcp, l->conn, sizeof(bad[0]));
		assert_non_null(p);
		memcpy(p, bad[i], sizeof(bad[0]));
		tcp_push(h.tcp, l->conn, sizeof(bad[0]));
		assert_true(house_until(&h, &l->ended, 5000));
		house_run(&h, 100);
		assert_int_equal(h.last_arg[CTL_CONN_CLOSED], CTL_WHY_PROTOCOL);
		assert_int_equal(h.n_up[CTL_CIRC_CLOSED], 1);
		assert_false(c->destroyed); /* the link itself is the word */
		house_begin(&h, other, 7);
		assert_true(house_echo(&h, other, 5000, 5000));
		house_close(&h);
	}
}

/* A link that ends while it waits to be read: the others are read all the same. */
static void test_reset_behind_record(void **state)
{
	for (int dry = 0; dry <= 1; dry++) {
		struct peer_link *l[4];
		struct peer_circ *c;

		house_open(&h, 1, 110, NULL);
		for (int i = 0; i < 4; i++)
			l[i] = house_link(&h);
		c = made(l[3]);
		if (dry) { /* the bucket is empty: all of them wait */
			house_param(&h, CTL_PARAM_COUNT_PRIVATE, 1);
			house_param(&h, CTL_PARAM_RATE, 1);
			house_param(&h, CTL_PARAM_BURST, 1);
			house_run(&h, 10);
		}
		for (int i = 0; i < 4; i++)
			house_cell(&h, l[i], 0, CELL_PADDING, NULL, 0);
		house_peer_turn(&h); /* on the wire; the reset comes behind it, or later */
		if (dry)
			house_run(&h, 2);
		for (int i = 0; i < 3; i++)
			house_cut(&h, l[i]);
		house_peer_turn(&h);
		house_run(&h, 20);
		if (dry) {
			house_param(&h, CTL_PARAM_BURST, 1 << 30);
			house_param(&h, CTL_PARAM_RATE, 1 << 30);
		}
		house_begin(&h, c, 7);
		assert_true(house_echo(&h, c, 20000, 5000));
		c = made(house_link(&h));
		house_begin(&h, c, 7);
		assert_true(house_echo(&h, c, 20000, 5000));
		house_close(&h);
	}
}

/* Words of another attach, about others, or longer than they may be. */
static void test_refused_messages(void **state)
{
	static const uint8_t too_much[CELL_LEN];
	struct peer_circ *c;
	wid id;

	house_open(&h, 1, 111, NULL);
	c = made(house_link(&h));
	id = h.last[CTL_CIRC_CREATE];
	h.epoch = 9;
	house_down(&h, 0, CTL_CIRC_CLOSE, id, 1, NULL, 0, NULL, 0);
	h.epoch = 1;
	house_down(&h, 0, CTL_CIRC_CLOSE, id + 2, 1, NULL, 0, NULL, 0); /* a later generation */
	house_down(&h, 0, CTL_CIRC_CLOSE, id ^ 1ull << 56, 1, NULL, 0, NULL,
		   0); /* another worker */
	house_down(&h, 0, CTL_CIRC_CLOSE, WID_NONE, 1, NULL, 0, NULL, 0);
	house_down(&h, 0, CTL_CIRC_CLOSE, id, 1, too_much, 8, NULL, 0); /* no bytes may follow */
	house_down(&h, 0, CTL_NONE, id, 1, NULL, 0, NULL, 0);
	house_down(&h, 0, N_CTL_DOWN, id, 1, NULL, 0, NULL, 0);
	house_down(&h, 0, CTL_CIRC_EXTEND, id, 1, too_much, 4, NULL, 0); /* too short */
	house_param(&h, CTL_PARAM_RATE, -1);
	house_param(&h, CTL_PARAM_RATE, INT64_MAX);
	house_param(&h, N_CTL_PARAMS, 1);
	house_run(&h, 20);
	assert_false(c->destroyed);
	assert_int_equal(h.workers[0].params[CTL_PARAM_RATE], PARAM_MAX);
	assert_int_equal(house_count(&h, COUNT_worker_down_state), 2);
	assert_int_equal(house_count(&h, COUNT_worker_down_epoch), 1);
	assert_int_equal(house_count(&h, COUNT_worker_down_unknown), 3);
	assert_int_equal(house_count(&h, COUNT_worker_down_malformed), 4);
	house_down(&h, 0, CTL_CIRC_CLOSE, id, DESTROY_FINISHED, NULL, 0, NULL, 0);
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_int_equal(c->destroy_reason, DESTROY_FINISHED);
	house_close(&h);
}

/* Whose link is silent for a minute loses the circuits that end here and serve nothing. */
static void test_stale(void **state)
{
	static const struct {
		enum ctl_peer judge;
		enum { NOTHING, STREAM, ONWARD, PENDING } has;
		bool closed;
	} rows[] = {
		{CTL_PEER_CLIENT, NOTHING, true}, {CTL_PEER_CLIENT, STREAM, false},
		{CTL_PEER_CLIENT, ONWARD, false}, {CTL_PEER_CLIENT, PENDING, false},
		{CTL_PEER_RELAY, NOTHING, false}, {CTL_PEER_UNKNOWN_RELAY, NOTHING, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c;
		struct peer_link *l;

		house_open(&h, 1, 113 + i, NULL);
		house_param(&h, CTL_PARAM_NF_ITO_LOW, 0); /* PADDING would be no silence */
		house_param(&h, CTL_PARAM_NF_ITO_HIGH, 0);
		h.judge = rows[i].judge;
		h.dest = DEST_ECHO;
		l = house_link(&h);
		h.holds = rows[i].has == PENDING ? 1u << (CTL_CIRC_CREATE - CTL_UP_FIRST) : 0;
		c = rows[i].has == PENDING ? house_create(&h, l) : made(l);
		if (rows[i].has == STREAM) {
			house_begin(&h, c, 7);
			assert_true(house_until(&h, &c->connected, 1000));
		} else if (rows[i].has == ONWARD) {
			house_extend(&h, c);
			assert_true(house_until(&h, &c->extended, 5000));
		}
		h.step_us = 20000;
		house_run(&h, 58000);
		assert_false(c->destroyed);
		house_run(&h, 20000);
		if (c->destroyed != rows[i].closed)
			fail_msg("row %zu", i);
		assert_int_equal(live(), !rows[i].closed);
		assert_int_equal(house_count(&h, COUNT_circ_stale), rows[i].closed);
		if (rows[i].closed) {
			assert_int_equal(c->destroy_reason, DESTROY_FINISHED);
			assert_int_equal(h.n_up[CTL_CIRC_CLOSED], 1);
			made(l); /* the link stays */
		}
		house_close(&h);
		h.holds = h.n_kept = 0;
	}
}

/* The other end is gone without a word: time ends the link and what hangs on it. */
static void test_half_open(void **state)
{
	struct wire_impair dead = {.loss_ppm = 1000000};
	struct peer_circ *c;

	house_open(&h, 1, 112, NULL);
	h.source = 64 << 20;
	c = loading(house_link(&h));
	assert_false(c->destroyed);
	wire_impair(h.wire, 0, &dead);
	wire_impair(h.wire, 1, &dead);
	h.step_us = 20000;
	house_run(&h, 1800000);
	assert_int_equal(h.n_up[CTL_CIRC_CLOSED], 1);
	assert_int_equal(h.n_up[CTL_STREAM_CLOSED], 1);
	assert_true(h.n_up[CTL_CONN_CLOSED] >= 1);
	assert_int_equal(live(), 0);
	assert_int_equal(slots_used(), 0);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_create_flood),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_sniper),
		cmocka_unit_test(test_queue_full),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_bad_record),
		cmocka_unit_test(test_reset_behind_record),
		cmocka_unit_test(test_refused_messages),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
