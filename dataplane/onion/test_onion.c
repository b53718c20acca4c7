/* test_onion.c - tor1 at a relay against a slow reference made of OpenSSL: batches of every shape,
 * cells for us among cells that pass, states that must survive a wrong digest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>

#include "dataplane/cipher/cipher.h"
#include "dataplane/onion/onion.h"

enum { N_CIRCS = 200, N_ITEMS = 150 };

/* ---- the reference: one relay's layer, as the specification words it ---- */

struct ref {
	EVP_CIPHER_CTX *fwd, *back;
	EVP_MD_CTX *fwd_md, *back_md;
};

static struct cipher best, portable;
static struct counts counts;
static struct onion onion;
static struct ref refs[N_CIRCS];
static struct rng rng;

static void ref_start(struct ref *r, const uint8_t *keys)
{
	static const uint8_t iv[16];

	r->fwd = EVP_CIPHER_CTX_new();
	r->back = EVP_CIPHER_CTX_new();
	r->fwd_md = EVP_MD_CTX_new();
	r->back_md = EVP_MD_CTX_new();
	EVP_DigestInit_ex(r->fwd_md, EVP_sha1(), NULL);
	EVP_DigestInit_ex(r->back_md, EVP_sha1(), NULL);
	EVP_DigestUpdate(r->fwd_md, keys, 20);
	EVP_DigestUpdate(r->back_md, keys + 20, 20);
	EVP_EncryptInit_ex(r->fwd, EVP_aes_128_ctr(), NULL, keys + 40, iv);
	EVP_EncryptInit_ex(r->back, EVP_aes_128_ctr(), NULL, keys + 56, iv);
}

static void ref_stop(struct ref *r)
{
	EVP_CIPHER_CTX_free(r->fwd);
	EVP_CIPHER_CTX_free(r->back);
	EVP_MD_CTX_free(r->fwd_md);
	EVP_MD_CTX_free(r->back_md);
	memset(r, 0, sizeof(*r));
}

static void ref_ctr(EVP_CIPHER_CTX *x, uint8_t *p)
{
	int n;

	EVP_EncryptUpdate(x, p, &n, p, ONION_PAYLOAD);
}

/* The digest after a cell whose digest field is zero; the state moves on only when told to. */
static void ref_digest(EVP_MD_CTX *md, const uint8_t *cell, uint8_t out[20], bool move)
{
	EVP_MD_CTX *end = EVP_MD_CTX_new();

	EVP_MD_CTX_copy_ex(end, md);
	EVP_DigestUpdate(end, cell, ONION_PAYLOAD);
	if (move)
		EVP_MD_CTX_copy_ex(md, end);
	EVP_DigestFinal_ex(end, out, NULL);
	EVP_MD_CTX_free(end);
}

/* Fills the digest field as the other end of circ (forward: its client) would. */
static void ref_sign(EVP_MD_CTX *md, uint8_t *cell, uint8_t tag[20], bool move)
{
	memset(cell + 5, 0, 4);
	ref_digest(md, cell, tag, move);
	memcpy(cell + 5, tag, 4);
}

/* ---- the house ---- */

static int setup(void **state)
{
	static const uint8_t seed[32] = "onion";

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

static void open_house(struct cipher *c)
{
	uint8_t keys[TOR1_KEYS];

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(onion_init(&onion, N_CIRCS, c, &counts), 0);
	for (unsigned i = 0; i < N_CIRCS; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		assert_int_equal(onion_start(&onion, i, ONION_TOR1, keys, sizeof(keys)), 0);
		ref_start(&refs[i], keys);
	}
}

static void close_house(void)
{
	onion_fini(&onion);
	for (unsigned i = 0; i < N_CIRCS; i++)
		ref_stop(&refs[i]);
}

/* What becomes of one cell on its way forward. */
enum kind { PASSES, OURS, FALSE_ALARM, N_KINDS };

static struct sample {
	enum kind kind;
	uint8_t plain[ONION_PAYLOAD], tag[20];
	uint8_t src[64 + ONION_PAYLOAD];
	_Alignas(64) uint8_t slot[640];
} cells[N_ITEMS];

/* How many circuits take part in a batch: one, a few, all. */
static const unsigned spreads[] = {1, 2, 3, 17, 64, 65, N_CIRCS};

static struct onion_item item_of(struct sample *c, uint32_t circ, const uint8_t *text)
{
	uint8_t *src = c->src + rng_below(&rng, 64);

	memcpy(src, text, ONION_PAYLOAD);
	memset(c->slot, 0xa5, sizeof(c->slot));
	return (struct onion_item) {.src = src,
				    .dst = c->slot + 64,
				    .circ = circ,
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

static void make_forward(struct sample *c, struct onion_item *it, uint32_t circ)
{
	uint8_t wire[ONION_PAYLOAD];

	c->kind = rng_below(&rng, N_KINDS);
	rng_bytes(&rng, c->plain, sizeof(c->plain));
	c->plain[1] = c->plain[2] = 0;
	if (c->kind == PASSES)
		c->plain[1 + rng_below(&rng, 2)] = 1 + rng_below(&rng, 255);
	if (c->kind == OURS)
		ref_sign(refs[circ].fwd_md, c->plain, c->tag, true);
	if (c->kind == FALSE_ALARM) {
		ref_sign(refs[circ].fwd_md, c->plain, c->tag, false);
		c->plain[5 + rng_below(&rng, 4)] ^= 1 << rng_below(&rng, 8);
	}
	memcpy(wire, c->plain, sizeof(wire));
	ref_ctr(refs[circ].fwd, wire);
	*it = item_of(c, circ, wire);
}

static void forward_batches(struct cipher *c)
{
	struct onion_item items[N_ITEMS];
	uint64_t n_ours = 0, n_alarms = 0;

	open_house(c);
	for (unsigned round = 0; round < 60; round++) {
		unsigned spread = spreads[round % ARRAY_LEN(spreads)];
		unsigned n = round < 10 ? round : 1 + rng_below(&rng, N_ITEMS);

		for (unsigned i = 0; i < n; i++)
			make_forward(&cells[i], &items[i], rng_below(&rng, spread));
		onion_forward(&onion, items, n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(items[i].failed, 0);
			assert_memory_equal(items[i].dst, cells[i].plain, ONION_PAYLOAD);
			assert_int_equal(items[i].recognized, cells[i].kind == OURS);
			assert_int_equal(items[i].tag_len, cells[i].kind == OURS ? 20 : 0);
			if (cells[i].kind == OURS)
				assert_memory_equal(items[i].tag, cells[i].tag, 20);
			check_borders(&cells[i]);
			n_ours += cells[i].kind == OURS;
			n_alarms += cells[i].kind == FALSE_ALARM;
		}
	}
	assert_int_equal(counts.v[COUNT_onion_recognized], n_ours);
	assert_int_equal(counts.v[COUNT_onion_digest_bad], n_alarms);
	close_house();
}

static void test_forward(void **state)
{
	forward_batches(&best);
	forward_batches(&portable);
}

/* Cells of others going back and cells of ours share one key stream per circuit. */
static void back_batches(struct cipher *c)
{
	struct onion_item items[N_ITEMS];

	open_house(c);
	for (unsigned round = 0; round < 60; round++) {
		unsigned spread = spreads[round % ARRAY_LEN(spreads)];
		unsigned n = round < 10 ? round : 1 + rng_below(&rng, N_ITEMS);
		bool ours = rng_below(&rng, 2), in_place = ours && rng_below(&rng, 2);

		for (unsigned i = 0; i < n; i++) {
			uint32_t circ = rng_below(&rng, spread);

			rng_bytes(&rng, cells[i].plain, ONION_PAYLOAD);
			items[i] = item_of(&cells[i], circ, cells[i].plain);
			if (in_place) {
				memcpy(items[i].dst, items[i].src, ONION_PAYLOAD);
				items[i].src = items[i].dst;
			}
			if (ours)
				ref_sign(refs[circ].back_md, cells[i].plain, cells[i].tag, true);
			ref_ctr(refs[circ].back, cells[i].plain);
		}
		(ours ? onion_originate : onion_back)(&onion, items, n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(items[i].failed, 0);
			assert_int_equal(items[i].recognized, 0);
			assert_memory_equal(items[i].dst, cells[i].plain, ONION_PAYLOAD);
			assert_int_equal(items[i].tag_len, ours ? 20 : 0);
			if (ours)
				assert_memory_equal(items[i].tag, cells[i].tag, 20);
			check_borders(&cells[i]);
		}
	}
	close_house();
}

static void test_back(void **state)
{
	back_batches(&best);
	back_batches(&portable);
}

/* A client with three hops, all of them ours. */
static void test_three_hops(void **state)
{
	struct tor1_layer client[3];
	uint8_t keys[TOR1_KEYS], tag[20];

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(onion_init(&onion, 3, &best, &counts), 0);
	for (unsigned i = 0; i < 3; i++) {
		rng_bytes(&rng, keys, sizeof(keys));
		tor1_layer_init(&portable, &client[i], keys);
		assert_int_equal(onion_start(&onion, i, ONION_TOR1, keys, sizeof(keys)), 0);
	}
	for (unsigned round = 0; round < 500; round++) {
		uint8_t sent[ONION_PAYLOAD], text[ONION_PAYLOAD];
		unsigned hop = rng_below(&rng, 3);
		struct onion_item it = {.src = text, .dst = text};

		rng_bytes(&rng, sent, sizeof(sent));
		sent[1] = sent[2] = 0;
		memcpy(text, sent, sizeof(text));
		tor1_client_seal(&portable, client, hop, text, tag);
		for (it.circ = 0; it.circ <= hop; it.circ++) {
			onion_forward(&onion, &it, 1);
			assert_int_equal(it.recognized, it.circ == hop);
		}
		assert_memory_equal(it.tag, tag, 20);
		assert_memory_equal(text + 9, sent + 9, ONION_PAYLOAD - 9);

		memcpy(text, sent, sizeof(text));
		it.circ = hop;
		onion_originate(&onion, &it, 1);
		for (unsigned i = hop; i-- > 0;) {
			it.circ = i;
			onion_back(&onion, &it, 1);
			assert_int_equal(it.tag_len, 0);
		}
		it.circ = hop;
		assert_int_equal(tor1_client_open(&portable, client, 3, text, tag), hop);
		assert_memory_equal(text + 9, sent + 9, ONION_PAYLOAD - 9);
	}
	onion_fini(&onion);
}

static void test_columns(void **state)
{
	uint8_t keys[TOR1_KEYS] = {1}, text[ONION_PAYLOAD] = {7}, before[ONION_PAYLOAD];
	struct onion_item items[3] = {{.src = text, .dst = text, .circ = 0},
				      {.src = text, .dst = text, .circ = 1},
				      {.src = text, .dst = text, .circ = UINT32_MAX}};

	memset(&counts, 0, sizeof(counts));
	assert_int_equal(onion_keys_len(ONION_TOR1), 72);
	assert_int_equal(onion_tag_len(ONION_TOR1), 20);
	assert_int_equal(onion_keys_len(N_ONION_SCHEMES), 0);
	assert_int_equal(onion_init(&onion, 2, &best, &counts), 0);
	assert_int_equal(onion_start(&onion, 2, ONION_TOR1, keys, 72), ERR_UNKNOWN);
	assert_int_equal(onion_start(&onion, 1, N_ONION_SCHEMES, keys, 72), ERR_UNKNOWN);
	assert_int_equal(onion_start(&onion, 1, ONION_TOR1, keys, 92), ERR_MALFORMED);
	assert_int_equal(onion_start(&onion, 1, ONION_TOR1, keys, 72), 0);
	assert_int_equal(onion_start(&onion, 1, ONION_TOR1, keys, 72), ERR_NOT_NOW);
	assert_true(onion_started(&onion, 1));

	memcpy(before, text, sizeof(text));
	onion_back(&onion, items, 1);
	assert_int_equal(items[0].failed, 1);
	assert_memory_equal(text, before, sizeof(text));
	onion_back(&onion, items, 3);
	assert_int_equal(items[0].failed, 1);
	assert_int_equal(items[1].failed, 0);
	assert_int_equal(items[2].failed, 1);
	assert_int_equal(counts.v[COUNT_onion_no_layer], 3);

	onion_stop(&onion, 1);
	onion_stop(&onion, 1);
	onion_stop(&onion, 9);
	assert_false(onion_started(&onion, 1));
	for (unsigned i = 0; i < 2 * 384; i++)
		assert_int_equal(((uint8_t *)onion.layer[ONION_TOR1])[i], 0);
	onion_fini(&onion);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_three_hops),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
