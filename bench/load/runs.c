/* runs.c - the modes: what is let go once links and circuits stand, and for how long. */
#include "bench/load/load.h"

#include <dirent.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEPS	4096
#define STEP_S	0.1 /* between progress lines, and of what the best tenth is of */
#define DRAIN_S 5

const struct load_mode load_modes[] = {
	{.name = "middle",
	 .what = "client -> relay -> our sink: relayed cells",
	 .extend = true,
	 .run = run_flow},
	{.name = "guard",
	 .what = "the same over many client links of few circuits",
	 .extend = true,
	 .defaults_to_many_links = true,
	 .run = run_flow},
	{.name = "exit",
	 .what = "streams through the relay to our own destination",
	 .streams = true,
	 .run = run_flow},
	{.name = "latency",
	 .what = "a cell's time through the relay at 10, 50 and 90 % of its most",
	 .extend = true,
	 .run = run_flow},
	{.name = "thin",
	 .what = "a thin circuit's cells beside bulk ones on one link to a sink that reads slowly",
	 .extend = true,
	 .thin = true,
	 .run = run_flow},
	{.name = "create", .what = "circuit handshakes a second (--handshake)", .run = run_create},
	{.name = "connect", .what = "TLS and link handshakes a second", .run = run_connect},
	{.name = "idle",
	 .what = "memory for an idle link and an idle circuit of --pid",
	 .run = run_idle},
	{.name = NULL},
};

/* ---- latency: rows of 1/32 of a power of two, in ns ---- */
static void hist_add(uint64_t hist[LATENCY_ROWS], uint64_t ns)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(ns | 32);

	hist[log * 32 + (ns >> (log - 5) & 31)]++;
}

void latency_note(struct load *ld, uint64_t stamp)
{
	uint64_t ns = (uint64_t)((double)(ld->record_tsc - stamp) * ld->ns_per_tsc);

	hist_add(ld->hist[LATENCY_ALL], ns);
	if (stamp > ld->steady_tsc && ld->record_tsc - ld->turn_tsc < ld->pause_tsc)
		hist_add(ld->hist[LATENCY_STEADY], ns);
}

static uint64_t hist_sum(const uint64_t hist[LATENCY_ROWS])
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LATENCY_ROWS; i++)
		sum += hist[i];
	return sum;
}

double latency_at(const struct load *ld, enum latency which, double share)
{
	const uint64_t *hist = ld->hist[which];
	uint64_t sum = hist_sum(hist), at = 0;

	for (unsigned i = 160; i < LATENCY_ROWS; i++) {
		at += hist[i];
		if ((double)at >= share * (double)sum && at)
			return (double)((uint64_t)(32 + i % 32) << (i / 32 - 5));
	}
	return 0;
}

double latency_steady(const struct load *ld)
{
	uint64_t all = hist_sum(ld->hist[LATENCY_ALL]);

	return all ? (double)hist_sum(ld->hist[LATENCY_STEADY]) / (double)all : 0;
}

/* ---- the relay's processes ---- */
static uint64_t task_ns(const char *path)
{
	unsigned long long ns = 0;
	FILE *f = fopen(path, "r");

	if (f && fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return ns;
}

/* How often a CPU quota stopped the relay. */
static void quota_read(const char *dir, struct cpu *c)
{
	char path[300], line[80];
	unsigned long long n;
	FILE *f;

	snprintf(path, sizeof(path), "%.270s/cpu.stat", dir);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nr_periods %llu", &n) == 1)
			c->periods = n;
		if (sscanf(line, "nr_throttled %llu", &n) == 1)
			c->throttled = n;
	}
	if (f)
		fclose(f);
}

static void group_put(struct load *ld, const char *name, const char *text)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%.270s/%s", ld->opt.cgroup, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		load_fail(ld, "%s cannot be written", path);
}

void quota_set(struct load *ld, unsigned percent)
{
	unsigned us = ld->opt.period_us * percent / 100;
	char path[300], quota[40], period[20];

	if (!ld->opt.quota)
		return;
	snprintf(path, sizeof(path), "%.270s/cpu.cfs_quota_us", ld->opt.cgroup);
	snprintf(period, sizeof(period), "%u", ld->opt.period_us);
	if (access(path, W_OK) == 0) { /* cgroups of version 1 */
		snprintf(quota, sizeof(quota), "%d", percent ? (int)us : -1);
		group_put(ld, "cpu.cfs_quota_us", "-1"); /* in between, any period is good */
		group_put(ld, "cpu.cfs_period_us", period);
		group_put(ld, "cpu.cfs_quota_us", quota);
		return;
	}
	if (percent)
		snprintf(quota, sizeof(quota), "%u %u", us, ld->opt.period_us);
	else
		snprintf(quota, sizeof(quota), "max %u", ld->opt.period_us);
	group_put(ld, "cpu.max", quota);
}

/* The processes that were named, or those of the cgroup. */
static unsigned pids_of(const struct options *o, unsigned pid[LOAD_PIDS])
{
	char path[300];
	unsigned n = 0;
	FILE *f;

	memcpy(pid, o->pid, sizeof(o->pid));
	if (o->n_pids || !o->cgroup)
		return o->n_pids;
	snprintf(path, sizeof(path), "%.270s/cgroup.procs", o->cgroup);
	f = fopen(path, "r");
	while (f && n < LOAD_PIDS && fscanf(f, "%u", &pid[n]) == 1)
		n++;
	if (f)
		fclose(f);
	return n;
}

void cpu_read(const struct options *o, struct cpu *c)
{
	unsigned pid[LOAD_PIDS], n = pids_of(o, pid);
	char path[300];

	*c = (struct cpu) {.at_ns = clock_ns()};
	if (o->cgroup)
		quota_read(o->cgroup, c);
	for (unsigned i = 0; i < n; i++) {
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof(path), "/proc/%u/task", pid[i]);
		d = opendir(path);
		while (d && (e = readdir(d))) {
			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "/proc/%u/task/%.20s/schedstat", pid[i],
				 e->d_name);
			c->ns += task_ns(path);
		}
		if (d)
			closedir(d);
	}
}

/* Anonymous memory in use, huge pages too, in bytes. */
uint64_t memory_of(const struct options *o)
{
	unsigned pid[LOAD_PIDS], n = pids_of(o, pid);
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		char path[64], line[160];
		unsigned long long kb;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%u/status", pid[i]);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "RssAnon: %llu", &kb) == 1 ||
			    sscanf(line, "HugetlbPages: %llu", &kb) == 1)
				sum += kb << 10;
		if (f)
			fclose(f);
	}
	return sum;
}

/* ---- measuring ---- */
static struct tally since(const struct tally *a, const struct tally *b)
{
	return (struct tally) {{b->cells[0] - a->cells[0], b->cells[1] - a->cells[1]},
			       {b->bytes[0] - a->bytes[0], b->bytes[1] - a->bytes[1]},
			       b->handshakes - a->handshakes,
			       b->connects - a->connects,
			       b->tx_cells - a->tx_cells,
			       b->tx_records - a->tx_records,
			       b->rx_cells - a->rx_cells,
			       b->rx_records - a->rx_records};
}

static void show(struct load *ld, const char *what, double at, double of, const struct tally *t,
		 double seconds)
{
	char text[120];

	if (ld->recreate)
		snprintf(text, sizeof(text), "s  %.0f circuits/s", (double)t->handshakes / seconds);
	else if (ld->redial)
		snprintf(text, sizeof(text), "s  %.0f links/s", (double)t->connects / seconds);
	else
		snprintf(text, sizeof(text), "s  %.2f Gbit/s up  %.2f down",
			 (double)t->bytes[UP] * 8e-9 / seconds,
			 (double)t->bytes[DOWN] * 8e-9 / seconds);
	progress(ld, what, at, of, text);
}

/* The bytes that the relay moved in each step, per nanosecond of its CPU. Of handshakes there are
 * too few in a step for that. */
struct steps {
	struct cpu cpu;
	unsigned n;
	double yield[STEPS];
};

static void step_note(struct load *ld, struct steps *s, const struct tally *t)
{
	uint64_t before = s->cpu.ns;

	cpu_read(&ld->opt, &s->cpu);
	if (s->n < STEPS && s->cpu.ns > before)
		s->yield[s->n++] =
			(double)(t->bytes[UP] + t->bytes[DOWN]) / (double)(s->cpu.ns - before);
}

static int yield_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

/* The yield that a tenth of the steps had or surpassed: near to what the relay does when nobody
 * else is on its core, nor on the other half of it, which a virtual machine cannot see. */
static double best_tenth(struct steps *s)
{
	qsort(s->yield, s->n, sizeof(s->yield[0]), yield_cmp);
	return s->n ? s->yield[s->n / 10] : 0;
}

/* Turns for so long, with a progress line. steps may be NULL. */
static bool turn_for(struct load *ld, const char *what, double seconds, struct steps *steps)
{
	uint64_t start = clock_ns();
	double at = 0;

	while (at < seconds && !ld->failed[0]) {
		struct tally before = ld->sum, step;
		double from = at;

		stack_until(ld, NULL, seconds - at < STEP_S ? seconds - at : STEP_S);
		at = (double)(clock_ns() - start) / 1e9;
		step = since(&before, &ld->sum);
		show(ld, what, at, seconds, &step, at - from);
		if (steps)
			step_note(ld, steps, &step);
	}
	progress_end(ld);
	return !ld->failed[0];
}

static bool measure(struct load *ld, struct outcome *out)
{
	struct tally before;
	struct cpu c0, c1;
	struct steps steps = {.n = 0};
	uint64_t lost, idle_us;

	quota_set(ld, ld->opt.quota);
	if (ld->opt.warmup_s > 0 && !turn_for(ld, "warm-up", ld->opt.warmup_s, NULL))
		return false;
	memset(ld->hist, 0, sizeof(ld->hist));
	ld->timing = true;
	lost = stack_lost(ld);
	idle_us = ld->idle_us;
	before = ld->sum;
	cpu_read(&ld->opt, &c0);
	steps.cpu = c0;
	if (!turn_for(ld, "measure", ld->opt.time_s, &steps))
		return false;
	cpu_read(&ld->opt, &c1);
	ld->timing = false;
	quota_set(ld, 0);
	*out = (struct outcome) {.t = since(&before, &ld->sum),
				 .seconds = (double)(c1.at_ns - c0.at_ns) / 1e9,
				 .cpu_s = (double)(c1.ns - c0.ns) / 1e9,
				 .best = best_tenth(&steps),
				 .lost = stack_lost(ld) - lost,
				 .throttled = (double)(c1.throttled - c0.throttled) /
					      (double)MAX(c1.periods - c0.periods, 1u),
				 .busy = 1 - (double)(ld->idle_us - idle_us) * 1e3 /
						     (double)(c1.at_ns - c0.at_ns)};
	return true;
}

static void pace(struct load *ld, double rate)
{
	ld->pace_start = rte_rdtsc();
	ld->pace_n = 0;
	ld->pace_step = rate > 0 ? ld->tsc_per_ns * 1e9 / rate : 0;
}

static void let_flow(struct load *ld)
{
	ld->flowing = true;
	ld->sink_tsc = ld->thin_tsc = rte_rdtsc();
	for (uint32_t i = 0; i < ld->opt.n_circs; i++)
		middle_flow(ld, i);
	for (uint32_t i = 0; i < ld->n_conns; i++) {
		peer_wake(ld, i);
		if (tcp_live(ld->tcp, i) && ld->conn[i].kind >= CONN_DEST_DOWN)
			dest_event(ld, i);
	}
}

static bool drained(struct load *ld)
{
	for (uint32_t i = 0; i < ld->opt.n_circs; i++)
		for (unsigned way = 0; way < 2; way++)
			if (ld->circ[i].sent[way] != ld->circ[i].got[way])
				return false;
	return true;
}

/* Every cell that was sent must arrive: none is lost, none comes twice. */
static bool let_dry(struct load *ld)
{
	ld->flowing = false;
	ld->opt.sink_rate = 0; /* what waits need not wait longer */
	if (ld->opt.mode->extend && !stack_until(ld, drained, DRAIN_S))
		load_fail(ld, "cells that were sent did not come out within %d s", DRAIN_S);
	return !ld->failed[0];
}

static int flow_once(struct load *ld, double rate, double *got)
{
	struct outcome out;

	pace(ld, rate);
	let_flow(ld);
	if (!measure(ld, &out))
		return 1;
	report(ld, &out);
	*got = (double)(out.t.cells[UP] + out.t.cells[DOWN]) / out.seconds;
	return let_dry(ld) ? 0 : 1;
}

int run_flow(struct load *ld)
{
	double most, got;

	if (flow_once(ld, ld->opt.rate, &most))
		return 1;
	for (unsigned i = 0; !strcmp(ld->opt.mode->name, "latency") && i < ld->opt.n_shares; i++)
		if (flow_once(ld, most * ld->opt.share[i], &got))
			return 1;
	return 0;
}

int run_create(struct load *ld)
{
	struct outcome out;

	ld->recreate = true;
	ld->circs_wanted = ld->opt.n_circs = MIN(ld->opt.n_circs, ld->opt.pending);
	circuits_build(ld);
	if (!measure(ld, &out))
		return 1;
	report(ld, &out);
	return 0;
}

int run_connect(struct load *ld)
{
	struct outcome out;

	ld->redial = true;
	for (unsigned i = 0; i < MIN(ld->opt.n_links, ld->opt.pending); i++)
		conns_dial(ld);
	if (!measure(ld, &out))
		return 1;
	report(ld, &out);
	return 0;
}

static bool circuits_there(struct load *ld)
{
	circuits_build(ld);
	return ld->n_circs_open == ld->circs_wanted;
}

int run_idle(struct load *ld)
{
	uint64_t base = ld->base_bytes, links, circs;

	if (!turn_for(ld, "idle links", ld->opt.time_s, NULL))
		return 1;
	links = memory_of(&ld->opt);
	ld->circs_wanted = ld->opt.n_circs;
	if (!stack_until(ld, circuits_there, 120)) {
		load_fail(ld, "%u of %u circuits in 120 s", ld->n_circs_open, ld->circs_wanted);
		return 1;
	}
	if (!turn_for(ld, "idle circuits", ld->opt.time_s, NULL))
		return 1;
	circs = memory_of(&ld->opt);
	report_idle(ld, base, links, circs);
	return 0;
}
