/* test_house.c - the whole dataplane on the wire: circuits as middle and as exit, verified byte by
 * byte, under loss, with one worker and with two, and what breaks them. */
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
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

static void traffic(struct peer_link *l, unsigned n, uint64_t bytes)
{
	struct peer_circ *c;

	for (unsigned i = 0; i < n; i++) { /* to the next hop, which echoes */
		c = made(l);
		house_extend(&h, c);
		assert_true(house_until(&h, &c->extended, 20000));
		assert_true(house_echo(&h, c, bytes, 60000));
		assert_false(c->destroyed);
	}
	for (unsigned i = 0; i < n; i++) { /* to a destination, over TCP of ours */
		c = made(l);
		house_begin(&h, c, 7);
		assert_true(house_until(&h, &c->connected, 20000));
		assert_true(house_echo(&h, c, bytes, 120000));
		assert_false(c->destroyed);
	}
}

static void no_slot_lost(void)
{
	house_run(&h, 500);
	for (unsigned i = 0; i < h.n_workers; i++)
		assert_int_equal(slots_in_use(&h.workers[i].sched), 0);
}

static void test_clean(void **state)
{
	house_open(&h, 1, 1, NULL);
	traffic(house_link(&h), 2, 400000);
	no_slot_lost();
	house_close(&h);
}

static void test_loss(void **state)
{
	struct wire_impair bad = {.loss_ppm = 10000,
				  .reorder_ppm = 10000,
				  .reorder_us = 3000,
				  .dup_ppm = 5000,
				  .delay_us = 2000};
	uint64_t trace[2];

	for (int i = 0; i < 2; i++) {
		house_open(&h, 1, 42, &bad);
		traffic(house_link(&h), 1, 100000);
		no_slot_lost();
		trace[i] = h.trace;
		house_close(&h);
	}
	assert_true(trace[0] == trace[1]); /* a seed replays exactly */
}

static void two_workers(const struct wire_impair *impair)
{
	struct peer_link *l[6];
	uint64_t crossed;

	house_open(&h, 2, 7, impair);
	for (int i = 0; i < 6; i++)
		l[i] = house_link(&h);
	for (int i = 0; i < 6; i++)
		traffic(l[i], 1, 100000);
	no_slot_lost();
	/* The next hop's link is worker 1's; links of the client fall to both. */
	crossed = h.workers[0].counts->v[COUNT_worker_mesh_sent];
	assert_true(crossed > 100);
	assert_int_equal(h.workers[0].counts->v[COUNT_worker_mesh_lost], 0);
	house_close(&h);
}

static void test_two_workers(void **state)
{
	two_workers(NULL);
}

static void test_two_workers_loss(void **state)
{
	struct wire_impair bad = {
		.loss_ppm = 10000, .reorder_ppm = 5000, .reorder_us = 2000, .delay_us = 1000};

	two_workers(&bad);
}

/* A link of worker 1 becomes ready and a circuit of worker 0 is extended over it, in two rings; the
 * mesh is faster than the ring. */
static void test_ready_in_another_ring(void **state)
{
	struct ctl_conn_ready ready = {.link_proto = 5, .peer = CTL_PEER_RELAY, .initiator = 1};
	struct ctl_circ_extend extend;
	static const uint8_t create2[] = {0, 2, 0, 0};
	struct ctl_circ_msg asked;
	struct peer_circ *c;
	struct link *next;

	house_open(&h, 2, 7, NULL);
	assert_int_equal(wid_worker(h.next_conn), 1);
	do
		c = made(house_link(&h));
	while (wid_worker(h.last[CTL_CIRC_CREATE]) != 0);
	next = link_of(&h.workers[1].links, wid_index(h.next_conn));
	next->state = LINK_HELD;
	free(next->tag); /* it comes again */
	next->tag = NULL;
	h.holds = 1u << (CTL_CIRC_RECV - CTL_UP_FIRST);
	house_extend(&h, c);
	for (int i = 0; i < 1000 && !h.n_kept; i++)
		house_step(&h);
	assert_int_equal(h.n_kept, 1);
	memcpy(&asked, h.kept[0].bytes + sizeof(struct ctl_head), sizeof(asked));
	house_down(&h, 1, CTL_CONN_READY, h.next_conn, 0, &ready, sizeof(ready), NULL, 0);
	extend = (struct ctl_circ_extend) {.serial = asked.serial, .conn = h.next_conn};
	house_down(&h, 0, CTL_CIRC_EXTEND, h.last[CTL_CIRC_CREATE], 0, &extend, sizeof(extend),
		   create2, sizeof(create2));
	assert_true(house_until(&h, &c->extended, 5000));
	assert_int_equal(house_count(&h, COUNT_circ_extend_refused), 0);
	house_close(&h);
}

static void test_destroy(void **state)
{
	static const uint8_t why[] = {9};
	struct peer_circ *c, *d;
	struct peer_link *l;

	for (unsigned n = 1; n <= 2; n++) {
		house_open(&h, n, 3, NULL);
		l = house_link(&h);
		c = made(l);
		house_extend(&h, c);
		assert_true(house_until(&h, &c->extended, 5000));
		/* From ahead: the client hears DESTROYED, whatever was said (interop C6). */
		house_cell(&h, h.hop[0].link, h.hop[0].id, CELL_DESTROY, why, 1);
		assert_true(house_until(&h, &c->destroyed, 5000));
		assert_int_equal(c->destroy_reason, DESTROY_DESTROYED);
		/* From the client: the next hop hears it, and the id can be used again at once. */
		h.hop[0].used = false;
		d = made(l);
		house_extend(&h, d);
		assert_true(house_until(&h, &d->extended, 5000));
		house_cell(&h, l, d->id, CELL_DESTROY, why, 1);
		h.n_circs = 0;
		c = house_create(&h, l);
		c->id = d->id;
		assert_true(house_until(&h, &c->created, 5000) || !c->created);
		house_run(&h, 200);
		assert_false(h.hop[0].used);
		assert_int_equal(h.n_up[CTL_CIRC_CLOSED], 2);
		house_close(&h);
	}
}

static void test_violations(void **state)
{
	static const struct {
		uint8_t command;
		uint16_t stream, len;
		bool early, dies;
	} rows[] = {
		/* 1 */ {RELAY_DROP, 0, 0, false, false},
		/* 2 */ {200, 0, 0, false, false},	      /* unknown: dropped */
		/* 3 */ {RELAY_BEGIN, 0, 5, false, false},    /* stream zero: dropped */
		/* 4 */ {RELAY_EXTEND2, 0, 80, false, false}, /* not early: dropped */
		/* 5 */ {RELAY_SENDME, 0, 0, false, true},    /* nothing it could answer */
		/* 6 */ {RELAY_END, 3, 0, false, true},	      /* body-less */
		/* 7 */ {RELAY_CONFLUX_LINK, 0, 40, false, true},
		/* 8 */ {RELAY_TRUNCATE, 0, 0, false, false}, /* no next hop: TRUNCATED */
		/* 9 */ {RELAY_DATA, 99, 10, false, false},   /* unknown stream */
	};
	static const uint8_t body[RELAY_BODY] = "x";
	struct peer_link *l;

	house_open(&h, 1, 5, NULL);
	l = house_link(&h);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c = made(l);

		house_say(&h, c, rows[i].command, rows[i].stream, body, rows[i].len, rows[i].early);
		house_run(&h, 20);
		assert_int_equal(c->destroyed, rows[i].dies);
		if (rows[i].dies)
			assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
		assert_int_equal(c->truncated, rows[i].command == RELAY_TRUNCATE);
	}
	/* Nine RELAY_EARLY cells are one too many; a cell for nobody ends the circuit. */
	struct peer_circ *c = made(l);
	for (int i = 0; i < 8; i++)
		house_say(&h, c, RELAY_DROP, 0, NULL, 0, true);
	house_run(&h, 20);
	assert_false(c->destroyed);
	house_say(&h, c, RELAY_DROP, 0, NULL, 0, true);
	assert_true(house_until(&h, &c->destroyed, 1000));
	c = made(l);
	house_cell(&h, l, c->id, CELL_RELAY, body, CELL_PAYLOAD - 11);
	assert_true(house_until(&h, &c->destroyed, 1000));
	no_slot_lost();
	house_close(&h);
}

/* Control takes nothing: what flows goes on, what is new is refused, and closings come later. */
static void test_silent_control(void **state)
{
	static const uint8_t begin[] = "dest:7";
	struct peer_circ *c, *d;
	struct peer_link *l;

	house_open(&h, 1, 11, NULL);
	l = house_link(&h);
	c = made(l);
	house_say(&h, c, RELAY_BEGIN, 7, begin, sizeof(begin), false);
	assert_true(house_until(&h, &c->connected, 5000));
	h.silent = true;
	d = house_create(&h, l); /* waits in the ring */
	house_run(&h, 2500);
	assert_true(house_echo(&h, c, 100000, 20000));
	d = house_create(&h, l);
	assert_true(house_until(&h, &d->destroyed, 5000));
	assert_int_equal(d->destroy_reason, DESTROY_RESOURCELIMIT);
	house_say(&h, c, RELAY_BEGIN, 8, begin, sizeof(begin), false);
	assert_true(house_until(&h, &c->ended, 5000));
	assert_int_equal(c->end_reason, END_RESOURCELIMIT);
	h.silent = false;
	d = made(l);
	assert_false(c->destroyed);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_destroy),
		cmocka_unit_test(test_violations),
		cmocka_unit_test(test_silent_control),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_two_workers),
		cmocka_unit_test(test_two_workers_loss),
		cmocka_unit_test(test_ready_in_another_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
