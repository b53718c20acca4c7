/* test_cgo.c - circuits with Counter Galois Onion through a whole house: bytes both ways, what V1
 * messages may be, what comes from the next hop, rendezvous with a tor1 leg on the other side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;

static struct peer_circ *made(struct peer_link *l, bool cgo)
{
	struct peer_circ *c;

	h.cgo = cgo;
	h.cc_inc = cgo ? 31 : 0;
	c = house_create(&h, l);
	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

static struct peer_circ *begun(struct peer_link *l, enum house_dest dest)
{
	struct peer_circ *c = made(l, true);

	h.dest = dest;
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 5000));
	return c;
}

static void nothing_left(void)
{
	house_run(&h, 100);
	for (unsigned i = 0; i < h.n_workers; i++) {
		assert_int_equal(h.workers[i].circs.circ_slots.n_used, 0);
		assert_int_equal(slots_in_use(&h.workers[i].sched), 0);
	}
}

/* As an exit and as a middle, on one worker and on two, with tor1 circuits in the same records. */
static void test_bytes(void **state)
{
	static const struct wire_impair impair = {.loss_ppm = 3000};

	for (unsigned row = 0; row < 4; row++) {
		struct peer_circ *exit, *middle, *old;
		struct peer_link *l;

		house_open(&h, 1 + row % 2, 400 + row, row / 2 ? &impair : NULL);
		l = house_link(&h);
		exit = begun(l, DEST_ECHO);
		middle = made(l, true);
		house_extend(&h, middle);
		assert_true(house_until(&h, &middle->extended, 5000));
		old = made(l, false);
		house_begin(&h, old, 7);
		assert_true(house_until(&h, &old->connected, 5000));
		for (unsigned i = 1; i <= 4; i++) {
			assert_true(house_echo(&h, exit, i * 100000, 60000));
			assert_true(house_echo(&h, middle, i * 50000, 60000));
			assert_true(house_echo(&h, old, i * 50000, 60000));
		}
		assert_true(exit->n_acked > 10); /* SENDMEs of 16 bytes, checked by the peer */
		assert_int_equal(house_count(&h, COUNT_onion_cgo), 2);
		house_destroy(&h, exit);
		house_destroy(&h, middle);
		house_destroy(&h, old);
		nothing_left();
		house_close(&h);
	}
}

/* A download: what we originate, each behind new keys, is opened and hashed by the client. */
static void test_download(void **state)
{
	struct peer_circ *c;

	house_open(&h, 1, 410, NULL);
	h.source = 2000000;
	c = begun(house_link(&h), DEST_SOURCE);
	assert_true(house_until(&h, &c->ended, 60000));
	assert_int_equal(c->bytes_in, 2000000);
	assert_int_equal(c->hash_in, h.source_hash);
	house_close(&h);
}

/* What a client's message does to its circuit (interop R8). */
static void test_messages(void **state)
{
	static const struct {
		int n;
		uint8_t command;
		uint16_t stream, len;
		bool dies;
	} rows[] = {
		{1, RELAY_DROP, 0, 0, false},
		{2, RELAY_DROP, 0, 490, false},
		{3, RELAY_DROP, 0, 491, true},
		{4, RELAY_DATA, 9, 488, false}, /* of a stream that is not there */
		{5, RELAY_DATA, 9, 489, true},
		{6, RELAY_DATA, 0, 10, false},
		{7, 200, 0, 0, true}, /* unknown: version 0 would pass it over */
		{8, 0, 0, 0, true},
		{9, 45, 0, 0, true},
		{10, RELAY_TRUNCATED, 0, 1, false}, /* known, of no meaning to a relay */
		{11, RELAY_SENDME, 0, 0, true},	    /* not to be expected */
	};
	struct peer_link *l;

	house_open(&h, 1, 420, NULL);
	l = house_link(&h);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const uint8_t body[CELL_PAYLOAD];
		struct peer_circ *c = made(l, true);

		house_say(&h, c, rows[i].command, rows[i].stream, body, rows[i].len, false);
		house_run(&h, 20);
		if (c->destroyed != rows[i].dies ||
		    (rows[i].dies && c->destroy_reason != DESTROY_TORPROTOCOL))
			fail_msg("row %d: %d, %u", rows[i].n, c->destroyed, c->destroy_reason);
		if (!rows[i].dies)
			house_destroy(&h, c);
	}
	nothing_left();
	house_close(&h);
}

/* CREATED2 must fit into EXTENDED2, which depends on our layer (interop H1, pitfall 25). */
static void test_created2(void **state)
{
	static const struct {
		int n;
		bool cgo;
		uint16_t len;
		bool passes;
	} rows[] = {{1, true, 488, true},
		    {2, true, 489, false},
		    {3, false, 496, true},
		    {4, false, 497, false},
		    {5, true, 0xffff, false}};
	struct peer_link *l;

	house_open(&h, 1, 430, NULL);
	h.hop_silent = true;
	l = house_link(&h);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c = made(l, rows[i].cgo);
		uint8_t answer[CELL_PAYLOAD] = {0};

		house_extend(&h, c);
		house_run(&h, 20);
		be16_put(answer, rows[i].len);
		assert_true(h.hop[0].used);
		house_cell(&h, h.hop[0].link, h.hop[0].id, CELL_CREATED2, answer, sizeof(answer));
		house_run(&h, 20);
		if (c->extended != rows[i].passes || c->destroyed == rows[i].passes)
			fail_msg("row %d", rows[i].n);
		if (rows[i].passes)
			house_destroy(&h, c);
		house_run(&h, 20);
		assert_false(h.hop[0].used);
	}
	house_close(&h);
}

/* Control's messages: what does not fit closes the circuit; CGO without congestion control is none.
 */
static void test_control(void **state)
{
	static const uint8_t body[RELAY_BODY];
	struct ctl_circ_msg m = {.command = RELAY_INTRODUCE2};
	struct peer_circ *c;
	struct peer_link *l;

	house_open(&h, 1, 440, NULL);
	l = house_link(&h);
	c = made(l, true);
	house_down(&h, 0, CTL_CIRC_SEND, h.last[CTL_CIRC_CREATE], 0, &m, sizeof(m), body, 490);
	house_run(&h, 20);
	assert_false(c->destroyed);
	house_down(&h, 0, CTL_CIRC_SEND, h.last[CTL_CIRC_CREATE], 0, &m, sizeof(m), body, 491);
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_int_equal(house_count(&h, COUNT_relay_too_long), 1);
	h.cgo = true;
	h.cc_inc = 0;
	c = house_create(&h, l);
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_false(c->created);
	nothing_left();
	house_close(&h);
}

/* Two links, on one worker or on two. */
static void links(struct peer_link *l[2], bool across)
{
	wid first, id;

	l[0] = house_link(&h);
	first = h.last[CTL_CONN_OPENED];
	for (int i = 0; i < 30; i++) {
		l[1] = house_link(&h);
		id = h.last[CTL_CONN_OPENED];
		if ((wid_worker(id) != wid_worker(first)) == across)
			return;
	}
	fail();
}

/* A rendezvous whose legs have either layer (interop R12), the client's cells in RELAY_EARLY too:
 * it crosses as RELAY. */
static void test_splice(void **state)
{
	static const uint8_t body[64] = "handshake";

	for (unsigned row = 0; row < 8; row++) {
		struct peer_circ *client, *service;
		struct tor1_layer inner;
		struct ctl_circ_splice s;
		struct peer_link *l[2];
		uint8_t keys[TOR1_KEYS];
		wid service_id;

		house_open(&h, 1 + row / 4, 450 + row, NULL);
		links(l, row / 4);
		client = made(l[0], row & 1);
		s.other = h.last[CTL_CIRC_CREATE];
		service = made(l[1], row & 2);
		service_id = h.last[CTL_CIRC_CREATE];
		rng_bytes(&h.rng, keys, sizeof(keys));
		tor1_layer_init(&h.cipher, &client->layers[1], keys);
		tor1_layer_init(&h.cipher, &inner, keys);
		service->inner = &inner;
		client->window = UINT32_MAX; /* the service sends no SENDMEs here */
		house_down(&h, wid_worker(service_id), CTL_CIRC_SPLICE, service_id, 0, &s,
			   sizeof(s), body, sizeof(body));
		assert_true(house_until(&h, &client->joined, 1000));
		for (unsigned i = 1; i <= 5; i++) {
			assert_true(house_echo(&h, client, i * 20000, 20000));
			house_say(&h, client, RELAY_DROP, 0, NULL, 0, true);
		}
		assert_false(client->destroyed || service->destroyed);
		house_destroy(&h, row & 1 ? service : client);
		nothing_left();
		house_close(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),	 cmocka_unit_test(test_download),
		cmocka_unit_test(test_messages), cmocka_unit_test(test_created2),
		cmocka_unit_test(test_control),	 cmocka_unit_test(test_splice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
