/* test_link.c - two relays and their handshakes through a worker of the test's own with the real
 * record layer: every suite, every cut, what may be said when, each broken field. */
#include "controlplane/link/test_relays.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <cmocka.h>

/* ---- whole handshakes ---- */

static void relay_to_relay(void **state)
{
	struct wire w = dial_whole();
	const struct link_peer *p = link_peer(DIALS->links, w.a->conn);
	const struct link_peer *q = link_peer(SERVES->links, w.b->conn);
	struct link_target t = target_of(SERVES);
	unsigned reason;

	assert_int_equal(answered.n, 1);
	assert_int_equal(answered.conn, w.a->conn);
	assert_memory_equal(p->rsa_id, keys_rsa_id(SERVES->keys), KEYS_RSA_ID);
	assert_memory_equal(p->ed_id, keys_ed_id(SERVES->keys), KEYS_ED_ID);
	assert_memory_equal(q->rsa_id, keys_rsa_id(DIALS->keys), KEYS_RSA_ID);
	assert_memory_equal(q->ed_id, keys_ed_id(DIALS->keys), KEYS_ED_ID);
	assert_true(p->initiator && !q->initiator && p->has_ed && q->has_ed);
	assert_true(p->canonical && q->canonical && p->named_us && q->named_us);
	assert_int_equal(p->kind, CTL_PEER_RELAY);
	assert_int_equal(q->kind, CTL_PEER_RELAY);
	assert_int_equal(p->link_proto, 5);
	assert_int_equal(w.a->is_ready.initiator, 1);
	assert_int_equal(w.b->is_ready.peer, CTL_PEER_RELAY);
	assert_int_equal(w.b->n_writes, 1); /* VERSIONS to NETINFO in one */
	assert_int_equal(w.a->n_writes, 3); /* VERSIONS; CERTS; AUTHENTICATE and NETINFO */
	assert_int_equal(w.a->keys.version, 0x0304);
	assert_int_equal(w.a->keys.suite, 0x1301);
	assert_false(links_seen_inbound(SERVES->links, 6));
	assert_true(links_seen_inbound(SERVES->links, 4));
	assert_false(links_seen_inbound(DIALS->links, 4)); /* ours was outbound */
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), w.a->conn);
	assert_int_equal(answered.n, 1);
	fake_close(w.a, CTL_WHY_DONE);
	assert_null(link_peer(DIALS->links, w.a->conn));
	assert_int_equal(links_stats(DIALS->links)->n_links, 0);
	assert_int_equal(links_stats(DIALS->links)->n_relays, 0);
	assert_int_equal(link_get(DIALS->links, &t, on_link, NULL, &reason), WID_NONE);
}

/* TCP cuts anywhere; also a worker that sends up all it has before it learns of the hand-over. */
static void any_cut(void **state)
{
	static const size_t cuts[] = {1, 2, 3, 5, 7, 64, 100, 517, 1447, 16384, 65536};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cuts); i++) {
		struct link_target t = target_of(SERVES);
		struct wire w;

		fresh(NULL);
		w = dial(&t);
		w.a->eager = w.b->eager = i & 1;
		fake_pump(w.a, w.b, cuts[i / 2]);
		assert_true(w.a->ready && w.b->ready);
	}
}

static void every_suite(void **state)
{
	static const struct {
		int version;
		const char *suite;
		uint16_t id;
	} rows[] = {
		/* 0 */ {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0x1301},
		/* 1 */ {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 0x1302},
		/* 2 */ {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", 0x1303},
		/* 3 */ {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0xC02F},
		/* 4 */ {TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", 0xC030},
		/* 5 */ {TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", 0xCCA8},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct link_target t = target_of(SERVES);
		SSL_CTX *c;
		struct wire w;

		fresh(NULL);
		c = SERVES->links->context->ssl;
		SSL_CTX_set_max_proto_version(c, rows[i].version);
		if (rows[i].version == TLS1_3_VERSION)
			assert_int_equal(SSL_CTX_set_ciphersuites(c, rows[i].suite), 1);
		else
			assert_int_equal(SSL_CTX_set_cipher_list(c, rows[i].suite), 1);
		w = dial(&t);
		fake_pump(w.a, w.b, 333);
		assert_true(w.a->ready && w.b->ready);
		assert_int_equal(w.a->keys.version, rows[i].version);
		assert_int_equal(w.a->keys.suite, rows[i].id);
		assert_int_equal(w.a->keys.in.seq, rows[i].version == TLS1_2_VERSION);
		assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_RELAY);
	}
}

/* Records of 512 bytes at most: flights and single messages span many. */
static void small_records(void **state)
{
	struct link_target t = target_of(SERVES);

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct wire w;

		fresh(NULL);
		for (unsigned i = 0; i < 2; i++)
			SSL_CTX_set_max_send_fragment(relays[i].links->context->ssl, 512);
		SSL_CTX_set_max_proto_version(SERVES->links->context->ssl, version);
		w = dial(&t);
		fake_pump(w.a, w.b, 100);
		assert_true(w.a->ready && w.b->ready);
	}
}

static void context_renewed_meanwhile(void **state)
{
	struct link_target t = target_of(SERVES);
	struct wire w = dial(&t);
	uint8_t piece[4096];
	size_t n = fake_take(w.a, piece, sizeof(piece));

	fake_feed(w.b, piece, n); /* ClientHello: the certificate is chosen */
	assert_true(keys_tick(SERVES->keys, WALL + 7200) & KEYS_LINK);
	assert_int_equal(links_renew(SERVES->links), 0);
	fake_pump(w.a, w.b, 65536);
	assert_true(w.a->ready && w.b->ready);
	assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_RELAY);
	fake_close(w.a, CTL_WHY_DONE);
	dial_whole();
}

/* ---- a client: plain OpenSSL, cells by hand ---- */

struct client {
	SSL_CTX *context;
	SSL *ssl;
	BIO *in, *out;
	struct fake_end *end;
	uint8_t got[65536];
	size_t got_len;
};

static void client_turn(struct client *c)
{
	uint8_t buf[65536];
	size_t n;

	for (unsigned i = 0; i < 50; i++) {
		int m;

		SSL_do_handshake(c->ssl);
		while ((m = BIO_read(c->out, buf, sizeof(buf))) > 0)
			if (!c->end->closed)
				fake_feed(c->end, buf, (size_t)m);
		n = fake_take(c->end, buf, sizeof(buf));
		if (n)
			BIO_write(c->in, buf, (int)n);
		while ((m = SSL_read(c->ssl, c->got + c->got_len, 4096)) > 0)
			c->got_len += (size_t)m;
		if (!n && !BIO_pending(c->out))
			break;
	}
}

static void client_begin(struct client *c, int version, const char *groups)
{
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}};

	memset(c, 0, sizeof(*c));
	c->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(c->context, version);
	if (version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(c->context, 0);
	if (groups)
		assert_int_equal(SSL_CTX_set1_groups_list(c->context, groups), 1);
	c->ssl = SSL_new(c->context);
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(c->in, -1);
	SSL_set_bio(c->ssl, c->in, c->out);
	SSL_set_connect_state(c->ssl);
	c->end = fake_accept(SERVES->links, &SERVES->at, &from);
	client_turn(c);
}

static void client_say(struct client *c, const void *p, size_t len)
{
	assert_int_equal(SSL_write(c->ssl, p, (int)len), len);
	client_turn(c);
}

static void client_end(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	ERR_clear_error();
}

static const uint8_t versions_345[] = {0, 0, 7, 0, 6, 0, 3, 0, 4, 0, 5};

static size_t netinfo_cell(uint8_t cell[CELL_LEN], uint32_t time_s, const struct addr *other)
{
	struct netinfo n = {.time_s = time_s, .other = *other};
	struct writer w = writer_of(cell + CELL_HEAD, CELL_PAYLOAD);

	memset(cell, 0, CELL_LEN);
	cell_head_put(cell, 0, CELL_NETINFO);
	netinfo_write(&w, &n);
	return CELL_LEN;
}

static void client_opens(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static const char *const groups[] = {"P-256", "X25519", NULL};

	for (unsigned i = 0; i < 6; i++) {
		struct client c;
		uint8_t cell[CELL_LEN];
		const struct link_peer *p;

		client_begin(&c, versions[i % 2], groups[i / 2]);
		assert_true(SSL_is_init_finished(c.ssl));
		assert_int_equal(c.got_len, 0); /* the client speaks first */
		client_say(&c, versions_345, sizeof(versions_345));
		/* VERSIONS offers 4 and 5, then CERTS 1, 2, 4, 5, 7 */
		assert_memory_equal(c.got, "\0\0\7\0\4\0\4\0\5", 9);
		assert_int_equal(c.got[9 + 4], CELL_CERTS);
		assert_int_equal(c.got[9 + 7], 5);
		assert_true(c.got_len > CELL_LEN);
		assert_int_equal(c.got[c.got_len - CELL_LEN + 4], CELL_NETINFO);
		assert_int_equal(be32_get(c.got + c.got_len - CELL_PAYLOAD), (uint32_t)WALL);
		client_say(&c, cell, netinfo_cell(cell, 0, &SERVES->at));
		assert_true(c.end->ready);
		p = link_peer(SERVES->links, c.end->conn);
		assert_int_equal(p->kind, CTL_PEER_CLIENT);
		assert_int_equal(c.end->is_ready.peer, CTL_PEER_CLIENT);
		assert_true(p->named_us && !p->canonical && !p->initiator);
		fake_close(c.end, CTL_WHY_DONE);
		client_end(&c);
	}
	assert_int_equal(SERVES->n_skewed, 0); /* a client's clock is its own affair */
	assert_int_equal(links_stats(SERVES->links)->n_links, 0);
}

/* TLS that we refuse, as C tor does. */
static void tls_refused(void **state)
{
	static const struct {
		int version;
		const char *groups;
	} rows[] = {
		/* 0 */ {TLS1_1_VERSION, NULL},
		/* 1 */ {TLS1_3_VERSION, "P-384"},
		/* 2 */ {TLS1_3_VERSION, "P-521"},
		/* 3 */ {TLS1_2_VERSION, "X448"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c;

		client_begin(&c, rows[i].version, rows[i].groups);
		assert_false(SSL_is_init_finished(c.ssl));
		assert_true(c.end->closed);
		assert_int_equal(c.end->close_why, CTL_WHY_PROTOCOL);
		fake_close(c.end, CTL_WHY_DONE);
		client_end(&c);
	}
	assert_int_equal(links_stats(SERVES->links)->n_links, 0);
}

/* What a client may say in which state; each row is said after the first n_before good cells. */
static void whitelist(void **state)
{
	static const uint8_t vpadding2[] = {0, 0, 128, 0, 2, 9, 9},
			     authorize2[] = {0, 0, 132, 0, 0};
	static const uint8_t certs2[] = {0, 0, 129, 0, 1, 0}, unknown2[] = {0, 0, 200, 0, 0};
	static const uint8_t odd[] = {0, 0, 7, 0, 3, 0, 4, 0}, only3[] = {0, 0, 7, 0, 2, 0, 3};
	static const uint8_t only6[] = {0, 0, 7, 0, 2, 0, 6}, no_version[] = {0, 0, 7, 0, 0};
	static const uint8_t vpadding4[] = {0, 0, 0, 0, 128, 0, 1, 7};
	static const uint8_t unknown4[] = {0, 0, 0, 9, 250, 0, 0},
			     again[] = {0, 0, 0, 0, 7, 0, 1, 5};
	static const uint8_t certs_none[] = {0, 0, 0, 0, 129, 0, 1, 0};
	static const uint8_t certs_empty[] = {0, 0, 0, 0, 129, 0, 0};
	static const uint8_t challenge[] = {0, 0, 0, 0, 130, 0, 0},
			     auth[] = {0, 0, 0, 0, 131, 0, 0};
	static const uint8_t fixed[CELL_LEN] = {0, 0, 0, 0, CELL_PADDING};
	static const uint8_t create[CELL_LEN] = {0x80, 0, 0, 1, CELL_CREATE_FAST};
	static const uint8_t unknown_fixed[CELL_LEN] = {0, 0, 0, 0, 50};
	static const uint8_t fixed2[512] = {0, 0, CELL_PADDING},
			     netinfo2[512] = {0, 0, CELL_NETINFO};
	static const struct {
		unsigned n_before;
		const void *cell;
		size_t len;
		bool lives;
	} rows[] = {
		/*  0 */ {0, vpadding2, sizeof(vpadding2), true},
		/*  1 */ {0, authorize2, sizeof(authorize2), true},
		/*  2 */ {0, certs2, sizeof(certs2), false},
		/*  3 */ {0, unknown2, sizeof(unknown2), false},
		/*  4 */ {0, odd, sizeof(odd), false},
		/*  5 */ {0, only3, sizeof(only3), false},
		/*  6 */ {0, only6, sizeof(only6), false},
		/*  7 */ {0, no_version, sizeof(no_version), false},
		/*  8 */ {0, fixed2, sizeof(fixed2), false},
		/*  9 */ {0, netinfo2, sizeof(netinfo2), false},
		/* 10 */ {1, vpadding4, sizeof(vpadding4), true},
		/* 11 */ {1, unknown4, sizeof(unknown4), true},
		/* 12 */ {1, again, sizeof(again), true},
		/* 13 */ {1, fixed, sizeof(fixed), false},
		/* 14 */ {1, create, sizeof(create), false},
		/* 15 */ {1, unknown_fixed, sizeof(unknown_fixed), false},
		/* 16 */ {1, certs_none, sizeof(certs_none), false},
		/* 17 */ {1, certs_empty, sizeof(certs_empty), false},
		/* 18 */ {1, challenge, sizeof(challenge), false},
		/* 19 */ {1, auth, sizeof(auth), false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c;
		uint8_t cell[CELL_LEN];

		client_begin(&c, TLS1_3_VERSION, NULL);
		if (rows[i].n_before)
			client_say(&c, versions_345, sizeof(versions_345));
		client_say(&c, rows[i].cell, rows[i].len);
		if (c.end->closed == rows[i].lives)
			print_error("row %zu\n", i);
		assert_int_equal(c.end->closed, !rows[i].lives);
		if (rows[i].lives) {
			if (!rows[i].n_before)
				client_say(&c, versions_345, sizeof(versions_345));
			client_say(&c, cell, netinfo_cell(cell, 0, &SERVES->at));
			assert_true(c.end->ready);
		} else {
			assert_int_equal(c.end->close_why, CTL_WHY_PROTOCOL);
		}
		fake_close(c.end, CTL_WHY_DONE);
		client_end(&c);
	}
	assert_int_equal(links_stats(SERVES->links)->n_links, 0);
	assert_int_equal(links_stats(SERVES->links)->n_handshakes, 0);
}

static void endless_chatter(void **state)
{
	static const uint8_t vpadding[] = {0, 0, 128, 0, 0};
	struct client c;
	unsigned n = 0;

	client_begin(&c, TLS1_3_VERSION, NULL);
	while (!c.end->closed && n++ < 1000)
		client_say(&c, vpadding, sizeof(vpadding));
	assert_int_equal(n, CELLS_MAX + 1);
	client_end(&c);
}

static void garbage_for_tls(void **state)
{
	static const uint8_t http[] = "GET / HTTP/1.0\r\n\r\n";
	struct addr from = {.family = 4, .port = 999, .ip = {9, 9, 9, 9}};
	struct fake_end *e = fake_accept(SERVES->links, &SERVES->at, &from);
	struct fake_end *f = fake_accept(SERVES->links, &SERVES->at, &from);

	links_read(SERVES->links, e->conn, 0, http, 5);
	assert_true(e->closed);
	links_read(SERVES->links, f->conn, 3, (const uint8_t *)"\x16\3\1\0\1x", 6); /* a gap */
	assert_true(f->closed);
	links_read(SERVES->links, 12345, 0, http, 5);
	links_cell(SERVES->links, 12345, http, 5);
	links_closed(SERVES->links, 12345, 0, 0);
	assert_int_equal(links_stats(SERVES->links)->stray_messages, 3);
}

/* ---- broken certificates: which side sends, which type, what is done to it ---- */

enum deed { LEAVE_OUT, FLIP_FIRST, FLIP_LAST, FLIP_MIDDLE, CUT, LENGTHEN };

static uint8_t spoilt[2048];

static void spoil(struct bytes *b, enum deed deed)
{
	memcpy(spoilt, b->p, b->len);
	spoilt[b->len] = 0;
	if (deed == FLIP_FIRST || deed == FLIP_LAST || deed == FLIP_MIDDLE)
		spoilt[deed == FLIP_FIRST ? 0 : deed == FLIP_LAST ? b->len - 1 : b->len / 2] ^= 1;
	*b = deed == LEAVE_OUT
		     ? (struct bytes) {spoilt, 0}
		     : (struct bytes) {spoilt, b->len + (deed == LENGTHEN) - (deed == CUT)};
}

static void broken_certs(void **state)
{
	/* X.509 types 1 and 3 are looked at only when there is no type 4 */
	static const struct {
		struct relay *liar;
		unsigned type;
	} rows[] = {{DIALS, 2},	 {DIALS, 4},  {DIALS, 6},  {DIALS, 7},
		    {SERVES, 2}, {SERVES, 4}, {SERVES, 5}, {SERVES, 7}};

	for (size_t i = 0; i < ARRAY_LEN(rows) * (LENGTHEN + 1); i++) {
		struct relay *liar = rows[i / (LENGTHEN + 1)].liar;
		unsigned type = rows[i / (LENGTHEN + 1)].type;
		enum deed deed = (enum deed)(i % (LENGTHEN + 1));
		struct link_target t = target_of(SERVES);
		struct bytes *b, saved;
		struct wire w;
		struct fake_end *judge;

		if (i % (LENGTHEN + 1) == 0)
			fresh(NULL);
		b = &liar->links->context->certs->certs[type];
		saved = *b;
		spoil(b, deed);
		t.has_ed = false;
		links_now(DIALS->links, now_us += 61000000, wall_s);
		w = dial(&t);
		fake_pump(w.a, w.b, 65536);
		judge = liar == DIALS ? w.b : w.a;
		/* Without a readable type 4 a responder is still known by its RSA chain. */
		if (liar == SERVES && type == 4 && deed != FLIP_LAST && deed != FLIP_MIDDLE) {
			assert_true(w.a->ready);
			assert_false(link_peer(DIALS->links, w.a->conn)->has_ed);
		} else {
			if (!judge->closed)
				print_error("type %u deed %u\n", type, deed);
			assert_true(judge->closed);
			assert_int_equal(judge->close_why, CTL_WHY_PROTOCOL);
			assert_false(judge->ready);
		}
		*b = saved;
		fake_close(w.a, CTL_WHY_DONE);
		fake_close(w.b, CTL_WHY_DONE);
	}
}

/* Certificates out of their time, seen by the other side's clock. */
static void certs_in_time(void **state)
{
	static const struct {
		int64_t ahead_s;
		bool opens;
	} rows[] = {
		/* 0 */ {0, true},
		/* 1 */ {47 * 3600, true},
		/* 2 */ {50 * 3600, false}, /* type 6 lives two days */
		/* 3 */ {-86400, true},
		/* 4 */ {40 * 86400, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct link_target t = target_of(SERVES);
		struct wire w;

		fresh(NULL);
		links_now(SERVES->links, now_us, WALL + rows[i].ahead_s);
		w = dial(&t);
		fake_pump(w.a, w.b, 65536);
		assert_int_equal(w.b->ready, rows[i].opens);
		if (rows[i].opens && rows[i].ahead_s) {
			assert_int_equal(DIALS->n_skewed, 1);
			assert_int_equal(DIALS->skew_s, -rows[i].ahead_s);
		}
	}
}

/* ---- AUTHENTICATE: every field must be right ---- */

static void flip_authenticate(struct fake_end *e, uint8_t *cells, size_t len)
{
	if (len > CELL_LEN && cells[4] == CELL_AUTHENTICATE)
		cells[CELL_VAR_HEAD + e->meddle_at] ^= 1;
}

static void drop_authenticate(struct fake_end *e, uint8_t *cells, size_t len)
{
	if (len > CELL_LEN && cells[4] == CELL_AUTHENTICATE)
		cells[4] = CELL_VPADDING;
}

static void hide_challenge(struct fake_end *e, uint8_t *cells, size_t len)
{
	size_t at = 0;

	for (bool first = true; at + 7 < len; first = false) {
		struct cell c;
		int n = cell_size(cells + at, len - at, first ? 2 : 4);

		cell_split(&c, cells + at, (size_t)n, first ? 2 : 4);
		if (c.command == CELL_AUTH_CHALLENGE)
			c.start[4] = CELL_VPADDING;
		at += (size_t)n;
	}
}

static void authenticate_fields(void **state)
{
	/* method, length, prefix, then each of eight fields, the random part and the signature */
	static const int at[] = {0,   1,   2,	3,   4,	  11,  12,  44,	 76, 108,
				 140, 172, 204, 236, 267, 268, 291, 292, 355};

	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct link_target t = target_of(SERVES);
		struct wire w;

		if (i % 4 == 0)
			fresh(NULL);
		links_now(DIALS->links, now_us += 61000000, wall_s);
		w = dial(&t);
		w.a->meddle = flip_authenticate;
		w.a->meddle_at = at[i];
		fake_pump(w.a, w.b, 65536);
		if (!w.b->closed)
			print_error("byte %d\n", at[i]);
		assert_true(w.b->closed && !w.b->ready);
		fake_close(w.a, CTL_WHY_DONE);
		fake_close(w.b, CTL_WHY_DONE);
	}
}

/* No AUTHENTICATE: the initiator, certificates and all, is a client. No AUTH_CHALLENGE: it sends
 * NETINFO only when the responder's has come. */
static void unauthenticated(void **state)
{
	struct link_target t = target_of(SERVES);
	struct wire w = dial(&t);

	w.a->meddle = drop_authenticate;
	fake_pump(w.a, w.b, 65536);
	assert_true(w.a->ready && w.b->ready);
	assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_CLIENT);
	assert_false(link_peer(SERVES->links, w.b->conn)->has_ed);
	fake_close(w.a, CTL_WHY_DONE);
	fake_close(w.b, CTL_WHY_DONE);
	w = dial(&t);
	w.b->meddle = hide_challenge;
	fake_pump(w.a, w.b, 65536);
	assert_true(w.a->ready && w.b->ready);
	assert_int_equal(link_peer(SERVES->links, w.b->conn)->kind, CTL_PEER_CLIENT);
	assert_int_equal(link_peer(DIALS->links, w.a->conn)->kind, CTL_PEER_RELAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(relay_to_relay),
		T(any_cut),
		T(every_suite),
		T(small_records),
		T(context_renewed_meanwhile),
		T(client_opens),
		T(tls_refused),
		T(whitelist),
		T(endless_chatter),
		T(garbage_for_tls),
		T(broken_certs),
		T(certs_in_time),
		T(authenticate_fields),
		T(unauthenticated),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
