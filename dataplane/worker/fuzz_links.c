/* fuzz_links.c - a link in each state of its life: records of its TLS handshake, keys, VERSIONS and
 * whatever else before, between and behind CERTS and NETINFO, control's verdict early or late,
 * cells while it is open, and cells behind its end. */
#include "dataplane/worker/bare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The stranger's link as this input has it. */
static struct {
	uint32_t peer;	   /* the peer's end */
	uint64_t n_record; /* bytes of records that came */
} the;

static struct link *stranger(struct bare *b)
{
	return link_of(&b->w->links, b->link[BARE_LINKS]);
}

static wid stranger_id(struct bare *b)
{
	return tcp_id(b->w->tcp, b->link[BARE_LINKS]);
}

static void say(struct bare *b, enum ctl_type type, uint32_t arg, const void *body, size_t body_len,
		const void *tail, size_t tail_len)
{
	if (!tcp_live(b->w->tcp, b->link[BARE_LINKS]))
		return;
	house_down(&b->h, 0, type, stranger_id(b), arg, body, body_len, tail, tail_len);
	ctl_in(b->w);
	bare_hear(b);
}

/* A TLS record over TCP, of any type and length, with fewer bytes than it promises or more. */
static void do_record(struct bare *b, struct reader *r)
{
	uint8_t head[5] = {20 + (rd_u8(r) & 7), 3, 3}, n = rd_u8(r), lies = rd_u8(r);
	size_t len = MIN(rd_left(r), (size_t)n);
	const uint8_t *bytes = rd_bytes(r, len);
	uint8_t *p;

	be16_put(head + 3, (uint16_t)(len + (lies & 128 ? lies & 127 : 0)));
	if (!bytes || !tcp_live(b->h.tcp, the.peer))
		return;
	p = tcp_reserve(b->h.tcp, the.peer, (uint32_t)(sizeof(head) + len));
	if (!p)
		return;
	memcpy(p, head, sizeof(head));
	memcpy(p + sizeof(head), bytes, len);
	tcp_push(b->h.tcp, the.peer, (uint32_t)(sizeof(head) + len));
	the.n_record += sizeof(head) + len;
	bare_turn(b, 3, 0);
}

/* CONN_KEYS: the handshake ended with what came, before it, or in the middle of it. */
static void do_keys(struct bare *b, struct reader *r)
{
	uint8_t x = rd_u8(r);
	struct ctl_conn_keys keys = {.version = x & 1 ? 0x0303 : 0x0304,
				     .suite = x & 1 ? 0xc02f : 0x1301,
				     .in.offset = x & 2 ? x >> 2 : the.n_record - (x >> 4)};

	say(b, CTL_CONN_KEYS, 0, &keys, sizeof(keys), NULL, 0);
}

/* A cell as wide as the link has them now, whole or cut short. */
static void do_cell(struct bare *b, struct reader *r)
{
	static const uint8_t often[] = {
		CELL_VERSIONS,	   CELL_NETINFO,  CELL_CERTS,	CELL_AUTH_CHALLENGE,
		CELL_AUTHENTICATE, CELL_VPADDING, CELL_PADDING, CELL_CREATE2,
	};
	uint8_t what = rd_u8(r), id = rd_u8(r), n = rd_u8(r), cell[1024] = {0};
	uint8_t command = what & 128 ? often[what & 7] : what;
	size_t wide = stranger(b)->id_len == 4 && command != CELL_VERSIONS ? 4 : 2, at = wide + 1;
	size_t len = MIN(rd_left(r), (size_t)n);
	const uint8_t *bytes = rd_bytes(r, len);

	if (!bytes)
		return;
	cell[0] = id & 0x80;
	cell[wide - 1] = id & 0x7f;
	cell[wide] = command;
	if (cell_is_variable(command)) {
		be16_put(cell + at, (uint16_t)len);
		at += 2;
	}
	memcpy(cell + at, bytes, len);
	at += cell_is_variable(command) ? len : CELL_PAYLOAD;
	bare_plain(b, BARE_LINKS, cell, what & 64 && n ? MIN((size_t)n, at) : at);
}

static void do_plain(struct bare *b, struct reader *r)
{
	uint8_t n = rd_u8(r);
	size_t len = MIN(rd_left(r), (size_t)n);
	const uint8_t *bytes = rd_bytes(r, len);

	if (bytes)
		bare_plain(b, BARE_LINKS, bytes, len);
}

static void do_ready(struct bare *b, struct reader *r)
{
	uint8_t x = rd_u8(r);
	struct ctl_conn_ready ready = {.link_proto = 3 + (x & 3) % 3,
				       .peer = (x >> 2 & 3) % 3,
				       .initiator = x >> 4 & 1,
				       .canonical = x >> 5 & 1};

	say(b, CTL_CONN_READY, 0, &ready, sizeof(ready), NULL, 0);
}

/* What control says on the link, handshake bytes or cells. */
static void do_say(struct bare *b, struct reader *r)
{
	static const uint8_t bytes[2 * CELL_LEN] = {[4] = CELL_NETINFO};
	uint8_t x = rd_u8(r);

	say(b, x & 1 ? CTL_CONN_WRITE : CTL_CELL_SEND, 0, NULL, 0, bytes,
	    x & 2 ? x * 4u : CELL_LEN);
}

/* The link ends: by control, by the peer, or by time. */
static void do_end(struct bare *b, struct reader *r)
{
	uint8_t x = rd_u8(r);

	if (x & 1)
		say(b, CTL_CONN_CLOSE, x >> 4, NULL, 0, NULL, 0);
	else if (x & 2 && tcp_live(b->h.tcp, the.peer))
		tcp_abort(b->h.tcp, the.peer);
	else if (x & 4 && tcp_live(b->h.tcp, the.peer))
		tcp_close(b->h.tcp, the.peer, b->h.now_us);
	bare_turn(b, 1 + (x >> 6), x == 128 ? 400000000 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const acts[8])(struct bare *, struct reader *) = {
		do_record, do_keys, do_cell, do_cell, do_ready, do_say, do_end, do_plain,
	};
	struct reader r = reader_of(data, len);
	struct bare *b = bare_begin(true);

	the.n_record = 0;
	the.peer = bare_stranger(b);
	for (unsigned i = 0; i < 200 && rd_left(&r) > 1; i++)
		acts[rd_u8(&r) & 7](b, &r);
	bare_end(b);
	return 0;
}
