/* ctr.c - AES-128-CTR states, and the kernel that runs anywhere: an ipsec-mb job per stretch. */
#include "dataplane/cipher/internal.h"

_Static_assert(sizeof(struct aes_ctr) == 3 * CACHE_LINE, "a direction of tor1 is three lines");

void aes_ctr_init(const struct cipher *c, struct aes_ctr *s, const uint8_t key[16])
{
	IMB_MGR *mgr = c->mgr;
	_Alignas(16) uint8_t unused[11 * 16];

	memset(s, 0, sizeof(*s));
	IMB_AES_KEYEXP_128(mgr, key, s->round_keys, unused);
	wipe(unused, sizeof(unused));
}

/* Whole blocks from block number block on, in place. */
static void job_run(IMB_MGR *mgr, const struct aes_ctr *s, uint64_t block, uint8_t *data,
		    size_t len)
{
	uint8_t iv[16] = {0};
	IMB_JOB *job = IMB_GET_NEXT_JOB(mgr);

	be64_put(iv + 8, block);
	job->cipher_mode = IMB_CIPHER_CNTR;
	job->hash_alg = IMB_AUTH_NULL;
	job->chain_order = IMB_ORDER_CIPHER_HASH;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->enc_keys = s->round_keys;
	job->dec_keys = s->round_keys;
	job->key_len_in_bytes = 16;
	job->iv = iv;
	job->iv_len_in_bytes = sizeof(iv);
	job->src = data;
	job->dst = data;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = len;
	/* CTR jobs are done when submit returns: nothing waits in lanes. */
	IMB_SUBMIT_JOB_NOCHECK(mgr);
}

void ctr_portable(const struct cipher *c, const struct aes_ctr *s, uint8_t *dst, const uint8_t *src,
		  size_t len)
{
	/* The library cannot start within a block: give it the whole block, in a place where the
	 * bytes in front of ours may be overwritten. */
	uint8_t stretch[16 + 1024];
	uint64_t pos = s->pos;

	while (len) {
		/* It also counts in 32 bits only: a stretch ends where those would wrap. */
		uint64_t room = (1ull << 36) - pos % (1ull << 36);
		size_t skip = pos % 16, n = MIN(len, MIN(sizeof(stretch) - 16, room));

		memset(stretch, 0, skip);
		memcpy(stretch + skip, src, n);
		job_run(c->mgr, s, pos / 16, stretch, skip + n);
		memcpy(dst, stretch + skip, n);
		pos += n;
		src += n;
		dst += n;
		len -= n;
	}
}
