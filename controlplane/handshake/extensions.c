/* extensions.c - what the messages of ntor v3 ask for and grant: congestion control and
 * capabilities (proposals 324 section 10.3, 332, 346; interop H4-H6). The messages come and go
 * sealed: ntor3.c. */
#include "controlplane/handshake/internal.h"

#define PROTO_RELAY 2 /* numbers of proposal 346 */
#define RELAY_CGO   6

/* What a list of extensions holds for us. */
struct found {
	struct bytes cc, cc_answer, subproto; /* bodies; p is NULL where it is not in the list */
};

static struct bytes *place_of(struct found *f, uint8_t type)
{
	struct bytes *const places[] = {[HANDSHAKE_EXT_CC_REQUEST] = &f->cc,
					[HANDSHAKE_EXT_CC_RESPONSE] = &f->cc_answer,
					[HANDSHAKE_EXT_SUBPROTO] = &f->subproto};

	return type < ARRAY_LEN(places) ? places[type] : NULL;
}

static int list_read(struct found *f, const uint8_t *msg, size_t len)
{
	struct reader r = reader_of(msg, len);

	*f = (struct found) {0};
	for (unsigned n = rd_u8(&r); n && !r.bad; n--) {
		uint8_t type = rd_u8(&r), body_len = rd_u8(&r);
		const uint8_t *body = rd_bytes(&r, body_len);
		struct bytes *place = place_of(f, type);

		if (body && place && !place->p)
			*place = (struct bytes) {body, body_len};
	}
	return r.bad ? ERR_MALFORMED : 0;
}

/* Pairs in ascending order, each of them to be had. *cgo: CGO is among them. */
static int subproto_read(const struct handshake_terms *terms, struct bytes body, bool *cgo)
{
	struct reader r = reader_of(body.p, body.len);
	int before = -1;

	while (rd_left(&r)) {
		uint8_t proto = rd_u8(&r), number = rd_u8(&r);
		int pair = proto << 8 | number;

		if (r.bad || pair <= before)
			return ERR_MALFORMED;
		before = pair;
		if (proto != PROTO_RELAY || number != RELAY_CGO || !terms->cgo)
			return ERR_NOT_NOW;
		*cgo = true;
	}
	return 0;
}

int handshake_extensions(const struct handshake_terms *terms, const uint8_t *msg, size_t len,
			 uint8_t reply[HANDSHAKE_EXT_REPLY_MAX], size_t *reply_len,
			 struct handshake_done *done)
{
	struct found f;
	bool cgo = false, cc;
	int error = list_read(&f, msg, len);

	if (!error && f.subproto.p)
		error = subproto_read(terms, f.subproto, &cgo);
	if (error)
		return error;
	cc = f.cc.p && terms->cc;
	if (cgo && !cc) /* its cells have no stream SENDMEs */
		return ERR_NOT_NOW;
	*reply_len = cc ? HANDSHAKE_EXT_REPLY_MAX : 1;
	memcpy(reply,
	       (uint8_t[HANDSHAKE_EXT_REPLY_MAX]) {cc, HANDSHAKE_EXT_CC_RESPONSE, 1,
						   terms->sendme_inc},
	       *reply_len);
	done->scheme = cgo;
	done->cc = cc;
	done->sendme_inc = cc ? terms->sendme_inc : 0;
	return 0;
}

size_t ext_ask(const struct handshake_peer *peer, uint8_t msg[EXT_ASK_MAX])
{
	static const uint8_t cc[] = {HANDSHAKE_EXT_CC_REQUEST, 0},
			     cgo[] = {HANDSHAKE_EXT_SUBPROTO, 2, PROTO_RELAY, RELAY_CGO};
	size_t len = 1;

	msg[0] = (peer->ask_cc != 0) + (peer->ask_cgo != 0);
	if (peer->ask_cc) {
		memcpy(msg + len, cc, sizeof(cc));
		len += sizeof(cc);
	}
	if (peer->ask_cgo) {
		memcpy(msg + len, cgo, sizeof(cgo));
		len += sizeof(cgo);
	}
	return len;
}

int ext_answered(const struct handshake_peer *peer, const uint8_t *msg, size_t len,
		 struct handshake_done *done)
{
	struct found f;

	if (list_read(&f, msg, len))
		return ERR_MALFORMED;
	if (!f.cc_answer.p) /* CGO is not to be had without it */
		return peer->ask_cgo ? ERR_NOT_NOW : 0;
	if (!peer->ask_cc)
		return ERR_NOT_NOW;
	if (f.cc_answer.len < 1 || !f.cc_answer.p[0])
		return ERR_MALFORMED;
	done->cc = 1;
	done->scheme = peer->ask_cgo != 0; /* who answers at all has granted it */
	done->sendme_inc = f.cc_answer.p[0];
	return 0;
}
