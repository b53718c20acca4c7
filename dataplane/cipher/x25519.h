/* x25519.h - X25519 in bulk (RFC 7748): many scalars and points at once, for whoever answers
 * handshakes. Apart from cipher.h, because only control needs it. */
#ifndef RAMSON_X25519_H
#define RAMSON_X25519_H

#include "dataplane/base/base.h"

#define X25519_LEN	 32
#define X25519_LANES	 8
#define X25519_DOUBLINGS 252 /* of the base point: the bits of a scalar above its cofactor */

struct x25519_table { /* multiples of the base point, public */
	uint64_t start[5], mu[X25519_DOUBLINGS][5];
};
/* Read-only after x25519_init: threads share it. */
struct x25519 {
	bool lanes;	  /* eight at a time; else OpenSSL, one by one */
	const char *name; /* for a log line */
	struct x25519_table table;
};
enum { X25519_PORTABLE = 1 }; /* flags: leave the kernel out (tests) */
void x25519_init(struct x25519 *x, unsigned flags);

/* n independent products: out[i] = secret[i] times point[i]. Any n; it pays from two on. out may be
 * where the points are, and secrets need not be clamped. Constant time, and what was known of
 * secrets is wiped. out[i] is all zero where the point is of low order (or, without lanes, OpenSSL
 * fails): to be refused by the caller.
 */
void x25519_many(const struct x25519 *x, uint8_t (*out)[X25519_LEN],
		 const uint8_t (*secret)[X25519_LEN], const uint8_t (*point)[X25519_LEN],
		 unsigned n);
/* The same with the base point: public keys. 0, or ERR_CRYPTO when OpenSSL fails. */
int x25519_public(const struct x25519 *x, uint8_t (*out)[X25519_LEN],
		  const uint8_t (*secret)[X25519_LEN], unsigned n);

#endif
