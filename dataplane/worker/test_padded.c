/* test_padded.c - circuit padding on the wire: what a client hears of the machines, beside data, at
 * a full queue and at the circuit's end; and which links count as used. */
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

/* To the relay itself, also when the circuit goes on. */
static void negotiate(struct peer_circ *c, uint8_t command, uint8_t machine, uint8_t ctr)
{
	uint8_t body[8] = {0, command, machine, 0, 0, 0, 0, ctr};
	unsigned n = c->n_layers;

	c->n_layers = 1;
	house_say(&h, c, RELAY_PADDING_NEGOTIATE, 0, body, sizeof(body), false);
	c->n_layers = n;
}

static unsigned n_rows(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h.n_workers; i++)
		n += h.workers[i].padding.slots.n_used;
	return n;
}

/* What the 0.4.9.11 relay answers (interop section 7), and how many DROPs come. */
static void test_machines(void **state)
{
	static const struct {
		int n;
		uint8_t command, machine, ctr;
		unsigned n_answers, drops_min, drops_max;
		uint8_t last[8];
	} rows[] = {
		{1, PAD_START, 0, 1, 2, 7, 9, {0, 1, 1, 0, 0, 0, 0, 1}},
		{2, PAD_STOP, 0, 1, 0, 0, 0, {0}}, /* it has ended itself */
		{3, PAD_START, 1, 2, 1, 1, 1, {0, 2, 1, 1, 0, 0, 0, 2}},
		{4, PAD_STOP, 1, 2, 1, 0, 0, {0, 1, 1, 1, 0, 0, 0, 2}},
		{5, PAD_START, 2, 3, 1, 0, 0, {0, 2, 2, 2, 0, 0, 0, 3}},
		{6, PAD_START, 0, 3, 2, 7, 9, {0, 1, 1, 0, 0, 0, 0, 3}},
	};

	for (unsigned extended = 0; extended < 2; extended++) {
		struct peer_circ *c;

		house_open(&h, 2, 31 + extended, NULL);
		c = made(house_link(&h));
		if (extended) {
			house_extend(&h, c);
			assert_true(house_until(&h, &c->extended, 5000));
		}
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			c->n_drops = c->n_negotiated = 0;
			negotiate(c, rows[i].command, rows[i].machine, rows[i].ctr);
			house_run(&h, 300);
			if (c->n_negotiated != rows[i].n_answers ||
			    c->n_drops < rows[i].drops_min || c->n_drops > rows[i].drops_max ||
			    (rows[i].n_answers && memcmp(c->negotiated, rows[i].last, 8)))
				fail_msg("row %d: %u answers, %u DROPs", rows[i].n, c->n_negotiated,
					 c->n_drops);
		}
		assert_false(c->destroyed);
		assert_int_equal(n_rows(), 1);
		house_destroy(&h, c);
		house_run(&h, 50);
		assert_int_equal(n_rows(), 0);
		house_close(&h);
	}
}

/* Data passes while machines begin, run and stop; the cipher streams stay in step. */
static void test_beside_data(void **state)
{
	uint64_t bytes = 0;
	struct peer_circ *c;

	house_open(&h, 2, 40, NULL);
	c = made(house_link(&h));
	house_extend(&h, c);
	assert_true(house_until(&h, &c->extended, 5000));
	c->window = UINT32_MAX; /* the next hop sends no SENDMEs */
	for (uint8_t i = 1; i < 20; i++) {
		negotiate(c, PAD_START, i & 1, i);
		assert_true(house_echo(&h, c, bytes += 20000, 20000));
		house_run(&h, i);
		negotiate(c, PAD_STOP, i & 1, 0);
		assert_true(house_echo(&h, c, bytes += 3000, 20000));
	}
	assert_true(c->n_drops > 10);
	assert_true(house_count(&h, COUNT_padding_drop_out) == c->n_drops);
	assert_false(c->destroyed);
	house_close(&h);
}

/* A client that reads nothing: what is withheld counts as sent, and the machine ends. */
static void test_withheld(void **state)
{
	struct peer_link *l;
	struct peer_circ *c;

	house_open(&h, 1, 50, NULL);
	house_param(&h, CTL_PARAM_CIRCPAD_MAX_QUEUED, 2);
	l = house_link(&h);
	c = made(l);
	house_extend(&h, c);
	assert_true(house_until(&h, &c->extended, 5000));
	l->deaf = true;
	c->no_sendmes = true;
	for (int i = 0; i < 700; i++) { /* more comes back than TCP takes */
		uint8_t data[RELAY_BODY] = {0};

		house_say(&h, c, RELAY_DATA, 1, data, sizeof(data), false);
		if (i % 20 == 0)
			house_run(&h, 5);
	}
	house_run(&h, 200);
	negotiate(c, PAD_START, 0, 1);
	house_run(&h, 300);
	assert_true(house_count(&h, COUNT_padding_withheld) >= 7);
	assert_int_equal(house_count(&h, COUNT_padding_drop_out), 0);
	assert_int_equal(h.workers[0].padding.row[0].machine, 0);
	house_cut(&h, l);
	house_run(&h, 100);
	assert_int_equal(n_rows(), 0);
	house_close(&h);
}

/* Circuits that end in the middle of it, by whichever way, leave nothing. */
static void test_ends(void **state)
{
	for (int how = 0; how < 3; how++) {
		struct peer_link *l;
		struct peer_circ *c[20];

		house_open(&h, 2, 60 + (uint64_t)how, NULL);
		l = house_link(&h);
		for (size_t i = 0; i < ARRAY_LEN(c); i++) {
			c[i] = made(l);
			negotiate(c[i], PAD_START, i & 1, 1);
		}
		house_run(&h, 4);
		for (size_t i = 0; i < ARRAY_LEN(c) && how < 2; i++) {
			if (how)
				house_say(&h, c[i], RELAY_EXTEND, 0, NULL, 0, true);
			else
				house_destroy(&h, c[i]);
		}
		if (how == 2)
			house_cut(&h, l);
		house_run(&h, 300);
		assert_int_equal(n_rows(), 0);
		for (unsigned i = 0; i < h.n_workers; i++)
			assert_int_equal(h.workers[i].circs.circ_slots.n_used, 0);
		house_close(&h);
	}
}

/* A client's link counts as used when a circuit on it goes on to another relay, not before. */
static void test_used(void **state)
{
	struct peer_link *l;
	struct peer_circ *c;
	struct link *k;

	house_open(&h, 1, 70, NULL);
	l = house_link(&h);
	k = link_of(&h.workers[0].links, wid_index(h.last[CTL_CONN_OPENED]));
	k->peer = CTL_PEER_CLIENT;
	c = made(l);
	house_say(&h, c, RELAY_DROP, 0, NULL, 0, true);
	house_say(&h, c, RELAY_DROP, 0, NULL, 0, false);
	house_run(&h, 20);
	assert_int_equal(house_count(&h, COUNT_relay_drop), 2);
	assert_int_equal(k->used, LINK_UNUSED);
	house_extend(&h, c);
	assert_true(house_until(&h, &c->extended, 5000));
	assert_int_equal(k->used, LINK_UNUSED);
	house_say(&h, c, RELAY_DROP, 0, NULL, 0, true);
	house_run(&h, 20);
	assert_int_equal(k->used, LINK_USED_CIRCS);
	house_say(&h, c, RELAY_DROP, 0, NULL, 0, false);
	house_run(&h, 20);
	assert_int_equal(k->used, LINK_USED_TRAFFIC);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machines), cmocka_unit_test(test_beside_data),
		cmocka_unit_test(test_withheld), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
