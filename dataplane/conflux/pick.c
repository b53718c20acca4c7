/* pick.c - over which leg the next message goes: one row for each policy, and the SWITCH that tells
 * the client. As in C tor a leg may be changed with every message: cfx_send_pct and cfx_drain_pct
 * are of no effect there either (interop section 3.2). */
#include "dataplane/conflux/internal.h"

/* Of the legs with a known round trip the quickest; ready: of those with room. */
static unsigned quickest(const struct cfx_set *s, const struct cfx_view view[CFX_LEGS], bool ready)
{
	unsigned best = CFX_NONE;

	for (unsigned i = 0; i < CFX_LEGS; i++) {
		if (!s->leg[i].circ || !view[i].rtt_us || (ready && !view[i].room))
			continue;
		if (best == CFX_NONE || view[i].rtt_us < view[best].rtt_us)
			best = i;
	}
	return best;
}

/* One leg, the quickest, or none. */
static unsigned minrtt(const struct cfx_set *s, const struct cfx_view view[CFX_LEGS])
{
	unsigned i = quickest(s, view, false);

	return i != CFX_NONE && view[i].room ? i : CFX_NONE;
}

static unsigned lowrtt(const struct cfx_set *s, const struct cfx_view view[CFX_LEGS])
{
	return quickest(s, view, true);
}

static unsigned (*const policies[])(const struct cfx_set *, const struct cfx_view[CFX_LEGS]) = {
	[CFX_MINRTT] = minrtt,
	[CFX_LOWRTT] = lowrtt,
};

/* Where a set begins: its quickest leg, or its first when BEGIN was faster than any ACK. */
static unsigned first_leg(const struct cfx_set *s, const struct cfx_view view[CFX_LEGS])
{
	unsigned i = quickest(s, view, false);

	if (i != CFX_NONE)
		return i;
	for (i = 0; i < CFX_LEGS && !s->leg[i].circ; i++)
		;
	return i;
}

unsigned cfx_pick(struct conflux *c, uint32_t set, const struct cfx_view view[CFX_LEGS], bool data,
		  bool *switched, uint32_t *delta)
{
	struct cfx_set *s = &c->set[set];
	unsigned i;
	uint64_t ahead;

	*switched = false;
	*delta = 0;
	if (s->current == CFX_NONE)
		s->current = (uint8_t)first_leg(s, view);
	if (s->current == CFX_NONE)
		return CFX_BROKEN; /* no leg at all */
	i = policies[s->policy](s, view);
	if (i == CFX_NONE)
		return data ? CFX_WAIT : s->current;
	if (i == s->current)
		return i;
	ahead = s->leg[s->current].sent - s->leg[i].sent;
	if (s->leg[i].sent > s->leg[s->current].sent || ahead >= UINT32_MAX) {
		count(c->counts, conflux_incoherent);
		return CFX_BROKEN;
	}
	s->leg[i].sent = s->leg[s->current].sent;
	s->current = (uint8_t)i;
	*switched = true;
	*delta = (uint32_t)ahead;
	count(c->counts, conflux_switches);
	return i;
}
