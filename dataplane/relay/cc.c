/* cc.c - congestion control of a circuit as its edge (proposal 324, TOR_VEGAS; interop F5, F6). How
 * long cells wait on their way is read off the round-trip time: the window minus what the path
 * holds without waiting is what waits. It is looked at when a SENDME comes, and never per cell. */
#include "dataplane/relay/internal.h"

#define CLOCK_JUMP 5000 /* a round trip so many times another: the clock, not the network */

/* A parameter within bounds that the arithmetic below can bear, whatever control says. */
static uint32_t param(const struct relay *r, enum ctl_param_id id, int64_t min, int64_t max)
{
	return (uint32_t)MIN(MAX(r->params[id], min), max);
}

/* cc_cwnd_max, and no more than there can be tags for. */
static uint32_t cwnd_max(const struct relay *r, const struct relay_window *w)
{
	return MIN(param(r, CTL_PARAM_CC_CWND_MAX, 500, INT32_MAX),
		   (uint32_t)RELAY_TAGS_MAX * w->inc);
}

/* SENDMEs in a window, and from one look at it to the next; rounded. */
static uint32_t acks_a_window(const struct relay_window *w, const struct relay_cc *c)
{
	return (c->cwnd + w->inc / 2) / w->inc;
}
static uint32_t acks_a_look(const struct relay_window *w, const struct relay_cc *c)
{
	uint32_t step = (uint32_t)c->inc_rate * w->inc;

	return c->slow_start ? 1 : (c->cwnd + step / 2) / step;
}

void cc_start(struct relay *r, uint32_t circ)
{
	struct relay_window *w = &r->window[circ];
	struct relay_cc *c = &r->cc[circ];

	*c = (struct relay_cc) {
		.slow_start = 1,
		.next_update = 1,
		.ss_cap = param(r, CTL_PARAM_CC_SS_CAP, 1, INT32_MAX),
		.ss_max = param(r, CTL_PARAM_CC_SS_MAX, 500, INT32_MAX),
		.alpha = param(r, CTL_PARAM_CC_VEGAS_ALPHA, 0, INT32_MAX),
		.beta = param(r, CTL_PARAM_CC_VEGAS_BETA, 0, INT32_MAX),
		.gamma = param(r, CTL_PARAM_CC_VEGAS_GAMMA, 0, INT32_MAX),
		.delta = param(r, CTL_PARAM_CC_VEGAS_DELTA, 0, INT32_MAX),
		.cwnd_min = (uint16_t)param(r, CTL_PARAM_CC_CWND_MIN, w->inc, UINT16_MAX),
		.cwnd_inc = (uint16_t)param(r, CTL_PARAM_CC_CWND_INC, 1, UINT16_MAX),
		.inc_pct_ss = (uint16_t)param(r, CTL_PARAM_CC_CWND_INC_PCT_SS, 1, UINT16_MAX),
		.inc_rate = (uint8_t)param(r, CTL_PARAM_CC_CWND_INC_RATE, 1, UINT8_MAX)};
	/* a window below one increment would never hear of a SENDME */
	w->limit = c->cwnd =
		MIN(param(r, CTL_PARAM_CC_CWND_INIT, w->inc, INT32_MAX), cwnd_max(r, w));
	count(r->counts, relay_cc_circuits);
}

uint64_t relay_ewma(uint64_t now, uint64_t before, uint64_t n)
{
	return before ? (2 * now + (n - 1) * before) / (n + 1) : now;
}

/* Over so many SENDMEs the round-trip time is averaged. */
static uint64_t ewma_span(const struct relay *r, const struct relay_window *w,
			  const struct relay_cc *c)
{
	uint64_t pct = param(r, CTL_PARAM_CC_EWMA_CWND_PCT, 0, UINT8_MAX), n;

	if (c->slow_start)
		n = param(r, CTL_PARAM_CC_EWMA_SS, 2, INT32_MAX);
	else
		n = MIN(acks_a_look(w, c) * pct / 100,
			(uint64_t)param(r, CTL_PARAM_CC_EWMA_MAX, 2, INT32_MAX));
	return MAX(n, 2ull);
}

/* Whether a round trip says more of the clock than of the network. One that took no time is sure;
 * one that is far from the average is believed to be so only when there is an average, and a far
 * shorter one only while the clock is known to stand. */
static bool clock_doubt(struct relay *r, const struct relay_cc *c, uint64_t rtt)
{
	if (!rtt) {
		r->clock_bad = true;
		return true;
	}
	if (c->slow_start || !c->rtt_us)
		return false;
	if (c->rtt_us > rtt * CLOCK_JUMP)
		return r->clock_bad;
	if (rtt > c->rtt_us * CLOCK_JUMP)
		return true;
	r->clock_bad = false;
	return false;
}

/* The least round trip is that of an empty path. At the smallest window it is taken anew: else one
 * that was too short for once would hold the window there. */
static void min_rtt_look(struct relay *r, struct relay_cc *c)
{
	uint64_t pct = param(r, CTL_PARAM_CC_RTT_RESET_PCT, 0, 100);
	uint64_t more = MAX(c->rtt_us, c->min_rtt_us), less = MIN(c->rtt_us, c->min_rtt_us);

	if (!c->min_rtt_us) {
		c->min_rtt_us = c->rtt_us;
	} else if (c->cwnd == c->cwnd_min && !c->slow_start) {
		c->min_rtt_us = pct * more / 100 + (100 - pct) * less / 100;
		count(r->counts, relay_cc_rtt_reset);
	} else {
		c->min_rtt_us = less;
	}
}

/* The round trip of this SENDME goes into the averages. False when the clock is in doubt. */
static bool rtt_take(struct relay *r, const struct relay_window *w, struct relay_cc *c,
		     const struct relay_ack *a)
{
	uint64_t rtt = a->now_us - a->sent_us;

	if (clock_doubt(r, c, rtt)) {
		count(r->counts, relay_cc_clock);
		return false;
	}
	c->rtt_us = relay_ewma(rtt, c->rtt_us, ewma_span(r, w, c));
	min_rtt_look(r, c);
	return true;
}

/* No round trip was ever measured: the window stands for what the path holds, less what waits here
 * already. */
static void bdp_untimed(struct relay_cc *c, struct relay_queue q)
{
	c->blocked = q.blocked;
	c->bdp = c->cwnd;
	if (q.blocked)
		c->bdp = MAX(c->cwnd > q.n ? c->cwnd - q.n : 0, (uint32_t)c->cwnd_min);
}

/* False when this SENDME has told nothing. */
static bool bdp_take(struct relay_cc *c, struct relay_queue q, bool timed)
{
	if (!c->rtt_us) {
		bdp_untimed(c, q);
		return q.blocked;
	}
	c->bdp = c->cwnd * c->min_rtt_us / c->rtt_us;
	if (c->blocked != q.blocked) { /* news of our own queue are acted on at once */
		c->blocked = q.blocked;
		c->next_update = 0;
	}
	return q.blocked || timed;
}

/* The gap bears with SENDMEs that came together, before the streams could use what they opened. */
static void full_look(const struct relay *r, const struct relay_window *w, struct relay_cc *c)
{
	uint64_t gap = param(r, CTL_PARAM_CC_FULL_GAP, 0, INT16_MAX) * (uint64_t)w->inc;
	uint64_t pct = param(r, CTL_PARAM_CC_FULL_MIN_PCT, 0, 100);

	if (w->in_flight + gap >= c->cwnd)
		c->full = 1;
	else if (100ull * w->in_flight < pct * c->cwnd)
		c->full = 0;
}

/* Limited slow start (RFC 3742). */
static uint32_t slow_start_step(const struct relay_window *w, const struct relay_cc *c)
{
	uint64_t step;

	if (c->cwnd <= c->ss_cap)
		return ((uint32_t)c->inc_pct_ss * w->inc + 50) / 100;
	step = ((uint64_t)w->inc * c->ss_cap + c->cwnd) / (2ull * c->cwnd);
	return step ? (uint32_t)step : 1;
}

static void slow_start_end(struct relay *r, struct relay_cc *c)
{
	c->slow_start = 0;
	count(r->counts, relay_cc_ss_exit);
}

static void slow_start(struct relay *r, struct relay_window *w, struct relay_cc *c,
		       uint64_t waiting)
{
	if (waiting >= c->gamma || c->blocked) {
		c->cwnd = (uint32_t)MIN(c->bdp + c->gamma, (uint64_t)INT32_MAX);
		c->cwnd = MAX(c->cwnd, (uint32_t)c->cwnd_min);
		slow_start_end(r, c);
	} else if (c->full) {
		uint32_t step = slow_start_step(w, c);

		c->cwnd += step;
		/* not faster than steady state any more */
		if ((uint64_t)step * acks_a_window(w, c) <= (uint64_t)c->cwnd_inc * c->inc_rate)
			slow_start_end(r, c);
	}
	if (c->cwnd >= c->ss_max) {
		c->cwnd = c->ss_max;
		if (c->slow_start)
			slow_start_end(r, c);
		count(r->counts, relay_cc_ss_max);
	}
}

static void steady(struct relay *r, struct relay_cc *c, uint64_t waiting)
{
	int64_t limit = c->cwnd;

	if (waiting > c->delta) {
		limit = (int64_t)c->bdp + c->delta - c->cwnd_inc;
		count(r->counts, relay_cc_delta);
	} else if (waiting > c->beta || c->blocked) {
		limit -= c->cwnd_inc;
	} else if (c->full && waiting < c->alpha) {
		limit += c->cwnd_inc;
	}
	c->cwnd = (uint32_t)MIN(MAX(limit, (int64_t)c->cwnd_min), (int64_t)INT32_MAX);
}

/* What this SENDME has measured goes into the window; in_flight still holds its cells. */
static void vegas(struct relay *r, struct relay_window *w, struct relay_cc *c)
{
	uint64_t waiting = c->cwnd > c->bdp ? c->cwnd - c->bdp : 0;
	bool again;

	full_look(r, w, c);
	if (c->slow_start)
		slow_start(r, w, c, waiting);
	else if (!c->next_update)
		steady(r, c, waiting);
	if (!c->next_window)
		c->next_window = acks_a_window(w, c);
	if (!c->next_update)
		c->next_update = acks_a_look(w, c);
	if (r->params[CTL_PARAM_CC_FULL_PER_CWND])
		again = c->next_window == acks_a_window(w, c);
	else
		again = c->next_update == acks_a_look(w, c);
	if (again)
		c->full = 0;
}

void cc_acked(struct relay *r, uint32_t circ, const struct relay_ack *a)
{
	struct relay_window *w = &r->window[circ];
	struct relay_cc *c = &r->cc[circ];
	bool timed;

	c->next_update -= c->next_update != 0;
	c->next_window -= c->next_window != 0;
	timed = rtt_take(r, w, c, a);
	if (bdp_take(c, a->queue, timed))
		vegas(r, w, c);
	c->cwnd = MIN(c->cwnd, cwnd_max(r, w));
	/* Nothing more is open than was; a tag stands for inc cells: neither goes below zero. */
	w->limit = MAX(w->limit, w->in_flight) - w->inc;
	w->in_flight -= w->inc;
	cc_open(r, circ, a->now_us);
}
