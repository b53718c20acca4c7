/* cipher.h - bulk ciphers for the walk: AES-128-CTR, AEAD records, SHA-1, POLYVAL and UIV+, HKDF;
 * and a client's layers for circuits that begin here. This room alone includes ipsec-mb; own
 * kernels stand beside a portable twin and are chosen at run time by what the CPU has. */
#ifndef RAMSON_CIPHER_H
#define RAMSON_CIPHER_H

#include "dataplane/base/base.h"

/* ---- the manager: one per worker or thread, never shared ---- */
enum {
	CIPHER_PORTABLE_CTR = 1,  /* no VAES kernel */
	CIPHER_PORTABLE_SHA1 = 2, /* no SHA-NI kernel, no lanes */
	CIPHER_NO_AVX512 = 4,	  /* AVX2 or below, in ipsec-mb too */
	CIPHER_PORTABLE_UIV = 8,  /* no kernel with carry-less products */
	CIPHER_PORTABLE = 15,
};
struct aes_ctr;
struct sha1;
struct uiv_kernel;
struct cipher {
	void *mgr; /* IMB_MGR */
	void (*ctr)(const struct cipher *c, const struct aes_ctr *s, uint8_t *dst,
		    const uint8_t *src, size_t len);
	void (*sha1_blocks)(uint32_t h[5], const uint8_t *p, size_t n_blocks);
	void (*sha1_blocks_x2)(uint32_t *h[2], const uint8_t *p[2], size_t n_blocks);
	/* As sha1_cells below, at most SHA1_LANES of them; NULL: there is none. */
	void (*sha1_cells_x16)(struct sha1 *const *s, const uint8_t *const *payload,
			       uint8_t (*digest)[20], unsigned n);
	unsigned sha1_lanes_from; /* it pays from so many streams on */
	const struct uiv_kernel *uiv;
	const char *arch, *ctr_name, *sha1_name, *uiv_name; /* what was chosen, for a log line */
};
/* flags: which kernels to leave out (tests); 0 takes the best of this CPU. 0, or ERR_FULL when
 * memory is short, or ERR_CRYPTO when the library's self test fails. */
int cipher_init(struct cipher *c, unsigned flags);
void cipher_fini(struct cipher *c);

/* ---- AES-128-CTR, IV zero, running from byte to byte: what tor1 uses (tor-spec 0.3, 5.5) ---- */
struct aes_ctr { /* three cache lines */
	_Alignas(CACHE_LINE) uint8_t round_keys[11][16];
	uint64_t pos; /* bytes of key stream used so far */
	uint8_t _pad[8];
};
void aes_ctr_init(const struct cipher *c, struct aes_ctr *s, const uint8_t key[16]);
/* Takes the next len bytes of key stream (any len, also across calls that end mid-block). src and
 * dst are equal or do not overlap, any alignment; nothing outside dst[0..len) is written. */
static inline void aes_ctr_run(const struct cipher *c, struct aes_ctr *s, uint8_t *dst,
			       const uint8_t *src, size_t len)
{
	c->ctr(c, s, dst, src, len);
	s->pos += len;
}

/* ---- AEAD over one contiguous run, in place ---- */
enum aead_alg { AEAD_AES128_GCM, AEAD_AES256_GCM, AEAD_CHACHA20_POLY1305, N_AEAD_ALGS };
#define AEAD_TAG   16
#define AEAD_NONCE 12
struct aead_key { /* 1 KiB */
	_Alignas(CACHE_LINE) uint8_t expanded[1008];
	uint32_t alg;
	uint8_t _pad[12];
};
/* Asks for what a run of so many bytes reads of a key: the round keys, which stand first, and the
 * powers for its blocks, of which the lowest stand last. */
static inline void aead_fetch(const struct aead_key *k, size_t len)
{
	size_t powers = (len / 16 + 3) * 16, all = sizeof(*k), rounds = 4 * CACHE_LINE;

	for (size_t at = 0; at < rounds; at += CACHE_LINE)
		__builtin_prefetch(k->expanded + at);
	for (size_t at = MAX(rounds, all - MIN(powers, all)); at < all; at += CACHE_LINE)
		__builtin_prefetch(k->expanded + at);
}
/* 16 or 32 bytes. */
size_t aead_key_len(enum aead_alg alg);
void aead_key_init(const struct cipher *c, struct aead_key *k, enum aead_alg alg,
		   const uint8_t *key);
/* Encrypts data[0..len) in place and writes the tag to data[len..len + 16). */
void aead_seal(const struct cipher *c, const struct aead_key *k, const uint8_t nonce[AEAD_NONCE],
	       const void *aad, size_t aad_len, uint8_t *data, size_t len);
/* Decrypts data[0..len) in place; the tag stands at data[len..len + 16). 0, or ERR_CRYPTO when the
 * tag (compared in constant time) does not hold: data is then wiped. */
int aead_open(const struct cipher *c, const struct aead_key *k, const uint8_t nonce[AEAD_NONCE],
	      const void *aad, size_t aad_len, uint8_t *data, size_t len);

/* ---- SHA-1 as a running digest ---- */
#define SHA1_LEN 20
struct sha1 { /* copy it to keep a state, copy it back to restore it */
	uint32_t h[5];
	uint32_t _pad;
	uint64_t len; /* bytes taken so far; buf holds the last len % 64 of them */
	uint8_t buf[64];
};
void sha1_init(struct sha1 *s);
void sha1_update(const struct cipher *c, struct sha1 *s, const void *p, size_t len);
/* The digest of everything so far; the state is not disturbed. */
void sha1_peek(const struct cipher *c, const struct sha1 *s, uint8_t digest[SHA1_LEN]);
/* Takes one 509-byte relay payload into each of n states and peeks each digest; states are
 * distinct. Faster than one by one from two states on, fastest by SHA1_LANES. */
#define RELAY_PAYLOAD 509
#define SHA1_LANES    16
void sha1_cells(const struct cipher *c, struct sha1 *const *s, const uint8_t *const *payload,
		uint8_t (*digest)[SHA1_LEN], unsigned n);

/* ---- POLYVAL (RFC 8452, section 3) ---- */
#define POLYVAL_LEN    16
#define POLYVAL_POWERS 8
/* The first powers of a hash key, the highest first; powers[POLYVAL_POWERS - 1] is the key. They
 * stand on a cache line. */
void polyval_powers(const struct cipher *c, uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
		    const uint8_t key[POLYVAL_LEN]);
/* The hash of n whole blocks. */
void polyval(const struct cipher *c, const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN],
	     const uint8_t *blocks, size_t n, uint8_t out[POLYVAL_LEN]);

/* ---- UIV+, the wide-block cipher of Counter Galois Onion, over one relay payload (proposal 359;
 * interop section 2.3) ---- */
#define UIV_TAG	  16
#define UIV_KEYS  80 /* J: AES, POLYVAL; S: AES, POLYVAL; nonce */
#define UIV_BATCH 16 /* most cells of one call */
/* One direction of a circuit: nine cache lines, in the order of their use. */
struct uiv {
	_Alignas(CACHE_LINE) uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN]; /* of J's hash key */
	uint8_t last[UIV_TAG]; /* T': what the last cell began with where it was sealed */
	uint8_t j[11][16];     /* round keys */
	uint8_t s_hash[POLYVAL_LEN];
	uint8_t nonce[UIV_TAG]; /* N: what a cell for us begins with */
	uint8_t s[11][16];	/* round keys */
};
/* A cell. src and dst are equal or do not overlap, any alignment; nothing beside dst[0..509) is
 * written. */
struct uiv_cell {
	struct uiv *u;
	const uint8_t *src;
	uint8_t *dst;
	uint8_t command;	/* of the link cell: part of the tweak */
	const struct uiv *next; /* of a later call: what it needs first is fetched; NULL: none */
};
/* Asks for the third of a state's lines that its first, second or last step needs. */
static inline void uiv_fetch(const struct uiv *u, unsigned third)
{
	for (unsigned i = 0; i < 3; i++)
		__builtin_prefetch((const uint8_t *)u + (3 * third + i) * CACHE_LINE, 1);
}
/* T' begins as zeroes. */
void uiv_init(const struct cipher *c, struct uiv *u, const uint8_t keys[UIV_KEYS]);
/* Encrypts one payload under each of n states, which are distinct; T' becomes what dst begins with.
 * The phases of all go side by side: up to 8 at once are faster than one by one. */
void uiv_encrypt(const struct cipher *c, const struct uiv_cell *cells, unsigned n);
/* The other way, one cell, which is what a client does. T' becomes what src began with. */
void uiv_decrypt(const struct cipher *c, const struct uiv_cell *cell);
/* New keys and a new nonce for each of n states, from the nonce they have; the old ones are gone.
 */
void uiv_update(const struct cipher *c, struct uiv *const *u, unsigned n);

/* ---- HMAC and HKDF (RFC 5869, RFC 8446 7.1) ---- */
enum hash_alg { HASH_SHA256, HASH_SHA384 };
#define HASH_MAX 48
/* 32 or 48. */
size_t hash_len(enum hash_alg alg);
/* out takes hash_len() bytes. 0, or ERR_FULL (out is not written) when len is over 512. */
int hmac(const struct cipher *c, enum hash_alg alg, const uint8_t *key, size_t key_len,
	 const void *msg, size_t len, uint8_t *out);
/* HKDF-Expand-Label with an empty context: secret has hash_len() bytes, label comes without
 * "tls13 " and has at most 12 characters, len is at most hash_len(). */
void hkdf_expand_label(const struct cipher *c, enum hash_alg alg, const uint8_t *secret,
		       const char *label, uint8_t *out, size_t len);

/* ---- tor1 as a client sees it: circuits that begin here (tor-spec 5.5, 6.1) ---- */
#define TOR1_KEYS 72 /* Df 20, Db 20, Kf 16, Kb 16: the order of KDF output without KH */
struct tor1_layer {
	struct aes_ctr fwd, back;
	struct sha1 fwd_digest, back_digest;
};
void tor1_layer_init(const struct cipher *c, struct tor1_layer *l, const uint8_t keys[TOR1_KEYS]);
/* Seals a payload for hop (0 is the first) in place: fills the digest field (bytes 5..8), then
 * encrypts layers hop..0. The 20-byte digest that a SENDME would answer goes to tag. */
void tor1_client_seal(const struct cipher *c, struct tor1_layer *layers, unsigned hop,
		      uint8_t payload[RELAY_PAYLOAD], uint8_t tag[SHA1_LEN]);
/* Opens a payload that came back, in place: the hop it is from and its tag, or ERR_CRYPTO when no
 * layer recognises it (the circuit is then of no more use). */
int tor1_client_open(const struct cipher *c, struct tor1_layer *layers, unsigned n_layers,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[SHA1_LEN]);
/* True when bytes 1..2 are zero and bytes 5..8 are this state's digest over the payload; the state
 * moves on (and tag is written) only then. The payload is left as it was. */
bool tor1_recognize(const struct cipher *c, struct sha1 *s, uint8_t payload[RELAY_PAYLOAD],
		    uint8_t tag[SHA1_LEN]);

/* ---- Counter Galois Onion as a client sees it (interop section 2.3) ---- */
#define CGO_KEYS (2 * UIV_KEYS) /* forward, then back: the order of KDF output without KH */
struct cgo_layer {
	struct uiv fwd, back;
};
void cgo_layer_init(const struct cipher *c, struct cgo_layer *l, const uint8_t keys[CGO_KEYS]);
/* Seals a payload whose first UIV_TAG bytes are to be filled, for this layer's hop, in place; the
 * layers before it pass it then, the nearest last. The tag that a SENDME would answer goes to tag.
 */
void cgo_client_seal(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[UIV_TAG]);
void cgo_client_pass(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD]);
/* Takes this layer off a payload that came back, in place: true when it is from this hop, and its
 * tag is then written. */
bool cgo_client_open(const struct cipher *c, struct cgo_layer *l, uint8_t command,
		     uint8_t payload[RELAY_PAYLOAD], uint8_t tag[UIV_TAG]);

/* ---- modular powers: RSA with three primes, for the TLS keys of links ---- */
#define MODEXP_LANES   4
#define MODEXP_DIGITS  14  /* of 52 bits, the lowest first */
#define MODEXP_BITS    688 /* most of a modulus, and of an exponent */
#define MODEXP_RUNS    3   /* times MODEXP_DIGITS digits: what is raised */
#define MODEXP_WINDOW  4
#define MODEXP_WINDOWS (MODEXP_BITS / MODEXP_WINDOW)
/* One power a lane: moduli and exponents, prepared by whoever holds them. Lanes that are not wanted
 * repeat another. */
struct modexp {
	_Alignas(CACHE_LINE) uint64_t m[MODEXP_DIGITS][MODEXP_LANES]; /* odd */
	uint64_t lift[MODEXP_RUNS][MODEXP_DIGITS][MODEXP_LANES];      /* 2^(728 (2 + run)) mod m */
	uint64_t k0[MODEXP_LANES];				      /* -1/m mod 2^52 */
	uint8_t windows[MODEXP_WINDOWS][MODEXP_LANES]; /* of the exponent, top first */
};
/* Whether this CPU has what modexp_run needs. */
bool modexp_here(void);
/* out = in^exponent mod m in each lane, at most m; in is the same for all. Its time and its reads
 * do not depend on what the numbers are. The caller wipes out. */
void modexp_run(const struct modexp *e, const uint64_t in[MODEXP_RUNS * MODEXP_DIGITS],
		uint64_t out[MODEXP_DIGITS][MODEXP_LANES]);

#endif
