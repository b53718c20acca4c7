/* stats.c - what we publish of overload and padding: events and cells, counted elsewhere, in the
 * intervals and roundings of dir-spec section 2.1 (interop S10, S11, P9). As in tor nothing of it
 * outlives us. */
#include "controlplane/dir/internal.h"

#define PADDING_INTERVAL 86400
#define PADDING_BIN	 10000
#define RATELIMITS_S	 (24 * 3600)
#define OVERLOAD_S	 (72 * 3600)
#define MINUTE		 60
#define ASSESS_LEAST	 1000 /* handshakes that must have been asked before a ratio says anything */

static int64_t hour_of(int64_t t)
{
	return t - t % 3600;
}

static bool recent(int64_t hour, int64_t now, int64_t within_s)
{
	return hour && hour > now - within_s;
}

int64_t stats_overload_hour(const struct stats *s, int64_t now)
{
	return recent(s->general_hour, now, OVERLOAD_S) ? s->general_hour : 0;
}

/* What a sum has grown by; one that went back began anew. */
static uint64_t grown(uint64_t now, uint64_t was)
{
	return now >= was ? now - was : now;
}

/* ---- padding ---- */
static void padding_add(struct stats *s, const struct dir_events *e)
{
	for (unsigned i = 0; i < N_DIR_PADDING; i++)
		s->padding[i] += grown(e->padding[i], s->last.padding[i]);
	s->max_timers = MAX(s->max_timers, e->pad_timers);
}

static uint64_t bin_up(uint64_t v)
{
	return (v + PADDING_BIN - 1) / PADDING_BIN * PADDING_BIN;
}

static void padding_end(struct stats *s, bool publish, int64_t now)
{
	s->padding_at = 0;
	if (publish && s->padding[DIR_READ_TOTAL] && s->padding[DIR_WRITE_TOTAL]) {
		s->padding_at = now;
		for (unsigned i = 0; i < N_DIR_PADDING; i++)
			s->published[i] = bin_up(s->padding[i]);
		s->published_timers = s->max_timers;
	}
	memset(s->padding, 0, sizeof(s->padding));
	s->max_timers = 0;
	s->padding_ends = now + PADDING_INTERVAL;
}

static void padding_line(struct text *t, const struct stats *s)
{
	static const char *const names[N_DIR_PADDING] = {
#define X(id, name) name,
		DIR_PADDING(X)
#undef X
	};

	text_str(t, "padding-counts ");
	text_time(t, s->padding_at);
	text_printf(t, " (%d s) bin-size=%d", PADDING_INTERVAL, PADDING_BIN);
	for (unsigned i = 0; i < N_DIR_PADDING; i++)
		text_printf(t, " %s=%llu", names[i], (unsigned long long)s->published[i]);
	text_printf(t, " max-chanpad-timers=%llu\n", (unsigned long long)s->published_timers);
}

/* ---- overload ---- */
/* Whether the ratio of dropped handshakes was too high over a period, which then begins anew. */
static bool skins_overloaded(struct stats *s, const struct stats_rules *r, int64_t now)
{
	bool over;

	if (s->assess_at && s->assess_at > now)
		return false;
	if (s->assess_at && s->skins < ASSESS_LEAST)
		return false;
	over = s->assess_at && s->skins_dropped * 100000 >= s->skins * (uint64_t)r->skin_scale;
	if (over)
		log_notice("General overload: %llu of %llu handshakes that relays asked for were "
			   "dropped.",
			   (unsigned long long)s->skins_dropped, (unsigned long long)s->skins);
	s->skins = s->skins_dropped = 0;
	s->assess_at = now + r->skin_period_s;
	return over;
}

/* An event of this minute counts once. */
static void limit_note(struct stats *s, uint64_t *n, int64_t *counted_at, int64_t now)
{
	s->limits_hour = hour_of(now);
	if (now < *counted_at + MINUTE)
		return;
	++*n;
	*counted_at = now;
}

static void overload_add(struct stats *s, const struct dir_events *e, const struct stats_rules *r,
			 int64_t now)
{
	const struct dir_events *was = &s->last;

	if (skins_overloaded(s, r, now) || e->memory != was->memory || e->no_port != was->no_port)
		s->general_hour = hour_of(now);
	s->skins += grown(e->skins, was->skins);
	s->skins_dropped += grown(e->skins_dropped, was->skins_dropped);
	if (e->read_limited != was->read_limited)
		limit_note(s, &s->n_read, &s->read_at, now);
	if (e->write_limited != was->write_limited)
		limit_note(s, &s->n_written, &s->written_at, now);
	if (e->no_conn != was->no_conn)
		s->conns_hour = hour_of(now);
}

static void overload_lines(struct text *t, const struct stats *s, int64_t rate, int64_t burst,
			   int64_t now)
{
	if (recent(s->limits_hour, now, RATELIMITS_S)) {
		text_str(t, "overload-ratelimits 1 ");
		text_time(t, s->limits_hour);
		text_printf(t, " %lld %lld %llu %llu\n", (long long)rate, (long long)burst,
			    (unsigned long long)s->n_read, (unsigned long long)s->n_written);
	}
	if (recent(s->conns_hour, now, OVERLOAD_S)) {
		text_str(t, "overload-fd-exhausted 1 ");
		text_time(t, s->conns_hour);
		text_str(t, "\n");
	}
}

/* ---- the face ---- */
void stats_add(struct stats *s, const struct dir_events *e, const struct stats_rules *r,
	       int64_t now)
{
	if (!s->padding_ends) { /* what was before us is not of this interval */
		s->last = *e;
		s->padding_ends = now + PADDING_INTERVAL;
	}
	padding_add(s, e);
	overload_add(s, e, r, now);
	if (now >= s->padding_ends)
		padding_end(s, r->padding, now);
	s->last = *e;
}

void stats_lines(struct text *t, const struct stats *s, const struct config *c, int64_t now)
{
	if (c->padding_statistics && s->padding_at)
		padding_line(t, s);
	if (c->overload_statistics)
		overload_lines(t, s, c->bandwidth_rate, c->bandwidth_burst, now);
}

void dir_count_events(struct dir *d, int64_t now, const struct dir_events *e)
{
	const struct stats_rules r = {
		.padding = d->config->padding_statistics,
		.skin_scale = dir_param(d, DIR_PARAM_overload_onionskin_ntor_scale_percent),
		.skin_period_s = dir_param(d, DIR_PARAM_overload_onionskin_ntor_period_secs),
	};

	stats_add(&d->stats, e, &r, now);
}
