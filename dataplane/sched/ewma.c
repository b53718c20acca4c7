/* ewma.c - the circuit that has sent least of late goes first (interop C10). Instead of decaying
 * all counts, a cell sent later weighs more: weights double each half-life, so nobody's rank
 * changes with time alone. */
#include "dataplane/sched/internal.h"

#include <math.h>

#define RESCALE_HALVES 64 /* long before a float overflows; half an hour of 30 s each */

/* A power of two keeps the order exactly; a very old count fades to zero. */
static void rescale(struct sched *s, uint64_t times)
{
	int by = -(int)MIN(times * RESCALE_HALVES, 1u << 20);

	for (uint32_t i = 0; i < s->n_legs; i++)
		s->leg[i].sent = ldexp(s->leg[i].sent, by);
	for (uint32_t i = 0; i < s->n_conns; i++)
		heap_renew(s, i);
	s->epoch_us += times * RESCALE_HALVES * (uint64_t)s->half_ms * 1000;
}

/* What a cell weighs stays as it is, and doubles at another pace from here on. */
void ewma_half_life(struct sched *s, uint64_t now_us)
{
	double halves = (double)(now_us - s->epoch_us) * s->halves_a_us;

	s->half_ms = MAX(s->cf.params[CTL_PARAM_EWMA_HALFLIFE_MS], 1);
	s->halves_a_us = 1e-3 / (double)s->half_ms;
	s->epoch_us = now_us - (uint64_t)(halves / s->halves_a_us);
}

double ewma_weight(struct sched *s, uint64_t now_us)
{
	uint64_t times;

	if (LIKELY(now_us == s->weight_us))
		return s->weight;
	s->weight_us = now_us;
	if (UNLIKELY(s->half_ms != MAX(s->cf.params[CTL_PARAM_EWMA_HALFLIFE_MS], 1)))
		ewma_half_life(s, now_us);
	times = (now_us - s->epoch_us) / ((uint64_t)s->half_ms * 1000 * RESCALE_HALVES);
	if (UNLIKELY(times))
		rescale(s, times);
	s->weight = exp2((double)(now_us - s->epoch_us) * s->halves_a_us);
	return s->weight;
}
