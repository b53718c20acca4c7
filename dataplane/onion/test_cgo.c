/* test_cgo.c - Counter Galois Onion at a relay: the public vectors, then batches of every shape
 * that a client's side takes apart again, with tor1 circuits among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/cipher/vectors.h"
#include "dataplane/onion/internal.h"
#include "dataplane/wire/cell.h"

enum { N_CIRCS = 100, N_ITEMS = 150, STATE = UIV_KEYS + UIV_TAG };

static struct cipher best, portable;
static struct cipher *const ciphers[] = {&best, &portable};
static struct counts counts;
static struct onion onion;
static struct rng rng;

static int setup(void **state)
{
	static const uint8_t seed[32] = "cgo";

	rng_seed(&rng, seed);
	assert_int_equal(cipher_init(&best, 0), 0);
	assert_int_equal(cipher_init(&portable, CIPHER_PORTABLE), 0);
	return 0;
}

static int teardown(void **state)
{
	cipher_fini(&best);
	cipher_fini(&portable);
	return 0;
}

/* ---- the public vectors ---- */

static struct uiv *state_of(bool back)
{
	struct cgo_pair *p = onion.layer[ONION_CGO];

	return back ? &p->back : &p->fwd;
}

/* A state as its keys, N and T' would make it. */
static void state_is(struct cipher *c, const struct uiv *u, const uint8_t *want)
{
	struct uiv w;

	uiv_init(c, &w, want);
	memcpy(w.last, want + UIV_KEYS, UIV_TAG);
	assert_memory_equal(u, &w, offsetof(struct uiv, s) + sizeof(w.s));
}

static void vector_run(struct cipher *c, const struct vector *v, bool back,
		       void (*step)(struct onion *o, struct onion_item *items, unsigned n))
{
	const uint8_t *in = vector_get(v, "state", STATE), *want = vector_get(v, "out", 509);
	uint8_t keys[CGO_KEYS] = {0}, dst[ONION_PAYLOAD];
	struct onion_item it = {.src = vector_get(v, "in", 509),
				.dst = dst,
				.command = vector_get(v, "command", 1)[0]};

	assert_int_equal(onion_init(&onion, 1, c, &counts), 0);
	memcpy(keys + (back ? UIV_KEYS : 0), in, UIV_KEYS);
	assert_int_equal(onion_start(&onion, 0, ONION_CGO, keys, sizeof(keys)), 0);
	memcpy(state_of(back)->last, in + UIV_KEYS, UIV_TAG);
	step(&onion, &it, 1);
	assert_memory_equal(dst, want, ONION_PAYLOAD);
	state_is(c, state_of(back), vector_get(v, "after", STATE));
	assert_int_equal(it.recognized, 0);
	assert_int_equal(it.tag_len, step == onion_originate ? UIV_TAG : 0);
	if (it.tag_len)
		assert_memory_equal(it.tag, want, UIV_TAG);
	onion_fini(&onion);
}

static unsigned vector_any(struct cipher *c, const struct vector *v)
{
	if (vector_is(v, "relay forward"))
		vector_run(c, v, false, onion_forward);
	else if (vector_is(v, "relay back"))
		vector_run(c, v, true, onion_back);
	else if (vector_is(v, "relay originate"))
		vector_run(c, v, true, onion_originate);
	else
		return 0;
	return 1;
}

static void test_vectors(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers); i++) {
		FILE *f = fopen(TESTDATA "/cgo.txt", "r");
		struct vector v;
		unsigned n = 0, n_all = 0;

		assert_non_null(f);
		for (; vector_next(f, &v); n_all++)
			n += vector_any(ciphers[i], &v);
		fclose(f);
		assert_int_equal(n, 3 + 4 + 4);
		assert_int_equal(n_all, 44); /* test_uiv.c has the others */
	}
}

/* ---- batches: every third circuit is tor1's ---- */

static union {
	struct cgo_layer cgo;
	struct tor1_layer tor1;
} clients[N_CIRCS];

static bool is_tor1(uint32_t circ)
{
	return circ % 3 == 2;
}

static void open_house(struct cipher *c)
{
	uint8_t keys[CGO_KEYS];

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(onion_init(&onion, N_CIRCS, c, &counts), 0);
	for (uint32_t i = 0; i < N_CIRCS; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		if (is_tor1(i)) {
			tor1_layer_init(&portable, &clients[i].tor1, keys);
			assert_int_equal(onion_start(&onion, i, ONION_TOR1, keys, TOR1_KEYS), 0);
		} else {
			cgo_layer_init(&portable, &clients[i].cgo, keys);
			assert_int_equal(onion_start(&onion, i, ONION_CGO, keys, CGO_KEYS), 0);
		}
		assert_int_equal(onion_format(&onion, i), is_tor1(i) ? RELAY_V0 : RELAY_V1);
	}
}

static struct sample {
	bool ours;
	uint8_t plain[ONION_PAYLOAD], tag[20];
	uint8_t src[64 + ONION_PAYLOAD];
	_Alignas(64) uint8_t slot[640];
} cells[N_ITEMS];

/* How many circuits take part in a batch: one, a few, all. */
static const unsigned spreads[] = {1, 2, 3, 16, 17, 64, N_CIRCS};

static struct onion_item item_of(struct sample *c, uint32_t circ, const uint8_t *text,
				 bool in_place)
{
	uint8_t *src = c->src + rng_below(&rng, 64);

	memset(c->slot, 0xa5, sizeof(c->slot));
	if (in_place)
		src = c->slot + 64;
	memcpy(src, text, ONION_PAYLOAD);
	return (struct onion_item) {.src = src,
				    .dst = c->slot + 64,
				    .circ = circ,
				    .command = rng_below(&rng, 2) ? CELL_RELAY : CELL_RELAY_EARLY,
				    .failed = 1,
				    .recognized = 1,
				    .tag_len = 9};
}

static void check_borders(const struct sample *c)
{
	for (unsigned k = 0; k < sizeof(c->slot); k++)
		if ((k < 64 || k >= 64 + ONION_PAYLOAD) && c->slot[k] != 0xa5)
			fail_msg("byte %u beside the payload is written", k);
}

/* As the circuit's client sends it. */
static void make_forward(struct sample *c, struct onion_item *it, uint32_t circ)
{
	uint8_t wire[ONION_PAYLOAD];

	c->ours = rng_below(&rng, 3) == 0;
	rng_bytes(&rng, c->plain, sizeof(c->plain));
	c->plain[1] = c->plain[2] = c->ours ? 0 : 7; /* tor1 looks there */
	*it = item_of(c, circ, c->plain, rng_below(&rng, 2));
	memcpy(wire, c->plain, sizeof(wire));
	if (is_tor1(circ) && c->ours)
		tor1_client_seal(&portable, &clients[circ].tor1, 0, wire, c->tag);
	else if (is_tor1(circ))
		aes_ctr_run(&portable, &clients[circ].tor1.fwd, wire, wire, ONION_PAYLOAD);
	else if (c->ours)
		cgo_client_seal(&portable, &clients[circ].cgo, it->command, wire, c->tag);
	else
		cgo_client_pass(&portable, &clients[circ].cgo, it->command, wire);
	memcpy((uint8_t *)(uintptr_t)it->src, wire, sizeof(wire));
}

static void test_forward(void **state)
{
	struct onion_item items[N_ITEMS];

	for (unsigned round = 0; round < 120; round++) {
		unsigned spread = spreads[round % ARRAY_LEN(spreads)];
		unsigned n = round % 60 < 10 ? round % 60 : 1 + rng_below(&rng, N_ITEMS);
		uint64_t n_ours = counts.v[COUNT_onion_recognized];

		if (round % 60 == 0) {
			if (round)
				onion_fini(&onion);
			open_house(ciphers[round / 60]);
			n_ours = 0;
		}
		for (unsigned i = 0; i < n; i++)
			make_forward(&cells[i], &items[i], rng_below(&rng, spread));
		onion_forward(&onion, items, n);
		for (unsigned i = 0; i < n; i++) {
			unsigned head = is_tor1(items[i].circ) ? 9 : UIV_TAG,
				 len = is_tor1(items[i].circ) ? 20 : UIV_TAG;

			assert_int_equal(items[i].failed, 0);
			assert_int_equal(items[i].recognized, cells[i].ours);
			assert_int_equal(items[i].tag_len, cells[i].ours ? len : 0);
			head = cells[i].ours ? head : 0;
			assert_memory_equal(items[i].dst + head, cells[i].plain + head,
					    ONION_PAYLOAD - head);
			if (cells[i].ours)
				assert_memory_equal(items[i].tag, cells[i].tag, len);
			check_borders(&cells[i]);
			n_ours += cells[i].ours;
		}
		assert_int_equal(counts.v[COUNT_onion_recognized], n_ours);
	}
	onion_fini(&onion);
}

/* What the client makes of a cell that came back. */
static void check_back(const struct sample *c, const struct onion_item *it, bool ours)
{
	unsigned head = !ours ? 0 : is_tor1(it->circ) ? 9 : UIV_TAG;
	uint8_t p[ONION_PAYLOAD], tag[20];
	bool opened;

	memcpy(p, it->dst, sizeof(p));
	if (is_tor1(it->circ))
		opened = tor1_client_open(&portable, &clients[it->circ].tor1, 1, p, tag) == 0;
	else
		opened = cgo_client_open(&portable, &clients[it->circ].cgo, it->command, p, tag);
	assert_int_equal(opened, ours);
	assert_memory_equal(p + head, c->plain + head, ONION_PAYLOAD - head);
	assert_int_equal(it->tag_len, !ours ? 0 : is_tor1(it->circ) ? 20 : UIV_TAG);
	if (ours)
		assert_memory_equal(it->tag, tag, it->tag_len);
	check_borders(c);
}

static void test_back(void **state)
{
	struct onion_item items[N_ITEMS];

	for (unsigned round = 0; round < 120; round++) {
		unsigned spread = spreads[round % ARRAY_LEN(spreads)];
		unsigned n = round % 60 < 10 ? round % 60 : 1 + rng_below(&rng, N_ITEMS);
		bool ours = rng_below(&rng, 2);

		if (round % 60 == 0) {
			if (round)
				onion_fini(&onion);
			open_house(ciphers[round / 60]);
		}
		for (unsigned i = 0; i < n; i++) {
			rng_bytes(&rng, cells[i].plain, ONION_PAYLOAD);
			cells[i].plain[1] = cells[i].plain[2] = ours ? 0 : 7;
			items[i] = item_of(&cells[i], rng_below(&rng, spread), cells[i].plain,
					   rng_below(&rng, 2));
		}
		(ours ? onion_originate : onion_back)(&onion, items, n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(items[i].failed, 0);
			assert_int_equal(items[i].recognized, 0);
			check_back(&cells[i], &items[i], ours);
		}
	}
	onion_fini(&onion);
}

/* A client whose three hops are all ours; a middle one's answer passes the first. */
static void test_three_hops(void **state)
{
	struct cgo_layer client[3];
	uint8_t keys[CGO_KEYS], tag[UIV_TAG];

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(onion_init(&onion, 3, &best, &counts), 0);
	for (unsigned i = 0; i < 3; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		cgo_layer_init(&portable, &client[i], keys);
		assert_int_equal(onion_start(&onion, i, ONION_CGO, keys, sizeof(keys)), 0);
	}
	for (unsigned round = 0; round < 300; round++) {
		uint8_t sent[ONION_PAYLOAD], text[ONION_PAYLOAD];
		unsigned hop = rng_below(&rng, 3);
		struct onion_item it = {.src = text, .dst = text, .command = CELL_RELAY};

		rng_bytes(&rng, sent, sizeof(sent));
		memcpy(text, sent, sizeof(text));
		cgo_client_seal(&portable, &client[hop], CELL_RELAY, text, tag);
		for (unsigned i = hop; i-- > 0;)
			cgo_client_pass(&portable, &client[i], CELL_RELAY, text);
		for (it.circ = 0; it.circ <= hop; it.circ++) {
			onion_forward(&onion, &it, 1);
			assert_int_equal(it.recognized, it.circ == hop);
		}
		assert_memory_equal(it.tag, tag, UIV_TAG);
		assert_memory_equal(text + UIV_TAG, sent + UIV_TAG, ONION_PAYLOAD - UIV_TAG);

		it.circ = hop;
		onion_originate(&onion, &it, 1);
		for (unsigned i = hop; i-- > 0;) {
			it.circ = i;
			onion_back(&onion, &it, 1);
		}
		for (unsigned i = 0; i <= hop; i++)
			assert_int_equal(
				cgo_client_open(&portable, &client[i], CELL_RELAY, text, tag),
				i == hop);
		assert_memory_equal(text + UIV_TAG, sent + UIV_TAG, ONION_PAYLOAD - UIV_TAG);
	}
	onion_fini(&onion);
}

/* A cell whose command or any bit was changed on its way is for nobody, and so are all behind it.
 */
static void test_tampered(void **state)
{
	for (unsigned way = 0; way < 3; way++) {
		uint8_t keys[CGO_KEYS], text[ONION_PAYLOAD] = {0}, tag[UIV_TAG];
		struct onion_item it = {.src = text, .dst = text};
		struct cgo_layer client;

		memset(&counts, 0, sizeof(counts));
		assert_int_equal(onion_init(&onion, 1, &best, &counts), 0);
		rng_bytes(&rng, keys, sizeof(keys));
		cgo_layer_init(&portable, &client, keys);
		assert_int_equal(onion_start(&onion, 0, ONION_CGO, keys, sizeof(keys)), 0);
		for (unsigned i = 0; i < 4; i++) {
			it.command = CELL_RELAY;
			cgo_client_seal(&portable, &client, CELL_RELAY, text, tag);
			if (i == 1 && way == 1)
				it.command = CELL_RELAY_EARLY;
			if (i == 1 && way == 2)
				text[rng_below(&rng, ONION_PAYLOAD)] ^= 1 << rng_below(&rng, 8);
			onion_forward(&onion, &it, 1);
			assert_int_equal(it.recognized, !way || i < 1);
		}
		onion_fini(&onion);
	}
}

static void test_column(void **state)
{
	uint8_t keys[CGO_KEYS] = {1};

	assert_int_equal(onion_keys_len(ONION_CGO), 160);
	assert_int_equal(onion_tag_len(ONION_CGO), 16);
	assert_int_equal(onion_init(&onion, 2, &best, &counts), 0);
	assert_int_equal(onion_start(&onion, 1, ONION_CGO, keys, 72), ERR_MALFORMED);
	assert_int_equal(onion_start(&onion, 1, ONION_CGO, keys, 160), 0);
	assert_int_equal(onion_start(&onion, 1, ONION_TOR1, keys, 72), ERR_NOT_NOW);
	onion_stop(&onion, 1);
	assert_false(onion_started(&onion, 1));
	for (size_t i = 0; i < 2 * sizeof(struct cgo_pair); i++)
		assert_int_equal(((uint8_t *)onion.layer[ONION_CGO])[i], 0);
	onion_fini(&onion);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),	 cmocka_unit_test(test_forward),
		cmocka_unit_test(test_back),	 cmocka_unit_test(test_three_hops),
		cmocka_unit_test(test_tampered), cmocka_unit_test(test_column),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
