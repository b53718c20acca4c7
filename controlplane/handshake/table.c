/* table.c - the circuit handshakes that we speak, a row each, and the two faces of all of them. */
#include "controlplane/handshake/internal.h"

static const struct row {
	struct handshake server;
	int (*begin)(struct handshake_client *c, uint8_t *skin, size_t *skin_len);
	int (*finish)(struct handshake_client *c, const uint8_t *reply, size_t len,
		      struct handshake_done *done);
	bool needs_pair; /* the client brings an X25519 key */
} rows[] = {
	{{HANDSHAKE_FAST, "fast", HANDSHAKE_FAST_LEN, HANDSHAKE_FAST_LEN, NULL, NULL, fast_answer},
	 fast_begin,
	 fast_finish,
	 false},
	{{HANDSHAKE_NTOR, "ntor", HANDSHAKE_NTOR_LEN, HANDSHAKE_NTOR_LEN, ntor_start, ntor_reply,
	  NULL},
	 ntor_begin,
	 ntor_finish,
	 true},
	/* Short skins fail in the handshake, as with tor, not before. */
	{{HANDSHAKE_NTOR3, "ntor_v3", 0, HANDSHAKE_SKIN_MAX, ntor3_start, ntor3_reply, NULL},
	 ntor3_begin,
	 ntor3_finish,
	 true},
};

static const struct row *row_find(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].server.type == type)
			return &rows[i];
	return NULL;
}

const struct handshake *handshake_find(uint16_t type)
{
	const struct row *row = row_find(type);

	return row ? &row->server : NULL;
}

static int answer_alone(const struct handshake *h, const struct handshake_keys *keys,
			const uint8_t *skin, size_t skin_len, struct handshake_done *done)
{
	struct hsk_talk t = {.keys = keys, .skin = skin, .skin_len = skin_len};
	struct hsk_secret eph = {0};
	int error = h->start(&t);

	if (!error)
		error = hsk_secret_new(&eph);
	if (!error) {
		hsk_multiply(&t, &eph);
		error = h->reply(&t, done);
	}
	hsk_secret_free(&eph);
	wipe(&t, sizeof(t));
	return error;
}

int handshake_answer(uint16_t type, const struct handshake_keys *keys, const uint8_t *skin,
		     size_t skin_len, struct handshake_done *done)
{
	const struct handshake *h = handshake_find(type);

	if (!h || skin_len < h->skin_min || skin_len > h->skin_max)
		return ERR_MALFORMED;
	if (h->answer)
		return h->answer(keys, skin, skin_len, done);
	return answer_alone(h, keys, skin, skin_len, done);
}

int handshake_begin(struct handshake_client *c, uint16_t type, const struct handshake_peer *peer,
		    uint8_t *skin, size_t *skin_len)
{
	const struct row *row = row_find(type);
	int error = 0;

	if (!row)
		return ERR_UNKNOWN;
	memset(c, 0, sizeof(*c));
	c->type = type;
	if (peer)
		c->peer = *peer;
	if (row->needs_pair)
		error = handshake_pair_new(&c->eph);
	return error ? error : row->begin(c, skin, skin_len);
}

int handshake_finish(struct handshake_client *c, const uint8_t *reply, size_t reply_len,
		     struct handshake_done *done)
{
	const struct row *row = row_find(c->type);
	int error = row ? row->finish(c, reply, reply_len, done) : ERR_MALFORMED;

	wipe(c, sizeof(*c));
	return error;
}
