/* test_steps.c - words that cross: DESTROY, TRUNCATE and relay cells at each step of a CREATE and
 * of an EXTEND2; ids that are used again at once; links that say all in one breath. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;

#define HOLD(type) (1u << (CTL_##type - CTL_UP_FIRST))

static struct peer_circ *made(struct peer_link *l)
{
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

/* Nothing is left of circuits that were closed; told: how many control was told of. */
static void nothing_left(unsigned n_circs)
{
	house_run(&h, 100);
	for (unsigned i = 0; i < h.n_workers; i++) {
		assert_int_equal(slots_in_use(&h.workers[i].sched), 0);
		assert_int_equal(h.workers[i].edge.slots.n_used, 0);
		assert_int_equal(h.workers[i].late.n, 0);
		n_circs -= h.workers[i].circs.circ_slots.n_used;
	}
	assert_int_equal(n_circs, 0);
	assert_int_equal(h.n_up[CTL_CIRC_CREATE] - h.n_up[CTL_CIRC_CLOSED],
			 h.workers[0].circs.circ_slots.n_used +
				 (h.n_workers > 1 ? h.workers[1].circs.circ_slots.n_used : 0));
	assert_int_equal(house_count(&h, COUNT_worker_mesh_lost), 0);
}

static void use(struct peer_circ *c)
{
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 5000));
	assert_true(house_echo(&h, c, 5000, 10000));
	house_destroy(&h, c);
}

enum act { ACT_DESTROY, ACT_RELAY, ACT_AGAIN, ACT_CUT, N_ACTS };

/* While control thinks about a CREATE. */
static void test_create(void **state)
{
	for (enum act act = 0; act < N_ACTS; act++) {
		struct peer_link *l;
		struct peer_circ *c;

		house_open(&h, 1, 20 + act, NULL);
		l = house_link(&h);
		h.holds = HOLD(CIRC_CREATE);
		c = house_create(&h, l);
		house_run(&h, 5);
		assert_int_equal(h.n_up[CTL_CIRC_CREATE], 1);
		if (act == ACT_DESTROY)
			house_destroy(&h, c);
		else if (act == ACT_RELAY)
			house_say(&h, c, RELAY_DROP, 0, NULL, 0, false);
		else if (act == ACT_AGAIN)
			house_cell(&h, l, c->id, CELL_CREATE2, NULL, 0);
		else
			house_cut(&h, l);
		house_run(&h, 20);
		assert_int_equal(h.n_up[CTL_CIRC_CLOSED], act != ACT_AGAIN);
		assert_int_equal(h.n_up[CTL_CIRC_CREATE], 1);
		house_release(&h);
		house_run(&h, 20);
		assert_int_equal(c->created, act == ACT_AGAIN);
		assert_int_equal(c->destroyed, act == ACT_RELAY);
		if (act == ACT_RELAY)
			assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
		assert_int_equal(house_count(&h, COUNT_worker_down_unknown), act != ACT_AGAIN);
		assert_int_equal(house_count(&h, COUNT_circ_id_in_use), act == ACT_AGAIN);
		if (act == ACT_AGAIN)
			use(c);
		nothing_left(0);
		if (act != ACT_CUT)
			use(made(l)); /* the link is as good as before */
		house_close(&h);
	}
}

enum step { STEP_ASKED, STEP_SENT, STEP_DONE, N_STEPS };
enum cross { CROSS_DESTROY, CROSS_TRUNCATE, CROSS_DROP, CROSS_AHEAD, N_CROSSES };

static void extend_to(struct peer_circ *c, enum step step, unsigned turns)
{
	h.holds = step == STEP_ASKED ? HOLD(CIRC_RECV) : 0;
	h.hop_silent = step == STEP_SENT;
	house_extend(&h, c);
	if (step == STEP_DONE)
		assert_true(house_until(&h, &c->extended, 5000));
	else
		house_run(&h, 20);
	assert_int_equal(c->extended, step == STEP_DONE);
	/* A few turns into the next step, so that words cross on the mesh too. */
	if (step == STEP_ASKED && turns)
		house_release(&h);
	for (unsigned i = 0; i < turns && step == STEP_ASKED; i++)
		house_step(&h);
}

static void one_crossing(struct peer_link *l, enum step step, enum cross cross, unsigned turns)
{
	static const uint8_t body[10] = {DESTROY_REQUESTED};
	struct peer_circ *c = made(l);

	extend_to(c, step, turns);
	if (cross != CROSS_AHEAD)
		c->n_layers = 1;
	else
		c->n_layers = 2;
	if (cross == CROSS_DESTROY)
		house_destroy(&h, c);
	else if (cross == CROSS_AHEAD)
		house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
	else
		house_say(&h, c, cross == CROSS_DROP ? RELAY_DROP : RELAY_TRUNCATE, 0, body, 1,
			  false);
	if (c->extended)
		c->n_layers = 2;
	house_run(&h, 20);
	house_release(&h);
	h.hop_silent = false;
	house_run(&h, 20);
	if (cross == CROSS_AHEAD && !turns && step == STEP_ASKED) {
		/* There is nobody it could be for (interop R7). */
		assert_true(c->destroyed);
		assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
	} else if (cross == CROSS_AHEAD && step != STEP_ASKED) {
		/* Also before CREATED2 it goes on to the next hop (interop C18 is for that one). */
		assert_false(c->destroyed);
		assert_int_equal(h.hop[0].n_cells, 1);
	} else if (cross == CROSS_DESTROY) {
		assert_false(c->destroyed);
	} else if (cross == CROSS_TRUNCATE) {
		/* The circuit stands, and goes on to the same hop or another. */
		assert_true(c->truncated);
		assert_false(c->destroyed);
		c->extended = false;
		c->n_layers = 1;
		house_extend(&h, c);
		assert_true(house_until(&h, &c->extended, 5000));
		c->n_data_in = c->n_data_out = 0;
		assert_true(house_echo(&h, c, 5000, 10000));
	} else if (step == STEP_ASKED) {
		assert_int_equal(c->destroyed, !c->extended);
	}
	house_destroy(&h, c);
	house_run(&h, 20);
	for (unsigned i = 0; i < HOUSE_CIRCS; i++)
		assert_false(h.hop[i].used);
	nothing_left(0);
	h.n_circs = 0;
}

static void test_extend(void **state)
{
	static const unsigned turns[] = {0, 1, 2, 3, 4, 6};

	for (unsigned n = 1; n <= 2; n++) {
		struct peer_link *l[3];

		house_open(&h, n, 30 + n, NULL);
		for (int i = 0; i < 3; i++)
			l[i] = house_link(&h);
		for (unsigned row = 0; row < N_STEPS * N_CROSSES; row++)
			for (unsigned t = 0; t < (row / N_CROSSES ? 1 : ARRAY_LEN(turns)); t++)
				one_crossing(l[(row + t) % 3], row / N_CROSSES, row % N_CROSSES,
					     turns[t]);
		house_close(&h);
	}
}

/* The next hop's link goes while it is asked, and afterwards. */
static void test_next_hop_dies(void **state)
{
	for (unsigned n = 1; n <= 2; n++) {
		for (enum step step = STEP_SENT; step < N_STEPS; step++) {
			struct peer_circ *c, *other;
			struct peer_link *l;

			house_open(&h, n, 40, NULL);
			l = house_link(&h);
			other = made(l);
			c = made(l);
			extend_to(c, step, 0);
			house_cut(&h, h.hop[0].link);
			assert_true(house_until(&h, &c->destroyed, 2000));
			assert_int_equal(c->destroy_reason, DESTROY_CHANNEL_CLOSED);
			assert_int_equal(h.n_up[CTL_CIRC_DONE], 1);
			h.hop_silent = false;
			use(other);
			/* Asked for a link that is no more, control hears so. */
			c = made(l);
			house_extend(&h, c);
			assert_true(house_until(&h, &c->destroyed, 2000));
			assert_int_equal(h.n_up[CTL_CIRC_DONE], 2);
			assert_int_equal(house_count(&h, COUNT_circ_extend_refused), 1);
			nothing_left(0);
			house_close(&h);
		}
	}
}

/* BEGIN, DATA, END and the same stream id again, all in one record. */
static void test_one_record(void **state)
{
	static const uint8_t body[300] = "second", done[] = {END_DONE};
	struct peer_link *l;
	struct peer_circ *c;

	house_open(&h, 1, 50, NULL);
	l = house_link(&h);
	c = made(l);
	house_gather(l);
	house_begin(&h, c, 7);
	house_say(&h, c, RELAY_DATA, 7, "first", 5, false);
	house_say(&h, c, RELAY_END, 7, done, 1, false);
	house_begin(&h, c, 7);
	house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
	house_begin(&h, c, 7); /* in use: dropped */
	house_send(&h, l);
	assert_true(house_until(&h, &c->connected, 5000));
	house_run(&h, 50);
	assert_int_equal(c->n_connected, 1);
	assert_int_equal(c->bytes_in, sizeof(body));
	assert_true(c->hash_in == house_fold(1, body, sizeof(body)));
	assert_int_equal(h.n_up[CTL_STREAM_RECV], 2);
	assert_int_equal(h.n_up[CTL_STREAM_CLOSED], 1);
	assert_int_equal(house_count(&h, COUNT_relay_stream_in_use), 1);
	assert_int_equal(house_count(&h, COUNT_worker_down_unknown),
			 1); /* the answer to the first */
	house_say(&h, c, RELAY_END, 7, done, 1, false);
	house_begin(&h, c, 7);
	house_run(&h, 50);
	assert_int_equal(c->n_connected, 2);
	house_destroy(&h, c);
	nothing_left(0);
	house_close(&h);
}

/* DESTROY and CREATE of one id, over and over in one record. */
static void test_ids_again(void **state)
{
	struct peer_circ *c, *d;
	struct peer_link *l;

	house_open(&h, 1, 51, NULL);
	l = house_link(&h);
	c = made(l);
	house_gather(l);
	for (int i = 0; i < 10; i++) {
		house_destroy(&h, c);
		h.n_circs--;
		c = house_create(&h, l);
	}
	house_send(&h, l);
	assert_true(house_until(&h, &c->created, 5000));
	house_run(&h, 20);
	assert_int_equal(h.n_up[CTL_CIRC_CREATE], 11);
	assert_int_equal(h.n_up[CTL_CIRC_CLOSED], 10);
	/* Ours to close: until our DESTROY is out, the id is not free (interop L22). */
	house_gather(l);
	house_say(&h, c, RELAY_SENDME, 0, NULL, 0, false);
	house_cell(&h, l, c->id, CELL_CREATE2, NULL, 0);
	house_send(&h, l);
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_int_equal(house_count(&h, COUNT_circ_id_in_use), 1);
	h.n_circs--;
	d = made(l);
	use(d);
	nothing_left(0);
	house_close(&h);
}

/* NETINFO and CREATE in one record; and records of both before control has given keys. */
static void test_eager(void **state)
{
	static const uint32_t holds[] = {0, HOLD(CELL_RECV), HOLD(CONN_READ)};

	for (enum house_eager eager = EAGER_RECORD; eager <= EAGER_BLIND; eager++) {
		for (size_t i = 0; i < ARRAY_LEN(holds); i++) {
			struct peer_link *l;

			/* Who waits for a hello cannot send a CREATE before control has read. */
			if (eager == EAGER_RECORD && holds[i] == HOLD(CONN_READ))
				continue;
			house_open(&h, 1, 60, NULL);
			h.eager = eager;
			h.holds = holds[i];
			l = house_link(&h);
			assert_int_equal(h.n_circs, 1);
			assert_int_equal(h.circ[0].created, !holds[i]);
			house_release(&h);
			assert_true(house_until(&h, &h.circ[0].created, 1000));
			use(&h.circ[0]);
			nothing_left(0);
			assert_false(l->ended || l->reset);
			house_close(&h);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),	      cmocka_unit_test(test_extend),
		cmocka_unit_test(test_next_hop_dies), cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_ids_again),     cmocka_unit_test(test_eager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
