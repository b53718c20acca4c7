/* test_model.c - two sets as the two ends, between them legs of random speed that come, fill up and
 * go: what one end says is what the other hears, once and in order, as long as both go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/conflux/conflux.h"

#define FLIGHT 4096 /* messages on one leg */
#define ROUNDS 60
#define STEPS  3000

static struct counts counts;
static int64_t params[N_CTL_PARAMS] = {
	[CTL_PARAM_CFX_MAX_LEGS] = 8, [CTL_PARAM_CFX_MAX_OOOQ] = INT32_MAX};
static struct sched sched;
static struct rng rng;
static struct conflux from, to;
static uint32_t out, in;

/* What is under way on a leg: a message by its number, or a SWITCH. */
struct wire {
	bool switches[FLIGHT];
	uint64_t value[FLIGHT];
	unsigned n;
};
static struct wire wires[CFX_LEGS];
static uint64_t n_said, n_heard;

static void push(unsigned leg, bool switches, uint64_t value)
{
	struct wire *w = &wires[leg];

	assert_true(w->n < FLIGHT);
	w->switches[w->n] = switches;
	w->value[w->n++] = value;
}

static void say(const struct cfx_view view[CFX_LEGS])
{
	bool data = rng_below(&rng, 10) != 0, switched;
	uint32_t delta;
	unsigned leg = cfx_pick(&from, out, view, data, &switched, &delta);

	assert_true(leg != CFX_BROKEN);
	if (leg == CFX_WAIT)
		return;
	if (switched)
		push(leg, true, delta);
	push(leg, false, n_said++);
	cfx_sent(&from.set[out], leg);
}

static void hear(uint64_t value)
{
	assert_int_equal(value, n_heard);
	n_heard++;
}

/* The next of one leg arrives. */
static void arrive(unsigned leg)
{
	struct wire *w = &wires[leg];
	struct relay_msg m = {.command = RELAY_DATA, .len = 8}, got;
	uint64_t value = w->value[0];
	bool switches = w->switches[0];
	uint32_t slot;
	unsigned of;

	w->n--;
	memmove(w->value, w->value + 1, w->n * sizeof(w->value[0]));
	memmove(w->switches, w->switches + 1, w->n * sizeof(w->switches[0]));
	if (switches) {
		cfx_switched(&to, in, leg, (uint32_t)value);
		return;
	}
	m.body = (uint8_t *)&value;
	if (cfx_in(&to, in, leg) == CFX_EARLY) {
		assert_int_equal(cfx_hold(&to, in, leg, &m), 0);
		return;
	}
	hear(value);
	while (cfx_next(&to, in, &got, &slot, &of) == CFX_NEXT) {
		memcpy(&value, got.body, 8);
		hear(value);
		slot_give(&sched, slot);
	}
}

static void add_leg(wid circ)
{
	struct conflux_link l = {.ux = (uint8_t)rng_below(&rng, N_CONFLUX_UX)}, answer;
	int a, b;

	/* Both ends begin a leg at what both know. */
	l.received = l.sent = to.slots.n_used ? to.set[in].delivered : 0;
	a = cfx_join(&from, &l, 1, circ, 0, &out, &answer);
	b = cfx_join(&to, &l, 1, circ, 0, &in, &answer);
	assert_int_equal(a, b);
}

/* A leg goes when nothing is under way on it; false when the sets do not survive that. */
static bool drop_leg(unsigned leg)
{
	bool a, b;

	if (!from.set[out].leg[leg].circ || wires[leg].n)
		return true;
	a = cfx_leave(&from, out, leg, false);
	b = cfx_leave(&to, in, leg, false);
	return !a && !b;
}

static void views(struct cfx_view view[CFX_LEGS])
{
	for (unsigned i = 0; i < CFX_LEGS; i++)
		view[i] = (struct cfx_view) {rng_below(&rng, 4) * 1000, rng_below(&rng, 3)};
}

static void one_round(void)
{
	struct cfx_view view[CFX_LEGS];
	unsigned n = 1 + rng_below(&rng, 4);
	bool goes_on = true;

	memset(wires, 0, sizeof(wires));
	n_said = n_heard = 0;
	for (unsigned i = 0; i < n; i++)
		add_leg(100 + i);
	for (unsigned step = 0; step < STEPS && goes_on; step++) {
		unsigned leg = rng_below(&rng, CFX_LEGS);

		views(view);
		if (rng_below(&rng, 2))
			say(view);
		if (wires[leg].n)
			arrive(leg);
		if (!rng_below(&rng, 400))
			goes_on = drop_leg(leg);
	}
	for (unsigned leg = 0; leg < CFX_LEGS && goes_on; leg++)
		while (wires[leg].n)
			arrive(leg);
	if (goes_on)
		assert_int_equal(n_heard, n_said);
	cfx_free(&from, out);
	cfx_free(&to, in);
	assert_int_equal(slots_in_use(&sched), 0);
}

static void test_order_holds(void **state)
{
	struct sched_config cf = {1, 1, 32768, &counts, params};
	struct hash_key key = {{1, 2}};
	uint8_t seed[32] = {7};

	assert_int_equal(sched_init(&sched, &cf, 0), 0);
	assert_int_equal(cfx_init(&from, 0, 2, 2, key, &sched, &counts, params), 0);
	assert_int_equal(cfx_init(&to, 1, 2, 2, key, &sched, &counts, params), 0);
	rng_seed(&rng, seed);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round();
	assert_true(counts.v[COUNT_conflux_switches] > 1000);
	assert_true(counts.v[COUNT_conflux_early] > 1000);
	assert_int_equal(counts.v[COUNT_conflux_stale], 0);
	cfx_fini(&from);
	cfx_fini(&to);
	sched_fini(&sched);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
