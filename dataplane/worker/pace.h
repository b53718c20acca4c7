/* pace.h - the loop around worker_turn. */
#ifndef RAMSON_PACE_H
#define RAMSON_PACE_H

#include "dataplane/worker/worker.h"

/* CLOCK_MONOTONIC in microseconds. */
uint64_t clock_us(void);
/* Turns until plane->stop or a SHUTDOWN is carried out. */
void worker_run(struct worker *w);

#endif
