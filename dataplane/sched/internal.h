/* internal.h - between the files of sched/: the heaps of waiting legs, and weights. */
#ifndef RAMSON_SCHED_INTERNAL_H
#define RAMSON_SCHED_INTERNAL_H

#include "dataplane/sched/sched.h"

/* Room for n waiting legs of a conn; ERR_FULL without memory. */
int heap_reserve(struct sched_conn *c, uint32_t n);
/* A leg that is not in its conn's heap enters it, for which there is room; one that is leaves it.
 * The root is the leg that has sent least. */
void heap_add(struct sched *s, uint32_t conn, uint32_t leg);
void heap_remove(struct sched *s, uint32_t conn, uint32_t leg);
/* A leg in the heap has sent more. */
void heap_sink(struct sched *s, uint32_t conn, uint32_t leg);
/* All that its legs have sent was scaled, their order kept. */
void heap_renew(struct sched *s, uint32_t conn);
/* What one cell sent now weighs. May move the epoch and scale all legs. */
double ewma_weight(struct sched *s, uint64_t now_us);
/* Takes the half-life that is set. */
void ewma_half_life(struct sched *s, uint64_t now_us);

#endif
