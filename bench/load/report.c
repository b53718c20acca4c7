/* report.c - what people and machines are told: the progress line, the table, the JSON object. */
#include "bench/load/load.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

void progress(struct load *ld, const char *what, double done, double of, const char *unit)
{
	if (ld->opt.quiet)
		return;
	fprintf(stderr, "%s%-14s %6.1f / %.0f %s   ", isatty(2) ? "\r" : "", what, done, of, unit);
	if (!isatty(2))
		fprintf(stderr, "\n");
	fflush(stderr);
}

void progress_end(struct load *ld)
{
	if (!ld->opt.quiet && isatty(2))
		fprintf(stderr, "\n");
}

static const char *direction_of(const struct options *o)
{
	static const char *const names[] = {"", "up", "down", "both"};

	return names[o->direction];
}

static const char *handshake_of(const struct options *o)
{
	static const char *const names[] = {"", "fast", "ntor", "ntor3"};

	return names[o->handshake];
}

/* One figure of a report: the same name in JSON and, with spaces, in the table. */
struct figure {
	const char *name, *unit;
	double value;
	int digits;
	bool hide;
};

static void head(const struct load *ld)
{
	const struct options *o = &ld->opt;

	if (o->json)
		printf("{\"mode\": \"%s\", \"scheme\": \"tor1\", \"direction\": \"%s\", "
		       "\"links\": %u, \"circuits\": %u, \"sinks\": %u, \"streams\": %u, "
		       "\"suite\": \"%s\", \"handshake\": \"%s\", \"rate\": %.0f",
		       o->mode->name, direction_of(o), o->n_links, o->n_circs, o->n_sinks,
		       o->n_streams, o->suite, handshake_of(o),
		       ld->pace_step > 0 ? ld->tsc_per_ns * 1e9 / ld->pace_step : 0);
	else
		printf("%s  tor1  %s  %u links  %u circuits  %s  %s\n", o->mode->name,
		       direction_of(o), o->n_links, o->n_circs, o->suite, handshake_of(o));
}

static void print(const struct load *ld, const struct figure *f, unsigned n)
{
	head(ld);
	for (unsigned i = 0; i < n; i++, f++) {
		if (f->hide)
			continue;
		if (ld->opt.json) /* which knows no infinity */
			printf(", \"%s\": %.*f", f->name, f->digits,
			       isfinite(f->value) ? f->value : 0.0);
		else
			printf("  %-28s %12.*f %s\n", f->name, f->digits, f->value, f->unit);
	}
	printf(ld->opt.json ? "}\n" : "\n");
	fflush(stdout);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

void report(struct load *ld, const struct outcome *o)
{
	const struct tally *t = &o->t;
	double bytes = (double)(t->bytes[UP] + t->bytes[DOWN]), s = o->seconds;
	double cells = bytes / RELAY_BODY, rate = bytes * 8e-9 / s;
	double units = ld->recreate ? (double)t->handshakes : ld->redial ? (double)t->connects : 0;
	bool flow = !ld->recreate && !ld->redial, pids = o->cpu_s > 0;
	bool times = flow && !ld->opt.mode->streams;
	struct figure f[] = {
		{"gbit_s", "Gbit/s of verified payload", rate, 3, !flow},
		{"gbit_s_up", "", (double)t->bytes[UP] * 8e-9 / s, 3, !flow},
		{"gbit_s_down", "", (double)t->bytes[DOWN] * 8e-9 / s, 3, !flow},
		{"cells_s", "", cells / s, 0, !flow},
		{"per_s", ld->redial ? "links" : "circuits", units / s, 0, flow},
		{"p50_us", "us", latency_at(ld, LATENCY_ALL, 0.5) / 1e3, 1, !times},
		{"p99_us", "us", latency_at(ld, LATENCY_ALL, 0.99) / 1e3, 1, !times},
		{"p999_us", "us", latency_at(ld, LATENCY_ALL, 0.999) / 1e3, 1, !times},
		{"steady_p99_us", "us, cells that no pause of ours touched",
		 latency_at(ld, LATENCY_STEADY, 0.99) / 1e3, 1, !times},
		{"steady", "of the cells", latency_steady(ld), 4, !times},
		{"relay_cpu_s", "s, all its threads", o->cpu_s, 3, !pids},
		{"relay_core_share", "of a core", o->cpu_s / s, 3, !pids},
		{"gbit_per_core_s", "Gbit per core-second", bytes * 8e-9 / o->cpu_s, 3,
		 !pids || !flow},
		{"ns_per_cell", "ns of the relay's CPU", o->cpu_s * 1e9 / cells, 0, !pids || !flow},
		{"per_core_s", "for a core-second", units / o->cpu_s, 0, !pids || flow},
		{"best_gbit_per_core_s", "the same in the best tenth of the time", o->best * 8, 3,
		 !pids || !flow},
		{"throttled", "of the quota's periods", o->throttled, 3, !ld->opt.cgroup},
		{"seconds", "s", s, 2, false},
		{"generator_busy", "share of our time", o->busy, 3, false},
		{"cells_per_record_out", "of ours", ratio(t->tx_cells, t->tx_records), 2, !flow},
		{"cells_per_record_in", "of the relay", ratio(t->rx_cells, t->rx_records), 2,
		 !flow},
		{"links_setup_s", "s", ld->links_s, 2, false},
		{"circuits_setup_s", "s", ld->circuits_s, 2, !flow},
		{"retransmits", "segments that we sent again",
		 (double)ld->counts.v[COUNT_tcp_retransmits], 0, false},
		{"frames_lost", "at our own port", (double)o->lost, 0, false},
	};

	print(ld, f, ARRAY_LEN(f));
}

void report_idle(struct load *ld, uint64_t base, uint64_t links, uint64_t circs)
{
	double l = (double)links - (double)base, c = (double)circs - (double)links;
	struct figure f[] = {
		{"base_mb", "MB before", (double)base / 1e6, 1, false},
		{"links_mb", "MB with links", (double)links / 1e6, 1, false},
		{"circuits_mb", "MB with circuits", (double)circs / 1e6, 1, false},
		{"bytes_per_link", "bytes", l / ld->opt.n_links, 0, false},
		{"bytes_per_circuit", "bytes", c / ld->opt.n_circs, 0, false},
	};

	print(ld, f, ARRAY_LEN(f));
}
