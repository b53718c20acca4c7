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
void sha1_cells_x16(struct sha1 *const *s, const uint8_t *const *payload,
		    uint8_t (*digest)[SHA1_LEN], unsigned n);

/* What uiv.c chooses from. hash: POLYVAL of whole blocks. */
struct uiv_kernel {
	const char *name;
	void (*powers)(uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN], const uint8_t key[POLYVAL_LEN]);
	void (*hash)(const uint8_t powers[POLYVAL_POWERS][POLYVAL_LEN], const uint8_t *blocks,
		     size_t n, uint8_t out[POLYVAL_LEN]);
	void (*init)(const struct cipher *c, struct uiv *u, const uint8_t keys[UIV_KEYS]);
	void (*encrypt)(const struct cipher *c, const struct uiv_cell *cells, unsigned n);
	void (*decrypt)(const struct cipher *c, const struct uiv_cell *cell);
	void (*update)(const struct cipher *c, struct uiv *const *u, unsigned n);
};
extern const struct uiv_kernel uiv_portable, uiv_ni, uiv_wide;

/* Of a payload's two parts the right one; the bytes of key stream behind its share. */
#define UIV_RIGHT (RELAY_PAYLOAD - UIV_TAG)
#define UIV_T1	  31 /* the block at which an update's key stream begins */

#endif
