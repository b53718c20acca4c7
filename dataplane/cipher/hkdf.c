/* hkdf.c - HMAC and HKDF-Expand-Label for the TLS 1.3 key schedule after the handshake. Rare: once
 * per hand-over and per KeyUpdate. */
#include "dataplane/cipher/internal.h"

#define BLOCK_MAX 128
#define MSG_MAX	  512

static void sha256_of(IMB_MGR *mgr, const void *p, size_t len, uint8_t *out)
{
	IMB_SHA256(mgr, p, len, out);
}

static void sha384_of(IMB_MGR *mgr, const void *p, size_t len, uint8_t *out)
{
	IMB_SHA384(mgr, p, len, out);
}

static const struct hash_row {
	size_t len, block_len;
	void (*of)(IMB_MGR *mgr, const void *p, size_t len, uint8_t *out);
} rows[] = {
	[HASH_SHA256] = {32, 64, sha256_of},
	[HASH_SHA384] = {48, 128, sha384_of},
};

size_t hash_len(enum hash_alg alg)
{
	return rows[alg].len;
}

/* hash((key ^ pad) | msg); key is one block. */
static void keyed(IMB_MGR *mgr, const struct hash_row *row, const uint8_t *key, uint8_t pad,
		  const void *msg, size_t len, uint8_t *out)
{
	uint8_t buf[BLOCK_MAX + MSG_MAX];

	for (size_t i = 0; i < row->block_len; i++)
		buf[i] = key[i] ^ pad;
	memcpy(buf + row->block_len, msg, len);
	row->of(mgr, buf, row->block_len + len, out);
	wipe(buf, sizeof(buf));
}

/* len is at most MSG_MAX. */
static void mac(const struct cipher *c, enum hash_alg alg, const uint8_t *key, size_t key_len,
		const void *msg, size_t len, uint8_t *out)
{
	const struct hash_row *row = &rows[alg];
	uint8_t block[BLOCK_MAX] = {0}, inner[HASH_MAX];

	if (key_len > row->block_len)
		row->of(c->mgr, key, key_len, block);
	else
		memcpy(block, key, key_len);
	keyed(c->mgr, row, block, 0x36, msg, len, inner);
	keyed(c->mgr, row, block, 0x5c, inner, row->len, out);
	wipe(block, sizeof(block));
	wipe(inner, sizeof(inner));
}

int hmac(const struct cipher *c, enum hash_alg alg, const uint8_t *key, size_t key_len,
	 const void *msg, size_t len, uint8_t *out)
{
	if (len > MSG_MAX)
		return ERR_FULL;
	mac(c, alg, key, key_len, msg, len, out);
	return 0;
}

void hkdf_expand_label(const struct cipher *c, enum hash_alg alg, const uint8_t *secret,
		       const char *label, uint8_t *out, size_t len)
{
	uint8_t info[32], t[HASH_MAX];
	struct writer w = writer_of(info, sizeof(info));

	wr_u16(&w, len);
	wr_u8(&w, 6 + strlen(label));
	wr_bytes(&w, "tls13 ", 6);
	wr_bytes(&w, label, strlen(label));
	wr_u8(&w, 0); /* context */
	wr_u8(&w, 1); /* T(1), all that a length up to the hash needs */
	mac(c, alg, secret, rows[alg].len, info, wr_len(&w), t);
	memcpy(out, t, len);
	wipe(t, sizeof(t));
}
