/* bare.c - the fixture behind bare.h. */
#include "dataplane/worker/bare.h"

#include <stdio.h>
#include <stdlib.h>

#define QUIET_TURNS 4000
#define CANARY	    0xa5

static void remember(wid ids[BARE_IDS], unsigned *n, wid id)
{
	if (id)
		ids[(*n)++ % BARE_IDS] = id;
}

void bare_hear(struct bare *b)
{
	static uint8_t msg[RING_MSG_MAX];
	struct ctl_head c;
	int len;

	while ((len = ring_recv(&b->h.up[0], msg, false)) > 0) {
		memcpy(&c, msg, sizeof(c));
		house_must(c.type > CTL_UP_FIRST && c.type < N_CTL_UP, "a type of message up");
		if (c.type == CTL_CONN_OPENED)
			remember(b->conn, &b->n_conn, c.id);
		if (c.type == CTL_CIRC_CREATE || c.type == CTL_ORIGIN_OPENED)
			remember(b->circ, &b->n_circ, c.id);
		if (c.type == CTL_STREAM_RECV)
			remember(b->stream, &b->n_stream, c.id);
		if (b->answers && c.type >= CTL_CIRC_CREATE)
			house_hears(&b->h, msg, (size_t)len);
	}
	house_must(len == 0, "the ring to control");
	if (b->answers)
		ctl_in(b->w);
}

void bare_turn(struct bare *b, unsigned turns, uint64_t leap_us)
{
	b->h.now_us += leap_us;
	for (unsigned i = 0; i < turns; i++) {
		house_step(&b->h);
		bare_hear(b);
	}
}

void bare_plain(struct bare *b, unsigned link, const uint8_t *p, size_t len)
{
	uint32_t conn = b->link[link];
	struct link *k = link_of(&b->w->links, conn);

	if (!tcp_live(b->w->tcp, conn) || b->w->conn[conn].shut || !len ||
	    (k->state != LINK_HANDSHAKE && k->state != LINK_OPEN))
		return;
	k->held = malloc(len); /* of exactly this size: a read behind it is seen */
	memcpy(k->held, p, len);
	k->held_len = (uint32_t)len;
	link_replay_cells(b->w, conn);
	bare_hear(b);
}

void bare_cell(struct bare *b, unsigned link, uint32_t circ_id, uint8_t command, const uint8_t *p,
	       size_t len)
{
	uint8_t cell[CELL_LEN] = {0};

	cell_head_put(cell, circ_id, command);
	if (len)
		memcpy(cell + CELL_HEAD, p, MIN(len, (size_t)CELL_PAYLOAD));
	bare_plain(b, link, cell, sizeof(cell));
}

/* ---- the two links ---- */
static bool link_fine(struct bare *b, unsigned i)
{
	uint32_t conn = b->link[i];

	return tcp_live(b->w->tcp, conn) && !b->w->conn[conn].shut &&
	       link_of(&b->w->links, conn)->state == LINK_OPEN;
}

static wid dial(struct bare *b, uint64_t cookie)
{
	struct ctl_conn_open dial = {.cookie = cookie,
				     .local = house_address(RELAY_IP, 0),
				     .remote = house_address(PEER_IP, HOP_PORT)};
	unsigned n = b->n_conn;

	house_down(&b->h, 0, CTL_CONN_OPEN, WID_NONE, 0, &dial, sizeof(dial), NULL, 0);
	for (unsigned k = 0; k < QUIET_TURNS && b->n_conn == n; k++)
		bare_turn(b, 1, 0);
	house_must(b->n_conn > n, "dial");
	return b->conn[n % BARE_IDS];
}

static void link_dial(struct bare *b, unsigned i)
{
	static const uint8_t shake[] = {0, 0, CELL_VERSIONS, 0, 2, 0, 5},
			     netinfo[CELL_LEN] = {[4] = CELL_NETINFO};
	struct ctl_conn_keys keys = {.version = 0x0304, .suite = 0x1301};
	struct ctl_conn_ready ready = {
		.link_proto = 5, .peer = CTL_PEER_RELAY, .initiator = i == 1};
	wid id = dial(b, 1 + i);

	b->link[i] = wid_index(id);
	house_down(&b->h, 0, CTL_CONN_KEYS, id, 0, &keys, sizeof(keys), NULL, 0);
	ctl_in(b->w);
	bare_plain(b, i, shake, sizeof(shake));
	bare_plain(b, i, netinfo, sizeof(netinfo));
	house_down(&b->h, 0, CTL_CONN_READY, id, 0, &ready, sizeof(ready), NULL, 0);
	ctl_in(b->w);
	house_must(link_fine(b, i), "link");
	b->h.next_conn = tcp_id(b->w->tcp, b->link[1]);
}

uint32_t bare_stranger(struct bare *b)
{
	b->link[BARE_LINKS] = wid_index(dial(b, 1 + BARE_LINKS));
	return b->h.dest_conn;
}

static struct bare the;

/* Columns are no part of the heap: what they point to must go for leaks to be seen. */
static void at_exit(void)
{
	house_close(&the.h);
}

struct bare *bare_begin(bool answers)
{
	struct bare *b = &the;

	if (!b->w) {
		house_open_bare(&b->h, 1);
		atexit(at_exit);
		b->w = &b->h.workers[0];
		for (uint32_t i = 0; i < b->w->sched.cf.n_slots; i++)
			memset(b->w->sched.slots[i]._tail, CANARY, 3);
		b->link[0] = b->link[1] = 511;
	}
	b->answers = false;
	for (unsigned i = 0; i < BARE_LINKS; i++)
		if (!link_fine(b, i))
			link_dial(b, i);
	b->answers = answers;
	b->n_conn = b->n_circ = b->n_stream = 0;
	memset(b->circ, 0, sizeof(b->circ));
	memset(b->stream, 0, sizeof(b->stream));
	memset(b->conn, 0, sizeof(b->conn));
	for (unsigned i = 0; i < BARE_LINKS; i++)
		remember(b->conn, &b->n_conn, tcp_id(b->w->tcp, b->link[i]));
	return b;
}

/* ---- the end of an input ---- */
static void params_reset(struct worker *w)
{
	static const int64_t defaults[] = {
#define X(name, value) [CTL_PARAM_##name] = value,
		CTL_PARAMS(X)
#undef X
	};
	struct addr peer = house_address(PEER_IP, 0);

	memcpy(w->params, defaults, sizeof(defaults));
	for (unsigned why = 0; why < N_CTL_DENY; why++)
		denied_set(&w->denied, &peer, why, 0, 0);
	for (int b = 0; b < N_BUCKETS; b++)
		for (int way = 0; way < N_WAYS; way++)
			w->plane->bucket[b].left[way] = 1 << 30;
	memory_bound(w);
	w->stopping = false;
	tcp_accepting(w->tcp, true);
}

static bool quiet(struct bare *b)
{
	struct worker *w = b->w;

	return !slots_in_use(&w->sched) && !w->circs.circ_slots.n_used &&
	       !w->circs.leg_slots.n_used && !w->edge.slots.n_used && !w->late.n;
}

/* Slots lie side by side in one column, where no sanitizer sees who writes too far. */
static bool slots_whole(struct worker *w)
{
	for (uint32_t i = 0; i < w->sched.n_touched; i++)
		for (size_t k = 0; k < sizeof(w->sched.slots[i]._tail); k++)
			if (w->sched.slots[i]._tail[k] != CANARY)
				return false;
	return true;
}

static void strangers_end(struct bare *b)
{
	for (uint32_t i = 0; i < b->w->plane->n_conns; i++)
		if (tcp_live(b->w->tcp, i) && i != b->link[0] && i != b->link[1])
			tcp_abort(b->w->tcp, i);
}

void bare_end(struct bare *b)
{
	struct worker *w = b->w;

	b->answers = false;
	b->h.epoch = w->plane->ctl->epoch = 1;
	params_reset(w);
	for (uint32_t i = 0; i < w->circs.circ_slots.n; i++)
		if (slots_live(&w->circs.circ_slots, i))
			circ_shut(w, i, DESTROY_REQUESTED, -1);
	for (unsigned i = 0; i < QUIET_TURNS && !quiet(b); i++) {
		if (i == 100)
			strangers_end(b);
		bare_turn(b, 1, 0);
	}
	strangers_end(b);
	bare_turn(b, 2, 0);
	house_must(slots_whole(w), "the bytes behind a cell");
	if (quiet(b) && !w->edge.mem && !w->circs.conn_pending[b->link[0]] &&
	    !w->circs.conn_pending[b->link[1]] && w->links.n_open <= BARE_LINKS)
		return;
	fprintf(stderr,
		"left: %u slots, %u circuits, %u legs, %u streams, %u closings, %llu bytes, "
		"%u links\n",
		slots_in_use(&w->sched), w->circs.circ_slots.n_used, w->circs.leg_slots.n_used,
		w->edge.slots.n_used, w->late.n, (unsigned long long)w->edge.mem, w->links.n_open);
	abort();
}

/* ---- what an input may do ---- */
static wid pick(const wid *ids, uint8_t which)
{
	return which == 255 ? WID_NONE : ids[which % BARE_IDS] ^ (which >= 128 ? which : 0);
}

/* The body of a message, and its tail: bytes of the input over values that make sense. */
struct words {
	uint8_t bytes[2048];
	size_t len;
};

static void word_put(struct words *m, const void *body, size_t len)
{
	memcpy(m->bytes + m->len, body, len);
	m->len += len;
}

static void sense_conn_open(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_conn_open o = {.cookie = 100u + x,
				  .local = house_address(RELAY_IP, 0),
				  .remote = house_address(PEER_IP, x & 1 ? HOP_PORT : 5)};

	word_put(m, &o, sizeof(o));
}
static void sense_keys(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_conn_keys k = {.version = x & 1 ? 0x0303 : 0x0304,
				  .suite = x & 1 ? 0xc02f : 0x1301,
				  .in.offset = x >> 4};

	word_put(m, &k, sizeof(k));
}
static void sense_ready(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_conn_ready y = {.link_proto = 4 + (x & 1), .peer = x % 3, .initiator = x >> 7};

	word_put(m, &y, sizeof(y));
}
static void sense_circ_add(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_circ_add a = {.created = CELL_CREATED2,
				 .legacy = x & 1,
				 .flow = x >> 1 & 1,
				 .sendme_inc = x >> 1 & 31,
				 .scheme = x >> 6,
				 .keys_len = x == 255 ? 161
					     : x >> 6 ? CGO_KEYS
						      : TOR1_KEYS};

	word_put(m, &a, sizeof(a));
}
static void sense_extend(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_circ_extend e = {.serial = x & 7, .conn = pick(b->conn, x >> 3)};

	word_put(m, &e, sizeof(e));
}
static void sense_splice(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_circ_splice s = {pick(b->circ, x)};

	word_put(m, &s, sizeof(s));
}
static void sense_circ_send(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_circ_msg s = {.command = x, .stream_id = x};

	word_put(m, &s, sizeof(s));
}
static void sense_stream(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_stream_open o = {.kind = x & 1,
				    .local = house_address(RELAY_IP, 0),
				    .remote =
					    house_address(PEER_IP, (uint16_t)(HOUSE_DEST + x % 8))};

	word_put(m, &o, sizeof(o));
}
static void sense_deny(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_addr_deny d = {.at = house_address(x & 1 ? PEER_IP : x, 0), .seconds = x >> 4};

	word_put(m, &d, sizeof(d));
}
static void sense_param(struct bare *b, struct words *m, uint8_t x)
{
	struct ctl_param p = {.param = x};

	word_put(m, &p, sizeof(p));
}

static void (*const senses[N_CTL_DOWN])(struct bare *, struct words *, uint8_t) = {
	[CTL_CONN_OPEN] = sense_conn_open, [CTL_CONN_KEYS] = sense_keys,
	[CTL_CONN_READY] = sense_ready,	   [CTL_CIRC_ADD] = sense_circ_add,
	[CTL_CIRC_EXTEND] = sense_extend,  [CTL_CIRC_SPLICE] = sense_splice,
	[CTL_CIRC_SEND] = sense_circ_send, [CTL_STREAM_OPEN] = sense_stream,
	[CTL_PARAM_SET] = sense_param,	   [CTL_ADDR_DENY] = sense_deny,
};

/* Whose id a message bears. */
static const wid *ids_of(const struct bare *b, uint8_t type)
{
	if (type >= CTL_STREAM_OPEN && type <= CTL_STREAM_CLOSE)
		return b->stream;
	if ((type >= CTL_CIRC_ADD && type <= CTL_CIRC_TAG) || type == CTL_ORIGIN_SEND)
		return b->circ;
	return b->conn;
}

void bare_do_message(struct bare *b, struct reader *r)
{
	uint8_t type = rd_u8(r) % (N_CTL_DOWN + 1), which = rd_u8(r), x = rd_u8(r), arg = rd_u8(r);
	uint16_t over = rd_u16(r), more = rd_u16(r) % 1024;
	struct words m = {.len = 0};
	struct ctl_head c = {.type = type,
			     .epoch = over >> 15 ? 2 : 1,
			     .arg = arg,
			     .id = pick(ids_of(b, type), which)};
	const uint8_t *bytes;

	if (r->bad)
		return;
	word_put(&m, &c, sizeof(c));
	if (type < N_CTL_DOWN && senses[type])
		senses[type](b, &m, x);
	m.len += more;
	/* Some bytes of the input go over it, from some place on behind the header. */
	over = (uint16_t)(sizeof(c) + over % 512);
	more = (uint16_t)MIN(rd_left(r), (size_t)(x & 63));
	bytes = rd_bytes(r, more);
	if (bytes)
		memcpy(m.bytes + over, bytes, more);
	if (ring_send(&b->h.down[0], m.bytes, m.len, NULL, 0) == 0)
		ctl_in(b->w);
	bare_hear(b);
}

void bare_do_cell(struct bare *b, struct reader *r)
{
	uint8_t which = rd_u8(r), command = rd_u8(r), len = rd_u8(r);
	uint32_t id = (which >> 1 & 7) | (which & 128 ? 0 : 0x80000000u);
	size_t n = MIN(rd_left(r), (size_t)len);
	const uint8_t *bytes = rd_bytes(r, n);
	struct leg *leg;

	/* Circuit ids that we drew are at random: name them by the order of their legs. */
	if (which & 64 && conn_legs(&b->w->circs, b->link[which & 1]) != SLOT_NONE) {
		leg = &b->w->circs.leg[conn_legs(&b->w->circs, b->link[which & 1])];
		id = leg->circ_id;
	}
	bare_cell(b, which & 1, id, command, bytes, n);
}

void bare_do_relay(struct bare *b, struct reader *r)
{
	uint8_t which = rd_u8(r), command = rd_u8(r), stream = rd_u8(r), times = rd_u8(r);
	uint16_t len = rd_u16(r);
	uint8_t payload[CELL_PAYLOAD] = {0}, copy[CELL_PAYLOAD], tag[SHA1_LEN] = {0};
	enum relay_format format = RELAY_V0;
	uint32_t circ = circ_check(&b->w->circs, pick(b->circ, which & 127));
	size_t n = MIN(rd_left(r), (size_t)(len & 255));
	const uint8_t *bytes = rd_bytes(r, n);

	if (r->bad)
		return;
	if (circ != SLOT_NONE)
		format = onion_format(&b->w->onion, circ);
	relay_msg_write(payload, format, command, stream & 15, len % (RELAY_BODY + 8));
	if (bytes)
		memcpy(payload + relay_body_at(format, command), bytes, n);
	for (unsigned i = 0; i <= times; i++) {
		if (circ == SLOT_NONE || b->w->circs.circ[circ].state != CIRC_OPEN)
			break;
		memcpy(copy, payload, sizeof(copy));
		recognised(b->w, circ, copy, tag, which >> 7);
	}
	cells_flush(b->w);
	bare_hear(b);
}

void bare_do_turn(struct bare *b, struct reader *r)
{
	/* A wheel turns tick by tick: the long leap is rare. */
	static const uint64_t leaps[] = {0, 0, 0, 1000, 20000, 100000, 2100000, 0};
	uint8_t x = rd_u8(r);

	bare_turn(b, 1 + (x >> 3), x == 255 ? 400000000 : leaps[x & 7]);
}
