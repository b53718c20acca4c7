/* pace.c - when a worker turns and when it sleeps: the loop around worker_turn, and figures.
 * Here alone in the dataplane a clock is read. */
#include "dataplane/worker/pace.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define SPIN_CELLS    200  /* empty turns before a sleep while cells wait, or have passed of late */
#define SPIN	      4	   /* and else: control may need this core to answer handshakes */
#define NAP_CELLS_US  100  /* the longest sleep, likewise */
#define NAP_US	      1000 /* and else: TCP's timers count in milliseconds */
#define LATE_US	      20000 /* of late: a port without descriptor wakes nobody */
#define PUBLISH_US    100000
#define PORT_STATS_US 1000000 /* a kernel call on some kinds of port */

uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void publish(struct worker *w)
{
	struct ctl_figures *f = w->figures;

	if (w->now_us - w->publish_us < PUBLISH_US)
		return;
	w->publish_us = w->now_us;
	f->busy_ns += w->busy_ns;
	f->total_ns += w->total_ns;
	w->busy_ns = w->total_ns = 0;
	f->n_conns = tcp_n_conns(w->tcp);
	f->n_circs = w->circs.circ_slots.n_used;
	f->n_legs = w->circs.leg_slots.n_used;
	f->n_streams = w->edge.slots.n_used;
	f->n_links = w->links.n_open;
	if (w->now_us - w->port_us >= PORT_STATS_US) {
		w->port_us = w->now_us;
		port_stats_of(w->port, w->index);
	}
	__atomic_store_n(&f->beat_us, w->now_us, __ATOMIC_RELEASE);
}

static bool has_cells(const struct worker *w)
{
	return slots_in_use(&w->sched) || w->now_us - w->cell_us < LATE_US;
}

unsigned pace_nap_us(const struct worker *w)
{
	return has_cells(w) ? NAP_CELLS_US : NAP_US;
}

/* Sleeps until a frame, a message or the time comes. */
static void nap(struct worker *w)
{
	struct pollfd fds[2] = {{.fd = port_fd(w->port, w->index), .events = POLLIN},
				{.fd = w->wake_fd, .events = POLLIN}};
	struct timespec limit = {0, pace_nap_us(w) * 1000L};
	uint64_t wakes;

	__atomic_store_n(&w->down.shared->sleeping, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w->down.shared->head, __ATOMIC_SEQ_CST) == w->down.tail)
		ppoll(fds, 2, &limit, NULL);
	__atomic_store_n(&w->down.shared->sleeping, 0, __ATOMIC_SEQ_CST);
	if (w->wake_fd >= 0 && (fds[1].revents & POLLIN) &&
	    read(w->wake_fd, &wakes, sizeof(wakes)) < 0)
		return;
}

/* After SHUTDOWN the loop goes on until all is said and acknowledged, at most a second. */
static bool finished(const struct worker *w)
{
	return w->stopping && (w->now_us >= w->stop_us || !tcp_n_conns(w->tcp));
}

void pace_look(struct worker *w)
{
	if (w->figures->cells_relayed == w->n_passed)
		return;
	w->n_passed = w->figures->cells_relayed;
	w->cell_us = w->now_us;
}

void worker_run(struct worker *w)
{
	uint64_t start, end = clock_us();
	bool worked;

	while (!finished(w)) {
		start = end;
		if (UNLIKELY(w->plane->stop))
			worker_stop(w);
		worked = worker_turn(w, start);
		buckets_refill(w);
		memory_watch(w);
		pace_look(w);
		publish(w);
		w->figures->turns++;
		end = clock_us();
		if (worked) {
			w->figures->busy_turns++;
			w->busy_ns += (end - start) * 1000;
			w->idle_turns = 0;
		} else if (!w->plane->busy_poll &&
			   ++w->idle_turns > (has_cells(w) ? SPIN_CELLS : SPIN) &&
			   !tcp_busy(w->tcp)) {
			nap(w);
			end = clock_us();
		}
		w->total_ns += (end - start) * 1000;
	}
}
