/* create.c - CREATE_FAST and CREATE2: to the handshakes and back with keys (interop H1, H7, H8,
 * H14, C9). */
#include "controlplane/circ/internal.h"

#include <stdlib.h>

/* Keys and answer go down in one message. */
static void create_answer(struct circ *k, uint8_t created, const struct handshake_done *d)
{
	struct ctl_circ_add add = {.created = created,
				   .legacy = created == CELL_CREATED_FAST,
				   .scheme = d->scheme,
				   .flow = d->cc ? CTL_FLOW_CC : CTL_FLOW_FIXED,
				   .sendme_inc = d->sendme_inc,
				   .keys_len = handshake_keys_len(d->scheme)};
	uint8_t payload[2 + HANDSHAKE_REPLY_MAX];
	struct circs *c = k->room;
	int len = d->reply_len;

	memcpy(add.keys, d->keys, add.keys_len);
	memcpy(k->kh, d->kh, HANDSHAKE_KH_LEN);
	circ_tag_put(k, add.tag);
	if (add.legacy)
		memcpy(payload, d->reply, d->reply_len);
	else
		len = created2_put(d->reply, d->reply_len, payload, sizeof(payload));
	k->open = true;
	if (len < 0 ||
	    circ_send(c, CTL_CIRC_ADD, k->id, 0, &add, sizeof(add), payload, (size_t)len)) {
		c->figures.create_overload++;
		circ_shut(k, DESTROY_RESOURCELIMIT);
	} else {
		c->figures.create_open++;
		if (c->answered)
			c->answered(c->answered_arg, k->conn);
	}
	wipe(&add, sizeof(add));
}

static void create_fast(struct circ *k, struct bytes payload)
{
	struct handshake_done d;

	if (payload.len < HANDSHAKE_FAST_LEN) {
		k->room->figures.create_malformed++;
		circ_shut(k, DESTROY_TORPROTOCOL);
		return;
	}
	if (handshake_answer(HANDSHAKE_FAST, NULL, payload.p, HANDSHAKE_FAST_LEN, &d)) {
		k->room->figures.create_failed++;
		circ_shut(k, DESTROY_INTERNAL);
		return;
	}
	create_answer(k, CELL_CREATED_FAST, &d);
	wipe(&d, sizeof(d));
}

/* What relays ask for and what is let fall of it; of clients nothing is noted (interop H10). */
static void skin_note(struct circ *k, bool dropped)
{
	struct circ_figures *f = &k->room->figures;

	if (k->skin == HANDSHAKE_NTOR)
		++*(dropped ? &f->drops_ntor : &f->skins_ntor);
	else if (k->skin == HANDSHAKE_NTOR3)
		++*(dropped ? &f->drops_ntor3 : &f->skins_ntor3);
}

static void create2(struct circ *k, struct bytes payload, bool from_relay)
{
	struct circ_figures *f = &k->room->figures;
	struct create2 skin;
	int error = create2_get(&skin, payload.p, payload.len);

	k->skin = !error && from_relay ? skin.type : 0;
	skin_note(k, false);
	/* FAST has a cell of its own; the pool knows what else is refused. */
	if (!error && skin.type == HANDSHAKE_FAST)
		error = ERR_MALFORMED;
	if (!error && !k->room->at.pool)
		error = ERR_NOT_NOW;
	if (!error)
		error = handshake_pool_submit(k->room->at.pool, k->id, skin.type, skin.data,
					      skin.len, &k->ticket);
	if (!error)
		return;
	if (error == ERR_FULL || error == ERR_NOT_NOW) {
		skin_note(k, true);
		f->create_overload++;
		circ_shut(k, DESTROY_RESOURCELIMIT);
	} else {
		f->create_malformed++;
		circ_shut(k, DESTROY_TORPROTOCOL);
	}
}

struct circ *circ_begin(struct circs *c, wid id, wid conn)
{
	struct circ *k = circ_find(c, id);

	if (k) /* never, unless the dataplane is mad: the older one is void then */
		circ_drop(k);
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	*k = (struct circ) {.id = id, .room = c, .conn = conn, .hs.circ = id};
	if (table_add(&c->circs, k)) {
		free(k);
		return NULL;
	}
	return k;
}

void circ_in_create(const struct circ_in *m)
{
	const struct ctl_circ_create *b = m->body;
	struct circs *c = m->c;
	const struct link_peer *peer = c->at.out.peer(c->at.out.arg, b->conn);
	bool may = !peer || c->at.out.may_create(c->at.out.arg, peer);
	struct circ *k = circ_begin(c, m->head->id, b->conn);

	c->figures.create++;
	if (!k) {
		c->figures.create_overload++;
		circ_send(c, CTL_CIRC_CLOSE, m->head->id, DESTROY_RESOURCELIMIT, NULL, 0, NULL, 0);
	} else if (c->set.hibernating) {
		circ_shut(k, DESTROY_HIBERNATING);
	} else if (!may) {
		c->figures.create_denied++;
		circ_shut(k, DESTROY_RESOURCELIMIT);
	} else if (b->command == CELL_CREATE_FAST) {
		create_fast(k, m->tail);
	} else if (b->command == CELL_CREATE2) {
		create2(k, m->tail, peer && peer->kind != CTL_PEER_CLIENT);
	} else {
		c->figures.create_malformed++;
		circ_shut(k, DESTROY_TORPROTOCOL);
	}
}

void circ_handshake_done(void *arg, const struct handshake_result *r)
{
	struct circs *c = arg;
	struct circ *k = circ_find(c, r->circ);

	if (!k || k->open) {
		c->figures.create_stale++;
		return;
	}
	k->ticket = 0;
	if (!r->error) {
		create_answer(k, CELL_CREATED2, &r->done);
	} else if (r->error == ERR_FULL) {
		skin_note(k, true);
		c->figures.create_overload++;
		circ_shut(k, DESTROY_RESOURCELIMIT);
	} else {
		c->figures.create_failed++;
		circ_shut(k, DESTROY_TORPROTOCOL);
	}
}
