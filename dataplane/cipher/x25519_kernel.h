/* x25519_kernel.h - what x25519.c and its kernel share: eight numbers side by side. */
#ifndef RAMSON_CIPHER_X25519_KERNEL_H
#define RAMSON_CIPHER_X25519_KERNEL_H

#include "dataplane/cipher/x25519.h"

#define X25519_GROUPS 4 /* of eight, taken together at most: they share an inversion */

/* n groups, 1 to X25519_GROUPS. Word i of number j stands in [i][j] of its group, least significant
 * word first. Scalars are clamped. */
void x25519_ifma(uint64_t (*out)[4][X25519_LANES], const uint64_t (*k)[4][X25519_LANES],
		 const uint64_t (*u)[4][X25519_LANES], unsigned n);
void x25519_base_ifma(uint64_t (*out)[4][X25519_LANES], const uint64_t (*k)[4][X25519_LANES],
		      unsigned n, const struct x25519_table *t);
void x25519_table_ifma(struct x25519_table *t);

#endif
