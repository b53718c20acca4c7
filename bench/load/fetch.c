/* fetch.c - asks the relay itself who it is: its own descriptor over a CREATE_FAST circuit and
 * BEGIN_DIR. The identity is then what it shows; --descriptor names one beforehand. */
#include "bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>

#define CIRC_ID	   0x80000001u
#define PATIENCE_S 20
#define AGAIN_US   300000
#define LINK_S	   20 /* it may be starting still */

struct fetch {
	uint32_t conn;
	struct handshake_client shake;
	struct tor1_layer layer;
	bool open, done;
	uint16_t stream;
	uint64_t again_us; /* a relay that has just started has no descriptor yet */
	size_t len;
	char text[65536];
};

static void say(struct load *ld, struct fetch *f, uint8_t command, const char *body)
{
	uint8_t payload[CELL_PAYLOAD] = {0}, tag[SHA1_LEN];
	uint16_t len = (uint16_t)strlen(body);

	relay_msg_head(payload, command, f->stream, len);
	memcpy(payload + RELAY_HEAD, body, len);
	tor1_client_seal(&ld->cipher, &f->layer, 0, payload, tag);
	peer_cell(ld, f->conn, CIRC_ID, CELL_RELAY, payload, sizeof(payload));
}

static void heard(struct load *ld, struct fetch *f, uint8_t *payload)
{
	uint8_t tag[SHA1_LEN];
	struct relay_msg m;

	if (tor1_client_open(&ld->cipher, &f->layer, 1, payload, tag) < 0 ||
	    relay_msg_get(&m, payload) < 0) {
		load_fail(ld, "BEGIN_DIR: a cell that is not the relay's own");
	} else if (m.stream_id != f->stream) {
		return;
	} else if (m.command == RELAY_CONNECTED) {
		say(ld, f, RELAY_DATA, "GET /tor/server/authority HTTP/1.0\r\n\r\n");
	} else if (m.command == RELAY_END) {
		f->done = strstr(f->text, "\nrouter-signature") != NULL;
		f->again_us = ld->now_us + AGAIN_US;
	} else if (m.command == RELAY_DATA) {
		size_t n = MIN((size_t)m.len, sizeof(f->text) - 1 - f->len);

		memcpy(f->text + f->len, m.body, n);
		f->len += n;
	}
}

void fetch_cell(struct load *ld, uint32_t conn, uint8_t *cell)
{
	struct fetch *f = ld->fetch;
	struct handshake_done done;
	uint8_t *payload = cell + CELL_HEAD;

	if (cell[4] == CELL_CREATED_FAST) {
		if (handshake_finish(&f->shake, payload, 2 * HANDSHAKE_FAST_LEN, &done) < 0) {
			load_fail(ld, "CREATED_FAST does not hold");
			return;
		}
		tor1_layer_init(&ld->cipher, &f->layer, done.keys);
		f->open = true;
	} else if (cell[4] == CELL_RELAY) {
		heard(ld, f, payload);
	} else if (cell[4] == CELL_DESTROY) {
		load_fail(ld, "the relay destroyed the circuit for BEGIN_DIR, reason %u",
			  payload[0]);
	}
}

static bool link_up(struct load *ld)
{
	return ld->n_links_open == 1;
}

static bool text_there(struct load *ld)
{
	struct fetch *f = ld->fetch;

	if (f->open && !f->done && ld->now_us >= f->again_us) {
		memset(f->text, 0, sizeof(f->text));
		f->len = 0;
		f->stream++;
		f->again_us = UINT64_MAX;
		say(ld, f, RELAY_BEGIN_DIR, "");
	}
	return f->done;
}

static bool link_down(struct load *ld)
{
	return tcp_n_conns(ld->tcp) == 0;
}

static void ask(struct load *ld, struct fetch *f)
{
	uint8_t payload[CELL_PAYLOAD] = {0};
	size_t len;

	ld->retry = true;
	conns_dial(ld);
	if (!stack_until(ld, link_up, LINK_S)) {
		load_fail(ld, "no link to the relay within %d s: does it listen there?", LINK_S);
		return;
	}
	ld->retry = false;
	for (f->conn = 0; ld->conn[f->conn].state != CONN_OPEN; f->conn++)
		;
	handshake_begin(&f->shake, HANDSHAKE_FAST, NULL, payload, &len);
	peer_cell(ld, f->conn, CIRC_ID, CELL_CREATE_FAST, payload, sizeof(payload));
	if (!stack_until(ld, text_there, PATIENCE_S))
		load_fail(ld,
			  "the relay gave no descriptor within %d s (%.40s); name it by "
			  "--descriptor",
			  PATIENCE_S, f->text);
}

void fetch_descriptor(struct load *ld)
{
	struct fetch *f = calloc(1, sizeof(*f));
	const char *why = "memory";

	ld->fetch = f;
	ask(ld, f);
	if (!ld->failed[0] && relay_read(&ld->relay, f->text, &why) < 0)
		load_fail(ld, "the relay's own descriptor has no good line %s (it begins %.40s)",
			  why, f->text);
	if (!ld->failed[0]) {
		tcp_abort(ld->tcp, f->conn);
		stack_until(ld, link_down, 1);
	}
	ld->fetch = NULL;
	ld->sum = (struct tally) {.handshakes = 0};
	free(f);
}
