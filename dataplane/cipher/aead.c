/* aead.c - AEAD of TLS records by ipsec-mb: one call per contiguous record. */
#include "dataplane/cipher/internal.h"

_Static_assert(sizeof(struct aead_key) == 1024, "a key and its hash powers are 1 KiB");
/* The library aligns its struct only under a macro of its own; ours is aligned always, and the
 * bytes it does not use hold what we add. */
_Static_assert(sizeof(struct gcm_key_data) <= offsetof(struct aead_key, alg), "key data fits");

struct nonce_aad {
	const uint8_t *nonce;
	const void *aad;
	size_t aad_len;
};

static struct gcm_key_data *gcm(const struct aead_key *k)
{
	return (struct gcm_key_data *)k->expanded;
}

static void gcm128_init(IMB_MGR *mgr, struct aead_key *k, const uint8_t *key)
{
	IMB_AES128_GCM_PRE(mgr, key, gcm(k));
}

static void gcm256_init(IMB_MGR *mgr, struct aead_key *k, const uint8_t *key)
{
	IMB_AES256_GCM_PRE(mgr, key, gcm(k));
}

static void gcm128_seal(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	struct gcm_context_data ctx;

	IMB_AES128_GCM_ENC(mgr, gcm(k), &ctx, data, data, len, n->nonce, n->aad, n->aad_len, tag,
			   AEAD_TAG);
}

static void gcm256_seal(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	struct gcm_context_data ctx;

	IMB_AES256_GCM_ENC(mgr, gcm(k), &ctx, data, data, len, n->nonce, n->aad, n->aad_len, tag,
			   AEAD_TAG);
}

static void gcm128_open(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	struct gcm_context_data ctx;

	IMB_AES128_GCM_DEC(mgr, gcm(k), &ctx, data, data, len, n->nonce, n->aad, n->aad_len, tag,
			   AEAD_TAG);
}

static void gcm256_open(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	struct gcm_context_data ctx;

	IMB_AES256_GCM_DEC(mgr, gcm(k), &ctx, data, data, len, n->nonce, n->aad, n->aad_len, tag,
			   AEAD_TAG);
}

static void chacha_init(IMB_MGR *mgr, struct aead_key *k, const uint8_t *key)
{
	memcpy(k->expanded, key, 32);
}

static void chacha_job(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
		       uint8_t *data, size_t len, uint8_t *tag, IMB_CIPHER_DIRECTION direction)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);

	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = direction;
	job->chain_order =
		direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = k->expanded;
	job->dec_keys = k->expanded;
	job->key_len_in_bytes = 32;
	job->iv = n->nonce;
	job->iv_len_in_bytes = AEAD_NONCE;
	job->u.CHACHA20_POLY1305.aad = n->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = n->aad_len;
	job->src = data;
	job->dst = data;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = len;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = len;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = AEAD_TAG;
	/* Complete when submit returns, as with CTR. */
	IMB_SUBMIT_JOB_NOCHECK(mgr);
}

static void chacha_seal(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	chacha_job(mgr, k, n, data, len, tag, IMB_DIR_ENCRYPT);
}

static void chacha_open(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
			uint8_t *data, size_t len, uint8_t *tag)
{
	chacha_job(mgr, k, n, data, len, tag, IMB_DIR_DECRYPT);
}

static const struct aead_row {
	size_t key_len;
	void (*init)(IMB_MGR *mgr, struct aead_key *k, const uint8_t *key);
	void (*seal)(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
		     uint8_t *data, size_t len, uint8_t *tag);
	void (*open)(IMB_MGR *mgr, const struct aead_key *k, const struct nonce_aad *n,
		     uint8_t *data, size_t len, uint8_t *tag);
} rows[N_AEAD_ALGS] = {
	[AEAD_AES128_GCM] = {16, gcm128_init, gcm128_seal, gcm128_open},
	[AEAD_AES256_GCM] = {32, gcm256_init, gcm256_seal, gcm256_open},
	[AEAD_CHACHA20_POLY1305] = {32, chacha_init, chacha_seal, chacha_open},
};

size_t aead_key_len(enum aead_alg alg)
{
	return rows[alg].key_len;
}

void aead_key_init(const struct cipher *c, struct aead_key *k, enum aead_alg alg,
		   const uint8_t *key)
{
	k->alg = alg;
	rows[alg].init(c->mgr, k, key);
}

void aead_seal(const struct cipher *c, const struct aead_key *k, const uint8_t nonce[AEAD_NONCE],
	       const void *aad, size_t aad_len, uint8_t *data, size_t len)
{
	struct nonce_aad n = {nonce, aad, aad_len};

	rows[k->alg].seal(c->mgr, k, &n, data, len, data + len);
}

int aead_open(const struct cipher *c, const struct aead_key *k, const uint8_t nonce[AEAD_NONCE],
	      const void *aad, size_t aad_len, uint8_t *data, size_t len)
{
	struct nonce_aad n = {nonce, aad, aad_len};
	uint8_t tag[AEAD_TAG];

	rows[k->alg].open(c->mgr, k, &n, data, len, tag);
	if (LIKELY(same_bytes(tag, data + len, AEAD_TAG)))
		return 0;
	/* What a wrong key stream made of foreign bytes is no plaintext: nobody shall see it. */
	wipe(data, len);
	wipe(tag, sizeof(tag));
	return ERR_CRYPTO;
}
