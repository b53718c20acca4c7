/* ctl_out.c - what goes up the wall. The worker never waits for control: what does not fit is
 * refused by the caller, but the last word on a conn, circuit or stream is kept until it is
 * delivered. */
#include "dataplane/worker/worker.h"

#include <stdlib.h>
#include <unistd.h>

#define AWAY_US	      2000000 /* a ring from which nothing was taken for so long has nobody behind it */
#define UP_RESERVED   512     /* slots kept for closings */
#define WAKE_AGAIN_US 1000

/* Whether control takes what we send: its index moves, or there is nothing to take. */
static bool control_away(struct worker *w)
{
	uint32_t tail = __atomic_load_n(&w->up.shared->tail, __ATOMIC_ACQUIRE);

	if (tail != w->up_tail || tail == w->up.head) {
		w->up_tail = tail;
		w->up_stuck_us = w->now_us;
	}
	return !w->epoch || w->now_us - w->up_stuck_us > AWAY_US;
}

static int send_up(struct worker *w, enum ctl_type type, wid id, uint32_t arg, const void *body,
		   size_t body_len, const void *tail, size_t tail_len)
{
	uint8_t head[sizeof(struct ctl_head) + 256];
	struct ctl_head h = {.type = (uint16_t)type, .epoch = w->epoch, .arg = arg, .id = id};

	memcpy(head, &h, sizeof(h));
	if (body_len)
		memcpy(head + sizeof(h), body, body_len);
	return ring_send(&w->up, head, sizeof(h) + body_len, tail, tail_len);
}

int ctl_say(struct worker *w, enum ctl_type type, wid id, uint32_t arg, const void *body,
	    size_t body_len, const void *tail, size_t tail_len)
{
	uint32_t need = (uint32_t)((sizeof(struct ctl_head) + body_len + tail_len) / RING_SLOT + 1);

	w->worked = true;
	if (!control_away(w) && ring_space(&w->up) > need + UP_RESERVED &&
	    send_up(w, type, id, arg, body, body_len, tail, tail_len) == 0)
		return 0;
	count(w->counts, worker_up_full);
	return ERR_FULL;
}

/* The id of a thing whose index is still held. */
static wid id_of(struct worker *w, uint16_t type, uint32_t index)
{
	if (type == CTL_CONN_CLOSED)
		return tcp_id(w->tcp, index);
	return slots_id(type == CTL_CIRC_CLOSED ? &w->circs.circ_slots : &w->edge.slots, index);
}

/* Says it, and gives the index back; ERR_FULL when there is no room yet. */
static int say_closed(struct worker *w, uint16_t type, uint32_t index, uint32_t arg)
{
	struct ctl_conn_closed body = {0};
	size_t body_len = type == CTL_CONN_CLOSED ? sizeof(body) : 0;

	if (type == CTL_CONN_CLOSED)
		body.cookie = w->conn[index].cookie;
	if (w->epoch && send_up(w, type, id_of(w, type, index), arg, &body, body_len, NULL, 0) < 0)
		return ERR_FULL;
	if (type == CTL_CONN_CLOSED) {
		conn_row_new(w, index, 0);
		tcp_release(w->tcp, index);
	} else if (type == CTL_CIRC_CLOSED) {
		circ_free(&w->circs, index);
	} else {
		edge_free(&w->edge, index);
	}
	return 0;
}

void ctl_say_closed(struct worker *w, enum ctl_type type, uint32_t index, uint32_t arg)
{
	struct late *l = &w->late;

	w->worked = true;
	if (!l->n && say_closed(w, (uint16_t)type, index, arg) == 0)
		return;
	/* One row per conn, circ and stream is the most that can wait: the memory is there. */
	l->rows[l->n++] = (struct late_row) {(uint16_t)type, index, arg};
	count(w->counts, worker_closing_late);
}

void ctl_say_late(struct worker *w)
{
	struct late *l = &w->late;
	uint32_t n = 0;

	while (n < l->n && say_closed(w, l->rows[n].type, l->rows[n].index, l->rows[n].arg) == 0)
		n++;
	if (!n)
		return;
	memmove(l->rows, l->rows + n, (l->n - n) * sizeof(*l->rows));
	l->n -= n;
}

void ctl_wake(struct worker *w)
{
	uint64_t one = 1;

	if (w->up.head == w->up_tail || w->wake_control_fd < 0)
		return;
	control_away(w); /* what it has taken since the last message */
	if (w->up.head == w->up_tail || !ring_consumer_sleeps(&w->up))
		return;
	/* Once for what is there: it needs a moment to wake, and a turn is shorter. */
	if (w->woken_head == w->up.head && w->now_us - w->woken_us < WAKE_AGAIN_US)
		return;
	w->woken_head = w->up.head;
	w->woken_us = w->now_us;
	if (write(w->wake_control_fd, &one, sizeof(one)) < 0)
		return; /* it is awake already */
}
