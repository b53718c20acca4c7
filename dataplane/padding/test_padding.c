/* test_padding.c - the answers that a client gets, what the machines send and when, and the limits.
 * The answers are those that C tor gave (interop section 7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/padding/padding.h"

static struct counts counts;
static struct rng rng;
static struct paddings p;
static struct pad_now now;
static int64_t params[N_CTL_PARAMS];
static uint8_t reply[PAD_NEGOTIATED_LEN];
static uint32_t h;

static int setup(void **state)
{
	static const int64_t defaults[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
		CTL_PARAMS(X)
#undef X
	};
	uint8_t seed[32] = {5};

	rng_seed(&rng, seed);
	memcpy(params, defaults, sizeof(params));
	counts = (struct counts) {0};
	now = (struct pad_now) {.us = 5000000};
	h = SLOT_NONE;
	return paddings_init(&p, 64, &rng, &counts, params, now.us);
}

static int teardown(void **state)
{
	padding_stop(&p, &h);
	assert_int_equal(p.slots.n_used, 0);
	paddings_fini(&p);
	return 0;
}

#define TEXT_MAX 20
static void from_hex(const char *hex, uint8_t *to, size_t *len)
{
	for (*len = 0; hex[0]; hex += 2) {
		unsigned hi = (unsigned)(hex[0] <= '9' ? hex[0] - '0' : hex[0] - 'a' + 10);
		unsigned lo = (unsigned)(hex[1] <= '9' ? hex[1] - '0' : hex[1] - 'a' + 10);

		to[(*len)++] = (uint8_t)(hi << 4 | lo);
	}
}

/* What a client says in turn on one circuit, and what it is told; "" is silence. */
static void test_answers(void **state)
{
	static const struct {
		int n;
		const char *says, *hears;
		enum count_id why;
	} rows[] = {
		/* nothing runs */
		{1, "0001000000000000", "", COUNT_padding_stale},
		{2, "0001000000000001", "", COUNT_padding_stale},
		{3, "0001ff0000000000", "", COUNT_padding_stale},
		{4, "0002020000000001", "0002020200000001", COUNT_padding_unknown},
		{5, "0002ff0000000007", "000202ff00000007", COUNT_padding_unknown},
		/* malformed */
		{6, "", "", COUNT_padding_malformed},
		{7, "00020000000000", "", COUNT_padding_malformed},
		{8, "0102000000000001", "", COUNT_padding_malformed},
		{9, "0000000000000001", "", COUNT_padding_malformed},
		{10, "0003000000000001", "", COUNT_padding_malformed},
		{11, "0002000200000001", "", COUNT_padding_malformed},
		/* machine 0, and its stop: only of that machine and start */
		{20, "0002000000000001", "0002010000000001", COUNT_padding_negotiated},
		{21, "0001010000000001", "", COUNT_padding_stale},
		{22, "0001000000000002", "", COUNT_padding_stale},
		{23, "0002010000000002", "0002010100000002",
		 COUNT_padding_negotiated}, /* it stays */
		{24, "0001010000000002", "", COUNT_padding_stale},
		{25, "0001000000000001", "0001010000000001", COUNT_padding_negotiated},
		{26, "0001000000000001", "", COUNT_padding_stale},
		/* the second start; the echo flag and what follows are of no concern; 0 stops any
		 */
		{30, "0002010100000009ffff", "0002010100000009", COUNT_padding_negotiated},
		{31, "0001010000000009", "", COUNT_padding_stale},
		{32, "0001010000000000", "0001010100000000", COUNT_padding_negotiated},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t says[TEXT_MAX], hears[TEXT_MAX];
		uint64_t before = counts.v[rows[i].why];
		size_t n_says, n_hears;

		from_hex(rows[i].says, says, &n_says);
		from_hex(rows[i].hears, hears, &n_hears);
		if (padding_negotiate(&p, 7, &h, says, n_says, reply) != (n_hears != 0) ||
		    (n_hears && memcmp(reply, hears, n_hears)) ||
		    counts.v[rows[i].why] != before + 1)
			fail_msg("row %d", rows[i].n);
		if (rows[i].n < 20)
			assert_int_equal(h, SLOT_NONE); /* nothing is kept of it */
	}
}

static void begin(uint8_t machine)
{
	uint8_t says[8] = {0, PAD_START, machine, 0, 0, 0, 0, 1};

	assert_int_equal(padding_negotiate(&p, 9, &h, says, sizeof(says), reply), 1);
}

/* Time passes until a DROP is due; how long it took, or 0 when none was for a second. */
static uint64_t wait(void)
{
	uint64_t start = now.us;
	uint32_t due;

	for (; now.us < start + 1000000; now.us += 500)
		if (padding_due(&p, now.us, &due, 1)) {
			assert_int_equal(due, h);
			return now.us - start;
		}
	return 0;
}

/* Machine 0: seven to nine DROPs, 1 to 10 ms apart (the wheel rounds up by at most 1 ms), a STOP.
 */
static void test_intro(void **state)
{
	static const uint8_t stop[] = {0, PAD_STOP, PAD_OK, 0, 0, 0, 0, 1};
	unsigned seen[11] = {0};
	uint64_t low = UINT64_MAX, high = 0;

	for (int run = 0; run < 300; run++) {
		unsigned n = 0;
		bool over = false;

		begin(0);
		assert_true(padding_listens(&p, h));
		assert_int_equal(wait(), 0); /* before the answer is on its way nothing is timed */
		padding_sent(&p, h, &now);
		while (!over) {
			uint64_t us = wait();

			assert_true(us != 0 && n < 10);
			low = MIN(low, us);
			high = MAX(high, us);
			n++;
			over = padding_drop_sent(&p, h, &now, reply);
		}
		seen[n]++;
		assert_memory_equal(reply, stop, sizeof(stop));
		assert_false(padding_listens(&p, h));
		assert_int_equal(wait(), 0);
		padding_stop(&p, &h);
	}
	assert_int_equal(seen[7] + seen[8] + seen[9], 300);
	assert_true(seen[7] > 50 && seen[8] > 50 && seen[9] > 50);
	assert_true(low >= 1000 && low < 3000 && high > 8500 && high <= 11500);
	assert_int_equal(counts.v[COUNT_padding_limited], 0);
}

/* Each other cell times the next DROP anew, as it would on a real download. */
static void test_intro_busy(void **state)
{
	begin(0);
	for (int i = 0; i < 500; i++) {
		uint32_t due;

		padding_sent(&p, h, &now);
		now.us += 500;
		assert_int_equal(padding_due(&p, now.us, &due, 1), 0);
	}
	assert_true(wait() != 0);
}

/* Machine 1: one DROP at once, and silence; it stays at its end until it is stopped. */
static void test_rend(void **state)
{
	begin(1);
	assert_true(padding_listens(&p, h));
	padding_sent(&p, h, &now);
	assert_false(padding_listens(&p, h));
	assert_true(wait() <= 2500);
	assert_false(padding_drop_sent(&p, h, &now, reply));
	assert_false(padding_listens(&p, h));
	padding_sent(&p, h, &now);
	assert_int_equal(wait(), 0);
	begin(1); /* answered, and nothing more comes */
	assert_false(padding_listens(&p, h));
	assert_int_equal(wait(), 0);
}

static void test_limits(void **state)
{
	static const struct {
		int n;
		int64_t disabled, percent, allowed;
		uint64_t drops, others;
		bool pads;
	} rows[] = {
		{1, 1, 0, 0, 0, 100, false}, {2, 0, 0, 0, 100, 0, true}, /* no limit */
		{3, 0, 1, 0, 0, 100, true},  {4, 0, 1, 0, 1, 99, true},	 /* 1 % is not beyond 1 % */
		{5, 0, 1, 0, 2, 98, false},  {6, 0, 1, 3, 2, 98, true},	 /* so many are free */
		{7, 0, 1, 2, 2, 98, false},  {8, 0, 100, 0, 5, 0, true}, {9, 0, 50, 0, 0, 0, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		params[CTL_PARAM_CIRCPAD_DISABLED] = rows[i].disabled;
		params[CTL_PARAM_CIRCPAD_GLOBAL_PCT] = rows[i].percent;
		params[CTL_PARAM_CIRCPAD_GLOBAL_CELLS] = rows[i].allowed;
		now.drops = rows[i].drops;
		now.others = rows[i].others;
		begin(0);
		padding_sent(&p, h, &now);
		if ((wait() != 0) != rows[i].pads ||
		    counts.v[COUNT_padding_limited] != !rows[i].pads)
			fail_msg("row %d", rows[i].n);
		counts = (struct counts) {0};
		padding_stop(&p, &h);
	}
	/* A machine that may not pad waits: the next cell finds it allowed again. */
	params[CTL_PARAM_CIRCPAD_GLOBAL_PCT] = 0;
	params[CTL_PARAM_CIRCPAD_DISABLED] = 1;
	begin(0);
	padding_sent(&p, h, &now);
	assert_int_equal(wait(), 0);
	params[CTL_PARAM_CIRCPAD_DISABLED] = 0;
	padding_sent(&p, h, &now);
	assert_true(wait() != 0);
}

/* The number of starts goes on over a stop, and skips 0 when it wraps. */
static void test_counter(void **state)
{
	static const uint8_t stop[8] = {0, PAD_STOP};

	begin(1);
	assert_int_equal(p.row[h].ctr, 1);
	assert_int_equal(padding_negotiate(&p, 9, &h, stop, 8, reply), 0); /* machine 0 */
	begin(0);
	assert_int_equal(p.row[h].ctr, 1);
	padding_negotiate(&p, 9, &h, (const uint8_t[8]) {0, PAD_STOP, 1}, 8, reply);
	begin(0);
	assert_int_equal(p.row[h].ctr, 2);
	padding_negotiate(&p, 9, &h, stop, 8, reply);
	p.row[h].ctr = UINT32_MAX;
	begin(0);
	assert_int_equal(p.row[h].ctr, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intro, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intro_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counter, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
