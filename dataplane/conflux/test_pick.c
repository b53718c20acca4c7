/* test_pick.c - which leg is next, by round trip and room, and the SWITCH that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/conflux/conflux.h"

static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {[CTL_PARAM_CFX_MAX_LEGS] = 8};
static struct sched sched;
static struct conflux c;

static uint32_t begin(uint8_t policy, unsigned n_legs)
{
	struct sched_config cf = {1, 1, 16, &counts, params};
	struct hash_key key = {{1, 2}};
	struct conflux_link l = {.ux = CONFLUX_UX_NONE}, answer;
	uint32_t set = SLOT_NONE;

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(sched_init(&sched, &cf, 0), 0);
	assert_int_equal(cfx_init(&c, 0, 2, 2, key, &sched, &counts, params), 0);
	for (unsigned i = 0; i < n_legs; i++)
		assert_true(cfx_join(&c, &l, 1, 100 + i, 0, &set, &answer) >= 0);
	c.set[set].policy = policy;
	return set;
}

static void end(uint32_t set)
{
	cfx_free(&c, set);
	cfx_fini(&c);
	sched_fini(&sched);
}

/* Three legs; current is the one before. */
static void test_policies(void **state)
{
	static const struct {
		uint8_t policy, current;
		bool data;
		struct cfx_view view[3]; /* round trip, room */
		unsigned leg;
	} rows[] = {
		/* 1 */ {CFX_LOWRTT, CFX_NONE, true, {{30, 5}, {20, 5}, {40, 5}}, 1},
		/* 2 */ {CFX_LOWRTT, 0, true, {{30, 5}, {20, 0}, {40, 5}}, 0},
		/* 3 */ {CFX_LOWRTT, 0, true, {{30, 0}, {20, 0}, {40, 5}}, 2},
		/* 4 */ {CFX_LOWRTT, 0, true, {{30, 0}, {20, 0}, {40, 0}}, CFX_WAIT},
		/* 5 */ {CFX_LOWRTT, 2, false, {{30, 0}, {20, 0}, {40, 0}}, 2},
		/* 6 */ {CFX_MINRTT, CFX_NONE, true, {{30, 5}, {20, 5}, {40, 5}}, 1},
		/* 7 */ {CFX_MINRTT, 0, true, {{30, 5}, {20, 0}, {40, 5}}, CFX_WAIT},
		/* 8 */ {CFX_MINRTT, 0, false, {{30, 5}, {20, 0}, {40, 5}}, 0},
		/* 9 */ {CFX_MINRTT, 0, true, {{30, 5}, {20, 1}, {40, 5}}, 1},
		/* 10: no round trip is known: BEGIN was faster than the ACKs */
		{CFX_LOWRTT, CFX_NONE, false, {{0, 5}, {0, 5}, {0, 5}}, 0},
		/* 11 */ {CFX_LOWRTT, CFX_NONE, true, {{0, 5}, {0, 5}, {0, 5}}, CFX_WAIT},
		/* 12 */ {CFX_MINRTT, CFX_NONE, false, {{0, 5}, {0, 5}, {0, 5}}, 0},
		/* 13 */ {CFX_LOWRTT, CFX_NONE, true, {{0, 5}, {50, 5}, {0, 5}}, 1},
		/* 14 */ {CFX_MINRTT, CFX_NONE, true, {{0, 5}, {50, 5}, {0, 5}}, 1},
		/* 15: alike */ {CFX_LOWRTT, CFX_NONE, true, {{20, 5}, {20, 5}, {20, 5}}, 0},
		/* 16 */ {CFX_LOWRTT, 2, true, {{1, 1}, {UINT32_MAX, 9}, {2, 1}}, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t set = begin(rows[i].policy, 3), delta;
		struct cfx_view view[CFX_LEGS] = {{0, 0}};
		bool switched;

		memcpy(view, rows[i].view, sizeof(rows[i].view));
		c.set[set].current = rows[i].current;
		assert_int_equal(cfx_pick(&c, set, view, rows[i].data, &switched, &delta),
				 rows[i].leg);
		assert_int_equal(switched, rows[i].current != CFX_NONE && rows[i].leg < CFX_LEGS &&
						   rows[i].leg != rows[i].current);
		end(set);
	}
}

/* The numbers of a SWITCH, and those that fit no SWITCH. */
static void test_switch(void **state)
{
	static const struct {
		uint64_t here, there; /* sent on the current leg, and on the next one */
		bool broken;
	} rows[] = {
		/* 1 */ {0, 0, false},
		/* 2 */ {31, 0, false},
		/* 3 */ {31, 31, false},
		/* 4 */ {30, 31, true},
		/* 5 */ {0xfffffffeull, 0, false},
		/* 6 */ {0xffffffffull, 0, true},
		/* 7 */ {1ull << 40, 5, true},
		/* 8 */ {UINT64_MAX, UINT64_MAX - 7, false},
		/* 9 */ {0, UINT64_MAX, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t set = begin(CFX_LOWRTT, 2), delta;
		struct cfx_view view[CFX_LEGS] = {{9, 0}, {9, 1}};
		bool switched;

		c.set[set].current = 0;
		c.set[set].leg[0].sent = rows[i].here;
		c.set[set].leg[1].sent = rows[i].there;
		assert_int_equal(cfx_pick(&c, set, view, true, &switched, &delta),
				 rows[i].broken ? CFX_BROKEN : 1);
		assert_int_equal(switched, !rows[i].broken);
		if (switched) {
			assert_int_equal(delta, rows[i].here - rows[i].there);
			assert_true(c.set[set].leg[1].sent == rows[i].here);
			assert_int_equal(c.set[set].current, 1);
			assert_int_equal(cfx_pick(&c, set, view, true, &switched, &delta), 1);
			assert_false(switched);
		}
		end(set);
	}
}

static void test_no_leg(void **state)
{
	uint32_t set = begin(CFX_LOWRTT, 1), delta;
	struct cfx_view view[CFX_LEGS] = {{0, 0}};
	bool switched;

	assert_true(cfx_leave(&c, set, 0, false));
	assert_int_equal(cfx_pick(&c, set, view, false, &switched, &delta), CFX_BROKEN);
	end(set);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_no_leg),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
