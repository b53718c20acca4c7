/* micro.h - ns per operation of primitives and of stages of the walk: rows are functions that do n
 * operations; the frame around them times the best of many short runs. */
#ifndef RAMSON_MICRO_H
#define RAMSON_MICRO_H

#include "dataplane/base/base.h"
#include "dataplane/cipher/cipher.h"

struct row {
	const char *name, *what; /* what one operation is */
	uint64_t size;		 /* of the working set, as the row understands it */
	double limit_ns; /* what the hardware allows, on a Zen 4 at 3.68 GHz; 0: not known */
	/* NULL: cannot be had here. Rows that stand behind each other with the same make and size
	 * share what it made. */
	void *(*make)(uint64_t size);
	void (*run)(void *state, unsigned n);
	/* In place of run, for a stage that cannot run without others: does n operations and gives
	 * the time stamp cycles of its own part. */
	uint64_t (*part)(void *state, unsigned n);
};
/* They end with a NULL name. */
extern const struct row cipher_rows[], stage_rows[], stream_rows[], port_rows[], control_rows[];

struct cipher *micro_cipher(void);
/* Random bytes, the same in every run. */
void micro_fill(void *p, size_t len);
void *micro_new(size_t n, size_t size);
/* DPDK, on the core where we are; started once. False: it does not start, err says why. */
bool micro_eal(void);

/* ---- walk.c: the sum over a relayed cell ---- */
struct took {
	const char *name;
	uint64_t size;
	double ns;
};
/* Of a row that was measured in this run; negative: it was not. */
double micro_took(const char *name, uint64_t size);
/* Frames of data, and of acknowledgements, for one cell; from stream.c. */
void stream_frames(double *data, double *acks);
void walk_print(bool json);

/* ---- machine.c ---- */
/* Needs a second core; prints nothing where there is none. */
void machine_print(bool json);

#endif
