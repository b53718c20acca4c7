/* test_far.c - streams and their far ends: destinations that answer, leave, reset or do not read;
 * directory streams; names; and what happens to a client that is many, or slow, or gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/worker/house.h"

static struct house h;
static const uint8_t done[] = {END_DONE};

static struct peer_circ *made(struct peer_link *l)
{
	struct peer_circ *c = house_create(&h, l);

	assert_true(house_until(&h, &c->created, 20000));
	return c;
}

static void no_stream_left(void)
{
	house_run(&h, 200);
	for (unsigned i = 0; i < h.n_workers; i++) {
		assert_int_equal(h.workers[i].edge.slots.n_used, 0);
		assert_int_equal(h.workers[i].edge.mem, 0);
		assert_int_equal(slots_in_use(&h.workers[i].sched), 0);
	}
	assert_int_equal(h.n_up[CTL_STREAM_RECV], h.n_up[CTL_STREAM_CLOSED]);
}

/* How each destination ends a stream, and what the client is told (interop E11). */
static void test_ends(void **state)
{
	static const struct {
		enum house_answer answer;
		enum house_dest dest;
		uint64_t source;
		uint8_t reason;
		bool connected;
	} rows[] = {
		/* 1 */ {ANSWER_TCP, DEST_SOURCE, 1000, END_DONE, true}, /* data and FIN at once */
		/* 2 */ {ANSWER_TCP, DEST_SOURCE, 0, END_DONE, true},	 /* half-closes at once */
		/* 3 */ {ANSWER_TCP, DEST_SOURCE, 2000000, END_DONE, true},
		/* 4 */ {ANSWER_TCP, DEST_RESET, 0, END_CONNRESET, true},
		/* 5 */ {ANSWER_TCP, DEST_CLOSED, 0, END_CONNECTREFUSED, false},
		/* 6 */ {ANSWER_REFUSED, DEST_ECHO, 0, END_EXITPOLICY, false},
	};
	struct peer_link *l;

	house_open(&h, 1, 70, NULL);
	l = house_link(&h);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c = made(l);

		h.answer = rows[i].answer;
		h.dest = rows[i].dest;
		h.source = rows[i].source;
		h.source_hash = 1;
		h.dest_ended = false;
		house_begin(&h, c, 7);
		house_say(&h, c, RELAY_DATA, 7, "early", 5, false);
		assert_true(house_until(&h, &c->ended, 30000));
		assert_int_equal(c->end_reason, rows[i].reason);
		assert_int_equal(c->connected, rows[i].connected);
		assert_int_equal(c->bytes_in, rows[i].source);
		assert_true(c->hash_in == h.source_hash);
		if (rows[i].dest == DEST_SOURCE)
			assert_true(house_until(&h, &h.dest_ended, 1000)); /* our FIN answers */
		assert_false(c->destroyed);
		no_stream_left();
		/* The id is free again. */
		h.dest = DEST_ECHO;
		h.answer = ANSWER_TCP;
		c->bytes_in = 0;
		c->hash_in = 1;
		house_begin(&h, c, 7);
		assert_true(house_echo(&h, c, 1000, 5000));
		house_say(&h, c, RELAY_END, 7, done, 1, false);
		no_stream_left();
	}
	house_close(&h);
}

/* The client ends: what it sent comes first, then FIN. */
static void test_flush(void **state)
{
	static const uint8_t body[RELAY_BODY];
	struct peer_circ *c;
	struct peer_link *l;

	for (int by_destroy = 0; by_destroy <= 1; by_destroy++) {
		house_open(&h, 1, 71, NULL);
		l = house_link(&h);
		c = made(l);
		h.dest = DEST_ECHO;
		house_begin(&h, c, 7);
		assert_true(house_until(&h, &c->connected, 5000));
		for (int i = 0; i < 200; i++)
			house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
		if (by_destroy)
			house_destroy(&h, c);
		else
			house_say(&h, c, RELAY_END, 7, done, 1, false);
		assert_true(house_until(&h, &h.dest_ended, 5000));
		assert_int_equal(h.dest_bytes, 200 * sizeof(body));
		assert_int_equal(c->ended, false); /* an END is not answered */
		no_stream_left();
		house_close(&h);
	}
}

/* Many streams on one circuit, a little on each. */
static void many(struct peer_link *l, unsigned n, uint16_t len)
{
	struct peer_circ *c = made(l);
	uint8_t body[RELAY_BODY] = {1, 2, 3};
	const bool never = false;

	for (unsigned i = 1; i <= n; i++)
		house_begin(&h, c, (uint16_t)i);
	for (int k = 0; k < 100 && c->n_connected < n; k++)
		house_until(&h, &never, 50);
	assert_int_equal(c->n_connected, n);
	for (int round = 0; round < 4; round++)
		for (unsigned i = 1; i <= n; i++)
			house_say(&h, c, RELAY_DATA, (uint16_t)i, body, len, false);
	for (int k = 0; k < 200 && c->bytes_in < 4ull * n * len; k++)
		house_until(&h, &never, 20);
	assert_int_equal(c->bytes_in, 4ull * n * len);
	for (unsigned i = 1; i <= n; i++)
		house_say(&h, c, RELAY_END, (uint16_t)i, done, 1, false);
	no_stream_left();
	assert_false(c->destroyed);
	house_destroy(&h, c);
}

static void test_many(void **state)
{
	struct peer_link *l;

	house_open(&h, 2, 72, NULL);
	l = house_link(&h);
	many(l, 64, 1);
	many(l, 100, RELAY_BODY);
	house_close(&h);
}

/* A destination that reads nothing: what the relay holds for it is bounded, and who goes on sending
 * breaks the protocol. */
static void test_deaf_destination(void **state)
{
	static const uint8_t body[RELAY_BODY];
	struct peer_circ *c;
	uint64_t most = 0;

	house_open(&h, 1, 73, NULL);
	h.dest = DEST_DEAF;
	c = made(house_link(&h));
	house_begin(&h, c, 7);
	assert_true(house_until(&h, &c->connected, 5000));
	for (int i = 0; i < 2000 && !c->destroyed; i++) {
		house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
		house_step(&h);
		most = MAX(most, tcp_mem_all(h.workers[0].tcp));
	}
	assert_true(house_until(&h, &c->destroyed, 1000));
	assert_int_equal(c->destroy_reason, DESTROY_TORPROTOCOL);
	assert_int_equal(house_count(&h, COUNT_edge_window_overrun), 1);
	assert_true(most < 1 << 20);
	house_close(&h);
}

/* As much DATA before the stream is connected as its window allows, then one more. */
static void test_ahead(void **state)
{
	static const uint8_t body[RELAY_BODY];
	struct peer_circ *c;
	struct peer_link *l;

	house_open(&h, 1, 74, NULL);
	l = house_link(&h);
	for (unsigned over = 0; over <= 1; over++) {
		c = made(l);
		c->window = 2000;
		h.dest_bytes = 0;
		h.holds = 1u << (CTL_STREAM_RECV - CTL_UP_FIRST);
		house_begin(&h, c, 7);
		for (unsigned i = 0; i < EDGE_WINDOW + over; i++)
			house_say(&h, c, RELAY_DATA, 7, body, sizeof(body), false);
		house_run(&h, 200);
		assert_int_equal(c->destroyed, over);
		assert_true(h.workers[0].edge.mem <= 2 * EDGE_HELD_MAX);
		house_release(&h);
		if (!over) {
			assert_true(house_until(&h, &c->connected, 1000));
			house_run(&h, 1000);
			assert_int_equal(c->bytes_in, EDGE_WINDOW * RELAY_BODY);
			house_destroy(&h, c);
		}
		no_stream_left();
	}
	/* All that waits at edges together is bounded too. */
	house_param(&h, CTL_PARAM_MAX_MEM, 1 << 20);
	h.holds = 1u << (CTL_STREAM_RECV - CTL_UP_FIRST);
	c = made(l);
	for (uint16_t stream = 1; stream <= 4; stream++) {
		house_begin(&h, c, stream);
		for (unsigned i = 0; i < 300; i++)
			house_say(&h, c, RELAY_DATA, stream, body, sizeof(body), false);
		house_run(&h, 50);
	}
	assert_true(h.workers[0].edge.mem <= 1 << 20);
	assert_true(c->n_ended > 0 || c->destroyed);
	assert_true(house_count(&h, COUNT_edge_mem_full) > 0);
	house_close(&h);
}

static void dir_write(wid stream, unsigned n)
{
	static const uint8_t bytes[4096] = "HTTP";

	for (unsigned i = 0; i < n; i++)
		house_down(&h, wid_worker(stream), CTL_STREAM_WRITE, stream, 0, NULL, 0, bytes,
			   sizeof(bytes));
}

/* A directory stream: bytes both ways on credit, END behind the last byte. */
static void test_dir(void **state)
{
	static const uint8_t request[400] = "GET /";
	struct peer_circ *c;
	struct peer_link *l;
	uint64_t sent = 0;
	wid stream;

	house_open(&h, 1, 75, NULL);
	h.answer = ANSWER_DIR;
	l = house_link(&h);
	c = made(l);
	house_gather(l);
	house_say(&h, c, RELAY_BEGIN_DIR, 7, NULL, 0, false);
	house_say(&h, c, RELAY_DATA, 7, request, sizeof(request), false);
	house_send(&h, l);
	assert_true(house_until(&h, &c->connected, 1000));
	house_run(&h, 20);
	assert_int_equal(h.dir_bytes, sizeof(request));
	assert_true(h.dir_hash == house_fold(1, request, sizeof(request)));
	assert_int_equal(h.credit, EDGE_DIR_MAX);
	assert_int_equal(c->connected_len, 0);
	stream = h.last[CTL_STREAM_RECV];
	while (sent < 600000) { /* many windows long */
		if (h.credit >= 4096) {
			dir_write(stream, 1);
			h.credit -= 4096;
			sent += 4096;
		}
		house_step(&h);
	}
	house_run(&h, 50);
	assert_true(h.credit >= 4 * 4096);
	dir_write(stream, 4); /* the END waits for them */
	sent += 4 * 4096;
	house_down(&h, 0, CTL_STREAM_CLOSE, stream, RELAY_END, NULL, 0, done, 1);
	assert_true(house_until(&h, &c->ended, 5000));
	assert_int_equal(c->bytes_in, sent);
	assert_int_equal(c->end_reason, END_DONE);
	no_stream_left();
	/* A client that acknowledges nothing: control's credit ends; who writes beyond it is ended.
	 */
	c = made(l);
	c->no_sendmes = true;
	house_say(&h, c, RELAY_BEGIN_DIR, 8, NULL, 0, false);
	assert_true(house_until(&h, &c->connected, 1000));
	stream = h.last[CTL_STREAM_RECV];
	for (sent = 0; h.credit >= 4096; sent += 4096) {
		dir_write(stream, 1);
		h.credit -= 4096;
		house_run(&h, 20);
		assert_true(sent < 2 * EDGE_HELD_MAX);
	}
	assert_int_equal(c->n_data_in, EDGE_WINDOW);
	assert_false(c->ended);
	dir_write(stream, 2);
	assert_true(house_until(&h, &c->ended, 1000));
	assert_int_equal(c->end_reason, END_INTERNAL);
	no_stream_left();
	/* The client leaves in the middle: control hears it, and its late words find nobody. */
	c = made(l);
	house_say(&h, c, RELAY_BEGIN_DIR, 9, NULL, 0, false);
	assert_true(house_until(&h, &c->connected, 1000));
	stream = h.last[CTL_STREAM_RECV];
	dir_write(stream, 8);
	house_destroy(&h, c);
	house_run(&h, 20);
	dir_write(stream, 1);
	no_stream_left();
	assert_int_equal(house_count(&h, COUNT_worker_down_unknown), 2); /* and one of before */
	house_close(&h);
}

/* Streams of one circuit that are ready together share its window to the cell. */
static void test_one_window(void **state)
{
	enum { STREAMS = 5, WINDOW = 100 };
	struct peer_circ *c;
	wid stream[STREAMS];

	house_open(&h, 1, 76, NULL);
	h.answer = ANSWER_DIR;
	house_param(&h, CTL_PARAM_CIRCWINDOW, WINDOW);
	c = made(house_link(&h));
	c->no_sendmes = true;
	for (uint16_t i = 0; i < STREAMS; i++) {
		house_say(&h, c, RELAY_BEGIN_DIR, (uint16_t)(i + 1), NULL, 0, false);
		house_run(&h, 20);
		stream[i] = h.last[CTL_STREAM_RECV];
	}
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < STREAMS; i++)
			dir_write(stream[i], 3);
		house_run(&h, 20);
	}
	assert_int_equal(c->n_data_in, WINDOW);
	assert_int_equal(h.workers[0].sched.n_free, h.workers[0].sched.cf.n_slots);
	house_close(&h);
}

static void test_resolve(void **state)
{
	struct peer_circ *c;

	house_open(&h, 1, 76, NULL);
	h.answer = ANSWER_RESOLVED;
	c = made(house_link(&h));
	house_say(&h, c, RELAY_RESOLVE, 7, "name", 5, false);
	assert_true(house_until(&h, &c->resolved, 1000));
	no_stream_left();
	assert_false(c->ended || c->destroyed);
	/* Control cannot be asked: an answer all the same. */
	h.silent = true;
	c->resolved = false;
	house_begin(&h, c, 8); /* waits in the ring, so that it is seen to be left lying */
	house_run(&h, 2500);
	house_say(&h, c, RELAY_RESOLVE, 7, "name", 5, false);
	assert_true(house_until(&h, &c->resolved, 1000));
	house_close(&h);
}

/* 20 streams that all have more than their share: one turn packs a share of each and no more. */
static void test_a_turn_is_bounded(void **state)
{
	enum { STREAMS = 20, WRITES = 5, SHARE = 8 }; /* 41 cells each */
	struct worker *w;
	struct peer_circ *c;
	wid stream[STREAMS];
	uint32_t before;

	house_open(&h, 1, 77, NULL);
	w = &h.workers[0];
	h.answer = ANSWER_DIR;
	c = made(house_link(&h));
	for (uint16_t i = 0; i < STREAMS; i++) {
		house_say(&h, c, RELAY_BEGIN_DIR, (uint16_t)(i + 1), NULL, 0, false);
		house_run(&h, 20);
		stream[i] = h.last[CTL_STREAM_RECV];
	}
	for (unsigned i = 0; i < STREAMS; i++)
		dir_write(stream[i], WRITES);
	before = w->sched.n_free;
	while (ring_waits(&w->down))
		ctl_in(w);
	assert_int_equal(w->edge.n_ready, STREAMS);
	streams_read(w);
	assert_in_range(before - w->sched.n_free, STREAMS * 3, STREAMS * SHARE);
	assert_int_equal(w->edge.n_ready, STREAMS);
	house_run(&h, 200);
	assert_true(c->n_data_in >= STREAMS * WRITES * 4096 / RELAY_BODY);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),	   cmocka_unit_test(test_flush),
		cmocka_unit_test(test_many),	   cmocka_unit_test(test_deaf_destination),
		cmocka_unit_test(test_ahead),	   cmocka_unit_test(test_dir),
		cmocka_unit_test(test_one_window), cmocka_unit_test(test_a_turn_is_bounded),
		cmocka_unit_test(test_resolve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
