/* micro.h - ns per operation of primitives and of stages of the walk: rows are functions that do n
 * operations; the frame around them times the best of many short runs. */
#ifndef RAMSON_MICRO_H
#define RAMSON_MICRO_H

#include "dataplane/base/base.h"
#include "dataplane/cipher/cipher.h"

struct row {
	const char *name, *what; /* what one operation is */
	uint64_t size;		 /* of the working set, as the row understands it */
	double limit_ns;	 /* what the hardware allows on a Zen 4 at 3.68 GHz; 0: not known */
	void *(*make)(uint64_t size);
	void (*run)(void *state, unsigned n);
};
extern const struct row cipher_rows[], stage_rows[], control_rows[]; /* end with a NULL name */

struct cipher *micro_cipher(void);
/* Random bytes, the same in every run. */
void micro_fill(void *p, size_t len);
void *micro_new(size_t n, size_t size);

#endif
