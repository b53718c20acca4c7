/* pace.h - the loop around worker_turn. */
#ifndef RAMSON_PACE_H
#define RAMSON_PACE_H

#include "dataplane/worker/worker.h"

/* CLOCK_MONOTONIC in microseconds. */
uint64_t clock_us(void);
/* After each turn: whether cells have passed. */
void pace_look(struct worker *w);
/* How long a worker that has nothing to do sleeps at most: shorter while cells wait, and for a
 * while behind the last that passed, because a port without descriptor wakes nobody. */
unsigned pace_nap_us(const struct worker *w);
/* Turns until plane->stop or a SHUTDOWN is carried out. */
void worker_run(struct worker *w);

#endif
