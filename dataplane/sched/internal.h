/* internal.h - between the files of sched/: the heap of waiting legs and their weights. */
#ifndef RAMSON_SCHED_INTERNAL_H
#define RAMSON_SCHED_INTERNAL_H

#include "dataplane/sched/sched.h"

/* A leg that is not in its conn's heap enters it; one that is leaves it. The root is the leg that
 * has sent least. */
void heap_add(struct sched *s, uint32_t conn, uint32_t leg);
void heap_remove(struct sched *s, uint32_t conn, uint32_t leg);
/* What one cell sent now weighs. May move the epoch and scale all legs. */
double ewma_weight(struct sched *s, uint64_t now_us);
/* Takes the half-life that is set. */
void ewma_half_life(struct sched *s);

#endif
