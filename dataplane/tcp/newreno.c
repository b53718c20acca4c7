/* newreno.c - the congestion controller of RFC 5681, counting bytes (RFC 3465). */
#include "dataplane/tcp/internal.h"

struct newreno {
	uint32_t credit; /* acknowledged bytes not yet turned into window */
};

static void newreno_init(void *state, struct cc_path *path)
{
	*(struct newreno *)state = (struct newreno) {0};
}

static void newreno_acked(void *state, struct cc_path *path, uint32_t acked, uint64_t now_us)
{
	struct newreno *s = state;

	if (path->cwnd < path->ssthresh) {
		path->cwnd += acked;
	} else {
		s->credit += acked;
		if (s->credit >= path->cwnd) {
			s->credit -= path->cwnd;
			path->cwnd += path->mss;
		}
	}
}

static void newreno_lost(void *state, struct cc_path *path, uint64_t now_us)
{
	((struct newreno *)state)->credit = 0;
	path->ssthresh = MAX(path->cwnd / 2, 2 * path->mss);
}

static void newreno_undo(void *state, struct cc_path *path)
{
	((struct newreno *)state)->credit = 0;
}

const struct tcp_cc cc_newreno = {
	.name = "newreno",
	.state_len = sizeof(struct newreno),
	.init = newreno_init,
	.acked = newreno_acked,
	.lost = newreno_lost,
	.undo = newreno_undo,
};
