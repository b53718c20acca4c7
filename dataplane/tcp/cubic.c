/* cubic.c - the congestion controller of RFC 9438. Windows are counted in segments, as there. */
#include "dataplane/tcp/internal.h"

#include <math.h>

#define CUBIC_C	   0.4
#define CUBIC_BETA 0.7

struct cubic {
	uint64_t epoch_us; /* start of this congestion avoidance stage; 0: none */
	double w_max, k, w_est;
	double credit; /* fraction of a byte of window not yet given */
	double prior_w_max;
};

static void cubic_init(void *state, struct cc_path *path)
{
	*(struct cubic *)state = (struct cubic) {0};
}

/* RFC 9438 4.2: the curve starts at cwnd and is flat at w_max. */
static void cubic_epoch(struct cubic *s, const struct cc_path *path, uint64_t now_us)
{
	double cwnd = (double)path->cwnd / path->mss;

	s->epoch_us = now_us;
	s->w_est = cwnd;
	s->credit = 0;
	if (cwnd < s->w_max) {
		s->k = cbrt((s->w_max - cwnd) / CUBIC_C);
	} else {
		s->w_max = cwnd;
		s->k = 0;
	}
}

static double cubic_at(const struct cubic *s, double t)
{
	return CUBIC_C * (t - s->k) * (t - s->k) * (t - s->k) + s->w_max;
}

static void cubic_acked(void *state, struct cc_path *path, uint32_t acked, uint64_t now_us)
{
	struct cubic *s = state;

	if (path->cwnd < path->ssthresh) {
		path->cwnd += acked;
		return;
	}
	if (!s->epoch_us)
		cubic_epoch(s, path, now_us);
	double t = (double)(now_us - s->epoch_us) / 1e6;
	double cwnd = (double)path->cwnd / path->mss, segs = (double)acked / path->mss;
	/* 4.3: a Reno flow with this decrease factor; 1 once it has passed the old maximum. */
	double alpha = s->w_est < s->w_max ? 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) : 1;

	s->w_est += alpha * segs / cwnd;
	double target = cubic_at(s, t + path->srtt_us / 1e6);
	target = fmin(fmax(target, cwnd), 1.5 * cwnd); /* 4.4 */
	s->credit += fmax((target - cwnd) / cwnd * segs,
			  cubic_at(s, t) < s->w_est ? s->w_est - cwnd : 0) *
		     path->mss;
	if (s->credit >= 1) {
		path->cwnd += (uint32_t)s->credit;
		s->credit -= (uint32_t)s->credit;
	}
}

static void cubic_lost(void *state, struct cc_path *path, uint64_t now_us)
{
	struct cubic *s = state;
	double cwnd = (double)path->cwnd / path->mss;

	s->prior_w_max = s->w_max;
	/* 4.7: leave room to others when the maximum falls. */
	s->w_max = cwnd < s->w_max ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
	s->epoch_us = 0;
	path->ssthresh = MAX((uint32_t)(path->cwnd * CUBIC_BETA), 2 * path->mss);
}

static void cubic_undo(void *state, struct cc_path *path)
{
	struct cubic *s = state;

	s->w_max = s->prior_w_max;
	s->epoch_us = 0;
}

const struct tcp_cc cc_cubic = {
	.name = "cubic",
	.state_len = sizeof(struct cubic),
	.init = cubic_init,
	.acked = cubic_acked,
	.lost = cubic_lost,
	.undo = cubic_undo,
};
