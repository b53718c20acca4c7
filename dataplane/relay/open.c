/* open.c - a congestion window opens by and by. SENDMEs come in bunches: a relay on their way holds
 * back what does not fill a segment (Nagle), and what came to it together goes on together. Were
 * all cells that a bunch stands for sent at once, the SENDMEs for them would be a bunch again, and
 * between two of them the path would stand idle, which makes the last SENDME of each wait longest:
 * round trips so uneven end slow start early and cut the window. So what a SENDME opens may go a
 * little faster than the window fills a round trip, and no faster; a circuit that does not use its
 * window up does not feel it. */
#include "dataplane/relay/internal.h"

#define BURST_US   4000	   /* cells of so long may go at once: the wheel's steps must not count */
#define RTT_MAX_US 1000000 /* one measured as longer is not waited for */
#define STEP	   8	   /* cells let go at a time, where they are slow */

/* The window opens by a quarter more than its size in the least round trip. */
#define QUARTERS 5

static uint64_t cells_in(const struct relay_cc *c, uint64_t us)
{
	uint64_t rtt_us = MIN(c->min_rtt_us, (uint64_t)RTT_MAX_US);

	return MIN(us, 2ull * RTT_MAX_US) * c->cwnd * QUARTERS / (4 * rtt_us);
}

/* How long so many take; never too short, or they would be counted again. */
static uint64_t us_of(const struct relay_cc *c, uint64_t cells)
{
	uint64_t rtt_us = MIN(c->min_rtt_us, (uint64_t)RTT_MAX_US);

	return (cells * 4 * rtt_us + c->cwnd * QUARTERS - 1) / (c->cwnd * QUARTERS);
}

void cc_open(struct relay *r, uint32_t circ, uint64_t now_us)
{
	struct relay_window *w = &r->window[circ];
	struct relay_cc *c = &r->cc[circ];
	uint64_t burst, burst_us, n;

	if (w->limit >= c->cwnd || !c->min_rtt_us || r->clock_bad) {
		w->limit = c->cwnd;
		return;
	}
	/* What one SENDME opens should not need the wheel. */
	burst = MAX(2u * w->inc, cells_in(c, BURST_US));
	burst_us = MIN(us_of(c, burst), now_us);
	c->opened_us = MIN(MAX(c->opened_us, now_us - burst_us), now_us);
	n = MIN(cells_in(c, now_us - c->opened_us), (uint64_t)(c->cwnd - w->limit));
	w->limit += (uint32_t)n;
	c->opened_us += us_of(c, n);
	if (w->limit < c->cwnd)
		wheel_set(&r->opening, circ, now_us + us_of(c, STEP));
}

uint32_t relay_opened(struct relay *r, uint64_t now_us, uint32_t *circs, uint32_t max)
{
	uint32_t n = wheel_due(&r->opening, now_us, circs, max), k = 0;

	for (uint32_t i = 0; i < n; i++) {
		/* An entry may be of a circuit before this one: then it is only early. */
		if (!relay_has_cc(r, circs[i]))
			continue;
		cc_open(r, circs[i], now_us);
		circs[k++] = circs[i];
	}
	return k;
}
