/* test_circ.c - circuits and legs: ids in their half, in use, free again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/circ/circ.h"

static void test_ids(void **state)
{
	struct hash_key key = {{1, 2}};
	uint8_t seed[32] = {5};
	struct circs c;
	struct rng rng;
	uint32_t circ, a, b;
	wid id;

	rng_seed(&rng, seed);
	assert_int_equal(circs_init(&c, 2, 8, 16, 4, key), 0);
	circ = circ_new(&c, CIRC_PENDING, 3);
	assert_int_equal(c.conn_pending[3], 1);
	id = circ_id_of(&c, circ);
	a = leg_new(&c, 3, 77, id, SIDE_P);
	assert_int_equal(leg_new(&c, 3, 77, id, SIDE_P), SLOT_NONE);	 /* in use on this conn */
	assert_int_not_equal(leg_new(&c, 2, 77, id, SIDE_P), SLOT_NONE); /* another's 77 */
	assert_int_equal(leg_find(&c, 3, 77), a);
	for (int i = 0; i < 6; i++) {
		b = leg_draw(&c, 1, i & 1, id, SIDE_N, &rng);
		assert_int_equal(c.leg[b].circ_id >> 31, i & 1);
	}
	leg_free(&c, a);
	assert_int_equal(leg_find(&c, 3, 77), SLOT_NONE);
	assert_int_equal(conn_legs(&c, 3), SLOT_NONE);
	assert_int_not_equal(leg_new(&c, 3, 77, id, SIDE_P), SLOT_NONE);
	circ_set_state(&c, circ, CIRC_OPEN);
	assert_int_equal(c.conn_pending[3], 0);
	circ_free(&c, circ);
	assert_int_equal(circ_check(&c, id), SLOT_NONE);
	while (leg_draw(&c, 0, true, id, SIDE_N, &rng) != SLOT_NONE)
		;
	assert_int_equal(c.leg_slots.n_used, 16);
	while (circ_new(&c, CIRC_OPEN, 0) != SLOT_NONE)
		;
	assert_int_equal(c.circ_slots.n_used, 8);
	circs_fini(&c);
}

/* However many are asked together, of whatever conns: what each alone would find. */
static void test_many(void **state)
{
	struct hash_key key = {{1, 2}};
	uint8_t seed[32] = {6};
	uint32_t conn[LEGS_ASKED], id[LEGS_ASKED], leg[LEGS_ASKED];
	struct circs c;
	struct rng rng;
	unsigned n_found = 0;

	rng_seed(&rng, seed);
	assert_int_equal(circs_init(&c, 0, 600, 600, 8, key), 0);
	for (unsigned i = 0; i < 600; i++) {
		uint32_t circ = circ_new(&c, CIRC_OPEN, i % 8);

		assert_int_not_equal(leg_new(&c, i % 8, 1 + i / 8, circ_id_of(&c, circ), SIDE_P),
				     SLOT_NONE);
	}
	for (unsigned n = 0; n <= LEGS_ASKED; n++) {
		for (unsigned i = 0; i < n; i++) {
			conn[i] = rng_below(&rng, 8);
			id[i] = rng_below(&rng, 100);
		}
		legs_find(&c, conn, id, n, leg);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(leg[i], leg_find(&c, conn[i], id[i]));
			assert_int_equal(leg[i] != SLOT_NONE, id[i] >= 1 && id[i] <= 75);
			n_found += leg[i] != SLOT_NONE;
		}
	}
	assert_true(n_found > 1000);
	circs_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
