/* test_sets.c - which circuits become a set, what a set survives, whose a nonce is, what waits for
 * its turn and how much of it; and what each message does to a circuit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/conflux/internal.h"

#define SETS  4
#define SLOTS 64

static struct counts counts;
static int64_t params[N_CTL_PARAMS];
static struct sched sched;
static struct conflux c;

static void start(void)
{
	struct sched_config cf = {1, 1, SLOTS, &counts, params};
	struct hash_key key = {{1, 2}};

	memset(&counts, 0, sizeof(counts));
	params[CTL_PARAM_CFX_MAX_LEGS] = 8;
	params[CTL_PARAM_CFX_MAX_OOOQ] = INT32_MAX;
	assert_int_equal(sched_init(&sched, &cf, 0), 0);
	assert_int_equal(cfx_init(&c, 3, SETS, 16, key, &sched, &counts, params), 0);
}

static void stop(void)
{
	assert_int_equal(slots_in_use(&sched), 0);
	assert_int_equal(c.n_held, 0);
	cfx_fini(&c);
	sched_fini(&sched);
}

static struct conflux_link link_of(uint8_t nonce, uint64_t sent, uint64_t received, uint8_t ux)
{
	struct conflux_link l = {.sent = sent, .received = received, .ux = ux};

	memset(l.nonce, nonce, sizeof(l.nonce));
	return l;
}

static int join(uint8_t nonce, uint64_t sent, wid circ, uint32_t *set)
{
	struct conflux_link l = link_of(nonce, sent, 0, CONFLUX_UX_THROUGHPUT), answer;

	return cfx_join(&c, &l, 1, circ, 77, set, &answer);
}

static struct relay_msg data(uint8_t *body)
{
	return (struct relay_msg) {RELAY_DATA, 7, 3, body};
}

/* A leg more, by what it says and how many there are. */
static void test_join(void **state)
{
	uint32_t set = 0, other;
	struct conflux_link l, answer = {.ux = 9};

	start();
	/* The first leg's numbers are as it says, but nothing can have been lost yet. */
	assert_int_equal(join(1, 1, 100, &set), ERR_MALFORMED);
	assert_int_equal(set, SLOT_NONE);
	assert_int_equal(c.slots.n_used, 0);
	assert_int_equal(c.by_nonce.n, 0);
	assert_int_equal(join(1, 0, 100, &set), 0);
	assert_int_equal(c.set[set].leg[0].conn, 77);
	for (unsigned i = 0; i < 5; i++) { /* five come in, seven go out */
		assert_int_equal(cfx_in(&c, set, 0), CFX_NOW);
		cfx_sent(&c.set[set], 0);
	}
	cfx_sent(&c.set[set], 0);
	cfx_sent(&c.set[set], 0);
	l = link_of(1, 5, 3, CONFLUX_UX_LATENCY);
	assert_int_equal(cfx_join(&c, &l, 2, 101, 78, &other, &answer), 1);
	assert_int_equal(other, set);
	assert_int_equal(answer.sent, 7);
	assert_int_equal(answer.received, 5);
	assert_int_equal(answer.ux, CONFLUX_UX_LATENCY);
	assert_memory_equal(answer.nonce, l.nonce, sizeof(l.nonce));
	assert_int_equal(c.set[set].leg[1].received, 5);
	assert_int_equal(c.set[set].leg[1].sent, 3);
	assert_int_equal(c.set[set].policy, CFX_MINRTT); /* the newest wish counts */
	/* A leg that tells of more than came: the caller closes the set. */
	assert_int_equal(join(1, 6, 102, &other), ERR_MALFORMED);
	assert_int_equal(other, set);
	assert_int_equal(c.set[set].n_legs, 2);
	for (wid circ = 103; circ < 109; circ++)
		assert_int_equal(join(1, 5, circ, &other), (int)(circ - 101));
	assert_int_equal(join(1, 5, 109, &other), ERR_FULL);
	assert_int_equal(c.set[set].n_legs, CFX_LEGS);
	params[CTL_PARAM_CFX_MAX_LEGS] = 3;
	assert_int_equal(join(2, 0, 1, &other), 0);
	assert_int_equal(join(2, 0, 2, &other), 1);
	assert_int_equal(join(2, 0, 3, &other), 2);
	assert_int_equal(join(2, 0, 4, &other), ERR_FULL);
	cfx_free(&c, set);
	assert_int_equal(cfx_find(&c, l.nonce), SLOT_NONE);
	cfx_free(&c, other);
	for (uint8_t i = 0; i < SETS; i++)
		assert_int_equal(join((uint8_t)(10 + i), 0, 1, &set), 0);
	assert_int_equal(join(20, 0, 1, &set), ERR_FULL);
	for (uint32_t i = 0; i < c.slots.n_touched; i++)
		if (slots_live(&c.slots, i))
			cfx_free(&c, i);
	stop();
}

/* A set is found by all 32 bytes of its nonce, also where the table's key is the same. */
static void test_trove_2026_004_nonces_that_differ_in_one_byte(void **state)
{
	struct conflux_link a = link_of(5, 0, 0, 0), b, answer;
	uint32_t set, other, asked;

	start();
	assert_true(cfx_join(&c, &a, 1, 100, 0, &set, &answer) >= 0);
	for (unsigned i = 0; i < CONFLUX_NONCE; i++) {
		b = a;
		b.nonce[i] ^= 1;
		assert_int_equal(cfx_find(&c, b.nonce), SLOT_NONE);
		/* The same hash: refused, and neither is taken for the other. */
		map_put(&c.by_nonce, nonce_key(&c, b.nonce), set);
		assert_int_equal(cfx_find(&c, b.nonce), SLOT_NONE);
		assert_int_equal(cfx_join(&c, &b, 1, 101, 0, &other, &answer), ERR_FULL);
		map_del(&c.by_nonce, nonce_key(&c, b.nonce));
		assert_int_equal(cfx_join(&c, &b, 1, 101, 0, &other, &answer), 0);
		assert_int_not_equal(other, set);
		assert_int_equal(c.set[set].n_legs, 1);
		cfx_free(&c, other);
		assert_int_equal(cfx_ask(&c, a.nonce, 0, &asked), 0);
		assert_int_equal(cfx_ask(&c, b.nonce, 1, &asked), 1);
		cfx_forget(&c, b.nonce, 1);
		assert_int_equal(c.name_slots.n_used, 1);
	}
	assert_int_equal(cfx_find(&c, a.nonce), set);
	cfx_forget(&c, a.nonce, CONFLUX_NONCE);
	cfx_free(&c, set);
	stop();
}

/* What a set is without one of its legs (C tor's rule): sent and received of the two, which one was
 * sent on last, which one leaves. */
static void test_leave(void **state)
{
	static const struct {
		uint64_t sent[2], received[2];
		unsigned current, leaves;
		bool in_flight, whole;
	} rows[] = {
		/* 1 */ {{0, 0}, {0, 0}, CFX_NONE, 0, false, false},
		/* 2 */ {{0, 0}, {0, 0}, CFX_NONE, 1, false, false},
		/* 3 */ {{0, 0}, {0, 0}, 0, 0, false, true},
		/* 4 */ {{0, 0}, {0, 0}, 0, 1, false, false},
		/* 5 */ {{0, 0}, {0, 0}, 0, 1, true, true},
		/* 6 */ {{9, 4}, {0, 0}, 0, 1, false, false},
		/* 7 */ {{4, 9}, {0, 0}, 0, 1, false, true},
		/* 8 */ {{0, 0}, {9, 4}, 1, 0, false, true},
		/* 9 */ {{0, 0}, {4, 9}, 1, 0, false, false},
		/* 10 */ {{5, 5}, {5, 5}, 1, 0, false, false},
	};
	uint32_t set;

	start();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cfx_set *s;

		assert_int_equal(join(1, 0, 100, &set), 0);
		assert_int_equal(join(1, 0, 101, &set), 1);
		s = &c.set[set];
		for (unsigned k = 0; k < 2; k++) {
			s->leg[k].sent = rows[i].sent[k];
			s->leg[k].received = rows[i].received[k];
		}
		s->current = (uint8_t)rows[i].current;
		assert_int_equal(cfx_leave(&c, set, rows[i].leaves, rows[i].in_flight),
				 rows[i].whole);
		assert_int_equal(s->n_legs, 1);
		assert_int_equal(cfx_leg_of(&c, set, 100 + rows[i].leaves), CFX_NONE);
		assert_int_equal(cfx_leg_of(&c, set, WID_NONE), CFX_NONE);
		assert_true(cfx_leave(&c, set, 1 - rows[i].leaves, false)); /* the last one */
		cfx_free(&c, set);
	}
	stop();
}

/* The owner of a nonce stays while an ask is under way, and not a moment longer. */
static void test_names(void **state)
{
	struct conflux_link a = link_of(1, 0, 0, 0), b = link_of(2, 0, 0, 0);
	uint32_t asked = 0;

	start();
	assert_int_equal(cfx_ask(&c, a.nonce, 2, &asked), 2);
	assert_int_equal(asked, 1);
	assert_int_equal(cfx_ask(&c, a.nonce, 0, &asked), 2);
	assert_int_equal(asked, 2);
	assert_int_equal(cfx_ask(&c, b.nonce, 0, &asked), 0);
	cfx_forget(&c, a.nonce, 1); /* the second is still to arrive */
	assert_int_equal(c.name_slots.n_used, 2);
	assert_int_equal(cfx_ask(&c, a.nonce, 1, &asked), 2);
	cfx_forget(&c, a.nonce, 2);
	cfx_forget(&c, a.nonce, 3);
	assert_int_equal(c.name_slots.n_used, 1);
	cfx_forget(&c, a.nonce, 3); /* nobody's */
	assert_int_equal(cfx_ask(&c, a.nonce, 1, &asked), 1);
	cfx_forget(&c, a.nonce, 1);
	cfx_forget(&c, b.nonce, 1);
	for (uint8_t i = 0; i < SETS; i++) {
		memset(a.nonce, 50 + i, sizeof(a.nonce));
		assert_int_equal(cfx_ask(&c, a.nonce, 0, &asked), 0);
	}
	memset(a.nonce, 49, sizeof(a.nonce));
	assert_int_equal(cfx_ask(&c, a.nonce, 0, &asked), ERR_FULL);
	for (unsigned n = 1; n < 9; n++)
		assert_true(cfx_registrar(&c, a.nonce, n) < n);
	stop();
}

/* Leg 1 is ahead by a SWITCH; what it brought waits until leg 0 has caught up. */
static void test_order(void **state)
{
	uint8_t body[3] = {1, 2, 3};
	struct relay_msg m = data(body), got;
	uint32_t set, slot;
	unsigned leg;

	start();
	join(1, 0, 100, &set);
	join(1, 0, 101, &set);
	assert_int_equal(cfx_in(&c, set, 0), CFX_NOW); /* number 1 */
	cfx_switched(&c, set, 1, 3);
	assert_int_equal(cfx_in(&c, set, 1), CFX_EARLY); /* 4 */
	assert_int_equal(cfx_hold(&c, set, 1, &m), 0);
	m.command = RELAY_END;
	assert_int_equal(cfx_in(&c, set, 1), CFX_EARLY); /* 5 */
	assert_int_equal(cfx_hold(&c, set, 1, &m), 0);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NOTHING);
	assert_int_equal(cfx_in(&c, set, 0), CFX_NOW); /* 2 */
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NOTHING);
	/* The leg that was ahead goes: what it brought stays. */
	c.set[set].leg[1].received = 0;
	assert_false(cfx_leave(&c, set, 1, false));
	assert_int_equal(cfx_in(&c, set, 0), CFX_NOW); /* 3 */
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NEXT);
	assert_int_equal(leg, 1);
	assert_int_equal(got.command, RELAY_DATA);
	assert_int_equal(got.stream_id, 7);
	assert_int_equal(got.len, 3);
	assert_memory_equal(got.body, body, 3);
	slot_give(&sched, slot);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NEXT);
	assert_int_equal(got.command, RELAY_END);
	slot_give(&sched, slot);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NOTHING);
	/* A leg that comes after numbers that were delivered long ago. */
	assert_int_equal(c.set[set].delivered, 5);
	join(1, 2, 102, &set);
	assert_int_equal(cfx_in(&c, set, 1), CFX_STALE);
	cfx_free(&c, set);
	stop();
}

/* Two legs that claim the same numbers: one of each is served, the other is a lie. */
static void test_same_number_twice(void **state)
{
	uint8_t body[3] = {0};
	struct relay_msg m = data(body), got;
	uint32_t set, slot;
	unsigned leg, told;

	start();
	for (wid circ = 100; circ < 103; circ++)
		join(1, 0, circ, &set);
	for (told = 1; told <= 2; told++) {
		cfx_switched(&c, set, told, 1);
		assert_int_equal(cfx_in(&c, set, told), CFX_EARLY); /* 2 */
		assert_int_equal(cfx_hold(&c, set, told, &m), 0);
	}
	assert_int_equal(cfx_in(&c, set, 0), CFX_NOW);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NEXT);
	assert_int_equal(leg, 1);
	slot_give(&sched, slot);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_LIED);
	assert_int_equal(leg, 2);
	assert_int_equal(cfx_next(&c, set, &got, &slot, &leg), CFX_NOTHING);
	cfx_free(&c, set);
	stop();
}

/* What is held is bounded per set and in sum, and counted to the byte whichever way it goes. */
static void test_trove_2026_010_what_is_held_is_counted(void **state)
{
	uint8_t body[RELAY_BODY] = {0};
	struct relay_msg m = {RELAY_DATA, 1, RELAY_BODY, body}, got;
	uint32_t set[2], slot;
	unsigned leg, n = 0;

	start();
	for (unsigned i = 0; i < 2; i++) {
		join((uint8_t)i, 0, 100, &set[i]);
		join((uint8_t)i, 0, 101, &set[i]);
		cfx_switched(&c, set[i], 1, 1);
	}
	params[CTL_PARAM_CFX_MAX_OOOQ] = 3 * sizeof(struct slot);
	for (; cfx_in(&c, set[0], 1) == CFX_EARLY && cfx_hold(&c, set[0], 1, &m) == 0; n++)
		;
	assert_int_equal(n, 3);
	assert_int_equal(counts.v[COUNT_conflux_queue_full], 1);
	params[CTL_PARAM_CFX_MAX_OOOQ] = INT32_MAX;
	for (; cfx_in(&c, set[1], 1) == CFX_EARLY && cfx_hold(&c, set[1], 1, &m) == 0; n++)
		;
	assert_int_equal(n, SLOTS / CFX_HELD_SHARE);
	assert_true(cfx_full(&c));
	assert_int_equal(cfx_heaviest(&c), set[1]);
	assert_int_equal(c.n_held, n);
	assert_int_equal(slots_in_use(&sched), n);
	/* One set ends with its queue full, the other is served. */
	cfx_free(&c, set[1]);
	assert_int_equal(c.n_held, 3);
	assert_int_equal(slots_in_use(&sched), 3);
	assert_int_equal(cfx_in(&c, set[0], 0), CFX_NOW);
	while (cfx_next(&c, set[0], &got, &slot, &leg) == CFX_NEXT)
		slot_give(&sched, slot);
	assert_int_equal(c.n_held, 0);
	assert_int_equal(c.set[set[0]].n_held, 0);
	assert_int_equal(cfx_heaviest(&c), SLOT_NONE);
	cfx_free(&c, set[0]);
	stop();
}

static void test_acts(void **state)
{
	static const struct {
		uint8_t command, loose, asked, tied;
	} rows[] = {
		{RELAY_CONFLUX_LINK, CFX_LINK, CFX_VIOLATE, CFX_VIOLATE},
		{RELAY_CONFLUX_LINKED, CFX_VIOLATE, CFX_VIOLATE, CFX_VIOLATE},
		{RELAY_CONFLUX_LINKED_ACK, CFX_VIOLATE, CFX_VIOLATE, CFX_ACK},
		{RELAY_CONFLUX_SWITCH, CFX_VIOLATE, CFX_VIOLATE, CFX_SWITCH},
		{RELAY_BEGIN, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_DATA, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_END, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_CONNECTED, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_RESOLVE, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_RESOLVED, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_XOFF, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_XON, CFX_PASS, CFX_VIOLATE, CFX_ORDER},
		{RELAY_BEGIN_DIR, CFX_PASS, CFX_VIOLATE, CFX_NO_DIR},
		{RELAY_SENDME, CFX_PASS, CFX_PASS, CFX_PASS},
		{RELAY_DROP, CFX_PASS, CFX_PASS, CFX_PASS},
		{RELAY_TRUNCATE, CFX_PASS, CFX_PASS, CFX_PASS},
		{RELAY_PADDING_NEGOTIATE, CFX_PASS, CFX_PASS, CFX_PASS},
		{0, CFX_PASS, CFX_PASS, CFX_PASS},
		{255, CFX_PASS, CFX_PASS, CFX_PASS},
		{RELAY_EXTEND2, CFX_PASS, CFX_VIOLATE, CFX_VIOLATE},
		{RELAY_ESTABLISH_RENDEZVOUS, CFX_PASS, CFX_VIOLATE, CFX_VIOLATE},
		{RELAY_RENDEZVOUS1, CFX_PASS, CFX_VIOLATE, CFX_VIOLATE},
	};
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(cfx_act_of(CFX_LOOSE, rows[i].command), rows[i].loose);
		assert_int_equal(cfx_act_of(CFX_ASKED, rows[i].command), rows[i].asked);
		assert_int_equal(cfx_act_of(CFX_TIED, rows[i].command), rows[i].tied);
	}
	for (unsigned command = 0; command < 256; command++)
		n += cfx_sequenced((uint8_t)command);
	assert_int_equal(n, 8); /* interop F10 */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_trove_2026_004_nonces_that_differ_in_one_byte),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_same_number_twice),
		cmocka_unit_test(test_trove_2026_010_what_is_held_is_counted),
		cmocka_unit_test(test_acts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
