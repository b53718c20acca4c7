/* xon.c - flow control of streams on circuits with congestion control, which have no stream window:
 * XOFF when too much waits for the far end, XON with a rate when it has gone, and what the client
 * says of the same kind (proposal 324 section 4; interop F7, F8, F12). */
#include "dataplane/edge/edge.h"
#include "dataplane/relay/relay.h"

#define GRACE_US  5000		   /* what waits longer than that is not just a burst */
#define BURST	  (32 * XOFF_CELL) /* beyond it the far end is slower than the client */
#define XOFF_CELL 488		   /* bytes of a cell as XOFF's limit counts them, and XON's */
#define XON_CELL  498
#define RATE_MAX  INT32_MAX
#define FILL_US	  10000 /* an empty bucket is looked at again so soon at most */

static int64_t param(const struct edge *e, enum ctl_param_id id, int64_t min, int64_t max)
{
	return MIN(MAX(e->params[id], min), max);
}

static uint32_t waiting(const struct edge *e, const struct stream *s)
{
	return s->state == STREAM_OPEN ? tcp_unsent(e->tcp, s->conn) : 0;
}

/* Bytes that have left for the far end since the last look. */
static uint32_t gone(const struct edge *e, const struct stream *s, struct edge_flow *f,
		     uint32_t waits)
{
	uint64_t out = s->state == STREAM_OPEN ? tcp_tx_offset(e->tcp, s->conn) - waits : 0;
	uint64_t n = out - f->out_at;

	f->out_at = out;
	return (uint32_t)MIN(n, (uint64_t)INT32_MAX);
}

/* How fast the queue drains, in 1000 bytes a second: by the bytes of the time before, as C tor. */
static uint32_t drain_rate(const struct edge_flow *f, uint64_t now_us)
{
	uint64_t us = now_us - f->drain_us, rate = us ? f->drained_before * 1000ull / us : 0;

	return us ? (uint32_t)MIN(MAX(rate, 1ull), (uint64_t)RATE_MAX) : 0;
}

static void measure(struct edge *e, struct edge_flow *f, uint32_t enough, uint64_t now_us)
{
	uint32_t rate;

	if (!f->drain_us || f->drained <= enough)
		return;
	if (!f->drained_before)
		f->drained_before = f->drained;
	rate = drain_rate(f, now_us);
	f->drained_before = f->drained;
	if (!rate)
		return;
	f->rate = (uint32_t)relay_ewma(rate, f->rate,
				       (uint64_t)param(e, CTL_PARAM_CC_XON_EWMA, 1, UINT8_MAX));
	f->drained = 0;
	f->drain_us = 0;
}

static bool rate_moved(const struct edge *e, const struct edge_flow *f)
{
	uint64_t pct = (uint64_t)param(e, CTL_PARAM_CC_XON_CHANGE_PCT, 1, 99), said = f->rate_said;

	return said && (f->rate > (100 + pct) * said / 100 || f->rate < (100 - pct) * said / 100);
}

/* The far end takes all that comes: it may be faster than we know. */
static void emptied(struct edge_flow *f, uint32_t enough)
{
	f->drain_us = 0;
	if (f->drained < enough || !f->rate_said)
		return;
	f->rate = (uint32_t)MIN(2ull * f->rate, (uint64_t)RATE_MAX);
	f->drained_before = f->drained;
	f->drained = 0;
}

/* Whether an XON is due: the queue is empty again, or the rate is another than we said. */
static bool look_for_xon(struct edge *e, struct edge_flow *f, uint32_t waits, uint32_t out,
			 bool steady, uint64_t now_us)
{
	uint32_t enough = (uint32_t)param(e, CTL_PARAM_CC_XON_RATE, 1, 1 << 20) * XON_CELL;
	bool due;

	f->drained = (uint32_t)MIN((uint64_t)f->drained + out, (uint64_t)RATE_MAX);
	if (!steady) {
		f->drain_us = 0;
		f->drained = 0;
	} else if (!f->drain_us && waits) {
		f->drain_us = now_us;
		f->drained = 0;
	}
	measure(e, f, enough, now_us);
	due = f->xoff_said ? !waits : steady && rate_moved(e, f);
	if (due) {
		f->rate_said = f->rate;
		f->xoff_said = 0;
	}
	if (!waits)
		emptied(f, enough);
	return due;
}

/* Whether an XOFF is due: too much waits, and still does when more comes a while later. */
static bool look_for_xoff(const struct edge *e, struct edge_flow *f, uint32_t waits,
			  uint64_t now_us)
{
	if (waits <= param(e, CTL_PARAM_CC_XOFF, 1, 1 << 20) * XOFF_CELL) {
		f->grace_us = 0;
		return false;
	}
	if (f->xoff_said)
		return false;
	if (!f->grace_us) {
		f->grace_us = now_us;
		return false;
	}
	if (now_us <= f->grace_us + GRACE_US)
		return false;
	f->xoff_said = 1;
	f->rate = 0; /* it was wrong, or this would not be due */
	f->grace_us = 0;
	return true;
}

enum edge_word edge_look(struct edge *e, uint32_t stream, bool came, bool steady, uint64_t now_us,
			 uint8_t body[EDGE_XON_LEN])
{
	const struct stream *s = &e->stream[stream];
	struct edge_flow *f = &e->flow[stream];
	uint32_t waits = waiting(e, s), out;
	enum edge_word word = EDGE_NOTHING;

	if (s->state != STREAM_OPEN)
		return EDGE_NOTHING;
	body[0] = 0;
	if (came && look_for_xoff(e, f, waits, now_us))
		word = EDGE_XOFF;
	if (came && waits <= BURST)
		return word;
	out = gone(e, s, f, waits);
	if (look_for_xon(e, f, waits, out, steady, now_us)) {
		be32_put(body + 1, f->rate_said);
		word = EDGE_XON;
	}
	if (word == EDGE_XOFF)
		count(e->counts, edge_xoff_out);
	else if (word == EDGE_XON)
		count(e->counts, edge_xon_out);
	return word;
}

/* ---- theirs ---- */
static void hold(struct edge *e, uint32_t stream)
{
	const struct edge_flow *f = &e->flow[stream];

	e->stream[stream].in_flight = f->xoff_heard || f->dry ? EDGE_WINDOW : 0;
}

static int on_xoff(struct edge *e, struct edge_flow *f, struct reader *r, uint64_t now_us)
{
	if (f->xoff_heard) {
		count(e->counts, edge_xoff_twice);
		return ERR_NOT_NOW;
	}
	f->xoff_heard = 1; /* whatever its body, as in C tor */
	count(e->counts, edge_xoff_in);
	return 0;
}

static int on_xon(struct edge *e, struct edge_flow *f, struct reader *r, uint64_t now_us)
{
	uint8_t version = rd_u8(r);
	uint64_t rate = rd_u32(r) * 1000ull;

	if (r->bad || version) {
		count(e->counts, edge_flow_malformed);
		return ERR_MALFORMED;
	}
	if (!f->bucket_rate) { /* it was full until now */
		f->bucket = RATE_MAX;
		f->bucket_us = now_us;
	}
	f->bucket_rate = rate > RATE_MAX ? 0 : (uint32_t)rate;
	f->bucket = (int32_t)MIN((int64_t)f->bucket, (int64_t)f->bucket_rate);
	f->xoff_heard = 0;
	f->dry = 0; /* by the old rate; the next cell will tell by the new one */
	count(e->counts, edge_xon_in);
	return 0;
}

int edge_flow_in(struct edge *e, uint32_t stream, uint8_t command, const uint8_t *body,
		 uint16_t len, uint64_t now_us)
{
	struct stream *s = &e->stream[stream];
	struct edge_flow *f = &e->flow[stream];
	struct reader r = reader_of(body, len);
	int rc;

	if (s->step || (s->state != STREAM_OPEN && s->state != STREAM_DIR)) {
		count(e->counts, edge_flow_not_now);
		return ERR_NOT_NOW;
	}
	rc = command == RELAY_XOFF ? on_xoff(e, f, &r, now_us) : on_xon(e, f, &r, now_us);
	if (rc)
		return rc;
	if (!f->dry)
		wheel_clear(&e->dry, stream);
	s->rated = f->bucket_rate != 0;
	hold(e, stream);
	return 0;
}

/* ---- their rate, as a bucket of a second's bytes ---- */
static void fill(struct edge_flow *f, uint64_t now_us)
{
	uint64_t us = MIN(now_us - f->bucket_us, 2000000ull);
	uint64_t more = us * f->bucket_rate / 1000000;

	if (!more)
		return; /* the time is not lost */
	f->bucket = (int32_t)MIN((int64_t)f->bucket + (int64_t)more, (int64_t)f->bucket_rate);
	f->bucket_us = now_us;
}

void edge_spent(struct edge *e, uint32_t stream, uint16_t len, uint64_t now_us)
{
	struct edge_flow *f = &e->flow[stream];

	f->bucket -= len;
	if (f->bucket > 0)
		return;
	fill(f, now_us);
	if (f->bucket > 0)
		return;
	f->dry = 1;
	hold(e, stream);
	wheel_set(&e->dry, stream,
		  now_us + MAX((uint64_t)FILL_US,
			       (uint64_t)(1 - f->bucket) * 1000000 / f->bucket_rate));
}

void edge_refill(struct edge *e, uint64_t now_us)
{
	uint32_t due[64], n;

	do {
		n = wheel_due(&e->dry, now_us, due, ARRAY_LEN(due));
		for (uint32_t i = 0; i < n; i++) {
			struct edge_flow *f = &e->flow[due[i]];

			fill(f, now_us);
			f->dry = 0;
			hold(e, due[i]);
			edge_ready(e, due[i]);
		}
	} while (n == ARRAY_LEN(due));
}
