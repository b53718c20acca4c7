/* limit.c - how many introductions a service is sent: what its ESTABLISH_INTRO asked for, or the
 * consensus (interop O2, X8). A bucket as C tor's, to the token. */
#include "controlplane/hs/internal.h"

struct limit {
	bool on;
	uint64_t rate, burst;
};

static struct limit limit_of(const struct hs *hs, const struct hs_leg *leg)
{
	if (leg->limit.said == HS_LIMIT_NONE)
		return (struct limit) {hs->set.intro_defence, hs->set.intro_rate,
				       hs->set.intro_burst};
	return (struct limit) {leg->limit.said == HS_LIMIT_ON, leg->limit.rate, leg->limit.burst};
}

void hs_limit_start(const struct hs *hs, struct hs_leg *leg)
{
	leg->tokens = (uint32_t)limit_of(hs, leg).burst;
	leg->refilled_s = hs->now_s;
}

bool hs_limit_allows(const struct hs *hs, struct hs_leg *leg)
{
	struct limit l = limit_of(hs, leg);
	uint64_t elapsed_s = (uint64_t)MIN(MAX(hs->now_s - leg->refilled_s, 0), INT32_MAX);

	if (!l.on)
		return true;
	leg->tokens = (uint32_t)MIN(l.burst, leg->tokens + l.rate * elapsed_s);
	leg->refilled_s = hs->now_s;
	if (leg->tokens)
		leg->tokens--;
	return leg->tokens != 0; /* the last one is not given out */
}

/* A burst that shrank takes tokens away, one that grew gives none. */
void hs_configure(struct hs *hs, const struct hs_settings *s)
{
	hs->set = *s;
	for (uint32_t i = 0; i < hs->services.n_buckets; i++)
		for (struct hs_leg *leg = hs->services.buckets[i]; leg; leg = leg->next)
			leg->tokens = (uint32_t)MIN(leg->tokens, limit_of(hs, leg).burst);
}
