/* test_pool.c - the pool of handshake threads: delivery, overload, age, cancelling, rotation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

#include "controlplane/handshake/handshake.h"

static struct event_base *base;
static struct handshake_pool *pool;
static struct handshake_keys keys;
static struct handshake_peer peer;
static struct {
	unsigned n, n_ok, n_old, n_bad;
	wid last;
	struct handshake_done done;
} got;

static void on_result(void *arg, const struct handshake_result *r)
{
	assert_ptr_equal(arg, &got);
	got.n++;
	got.n_ok += r->error == 0;
	got.n_old += r->error == ERR_FULL;
	got.n_bad += r->error == ERR_CRYPTO || r->error == ERR_MALFORMED;
	got.last = r->circ;
	if (!r->error)
		got.done = r->done;
}

static void run_until(unsigned n)
{
	for (int i = 0; i < 2000 && got.n < n; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(2000);
	}
	assert_int_equal(got.n, n);
}

static int setup(void **state)
{
	memset(&got, 0, sizeof(got));
	memset(&keys, 0, sizeof(keys));
	keys.n_onion = 1;
	base = event_base_new();
	if (!base || handshake_pair_new(&keys.onion[0]) || handshake_pair_new(&keys.junk))
		return -1;
	memcpy(peer.onion, keys.onion[0].public, 32);
	return handshake_pool_new(&pool, base, 2, on_result, &got);
}

static int teardown(void **state)
{
	handshake_pool_free(pool);
	event_base_free(base);
	return 0;
}

static int submit(wid circ, struct handshake_client *c, uint64_t *ticket)
{
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	uint64_t spare;
	size_t len;

	assert_int_equal(handshake_begin(c, HANDSHAKE_NTOR3, &peer, skin, &len), 0);
	return handshake_pool_submit(pool, circ, HANDSHAKE_NTOR3, skin, len,
				     ticket ? ticket : &spare);
}

static void test_delivery(void **state)
{
	struct handshake_client c;
	struct handshake_done done;
	struct handshake_figures f;
	uint8_t junk[84] = {0};
	uint64_t ticket;

	assert_int_equal(submit(1, &c, NULL), ERR_NOT_NOW); /* no keys yet */
	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	assert_int_equal(submit(77, &c, NULL), 0);
	run_until(1);
	assert_int_equal(got.last, 77);
	assert_int_equal(handshake_finish(&c, got.done.reply, got.done.reply_len, &done), 0);
	assert_memory_equal(done.keys, got.done.keys, sizeof(done.keys));
	assert_int_equal(handshake_pool_submit(pool, 78, HANDSHAKE_NTOR, junk, 84, &ticket), 0);
	run_until(2);
	assert_int_equal(got.n_bad, 1);
	assert_int_equal(handshake_pool_submit(pool, 78, HANDSHAKE_NTOR, junk, 83, &ticket),
			 ERR_MALFORMED);
	assert_int_equal(handshake_pool_submit(pool, 78, HANDSHAKE_TAP, junk, 84, &ticket),
			 ERR_UNKNOWN);
	assert_int_equal(handshake_pool_submit(pool, 78, 9, junk, 84, &ticket), ERR_UNKNOWN);
	handshake_pool_figures(pool, &f);
	assert_int_equal(f.answered[HANDSHAKE_NTOR3], 1);
	assert_int_equal(f.failed[HANDSHAKE_NTOR], 1);
	assert_int_equal(f.n_waiting, 0);
	assert_int_equal(f.n_threads, 2);
}

/* With a bound of nothing each job is refused unless it may always wait. */
static void test_overload(void **state)
{
	struct handshake_limits limits = {.wait_cutoff_ms = 60000, .n_always = 0, .n_most = 100};
	struct handshake_figures f;
	struct handshake_client c;
	unsigned n_refused = 0;

	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	limits.n_most = 0;
	handshake_pool_limits(pool, &limits);
	assert_int_equal(submit(1, &c, NULL), ERR_FULL);
	handshake_pool_figures(pool, &f);
	assert_int_equal(f.refused[HANDSHAKE_NTOR3], 1);
	limits.n_most = 100;
	limits.n_always = 3;
	handshake_pool_limits(pool, &limits);
	for (unsigned i = 0; i < 300; i++)
		n_refused += submit(i + 1, &c, NULL) == ERR_FULL;
	run_until(300 - n_refused);
	assert_int_equal(got.n_ok, 300 - n_refused);
}

static void test_too_old(void **state)
{
	struct handshake_limits limits = HANDSHAKE_LIMITS_DEFAULT;
	struct handshake_client c;

	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	limits.wait_cutoff_ms = 0; /* whatever waits is too old at once */
	handshake_pool_limits(pool, &limits);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(submit(i + 1, &c, NULL), 0);
	run_until(10);
	assert_int_equal(got.n_old, 10);
}

/* A cancelled job is never delivered, one that was running may be; none is delivered twice. */
static void test_cancel(void **state)
{
	struct handshake_client c;
	uint64_t tickets[200];
	struct handshake_figures f;

	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(submit(i + 1, &c, &tickets[i]), 0);
	for (unsigned i = 0; i < 200; i++)
		handshake_pool_cancel(pool, tickets[i]);
	for (unsigned i = 0; i < 200; i++)
		handshake_pool_cancel(pool, tickets[i]); /* again, stale */
	handshake_pool_cancel(pool, 0);
	handshake_pool_cancel(pool, ~0ull);
	handshake_pool_figures(pool, &f);
	assert_int_equal(f.n_waiting, 0);
	for (unsigned i = 0; i < 20; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(2000);
	}
	assert_in_range(got.n, 0, 200);
	unsigned before = got.n;
	assert_int_equal(submit(999, &c, NULL), 0);
	run_until(before + 1);
	assert_int_equal(got.last, 999);
}

static void test_rotation(void **state)
{
	struct handshake_keys next = keys;
	struct handshake_client c;
	struct handshake_done done;

	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	assert_int_equal(handshake_pair_new(&next.onion[0]), 0);
	next.onion[1] = keys.onion[0];
	next.n_onion = 2;
	assert_int_equal(handshake_pool_keys(pool, &next), 0);
	assert_int_equal(submit(1, &c, NULL), 0); /* with the old key, now previous */
	run_until(1);
	assert_int_equal(handshake_finish(&c, got.done.reply, got.done.reply_len, &done), 0);
	next.n_onion = 1;
	assert_int_equal(handshake_pool_keys(pool, &next), 0);
	assert_int_equal(submit(2, &c, NULL), 0); /* grace is over */
	run_until(2);
	assert_int_equal(got.n_bad, 1);
}

/* Freed with work in the queue. */
static void test_free_busy(void **state)
{
	struct handshake_client c;

	assert_int_equal(handshake_pool_keys(pool, &keys), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(submit(i + 1, &c, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_delivery, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_busy, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
