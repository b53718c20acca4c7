/* pad.c - when a link is ready, padded, kept alive or idle: netflow padding (padding-spec section
 * 2), keep-alive and the idle time-outs of tor-spec section 4.7. */
#include "dataplane/link/link.h"

#include <stdlib.h>

#define SECOND	 1000000ull
#define STALE_US (60 * SECOND) /* tor's IDLE_ONE_HOP_CIRC_TIMEOUT (interop C16) */
/* idle_s of a link that control wants to see closed; nothing drawn is so short. */
#define RETIRED 1

static int64_t param(const struct links *l, enum ctl_param_id id)
{
	return l->cf.params[id];
}

/* Links without circuits: to a known relay 45 to 75 min, to anybody else 3 to 4.5 min. */
static uint32_t idle_draw(struct links *l, const struct link *k)
{
	uint32_t base = 180;

	if (k->peer == CTL_PEER_RELAY && k->canonical)
		base = (uint32_t)(param(l, CTL_PARAM_NF_CONNTIMEOUT_RELAYS) * 3 / 4);
	return base + rng_below(l->cf.rng, base == 180 ? 90 : base * 2 / 3);
}

/* The padding interval: low + max(X1, X2), each uniform in [0, high - low). What the peer asked for
 * only makes it longer. 0: no padding in this network. */
static uint64_t pad_draw_us(struct links *l, const struct link *k)
{
	int64_t low = param(l, CTL_PARAM_NF_ITO_LOW), high = param(l, CTL_PARAM_NF_ITO_HIGH);
	uint32_t span, a, b;

	if (!low && !high)
		return 0;
	if (k->pad_low_ms && k->pad_high_ms) {
		low = MAX(low, (int64_t)k->pad_low_ms);
		high = MAX(high, (int64_t)k->pad_high_ms);
	}
	span = high > low ? (uint32_t)(high - low) : 0;
	a = span ? rng_below(l->cf.rng, span) : 0;
	b = span ? rng_below(l->cf.rng, span) : 0;
	return (uint64_t)(low + MAX(a, b)) * 1000;
}

/* Clients and relays that nobody knows are padded, relays where the consensus says so; and only
 * links that carry circuits of others. */
static bool pads(const struct links *l, const struct link *k)
{
	enum link_use least =
		param(l, CTL_PARAM_NF_PAD_BEFORE_USAGE) ? LINK_USED_CIRCS : LINK_USED_TRAFFIC;

	return k->padded && k->used >= least &&
	       (k->peer != CTL_PEER_RELAY || param(l, CTL_PARAM_NF_PAD_RELAYS));
}

/* When padding wants the next look. It comes before the shortest interval is over, or what moved
 * since the draw would make the padding late. */
static uint64_t pad_look_us(struct links *l, struct link *k, uint64_t now_us)
{
	uint64_t draw;

	if (!k->pad_at_us) {
		draw = pad_draw_us(l, k);
		if (!draw)
			return now_us + 5 * SECOND;
		k->pad_at_us = MAX(k->last_in_us, k->last_out_us) + draw;
	}
	return MIN(k->pad_at_us,
		   now_us + (uint64_t)MAX(param(l, CTL_PARAM_NF_ITO_LOW), 1000) * 1000);
}

/* When the timer of an open link should look at it again. */
static void rearm(struct links *l, uint32_t conn, uint64_t now_us)
{
	struct link *k = &l->col[conn];
	uint64_t due = k->last_out_us + (uint64_t)param(l, CTL_PARAM_KEEPALIVE_S) * SECOND;

	if (pads(l, k)) {
		due = MIN(due, pad_look_us(l, k, now_us));
	} else {
		k->pad_at_us = 0;
		due = MIN(due, now_us + 5 * SECOND); /* look whether it has been used */
	}
	if (!k->n_legs)
		due = MIN(due, k->last_leg_us + k->idle_s * SECOND);
	else if (k->idle_s == RETIRED)
		due = MIN(due, now_us + SECOND);
	wheel_set(&l->timers, conn, MAX(due, now_us + 1000));
}

int link_ready(struct links *l, uint32_t conn, const struct ctl_conn_ready *ready, uint64_t now_us)
{
	struct link *k = &l->col[conn];

	if (k->state != LINK_HELD)
		return ERR_NOT_NOW;
	k->tag = malloc(CTL_TAG_LEN);
	if (!k->tag)
		return ERR_FULL;
	memcpy(k->tag, ready->tag, CTL_TAG_LEN);
	k->state = LINK_OPEN;
	l->n_open++;
	k->proto = ready->link_proto;
	k->peer = ready->peer;
	k->initiator = ready->initiator != 0;
	k->canonical = ready->canonical != 0;
	k->identity = ready->identity;
	k->last_leg_us = now_us;
	k->idle_s = idle_draw(l, k);
	k->padded = k->proto >= 5;
	rearm(l, conn, now_us);
	return 0;
}

/* A second's grace: what was to become a circuit on it may be on its way. */
void link_retire(struct links *l, uint32_t conn, uint64_t now_us)
{
	struct link *k = &l->col[conn];

	k->idle_s = RETIRED;
	k->last_leg_us = now_us;
	rearm(l, conn, now_us);
}

void link_negotiate(struct links *l, uint32_t conn, const struct cell *c, uint64_t now_us)
{
	struct link *k = &l->col[conn];
	struct reader r = reader_of(c->payload, c->len);
	uint8_t version = rd_u8(&r), command = rd_u8(&r);
	uint16_t low = rd_u16(&r), high = rd_u16(&r);

	if (r.bad || version != 0 || command < 1 || command > 2 || k->proto < 5) {
		count(l->cf.counts, link_negotiate_bad);
		return;
	}
	k->padded = command == 2;
	k->pad_low_ms = (uint16_t)MAX((int64_t)low, param(l, CTL_PARAM_NF_ITO_LOW));
	k->pad_high_ms = MAX(high, k->pad_low_ms);
	k->pad_at_us = 0;
	rearm(l, conn, now_us);
}

/* One link's timer: what it asks for, and its next look. */
static enum link_due timer_due(struct links *l, uint32_t conn, uint64_t now_us)
{
	struct link *k = &l->col[conn];
	uint64_t quiet_us = now_us - k->last_out_us;

	if (k->state == LINK_NONE)
		return LINK_DUE_NOTHING;
	if (k->state != LINK_OPEN)
		return LINK_DUE_IDLE; /* a handshake that took longer than KeepalivePeriod */
	if (!k->n_legs && now_us >= k->last_leg_us + k->idle_s * SECOND)
		return LINK_DUE_IDLE;
	if ((k->pad_at_us && now_us >= k->pad_at_us) ||
	    quiet_us >= (uint64_t)param(l, CTL_PARAM_KEEPALIVE_S) * SECOND) {
		link_sent(l, conn, now_us);
		rearm(l, conn, now_us);
		return LINK_DUE_PADDING;
	}
	rearm(l, conn, now_us);
	if (k->peer == CTL_PEER_CLIENT && k->n_legs && quiet_us >= STALE_US)
		return LINK_DUE_STALE;
	return LINK_DUE_NOTHING;
}

unsigned link_timers(struct links *l, uint64_t now_us, struct link_timer *out, unsigned max)
{
	uint32_t due[LINK_CELLS_MAX];
	unsigned n = 0, n_due = wheel_due(&l->timers, now_us, due, MIN(max, ARRAY_LEN(due)));

	for (unsigned i = 0; i < n_due; i++) {
		enum link_due d = timer_due(l, due[i], now_us);

		if (d != LINK_DUE_NOTHING)
			out[n++] = (struct link_timer) {due[i], d};
	}
	return n;
}
