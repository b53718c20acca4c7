/* internal.h - what the files of keys/ share: files in tor's formats, and the keys themselves. */
#ifndef RAMSON_KEYS_INTERNAL_H
#define RAMSON_KEYS_INTERNAL_H

#include <limits.h>

#include "controlplane/keys/keys.h"

#define DAY_S 86400

/* ---- file.c ---- */
/* Reads a whole file of at most cap bytes: its length, ERR_UNKNOWN when it is absent or empty,
 * ERR_MALFORMED when longer, ERR_SYSTEM. */
int file_read(const char *path, void *buf, size_t cap);
/* Writes beside it, syncs and renames, mode 0600. 0 or ERR_SYSTEM. */
int file_write(const char *path, const void *data, size_t len);
/* The same, but leaves a file alone that holds these bytes already. */
int file_write_if_new(const char *path, const void *data, size_t len);
/* "== type: tag ==" padded to 32 bytes, then data (tor's tagged files). file_read's errors, and
 * ERR_MALFORMED for another head; returns the length of data. */
int tagged_read(const char *path, const char *type, const char *tag, void *data, size_t cap);
int tagged_write(const char *path, const char *type, const char *tag, const void *data, size_t len);
/* A private RSA key as PEM. NULL with *err as of file_read, or ERR_CRYPTO when it does not parse.
 */
struct evp_pkey_st *pem_read(const char *path, int *err);
int pem_write(const char *path, struct evp_pkey_st *key);
/* "dir/name" in a buffer of the caller's. */
const char *path_of(char path[PATH_MAX], const char *dir, const char *name);

/* ---- the keys ---- */
struct ed_key {
	uint8_t secret[64], public_key[32];
};
struct secrets { /* in pages of their own: locked, kept out of cores and of children */
	struct ed_key signing;
	struct ntor_key ntor, ntor_old;
};
struct keys {
	struct keys_config config;
	char *data_dir, *key_dir, *nickname;
	struct secrets *secrets;

	struct evp_pkey_st *rsa; /* identity */
	uint8_t rsa_id[KEYS_RSA_ID], rsa_digest[32];
	uint8_t ed_id[KEYS_ED_ID];
	char rsa_pem[KEYS_PEM_MAX], tap_pem[KEYS_PEM_MAX];

	uint8_t signing_cert[ED_CERT_MAX];
	size_t signing_cert_len;
	int64_t signing_expires_s;
	int64_t master_warned_s;

	struct evp_pkey_st *tap;
	bool has_old;	   /* ntor_old is in grace */
	int64_t rotated_s; /* LastRotatedOnionKey */
	struct onion_keys *onion;

	uint8_t cross[512]; /* RSA to Ed25519, type 7 */
	size_t cross_len;
	int64_t cross_expires_s;
	struct link_certs *link;
	int64_t link_made_s;
};

/* Fills why for the operator; returns err. */
int keys_fail(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* An RSA-1024 key of the relay's from its file, made when absent. NULL with why. */
struct evp_pkey_st *keys_rsa_load(const char *path, char *why);
struct evp_pkey_st *keys_rsa_new(unsigned bits);
/* trio.c: an RSA-2048 key that signs in a third of the time, where modexp_here(). It cannot be
 * written to a file, nor given to another thread while it signs. NULL when OpenSSL refuses. */
struct evp_pkey_st *trio_new(void);
/* "RSA PUBLIC KEY" text. 0 or ERR_CRYPTO. */
int keys_pem(struct evp_pkey_st *key, char pem[KEYS_PEM_MAX]);
int keys_random(void *to, size_t len);

/* identity.c */
int identity_open(struct keys *k, int64_t now_s, char *why);
int identity_tick(struct keys *k, int64_t now_s, unsigned *changed);
int identity_reload(struct keys *k, int64_t now_s, char *why);
/* A certificate of key by signer into cert; its length, or ERR_CRYPTO. */
int identity_certify(const struct ed_key *signer, uint8_t type, uint8_t key_type,
		     const uint8_t key[32], int64_t expires_s, bool show_signer,
		     uint8_t cert[ED_CERT_MAX]);

/* onion.c */
int onion_open(struct keys *k, int64_t now_s, char *why);
void onion_tick(struct keys *k, int64_t now_s, unsigned *changed);
void onion_close(struct keys *k);

/* show.c: what links show */
int show_renew(struct keys *k, int64_t now_s);
void show_tick(struct keys *k, int64_t now_s, unsigned *changed);
void show_close(struct keys *k);

#endif
