/* internal.h - what the files of handshake/ share: primitives, and each handshake with its
 * ephemeral key as an argument, so that transcripts can be checked byte for byte. */
#ifndef RAMSON_HANDSHAKE_INTERNAL_H
#define RAMSON_HANDSHAKE_INTERNAL_H

#include <openssl/evp.h> /* before base.h, which steps aside for one of its names */

#include "controlplane/handshake/handshake.h"

/* A secret key unpacked: OpenSSL multiplies once for that, which is worth keeping. */
struct hsk_secret {
	EVP_PKEY *key;
	uint8_t public[32];
};
/* Fresh. 0 or ERR_CRYPTO; hsk_secret_free in any case. */
int hsk_secret_new(struct hsk_secret *s);
/* From what is kept. A failure shows in hsk_dh. */
void hsk_secret_from(struct hsk_secret *s, const struct handshake_pair *pair);
void hsk_secret_free(struct hsk_secret *s);
/* X25519. True when it worked and the outcome is not all zero; out is written in any case. */
bool hsk_dh(uint8_t out[32], const struct hsk_secret *own, const uint8_t public[32]);
/* AES-256-CTR from a counter of zero, in place or not. */
bool hsk_ctr(uint8_t *out, const uint8_t *in, size_t len, const uint8_t key[32]);
/* Unpacks the keys for many handshakes, and forgets what was unpacked. */
void hsk_keys_unpack(struct handshake_keys *keys);
void hsk_keys_pack(struct handshake_keys *keys);

/* Looked up once: OpenSSL else does so by name at every use, which costs more than the hash. */
enum hsk_md { HSK_SHA1, HSK_SHA256, HSK_SHA3_256, HSK_SHAKE256, N_HSK_MDS };

/* A hash or XOF fed piece by piece; ok stays false once a step failed. It begins as {0}, takes one
 * run after the other (best of one kind), and ends with hsk_hash_free. */
struct hsk_hash {
	EVP_MD_CTX *ctx;
	bool ok;
};
void hsk_open(struct hsk_hash *h, enum hsk_md md);
void hsk_add(struct hsk_hash *h, const void *data, size_t len);
/* The same behind a 64-bit length (proposal 332: ENCAP). */
void hsk_encap(struct hsk_hash *h, const void *data, size_t len);
/* Ends a run: all bytes of a hash, or out_len of an XOF. False when any step failed. */
bool hsk_close(struct hsk_hash *h, uint8_t *out, size_t out_len);
void hsk_hash_free(struct hsk_hash *h);
/* HMAC-SHA256 over one run, under a key of at most 64 bytes. */
bool hsk_hmac(struct hsk_hash *h, uint8_t out[32], const void *key, size_t key_len,
	      const void *data, size_t len);
/* RFC 5869 with SHA-256; salt and info of at most 64 bytes. */
bool hsk_hkdf(struct hsk_hash *h, uint8_t *out, size_t out_len, const void *salt, size_t salt_len,
	      const void *ikm, size_t ikm_len, const void *info, size_t info_len);

/* A handshake under way on the relay's side. The first half of its row finds the onion key and the
 * client's point; then the three products are made, here or many at once; the second half answers.
 * A secret: wipe it. */
struct hsk_talk {
	const struct handshake_keys *keys;
	const uint8_t *skin;
	size_t skin_len;
	const uint8_t *x;	     /* the client's point, in the skin */
	bool known;		     /* onion is the key that the client named; else the junk key */
	struct handshake_pair onion; /* b, B */
	struct evp_pkey_st *ready;   /* the same unpacked, of the keys; or NULL */
	uint8_t y[32];		     /* our fresh point */
	uint8_t xy[32], xb[32];	     /* all zero when X is of low order */
};
/* Takes the key with this public half, or the junk key; which one does not show in the time. */
void hsk_pick(struct hsk_talk *t, const uint8_t public[32]);
/* The products, by OpenSSL. */
void hsk_multiply(struct hsk_talk *t, const struct hsk_secret *eph);
/* Neither product is zero; in the same time. */
bool hsk_shared(const struct hsk_talk *t);

int fast_answer(const struct handshake_keys *keys, const uint8_t *skin, size_t skin_len,
		struct handshake_done *done);
int fast_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len);
int fast_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		struct handshake_done *done);

int ntor_start(struct hsk_talk *t);
int ntor_reply(const struct hsk_talk *t, struct handshake_done *done);
int ntor_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len);
int ntor_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		struct handshake_done *done);

/* Proposal 332 with all that may vary. */
struct ntor3_talk {
	const void *ver; /* the verification string */
	size_t ver_len;
	uint8_t *keys; /* keystream out */
	size_t keys_len;
};
/* Checks the skin and decrypts the client's message into msg (HANDSHAKE_SKIN_MAX bytes). */
int ntor3_open(const struct hsk_talk *t, const struct ntor3_talk *how, uint8_t *msg,
	       size_t *msg_len);
/* Writes the answer with our message msg: 64 + msg_len bytes. */
int ntor3_seal(const struct hsk_talk *t, const struct ntor3_talk *how, const uint8_t *msg,
	       size_t msg_len, uint8_t *reply);
/* c->peer and c->eph are set. Writes 128 + msg_len bytes. */
int ntor3_ask(struct handshake_client *c, const struct ntor3_talk *t, const uint8_t *msg,
	      size_t msg_len, uint8_t *skin);
/* msg gets len - 64 bytes. */
int ntor3_close(const struct handshake_client *c, const struct ntor3_talk *t, const uint8_t *reply,
		size_t len, uint8_t *msg);

/* ---- extensions.c ---- */
#define EXT_ASK_MAX 8
/* The client's message: its length. */
size_t ext_ask(const struct handshake_peer *peer, uint8_t msg[EXT_ASK_MAX]);
/* The relay's message: what was granted, into done. 0, ERR_MALFORMED; ERR_NOT_NOW when it answers
 * what was not asked. */
int ext_answered(const struct handshake_peer *peer, const uint8_t *msg, size_t len,
		 struct handshake_done *done);

int ntor3_start(struct hsk_talk *t);
int ntor3_reply(const struct hsk_talk *t, struct handshake_done *done);
int ntor3_begin(struct handshake_client *c, uint8_t *skin, size_t *skin_len);
int ntor3_finish(struct handshake_client *c, const uint8_t *reply, size_t len,
		 struct handshake_done *done);

#endif
