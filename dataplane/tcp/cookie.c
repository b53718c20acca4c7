/* cookie.c - SYN cookies (RFC 4987 3.6): when a listener's half-open connections are too many, what
 * a SYN said is kept in our sequence number and timestamp, and comes back with the ACK. */
#include "dataplane/tcp/internal.h"

#define SLOT_US	 (64 * 1000000ull)
#define MAC_MASK 0xffffffu
#define TS_BITS	 6
#define NO_SCALE 15

static const uint16_t mss_steps[8] = {536, 1220, 1300, 1360, 1400, 1440, 1452, 1460};

static uint32_t cookie_mac(const struct tcp *t, const struct in *in, uint32_t irs, uint64_t slot,
			   uint32_t step)
{
	struct {
		uint64_t tuple, slot;
		uint32_t irs, step;
	} b = {lookup_hash(&t->cfg.cookie_key, &in->local, &in->remote), slot, irs, step};

	return (uint32_t)hash_bytes(&t->cfg.cookie_key, &b, sizeof(b)) & MAC_MASK;
}

/* 5 bits of time, 3 of MSS, 24 that only we can make. */
uint32_t cookie_make(const struct tcp *t, const struct in *in, uint64_t now_us)
{
	uint16_t mss = in->h.opts & TCP_OPT_MSS ? in->h.mss : 536;
	uint64_t slot = now_us / SLOT_US;
	uint32_t step = ARRAY_LEN(mss_steps) - 1;

	while (step && mss_steps[step] > mss)
		step--;
	return (uint32_t)(slot & 31) << 27 | step << 24 | cookie_mac(t, in, in->h.seq, slot, step);
}

/* The clock's last bits say what the SYN offered; the value never runs ahead of the clock. */
uint32_t cookie_ts(uint32_t ts_now, const struct tcp_hdr *syn)
{
	uint32_t bits = syn->opts & TCP_OPT_WSCALE ? syn->wscale : NO_SCALE;
	uint32_t ts;

	bits |= syn->opts & TCP_OPT_SACK_OK ? 16 : 0;
	ts = (ts_now >> TS_BITS << TS_BITS) | bits;
	return seq_lt(ts_now, ts) ? ts - (1u << TS_BITS) : ts;
}

bool cookie_check(const struct tcp *t, const struct in *in, struct tcp_hdr *syn, uint64_t now_us)
{
	uint32_t cookie = in->h.ack - 1, irs = in->h.seq - 1, step = cookie >> 24 & 7;
	uint64_t slot = now_us / SLOT_US;
	uint32_t age = (uint32_t)(slot - (cookie >> 27)) & 31;

	if (age > 1 || age > slot ||
	    cookie_mac(t, in, irs, slot - age, step) != (cookie & MAC_MASK))
		return false;
	*syn = (struct tcp_hdr) {
		.seq = irs, .opts = TCP_OPT_MSS, .mss = mss_steps[step], .window = in->h.window};
	if (in->h.opts & TCP_OPT_TS) {
		syn->opts |= TCP_OPT_TS | (in->h.ts_ecr & 16 ? TCP_OPT_SACK_OK : 0);
		syn->ts_val = in->h.ts_val;
		syn->wscale = in->h.ts_ecr & 15;
		if (syn->wscale != NO_SCALE)
			syn->opts |= TCP_OPT_WSCALE;
	}
	return true;
}
