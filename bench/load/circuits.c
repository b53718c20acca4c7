/* circuits.c - circuits of the client: handshakes with the relay under test, the extension to a
 * sink and the sink's answer; then the cells go to middle.c or exit.c. */
#include "bench/load/load.h"

#include "dataplane/wire/onionskin.h"

#include <stdlib.h>

#define INDEX_BITS   17
#define READY_SKINS  64 /* create: onion skins made beforehand, used over and over */
#define CHECK_ONE_IN 16 /* create: so many answers are checked in full */
#define SINK_SKIN    HANDSHAKE_NTOR_LEN

static const char *const reasons[] = {
	"NONE",		 "TORPROTOCOL",	  "INTERNAL",	  "REQUESTED",	    "HIBERNATING",
	"RESOURCELIMIT", "CONNECTFAILED", "OR_IDENTITY",  "CHANNEL_CLOSED", "FINISHED",
	"TIMEOUT",	 "DESTROYED",	  "NOSUCHSERVICE"};

static const char *reason_of(uint8_t r)
{
	return r < ARRAY_LEN(reasons) ? reasons[r] : "?";
}

static uint32_t index_of(const struct load *ld, uint32_t id)
{
	uint32_t i = id & ((1u << INDEX_BITS) - 1);

	return i < ld->opt.n_circs && ld->circ[i].id == id ? i : SLOT_NONE;
}

/* ---- to the relay under test ---- */
static struct ready {
	struct handshake_client shake;
	uint8_t skin[HANDSHAKE_SKIN_MAX];
	size_t len;
} * ready;

static int skin_of(struct load *ld, struct circ *c, uint8_t *skin, size_t *len)
{
	struct handshake_peer peer = ld->relay.keys;
	const struct ready *r;

	peer.ask_cc = ld->opt.cc;
	peer.ask_cgo = ld->opt.cgo;
	if (!ld->recreate)
		return handshake_begin(c->shake, ld->opt.handshake, &peer, skin, len);
	if (!ready) {
		ready = calloc(READY_SKINS, sizeof(*ready));
		for (unsigned i = 0; ready && i < READY_SKINS; i++)
			handshake_begin(&ready[i].shake, ld->opt.handshake, &peer, ready[i].skin,
					&ready[i].len);
	}
	if (!ready)
		return ERR_FULL;
	r = &ready[rng_below(&ld->rng, READY_SKINS)];
	*c->shake = r->shake;
	memcpy(skin, r->skin, r->len);
	*len = r->len;
	return 0;
}

static unsigned link_for(const struct load *ld, uint32_t i)
{
	unsigned n = ld->opt.n_links - ld->opt.mode->thin;

	return is_thin(ld, i) ? n : i % n;
}

static void create(struct load *ld, uint32_t i)
{
	struct circ *c = &ld->circ[i];
	uint8_t skin[HANDSHAKE_SKIN_MAX], payload[CELL_PAYLOAD] = {0};
	struct create2 body = {.type = ld->opt.handshake, .data = skin};
	bool fast = ld->opt.handshake == HANDSHAKE_FAST;
	uint32_t round = c->id >> INDEX_BITS;
	size_t len;

	c->state = CIRC_CREATING;
	c->conn = ld->link[link_for(ld, i)];
	c->id = 0x80000000u | (round + 1) << INDEX_BITS | i;
	c->sink_conn = SLOT_NONE;
	ld->n_circs_pending++;
	if (!c->shake)
		c->shake = malloc(sizeof(*c->shake));
	if (!c->shake || skin_of(ld, c, skin, &len) < 0) {
		load_fail(ld, "the client's half of a handshake cannot be made");
		return;
	}
	body.len = (uint16_t)len;
	if (fast)
		memcpy(payload, skin, len);
	else
		create2_put(&body, payload, sizeof(payload));
	peer_cell(ld, c->conn, c->id, fast ? CELL_CREATE_FAST : CELL_CREATE2, payload,
		  sizeof(payload));
}

void circuits_build(struct load *ld)
{
	unsigned begun = ld->n_circs_open + ld->n_circs_pending + ld->n_circs_gone;

	while (ld->n_circs_pending < ld->opt.pending && begun < ld->circs_wanted && !ld->failed[0])
		create(ld, begun++);
}

static void extend(struct load *ld, uint32_t i)
{
	struct circ *c = &ld->circ[i];
	uint8_t body[RELAY_BODY], skin[SINK_SKIN], tag[SHA1_LEN];
	struct extend2 e = {.or4 = ld->opt.address.ip, .has_ed = true};
	unsigned sink = i % ld->opt.n_sinks;
	int len;

	/* What the sink makes of the skin is between us two: it sends its beginning back. */
	rng_bytes(&ld->rng, skin, sizeof(skin));
	be32_put(skin, i);
	memcpy(c->proof, skin, sizeof(c->proof));
	e.or4.port = (uint16_t)(SINK_PORT + sink);
	sink_ids(ld, sink, e.rsa_id, e.ed_id);
	e.create = (struct create2) {HANDSHAKE_NTOR, sizeof(skin), skin};
	len = extend2_put(&e, body, sizeof(body));
	c->state = CIRC_EXTENDING;
	circuit_say(ld, i, RELAY_EXTEND2, 0, body, (uint16_t)len, true, tag);
}

void circuit_open(struct load *ld, uint32_t i)
{
	struct circ *c = &ld->circ[i];

	c->state = CIRC_OPEN;
	free(c->shake);
	c->shake = NULL;
	ld->conn[c->conn].n_circs++;
	if (c->sink_conn != SLOT_NONE)
		ld->conn[c->sink_conn].n_circs++;
	ld->n_circs_pending--;
	ld->n_circs_open++;
}

static void again(struct load *ld, uint32_t i)
{
	static const uint8_t finished[] = {DESTROY_FINISHED};

	ld->n_circs_pending--;
	ld->sum.handshakes++;
	peer_cell(ld, ld->circ[i].conn, ld->circ[i].id, CELL_DESTROY, finished, sizeof(finished));
	create(ld, i);
}

static void created(struct load *ld, uint32_t i, uint8_t command, const uint8_t *payload)
{
	struct circ *c = &ld->circ[i];
	struct handshake_done done;
	struct bytes reply = {payload, 2 * HANDSHAKE_FAST_LEN};

	if (c->state != CIRC_CREATING ||
	    (command == CELL_CREATED_FAST) != (ld->opt.handshake == HANDSHAKE_FAST) ||
	    (command == CELL_CREATED2 && created2_get(&reply, payload, CELL_PAYLOAD) < 0)) {
		load_fail(ld, "an answer to a CREATE that was not sent, or does not parse");
		return;
	}
	if (ld->recreate && ld->sum.handshakes % CHECK_ONE_IN) {
		again(ld, i);
		return;
	}
	if (handshake_finish(c->shake, reply.p, reply.len, &done) < 0) {
		load_fail(ld, "circuit %u: the relay's half of the handshake does not hold", i);
		return;
	}
	if (ld->opt.cc && !done.cc)
		load_fail(ld, "the relay does not grant congestion control");
	c->cc = done.cc;
	c->inc = done.cc ? done.sendme_inc : 100;
	layer_start(ld, c, &done);
	wipe(&done, sizeof(done));
	if (ld->recreate)
		again(ld, i);
	else if (ld->opt.mode->extend)
		extend(ld, i);
	else if (ld->opt.mode->streams)
		exit_begin(ld, i);
	else
		circuit_open(ld, i);
}

void circuit_say(struct load *ld, uint32_t i, uint8_t command, uint16_t stream, const void *body,
		 uint16_t len, bool early, uint8_t tag[SHA1_LEN])
{
	struct circ *c = &ld->circ[i];
	uint8_t payload[CELL_PAYLOAD] = {0}, cell = early ? CELL_RELAY_EARLY : CELL_RELAY;

	relay_msg_write(payload, layer_format(c), command, stream, len);
	if (len)
		memcpy(payload + relay_body_at(layer_format(c), command), body, len);
	layer_seal(ld, c, cell, payload, tag);
	peer_cell(ld, c->conn, c->id, cell, payload, sizeof(payload));
}

/* EXTENDED2, or why not. */
static void extended(struct load *ld, uint32_t i, uint8_t *payload)
{
	struct circ *c = &ld->circ[i];
	uint8_t tag[SHA1_LEN];
	struct relay_msg m;
	struct bytes data;

	if (!layer_open(ld, c, payload, tag) || relay_msg_read(&m, payload, layer_format(c)) < 0)
		load_fail(ld, "circuit %u: a cell that is not the relay's own", i);
	else if (m.command == RELAY_TRUNCATED)
		load_fail(ld, "circuit %u: the relay did not extend it to our sink: %s", i,
			  reason_of(m.len ? m.body[0] : 0));
	else if (m.command != RELAY_EXTENDED2 || created2_get(&data, m.body, m.len) < 0 ||
		 data.len != sizeof(c->proof) || memcmp(data.p, c->proof, data.len))
		load_fail(ld, "circuit %u: EXTENDED2 is not what the sink said", i);
	else if (c->sink_conn == SLOT_NONE)
		load_fail(ld, "circuit %u: EXTENDED2 without a sink", i);
	else
		circuit_open(ld, i);
}

static void client_relay(struct load *ld, uint32_t i, uint8_t *payload)
{
	struct circ *c = &ld->circ[i];

	if (ld->opt.mode->streams)
		exit_cell(ld, i, payload);
	else if (LIKELY(c->state == CIRC_OPEN))
		middle_down(ld, i, payload);
	else if (c->state == CIRC_EXTENDING)
		extended(ld, i, payload);
}

static void client_cell(struct load *ld, uint32_t conn, uint32_t id, uint8_t command,
			uint8_t *payload)
{
	uint32_t i = index_of(ld, id);

	if (i == SLOT_NONE || ld->circ[i].conn != conn) {
		if (!ld->recreate && id)
			load_fail(ld, "a cell for a circuit that is not there");
		return;
	}
	if (LIKELY(command == CELL_RELAY))
		client_relay(ld, i, payload);
	else if (command == CELL_CREATED2 || command == CELL_CREATED_FAST)
		created(ld, i, command, payload);
	else if (command == CELL_DESTROY)
		load_fail(ld, "circuit %u was destroyed by the relay: %s", i,
			  reason_of(payload[0]));
}

/* ---- the sink's side ---- */
static void sink_create(struct load *ld, uint32_t conn, uint32_t id, const uint8_t *payload)
{
	struct create2 body;
	uint8_t answer[CELL_PAYLOAD] = {0};
	uint32_t i;

	if (create2_get(&body, payload, CELL_PAYLOAD) < 0 || body.len != SINK_SKIN ||
	    (i = be32_get(body.data)) >= ld->opt.n_circs ||
	    memcmp(ld->circ[i].proof, body.data, sizeof(ld->circ[i].proof))) {
		load_fail(ld, "CREATE2 at the sink is not what the client sent");
		return;
	}
	ld->circ[i].sink_conn = conn;
	ld->circ[i].sink_id = id;
	created2_put(body.data, 64, answer, sizeof(answer));
	peer_cell(ld, conn, id, CELL_CREATED2, answer, sizeof(answer));
}

void circuit_cell(struct load *ld, uint32_t conn, uint8_t *cell)
{
	uint32_t id = be32_get(cell);
	uint8_t command = cell[4], *payload = cell + CELL_HEAD;

	if (ld->conn[conn].kind == CONN_CLIENT)
		client_cell(ld, conn, id, command, payload);
	else if (LIKELY(command == CELL_RELAY || command == CELL_RELAY_EARLY))
		middle_up(ld, conn, payload, id);
	else if (command == CELL_CREATE2)
		sink_create(ld, conn, id, payload);
	else if (command == CELL_DESTROY && ld->flowing)
		load_fail(ld, "the relay destroyed a circuit at the sink: %s",
			  reason_of(payload[0]));
}
