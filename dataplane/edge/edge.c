/* edge.c - streams: their ids, states and far ends, and the bytes between. */
#include "dataplane/edge/edge.h"

int edge_init(struct edge *e, unsigned worker, uint32_t n_streams, uint32_t n_conns,
	      struct hash_key key, struct tcp *tcp, struct counts *counts, const int64_t *params,
	      uint64_t now_us)
{
	*e = (struct edge) {.n_conns = n_conns,
			    .tcp = tcp,
			    .counts = counts,
			    .params = params,
			    .ready_head = SLOT_NONE,
			    .ready_tail = SLOT_NONE};
	e->stream = column_new(n_streams, sizeof(*e->stream));
	e->flow = column_new(n_streams, sizeof(*e->flow));
	e->conn_stream = column_new(n_conns, sizeof(*e->conn_stream));
	if (!e->stream || !e->flow || !e->conn_stream ||
	    wheel_init(&e->dry, n_streams, now_us) < 0 ||
	    slots_init(&e->slots, worker, n_streams) < 0 ||
	    map_init(&e->by_id, n_streams, key) < 0) {
		edge_fini(e);
		return ERR_FULL;
	}
	return 0;
}

void edge_fini(struct edge *e)
{
	for (uint32_t i = 0; e->stream && i < e->slots.n_touched; i++) {
		pipe_free(&e->stream[i].in);
		pipe_free(&e->stream[i].out);
	}
	column_free(e->stream, e->slots.n, sizeof(*e->stream));
	column_free(e->flow, e->slots.n, sizeof(*e->flow));
	wheel_fini(&e->dry);
	column_free(e->conn_stream, e->n_conns, sizeof(*e->conn_stream));
	slots_fini(&e->slots);
	map_fini(&e->by_id);
	*e = (struct edge) {0};
}

int edge_begin(struct edge *e, uint32_t circ, uint32_t *list, uint16_t id, uint8_t command, bool cc)
{
	uint32_t i;

	if (edge_find(e, circ, id) != SLOT_NONE)
		return ERR_NOT_NOW;
	i = slots_take(&e->slots);
	if (i == SLOT_NONE)
		return ERR_FULL;
	if (map_put(&e->by_id, stream_key(circ, id), i) < 0) {
		slots_give(&e->slots, i);
		return ERR_FULL;
	}
	e->stream[i] = (struct stream) {.circ = circ,
					.conn = SLOT_NONE,
					.next = *list,
					.prev = SLOT_NONE,
					.id = id,
					.state = STREAM_ASKED,
					.command = command,
					.step = !cc};
	if (cc)
		e->flow[i] = (struct edge_flow) {0};
	if (*list != SLOT_NONE)
		e->stream[*list].prev = i;
	*list = i;
	return (int)i;
}

/* Takes a stream out of the ready list, wherever it stands. */
static void unready(struct edge *e, uint32_t stream)
{
	struct stream *s = &e->stream[stream];

	if (!s->ready)
		return;
	if (s->ready_prev == SLOT_NONE)
		e->ready_head = s->ready_next;
	else
		e->stream[s->ready_prev].ready_next = s->ready_next;
	if (s->ready_next == SLOT_NONE)
		e->ready_tail = s->ready_prev;
	else
		e->stream[s->ready_next].ready_prev = s->ready_prev;
	s->ready = 0;
	e->n_ready--;
}

static void far_end_close(struct edge *e, struct stream *s, bool flush, uint64_t now_us)
{
	if (s->conn == SLOT_NONE)
		return;
	e->conn_stream[s->conn] = 0;
	if (flush && s->state == STREAM_OPEN)
		tcp_close(e->tcp, s->conn, now_us);
	else
		tcp_abort(e->tcp, s->conn);
	s->conn = SLOT_NONE;
}

void edge_end(struct edge *e, uint32_t stream, uint32_t *list, bool flush, uint64_t now_us)
{
	struct stream *s = &e->stream[stream];

	if (s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return;
	unready(e, stream);
	if (!s->step && e->flow[stream].dry)
		wheel_clear(&e->dry, stream);
	far_end_close(e, s, flush, now_us);
	e->mem -= s->in.cap + s->out.cap;
	pipe_free(&s->in);
	pipe_free(&s->out);
	if (s->prev == SLOT_NONE)
		*list = s->next;
	else
		e->stream[s->prev].next = s->next;
	if (s->next != SLOT_NONE)
		e->stream[s->next].prev = s->prev;
	map_del(&e->by_id, stream_key(s->circ, s->id));
	s->state = STREAM_ENDED;
}

void edge_free(struct edge *e, uint32_t stream)
{
	e->stream[stream].state = STREAM_FREE;
	slots_give(&e->slots, stream);
}

void edge_connecting(struct edge *e, uint32_t stream, uint32_t conn, uint32_t ttl)
{
	struct stream *s = &e->stream[stream];

	s->state = STREAM_CONNECTING;
	s->conn = conn;
	s->ttl = ttl;
	e->conn_stream[conn] = stream + 1;
}

void edge_dir(struct edge *e, uint32_t stream)
{
	e->stream[stream].state = STREAM_DIR;
}

/* To the destination: the bytes wait in TCP, bounded by the stream's window. */
static int to_tcp(struct edge *e, struct stream *s, const uint8_t *p, uint32_t len)
{
	while (len) {
		uint32_t n = MIN(len, (uint32_t)TCP_UNIT_MAX);
		uint8_t *to = tcp_reserve(e->tcp, s->conn, n);

		if (!to)
			return ERR_FULL;
		memcpy(to, p, n);
		tcp_push(e->tcp, s->conn, n);
		p += n;
		len -= n;
	}
	return 0;
}

static int keep(struct edge *e, struct pipe *p, const uint8_t *from, uint32_t len, uint32_t max)
{
	uint32_t before = p->cap;
	int rc;

	if (e->mem_max && e->mem + len > e->mem_max) {
		count(e->counts, edge_mem_full);
		return ERR_FULL;
	}
	rc = pipe_put(p, from, len, max);
	e->mem += p->cap - before;
	return rc;
}

int edge_opened(struct edge *e, uint32_t stream)
{
	struct stream *s = &e->stream[stream];
	int rc = 0;

	s->state = STREAM_OPEN;
	if (s->in.len)
		rc = to_tcp(e, s, s->in.p + s->in.at, s->in.len);
	e->mem -= s->in.cap;
	pipe_free(&s->in);
	return rc;
}

/* Far more waits than one that heeds XOFF could have sent. */
static bool flooded(struct edge *e, const struct stream *s)
{
	uint64_t limit = (uint64_t)e->params[CTL_PARAM_CC_XOFF] * RELAY_BODY + EDGE_XOFF_LATE;
	uint64_t waits = s->state == STREAM_OPEN ? tcp_unsent(e->tcp, s->conn) : s->in.len;

	if (waits <= limit)
		return false;
	count(e->counts, edge_flooded);
	return true;
}

int edge_data(struct edge *e, uint32_t stream, const uint8_t *body, uint16_t len)
{
	struct stream *s = &e->stream[stream];

	if (s->received >= EDGE_WINDOW) {
		count(e->counts, edge_window_overrun);
		return ERR_MALFORMED;
	}
	s->received += s->step;
	if (s->state == STREAM_DIR)
		return 1;
	if (UNLIKELY(!s->step) && flooded(e, s))
		return ERR_FULL;
	if (s->state == STREAM_OPEN)
		return to_tcp(e, s, body, len);
	return keep(e, &s->in, body, len, s->step ? EDGE_HELD_MAX : UINT32_MAX / 2);
}

unsigned edge_sendmes(struct edge *e, uint32_t stream)
{
	struct stream *s = &e->stream[stream];
	unsigned n = s->received / EDGE_INCREMENT;

	if (!n || (s->state != STREAM_OPEN && s->state != STREAM_DIR))
		return 0; /* none before CONNECTED */
	if (s->state == STREAM_OPEN && tcp_unsent(e->tcp, s->conn) > EDGE_FULL)
		return 0;
	s->received = (uint16_t)(s->received % EDGE_INCREMENT);
	return n;
}

int edge_sendme_in(struct edge *e, uint32_t stream)
{
	struct stream *s = &e->stream[stream];

	if (!s->step || s->in_flight < EDGE_INCREMENT)
		return ERR_MALFORMED;
	s->in_flight -= EDGE_INCREMENT;
	return 0;
}

uint16_t edge_pack(struct edge *e, uint32_t stream, uint8_t *body, uint16_t room)
{
	struct stream *s = &e->stream[stream];
	uint16_t n;

	if (s->state == STREAM_OPEN)
		return (uint16_t)tcp_read(e->tcp, s->conn, body, room);
	if (s->state != STREAM_DIR)
		return 0;
	n = (uint16_t)MIN(s->out.len, (uint32_t)room);
	if (n)
		memcpy(body, s->out.p + s->out.at, n);
	pipe_skip(&s->out, n);
	return n;
}

int edge_write(struct edge *e, uint32_t stream, const uint8_t *p, uint32_t len)
{
	return keep(e, &e->stream[stream].out, p, len, EDGE_DIR_MAX);
}

void edge_ready(struct edge *e, uint32_t stream)
{
	struct stream *s = &e->stream[stream];

	if (s->ready || s->state == STREAM_ENDED || s->state == STREAM_FREE)
		return;
	s->ready = 1;
	e->n_ready++;
	s->ready_next = SLOT_NONE;
	s->ready_prev = e->ready_tail;
	if (e->ready_tail == SLOT_NONE)
		e->ready_head = stream;
	else
		e->stream[e->ready_tail].ready_next = stream;
	e->ready_tail = stream;
}

uint32_t edge_next_ready(struct edge *e)
{
	uint32_t stream = e->ready_head;

	if (stream != SLOT_NONE)
		unready(e, stream);
	return stream;
}
