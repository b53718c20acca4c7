/* compress.h - the content encodings of directory answers (dir-spec section 6.1), as streams both
 * ways, and whole bodies with a cap on what may come out. */
#ifndef RAMSON_DIR_COMPRESS_H
#define RAMSON_DIR_COMPRESS_H

#include "dataplane/base/base.h"

enum encoding { ENC_IDENTITY, ENC_DEFLATE, ENC_GZIP, ENC_ZSTD, ENC_LZMA, N_ENCODINGS };

/* As in Content-Encoding. */
const char *encoding_name(enum encoding e);
/* The encoding of this name, N_ENCODINGS when unknown. */
enum encoding encoding_find(struct bytes name);

/* ---- a stream of one encoding ---- */
struct packer;
enum packer_way { UNPACK, PACK, PACK_SMALL /* slow and small: for what is kept */, N_PACKER_WAYS };
/* NULL when memory is short. */
struct packer *packer_new(enum encoding e, enum packer_way way);
void packer_free(struct packer *p);
/* Takes from *in (advancing it) and writes to *out (advancing it). last: nothing comes after *in.
 * 1: the stream is at its end; 0: give more input or room; ERR_MALFORMED. */
int packer_step(struct packer *p, struct bytes *in, bool last, struct writer *out);

/* Bytes that all streams of that way hold now. */
size_t packers_memory(enum packer_way way);

/* ---- whole bodies ---- */
/* Packs or unpacks all of p into *out (malloc, for free; NUL behind it, not counted). Unpacking
 * takes streams that follow each other, and stops with ERR_FULL beyond max bytes or when more than
 * 5 MB are out at over 25 times the input (D22). 0, ERR_FULL, ERR_MALFORMED. */
int pack_all(enum encoding e, enum packer_way way, const uint8_t *p, size_t len, size_t max,
	     uint8_t **out, size_t *out_len);

#endif
