/* test_abuse.c - floods: circuits, connections, streams, cells pushed onward, clients that read
 * nothing and say that they do, SENDMEs that lie. What is refused costs no memory and no message;
 * an honest circuit beside it keeps its rate (house_abuse). More of the kind: test_limits.c
 * (queues), test_linked.c (conflux), test_flow.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

#define ROUNDS HOUSE_ROUNDS
#define LITTLE (1u << 20) /* bytes: refusing takes next to none */

static struct house h;

static struct peer_circ *made(struct peer_link *l)
{
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

/* A circuit whose stream 7 echoes. */
static struct peer_circ *echoing(void)
{
	struct peer_circ *c = made(house_link(&h));

	h.dest = DEST_ECHO;
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 1000));
	return c;
}

static void deny(enum ctl_deny why, uint64_t seconds)
{
	struct ctl_addr_deny d = {.at = house_address(PEER_IP, 0), .seconds = seconds};

	for (unsigned i = 0; i < h.n_workers; i++)
		house_down(&h, i, CTL_ADDR_DENY, WID_NONE, why, &d, sizeof(d), NULL, 0);
	house_run(&h, 5);
}

/* ---- circuits (interop X1) ---- */
static uint32_t next_id = HOUSE_CIRC_ID + 0x100000;

static void creates(void *link)
{
	static const uint8_t payload[4 + TOR1_KEYS] = {0, 2, 0, TOR1_KEYS};

	for (unsigned i = 0; i < 50; i++)
		house_cell(&h, link, next_id++, CELL_CREATE2, payload, sizeof(payload));
}

static void test_circuit_creation_flood(void **state)
{
	struct peer_circ *other, *last;
	struct peer_link *l;
	unsigned asked;

	house_open(&h, 1, 200, NULL);
	h.judge = CTL_PEER_CLIENT;
	other = echoing();
	l = house_link(&h);
	deny(CTL_DENY_CIRCUITS, 1000000);
	asked = h.n_up[CTL_CIRC_CREATE];
	house_abuse(&h, "circuit-creation flood", other, LITTLE, creates, l);
	house_run(&h, 200);
	assert_int_equal(h.n_up[CTL_CIRC_CREATE], asked);
	assert_int_equal(house_count(&h, COUNT_circ_create_denied), ROUNDS * 50);
	assert_int_equal(h.workers[0].circs.circ_slots.n_used, 1);
	assert_int_equal(h.workers[0].circs.leg_slots.n_used, 1); /* each DESTROY has left */
	last = house_create(&h, l);
	assert_true(house_until(&h, &last->destroyed, 1000));
	assert_int_equal(last->destroy_reason, DESTROY_RESOURCELIMIT);
	/* A relay at the same address is none of those who are meant. */
	h.judge = CTL_PEER_RELAY;
	made(house_link(&h));
	deny(CTL_DENY_CIRCUITS, 0);
	made(l);
	deny(CTL_DENY_CIRCUITS, 1);
	house_run(&h, 2100);
	made(l);
	house_close(&h);
}

/* ---- connections (interop X2, X3) ---- */
static struct peer_link *dial(void)
{
	struct addr local = house_address(PEER_IP, 0), remote = house_address(RELAY_IP, OR_PORT);
	int conn = tcp_open(h.tcp, &local, &remote, PEER_LINK, h.now_us);

	assert_true(conn >= 0);
	return house_link_new(&h, (uint32_t)conn, true);
}

static void dials(void *arg)
{
	struct peer_link *l[10];

	for (unsigned i = 0; i < ARRAY_LEN(l); i++)
		l[i] = dial();
	for (unsigned i = 0; i < ARRAY_LEN(l); i++)
		assert_true(house_until(&h, &l[i]->reset, 5000));
	h.n_links -= ARRAY_LEN(l); /* their rows serve the next */
}

static void test_connection_flood(void **state)
{
	static const enum ctl_deny whys[] = {CTL_DENY_MARKED, CTL_DENY_CROWDED};

	for (unsigned i = 0; i < ARRAY_LEN(whys); i++) {
		struct peer_circ *other;
		unsigned told, conns;
		uint64_t mem;

		house_open(&h, 1, 201, NULL);
		other = echoing();
		deny(whys[i], 1000000);
		told = h.n_up[CTL_CONN_OPENED];
		conns = tcp_n_conns(h.workers[0].tcp);
		mem = h.workers[0].figures->mem_bytes;
		house_abuse(&h, i ? "flood of one connection too many" : "connection flood", other,
			    LITTLE, dials, NULL);
		assert_int_equal(h.n_up[CTL_CONN_OPENED], told);
		assert_int_equal(tcp_n_conns(h.workers[0].tcp), conns);
		assert_int_equal(tcp_n_half(h.workers[0].tcp), 0);
		assert_true(h.workers[0].figures->mem_bytes <= mem + (1 << 20));
		assert_int_equal(house_count(&h, COUNT_tcp_denied_marked), i ? 0 : ROUNDS * 10);
		assert_int_equal(house_count(&h, COUNT_tcp_denied_crowded), i ? ROUNDS * 10 : 0);
		deny(whys[i], 0);
		made(house_link(&h));
		house_close(&h);
	}
}

/* ---- streams (interop X4, E14) ---- */
struct asker {
	struct peer_circ *c;
	uint16_t id;
};

static void begins(void *arg)
{
	struct asker *a = arg;

	for (unsigned i = 0; i < 50; i++)
		house_begin(&h, a->c, ++a->id);
}

/* 10,000 streams on one circuit. */
static void test_stream_flood(void **state)
{
	for (int64_t type = 1; type <= 3; type++) {
		struct peer_circ *other;
		struct asker a = {.id = 100};
		unsigned told, n;
		uint64_t t0;

		house_open(&h, 1, 202, NULL);
		other = echoing();
		a.c = made(house_link(&h));
		house_param(&h, CTL_PARAM_STREAM_DOS_ENABLED, 1);
		house_param(&h, CTL_PARAM_STREAM_DOS_TYPE, type);
		house_run(&h, 5);
		h.answer = ANSWER_REFUSED;
		told = h.n_up[CTL_STREAM_RECV];
		t0 = h.now_us;
		house_abuse(&h,
			    type == 1	? "10,000 streams, counted"
			    : type == 2 ? "10,000 streams, refused"
					: "10,000 streams, circuit closed",
			    other, 4 * LITTLE, begins, &a);
		house_run(&h, 500);
		n = h.n_up[CTL_STREAM_RECV] - told;
		assert_int_equal(a.id, 10100);
		assert_true(house_count(&h, COUNT_edge_begins_over) > 0);
		assert_int_equal(h.workers[0].edge.slots.n_used, 1);
		assert_true(slots_in_use(&h.workers[0].sched) < 100);
		if (type == 1) {
			assert_int_equal(n, 10000);
			assert_false(a.c->destroyed);
		} else {
			/* the burst, and what whole seconds refilled */
			assert_in_range(n, 300, 300 + 100 * ((h.now_us - t0) / 1000000 + 1));
		}
		if (type == 2) {
			assert_int_equal(a.c->n_ended, 10000);
			assert_int_equal(house_count(&h, COUNT_edge_begins_over) + n, 10000);
			for (unsigned i = 0; i < 8; i++)
				begins(&a); /* more than any token is left for */
			house_run(&h, 100);
			assert_int_equal(a.c->end_reason, END_MISC);
			a.c->resolved = false;
			for (unsigned i = 0; i < 400; i++)
				house_say(&h, a.c, RELAY_RESOLVE, ++a.id, "a.b", 4, false);
			house_run(&h, 200);
			/* a directory stream takes no token and is never refused for want of one */
			n = h.n_up[CTL_STREAM_RECV];
			house_say(&h, a.c, RELAY_BEGIN_DIR, ++a.id, NULL, 0, false);
			house_run(&h, 50);
			assert_true(a.c->resolved);
			assert_int_equal(h.n_up[CTL_STREAM_RECV], n + 1);
		}
		if (type == 3) {
			assert_true(a.c->destroyed);
			assert_int_equal(a.c->destroy_reason, DESTROY_RESOURCELIMIT);
		}
		/* the next circuit has a full bucket, also in the same place */
		a = (struct asker) {.c = made(house_link(&h))};
		told = h.n_up[CTL_STREAM_RECV];
		begins(&a);
		house_run(&h, 100);
		assert_int_equal(h.n_up[CTL_STREAM_RECV], told + 50);
		house_close(&h);
	}
}

/* 10,000 that stay, without the defence: the table is full at some point, the rest are refused, and
 * streams that there are go on. */
static void test_streams_that_stay(void **state)
{
	struct peer_circ *other;
	struct asker a = {.id = 100};

	house_open(&h, 1, 207, NULL);
	other = echoing();
	a.c = made(house_link(&h));
	h.answer = ANSWER_DIR; /* byte pipes: none ends by itself */
	house_abuse(&h, "10,000 streams that stay", other, LITTLE, begins, &a);
	house_run(&h, 500);
	assert_int_equal(h.workers[0].edge.slots.n_used, h.plane.n_streams);
	assert_int_equal(house_count(&h, COUNT_edge_refused), 10000 - (h.plane.n_streams - 1));
	assert_int_equal(a.c->n_connected, h.plane.n_streams - 1);
	assert_int_equal(a.c->end_reason, END_RESOURCELIMIT);
	assert_false(a.c->destroyed);
	house_destroy(&h, a.c);
	house_run(&h, 500);
	assert_int_equal(h.workers[0].edge.slots.n_used, 1);
	house_close(&h);
}

/* ---- clients that lie about what they have read ---- */
enum { SNIPERS = 8, SHOTS = 10 };
struct snipers {
	struct peer_link *link[SNIPERS];
	struct peer_circ *c[SNIPERS];
	unsigned n_rounds, n_caught;
};

/* Sniper: each has a link of its own, downloads, reads nothing, and when all that may wait does
 * says that he has read. Who is caught begins again. */
static void snipe(void *arg)
{
	struct snipers *s = arg;

	if (s->n_rounds++ % (ROUNDS / SHOTS))
		return;
	for (unsigned i = 0; i < SNIPERS; i++) {
		if (s->c[i]) {
			house_say(&h, s->c[i], RELAY_SENDME, 7, NULL, 0, false);
			house_say(&h, s->c[i], RELAY_SENDME, 0, NULL, 0, false);
			house_run(&h, 5);
			house_hear(&h, s->link[i]);
			assert_true(house_until(&h, &s->c[i]->destroyed, 5000));
			s->n_caught++;
		} else {
			s->link[i] = house_link(&h);
		}
		s->c[i] = house_loading(&h, s->link[i]);
		s->link[i]->deaf = true;
	}
}

static void test_sniper(void **state)
{
	struct snipers s = {.n_rounds = 0};
	struct peer_circ *other;

	house_open(&h, 1, 205, NULL);
	other = echoing();
	h.source = 1ull << 40;
	house_param(&h, CTL_PARAM_MAX_MEM, 4 * LITTLE);
	house_abuse(&h, "Sniper", other, 4 * LITTLE, snipe, &s);
	assert_int_equal(s.n_caught, SNIPERS * (SHOTS - 1));
	assert_true(slots_in_use(&h.workers[0].sched) <= SNIPERS * 600);
	house_close(&h);
}

/* SENDMEs for what was never sent, with a tag of nothing, of another version, of a stream that has
 * none: each costs the liar his circuit. */
struct liar {
	struct peer_link *link;
	unsigned n;
};

static void lie(void *arg)
{
	static const struct {
		uint16_t stream;
		uint8_t len, body[23];
	} lies[] = {
		{0, 0, {0}},	    {0, 23, {1, 0, 20}}, {0, 23, {2, 0, 20}},
		{0, 3, {1, 0, 16}}, {0, 1, {1}},
	};
	struct liar *a = arg;

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct peer_circ *c = made(a->link);

		for (unsigned k = 0; k < 10; k++)
			house_say(&h, c, RELAY_SENDME, lies[i].stream, lies[i].body, lies[i].len,
				  false);
		assert_true(house_until(&h, &c->destroyed, 1000));
		assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
		a->n++;
		h.n_circs--; /* its row serves the next */
	}
}

static void test_sendme_lies(void **state)
{
	struct peer_circ *other;
	struct liar a = {0};

	house_open(&h, 1, 206, NULL);
	other = echoing();
	a.link = house_link(&h);
	house_abuse(&h, "SENDME lies", other, LITTLE, lie, &a);
	house_run(&h, 100);
	assert_int_equal(a.n, ROUNDS * 5);
	assert_int_equal(house_count(&h, COUNT_relay_sendme_unexpected), a.n);
	assert_int_equal(h.workers[0].circs.circ_slots.n_used, 1);
	house_close(&h);
}

/* ---- cells pushed onward faster than they are taken (interop C13, X5) ---- */
static void test_outbound_queue(void **state)
{
	static const uint8_t payload[CELL_PAYLOAD];

	for (unsigned n = 1; n <= 2; n++) {
		struct peer_circ *c, *other;

		house_open(&h, n, 203, NULL);
		h.judge = CTL_PEER_CLIENT;
		other = echoing();
		c = made(house_link(&h));
		house_extend(&h, c);
		assert_true(house_until(&h, &c->extended, 5000));
		h.hop[0].link->deaf = true;
		house_param(&h, CTL_PARAM_CELL_QUEUE_MAX_OUT, 500);
		c->n_layers = 0; /* what it says is garbage to everybody */
		for (int i = 0; i < 3000 && !c->destroyed; i++) {
			house_cell(&h, c->link, c->id, CELL_RELAY, payload, CELL_PAYLOAD);
			if (i % 30 == 0)
				house_run(&h, 2);
		}
		assert_true(house_until(&h, &c->destroyed, 1000));
		assert_int_equal(c->destroy_reason, DESTROY_RESOURCELIMIT);
		assert_int_equal(house_count(&h, COUNT_circ_queue_full), 1);
		assert_int_equal(house_count(&h, COUNT_circ_queue_full_out), 1);
		assert_int_equal(h.last_arg[CTL_CIRC_CLOSED],
				 DESTROY_RESOURCELIMIT | CTL_CLOSED_OUTQ);
		assert_true(house_echo(&h, other, other->bytes_out + 20000, 5000));
		house_close(&h);
	}
}

/* Control says nonsense about addresses. */
static void test_deny_malformed(void **state)
{
	struct ctl_addr_deny d = {.at = house_address(PEER_IP, 0), .seconds = UINT64_MAX};

	house_open(&h, 1, 204, NULL);
	house_down(&h, 0, CTL_ADDR_DENY, WID_NONE, N_CTL_DENY, &d, sizeof(d), NULL, 0);
	d.at.family = 5;
	house_down(&h, 0, CTL_ADDR_DENY, WID_NONE, CTL_DENY_MARKED, &d, sizeof(d), NULL, 0);
	house_run(&h, 5);
	assert_int_equal(house_count(&h, COUNT_worker_down_state), 2);
	made(house_link(&h));
	d.at.family = 4;
	house_down(&h, 0, CTL_ADDR_DENY, WID_NONE, CTL_DENY_MARKED, &d, sizeof(d), NULL, 0);
	house_run(&h, 5);
	dials(NULL);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_circuit_creation_flood),
		cmocka_unit_test(test_connection_flood),
		cmocka_unit_test(test_stream_flood),
		cmocka_unit_test(test_streams_that_stay),
		cmocka_unit_test(test_sniper),
		cmocka_unit_test(test_sendme_lies),
		cmocka_unit_test(test_outbound_queue),
		cmocka_unit_test(test_deny_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
