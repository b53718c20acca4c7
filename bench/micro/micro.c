/* micro.c - runs the rows and prints a table. Timings are printed, never judged. */
#include "bench/micro/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS	 12
#define RUN_NS	 4000000
#define WARM_OPS 64

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

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Best of some runs: others on the machine only ever make it slower. */
static double measure(const struct row *r)
{
	void *state = r->make(r->size);
	double best = 0, start;
	unsigned n = WARM_OPS;

	start = now_ns();
	r->run(state, n);
	start = now_ns() - start;
	n = (unsigned)(RUN_NS / (start / n + 0.1)) / WARM_OPS * WARM_OPS + WARM_OPS;
	for (unsigned i = 0; i < RUNS; i++) {
		double took;

		start = now_ns();
		r->run(state, n);
		took = (now_ns() - start) / n;
		if (!i || took < best)
			best = took;
	}
	return best;
}

static void print(const struct row *rows, const char *only)
{
	char name[64];

	for (const struct row *r = rows; r->name; r++) {
		double ns;

		if (only && !strstr(r->name, only))
			continue;
		ns = measure(r);
		snprintf(name, sizeof(name), "%s/%llu", r->name, (unsigned long long)r->size);
		printf("%-24s %10.1f ns  ", name, ns);
		if (r->limit_ns > 0)
			printf("%9.1f %4.1fx", r->limit_ns, ns / r->limit_ns);
		else
			printf("%15s", "");
		printf("  %s\n", r->what);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : NULL;
	const struct cipher *c = micro_cipher();

	printf("%s, %s, %s\n", c->arch, c->ctr_name, c->sha1_name);
	printf("%-24s %13s  %9s %5s  %s\n", "name/working set", "took", "limit", "",
	       "one operation");
	print(cipher_rows, only);
	print(stage_rows, only);
	print(control_rows, only);
	return 0;
}
