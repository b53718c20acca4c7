/* test_base.c - slots, maps, wheel, rings, readers, addresses: edges first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "dataplane/base/base.h"

static const struct hash_key key = {{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull}};

/* Generations in a column of their own, and in the rows of another. */
static void test_slots(void **state)
{
	struct {
		uint64_t other;
		uint32_t gen, more;
	} rows[2] = {{1, 0, 1}, {1, 0, 1}};
	bool in_rows = *state;
	struct slots s;
	uint32_t a, b;
	wid id;

	if (in_rows)
		assert_int_equal(slots_init_in(&s, 3, 2, &rows->gen, sizeof(*rows)), 0);
	else
		assert_int_equal(slots_init(&s, 3, 2), 0);
	a = slots_take(&s);
	b = slots_take(&s);
	assert_int_not_equal(a, b);
	assert_int_equal(slots_take(&s), SLOT_NONE);
	id = slots_id(&s, a);
	assert_int_equal(wid_worker(id), 3);
	assert_int_equal(slots_check(&s, id), a);
	slots_give(&s, a);
	slots_give(&s, a); /* twice is once */
	assert_int_equal(s.n_used, 1);
	assert_int_equal(slots_check(&s, id), SLOT_NONE);
	assert_int_equal(slots_take(&s), a);
	assert_int_equal(slots_check(&s, id), SLOT_NONE); /* the next user is another */
	assert_int_equal(slots_check(&s, WID_NONE), SLOT_NONE);
	assert_int_equal(slots_check(&s, slots_id(&s, b) ^ (1ull << 56)), SLOT_NONE);
	if (in_rows) {
		assert_int_equal(rows[a].gen, 3);
		assert_int_equal(rows[b].gen, 1);
		assert_true(rows[0].other + rows[0].more + rows[1].other + rows[1].more == 4);
	}
	slots_fini(&s);
}

/* What was never in use stays untouched until SLOTS_REST others rest; then it is first in, first
 * out; and when all were in use, nothing is kept back. */
static void test_slots_rest(void **state)
{
	struct slots s;

	assert_int_equal(slots_init(&s, 0, SLOTS_REST + 3), 0);
	for (uint32_t i = 0; i < SLOTS_REST; i++) {
		assert_int_equal(slots_take(&s), i);
		slots_give(&s, i);
	}
	assert_int_equal(s.n_touched, SLOTS_REST);
	assert_int_equal(slots_take(&s), 0);
	assert_int_equal(slots_take(&s), SLOTS_REST); /* one rests too few */
	assert_int_equal(slots_take(&s), SLOTS_REST + 1);
	assert_int_equal(slots_take(&s), SLOTS_REST + 2);
	for (uint32_t i = 1; i < SLOTS_REST; i++)
		assert_int_equal(slots_take(&s), i);
	assert_true(slots_full(&s));
	assert_int_equal(slots_take(&s), SLOT_NONE);
	slots_give(&s, 7);
	assert_false(slots_full(&s));
	assert_int_equal(slots_take(&s), 7);
	slots_fini(&s);
}

/* Through several doublings, with holes. */
static void test_map_grows(void **state)
{
	struct map m;

	assert_int_equal(map_init(&m, 20000, key), 0);
	assert_in_range(m.mask, 1, 1023);
	for (uint32_t i = 1; i <= 20000; i++) {
		assert_int_equal(map_put(&m, i, i), 0);
		if (i % 3 == 0)
			assert_int_equal(map_del(&m, i / 3), i / 3);
	}
	assert_int_equal(m.n, 20000 - 20000 / 3);
	for (uint32_t i = 1; i <= 20000; i++)
		assert_int_equal(map_get(&m, i), i <= 20000 / 3 ? SLOT_NONE : i);
	map_fini(&m);
}

static void test_map(void **state)
{
	struct map m;

	assert_int_equal(map_init(&m, 1000, key), 0);
	for (uint32_t i = 1; i <= 1000; i++)
		assert_int_equal(map_put(&m, i * 7, i), 0);
	assert_int_equal(map_put(&m, 1, 1), ERR_FULL);
	assert_int_equal(map_put(&m, 7, 77), 0);
	assert_int_equal(map_get(&m, 7), 77);
	for (uint32_t i = 1; i <= 1000; i += 2)
		assert_int_not_equal(map_del(&m, i * 7), SLOT_NONE);
	for (uint32_t i = 1; i <= 1000; i++)
		assert_int_equal(map_get(&m, i * 7), i & 1 ? SLOT_NONE : i);
	assert_int_equal(map_del(&m, 7), SLOT_NONE);
	map_fini(&m);
}

static void test_wheel(void **state)
{
	struct wheel w;
	uint32_t due[4];

	assert_int_equal(wheel_init(&w, 4, 5000000), 0);
	wheel_set(&w, 0, 5001500);
	wheel_set(&w, 1, 5001500);
	wheel_set(&w, 2, 5000000 + 60 * 1000000ull); /* beyond one round */
	wheel_clear(&w, 1);
	assert_int_equal(wheel_due(&w, 5001000, due, 4), 0);
	assert_int_equal(wheel_due(&w, 5001999, due, 4), 0); /* never early */
	assert_int_equal(wheel_due(&w, 5002000, due, 4), 1);
	assert_int_equal(due[0], 0);
	assert_int_equal(wheel_due(&w, 5000000 + 59999 * 1000ull, due, 4), 0);
	assert_int_equal(wheel_due(&w, 5000000 + 60000 * 1000ull, due, 4), 1);
	assert_int_equal(due[0], 2);
	for (uint32_t i = 0; i < 4; i++)
		wheel_set(&w, i, 1); /* the past fires at the next turn */
	assert_int_equal(wheel_due(&w, 5000000 + 70000 * 1000ull, due, 3), 3);
	assert_int_equal(wheel_due(&w, 5000000 + 70000 * 1000ull, due, 3), 1);
	wheel_fini(&w);
}

static void test_ring(void **state)
{
	uint32_t n = 512;
	struct ring_shared *shared = aligned_alloc(64, ring_size(n));
	static uint8_t msg[RING_MSG_MAX], got[RING_MSG_MAX];
	struct ring a, b;

	memset(shared, 0, ring_size(n));
	ring_attach(&a, shared, n);
	ring_attach(&b, shared, n);
	for (int round = 0; round < 300; round++) {
		size_t len = 16 + (size_t)round * 61 % (RING_MSG_MAX - 16);

		memset(msg, round, len);
		assert_int_equal(ring_send(&a, msg, 16, msg + 16, len - 16), 0);
		assert_int_equal(ring_recv(&b, got, true), (int)len);
		assert_memory_equal(got + 4, msg + 4, len - 4);
		assert_int_equal(ring_recv(&b, got, true), 0);
	}
	assert_int_equal(ring_send(&a, msg, 8, NULL, 0), ERR_MALFORMED);
	while (ring_send(&a, msg, 16, NULL, 0) == 0)
		;
	assert_int_equal(ring_space(&a), 0);
	/* The producer turns hostile: an index far ahead, then a length beyond the bound. */
	shared->head += 100000;
	assert_int_equal(ring_recv(&b, got, false), ERR_MALFORMED);
	shared->head += 1;
	memset(shared->slots, 0xff, n * RING_SLOT);
	assert_int_equal(ring_recv(&b, got, false), ERR_MALFORMED);
	assert_int_equal(ring_recv(&b, got, false), 0);
	shared->tail += 5000; /* the consumer lies: nothing can be sent */
	assert_int_equal(ring_send(&a, msg, 16, NULL, 0), ERR_FULL);
	free(shared);
}

static void test_reader_writer(void **state)
{
	uint8_t buf[8];
	struct writer w = writer_of(buf, sizeof(buf));
	struct reader r, s;

	wr_u16(&w, 0x0102);
	wr_u32(&w, 0x03040506);
	wr_u32(&w, 1);
	assert_true(w.bad);
	assert_int_equal(wr_len(&w), 6);
	r = reader_of(buf, 6);
	assert_int_equal(rd_u16(&r), 0x0102);
	s = rd_sub(&r, 2);
	assert_int_equal(rd_u16(&s), 0x0304);
	assert_int_equal(rd_u8(&s), 0);
	assert_true(s.bad);
	assert_false(r.bad);
	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
}

static void test_addr(void **state)
{
	static const struct {
		const char *text, *again;
	} rows[] = {
		{"1.2.3.4", "1.2.3.4"},	  {"1.2.3.4:80", "1.2.3.4:80"},
		{"::1", "::1"},		  {"[::1]:9001", "[::1]:9001"},
		{"[fd00::2]", "fd00::2"}, {"", NULL},
		{"1.2.3.4:", NULL},	  {"1.2.3.4:65536", NULL},
		{"1.2.3", NULL},	  {"[::1", NULL},
		{"[1.2.3.4]:1", NULL},	  {"1.2.3.4:1x", NULL},
		{"[::1]x", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr a;
		char text[ADDR_TEXT];
		int rc = addr_parse(&a, rows[i].text);

		assert_int_equal(rc, rows[i].again ? 0 : ERR_MALFORMED);
		if (rows[i].again)
			assert_string_equal(addr_text(&a, text), rows[i].again);
	}
}

static void test_denied(void **state)
{
	/* one after another: who is refused why until when, at what time it is asked for whom */
	static const struct {
		const char *set;
		unsigned why;
		uint32_t until_s, at_s;
		const char *ask;
		unsigned whys;
	} rows[] = {
		{"10.0.0.1", 0, 0, 5, "10.0.0.1", 0}, /* nothing to lift */
		{"10.0.0.1", 0, 4, 5, "10.0.0.1", 0}, /* over before it began */
		{"10.0.0.1", 0, 5, 5, "10.0.0.1", 1},
		{"10.0.0.1", 2, 9, 5, "10.0.0.1", 5},
		{"10.0.0.1", 2, 9, 6, "10.0.0.1", 4},
		{"10.0.0.1:80", 1, 20, 6, "10.0.0.1:9", 6},
		{"10.0.0.1", 1, 0, 6, "10.0.0.1", 4},
		{"10.0.0.1", 2, 9, 10, "10.0.0.1", 0},
		{"10.0.0.2", 0, 99, 10, "10.0.0.1", 0},
		/* an IPv6 address stands for its /64, and is no IPv4 address of the same bytes */
		{"2001:db8:1:2::1", 1, 99, 10, "2001:db8:1:2:ffff::9", 2},
		{"2001:db8:1:2::1", 1, 99, 10, "2001:db8:1:3::1", 0},
		{"a00:3::", 1, 99, 10, "10.0.0.3", 0},
		{"2001:db8:1:2::7", 1, 0, 10, "2001:db8:1:2::1", 0},
	};
	struct denied d;
	struct addr a = {.family = 4};
	unsigned n = 0, n_lost = 0;

	assert_int_equal(denied_init(&d, 100, key), 0);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(addr_parse(&a, rows[i].set), 0);
		assert_int_equal(denied_set(&d, &a, rows[i].why, rows[i].until_s, rows[i].at_s), 0);
		assert_int_equal(addr_parse(&a, rows[i].ask), 0);
		assert_int_equal(denied_whys(&d, &a, rows[i].at_s), rows[i].whys);
	}
	denied_fini(&d);
	/* Beyond its room those that end first make room, and it says so. */
	assert_int_equal(denied_init(&d, 100, key), 0);
	a = (struct addr) {.family = 4};
	for (uint32_t i = 0; i < 4000; i++) {
		be32_put(a.ip, i);
		n_lost += denied_set(&d, &a, 0, 1000 + i, 10) == ERR_FULL;
		assert_int_equal(denied_whys(&d, &a, 10), 1);
	}
	for (uint32_t i = 0; i < 4000; i++) {
		be32_put(a.ip, i);
		n += denied_whys(&d, &a, 10);
	}
	assert_int_equal(n + n_lost, 4000);
	assert_true(n <= 128 && n >= 100);
	denied_fini(&d);
}

static void test_rng(void **state)
{
	/* RFC 8439 section 2.3.2's key with a zero nonce differs; appendix A.1 vector 1 has both
	 * zero. */
	static const uint8_t first[] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90};
	uint8_t seed[32] = {0}, out[64];
	struct rng r;

	rng_seed(&r, seed);
	rng_bytes(&r, out, sizeof(out));
	assert_memory_equal(out, first, sizeof(first));
	for (int i = 0; i < 1000; i++)
		assert_true(rng_below(&r, 7) < 7);
}

static void test_hash(void **state)
{
	uint8_t word[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint64_t v, many[24], hash[24];

	memcpy(&v, word, 8);
	assert_true(hash_bytes(&key, word, 8) == hash_u64(&key, v));
	assert_true(hash_bytes(&key, word, 7) != hash_bytes(&key, word, 8));
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = v * i;
	for (unsigned n = 0; n <= ARRAY_LEN(many); n++) {
		memset(hash, 0, sizeof(hash));
		hash_u64s(&key, many, n, hash);
		for (unsigned i = 0; i < n; i++)
			assert_true(hash[i] == hash_u64(&key, many[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),	   cmocka_unit_test_prestate(test_slots, "in rows"),
		cmocka_unit_test(test_slots_rest), cmocka_unit_test(test_map_grows),
		cmocka_unit_test(test_map),	   cmocka_unit_test(test_wheel),
		cmocka_unit_test(test_ring),	   cmocka_unit_test(test_reader_writer),
		cmocka_unit_test(test_addr),	   cmocka_unit_test(test_rng),
		cmocka_unit_test(test_hash),	   cmocka_unit_test(test_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
