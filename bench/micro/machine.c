/* machine.c - what no program can do better on this machine: how fast two cores hand each other
 * lines, as frames over memif do, and how long a core that only looks at the clock is kept away
 * from it, by the kernel or the host. */
#include "bench/micro/micro.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FRAMES	 512 /* of a memif ring */
#define STRIDE	 2176
#define FRAME	 1536 /* 24 lines: the payload of an MTU of 1500 */
#define AHEAD	 2
#define ROUNDS	 100
#define AWAY_S	 3
#define LINE_DIV (FRAMES * (FRAME / CACHE_LINE))

static const unsigned longer_us[] = {50, 200, 1000};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

/* ---- lines ---- */

struct court {
	uint8_t *frames;
	int core;
	unsigned turn; /* odd: the other side's */
	bool over;
};

static void frames_write(uint8_t *frames)
{
	for (unsigned i = 0; i < FRAMES; i++)
		memset(frames + (size_t)i * STRIDE, (int)i, FRAME);
}

static uint64_t frames_read(const uint8_t *frames)
{
	uint64_t sum = 0, v;

	for (unsigned i = 0; i < FRAMES; i++) {
		const uint8_t *p = frames + (size_t)i * STRIDE, *next = p + (size_t)AHEAD * STRIDE;

		for (unsigned k = 0; i + AHEAD < FRAMES && k < FRAME; k += CACHE_LINE)
			__builtin_prefetch(next + k);
		for (unsigned k = 0; k < FRAME; k += CACHE_LINE) {
			memcpy(&v, p + k, sizeof(v));
			sum += v;
		}
	}
	return sum;
}

static void *other_side(void *arg)
{
	struct court *c = arg;

	pin(c->core);
	while (!__atomic_load_n(&c->over, __ATOMIC_ACQUIRE)) {
		unsigned turn = __atomic_load_n(&c->turn, __ATOMIC_ACQUIRE);

		if (turn % 2 == 0)
			continue;
		frames_write(c->frames);
		__atomic_store_n(&c->turn, turn + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* ns a line of frames that the other core has just written: to read them, to write over them. */
static bool lines(int here, int there, double ns[2])
{
	struct court c = {micro_new(FRAMES, STRIDE), there, 0, false};
	volatile uint64_t seen;
	pthread_t t;

	pin(here);
	if (pthread_create(&t, NULL, other_side, &c))
		return false;
	ns[0] = ns[1] = 0;
	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		double start, took;

		__atomic_fetch_add(&c.turn, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&c.turn, __ATOMIC_ACQUIRE) % 2)
			;
		start = now_s();
		if (i % 2)
			frames_write(c.frames);
		else
			seen = frames_read(c.frames);
		took = (now_s() - start) * 1e9 / LINE_DIV;
		if (!ns[i % 2] || took < ns[i % 2])
			ns[i % 2] = took;
	}
	(void)seen;
	__atomic_store_n(&c.over, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	column_free(c.frames, FRAMES, STRIDE);
	return true;
}

/* ---- away ---- */

struct away {
	int core;
	double share[ARRAY_LEN(longer_us)]; /* of all moments, with longer than that to wait */
};

static void *watch(void *arg)
{
	struct away *a = arg;
	double start, last, now;

	pin(a->core);
	start = last = now_s();
	do {
		now = now_s();
		for (unsigned i = 0; i < ARRAY_LEN(longer_us); i++)
			if (now - last > longer_us[i] * 1e-6)
				a->share[i] += (now - last - longer_us[i] * 1e-6) / AWAY_S;
		last = now;
	} while (now - start < AWAY_S);
	return NULL;
}

static void print_away(const struct away *a, bool json)
{
	if (json)
		printf("{\"core\": %d, \"over_50_us\": %.5f, \"over_200_us\": %.5f, "
		       "\"over_1000_us\": %.5f}",
		       a->core, a->share[0], a->share[1], a->share[2]);
	else
		printf("core %d, only looking at the clock: the share of moments from which it is "
		       "away for longer than 50 us is %.2f %%, 200 us %.2f %%, 1 ms %.2f %%\n",
		       a->core, 100 * a->share[0], 100 * a->share[1], 100 * a->share[2]);
}

void machine_print(bool json)
{
	struct away away[2] = {0};
	cpu_set_t was;
	double ns[2];
	pthread_t t;

	sched_getaffinity(0, sizeof(was), &was);
	away[0].core = sched_getcpu();
	away[1].core = away[0].core ? 0 : 1; /* a core we may not have ends it here */
	if (!pin(away[1].core) || !lines(away[0].core, away[1].core, ns) ||
	    pthread_create(&t, NULL, watch, &away[1])) {
		sched_setaffinity(0, sizeof(was), &was);
		return;
	}
	watch(&away[0]);
	pthread_join(t, NULL);
	sched_setaffinity(0, sizeof(was), &was);
	if (json)
		printf(",\n\"machine\": {\"line_read_ns\": %.2f, \"line_write_ns\": %.2f, "
		       "\"away\": [",
		       ns[0], ns[1]);
	else
		printf("\na line that another core has just written: %.1f ns to read, %.1f to "
		       "write over, many at once\n",
		       ns[0], ns[1]);
	print_away(&away[0], json);
	printf(json ? ", " : "");
	print_away(&away[1], json);
	printf(json ? "]}\n" : "");
}
