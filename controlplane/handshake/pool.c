/* pool.c - threads that answer circuit handshakes, one bounded queue before them, and the rule of
 * whom to turn away when it grows (interop H10, H11). A thread takes what waits, up to a batch, and
 * nothing waits to fill one. The queue and the figures are under one lock; nothing else is shared
 * with the event loop. */
#include "controlplane/handshake/internal.h"
#include "dataplane/cipher/x25519.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX	64
#define MEASURED_ENOUGH 500  /* so many must be timed before the mean counts */
#define USEC_BEFORE	1000 /* what one is taken to cost until then */
#define N_TYPES		4

/* Keys as they were when a job was queued; shared by all jobs of that time. */
struct snapshot {
	unsigned n_refs;
	struct handshake_keys keys;
};

struct job {
	struct job *next, *prev; /* in the queue, or next alone among the done */
	struct snapshot *snapshot;
	uint32_t slot;
	uint64_t queued_us;
	bool queued;
	uint16_t skin_len;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	struct handshake_result result;
};

struct handshake_pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool stop;
	struct job *head, *tail;	   /* waiting, oldest first */
	struct job *done_head, *done_tail; /* to be delivered */
	struct snapshot *snapshot;	   /* for new jobs */
	struct slots slots;		   /* tickets */
	struct job **jobs;		   /* by slot */
	struct handshake_limits limits;
	struct handshake_figures figures;
	struct x25519 x25519;
	uint64_t n_timed, mean_us_x16; /* moving mean, 16 times */
	int wake_fd;
	struct event *wake, *kick;
	bool kicking; /* the event loop's alone */
	handshake_result_fn *fn;
	void *arg;
	unsigned n_threads;
	pthread_t threads[THREADS_MAX];
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- snapshots; the lock is held ---- */

static void snapshot_drop(struct snapshot *s)
{
	if (!s || --s->n_refs)
		return;
	hsk_keys_pack(&s->keys);
	wipe(s, sizeof(*s));
	free(s);
}

/* ---- the queue; the lock is held ---- */

static void queue_add(struct handshake_pool *p, struct job *j)
{
	j->prev = p->tail;
	j->next = NULL;
	*(p->tail ? &p->tail->next : &p->head) = j;
	p->tail = j;
	j->queued = true;
	p->figures.n_waiting++;
}

static void queue_del(struct handshake_pool *p, struct job *j)
{
	*(j->prev ? &j->prev->next : &p->head) = j->next;
	*(j->next ? &j->next->prev : &p->tail) = j->prev;
	j->queued = false;
	p->figures.n_waiting--;
}

static void done_add(struct handshake_pool *p, struct job *j)
{
	uint64_t one = 1;
	bool first = !p->done_head;

	j->next = NULL;
	*(p->done_tail ? &p->done_tail->next : &p->done_head) = j;
	p->done_tail = j;
	/* The counter cannot overflow: it is read to zero long before 2^64 jobs. What is there
	 * already has called. */
	if (first && write(p->wake_fd, &one, sizeof(one)) < 0)
		log_err("handshake: cannot wake the event loop");
}

static void job_free(struct handshake_pool *p, struct job *j)
{
	snapshot_drop(j->snapshot);
	p->jobs[j->slot] = NULL;
	slots_give(&p->slots, j->slot);
	wipe(j, sizeof(*j));
	free(j);
}

/* The oldest ones that have waited too long are answered with a refusal. */
static void cull(struct handshake_pool *p, uint64_t now)
{
	uint64_t most = (uint64_t)p->limits.wait_cutoff_ms * 1000;

	while (p->head && now - p->head->queued_us >= most) {
		struct job *j = p->head;

		queue_del(p, j);
		j->result.error = ERR_FULL;
		p->figures.too_old[j->result.type]++;
		done_add(p, j);
	}
}

static uint32_t usec_each(const struct handshake_pool *p)
{
	return p->n_timed < MEASURED_ENOUGH ? USEC_BEFORE : (uint32_t)(p->mean_us_x16 / 16);
}

static bool has_room(const struct handshake_pool *p)
{
	uint64_t n = p->figures.n_waiting;
	uint64_t wait_ms = n * usec_each(p) / p->n_threads / 1000;

	if (n >= p->limits.n_most)
		return false;
	return n < p->limits.n_always || wait_ms <= p->limits.max_delay_ms;
}

/* n took so long together. */
static void note_time(struct handshake_pool *p, uint64_t us, unsigned n)
{
	us /= n;
	p->mean_us_x16 = p->n_timed ? p->mean_us_x16 - p->mean_us_x16 / 16 + us : us * 16;
	p->n_timed += n;
}

/* ---- threads ---- */

static unsigned batch_take(struct handshake_pool *p, struct job *jobs[HANDSHAKE_BATCH])
{
	unsigned n = 0;

	for (; n < HANDSHAKE_BATCH && p->head; n++) {
		jobs[n] = p->head;
		queue_del(p, p->head);
	}
	return n;
}

static void batch_run(struct handshake_pool *p, struct handshake_bulk *bulk,
		      struct job *const *jobs, unsigned n)
{
	struct handshake_ask asks[HANDSHAKE_BATCH];
	uint64_t start = now_us();

	for (unsigned i = 0; i < n; i++) {
		struct job *j = jobs[i];

		asks[i] = (struct handshake_ask) {.type = j->result.type,
						  .keys = &j->snapshot->keys,
						  .skin = j->skin,
						  .skin_len = j->skin_len,
						  .done = &j->result.done};
	}
	pthread_mutex_unlock(&p->lock);
	handshake_answer_many(bulk, asks, n);
	pthread_mutex_lock(&p->lock);
	note_time(p, now_us() - start, n);
	for (unsigned i = 0; i < n; i++) {
		struct handshake_result *r = &jobs[i]->result;

		r->error = asks[i].error;
		p->figures.answered[r->type] += !r->error;
		p->figures.failed[r->type] += !!r->error;
		done_add(p, jobs[i]);
	}
}

static void *thread_main(void *arg)
{
	struct handshake_pool *p = arg;
	struct handshake_bulk bulk = {.x = &p->x25519};
	struct job *jobs[HANDSHAKE_BATCH];

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		unsigned n;

		cull(p, now_us());
		n = batch_take(p, jobs);
		if (n)
			batch_run(p, &bulk, jobs, n);
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	wipe(&bulk, sizeof(bulk));
	return NULL;
}

static int threads_start(struct handshake_pool *p, unsigned n)
{
	sigset_t all, old;
	int error = 0;

	/* Signals are the event loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; p->n_threads < n && !error; p->n_threads += !error)
		error = pthread_create(&p->threads[p->n_threads], NULL, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p->n_threads ? 0 : ERR_SYSTEM;
}

/* ---- the event loop's side ---- */

static void list_free(struct handshake_pool *p, struct job *j)
{
	for (struct job *next; j; j = next) {
		next = j->next;
		job_free(p, j);
	}
}

static void deliver(evutil_socket_t fd, short what, void *arg)
{
	struct handshake_pool *p = arg;
	struct job *done;
	uint64_t n;

	if (read(p->wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&p->lock);
	done = p->done_head;
	p->done_head = p->done_tail = NULL;
	pthread_mutex_unlock(&p->lock);
	for (struct job *j = done; j; j = j->next)
		p->fn(p->arg, &j->result);
	pthread_mutex_lock(&p->lock);
	list_free(p, done);
	pthread_mutex_unlock(&p->lock);
}

/* One thread for each batch that waits, when all that came in this turn of the loop is there. */
static void kick(evutil_socket_t fd, short what, void *arg)
{
	struct handshake_pool *p = arg;

	p->kicking = false;
	pthread_mutex_lock(&p->lock);
	for (uint32_t n = 0; n < p->figures.n_waiting && n < THREADS_MAX * HANDSHAKE_BATCH;
	     n += HANDSHAKE_BATCH)
		pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static int pool_init(struct handshake_pool *p, struct event_base *base)
{
	p->limits = HANDSHAKE_LIMITS_DEFAULT;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->jobs = calloc(p->limits.n_most, sizeof(*p->jobs));
	if (p->wake_fd < 0 || !p->jobs || slots_init(&p->slots, 0, p->limits.n_most))
		return ERR_FULL;
	x25519_init(&p->x25519, 0);
	p->wake = event_new(base, p->wake_fd, EV_READ | EV_PERSIST, deliver, p);
	p->kick = event_new(base, -1, 0, kick, p);
	return p->wake && p->kick && !event_add(p->wake, NULL) ? 0 : ERR_SYSTEM;
}

int handshake_pool_new(struct handshake_pool **pool, struct event_base *base, unsigned n_threads,
		       handshake_result_fn *fn, void *arg)
{
	struct handshake_pool *p = calloc(1, sizeof(*p));
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int error;

	if (!p)
		return ERR_FULL;
	p->fn = fn;
	p->arg = arg;
	if (!n_threads)
		n_threads = n_cpus > 0 ? (unsigned)n_cpus : 1;
	error = pool_init(p, base);
	if (!error)
		error = threads_start(p, MIN(n_threads, THREADS_MAX));
	if (error)
		handshake_pool_free(p);
	else
		*pool = p;
	return error;
}

void handshake_pool_free(struct handshake_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	list_free(p, p->head);
	list_free(p, p->done_head);
	snapshot_drop(p->snapshot);
	if (p->wake)
		event_free(p->wake);
	if (p->kick)
		event_free(p->kick);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	slots_fini(&p->slots);
	free(p->jobs);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int handshake_pool_keys(struct handshake_pool *p, const struct handshake_keys *keys)
{
	struct snapshot *s = malloc(sizeof(*s));

	if (!s)
		return ERR_FULL;
	s->n_refs = 1;
	s->keys = *keys;
	hsk_keys_unpack(&s->keys);
	pthread_mutex_lock(&p->lock);
	snapshot_drop(p->snapshot);
	p->snapshot = s;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void handshake_pool_limits(struct handshake_pool *p, const struct handshake_limits *limits)
{
	pthread_mutex_lock(&p->lock);
	p->limits = *limits;
	p->limits.n_most = MIN(limits->n_most, p->slots.n);
	pthread_mutex_unlock(&p->lock);
}

static int submit_locked(struct handshake_pool *p, struct job *j, uint64_t *ticket)
{
	p->figures.asked[j->result.type]++;
	if (!p->snapshot)
		return ERR_NOT_NOW;
	if (has_room(p))
		j->slot = slots_take(&p->slots);
	if (j->slot == SLOT_NONE) {
		p->figures.refused[j->result.type]++;
		return ERR_FULL;
	}
	p->jobs[j->slot] = j;
	j->snapshot = p->snapshot;
	j->snapshot->n_refs++;
	queue_add(p, j);
	*ticket = slots_id(&p->slots, j->slot);
	cull(p, j->queued_us);
	if (p->figures.n_waiting % HANDSHAKE_BATCH == 0)
		pthread_cond_signal(&p->work); /* a full batch need not wait for the turn's end */
	return 0;
}

int handshake_pool_submit(struct handshake_pool *p, wid circ, uint16_t type, const uint8_t *skin,
			  size_t skin_len, uint64_t *ticket)
{
	const struct handshake *h = handshake_find(type);
	struct job *j;
	int error;

	if (!h || type >= N_TYPES)
		return ERR_UNKNOWN;
	if (skin_len < h->skin_min || skin_len > h->skin_max)
		return ERR_MALFORMED;
	j = calloc(1, sizeof(*j));
	if (!j)
		return ERR_FULL;
	j->slot = SLOT_NONE;
	j->queued_us = now_us();
	j->skin_len = (uint16_t)skin_len;
	memcpy(j->skin, skin, skin_len);
	j->result.circ = circ;
	j->result.type = type;
	pthread_mutex_lock(&p->lock);
	error = submit_locked(p, j, ticket);
	pthread_mutex_unlock(&p->lock);
	if (error)
		free(j);
	else if (!p->kicking)
		event_active(p->kick, EV_TIMEOUT, 0);
	p->kicking |= !error;
	return error;
}

void handshake_pool_cancel(struct handshake_pool *p, uint64_t ticket)
{
	uint32_t slot;

	pthread_mutex_lock(&p->lock);
	slot = slots_check(&p->slots, ticket);
	if (slot != SLOT_NONE && p->jobs[slot] && p->jobs[slot]->queued) {
		queue_del(p, p->jobs[slot]);
		job_free(p, p->jobs[slot]);
	}
	pthread_mutex_unlock(&p->lock);
}

void handshake_pool_figures(struct handshake_pool *p, struct handshake_figures *f)
{
	pthread_mutex_lock(&p->lock);
	*f = p->figures;
	f->n_threads = p->n_threads;
	f->usec_each = usec_each(p);
	pthread_mutex_unlock(&p->lock);
}
