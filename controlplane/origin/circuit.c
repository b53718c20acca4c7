/* circuit.c - a circuit that begins here: link, CREATE, EXTEND2 hop by hop, cells in and out
 * (tor-spec sections 5.1 to 5.3, 5.5, 6.1). */
#include <stdlib.h>

#include "controlplane/origin/internal.h"
#include "dataplane/wire/onionskin.h"

struct circuit *circuit_new(struct origin *o, enum circ_kind kind, const struct dir_target *path,
			    unsigned n_path)
{
	struct circuit *c;
	unsigned i = 0;

	while (i < ORIGIN_CIRCS && o->circs[i])
		i++;
	if (i == ORIGIN_CIRCS)
		return NULL;
	c = aligned_alloc(CACHE_LINE, (sizeof(*c) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->o = o;
	c->kind = kind;
	c->cookie = ++o->next_cookie;
	memcpy(c->path, path, n_path * sizeof(*path));
	c->n_path = n_path;
	c->born_us = c->moved_us = o->now_us;
	c->package_window = CIRC_WINDOW;
	o->circs[i] = c;
	return c;
}

void circuit_free(struct circuit *c)
{
	for (unsigned i = 0; i < ORIGIN_CIRCS; i++)
		if (c->o->circs[i] == c)
			c->o->circs[i] = NULL;
	free(c->fetch.request);
	free(c->fetch.raw);
	wipe(c, sizeof(*c));
	free(c);
}

void circuit_kill(struct circuit *c, int status)
{
	if (c->state == CIRC_DEAD)
		return;
	c->state = CIRC_DEAD;
	c->fetch.status = status;
	if (status < 0)
		c->o->n_failed++;
	/* an originator gives no reason */
	if (c->circ)
		c->o->ops.send(c->o->ops.ctx, CTL_CIRC_CLOSE, c->circ, DESTROY_NONE, NULL, 0, NULL,
			       0);
	c->circ = WID_NONE;
}

/* ---- the link ---- */
static void wait_free(struct link_wait *w)
{
	if (w->at) {
		*w->at = w->next;
		if (w->next)
			w->next->at = w->at;
	}
	free(w);
}

static void link_done(void *arg, wid conn, int why)
{
	struct link_wait *w = arg;
	struct origin *o = w->o;
	uint64_t cookie = w->cookie;

	wait_free(w);
	for (unsigned i = 0; o && i < ORIGIN_CIRCS; i++) {
		struct circuit *c = o->circs[i];

		if (!c || c->cookie != cookie || c->state != CIRC_LINKING)
			continue;
		if (conn)
			circuit_linked(c, conn);
		else
			circuit_kill(c, ERR_SYSTEM);
	}
}

void circuit_start(struct circuit *c)
{
	struct origin *o = c->o;
	struct link_wait *w = calloc(1, sizeof(*w));

	if (!w) {
		circuit_kill(c, ERR_FULL);
		return;
	}
	w->o = o;
	w->cookie = c->cookie;
	w->next = o->waits;
	w->at = &o->waits;
	if (w->next)
		w->next->at = &w->next;
	o->waits = w;
	if (o->ops.get_link(o->ops.ctx, &c->path[0], link_done, w)) {
		wait_free(w);
		circuit_kill(c, ERR_SYSTEM);
	}
}

/* ---- building ---- */
static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

/* The client's half of the handshake with the next hop: FAST only with the first, whose link has
 * proven who it is. */
static int shake_begin(struct circuit *c, uint8_t skin[HANDSHAKE_SKIN_MAX], size_t *len)
{
	const struct dir_target *t = &c->path[c->n_open];
	struct handshake_peer peer;
	uint16_t type = HANDSHAKE_NTOR;

	if (is_zero(t->ntor_key, 32)) {
		if (c->n_open)
			return ERR_UNKNOWN;
		type = HANDSHAKE_FAST;
	}
	memcpy(peer.rsa_id, t->rsa_id, 20);
	memcpy(peer.ed_id, t->ed_id, 32);
	memcpy(peer.onion, t->ntor_key, 32);
	return handshake_begin(&c->shake, type, &peer, skin, len);
}

void circuit_linked(struct circuit *c, wid conn)
{
	uint8_t skin[HANDSHAKE_SKIN_MAX], payload[CELL_PAYLOAD] = {0};
	struct ctl_origin_open open = {.cookie = c->cookie};
	struct create2 create = {.data = skin};
	size_t len;
	int n;

	c->conn = conn;
	c->state = CIRC_BUILDING;
	c->moved_us = c->o->now_us;
	if (shake_begin(c, skin, &len)) {
		circuit_kill(c, ERR_CRYPTO);
		return;
	}
	create.type = c->shake.type;
	create.len = (uint16_t)len;
	if (create.type == HANDSHAKE_FAST) {
		open.command = CELL_CREATE_FAST;
		memcpy(payload, skin, len);
		n = (int)len;
	} else {
		open.command = CELL_CREATE2;
		n = create2_put(&create, payload, sizeof(payload));
	}
	if (n < 0 || c->o->ops.send(c->o->ops.ctx, CTL_ORIGIN_OPEN, conn, 0, &open, sizeof(open),
				    payload, CELL_PAYLOAD))
		circuit_kill(c, ERR_FULL);
}

static void extend_next(struct circuit *c)
{
	const struct dir_target *t = &c->path[c->n_open];
	uint8_t skin[HANDSHAKE_SKIN_MAX], body[RELAY_BODY], tag[SHA1_LEN];
	struct extend2 e = {.or4 = t->or4, .or6 = t->or6};
	size_t len;
	int n;

	memcpy(e.rsa_id, t->rsa_id, 20);
	memcpy(e.ed_id, t->ed_id, 32);
	e.has_ed = !is_zero(t->ed_id, 32);
	if (shake_begin(c, skin, &len)) {
		circuit_kill(c, ERR_CRYPTO);
		return;
	}
	e.create = (struct create2) {c->shake.type, (uint16_t)len, skin};
	n = extend2_put(&e, body, sizeof(body));
	if (n < 0)
		circuit_kill(c, ERR_FULL);
	else
		circuit_send(c, CELL_RELAY_EARLY, RELAY_EXTEND2, 0, body, (size_t)n, tag);
}

/* The hop has answered: its layer is there, the next hop or the work begins. */
static void hop_done(struct circuit *c, const uint8_t *reply, size_t len)
{
	struct handshake_done done;

	if (handshake_finish(&c->shake, reply, len, &done)) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_CRYPTO);
		return;
	}
	tor1_layer_init(&c->o->cipher, &c->layers[c->n_open++], done.keys);
	wipe(&done, sizeof(done));
	c->moved_us = c->o->now_us;
	if (c->n_open < c->n_path) {
		extend_next(c);
		return;
	}
	c->state = CIRC_OPEN;
	c->o->n_opened++;
	if (c->kind == CIRC_FETCH)
		fetch_begin(c);
}

static void created(struct circuit *c, uint8_t cell_command, const uint8_t *payload)
{
	struct bytes data = {payload, 40}; /* CREATED_FAST: Y and KH */

	if (c->state != CIRC_BUILDING || c->n_open ||
	    (cell_command == CELL_CREATED_FAST) != (c->shake.type == HANDSHAKE_FAST) ||
	    (cell_command == CELL_CREATED2 && created2_get(&data, payload, CELL_PAYLOAD))) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	hop_done(c, data.p, data.len);
}

/* ---- relay cells ---- */
int circuit_send(struct circuit *c, uint8_t cell_command, uint8_t command, uint16_t stream_id,
		 const void *body, size_t len, uint8_t tag[SHA1_LEN])
{
	uint8_t payload[CELL_PAYLOAD] = {0};
	size_t pad_at = RELAY_HEAD + len + 4;

	relay_msg_head(payload, command, stream_id, (uint16_t)len);
	if (len)
		memcpy(payload + RELAY_HEAD, body, len);
	if (pad_at < CELL_PAYLOAD) /* four zeroes, then noise (tor-spec section 6.1) */
		rng_bytes(&c->o->rng, payload + pad_at, CELL_PAYLOAD - pad_at);
	tor1_client_seal(&c->o->cipher, c->layers, c->n_open - 1, payload, tag);
	if (c->o->ops.send(c->o->ops.ctx, CTL_ORIGIN_SEND, c->circ, cell_command, NULL, 0, payload,
			   CELL_PAYLOAD) == 0)
		return 0;
	circuit_kill(c, ERR_FULL);
	return ERR_FULL;
}

/* A DATA cell has come from the last hop: every hundredth is acknowledged with its tag. */
static void deliver_count(struct circuit *c, const uint8_t tag[SHA1_LEN])
{
	uint8_t body[3 + SHA1_LEN] = {1, 0, SHA1_LEN}, ours[SHA1_LEN];
	bool v1 = dir_param(c->o->dir, DIR_PARAM_sendme_emit_min_version) >= 1;

	if (++c->deliver_count < CIRC_STEP)
		return;
	c->deliver_count = 0;
	memcpy(body + 3, tag, SHA1_LEN);
	circuit_send(c, CELL_RELAY, RELAY_SENDME, 0, body, v1 ? sizeof(body) : 0, ours);
}

/* The far end acknowledges a hundred of our DATA cells; the tag must be what we sent (F2). */
static void circuit_sendme(struct circuit *c, const struct relay_msg *m)
{
	bool v1 = m->len >= 3 && m->body[0] == 1;

	if (!c->n_tags || (v1 && (be16_get(m->body + 1) != SHA1_LEN || m->len < 3 + SHA1_LEN ||
				  !same_bytes(m->body + 3, c->tags[0], SHA1_LEN)))) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	memmove(c->tags, c->tags + 1, --c->n_tags * sizeof(c->tags[0]));
	c->package_window += CIRC_STEP;
	if (c->kind == CIRC_FETCH)
		fetch_pump(c);
}

static void extended(struct circuit *c, const struct relay_msg *m)
{
	struct bytes data;

	if (c->state != CIRC_BUILDING || created2_get(&data, m->body, m->len)) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	hop_done(c, data.p, data.len);
}

static void relay_cell(struct circuit *c, const uint8_t *cell)
{
	uint8_t payload[CELL_PAYLOAD], tag[SHA1_LEN];
	struct relay_msg m;
	int hop;

	memcpy(payload, cell, CELL_PAYLOAD);
	hop = tor1_client_open(&c->o->cipher, c->layers, c->n_open, payload, tag);
	if (hop < 0 || relay_msg_get(&m, payload)) {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
		return;
	}
	c->moved_us = c->o->now_us;
	if (m.command == RELAY_TRUNCATED) {
		circuit_kill(c, ERR_SYSTEM);
	} else if ((unsigned)hop != c->n_open - 1) {
		return; /* of no use to us: padding of a middle */
	} else if (m.command == RELAY_EXTENDED2) {
		extended(c, &m);
	} else if (m.command == RELAY_SENDME && !m.stream_id) {
		circuit_sendme(c, &m);
	} else if (c->kind == CIRC_FETCH && c->state == CIRC_OPEN) {
		if (m.command == RELAY_DATA)
			deliver_count(c, tag);
		if (c->state == CIRC_OPEN)
			fetch_message(c, &m, tag);
	}
}

void circuit_cell(struct circuit *c, uint8_t cell_command, const uint8_t *payload)
{
	if (cell_command == CELL_CREATED2 || cell_command == CELL_CREATED_FAST)
		created(c, cell_command, payload);
	else if (cell_command == CELL_RELAY && c->n_open)
		relay_cell(c, payload);
	else {
		c->o->n_cells_bad++;
		circuit_kill(c, ERR_MALFORMED);
	}
}
