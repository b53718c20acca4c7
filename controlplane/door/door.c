/* door.c - the wall from control's side: attach, take messages up, send messages down. What comes
 * up is treated as if the other side had been taken over: copied out, checked, then handled. */
#include "controlplane/door/door.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOOR_BATCH    64   /* messages of one worker before the next has its turn */
#define DOOR_TURN     4096 /* messages before the event loop sees its other events */
#define DOOR_RETRY_US 5000 /* a worker that is away leaves no wake-up when its ring drains */

/* A message that waits for room in the ring. */
struct waiting {
	struct waiting *next;
	size_t len;
	_Alignas(8) uint8_t bytes[];
};

struct side {
	struct ring up, down;
	struct waiting *first, **last;
	size_t queued_bytes;
	int wake_fd;
};

struct door {
	struct ctl_shared *shared;
	size_t shared_len;
	unsigned n_workers; /* private copy: the shared word is not ours alone */
	uint32_t epoch;
	const struct door_row *rows[N_CTL_UP]; /* by type */
	void *ctx;
	struct event *wake, *retry;
	int wake_control_fd;
	struct door_counts counts;
	struct side side[CTL_WORKERS];
	_Alignas(8) uint8_t buf[RING_MSG_MAX];
};

static const struct {
	const char *name;
	uint16_t body;
} types[N_CTL_UP] = {
#define X(name, body) [CTL_##name] = {#name, sizeof(struct body)},
	CTL_DOWN(X) CTL_UP(X)
#undef X
};

const char *door_type_name(uint16_t type)
{
	return type < N_CTL_UP && types[type].name ? types[type].name : "?";
}

/* ---- attaching ---- */

static struct ctl_shared *map_memory(int fd, size_t *len, unsigned *n_workers, const char **why)
{
	struct ctl_shared *s;
	struct stat st;

	*why = "the shared memory cannot be mapped";
	if (fstat(fd, &st) < 0)
		return NULL;
	errno = EINVAL;
	*why = "the shared memory is too small";
	if (st.st_size < (off_t)sizeof(struct ctl_shared))
		return NULL;
	*len = (size_t)st.st_size;
	*why = "the shared memory cannot be mapped";
	s = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return NULL;
	*n_workers = __atomic_load_n(&s->n_workers, __ATOMIC_ACQUIRE);
	if (s->magic == CTL_MAGIC && s->version == CTL_VERSION && *n_workers > 0 &&
	    *n_workers <= CTL_WORKERS && s->ring_slots == CTL_RING_SLOTS &&
	    *len >= ctl_size(*n_workers))
		return s;
	munmap(s, *len);
	*n_workers = 0;
	errno = EPROTO;
	*why = "the shared memory is of another version of the dataplane";
	return NULL;
}

/* As ctl_ring, but by our own count of workers. */
static struct ring_shared *ring_of(const struct door *d, unsigned worker, bool up)
{
	return (struct ring_shared *)((uint8_t *)d->shared + ctl_rings_at(d->n_workers) +
				      (2 * worker + up) * ctl_ring_bytes());
}

static void index_rows(struct door *d, const struct door_row table[])
{
	for (const struct door_row *r = table; r->type; r++) {
		if (r->type < N_CTL_UP)
			d->rows[r->type] = r;
	}
}

static void set_sleeping(struct door *d, uint32_t sleeping)
{
	for (unsigned i = 0; i < d->n_workers; i++)
		__atomic_store_n(&d->side[i].up.shared->sleeping, sleeping, __ATOMIC_SEQ_CST);
}

static bool any_waiting(const struct door *d)
{
	for (unsigned i = 0; i < d->n_workers; i++) {
		const struct ring *r = &d->side[i].up;

		if (__atomic_load_n(&r->shared->head, __ATOMIC_SEQ_CST) != r->tail)
			return true;
	}
	return false;
}

static void on_wake(int fd, short what, void *arg)
{
	struct door *d = arg;
	uint64_t n;

	if (what & EV_READ && read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_warn("reading the dataplane's wake-up: %s", strerror(errno));
	set_sleeping(d, 0);
	door_run(d, DOOR_TURN);
	/* First say that we sleep, then look again: a worker that wrote between the two has seen us
	 * awake and will not call. */
	set_sleeping(d, 1);
	if (any_waiting(d))
		event_active(d->wake, EV_TIMEOUT, 0);
}

static void on_retry(int fd, short what, void *arg)
{
	door_run(arg, 0);
}

static int add_events(struct door *d, struct event_base *base)
{
	if (!base)
		return 0;
	d->wake = event_new(base, d->wake_control_fd, EV_READ | EV_PERSIST, on_wake, d);
	d->retry = event_new(base, -1, 0, on_retry, d);
	if (!d->wake || !d->retry || event_add(d->wake, NULL) < 0)
		return ERR_SYSTEM;
	event_active(d->wake, EV_TIMEOUT, 0);
	return 0;
}

static void attach(struct door *d, const int wake_worker_fd[])
{
	for (unsigned i = 0; i < d->n_workers; i++) {
		struct side *s = &d->side[i];

		ring_attach(&s->up, ring_of(d, i, true), CTL_RING_SLOTS);
		ring_attach(&s->down, ring_of(d, i, false), CTL_RING_SLOTS);
		s->last = &s->first;
		s->wake_fd = wake_worker_fd[i];
	}
	d->epoch = __atomic_add_fetch(&d->shared->epoch, 1, __ATOMIC_SEQ_CST);
	set_sleeping(d, 1);
}

struct door *door_open(int memory_fd, int wake_fd, const int wake_worker_fd[], unsigned n_fds,
		       struct event_base *base, const struct door_row table[], void *ctx,
		       const char **why)
{
	struct door *d = calloc(1, sizeof(*d));

	*why = "memory is short";
	if (!d)
		return NULL;
	d->ctx = ctx;
	d->wake_control_fd = wake_fd;
	d->shared = map_memory(memory_fd, &d->shared_len, &d->n_workers, why);
	if (d->shared && d->n_workers > n_fds) {
		errno = EINVAL;
		*why = "the dataplane has more workers than wake-up descriptors";
	} else if (d->shared) {
		index_rows(d, table);
		attach(d, wake_worker_fd);
		if (add_events(d, base) == 0)
			return d;
		*why = "no event could be added";
	}
	door_close(d);
	return NULL;
}

static void drop_waiting(struct side *s)
{
	struct waiting *w = s->first;

	s->queued_bytes -= w->len;
	s->first = w->next;
	if (!s->first)
		s->last = &s->first;
	wipe(w->bytes, w->len);
	free(w);
}

void door_close(struct door *d)
{
	if (!d)
		return;
	if (d->wake)
		event_free(d->wake);
	if (d->retry)
		event_free(d->retry);
	for (unsigned i = 0; i < d->n_workers; i++) {
		while (d->side[i].first)
			drop_waiting(&d->side[i]);
	}
	if (d->shared)
		munmap(d->shared, d->shared_len);
	wipe(d->buf, sizeof(d->buf));
	free(d);
}

unsigned door_workers(const struct door *d)
{
	return d->n_workers;
}

uint32_t door_epoch(const struct door *d)
{
	return d->epoch;
}

/* ---- up ---- */

static void dispatch(struct door *d, unsigned worker, size_t len)
{
	const struct ctl_head *head = (const struct ctl_head *)d->buf;
	const struct door_row *row;
	size_t body;

	if (len < sizeof(*head) || head->type <= CTL_UP_FIRST || head->type >= N_CTL_UP ||
	    len < sizeof(*head) + types[head->type].body ||
	    (head->id && wid_worker(head->id) != worker)) {
		d->counts.n_bad_message++;
		return;
	}
	if (head->epoch != d->epoch) {
		d->counts.n_old_epoch++;
		return;
	}
	row = d->rows[head->type];
	if (!row) {
		d->counts.n_unhandled++;
		return;
	}
	body = sizeof(*head) + types[head->type].body;
	row->handler(d->ctx, head, d->buf + sizeof(*head),
		     (struct bytes) {d->buf + body, len - body});
}

static int run_up(struct door *d, unsigned worker, int max)
{
	int n = 0, len;

	while (n < max && (len = ring_recv(&d->side[worker].up, d->buf, false)) != 0) {
		n++;
		if (len < 0) {
			d->counts.n_bad_message++;
			continue;
		}
		d->counts.n_up++;
		dispatch(d, worker, (size_t)len);
	}
	return n;
}

/* ---- down ---- */

static void wake_worker(struct side *s)
{
	uint64_t one = 1;

	/* A full eventfd counter wakes as well. */
	if (ring_consumer_sleeps(&s->down) && write(s->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void flush_side(struct door *d, struct side *s)
{
	bool sent = false;

	while (s->first && ring_send(&s->down, s->first->bytes, s->first->len, NULL, 0) == 0) {
		d->counts.queued_bytes -= s->first->len;
		d->counts.n_down++;
		drop_waiting(s);
		sent = true;
	}
	if (sent)
		wake_worker(s);
}

static void retry_later(struct door *d)
{
	static const struct timeval soon = {0, DOOR_RETRY_US};

	if (d->retry && d->counts.queued_bytes && !event_pending(d->retry, EV_TIMEOUT, NULL))
		event_add(d->retry, &soon);
}

int door_run(struct door *d, int max)
{
	int n = 0, got;

	do {
		got = 0;
		for (unsigned i = 0; i < d->n_workers; i++) {
			flush_side(d, &d->side[i]);
			got += run_up(d, i, MIN(DOOR_BATCH, max - n - got));
		}
		n += got;
	} while (got && n < max);
	retry_later(d);
	return n;
}

static int enqueue(struct door *d, struct side *s, const struct ctl_head *head, const void *body,
		   size_t body_len, const void *tail, size_t tail_len)
{
	size_t len = sizeof(*head) + body_len + tail_len;
	struct waiting *w;

	if (s->queued_bytes + len > DOOR_QUEUE_MAX || !(w = malloc(sizeof(*w) + len))) {
		d->counts.n_refused++;
		return ERR_FULL;
	}
	w->next = NULL;
	w->len = len;
	memcpy(w->bytes, head, sizeof(*head));
	if (body_len)
		memcpy(w->bytes + sizeof(*head), body, body_len);
	if (tail_len)
		memcpy(w->bytes + sizeof(*head) + body_len, tail, tail_len);
	*s->last = w;
	s->last = &w->next;
	s->queued_bytes += len;
	d->counts.queued_bytes += len;
	d->counts.n_queued++;
	retry_later(d);
	return 0;
}

/* The largest body that stands in ctl.h, rounded up. */
union any_body {
#define X(name, body) struct body name;
	CTL_DOWN(X)
#undef X
};

int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	struct {
		struct ctl_head head;
		uint8_t body[sizeof(union any_body)];
	} msg = {.head = {.type = type, .epoch = d->epoch, .arg = arg, .id = id}};
	struct side *s;
	int rc;

	if (worker >= d->n_workers)
		return ERR_UNKNOWN;
	if (!type || type >= N_CTL_DOWN || body_len != types[type].body ||
	    tail_len > RING_MSG_MAX - sizeof(msg.head) - body_len)
		return ERR_MALFORMED;
	s = &d->side[worker];
	flush_side(d, s);
	if (s->first)
		return enqueue(d, s, &msg.head, body, body_len, tail, tail_len);
	if (body_len)
		memcpy(msg.body, body, body_len);
	rc = ring_send(&s->down, &msg, sizeof(msg.head) + body_len, tail, tail_len);
	wipe(msg.body, body_len);
	if (rc == ERR_FULL)
		return enqueue(d, s, &msg.head, body, body_len, tail, tail_len);
	if (rc == 0) {
		d->counts.n_down++;
		wake_worker(s);
	}
	return rc;
}

int door_send_all(struct door *d, uint16_t type, wid id, uint32_t arg, const void *body,
		  size_t body_len, const void *tail, size_t tail_len)
{
	int worst = 0;

	for (unsigned i = 0; i < d->n_workers; i++)
		worst = MIN(worst, door_send(d, i, type, id, arg, body, body_len, tail, tail_len));
	return worst;
}

/* ---- figures ---- */

void door_figures(const struct door *d, unsigned worker, struct ctl_figures *to)
{
	const uint64_t *from;
	uint64_t *words = (uint64_t *)to;

	memset(to, 0, sizeof(*to));
	if (worker >= d->n_workers)
		return;
	from = (const uint64_t *)&d->shared->figures[worker];
	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

struct door_counts door_counts(const struct door *d)
{
	return d->counts;
}
