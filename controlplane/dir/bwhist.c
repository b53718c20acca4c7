/* bwhist.c - how many bytes went by: peaks over ten seconds and sums over a day, for the bandwidth
 * and history lines of what we publish (interop S1, S2). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

#define KIB_DOWN(v) ((v) & ~(uint64_t)1023)

void bwhist_init(struct bwhist *b, int64_t now)
{
	memset(b, 0, sizeof(*b));
	b->now = now;
	b->ends = now + BWHIST_INTERVAL;
}

static void interval_end(struct bwhist *b)
{
	if (b->n == BWHIST_TOTALS) {
		memmove(b->totals, b->totals + 1, sizeof(b->totals) - sizeof(b->totals[0]));
		memmove(b->peaks, b->peaks + 1, sizeof(b->peaks) - sizeof(b->peaks[0]));
		b->n--;
	}
	b->totals[b->n] = b->total;
	b->peaks[b->n++] = b->peak;
	b->total = b->peak = 0;
	b->ends += BWHIST_INTERVAL;
}

static void second_end(struct bwhist *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BWHIST_ROLL; i++)
		sum += b->bins[i];
	b->peak = MAX(b->peak, sum);
	b->now++;
	b->bins[b->now % BWHIST_ROLL] = 0;
	if (b->now >= b->ends)
		interval_end(b);
}

void bwhist_add(struct bwhist *b, int64_t now, uint64_t bytes)
{
	if (now - b->now > (BWHIST_TOTALS + 1) * (int64_t)BWHIST_INTERVAL)
		bwhist_init(b, now); /* the clock jumped: nothing of before is true now */
	while (b->now < now)
		second_end(b);
	b->bins[b->now % BWHIST_ROLL] += bytes;
	b->total += bytes;
}

uint64_t bwhist_best(const struct bwhist *b, int64_t min_s)
{
	uint64_t best = 0;

	if (b->now > b->ends - BWHIST_INTERVAL + min_s)
		best = b->peak;
	for (unsigned i = 0; i < b->n; i++)
		best = MAX(best, b->peaks[i]);
	return best / BWHIST_ROLL;
}

void bwhist_line(struct text *t, const char *keyword, const struct bwhist *b, uint64_t rate)
{
	if (!b->n)
		return;
	text_printf(t, "%s ", keyword);
	text_time(t, b->ends - BWHIST_INTERVAL);
	text_printf(t, " (%d s) ", BWHIST_INTERVAL);
	for (unsigned i = 0; i < b->n; i++) {
		uint64_t v = KIB_DOWN(b->totals[i]);

		if (rate)
			v = MIN(v, rate * BWHIST_INTERVAL);
		text_printf(t, "%s%" PRIu64, i ? "," : "", v);
	}
	text_str(t, "\n");
}

/* ---- the state file ---- */
static void state_put(const char *data_dir, const char *kind, const char *what, const char *value)
{
	char keyword[64], was[1024];

	snprintf(keyword, sizeof(keyword), "BWHistory%s%s", kind, what);
	if (state_get(data_dir, keyword, was, sizeof(was)) == 0 && strcmp(was, value) == 0)
		return; /* each write waits for the disk */
	if (state_set(data_dir, keyword, value))
		log_warn("Cannot write %s to %s/state.", keyword, data_dir);
}

static void list_put(const struct bwhist *b, const uint64_t *past, uint64_t present, unsigned scale,
		     const char *data_dir, const char *kind, const char *what)
{
	struct text t = {0};

	for (unsigned i = 0; i < b->n; i++)
		text_printf(&t, "%" PRIu64 ",", KIB_DOWN(past[i] / scale));
	text_printf(&t, "%" PRIu64, KIB_DOWN(present / scale));
	if (!t.bad)
		state_put(data_dir, kind, what, t.p);
	text_free(&t);
}

void bwhist_save(const struct bwhist *b, const char *data_dir, const char *kind)
{
	struct text ends = {0};

	text_time(&ends, b->ends);
	if (!ends.bad)
		state_put(data_dir, kind, "Ends", ends.p);
	text_free(&ends);
	state_put(data_dir, kind, "Interval", "86400");
	list_put(b, b->totals, b->total, 1, data_dir, kind, "Values");
	list_put(b, b->peaks, b->peak, BWHIST_ROLL, data_dir, kind, "Maxima");
}

/* Reads "1,2,3" into v; how many, at most BWHIST_TOTALS + 1, the newest ones. */
static unsigned list_get(const char *data_dir, const char *kind, const char *what,
			 uint64_t v[BWHIST_TOTALS + 1])
{
	char keyword[64], value[1024];
	char *p = value, *end;
	unsigned n = 0;

	snprintf(keyword, sizeof(keyword), "BWHistory%s%s", kind, what);
	if (state_get(data_dir, keyword, value, sizeof(value)))
		return 0;
	for (;; p = end + 1) {
		uint64_t x = strtoull(p, &end, 10);

		if (end == p)
			return n;
		if (n == BWHIST_TOTALS + 1) {
			memmove(v, v + 1, BWHIST_TOTALS * sizeof(*v));
			n--;
		}
		v[n++] = x;
		if (*end != ',')
			return n;
	}
}

void bwhist_load(struct bwhist *b, const char *data_dir, const char *kind, int64_t now)
{
	uint64_t totals[BWHIST_TOTALS + 1], peaks[BWHIST_TOTALS + 1];
	unsigned n = list_get(data_dir, kind, "Values", totals);
	unsigned n_peaks = list_get(data_dir, kind, "Maxima", peaks);
	char keyword[64], value[64];
	int64_t ends, interval;

	snprintf(keyword, sizeof(keyword), "BWHistory%sInterval", kind);
	if (!n || state_get(data_dir, keyword, value, sizeof(value)) ||
	    number_get(bytes_of(value, strlen(value)), BWHIST_INTERVAL, BWHIST_INTERVAL, &interval))
		return;
	snprintf(keyword, sizeof(keyword), "BWHistory%sEnds", kind);
	if (state_get(data_dir, keyword, value, sizeof(value)) ||
	    time_get(bytes_of(value, strlen(value)), &ends))
		return;
	if (ends > now + BWHIST_INTERVAL || ends < now - BWHIST_TOTALS * (int64_t)BWHIST_INTERVAL)
		return;
	b->ends = ends;
	b->now = ends - BWHIST_INTERVAL;
	b->n = n - 1;
	for (unsigned i = 0; i < n; i++) {
		uint64_t peak = i < n_peaks ? peaks[i] * BWHIST_ROLL : 0;

		if (i + 1 < n) {
			b->totals[i] = totals[i];
			b->peaks[i] = peak;
		} else {
			b->total = totals[i];
			b->peak = peak;
		}
	}
	bwhist_add(b, now, 0);
}
