/* uiv_portable.c - POLYVAL and UIV+ on any CPU: carry-less products out of integer ones, AES by
 * ipsec-mb. The twin of uiv_wide.c; its time depends on no secret either. */
#include "dataplane/cipher/internal.h"

/* An element of POLYVAL's field: the polynomial's low 64 coefficients, then the high ones. */
struct el {
	uint64_t lo, hi;
};

static struct el el_get(const uint8_t *p)
{
	struct el e;

	memcpy(&e.lo, p, 8);
	memcpy(&e.hi, p + 8, 8);
	return e;
}

static void el_put(uint8_t *p, struct el e)
{
	memcpy(p, &e.lo, 8);
	memcpy(p + 8, &e.hi, 8);
}

static struct el el_add(struct el a, struct el b)
{
	return (struct el) {a.lo ^ b.lo, a.hi ^ b.hi};
}

/* The low half of a carry-less product. Every fourth bit is taken apart, so that the carries of an
 * integer product fall into the three places between (at most 15 ones meet, but in the topmost
 * place, and what that one carries falls off). */
static uint64_t mul_low(uint64_t a, uint64_t b)
{
	static const uint64_t every4 = 0x1111111111111111;
	uint64_t x[4], y[4], z = 0;

	for (unsigned i = 0; i < 4; i++) {
		x[i] = a & every4 << i;
		y[i] = b & every4 << i;
	}
	for (unsigned k = 0; k < 4; k++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < 4; i++)
			sum ^= x[i] * y[(k - i) & 3];
		z |= sum & every4 << k;
	}
	return z;
}

static uint64_t mirror(uint64_t v)
{
	v = (v & 0x5555555555555555) << 1 | (v >> 1 & 0x5555555555555555);
	v = (v & 0x3333333333333333) << 2 | (v >> 2 & 0x3333333333333333);
	v = (v & 0x0f0f0f0f0f0f0f0f) << 4 | (v >> 4 & 0x0f0f0f0f0f0f0f0f);
	return __builtin_bswap64(v);
}

/* The whole product: its high half is the low half of the mirrored factors', mirrored. */
static struct el mul_wide(uint64_t a, uint64_t b)
{
	return (struct el) {mul_low(a, b), mirror(mul_low(mirror(a), mirror(b))) >> 1};
}

/* v x^-64: what stands in the low half is folded into the rest with x^64 times itself. */
static struct el shrink(struct el v)
{
	uint64_t l = v.lo;

	return (struct el) {v.hi ^ l << 63 ^ l << 62 ^ l << 57, l ^ l >> 1 ^ l >> 2 ^ l >> 7};
}

/* a b x^-128, which RFC 8452 calls dot. */
static struct el dot(struct el a, struct el b)
{
	struct el low = mul_wide(a.lo, b.lo), high = mul_wide(a.hi, b.hi);
	struct el mid = mul_wide(a.lo ^ a.hi, b.lo ^ b.hi);

	mid = el_add(mid, el_add(low, high));
	low.hi ^= mid.lo;
	high.lo ^= mid.hi;
	return el_add(high, shrink(shrink(low)));
}

static void powers_portable(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
			    const uint8_t key[POLYVAL_LEN])
{
	struct el h = el_get(key), p = h;

	for (unsigned i = POLYVAL_POWERS; i-- > 0; p = dot(p, h))
		el_put(powers[i], p);
}

static struct el hash_on(struct el h, struct el sum, const uint8_t *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = dot(el_add(sum, el_get(blocks + 16 * i)), h);
	return sum;
}

static void hash_portable(const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN], const uint8_t *blocks,
			  size_t n, uint8_t out[POLYVAL_LEN])
{
	el_put(out, hash_on(el_get(powers[POLYVAL_POWERS - 1]), (struct el) {0}, blocks, n));
}

/* ---- AES ---- */

static void expand(IMB_MGR *mgr, const uint8_t key[16], uint8_t round_keys[11][16])
{
	_Alignas(16) uint8_t enc[11 * 16], dec[11 * 16];

	IMB_AES_KEYEXP_128(mgr, key, enc, dec);
	memcpy(round_keys, enc, sizeof(enc));
	wipe(enc, sizeof(enc));
	wipe(dec, sizeof(dec));
}

/* AES-CTR from the block iv on: a job is done when submit returns. Our counters never leave the
 * last byte. */
static void ctr_from(IMB_MGR *mgr, const uint8_t round_keys[11][16], const uint8_t iv[16],
		     uint8_t *dst, const uint8_t *src, size_t len)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);

	job->cipher_mode = IMB_CIPHER_CNTR;
	job->hash_alg = IMB_AUTH_NULL;
	job->chain_order = IMB_ORDER_CIPHER_HASH;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->enc_keys = round_keys;
	job->dec_keys = round_keys;
	job->key_len_in_bytes = 16;
	job->iv = iv;
	job->iv_len_in_bytes = 16;
	job->src = src;
	job->dst = dst;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = len;
	IMB_SUBMIT_JOB_NOCHECK(mgr);
}

static void block_encrypt(IMB_MGR *mgr, const uint8_t round_keys[11][16], uint8_t block[16])
{
	static const uint8_t zero[16];
	uint8_t iv[16];

	memcpy(iv, block, sizeof(iv));
	ctr_from(mgr, round_keys, iv, block, zero, sizeof(zero));
}

static void block_decrypt(IMB_MGR *mgr, const uint8_t round_keys[11][16], uint8_t block[16])
{
	_Alignas(16) uint8_t enc[11 * 16], dec[11 * 16];
	IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);

	IMB_AES_KEYEXP_128(mgr, round_keys[0], enc, dec);
	job->cipher_mode = IMB_CIPHER_ECB;
	job->hash_alg = IMB_AUTH_NULL;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->cipher_direction = IMB_DIR_DECRYPT;
	job->enc_keys = enc;
	job->dec_keys = dec;
	job->key_len_in_bytes = 16;
	job->iv_len_in_bytes = 0;
	job->src = block;
	job->dst = block;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = 16;
	IMB_SUBMIT_JOB_NOCHECK(mgr);
	wipe(enc, sizeof(enc));
	wipe(dec, sizeof(dec));
}

/* ---- UIV+ ---- */

static void init_portable(const struct cipher *c, struct uiv *u, const uint8_t keys[UIV_KEYS])
{
	expand(c->mgr, keys, u->j);
	powers_portable(u->powers, keys + 16);
	expand(c->mgr, keys + 32, u->s);
	memcpy(u->s_hash, keys + 48, sizeof(u->s_hash));
	memcpy(u->nonce, keys + 64, sizeof(u->nonce));
}

/* What ET's block is masked with: the hash of T', the command and the right part. */
static void mask_of(const struct uiv *u, uint8_t command, const uint8_t *right, uint8_t mask[16])
{
	struct el h = el_get(u->powers[POLYVAL_POWERS - 1]), sum;
	uint8_t rest[1 + UIV_RIGHT + 2];

	rest[0] = command;
	memcpy(rest + 1, right, UIV_RIGHT);
	memset(rest + 1 + UIV_RIGHT, 0, 2);
	sum = hash_on(h, (struct el) {0}, u->last, 1);
	el_put(mask, hash_on(h, sum, rest, sizeof(rest) / 16));
}

/* The first counter block of the key stream that belongs to a left part. */
static void stream_of(const struct uiv *u, const uint8_t left[16], uint8_t iv[16])
{
	el_put(iv, hash_on(el_get(u->s_hash), (struct el) {0}, left, 1));
	iv[15] &= 0xc0;
}

static void xor16(uint8_t *to, const uint8_t *from)
{
	for (unsigned i = 0; i < 16; i++)
		to[i] ^= from[i];
}

static void encrypt_portable(const struct cipher *c, const struct uiv_cell *cells, unsigned n)
{
	for (const struct uiv_cell *k = cells; k < cells + n; k++) {
		uint8_t mask[16], left[16], iv[16];

		mask_of(k->u, k->command, k->src + UIV_TAG, mask);
		memcpy(left, k->src, sizeof(left));
		xor16(left, mask);
		block_encrypt(c->mgr, k->u->j, left);
		xor16(left, mask);
		stream_of(k->u, left, iv);
		ctr_from(c->mgr, k->u->s, iv, k->dst + UIV_TAG, k->src + UIV_TAG, UIV_RIGHT);
		memcpy(k->dst, left, sizeof(left));
		memcpy(k->u->last, left, sizeof(left));
	}
}

static void decrypt_portable(const struct cipher *c, const struct uiv_cell *k)
{
	uint8_t mask[16], left[16], sealed[16], iv[16];

	memcpy(sealed, k->src, sizeof(sealed));
	stream_of(k->u, sealed, iv);
	ctr_from(c->mgr, k->u->s, iv, k->dst + UIV_TAG, k->src + UIV_TAG, UIV_RIGHT);
	mask_of(k->u, k->command, k->dst + UIV_TAG, mask);
	memcpy(left, sealed, sizeof(left));
	xor16(left, mask);
	block_decrypt(c->mgr, k->u->j, left);
	xor16(left, mask);
	memcpy(k->dst, left, sizeof(left));
	memcpy(k->u->last, sealed, sizeof(sealed));
}

static void update_portable(const struct cipher *c, struct uiv *const *u, unsigned n)
{
	static const uint8_t zero[UIV_KEYS];
	uint8_t keys[UIV_KEYS], iv[16];

	for (unsigned i = 0; i < n; i++) {
		stream_of(u[i], u[i]->nonce, iv);
		iv[15] += UIV_T1;
		ctr_from(c->mgr, u[i]->s, iv, keys, zero, sizeof(keys));
		init_portable(c, u[i], keys);
	}
	wipe(keys, sizeof(keys));
}

const struct uiv_kernel uiv_portable = {
	.name = "portable",
	.powers = powers_portable,
	.hash = hash_portable,
	.init = init_portable,
	.encrypt = encrypt_portable,
	.decrypt = decrypt_portable,
	.update = update_portable,
};
