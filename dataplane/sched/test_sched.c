/* test_sched.c - the choice of circuit against a slow twin, DESTROY order, slots, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/sched/sched.h"

#define LEGS 200

static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {[CTL_PARAM_EWMA_HALFLIFE_MS] = 30000};

static void start(struct sched *s)
{
	struct sched_config cf = {4, LEGS, 4096, &counts, params};

	assert_int_equal(sched_init(s, &cf, 0), 0);
	for (uint32_t i = 0; i < cf.n_conns; i++)
		sched_conn_start(s, i);
	for (uint32_t i = 0; i < LEGS; i++)
		assert_int_equal(sched_leg_start(s, i, 1 + i % 2), 0);
}

static void add(struct sched *s, uint32_t leg, uint64_t now)
{
	uint32_t slot = slot_take(s);

	assert_int_not_equal(slot, SLOT_NONE);
	slot_at(s, slot)->payload[0] = (uint8_t)leg;
	sched_add(s, leg, slot, now);
}

/* Whatever is picked has sent no more than any other that waits on the same conn, as floats see it.
 */
static void check_least(const struct sched *s, uint32_t conn, uint32_t leg, double sent)
{
	for (uint32_t i = 0; i < LEGS; i++)
		if (i != leg && s->leg[i].conn == conn && s->leg[i].n)
			assert_true((float)s->leg[i].sent >= (float)sent);
}

static void test_random(void **state)
{
	uint8_t seed[32] = {3};
	struct sched_pick pick;
	struct sched s;
	struct rng rng;
	uint64_t now = 0, epoch;
	double sent[LEGS];

	start(&s);
	rng_seed(&rng, seed);
	for (int step = 0; step < 200000; step++) {
		uint32_t what = rng_below(&rng, 100), conn = 1 + rng_below(&rng, 2);

		now += rng_below(&rng, 100000);
		if (what < 50 && s.n_free) {
			add(&s, rng_below(&rng, LEGS), now);
		} else if (what < 98) {
			for (uint32_t i = 0; i < LEGS; i++)
				sent[i] = s.leg[i].sent;
			epoch = s.epoch_us;
			if (!sched_pick(&s, conn, now, &pick)) {
				assert_int_equal(sched_waiting(&s, conn), 0);
				continue;
			}
			assert_int_equal(s.leg[pick.leg].conn, conn);
			assert_int_equal(slot_at(&s, pick.slot)->payload[0], pick.leg);
			if (s.epoch_us == epoch)
				check_least(&s, conn, pick.leg, sent[pick.leg]);
			slot_give(&s, pick.slot);
		} else {
			sched_leg_clear(&s, rng_below(&rng, LEGS));
		}
	}
	for (uint32_t conn = 1; conn <= 2; conn++)
		while (sched_pick(&s, conn, now, &pick))
			slot_give(&s, pick.slot);
	assert_int_equal(slots_in_use(&s), 0);
	sched_fini(&s);
}

/* All of many legs of one conn may wait at once, however they come and go; who has sent least goes
 * first, and room is for as many as have begun. */
static void test_many(void **state)
{
	enum { MANY = 1000 };
	struct sched_config cf = {2, MANY, 2 * MANY, &counts, params};
	struct sched_pick pick;
	struct sched s;

	assert_int_equal(sched_init(&s, &cf, 0), 0);
	sched_conn_start(&s, 1);
	for (unsigned round = 1; round <= 4; round++) {
		unsigned n = MANY >> (4 - round);

		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(sched_leg_start(&s, i, 1), 0);
		assert_int_equal(s.conn[1].n_legs, n);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t leg = (uint32_t)(i * 7919ull % n);

			s.leg[leg].sent = leg;
			add(&s, leg, 1);
		}
		assert_int_equal(s.conn[1].n_waiting, n);
		for (uint32_t i = 0; i < n; i += 3) /* from among the others */
			sched_leg_stop(&s, i);
		for (uint32_t i = 0; i < n; i++) {
			if (i % 3 == 0)
				continue;
			assert_true(sched_pick(&s, 1, 1, &pick));
			assert_int_equal(pick.leg, i);
			slot_give(&s, pick.slot);
			sched_leg_stop(&s, i);
		}
		assert_false(sched_pick(&s, 1, 1, &pick));
		assert_int_equal(s.conn[1].n_legs, 0);
		assert_int_equal(slots_in_use(&s), 0);
	}
	/* One that was never begun takes nobody's place. */
	s.leg[7] = (struct sched_leg) {.head = SLOT_NONE, .tail = SLOT_NONE, .conn = 0};
	s.leg[8] = s.leg[7];
	sched_conn_start(&s, 0);
	add(&s, 7, 1);
	add(&s, 8, 1);
	assert_int_equal(s.conn[0].n_waiting, 1);
	assert_int_equal(counts.v[COUNT_sched_not_begun], 1);
	sched_fini(&s);
}

static void test_destroy(void **state)
{
	struct sched_pick pick;
	struct sched s;

	start(&s);
	for (int i = 0; i < 3; i++)
		add(&s, 1, 1);
	add(&s, 3, 1);
	sched_destroy(&s, 3, 5); /* its cell is dropped */
	sched_destroy(&s, 3, 6); /* twice is once */
	sched_destroy(&s, 5, 7);
	assert_int_equal(slots_in_use(&s), 3);
	/* 1:1 with data, and never two in a row while data waits (interop C12); leg 1 is on conn 2.
	 */
	static const int want[] = {5, 0, 7, 0, 0};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(sched_pick(&s, 2, 1, &pick));
		assert_int_equal(pick.slot == SLOT_NONE ? pick.destroy : 0, want[i]);
		if (pick.slot != SLOT_NONE)
			slot_give(&s, pick.slot);
	}
	assert_false(sched_pick(&s, 2, 1, &pick));
	assert_int_equal(sched_ready(&s).head, SLOT_NONE);
	sched_fini(&s);
}

/* Whose turn it is: each row adds a cell to conns 1 and 2 and serves whoever is ready. */
static void test_lists(void **state)
{
	static const struct {
		uint64_t at, interval;
		uint32_t want[4]; /* ready, in order; 0 ends */
	} rows[] = {
		{1000, 0, {1, 2}},    /* 1: no interval, all at once */
		{1500, 1000, {0}},    /* 2: both were served at 1000 */
		{1999, 1000, {0}},    /* 3 */
		{2000, 1000, {1, 2}}, /* 4: due, in the order of service */
		{2100, 1000, {0}},    /* 5 */
		{2200, 0, {1, 2}},    /* 6: the load is gone, and the interval with it */
	};
	struct sched_pick pick;
	struct sched s;

	start(&s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t conn, n = 0;

		sched_begin(&s, rows[i].at, rows[i].interval);
		add(&s, 0, rows[i].at);
		add(&s, 1, rows[i].at);
		sched_begin(&s, rows[i].at, rows[i].interval);
		while ((conn = sched_ready(&s).head) != SLOT_NONE) {
			assert_int_equal(conn, rows[i].want[n++]);
			while (sched_pick(&s, conn, rows[i].at, &pick))
				slot_give(&s, pick.slot);
			sched_served(&s, conn);
		}
		assert_int_equal(rows[i].want[n], 0);
	}
	/* A full record and a cell of the link itself do not wait. */
	sched_begin(&s, 2300, 1000);
	for (int i = 0; i < CELLS_A_RECORD; i++) {
		assert_int_equal(sched_ready(&s).head, SLOT_NONE);
		add(&s, 0, 2300);
	}
	assert_int_equal(sched_ready(&s).head, 1);
	assert_int_equal(sched_own(&s, 2, slot_take(&s)), 0);
	assert_int_equal(sched_ready(&s).tail, 2);
	sched_conn_clear(&s, 2);
	sched_sleep(&s, 1);
	assert_int_equal(sched_ready(&s).head, SLOT_NONE);
	assert_int_equal(s.list[SCHED_LATER].head, SLOT_NONE);
	/* TCP had no room while it was served: it waits for TCP, not for its turn. */
	sched_served(&s, 1);
	assert_int_equal(sched_ready(&s).head, SLOT_NONE);
	assert_int_equal(s.list[SCHED_LATER].head, SLOT_NONE);
	sched_wake(&s, 1);
	assert_int_equal(sched_ready(&s).head, 1);
	sched_fini(&s);
}

static void test_bounds(void **state)
{
	uint32_t slot, old[3];
	struct sched s;

	start(&s);
	assert_int_equal(sched_oldest(&s, old, 3), 0);
	add(&s, 2, 20);
	add(&s, 7, 10);
	assert_int_equal(sched_oldest(&s, old, 3), 2);
	assert_int_equal(old[0], 7);
	assert_int_equal(old[1], 2);
	add(&s, 1, 30);
	add(&s, 3, 5);
	assert_int_equal(sched_oldest(&s, old, 3), 3);
	assert_int_equal(old[0], 3);
	assert_int_equal(old[2], 2);
	assert_int_equal(sched_oldest(&s, old, 1), 1);
	assert_int_equal(old[0], 3);
	for (uint32_t leg = 1; leg <= 7; leg += leg == 3 ? 4 : 1)
		sched_leg_clear(&s, leg);
	for (int i = 0; i < SCHED_OWN_MAX; i++)
		assert_int_equal(sched_own(&s, 2, slot_take(&s)), 0);
	slot = slot_take(&s);
	assert_int_equal(sched_own(&s, 2, slot), ERR_FULL);
	while (slot_take(&s) != SLOT_NONE)
		;
	assert_int_equal(s.n_free, 0);
	slot_give(&s, slot);
	assert_int_equal(slot_take(&s), slot);
	sched_conn_clear(&s, 2);
	assert_int_equal(s.n_free, SCHED_OWN_MAX);
	sched_fini(&s);
}

/* Another half-life: what was sent long ago by the old one weighs nothing by the new one. */
static void test_half_life(void **state)
{
	static const struct {
		int64_t before_ms, after_ms;
		uint64_t gone_us; /* between 1000 cells of leg 0 and the change */
		int least, most;  /* of the first 10 picks that are leg 0's */
	} rows[] = {
		{30000, 3000000, 1000000000, 5, 5}, /* 1: longer: an old debt is forgotten still */
		{30000, 1, 1000000000, 5, 5},	    /* 2: shorter than a turn */
		{1, 30000, 1000000, 5, 5},	    /* 3 */
		{30000, 30000, 1000000, 0, 0},	    /* 4: no change: a second is not forgotten */
		{30000, 60000, 1000000, 0, 0},	    /* 5: nor is it by a change */
		{30000, 0, 1000000, 0, 0},	    /* 6: 0 is taken for 1 ms, and not divided by */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t now = 1000;
		struct sched_pick pick;
		struct sched s;
		int n = 0;

		params[CTL_PARAM_EWMA_HALFLIFE_MS] = rows[i].before_ms;
		start(&s);
		for (int k = 0; k < 1000; k++) {
			add(&s, 0, now);
			assert_true(sched_pick(&s, 1, now, &pick));
			slot_give(&s, pick.slot);
		}
		now += rows[i].gone_us;
		params[CTL_PARAM_EWMA_HALFLIFE_MS] = rows[i].after_ms;
		for (int k = 0; k < 10; k++) {
			add(&s, 0, now);
			add(&s, 2, now);
		}
		for (int k = 0; k < 10; k++) {
			assert_true(sched_pick(&s, 1, now, &pick));
			slot_give(&s, pick.slot);
			n += pick.leg == 0;
		}
		if (n < rows[i].least || n > rows[i].most)
			fail_msg("row %zu: leg 0 had %d of 10", i + 1, n);
		sched_fini(&s);
	}
	params[CTL_PARAM_EWMA_HALFLIFE_MS] = 30000;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),	cmocka_unit_test(test_many),
		cmocka_unit_test(test_destroy), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_bounds),	cmocka_unit_test(test_half_life)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
