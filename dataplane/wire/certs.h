/* certs.h - the words of the link handshake: Tor's Ed25519 certificates and the bodies of VERSIONS,
 * CERTS, AUTH_CHALLENGE, AUTHENTICATE and NETINFO (cert-spec; tor-spec section 4). Codecs only: no
 * signature is made or checked here. Control's link/ and keys/ use them, also hs/ and dir/. */
#ifndef RAMSON_WIRE_CERTS_H
#define RAMSON_WIRE_CERTS_H

#include "dataplane/base/base.h"

/* Certificates by their number in a CERTS cell (cert-spec section A.1). */
enum certs_type {
	CERTS_LINK_X509 = 1, /* TLS link key, by the RSA identity */
	CERTS_ID_X509 = 2,   /* RSA identity, by itself */
	CERTS_AUTH_X509 = 3, /* RSA authentication key, by the RSA identity */
	CERTS_ED_SIGNING = 4,
	CERTS_ED_LINK = 5,
	CERTS_ED_AUTH = 6,
	CERTS_RSA_ED_CROSS = 7,
	N_CERTS_TYPES
};

/* Types inside Ed25519 certificates that stand outside of CERTS. */
enum {
	CERT_HS_SIGNING = 8,
	CERT_HS_AUTH = 9,
	CERT_NTOR_ID = 10,
	CERT_HS_ENC = 11,
	CERT_FAMILY = 12
};
enum { CERT_KEY_ED25519 = 1, CERT_KEY_SHA256_RSA = 2, CERT_KEY_SHA256_X509 = 3 };

#define ED_CERT_MAX	   255 /* more than any that we write */
#define ED_CERT_EXT_SIGNER 4
#define ED_CERT_BASE	   40 /* bytes before the extensions */
#define ED_SIG		   64

struct ed_cert {
	uint8_t type, key_type;
	uint32_t expires_h; /* hours since 1970 */
	uint8_t key[32];    /* that is certified */
	bool has_signer;
	uint8_t signer[32]; /* the key that signed, when carried */
	struct bytes body;  /* what is signed; borrowed */
	const uint8_t *sig; /* ED_SIG bytes; borrowed */
};
/* Parses the whole of p. 0, or ERR_MALFORMED: wrong version, bytes left over or missing, a
 * repeated signer, or an unknown extension that affects validation (cert-spec section 2.1). */
int ed_cert_parse(struct ed_cert *c, const uint8_t *p, size_t len);
/* Writes all but the signature, expiry rounded up to the hour; signer may be NULL. The signature
 * goes behind it. */
void ed_cert_write(struct writer *w, uint8_t type, uint8_t key_type, const uint8_t key[32],
		   int64_t expires_s, const uint8_t *signer);

/* The RSA identity's word for an Ed25519 identity (cert-spec section 2.3). */
struct rsa_ed_cross {
	uint8_t ed_id[32];
	uint32_t expires_h;
	struct bytes signed_part; /* key and expiry; borrowed */
	struct bytes sig;
};
#define RSA_ED_CROSS_PREFIX "Tor TLS RSA/Ed25519 cross-certificate"
int rsa_ed_cross_parse(struct rsa_ed_cross *c, const uint8_t *p, size_t len);

/* The body of CERTS: those of types below N_CERTS_TYPES by type, p NULL when absent. Unknown types
 * are passed over; a type that comes twice sets dup. Bytes behind the last are ignored, as C tor
 * does. */
struct certs_body {
	struct bytes cert[N_CERTS_TYPES];
	uint32_t dup; /* mask of types */
};
int certs_parse(struct certs_body *c, const uint8_t *p, size_t len);
/* Writes those of the listed types, in that order. */
void certs_write(struct writer *w, const struct bytes cert[N_CERTS_TYPES], const uint8_t *types,
		 unsigned n_types);

/* The highest link protocol that a VERSIONS body shares with the mask (bit v: version v); 0 when
 * none; ERR_MALFORMED when the body has an odd length. */
int versions_pick(const uint8_t *p, size_t len, uint32_t mask);

#define AUTH_METHOD_ED25519 3 /* Ed25519-SHA256-RFC5705 */
#define AUTH_CHALLENGE_LEN  32
/* 1 when the AUTH_CHALLENGE body lists the method, 0 when not, or ERR_MALFORMED. */
int auth_challenge_has(const uint8_t *p, size_t len, uint16_t method);
void auth_challenge_write(struct writer *w, const uint8_t challenge[AUTH_CHALLENGE_LEN]);

/* The body of AUTHENTICATE method 3 (tor-spec section 4.4.2), as it is signed. */
#define AUTH_PREFIX    "AUTH0003"
#define AUTH_FIXED_LEN (8 + 8 * 32) /* what both sides can compute */
#define AUTH_BODY_LEN  (AUTH_FIXED_LEN + 24)
struct auth_fields {
	uint8_t cid[32], sid[32]; /* SHA-256 of the RSA identities, initiator and responder */
	uint8_t cid_ed[32], sid_ed[32];
	uint8_t slog[32], clog[32]; /* SHA-256 of what responder and initiator sent */
	uint8_t scert[32];	    /* SHA-256 of the TLS certificate */
	uint8_t tls_secrets[32];
};
void auth_fixed_write(struct writer *w, const struct auth_fields *f);
/* Method and authenticator inside a cell's payload. 0 or ERR_MALFORMED when truncated. */
int authenticate_parse(const uint8_t *p, size_t len, uint16_t *method, struct bytes *body);

#define NETINFO_ADDRS 84 /* as many as fit a cell */
struct netinfo {
	uint32_t time_s;   /* 0: not told */
	struct addr other; /* of the receiver, as the sender sees it; port 0 */
	unsigned n_mine;
	struct addr mine[NETINFO_ADDRS];
};
/* 0, or ERR_MALFORMED when cut short or when the other-address is no IPv4 or IPv6 address; own
 * addresses of unknown types are passed over (tor-spec section 4.5). */
int netinfo_parse(struct netinfo *n, const uint8_t *p, size_t len);
void netinfo_write(struct writer *w, const struct netinfo *n);

#endif
