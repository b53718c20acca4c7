/* test_edge.c - pipes, windows, ids and the list of streams that have something to say; no TCP: far
 * ends here are control's pipes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/edge/edge.h"

#define STREAMS 16
#define CIRC	3

static struct counts counts;
static const int64_t params[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
	CTL_PARAMS(X)
#undef X
};
static uint32_t list;

static void start(struct edge *e)
{
	struct hash_key key = {0};

	memset(&counts, 0, sizeof(counts));
	list = SLOT_NONE;
	assert_int_equal(edge_init(e, 0, STREAMS, 4, key, NULL, &counts, params, 0), 0);
}

static uint32_t begin(struct edge *e, uint16_t id)
{
	int i = edge_begin(e, CIRC, &list, id, RELAY_BEGIN_DIR, false);

	assert_true(i >= 0);
	return (uint32_t)i;
}

static void end(struct edge *e, uint32_t stream)
{
	edge_end(e, stream, &list, true, 0);
	edge_free(e, stream);
}

/* Against a flat copy, in steps of all sizes, over and over its edge. */
static void test_pipe(void **state)
{
	static uint8_t flat[1 << 20];
	struct pipe p = {0};
	uint32_t put = 0, taken = 0, max = 5000;

	for (size_t i = 0; i < sizeof(flat); i++)
		flat[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(pipe_put(&p, flat, 0, max), 0);
	assert_null(p.p);
	for (unsigned k = 1; put + 2000 < sizeof(flat); k++) {
		uint32_t n = k * 97 % 1500, m = k * 61 % 1700;
		bool fits = put - taken + n <= max;

		assert_int_equal(pipe_put(&p, flat + put, n, max), fits ? 0 : ERR_FULL);
		put += fits ? n : 0;
		m = MIN(m, put - taken);
		assert_int_equal(p.len, put - taken);
		if (p.len)
			assert_memory_equal(p.p + p.at, flat + taken, p.len);
		pipe_skip(&p, m);
		taken += m;
		assert_true(p.cap <= 2 * max);
	}
	assert_true(taken > sizeof(flat) / 2);
	assert_int_equal(pipe_put(&p, flat, max + 1, max), ERR_FULL);
	assert_int_equal(pipe_put(&p, flat, UINT32_MAX, max), ERR_FULL);
	pipe_free(&p);
	assert_int_equal(p.len + p.cap, 0);
}

static void test_ids(void **state)
{
	uint32_t a, b, other = SLOT_NONE, first = SLOT_NONE;
	struct edge e;
	wid stale;

	start(&e);
	a = begin(&e, 0);
	b = begin(&e, 65535);
	assert_int_equal(edge_begin(&e, CIRC, &list, 0, RELAY_BEGIN, false), ERR_NOT_NOW);
	assert_true(edge_begin(&e, CIRC + 1, &other, 0, RELAY_BEGIN, false) >=
		    0); /* another circuit's */
	assert_int_equal(edge_find(&e, CIRC, 0), a);
	assert_int_equal(edge_find(&e, CIRC, 65535), b);
	assert_int_equal(edge_find(&e, CIRC, 1), SLOT_NONE);
	assert_int_equal(list, b);
	assert_int_equal(edge_find_in(&e, list, CIRC, 0), a); /* not the first of the list */
	assert_int_equal(edge_find_in(&e, list, CIRC, 65535), b);
	assert_int_equal(edge_find_in(&e, list, CIRC, 1), SLOT_NONE);
	assert_int_equal(edge_find_in(&e, SLOT_NONE, CIRC + 2, 0), SLOT_NONE);
	/* An ended stream keeps its index, not its id. */
	stale = slots_id(&e.slots, a);
	edge_end(&e, a, &list, true, 0);
	edge_end(&e, a, &list, true, 0);
	assert_int_equal(edge_find(&e, CIRC, 0), SLOT_NONE);
	assert_int_equal(edge_check(&e, stale), a);
	for (int i = 1; i < STREAMS - 2; i++)
		begin(&e, (uint16_t)i);
	assert_int_equal(edge_begin(&e, CIRC, &list, 100, RELAY_BEGIN, false), ERR_FULL);
	edge_free(&e, a);
	assert_int_equal(edge_check(&e, stale), SLOT_NONE);
	assert_int_equal(begin(&e, 0), a);
	/* The list holds all of the circuit's, whichever goes. */
	end(&e, b);
	for (unsigned n = STREAMS - 2; n; n--) {
		unsigned seen = 0;

		for (uint32_t i = list; i != SLOT_NONE; i = e.stream[i].next)
			seen++;
		assert_int_equal(seen, n);
		first = n & 1 ? list : e.stream[list].next;
		end(&e, first == SLOT_NONE ? list : first);
	}
	assert_int_equal(list, SLOT_NONE);
	edge_fini(&e);
}

/* Against an array that does what the list should. */
static void test_ready(void **state)
{
	uint32_t s[STREAMS], want[STREAMS], n = 0, x = 1;
	struct edge e;

	start(&e);
	for (uint16_t i = 0; i < STREAMS; i++)
		s[i] = begin(&e, i);
	for (unsigned k = 0; k < 20000; k++) {
		uint32_t which, at;

		x = x * 1664525 + 1013904223;
		which = s[x >> 16 & (STREAMS - 1)];
		for (at = 0; at < n && want[at] != which; at++)
			;
		if (x >> 28 < 9) {
			edge_ready(&e, which);
			if (at == n)
				want[n++] = which;
		} else if (x >> 28 < 12) {
			assert_int_equal(edge_next_ready(&e), n ? want[0] : SLOT_NONE);
			if (n)
				memmove(want, want + 1, --n * sizeof(*want));
		} else { /* ends, wherever it stands in the list */
			uint16_t id = e.stream[which].id;

			end(&e, which);
			if (at < n) {
				memmove(want + at, want + at + 1, (n - at - 1) * sizeof(*want));
				n--;
			}
			edge_ready(&e, which);
			s[x >> 16 & (STREAMS - 1)] = begin(&e, id);
		}
	}
	edge_fini(&e);
}

static void test_windows(void **state)
{
	static const uint8_t body[RELAY_BODY];
	uint32_t s;
	struct edge e;

	start(&e);
	/* Ahead of the decision: kept, no SENDME, and no more than the window. */
	s = begin(&e, 1);
	for (int i = 0; i < EDGE_WINDOW; i++)
		assert_int_equal(edge_data(&e, s, body, sizeof(body)), 0);
	assert_int_equal(edge_sendmes(&e, s), 0);
	assert_int_equal(e.stream[s].in.len, EDGE_HELD_MAX);
	assert_int_equal(edge_data(&e, s, body, 0), ERR_MALFORMED);
	assert_int_equal(counts.v[COUNT_edge_window_overrun], 1);
	assert_true(e.mem >= EDGE_HELD_MAX);
	edge_dir(&e, s);
	assert_int_equal(edge_sendmes(&e, s), EDGE_WINDOW / EDGE_INCREMENT);
	assert_int_equal(edge_sendmes(&e, s), 0);
	for (int i = 1; i <= 3 * EDGE_INCREMENT; i++) {
		assert_int_equal(edge_data(&e, s, body, 1), 1); /* control's */
		assert_int_equal(edge_sendmes(&e, s), i % EDGE_INCREMENT == 0);
	}
	/* The other way. */
	assert_int_equal(edge_sendme_in(&e, s), ERR_MALFORMED);
	e.stream[s].in_flight = EDGE_INCREMENT - 1;
	assert_int_equal(edge_sendme_in(&e, s), ERR_MALFORMED);
	e.stream[s].in_flight = EDGE_WINDOW;
	assert_false(edge_may_send(&e, s));
	assert_int_equal(edge_sendme_in(&e, s), 0);
	assert_true(edge_may_send(&e, s));
	assert_int_equal(e.stream[s].in_flight, EDGE_WINDOW - EDGE_INCREMENT);
	end(&e, s);
	assert_int_equal(e.mem, 0);
	edge_fini(&e);
}

static void test_dir(void **state)
{
	static uint8_t bytes[EDGE_DIR_MAX + 1];
	uint8_t body[RELAY_BODY];
	uint32_t s, at = 0;
	struct edge e;
	uint16_t n;

	start(&e);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	s = begin(&e, 1);
	assert_int_equal(edge_pack(&e, s, body, sizeof(body)), 0); /* not decided */
	edge_dir(&e, s);
	assert_int_equal(edge_write(&e, s, bytes, sizeof(bytes)), ERR_FULL);
	assert_int_equal(edge_write(&e, s, bytes, EDGE_DIR_MAX), 0);
	assert_int_equal(edge_write(&e, s, bytes, 1), ERR_FULL);
	while ((n = edge_pack(&e, s, body, (uint16_t)(1 + at % sizeof(body))))) {
		assert_memory_equal(body, bytes + at, n);
		at += n;
	}
	assert_int_equal(at, EDGE_DIR_MAX);
	assert_int_equal(edge_write(&e, s, bytes, 1), 0);
	/* All edges together have a bound too. */
	e.mem_max = e.mem + 1000;
	assert_int_equal(edge_write(&e, s, bytes, 1000), 0);
	assert_int_equal(edge_write(&e, s, bytes, 60000), ERR_FULL);
	assert_int_equal(counts.v[COUNT_edge_mem_full], 1);
	end(&e, s);
	assert_int_equal(e.mem, 0);
	edge_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),  cmocka_unit_test(test_ids),
		cmocka_unit_test(test_ready), cmocka_unit_test(test_windows),
		cmocka_unit_test(test_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
