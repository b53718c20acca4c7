/* house_control.c - the scripted control of house.h: it answers at once, or keeps what a test wants
 * to see kept, and remembers the last of each kind. */
#include "dataplane/worker/house.h"

void house_down(struct house *h, unsigned worker, enum ctl_type type, wid id, uint32_t arg,
		const void *body, size_t body_len, const void *tail, size_t tail_len)
{
	uint8_t head[512];
	struct ctl_head c = {.type = (uint16_t)type, .epoch = h->epoch, .arg = arg, .id = id};

	memcpy(head, &c, sizeof(c));
	if (body_len)
		memcpy(head + sizeof(c), body, body_len);
	house_must(ring_send(&h->down[worker], head, sizeof(c) + body_len, tail, tail_len) == 0,
		   "ring");
}

void house_param(struct house *h, enum ctl_param_id id, int64_t value)
{
	struct ctl_param p = {.param = id, .value = value};

	for (unsigned i = 0; i < h->n_workers; i++)
		house_down(h, i, CTL_PARAM_SET, WID_NONE, 0, &p, sizeof(p), NULL, 0);
}

/* Our record is out, theirs is in: the record layer is the worker's. */
static void give_keys(struct house *h, wid conn, bool dialled)
{
	struct ctl_conn_keys k = {.version = 0x0304, .suite = 0x1301};

	k.in.offset = k.out.offset = HELLO_LEN;
	house_secrets(k.in.secret, k.out.secret, dialled);
	house_down(h, wid_worker(conn), CTL_CONN_KEYS, conn, 0, &k, sizeof(k), NULL, 0);
}

static bool was_dialled(struct house *h, wid conn)
{
	return h->workers[wid_worker(conn)].conn[wid_index(conn)].cookie != 0;
}

static void say_hello(struct house *h, wid conn)
{
	uint8_t hello[HELLO_LEN];

	house_hello(hello);
	house_down(h, wid_worker(conn), CTL_CONN_WRITE, conn, 0, NULL, 0, hello, HELLO_LEN);
}

static void hears_opened(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	struct ctl_conn_opened o;

	memcpy(&o, body, sizeof(o));
	if (o.cookie)
		say_hello(h, c->id);
}

static void hears_read(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	struct ctl_conn_read r;

	memcpy(&r, body, sizeof(r));
	if (r.offset)
		return; /* behind the hand-over: the worker keeps it */
	if (!was_dialled(h, c->id))
		say_hello(h, c->id);
	give_keys(h, c->id, was_dialled(h, c->id));
}

static void hears_cell(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	struct ctl_conn_ready r = {
		.link_proto = 5, .peer = h->judge, .initiator = was_dialled(h, c->id)};

	if (body[4] != CELL_NETINFO)
		return;
	house_down(h, wid_worker(c->id), CTL_CONN_READY, c->id, 0, &r, sizeof(r), NULL, 0);
	if (r.initiator)
		h->next_conn = c->id;
}

/* The client's handshake data are the keys themselves. */
static void hears_create(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	const uint8_t *data = body + sizeof(struct ctl_circ_create) + 4;
	uint8_t n_keys = be16_get(data - 2) == CGO_KEYS ? CGO_KEYS : TOR1_KEYS;
	struct ctl_circ_add add = {.created = CELL_CREATED2,
				   .scheme = n_keys == CGO_KEYS ? ONION_CGO : ONION_TOR1,
				   .keys_len = n_keys,
				   .flow = h->cc_inc ? CTL_FLOW_CC : CTL_FLOW_FIXED,
				   .sendme_inc = h->cc_inc};
	static const uint8_t answer[2];

	memcpy(add.keys, data, n_keys);
	house_down(h, wid_worker(c->id), CTL_CIRC_ADD, c->id, 0, &add, sizeof(add), answer, 2);
}

static void hears_circ(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	struct ctl_circ_msg m;
	struct ctl_circ_extend e;

	memcpy(&m, body, sizeof(m));
	if (m.command != RELAY_EXTEND2)
		return;
	e = (struct ctl_circ_extend) {.serial = m.serial, .conn = h->next_conn};
	house_down(h, wid_worker(c->id), CTL_CIRC_EXTEND, c->id, 0, &e, sizeof(e), body + sizeof(m),
		   len - sizeof(m));
}

static void hears_stream(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	struct ctl_stream_open o = {
		.kind = h->answer == ANSWER_DIR ? CTL_STREAM_DIR : CTL_STREAM_TCP,
		.ttl = 60,
		.local = house_address(RELAY_IP, 0),
		.remote = house_address(PEER_IP, (uint16_t)(HOUSE_DEST + h->dest))};
	static const uint8_t resolved[] = {4, 4, 10, 0, 0, 2, 0, 0, 0, 60},
			     policy[] = {END_EXITPOLICY};

	h->credit = 0;
	if (h->answer == ANSWER_RESOLVED)
		house_down(h, wid_worker(c->id), CTL_STREAM_CLOSE, c->id, RELAY_RESOLVED, NULL, 0,
			   resolved, sizeof(resolved));
	else if (h->answer == ANSWER_REFUSED)
		house_down(h, wid_worker(c->id), CTL_STREAM_CLOSE, c->id, RELAY_END, NULL, 0,
			   policy, sizeof(policy));
	else
		house_down(h, wid_worker(c->id), CTL_STREAM_OPEN, c->id, 0, &o, sizeof(o), NULL, 0);
}

static void hears_credit(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	h->credit += c->arg;
}

static void hears_bytes(struct house *h, const struct ctl_head *c, const uint8_t *body, size_t len)
{
	h->dir_bytes += len;
	h->dir_hash = house_fold(h->dir_hash, body, len);
}

static void (*const hears[N_CTL_UP])(struct house *, const struct ctl_head *, const uint8_t *,
				     size_t) = {
	[CTL_CONN_OPENED] = hears_opened,   [CTL_CONN_READ] = hears_read,
	[CTL_CELL_RECV] = hears_cell,	    [CTL_CIRC_CREATE] = hears_create,
	[CTL_CIRC_RECV] = hears_circ,	    [CTL_STREAM_RECV] = hears_stream,
	[CTL_STREAM_CREDIT] = hears_credit, [CTL_STREAM_READ] = hears_bytes,
};

static void answer(struct house *h, const uint8_t *msg, size_t len)
{
	struct ctl_head c;

	memcpy(&c, msg, sizeof(c));
	if (hears[c.type])
		hears[c.type](h, &c, msg + sizeof(c), len - sizeof(c));
}

void house_hears(struct house *h, const uint8_t *msg, size_t len)
{
	struct house_kept *k = &h->kept[h->n_kept % HOUSE_KEPT];
	struct ctl_head c;

	memcpy(&c, msg, sizeof(c));
	house_must(c.type > CTL_UP_FIRST && c.type < N_CTL_UP && c.len == len, "message up");
	h->n_up[c.type]++;
	h->last[c.type] = c.id;
	h->last_arg[c.type] = c.arg;
	memcpy(h->last_body[c.type], msg + sizeof(c), MIN(len - sizeof(c), (size_t)CELL_LEN));
	if (!(h->holds >> (c.type - CTL_UP_FIRST) & 1)) {
		answer(h, msg, len);
	} else if (len <= sizeof(k->bytes) && h->n_kept < HOUSE_KEPT) {
		memcpy(k->bytes, msg, len);
		k->len = len;
		h->n_kept++;
	}
}

void house_release(struct house *h)
{
	h->holds = 0;
	for (unsigned i = 0; i < h->n_kept; i++)
		answer(h, h->kept[i].bytes, h->kept[i].len);
	h->n_kept = 0;
}

void house_control_turn(struct house *h)
{
	static uint8_t msg[RING_MSG_MAX];
	int len;

	for (unsigned i = 0; i < h->n_workers && !h->silent; i++)
		while ((len = ring_recv(&h->up[i], msg, false)) > 0)
			house_hears(h, msg, (size_t)len);
}
