/* fake_relay.c - for tests of origin: the far side of the wall, up to an answering directory. */
#include "controlplane/origin/fake_relay.h"

#include <stdlib.h>

#include "dataplane/wire/cell.h"
#include "dataplane/wire/onionskin.h"

struct fake_event {
	struct fake_event *next;
	uint16_t type;
	wid id;
	uint32_t arg;
	uint64_t cookie;
	uint8_t payload[CELL_PAYLOAD];
};

static struct fake_event *event(struct fake *f, uint16_t type, wid id, uint32_t arg)
{
	struct fake_event *e = calloc(1, sizeof(*e));

	e->type = type;
	e->id = id;
	e->arg = arg;
	*f->tail = e;
	f->tail = &e->next;
	return e;
}

/* Seals for the client as this hop and all before it, and sends it up. */
static void say(struct fake *f, struct fake_circ *c, unsigned hop, uint8_t command,
		const void *body, size_t len, uint16_t stream)
{
	struct fake_event *e = event(f, CTL_ORIGIN_RECV, c->id, CELL_RELAY);
	uint8_t digest[SHA1_LEN];

	relay_msg_head(e->payload, command, stream, (uint16_t)len);
	if (len)
		memcpy(e->payload + RELAY_HEAD, body, len);
	sha1_update(&f->cipher, &c->hop[hop].l.back_digest, e->payload, CELL_PAYLOAD);
	sha1_peek(&f->cipher, &c->hop[hop].l.back_digest, digest);
	memcpy(e->payload + 5, digest, 4);
	for (unsigned i = hop + 1; i-- > 0;)
		aes_ctr_run(&f->cipher, &c->hop[i].l.back, e->payload, e->payload, CELL_PAYLOAD);
	if (command != RELAY_DATA)
		return;
	c->circ_window--;
	c->stream_window--;
	if (++c->n_data % 100 == 0 && c->n_tags < 64)
		memcpy(c->tags[c->n_tags++], digest, 20);
}

static void trouble_in_body(struct fake *f, struct fake_circ *c)
{
	uint8_t sendme[23] = {1, 0, 20};

	if (f->trouble == FAKE_DESTROY_IN_BODY && c->n_data == 2)
		event(f, CTL_CIRC_CLOSED, c->id, DESTROY_DESTROYED);
	if (f->trouble == FAKE_GARBAGE && c->n_data == 2)
		memset(event(f, CTL_ORIGIN_RECV, c->id, CELL_RELAY)->payload, 0xa5, CELL_PAYLOAD);
	if (f->trouble == FAKE_SENDME_EARLY && c->n_data == 2)
		say(f, c, 0, RELAY_SENDME, sendme, sizeof(sendme), 0);
}

static void answer_more(struct fake *f, struct fake_circ *c)
{
	uint8_t why = f->trouble == FAKE_END_MISC ? END_MISC : END_DONE;

	if (c->request_len < f->request_min || c->body_at > f->answer_len)
		return;
	while (c->body_at < f->answer_len && c->circ_window > 0 && c->stream_window > 0) {
		size_t n = MIN(f->answer_len - c->body_at, (size_t)RELAY_BODY);

		say(f, c, c->n_hops - 1, RELAY_DATA, f->answer + c->body_at, n, c->stream);
		c->body_at += n;
		trouble_in_body(f, c);
	}
	if (c->body_at == f->answer_len) {
		say(f, c, c->n_hops - 1, RELAY_END, &why, 1, c->stream);
		c->body_at++; /* said */
	}
}

static void on_begin_dir(struct fake *f, struct fake_circ *c, const struct relay_msg *m)
{
	uint8_t why = END_NOTDIRECTORY;

	c->stream = m->stream_id;
	if (f->trouble == FAKE_END_AT_BEGIN)
		say(f, c, 0, RELAY_END, &why, 1, c->stream);
	else if (f->trouble == FAKE_DATA_BEFORE_CONNECTED)
		say(f, c, 0, RELAY_DATA, "x", 1, c->stream);
	else
		say(f, c, 0, RELAY_CONNECTED, NULL, 0, c->stream);
}

static void on_data(struct fake *f, struct fake_circ *c, const struct relay_msg *m,
		    const uint8_t tag[20])
{
	uint8_t sendme[23] = {1, 0, 20};
	unsigned n = ++c->n_got;

	c->request = realloc(c->request, c->request_len + m->len + 1);
	memcpy(c->request + c->request_len, m->body, m->len);
	c->request_len += m->len;
	memcpy(sendme + 3, tag, 20);
	if (f->trouble == FAKE_SENDME_TAG)
		sendme[5] ^= 1;
	if (n % 100 == 0)
		say(f, c, 0, RELAY_SENDME, sendme, sizeof(sendme), 0);
	if (n % 50 == 0)
		say(f, c, 0, RELAY_SENDME, NULL, 0, c->stream);
	answer_more(f, c);
}

static void on_sendme(struct fake *f, struct fake_circ *c, const struct relay_msg *m)
{
	if (m->stream_id) {
		c->n_stream_sendme++;
		c->stream_window += 50;
	} else {
		if (m->len == 23 && m->body[0] == 1 && c->n_tags > c->n_sendme &&
		    memcmp(m->body + 3, c->tags[c->n_sendme], 20) == 0)
			c->n_tags_ok++;
		c->n_sendme++;
		c->circ_window += 100;
	}
	answer_more(f, c);
}

static void hop_add(struct fake *f, struct fake_circ *c, const uint8_t keys[72])
{
	tor1_layer_init(&f->cipher, &c->hop[c->n_hops++].l, keys);
}

static void on_extend2(struct fake *f, struct fake_circ *c, const struct relay_msg *m)
{
	struct handshake_done done;
	uint8_t body[RELAY_BODY];
	struct extend2 e;
	int n;

	if (extend2_get(&e, m->body, m->len))
		return;
	memcpy(c->extended_to[c->n_hops], e.rsa_id, 20);
	memcpy(f->keys.rsa_id, e.rsa_id, 20);
	if (handshake_answer(e.create.type, &f->keys, e.create.data, e.create.len, &done))
		return;
	n = created2_put(done.reply, done.reply_len, body, sizeof(body));
	say(f, c, c->n_hops - 1, RELAY_EXTENDED2, body, (size_t)n, 0);
	hop_add(f, c, done.keys);
}

static void on_relay(struct fake *f, struct fake_circ *c, uint8_t cell, const uint8_t *payload)
{
	uint8_t p[CELL_PAYLOAD], tag[20];
	struct relay_msg m;
	unsigned hop;

	memcpy(p, payload, CELL_PAYLOAD);
	for (hop = 0; hop < c->n_hops; hop++) {
		aes_ctr_run(&f->cipher, &c->hop[hop].l.fwd, p, p, CELL_PAYLOAD);
		if (tor1_recognize(&f->cipher, &c->hop[hop].l.fwd_digest, p, tag))
			break;
	}
	if (hop == c->n_hops || relay_msg_get(&m, p))
		abort(); /* origin has sealed wrongly */
	c->n_early += cell == CELL_RELAY_EARLY;
	if (m.command == RELAY_EXTEND2 && cell == CELL_RELAY_EARLY)
		on_extend2(f, c, &m);
	else if (m.command == RELAY_BEGIN_DIR)
		on_begin_dir(f, c, &m);
	else if (m.command == RELAY_DATA)
		on_data(f, c, &m, tag);
	else if (m.command == RELAY_SENDME)
		on_sendme(f, c, &m);
	else if (m.command == RELAY_DROP)
		c->n_drop++;
}

static void on_create(struct fake *f, const struct ctl_origin_open *open, const uint8_t *payload)
{
	struct fake_circ *c = &f->circ[f->n_circs % FAKE_CIRCS];
	struct handshake_done done = {0};
	struct fake_event *e;
	struct create2 create;
	bool fast = open->command == CELL_CREATE_FAST;
	int error;

	free(c->request);
	memset(c, 0, sizeof(*c));
	c->id = wid_make(0, f->n_circs++, 1);
	c->circ_window = 1000;
	c->stream_window = 500;
	e = event(f, CTL_ORIGIN_OPENED, f->trouble == FAKE_OPEN_REFUSED ? WID_NONE : c->id,
		  f->trouble == FAKE_OPEN_REFUSED ? DESTROY_CONNECTFAILED : 0);
	e->cookie = open->cookie;
	if (f->trouble == FAKE_OPEN_REFUSED || f->trouble == FAKE_SILENT)
		return;
	if (f->trouble == FAKE_DESTROY_AT_CREATE) {
		event(f, CTL_CIRC_CLOSED, c->id, DESTROY_RESOURCELIMIT);
		return;
	}
	f->n_fast += fast;
	f->n_ntor += !fast;
	if (fast)
		error = handshake_answer(HANDSHAKE_FAST, NULL, payload, 20, &done);
	else
		error = create2_get(&create, payload, CELL_PAYLOAD) ||
			handshake_answer(create.type, &f->keys, create.data, create.len, &done);
	if (error)
		abort();
	e = event(f, CTL_ORIGIN_RECV, c->id, fast ? CELL_CREATED_FAST : CELL_CREATED2);
	if (fast)
		memcpy(e->payload, done.reply, done.reply_len);
	else
		created2_put(done.reply, done.reply_len, e->payload, CELL_PAYLOAD);
	if (f->trouble == FAKE_BAD_CREATED)
		e->payload[30] ^= 1;
	hop_add(f, c, done.keys);
}

static int fake_send(void *ctx, uint16_t type, wid id, uint32_t arg, const void *body,
		     size_t body_len, const void *bytes, size_t len)
{
	struct fake *f = ctx;

	if (type == CTL_ORIGIN_OPEN)
		on_create(f, body, bytes);
	for (unsigned i = 0; i < FAKE_CIRCS; i++) {
		if (f->circ[i].id != id || !id)
			continue;
		if (type == CTL_ORIGIN_SEND)
			on_relay(f, &f->circ[i], (uint8_t)arg, bytes);
		else if (type == CTL_CIRC_CLOSE)
			f->n_closed++;
	}
	return 0;
}

static int fake_link(void *ctx, const struct dir_target *to,
		     void (*done)(void *arg, wid conn, int why), void *arg)
{
	struct fake *f = ctx;

	if (f->trouble == FAKE_LINK_REFUSED)
		return ERR_FULL;
	memcpy(f->keys.rsa_id, to->rsa_id, 20);
	if (f->late_links) {
		f->link_done = done;
		f->link_arg = arg;
	} else if (f->trouble == FAKE_LINK_FAILED) {
		done(arg, WID_NONE, DESTROY_CONNECTFAILED);
	} else {
		done(arg, wid_make(0, 7, 1), 0);
	}
	return 0;
}

/* All but `alone` have a link with us, until they are asked to give it up. */
static bool fake_in_the_way(void *ctx, const uint8_t rsa_id[20], int family, bool retire)
{
	struct fake *f = ctx;
	bool is_linked = f->alone && memcmp(f->alone, rsa_id, 20) != 0;

	f->n_retired += retire && is_linked;
	return is_linked;
}

void fake_init(struct fake *f, struct origin_ops *ops)
{
	memset(f, 0, sizeof(*f));
	cipher_init(&f->cipher, 0);
	f->tail = &f->events;
	f->keys.n_onion = 1;
	handshake_pair_new(&f->keys.onion[0]);
	handshake_pair_new(&f->keys.junk);
	*ops = (struct origin_ops) {fake_link, fake_send, fake_in_the_way, f};
}

void fake_fini(struct fake *f)
{
	while (f->events) {
		struct fake_event *e = f->events;

		f->events = e->next;
		free(e);
	}
	for (unsigned i = 0; i < FAKE_CIRCS; i++)
		free(f->circ[i].request);
	cipher_fini(&f->cipher);
}

void fake_run(struct fake *f)
{
	if (f->link_done) {
		f->link_done(f->link_arg, wid_make(0, 7, 1), 0);
		f->link_done = NULL;
	}
	while (f->events) {
		struct fake_event *e = f->events;

		f->events = e->next;
		if (!f->events)
			f->tail = &f->events;
		if (e->type == CTL_ORIGIN_OPENED)
			origin_opened(f->o, e->cookie, e->id, (int)e->arg, f->now_us);
		else if (e->type == CTL_ORIGIN_RECV)
			origin_recv(f->o, e->id, (uint8_t)e->arg, e->payload, CELL_PAYLOAD,
				    f->now_us);
		else
			origin_closed(f->o, e->id, (int)e->arg, f->now_us);
		free(e);
	}
}
