/* micro.c - runs the rows and prints a table, or JSON. Timings are printed, never judged. */
#include "bench/micro/micro.h"

#include "drivers/port.h"

#include <rte_cycles.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS	 16
#define RUN_NS	 3000000
#define SLOW_NS	 50000 /* of one operation */
#define WARM_OPS 1984  /* a multiple of 31 and of 64 */
#define MOST	 128
#define EAL_MB	 700

static struct took took[MOST];
static unsigned n_took;

struct cipher *micro_cipher(void)
{
	static struct cipher c;

	if (!c.mgr && cipher_init(&c, 0) < 0) {
		fprintf(stderr, "micro: no cipher\n");
		exit(1);
	}
	return &c;
}

void micro_fill(void *p, size_t len)
{
	static struct rng r;
	static bool seeded;
	static const uint8_t seed[32] = {1};

	if (!seeded)
		rng_seed(&r, seed);
	seeded = true;
	rng_bytes(&r, p, len);
}

void *micro_new(size_t n, size_t size)
{
	void *p = column_new(n, size);

	if (p)
		return p;
	fprintf(stderr, "micro: not enough memory\n");
	exit(1);
}

bool micro_eal(void)
{
	static int state; /* 1: up, -1: does not start */
	char core[16], err[PORT_ERR];
	struct eal_config cf = {
		.cores = core, .mem_mb = EAL_MB, .port = "memif:/nowhere,zero-copy", .n_queues = 2};

	snprintf(core, sizeof(core), "%d", sched_getcpu());
	if (!state) {
		state = eal_start(&cf, NULL, err) < 0 ? -1 : 1;
		if (state < 0)
			fprintf(stderr, "micro: %s\n", err);
	}
	return state > 0;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The core's clock: a chain of additions that depend on each other takes a cycle each. Of two
 * registers: additions of a constant may be done by renaming, for nothing. */
static double core_ghz(unsigned runs, unsigned hundreds)
{
	double best = 0;

	for (unsigned run = 0; run < runs; run++) {
		uint64_t a = run, b = 3;
		double start = now_ns(), ghz;

		for (unsigned i = 0; i < hundreds; i++)
			__asm__ volatile(".rept 100\n\tadd %1, %0\n\t.endr" : "+r"(a) : "r"(b));
		ghz = hundreds * 100 / (now_ns() - start);
		best = MAX(best, ghz);
	}
	return best;
}

/* Additions a ns that do not depend on each other: with the clock, how many units of the core are
 * ours. What runs on its other half, maybe of another machine of the same host, takes some. */
static double core_width(unsigned runs, unsigned scores)
{
	double best = 0;

	for (unsigned run = 0; run < runs; run++) {
		uint64_t a = run, b = 1, c = 2, d = 3, e = 4, f = 5, by = 3;
		double start = now_ns(), width;

		for (unsigned i = 0; i < scores; i++)
			__asm__ volatile(".rept 20\n\tadd %6, %0\n\tadd %6, %1\n\tadd %6, %2\n\t"
					 "add %6, %3\n\tadd %6, %4\n\tadd %6, %5\n\t.endr"
					 : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f)
					 : "r"(by));
		width = scores * 20 * 6 / (now_ns() - start);
		best = MAX(best, width);
	}
	return best;
}

/* The clock and the additions a cycle as they are while something else loads the core, of whose
 * time this takes less than half a percent: a line each 20 ms, until nobody reads. */
static int clock_print(void)
{
	const struct timespec rest = {.tv_nsec = 20000000};
	double ghz;

	do {
		ghz = core_ghz(3, 200);
		nanosleep(&rest, NULL);
	} while (printf("%.3f %.2f\n", ghz, core_width(2, 300) / ghz) > 0 && !fflush(stdout));
	return 0;
}

static double tsc_ghz(void)
{
	double start = now_ns(), took_ns;
	uint64_t tsc = rte_rdtsc();

	while ((took_ns = now_ns() - start) < 2e7)
		;
	return (double)(rte_rdtsc() - tsc) / took_ns;
}

static double once(const struct row *r, void *state, unsigned n, double tsc)
{
	double start = now_ns();

	if (r->part)
		return (double)r->part(state, n) / tsc;
	r->run(state, n);
	return now_ns() - start;
}

/* Operations of one run: a multiple of every batch, but of slow ones just a few. */
static unsigned enough(const struct row *r, void *state, double tsc)
{
	double start = now_ns(), each;
	unsigned n = 1;

	once(r, state, 1, tsc);
	if (now_ns() - start < SLOW_NS) {
		n = WARM_OPS;
		start = now_ns();
		once(r, state, n, tsc);
	}
	each = (now_ns() - start) / n;
	return (unsigned)(RUN_NS / (each + 0.1)) / n * n + n;
}

/* Best of some runs: others on the machine only ever make it slower. */
static double measure(const struct row *r, void *state, double tsc)
{
	unsigned n = enough(r, state, tsc);
	double best = 0;

	for (unsigned i = 0; i < RUNS; i++) {
		double ns = once(r, state, n, tsc) / n;

		if (!i || ns < best)
			best = ns;
	}
	return best;
}

double micro_took(const char *name, uint64_t size)
{
	for (unsigned i = 0; i < n_took; i++)
		if (took[i].size == size && !strcmp(took[i].name, name))
			return took[i].ns;
	return -1;
}

static void print_row(const struct row *r, double ns, double ghz, bool json)
{
	char name[64];

	if (json) {
		printf("%s\n  {\"name\": \"%s\", \"size\": %llu, \"ns\": %.2f, \"limit_ns\": %.2f, "
		       "\"what\": \"%s\"}",
		       n_took > 1 ? "," : "", r->name, (unsigned long long)r->size, ns, r->limit_ns,
		       r->what);
		return;
	}
	snprintf(name, sizeof(name), "%s/%llu", r->name, (unsigned long long)r->size);
	printf("%-24s %10.1f ns %9.0f  ", name, ns, ns * ghz);
	if (r->limit_ns > 0)
		printf("%9.1f %4.1fx", r->limit_ns, ns / r->limit_ns);
	else
		printf("%15s", "");
	printf("  %s\n", r->what);
	fflush(stdout);
}

static void run_rows(const struct row *rows, const char *only, double ghz, double tsc, bool json)
{
	const struct row *made = NULL;
	void *state = NULL;

	for (const struct row *r = rows; r->name; r++) {
		double ns;

		if ((only && !strstr(r->name, only)) || n_took == MOST)
			continue;
		if (!made || made->make != r->make || made->size != r->size)
			state = r->make(r->size);
		made = r;
		if (!state)
			continue;
		ns = measure(r, state, tsc);
		took[n_took++] = (struct took) {r->name, r->size, ns};
		print_row(r, ns, ghz, json);
	}
}

int main(int argc, char **argv)
{
	static const struct row *const tables[] = {cipher_rows, stage_rows, stream_rows, port_rows,
						   control_rows};
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	const char *only = argc > 1 && !json ? argv[1] : NULL;
	const struct cipher *c;
	double ghz, tsc;

	if (argc > 1 && !strcmp(argv[1], "--clock"))
		return clock_print();
	c = micro_cipher();
	ghz = core_ghz(64, 2000);
	tsc = tsc_ghz();
	if (json)
		printf("{\"cpu\": \"%s, %s, %s\", \"core_ghz\": %.3f, \"tsc_ghz\": %.3f, \"rows\": "
		       "[",
		       c->arch, c->ctr_name, c->sha1_name, ghz, tsc);
	else
		printf("%s, %s, %s; core clock %.2f GHz (a chain of dependent additions), TSC %.2f "
		       "GHz\nlimits are of another CPU, a Zen 4 at 3.68 GHz\n%-24s %13s %9s  %9s "
		       "%5s  %s\n",
		       c->arch, c->ctr_name, c->sha1_name, ghz, tsc, "name/working set", "took",
		       "cycles", "limit", "", "one operation");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		run_rows(tables[i], only, ghz, tsc, json);
	if (json)
		printf("]");
	if (!only)
		walk_print(json);
	if (!only || !strcmp(only, "machine"))
		machine_print(json);
	if (json)
		printf("}\n");
	return 0;
}
