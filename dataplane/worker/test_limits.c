/* test_limits.c - what is fair and what is bounded: queues, memory, bandwidth, and who is cut when
 * somebody takes more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

/* The cells that wait for the client of the one circuit with a next hop. */
static uint32_t queued_back(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < h.workers[0].sched.n_legs; i++)
		n = MAX(n, h.workers[0].sched.leg[i].n);
	return n;
}

/* Whose queue is full says why: of what we pass on, or of what we say ourselves. The bound is what
 * may wait; one cell more is too much (interop C13). */
static void test_queue_reason(void **state)
{
	static const uint8_t payload[CELL_PAYLOAD];
	static const struct {
		bool relayed;
		int64_t high;
		bool closed;
		uint8_t reason;
	} rows[] = {
		{true, 256, true, DESTROY_RESOURCELIMIT}, /* 1 */
		{false, 256, true, DESTROY_INTERNAL},	  /* 2 */
		{false, 40, false, 0},			  /* 3: cellq_high comes first */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_circ *c;
		struct peer_link *l;

		house_open(&h, 1, 120 + i, NULL);
		l = house_link(&h);
		house_param(&h, CTL_PARAM_CELLQ_HIGH, rows[i].high);
		house_param(&h, CTL_PARAM_CELL_QUEUE_MAX, 50);
		house_run(&h, 1);
		h.source = 4 << 20;
		c = rows[i].relayed ? made(l) : loading(l);
		if (rows[i].relayed) {
			house_extend(&h, c);
			assert_true(house_until(&h, &c->extended, 5000));
		}
		l->deaf = true;
		house_run(&h, rows[i].relayed ? 1 : 1000);
		for (int k = 0; rows[i].relayed && k < 1000 && queued_back() < 50; k++) {
			house_cell(&h, h.hop[0].link, h.hop[0].id, CELL_RELAY, payload,
				   CELL_PAYLOAD);
			house_run(&h, 3);
		}
		if (rows[i].relayed) {
			assert_int_equal(queued_back(), 50);
			assert_int_equal(house_count(&h, COUNT_circ_queue_full), 0);
			house_cell(&h, h.hop[0].link, h.hop[0].id, CELL_RELAY, payload,
				   CELL_PAYLOAD);
			house_run(&h, 3);
		}
		assert_int_equal(house_count(&h, COUNT_circ_queue_full), rows[i].closed);
		assert_int_equal(house_count(&h, COUNT_circ_queue_full_out), 0);
		c->n_layers = rows[i].relayed ? 0 : c->n_layers; /* not deciphered here */
		house_hear(&h, l);
		house_run(&h, 500);
		assert_int_equal(c->destroyed, rows[i].closed);
		if (rows[i].closed)
			assert_int_equal(c->destroy_reason, rows[i].reason);
		house_close(&h);
	}
}

/* Memory is short: circuits with the oldest cells go until a tenth is free, others do not feel it.
 */
static void test_memory(void **state)
{
	struct peer_circ *slow[8], *other;
	unsigned n_dead = 0;
	int64_t used, bound;

	house_open(&h, 1, 105, NULL);
	other = made(house_link(&h));
	house_begin(&h, other, 7);
	assert_true(house_until(&h, &other->connected, 1000));
	h.source = 64 << 20;
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		slow[i] = loading(house_link(&h));
		slow[i]->link->deaf = true;
		house_run(&h, 300);
	}
	used = (int64_t)h.workers[0].figures->mem_bytes;
	bound = used * 3 / 4;
	house_param(&h, CTL_PARAM_MAX_MEM, bound);
	house_run(&h, 300);
	used = (int64_t)h.workers[0].figures->mem_bytes;
	assert_true(used <= bound);
	assert_true(house_count(&h, COUNT_worker_memory_killed) > 0);
	assert_true(live() >= 4); /* not more than was needed */
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		house_hear(&h, slow[i]->link);
		house_run(&h, 50);
		n_dead += slow[i]->destroyed;
	}
	assert_int_equal(n_dead, house_count(&h, COUNT_worker_memory_killed));
	assert_true(slow[0]->destroyed); /* the oldest */
	assert_int_equal(slow[0]->destroy_reason, DESTROY_RESOURCELIMIT);
	assert_true(house_echo(&h, other, 50000, 10000));
	house_close(&h);
}

static int64_t held_by_all(void)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < h.n_workers; i++)
		sum += (int64_t)h.workers[i].figures->mem_bytes;
	return sum;
}

/* Runs while the next hop of each of n circuits sends what it can; the most that was held. */
static int64_t flooded(unsigned n, unsigned ms)
{
	static const uint8_t payload[CELL_PAYLOAD];
	int64_t most = 0;

	for (unsigned t = 0; t < ms; t++) {
		for (unsigned i = 0; i < n; i++)
			for (int k = 0; k < 4 && h.hop[i].used; k++)
				if (tcp_unsent(h.tcp, h.hop[i].link->conn) < 30000)
					house_cell(&h, h.hop[i].link, h.hop[i].id, CELL_RELAY,
						   payload, CELL_PAYLOAD);
		house_run(&h, 1);
		most = MAX(most, held_by_all());
	}
	return most;
}

/* Abuse: circuits whose clients read nothing (Sniper) while their next hops flood them, more than
 * MaxMemInQueues could hold; beside them one that downloads. */
static void test_abuse_queues(void **state)
{
	enum { ATTACKERS = 16 };
	const int64_t bound = 4 << 20;

	for (unsigned n = 1; n <= 2; n++) {
		struct peer_circ *victim, *c[ATTACKERS];
		uint64_t calm, beside;
		int64_t most, most_calm;

		house_open(&h, n, 140 + n, NULL);
		h.source = 1u << 30;
		victim = loading(house_link(&h));
		for (int i = 0; i < ATTACKERS; i++) {
			c[i] = made(house_link(&h));
			house_extend(&h, c[i]);
			assert_true(house_until(&h, &c[i]->extended, 5000));
		}
		house_param(&h, CTL_PARAM_MAX_MEM, bound);
		victim->bytes_in = 0;
		most_calm = flooded(0, 1000);
		calm = victim->bytes_in;
		for (int i = 0; i < ATTACKERS; i++) {
			c[i]->link->deaf = true;
			c[i]->n_layers = 0; /* what comes is not deciphered here */
		}
		victim->bytes_in = 0;
		most = flooded(ATTACKERS, 1000);
		beside = victim->bytes_in;
		print_message("%u worker(s): most held %lld of %lld bytes, %lld before; the other "
			      "circuit has %llu bytes a second, %llu before; %llu circuits closed, "
			      "%llu bytes freed\n",
			      n, (long long)most, (long long)bound, (long long)most_calm,
			      (unsigned long long)beside, (unsigned long long)calm,
			      (unsigned long long)house_count(&h, COUNT_worker_memory_killed),
			      (unsigned long long)house_count(&h, COUNT_worker_oom_cell_bytes));
		assert_true(most <= bound);
		assert_true(most > bound / 2);
		assert_true(beside >= calm * 9 / 10);
		assert_true(house_count(&h, COUNT_worker_memory_killed) > 0);
		assert_true(house_count(&h, COUNT_worker_oom_cell_bytes) > 0);
		assert_false(victim->destroyed);
		assert_false(victim->ended);
		house_close(&h);
	}
}

/* Abuse: links that begin a handshake and go no further hold a tenth of the bound at most, once it
 * is reached; open ones do not feel it. */
static void test_abuse_half_open(void **state)
{
	enum { LINKS = 12 };
	struct addr local = house_address(PEER_IP, 0), remote = house_address(RELAY_IP, OR_PORT);
	struct peer_circ *other;
	uint8_t record[5 + 8000] = {22, 3, 3, 8000 >> 8, 8000 & 0xff};

	house_open(&h, 1, 145, NULL);
	other = made(house_link(&h));
	h.silent = true;
	for (int i = 0; i < LINKS; i++) {
		int conn = tcp_open(h.tcp, &local, &remote, PEER_LINK, h.now_us);

		assert_true(conn >= 0);
		house_link_new(&h, (uint32_t)conn, true);
		house_run(&h, 5);
		for (int k = 0; k < 4; k++) {
			uint8_t *p = tcp_reserve(h.tcp, (uint32_t)conn, sizeof(record));

			assert_non_null(p);
			memcpy(p, record, sizeof(record));
			tcp_push(h.tcp, (uint32_t)conn, sizeof(record));
		}
		house_run(&h, 20);
	}
	assert_true(h.workers[0].links.mem >= LINKS * 4 * 8000);
	house_param(&h, CTL_PARAM_MAX_MEM, 300000);
	house_run(&h, 50);
	assert_true(h.workers[0].links.mem <= 30000);
	assert_true(held_by_all() <= 300000);
	assert_true(house_count(&h, COUNT_worker_oom_links) > 0);
	assert_true(house_count(&h, COUNT_worker_oom_half_open_bytes) > 300000);
	assert_int_equal(house_count(&h, COUNT_worker_memory_killed), 0);
	h.silent = false;
	house_begin(&h, other, 7);
	assert_true(house_echo(&h, other, 20000, 10000));
	house_close(&h);
}

/* Abuse: destinations that read nothing keep what was sent to them, also when the streams are over;
 * at the bound the oldest of it goes, and no circuit with it. */
static void test_abuse_deaf_destination(void **state)
{
	static const uint8_t body[RELAY_BODY], done = END_DONE;
	struct peer_circ *c, *other;

	house_open(&h, 1, 146, NULL);
	other = made(house_link(&h));
	house_begin(&h, other, 7);
	assert_true(house_until(&h, &other->connected, 1000));
	c = made(house_link(&h));
	h.dest = DEST_DEAF;
	for (uint16_t id = 1; id <= 8; id++) {
		c->connected = false;
		house_begin(&h, c, id);
		assert_true(house_until(&h, &c->connected, 5000));
		for (int k = 0; k < 300; k++) {
			house_say(&h, c, RELAY_DATA, id, body, sizeof(body), false);
			if (k % 20 == 0)
				house_run(&h, 1);
		}
		house_say(&h, c, RELAY_END, id, &done, 1, false);
		house_run(&h, 50);
	}
	h.dest = DEST_ECHO;
	assert_true(tcp_mem_all(h.workers[0].tcp) > 500000);
	house_param(&h, CTL_PARAM_MAX_MEM, 300000);
	house_run(&h, 100);
	assert_true(held_by_all() <= 300000);
	assert_true(house_count(&h, COUNT_worker_oom_streams) > 0);
	assert_int_equal(house_count(&h, COUNT_worker_memory_killed), 0);
	assert_false(other->destroyed);
	assert_false(c->destroyed);
	assert_true(house_echo(&h, other, 20000, 10000));
	house_close(&h);
}

/* Streams that hold bytes while no cell waits: the circuit that holds most goes. */
static void test_memory_streams(void **state)
{
	struct peer_circ *c, *other;
	struct peer_link *l;

	house_open(&h, 1, 106, NULL);
	l = house_link(&h);
	other = made(l);
	house_begin(&h, other, 7);
	h.source = 64 << 20;
	c = loading(l);
	c->no_sendmes = true; /* its window closes: the far end's bytes wait in TCP */
	house_run(&h, 1000);
	assert_int_equal(slots_used(), 0);
	assert_true(tcp_mem_all(h.workers[0].tcp) > 30000);
	house_param(&h, CTL_PARAM_MAX_MEM, 20000);
	house_run(&h, 200);
	assert_true(c->ended); /* that stream alone (interop C15) */
	assert_int_equal(c->end_reason, END_RESOURCELIMIT);
	assert_false(c->destroyed);
	assert_false(other->destroyed);
	house_param(&h, CTL_PARAM_MAX_MEM, 64 << 20);
	assert_true(house_echo(&h, other, 20000, 10000));
	house_close(&h);
}

/* ---- bandwidth ---- */
#define RATE 1000000ll

enum flow { FLOW_DOWN, FLOW_IN };

struct moved {
	uint64_t in, out; /* of links and exits together */
};

static struct moved moved_by_all(void)
{
	struct moved m = {0, 0};

	for (unsigned i = 0; i < h.n_workers; i++) {
		const struct ctl_figures *f = h.workers[i].figures;

		m.in += f->link_bytes_in + f->exit_bytes_in;
		m.out += f->link_bytes_out + f->exit_bytes_out;
	}
	return m;
}

/* PADDING that a client would rather send at once. */
static void flood(struct peer_link *l)
{
	static const uint8_t payload[CELL_PAYLOAD];

	for (int k = 0; k < 40 && tcp_unsent(h.tcp, l->conn) < 40000; k++)
		house_cell(&h, l, 0, CELL_PADDING, payload, CELL_PAYLOAD);
}

static void flow(struct peer_link **l, unsigned n, enum flow how, unsigned ms)
{
	for (unsigned t = 0; t < ms; t += 4) {
		for (unsigned i = 0; i < n && how == FLOW_IN; i++)
			flood(l[i]);
		house_run(&h, 4);
	}
}

/* Over four seconds, within 3 %: one worker and two, both ways, each bucket. */
static void test_rate(void **state)
{
	static const struct {
		unsigned workers, links;
		enum flow how;
		enum ctl_param_id rate, burst; /* of RATE; the others are wide open */
		enum ctl_peer peer;
		bool is_private, own_use;
		int64_t want; /* bytes a second, one way; 0: much more than RATE */
	} rows[] = {
		{1, 2, FLOW_DOWN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, false, false,
		 RATE}, /* 1 */
		{1, 2, FLOW_IN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, false, false,
		 RATE}, /* 2 */
		{2, 4, FLOW_DOWN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, false, false,
		 RATE}, /* 3 */
		{2, 4, FLOW_IN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, false, false,
		 RATE}, /* 4 */
		{1, 1, FLOW_IN, CTL_PARAM_RELAY_RATE, CTL_PARAM_RELAY_BURST, CTL_PEER_CLIENT, false,
		 false, RATE}, /* 5 */
		{2, 4, FLOW_DOWN, CTL_PARAM_RELAY_RATE, CTL_PARAM_RELAY_BURST, CTL_PEER_CLIENT,
		 false, false, RATE}, /* 6 */
		{1, 1, FLOW_IN, CTL_PARAM_PERCONN_RATE, CTL_PARAM_PERCONN_BURST, CTL_PEER_CLIENT,
		 false, false, RATE}, /* 7: each client's own */
		{1, 3, FLOW_IN, CTL_PARAM_PERCONN_RATE, CTL_PARAM_PERCONN_BURST, CTL_PEER_CLIENT,
		 false, false, 3 * RATE}, /* 8 */
		{1, 2, FLOW_DOWN, CTL_PARAM_PERCONN_RATE, CTL_PARAM_PERCONN_BURST,
		 CTL_PEER_UNKNOWN_RELAY, false, false, 2 * RATE}, /* 9 */
		{1, 1, FLOW_IN, CTL_PARAM_PERCONN_RATE, CTL_PARAM_PERCONN_BURST, CTL_PEER_RELAY,
		 false, false, 0}, /* 10: known relays have none */
		{1, 1, FLOW_IN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, true, false,
		 0}, /* 11: private peers are not counted */
		{1, 2, FLOW_DOWN, CTL_PARAM_RATE, CTL_PARAM_BURST, CTL_PEER_RELAY, true, false,
		 0}, /* 12 */
		{1, 1, FLOW_IN, CTL_PARAM_RELAY_RATE, CTL_PARAM_RELAY_BURST, CTL_PEER_RELAY, false,
		 true, 0}, /* 13: a link of our own circuits */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct peer_link *l[4];
		struct moved before, after;
		uint64_t got;

		house_open(&h, rows[i].workers, 130 + i, NULL);
		h.judge = rows[i].peer;
		for (unsigned k = 0; k < rows[i].links; k++)
			l[k] = house_link(&h);
		h.source = 256 << 20;
		for (unsigned k = 0; k < rows[i].links && rows[i].how == FLOW_DOWN; k++)
			loading(l[k]);
		for (unsigned k = 0; k < h.workers[0].plane->n_conns && rows[i].own_use; k++)
			h.workers[0].conn[k].own_use_us = h.now_us;
		house_param(&h, CTL_PARAM_COUNT_PRIVATE, !rows[i].is_private);
		house_param(&h, rows[i].burst, RATE / 20);
		house_param(&h, rows[i].rate, RATE);
		flow(l, rows[i].links, rows[i].how, 1000);
		before = moved_by_all();
		flow(l, rows[i].links, rows[i].how, 4000);
		after = moved_by_all();
		got = rows[i].how == FLOW_DOWN ? after.out - before.out : after.in - before.in;
		if (rows[i].want ? got < (uint64_t)rows[i].want * 4 * 97 / 100 ||
					   got > (uint64_t)rows[i].want * 4 * 103 / 100
				 : got < 3 * 4 * RATE / 2)
			fail_msg("row %zu: %llu bytes a second", i + 1,
				 (unsigned long long)got / 4);
		house_close(&h);
	}
}

/* Who waits for the same tokens has a fair part of them. */
static void test_rate_turns(void **state)
{
	struct peer_circ *c[2];
	struct peer_link *l[3];
	const struct ctl_figures *f;
	uint64_t links, exits, sum;

	house_open(&h, 1, 107, NULL);
	for (int i = 0; i < 3; i++)
		l[i] = house_link(&h);
	h.source = 64 << 20;
	for (int i = 0; i < 2; i++)
		c[i] = loading(l[i]);
	house_param(&h, CTL_PARAM_COUNT_PRIVATE, 1);
	house_param(&h, CTL_PARAM_BURST, RATE / 20);
	house_param(&h, CTL_PARAM_RATE, RATE);
	house_run(&h, 500);
	c[0]->bytes_in = c[1]->bytes_in = 0;
	house_run(&h, 4000);
	/* Two links of one stream each. */
	sum = c[0]->bytes_in + c[1]->bytes_in;
	assert_in_range(c[0]->bytes_in * 100 / sum, 45, 55);
	assert_true(house_count(&h, COUNT_worker_rate_write) > 0);
	/* A link that sends all it can leaves the exits their half of what may be read. */
	f = h.workers[0].figures;
	flow(l + 2, 1, FLOW_IN, 1000);
	links = f->link_bytes_in;
	exits = f->exit_bytes_in;
	flow(l + 2, 1, FLOW_IN, 4000);
	links = f->link_bytes_in - links;
	exits = f->exit_bytes_in - exits;
	assert_in_range(links + exits, 4 * RATE * 97 / 100, 4 * RATE * 103 / 100);
	assert_in_range(exits * 100 / (links + exits), 30, 70);
	assert_true(house_count(&h, COUNT_worker_rate_read) > 0);
	/* A slow bucket holds nobody for good: none, and all goes on. */
	house_param(&h, CTL_PARAM_RATE, 1);
	house_run(&h, 100);
	house_param(&h, CTL_PARAM_RATE, 0);
	house_run(&h, 20);
	made(l[2]);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue_reason),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_streams),
		cmocka_unit_test(test_abuse_queues),
		cmocka_unit_test(test_abuse_half_open),
		cmocka_unit_test(test_abuse_deaf_destination),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
