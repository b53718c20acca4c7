/* keys.h - who we are: the RSA and Ed25519 identities, the signing key, the onion keys and the
 * certificates that links show, in tor's own files. Knows no ring and no socket; control's main
 * ticks it, handshake/, link/ and dir/ take what it holds. */
#ifndef RAMSON_KEYS_H
#define RAMSON_KEYS_H

#include "dataplane/base/base.h"
#include "dataplane/wire/certs.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY and X509 */
struct x509_st;

#define KEYS_RSA_ID  20
#define KEYS_ED_ID   32
#define KEYS_RSA_SIG 128 /* of a 1024-bit key */
#define KEYS_PEM_MAX 512
#define KEYS_WHY_MAX 512

/* ---- Ed25519 as tor keeps it: the secret is the 64-byte expanded key (scalar and prefix), which
 * OpenSSL cannot sign with. Constant time in the secret. ---- */
/* The expanded form of an RFC 8032 seed. */
void ed25519_expand(const uint8_t seed[32], uint8_t secret[64]);
void ed25519_public(const uint8_t secret[64], uint8_t public_key[32]);
/* 0, or ERR_CRYPTO when OpenSSL has no memory for a hash; sig is then worth nothing. */
int ed25519_sign(const void *msg, size_t len, const uint8_t secret[64],
		 const uint8_t public_key[32], uint8_t sig[64]);
/* True when sig is public_key's over the message (RFC 8032 section 5.1.7). */
bool ed25519_check(const void *msg, size_t len, const uint8_t public_key[32],
		   const uint8_t sig[64]);
/* The Ed25519 secret whose public key is the birational image of a curve25519 key (dir-spec
 * appendix C); the sign of its x is public_key[31] >> 7. */
void ed25519_of_curve25519(const uint8_t curve_secret[32], uint8_t secret[64],
			   uint8_t public_key[32]);
/* The Ed25519 public key of a curve25519 public key and a sign; false when there is none. */
bool ed25519_public_of_curve25519(const uint8_t curve_public[32], unsigned sign,
				  uint8_t public_key[32]);
/* The signature of c holds with key (NULL: the key that c carries) and it has not expired at now_s
 * (0: whenever). */
bool ed_cert_check(const struct ed_cert *c, const uint8_t *key, int64_t now_s);

/* ---- RSA as Tor uses it: PKCS#1 v1.5 around the bare digest, no digest OID ---- */
/* 0 or ERR_CRYPTO; sig_len: in the room, out what was written. */
int rsa_sign(struct evp_pkey_st *key, const uint8_t *digest, size_t len, uint8_t *sig,
	     size_t *sig_len);
/* True when sig recovers to something that begins with digest (tor-spec section 0.3). */
bool rsa_check(struct evp_pkey_st *key, const uint8_t *digest, size_t len, const uint8_t *sig,
	       size_t sig_len);
/* DER (PKCS#1) of the public half; its length, or 0. Its SHA-1 is a relay's fingerprint. */
size_t rsa_public_der(struct evp_pkey_st *key, uint8_t *der, size_t cap);

/* ---- the relay's keys ---- */
struct keys;

struct keys_config {
	const char *data_dir; /* DataDirectory: fingerprint files and state */
	const char *key_dir;  /* KeyDirectory; NULL: keys/ in data_dir */
	const char *nickname;
	bool offline_master;	    /* OfflineMasterKey */
	bool new_signing;	    /* keygen: a new signing key now; the master must be there */
	int64_t signing_lifetime_s; /* SigningKeyLifetime; 0: 30 days */
	int64_t tls_lifetime_s;	    /* SSLKeyLifetime; 0: drawn, 5 to 365 days */
	unsigned rotation_days;	    /* onion-key-rotation-days; 0: 28 */
	unsigned grace_days;	    /* onion-key-grace-period-days; 0: 7 */
};

/* Loads the keys, makes those that are absent, writes the fingerprint files. NULL when the relay
 * cannot start with them; why then says which file and how to mend it. now_s: seconds since 1970.
 */
struct keys *keys_open(const struct keys_config *config, int64_t now_s, char why[KEYS_WHY_MAX]);
void keys_close(struct keys *k);

/* What a tick changed: a mask. */
enum {
	KEYS_SIGNING = 1, /* a new signing key: publish */
	KEYS_ONION = 2,	  /* onion keys rotated or an old one retired: new snapshot, publish */
	KEYS_LINK = 4,	  /* new link certificates: new TLS context */
	KEYS_EXPIRED = 8, /* the signing certificate is over and there is no master: stop serving */
};
/* To be called about once a minute. Failures to renew are logged and tried again. */
unsigned keys_tick(struct keys *k, int64_t now_s);
/* The consensus's onion-key-rotation-days and onion-key-grace-period-days. */
void keys_onion_params(struct keys *k, unsigned rotation_days, unsigned grace_days);
/* Reads signing key and certificate again from disk (SIGHUP, after a keygen elsewhere) and makes
 * new link certificates. A mask as of keys_tick (KEYS_SIGNING only when they differ), or a negative
 * error: the old ones stay. */
int keys_reload(struct keys *k, int64_t now_s);

const uint8_t *keys_rsa_id(const struct keys *k); /* KEYS_RSA_ID bytes */
const uint8_t *keys_ed_id(const struct keys *k);  /* KEYS_ED_ID bytes: the master identity */
/* The identity-ed25519 certificate (type 4), as in descriptors and CERTS. */
struct bytes keys_signing_cert(const struct keys *k);
/* When the signing certificate ends, and when the onion keys were rotated, seconds since 1970. */
int64_t keys_signing_expires_s(const struct keys *k);
int64_t keys_onion_rotated_s(const struct keys *k);

/* Signs by the Ed25519 signing key; for descriptors msg is the SHA-256 of prefix and document. 0 or
 * ERR_CRYPTO. */
int keys_sign_ed(const struct keys *k, const void *msg, size_t len, uint8_t sig[64]);
/* Signs a digest by the RSA identity (router-signature: SHA-1). 0 or ERR_CRYPTO. */
int keys_sign_rsa(const struct keys *k, const uint8_t *digest, size_t len,
		  uint8_t sig[KEYS_RSA_SIG]);
/* "RSA PUBLIC KEY" PEM text, NUL-terminated: signing-key and onion-key of the descriptor. */
const char *keys_rsa_pem(const struct keys *k);
const char *keys_tap_pem(const struct keys *k);
/* onion-key-crosscert: the TAP key's signature over RSA id and Ed25519 id (dir-spec 2.1.1). */
int keys_tap_crosscert(const struct keys *k, uint8_t sig[KEYS_RSA_SIG]);
/* ntor-onion-key-crosscert (type 0x0A): writes the certificate, its length and the sign bit. */
int keys_ntor_crosscert(const struct keys *k, int64_t now_s, uint8_t cert[ED_CERT_MAX],
			size_t *cert_len, unsigned *sign);

/* ---- onion keys, for the threads that answer CREATE: a snapshot never changes ---- */
struct ntor_key {
	uint8_t secret[32], public_key[32];
};
struct onion_keys {
	uint32_t refs; /* atomic */
	uint8_t rsa_id[KEYS_RSA_ID], ed_id[KEYS_ED_ID];
	unsigned n; /* 1, or 2 while the previous key is in grace */
	struct ntor_key ntor[2];
};
/* The present snapshot, one reference taken; any thread may put it back, the last one wipes it.
 * keys_onion_get itself belongs to control's main thread. */
struct onion_keys *keys_onion_get(struct keys *k);
void onion_keys_put(struct onion_keys *o);

/* ---- what links show: one set for each TLS context, main thread only ---- */
struct link_certs {
	uint32_t refs;
	struct evp_pkey_st *tls_key;		  /* RSA-2048 */
	struct x509_st *tls_cert;		  /* signed by the RSA identity */
	uint8_t tls_digest[32];			  /* SHA-256 of its DER */
	struct bytes certs[N_CERTS_TYPES];	  /* bodies for CERTS, by enum certs_type */
	uint8_t auth_secret[64], auth_public[32]; /* of certs[CERTS_ED_AUTH] */
	uint8_t rsa_digest[32];			  /* SHA-256 of the RSA identity's DER: CID, SID */
	uint8_t rsa_id[KEYS_RSA_ID], ed_id[KEYS_ED_ID];
};
/* The present set, one reference taken. */
struct link_certs *keys_link_certs_get(struct keys *k);
void link_certs_put(struct link_certs *c);

/* ---- lines of DataDirectory/state; those that nobody here knows stay as they are ---- */
/* The first value of keyword. 0, or ERR_UNKNOWN when there is none, or ERR_SYSTEM. */
int state_get(const char *data_dir, const char *keyword, char *value, size_t cap);
/* Replaces keyword's lines by one (value NULL: by none); the file changes as a whole or not at all.
 */
int state_set(const char *data_dir, const char *keyword, const char *value);

#endif
