/* buckets.c - the bytes that links may read and write: token buckets shared by all workers. */
#include "dataplane/worker/worker.h"

#define REFILL_US     1000ull
#define REFILL_MAX_US 1000000ull /* a stall longer than this earns no more */

/* The buckets are shared; worker 0 fills them. Only traffic of links and exits is counted. */
void buckets_refill(struct worker *w)
{
	int64_t rate = w->params[CTL_PARAM_RATE], burst = w->params[CTL_PARAM_BURST];
	uint64_t us = MIN(w->now_us - w->refill_us, REFILL_MAX_US);

	if (w->index != 0 || us < REFILL_US)
		return;
	if (w->params[CTL_PARAM_RELAY_RATE] && w->params[CTL_PARAM_RELAY_RATE] < rate) {
		rate = w->params[CTL_PARAM_RELAY_RATE];
		burst = w->params[CTL_PARAM_RELAY_BURST];
	}
	if (!rate)
		rate = burst = PARAM_MAX;
	w->refill_us = w->now_us;
	for (int i = 0; i < 2; i++) {
		int64_t *left = &w->plane->bucket.left[i];
		int64_t now =
			__atomic_add_fetch(left, rate * (int64_t)us / 1000000, __ATOMIC_RELAXED);

		if (now > burst)
			__atomic_sub_fetch(left, now - burst, __ATOMIC_RELAXED);
	}
}
