/* internal.h - what the files of cipher/ share: the library, and the kernels to choose from. */
#ifndef RAMSON_CIPHER_INTERNAL_H
#define RAMSON_CIPHER_INTERNAL_H

#include <intel-ipsec-mb.h>

#include "dataplane/cipher/cipher.h"

/* Kernels of struct cipher's table. The ones named after an instruction set must run only where
 * cipher_init has seen it. */
void ctr_portable(const struct cipher *c, const struct aes_ctr *s, uint8_t *dst, const uint8_t *src,
		  size_t len);
void ctr_vaes(const struct cipher *c, const struct aes_ctr *s, uint8_t *dst, const uint8_t *src,
	      size_t len);
void sha1_blocks_portable(uint32_t h[5], const uint8_t *p, size_t n_blocks);
void sha1_blocks_x2_portable(uint32_t *h[2], const uint8_t *p[2], size_t n_blocks);
void sha1_blocks_ni(uint32_t h[5], const uint8_t *p, size_t n_blocks);
void sha1_blocks_x2_ni(uint32_t *h[2], const uint8_t *p[2], size_t n_blocks);
void sha1_lanes_avx512(struct sha1_lanes *l);

/* Sixteen streams, a cell each: the data blocks of a lane, then those that close its digest. All
 * pointers are valid, also those of lanes and blocks that are not used. */
#define SHA1_LANES	 16
#define SHA1_LANE_BLOCKS 10
struct sha1_lanes {
	const uint8_t *block[SHA1_LANE_BLOCKS][SHA1_LANES];
	uint8_t n_data[SHA1_LANES], n_all[SHA1_LANES];
	uint32_t h[5][SHA1_LANES];   /* in: the state; out: after the data */
	uint32_t end[5][SHA1_LANES]; /* out: after all: the digest */
};

#endif
