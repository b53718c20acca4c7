/* test_door.c - the door against a worker that behaves, one that sleeps, one that is full and one
 * that has been taken over; all on a memfd of the real layout. */
#include "controlplane/door/door.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 2

/* The other side, and what our handlers saw. */
struct plane {
	int fd, wake, worker_wake[WORKERS];
	struct ctl_shared *shared;
	struct ring up[WORKERS], down[WORKERS];
	struct event_base *base;
	struct door *door;
	int n_seen;
	uint16_t type;
	uint32_t arg;
	wid id;
	uint64_t cookie;
	uint8_t tail[CTL_CHUNK];
	size_t tail_len;
};

static void saw(void *ctx, const struct ctl_head *head, const void *body, struct bytes tail)
{
	struct plane *p = ctx;

	p->n_seen++;
	p->type = head->type;
	p->arg = head->arg;
	p->id = head->id;
	p->tail_len = tail.len;
	memcpy(p->tail, tail.p, tail.len);
}

static void saw_opened(void *ctx, const struct ctl_head *head, const void *body, struct bytes tail)
{
	const struct ctl_conn_opened *b = body;

	saw(ctx, head, body, tail);
	((struct plane *)ctx)->cookie = b->cookie;
}

static const struct door_row rows[] = {
	{CTL_CONN_OPENED, saw_opened},
	{CTL_CONN_READ, saw},
	{CTL_CIRC_CLOSED, saw},
	{0, NULL},
};

static void plane_make(struct plane *p)
{
	memset(p, 0, sizeof(*p));
	p->fd = memfd_create("wall", MFD_CLOEXEC);
	assert_return_code(ftruncate(p->fd, (off_t)ctl_size(WORKERS)), errno);
	p->shared = mmap(NULL, ctl_size(WORKERS), PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	assert_true(p->shared != MAP_FAILED);
	p->shared->magic = CTL_MAGIC;
	p->shared->version = CTL_VERSION;
	p->shared->n_workers = WORKERS;
	p->shared->ring_slots = CTL_RING_SLOTS;
	p->wake = eventfd(0, EFD_NONBLOCK);
	for (unsigned i = 0; i < WORKERS; i++) {
		ring_attach(&p->up[i], ctl_ring(p->shared, i, true), CTL_RING_SLOTS);
		ring_attach(&p->down[i], ctl_ring(p->shared, i, false), CTL_RING_SLOTS);
		p->worker_wake[i] = eventfd(0, EFD_NONBLOCK);
	}
	p->base = event_base_new();
}

static void plane_attach(struct plane *p)
{
	const char *why;

	p->door = door_open(p->fd, p->wake, p->worker_wake, WORKERS, p->base, rows, p, &why);
	assert_non_null(p->door);
}

static void plane_drop(struct plane *p)
{
	door_close(p->door);
	event_base_free(p->base);
	munmap(p->shared, ctl_size(WORKERS));
	close(p->fd);
	close(p->wake);
	for (unsigned i = 0; i < WORKERS; i++)
		close(p->worker_wake[i]);
}

static int up(struct plane *p, unsigned worker, uint16_t type, uint32_t epoch, wid id,
	      const void *body, size_t len)
{
	uint8_t msg[512] = {0};
	struct ctl_head head = {.type = type, .epoch = epoch, .arg = 7, .id = id};

	memcpy(msg, &head, sizeof(head));
	if (len)
		memcpy(msg + sizeof(head), body, len);
	return ring_send(&p->up[worker], msg, sizeof(head) + len, NULL, 0);
}

static void test_up(void **state)
{
	struct ctl_conn_opened body = {.cookie = 99};
	uint8_t read_body[8 + 5] = {0, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
	struct plane p;

	plane_make(&p);
	plane_attach(&p);
	assert_int_equal(door_epoch(p.door), 1);
	assert_int_equal(up(&p, 1, CTL_CONN_OPENED, 1, wid_make(1, 4, 1), &body, sizeof(body)), 0);
	assert_int_equal(door_run(p.door, 100), 1);
	assert_int_equal(p.n_seen, 1);
	assert_int_equal(p.type, CTL_CONN_OPENED);
	assert_int_equal(p.arg, 7);
	assert_true(p.id == wid_make(1, 4, 1));
	assert_int_equal(p.cookie, 99);
	assert_int_equal(p.tail_len, 0);

	assert_int_equal(up(&p, 0, CTL_CONN_READ, 1, wid_make(0, 4, 1), read_body, 13), 0);
	assert_int_equal(door_run(p.door, 100), 1);
	assert_int_equal(p.tail_len, 5);
	assert_memory_equal(p.tail, "hello", 5);
	plane_drop(&p);
}

/* Rows: what a hostile or old worker writes, and which counter takes it. */
static void test_hostile(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t epoch;
		wid id;
		size_t len;
		enum { BAD, OLD, UNHANDLED } counted;
	} t[] = {
		{CTL_NONE, 1, 0, 64, BAD},
		{CTL_CONN_KEYS, 1, 0, 200, BAD}, /* a message of the other direction */
		{CTL_UP_FIRST, 1, 0, 64, BAD},
		{N_CTL_UP, 1, 0, 64, BAD},
		{0xffff, 1, 0, 64, BAD},
		{CTL_CONN_OPENED, 1, 0, 0, BAD}, /* no body */
		{CTL_CONN_OPENED, 1, 0, sizeof(struct ctl_conn_opened) - 1, BAD},
		{CTL_CONN_OPENED, 1, (wid)1 << 56 | 5, 64,
		 BAD}, /* worker 1's id on worker 0's ring */
		{CTL_CONN_OPENED, 0, 5, 64, OLD},
		{CTL_CONN_OPENED, 2, 5, 64, OLD},
		{CTL_STREAM_READ, 1, 5, 64, UNHANDLED},
		{CTL_REPLAY_END, 1, 0, 0, UNHANDLED},
	};
	uint8_t body[256] = {0};
	struct plane p;

	plane_make(&p);
	plane_attach(&p);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct door_counts was = door_counts(p.door), now;

		assert_int_equal(up(&p, 0, t[i].type, t[i].epoch, t[i].id, body, t[i].len), 0);
		assert_int_equal(door_run(p.door, 100), 1);
		now = door_counts(p.door);
		if (p.n_seen || now.n_bad_message - was.n_bad_message != (t[i].counted == BAD) ||
		    now.n_old_epoch - was.n_old_epoch != (t[i].counted == OLD) ||
		    now.n_unhandled - was.n_unhandled != (t[i].counted == UNHANDLED))
			fail_msg("row %zu", i);
	}
	plane_drop(&p);
}

/* An index or a length that lies empties the ring; what comes after is taken again. */
static void test_lying_ring(void **state)
{
	struct ctl_conn_opened body = {.cookie = 1};
	struct ring_shared *r;
	struct plane p;
	uint32_t huge = RING_MSG_MAX + 1;

	plane_make(&p);
	plane_attach(&p);
	r = p.up[0].shared;
	r->head += CTL_RING_SLOTS + 1;
	assert_int_equal(door_run(p.door, 100), 1);
	assert_int_equal(door_counts(p.door).n_bad_message, 1);
	ring_attach(&p.up[0], r, CTL_RING_SLOTS);
	assert_int_equal(up(&p, 0, CTL_CONN_OPENED, 1, 5, &body, sizeof(body)), 0);
	memcpy(r->slots + (size_t)((r->head - 2) & (CTL_RING_SLOTS - 1)) * RING_SLOT, &huge, 4);
	assert_int_equal(door_run(p.door, 100), 1);
	assert_int_equal(door_counts(p.door).n_bad_message, 2);
	assert_int_equal(up(&p, 0, CTL_CONN_OPENED, 1, 5, &body, sizeof(body)), 0);
	assert_int_equal(door_run(p.door, 100), 1);
	assert_int_equal(p.n_seen, 1);
	plane_drop(&p);
}

static void test_send(void **state)
{
	struct ctl_param param = {CTL_PARAM_RATE, 0, 12345};
	struct ctl_head head;
	struct plane p;
	uint8_t buf[RING_MSG_MAX];
	uint64_t n;

	plane_make(&p);
	plane_attach(&p);
	p.down[1].shared->sleeping = 1;
	assert_int_equal(door_send_all(p.door, CTL_PARAM_SET, 0, 0, &param, sizeof(param), NULL, 0),
			 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(ring_recv(&p.down[i], buf, false), sizeof(head) + sizeof(param));
		memcpy(&head, buf, sizeof(head));
		assert_int_equal(head.type, CTL_PARAM_SET);
		assert_int_equal(head.epoch, 1);
		assert_memory_equal(buf + sizeof(head), &param, sizeof(param));
	}
	/* Only the one that sleeps was woken. */
	assert_int_equal(read(p.worker_wake[0], &n, 8), -1);
	assert_int_equal(read(p.worker_wake[1], &n, 8), 8);
	plane_drop(&p);
}

static void test_send_refused(void **state)
{
	struct plane p;
	uint8_t body[RING_MSG_MAX] = {0};

	plane_make(&p);
	plane_attach(&p);
	assert_int_equal(door_send(p.door, WORKERS, CTL_REPLAY, 0, 0, NULL, 0, NULL, 0),
			 ERR_UNKNOWN);
	assert_int_equal(door_send(p.door, 0, CTL_NONE, 0, 0, NULL, 0, NULL, 0), ERR_MALFORMED);
	assert_int_equal(door_send(p.door, 0, CTL_CONN_OPENED, 0, 0, body, 48, NULL, 0),
			 ERR_MALFORMED);
	assert_int_equal(door_send(p.door, 0, CTL_REPLAY, 0, 0, body, 1, NULL, 0), ERR_MALFORMED);
	assert_int_equal(door_send(p.door, 0, CTL_LISTEN_ADD, 0, 0, body, 19, NULL, 0),
			 ERR_MALFORMED);
	assert_int_equal(door_send(p.door, 0, CTL_CONN_WRITE, 1, 0, NULL, 0, body, RING_MSG_MAX),
			 ERR_MALFORMED);
	plane_drop(&p);
}

/* A ring that nobody reads: order is kept in our queue, the bound holds, all of it goes out later.
 */
static void test_full_ring(void **state)
{
	struct plane p;
	uint8_t chunk[CTL_CHUNK], buf[RING_MSG_MAX];
	uint32_t sent = 0, got = 0;
	struct ctl_head head;
	int len;

	memset(chunk, 0xaa, sizeof(chunk));
	plane_make(&p);
	plane_attach(&p);
	while (door_send(p.door, 0, CTL_CONN_WRITE, 1, sent, NULL, 0, chunk, sizeof(chunk)) == 0)
		assert_true(++sent < 4096);
	assert_true(sent > DOOR_QUEUE_MAX / (CTL_CHUNK + sizeof(head)));
	assert_int_equal(door_counts(p.door).n_refused, 1);
	assert_true(door_counts(p.door).queued_bytes <= DOOR_QUEUE_MAX);
	/* A short one must not overtake, though the ring has a little room. */
	assert_true(ring_space(&p.down[0]) > 0);
	for (int turns = 0; got < sent && turns < 4096; turns++) {
		while ((len = ring_recv(&p.down[0], buf, false)) > 0) {
			memcpy(&head, buf, sizeof(head));
			assert_int_equal(head.arg, got++);
		}
		door_run(p.door, 0);
	}
	assert_int_equal(got, sent);
	assert_int_equal(door_counts(p.door).queued_bytes, 0);
	/* The other worker never had to wait. */
	assert_int_equal(ring_space(&p.down[1]), CTL_RING_SLOTS);
	plane_drop(&p);
}

/* Through the event loop: the worker's wake-up makes us read; a full ring is tried again by time.
 */
static void test_loop(void **state)
{
	struct ctl_conn_opened body = {.cookie = 3};
	uint8_t chunk[CTL_CHUNK] = {0}, buf[RING_MSG_MAX];
	struct plane p;
	uint64_t one = 1;
	int sent = 0, got = 0;

	plane_make(&p);
	plane_attach(&p);
	event_base_loop(p.base, EVLOOP_NONBLOCK);
	assert_true(ring_consumer_sleeps(&p.up[1]));
	assert_int_equal(up(&p, 1, CTL_CONN_OPENED, 1, wid_make(1, 2, 1), &body, sizeof(body)), 0);
	assert_int_equal(write(p.wake, &one, 8), 8);
	event_base_loop(p.base, EVLOOP_ONCE);
	assert_int_equal(p.n_seen, 1);
	while (!door_counts(p.door).n_queued) {
		assert_int_equal(
			door_send(p.door, 0, CTL_CONN_WRITE, 1, 0, NULL, 0, chunk, sizeof(chunk)),
			0);
		sent++;
	}
	for (int turns = 0; got < sent && turns < 1000; turns++) {
		while (ring_recv(&p.down[0], buf, false) > 0)
			got++;
		if (got < sent)
			event_base_loop(p.base, EVLOOP_ONCE);
	}
	assert_int_equal(got, sent);
	plane_drop(&p);
}

/* A second control: new epoch, what was left for the first is not for it. */
static void test_attach_again(void **state)
{
	struct ctl_conn_opened body = {.cookie = 4};
	struct plane p;

	plane_make(&p);
	plane_attach(&p);
	assert_int_equal(up(&p, 0, CTL_CONN_OPENED, 1, 5, &body, sizeof(body)), 0);
	door_close(p.door);
	plane_attach(&p);
	assert_int_equal(door_epoch(p.door), 2);
	assert_int_equal(p.shared->epoch, 2);
	assert_int_equal(up(&p, 0, CTL_CONN_OPENED, 2, 5, &body, sizeof(body)), 0);
	assert_int_equal(door_run(p.door, 100), 2);
	assert_int_equal(p.n_seen, 1);
	assert_int_equal(door_counts(p.door).n_old_epoch, 1);
	plane_drop(&p);
}

/* Memory that is not what it should be is named and refused. */
static void test_bad_memory(void **state)
{
	for (int row = 0; row < 6; row++) {
		struct plane p;
		const char *why = NULL;

		plane_make(&p);
		if (row == 0)
			p.shared->magic++;
		if (row == 1)
			p.shared->version++;
		if (row == 2)
			p.shared->n_workers = 0;
		if (row == 3)
			p.shared->n_workers = CTL_WORKERS + 1;
		if (row == 4)
			p.shared->n_workers = WORKERS + 1; /* the file is too short for it */
		if (row == 5)
			assert_return_code(ftruncate(p.fd, 100), errno);
		assert_null(door_open(p.fd, p.wake, p.worker_wake, CTL_WORKERS, p.base, rows, &p,
				      &why));
		assert_non_null(why);
		plane_drop(&p);
	}
}

static void test_figures(void **state)
{
	struct ctl_figures f;
	struct plane p;

	plane_make(&p);
	plane_attach(&p);
	p.shared->figures[1].n_circs = 42;
	door_figures(p.door, 1, &f);
	assert_int_equal(f.n_circs, 42);
	door_figures(p.door, WORKERS, &f);
	assert_int_equal(f.n_circs, 0);
	assert_string_equal(door_type_name(CTL_CIRC_ADD), "CIRC_ADD");
	assert_string_equal(door_type_name(CTL_REPLAY_END), "REPLAY_END");
	assert_string_equal(door_type_name(CTL_UP_FIRST), "?");
	assert_string_equal(door_type_name(0xffff), "?");
	plane_drop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up),	     cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_lying_ring),   cmocka_unit_test(test_send),
		cmocka_unit_test(test_send_refused), cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_loop),	     cmocka_unit_test(test_attach_again),
		cmocka_unit_test(test_bad_memory),   cmocka_unit_test(test_figures),
	};

	return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
