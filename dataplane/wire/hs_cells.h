/* hs_cells.h - relay messages of onion services that a relay reads and writes (rend-spec sections
 * 3 and 4). Pure codecs. */
#ifndef RAMSON_WIRE_HS_CELLS_H
#define RAMSON_WIRE_HS_CELLS_H

#include "dataplane/base/base.h"

#define HS_AUTH_ED25519	 2
#define HS_COOKIE_LEN	 20
#define HS_INTRODUCE_MAX 490 /* longest INTRODUCE1 passed on (interop O4) */
#define HS_SIG_PREFIX	 "Tor establish-intro cell v1"

/* What the DoS extension of ESTABLISH_INTRO asks for (rend-spec section 3.1.1.1, interop O2): how
 * many INTRODUCE2 a second, and at once. */
enum hs_limit_said {
	HS_LIMIT_NONE, /* nothing that could be read: the consensus decides */
	HS_LIMIT_OFF,  /* no limit: asked for, or of senseless numbers */
	HS_LIMIT_ON,
};
struct hs_limit {
	uint8_t said;	      /* enum hs_limit_said */
	uint32_t rate, burst; /* with HS_LIMIT_ON; 1 to INT32_MAX, burst at least rate */
};

struct establish_intro {
	uint8_t auth_key[32];
	uint8_t mac[32];
	uint8_t sig[64];
	struct bytes maced;	  /* what the MAC covers: from the start to it */
	struct bytes signed_part; /* what the signature covers, behind HS_SIG_PREFIX */
	struct hs_limit limit;
};
/* 0, or ERR_MALFORMED: not of key type 2, wrong key or signature length, truncated. Extensions of
 * unknown types are passed over. */
int establish_intro_get(struct establish_intro *e, const uint8_t *p, size_t len);

/* INTRODUCE1: whom it is for; the rest stays as it is. */
struct introduce1 {
	uint8_t auth_key[32];
};
/* 0, or ERR_MALFORMED: too long, legacy key id, other key type, truncated, nothing encrypted. */
int introduce1_get(struct introduce1 *i, const uint8_t *p, size_t len);

enum introduce_status { INTRODUCE_OK = 0, INTRODUCE_UNKNOWN = 1, INTRODUCE_BAD_FORMAT = 2 };
#define INTRODUCE_ACK_LEN 3
/* Writes INTRODUCE_ACK_LEN bytes: status, no extensions. */
void introduce_ack_put(uint8_t *to, enum introduce_status status);

struct rendezvous1 {
	const uint8_t *cookie; /* HS_COOKIE_LEN bytes */
	struct bytes body;     /* what RENDEZVOUS2 carries */
};
/* 0 or ERR_MALFORMED when it is shorter than a cookie. */
int rendezvous1_get(struct rendezvous1 *r, const uint8_t *p, size_t len);

#endif
