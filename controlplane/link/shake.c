/* shake.c - the link handshake, VERSIONS to NETINFO (tor-spec section 4): a whitelist of cells, the
 * hashes over what both sides said, AUTHENTICATE made and checked. */
#include <openssl/rand.h>
#include <stdlib.h>

#include "controlplane/link/internal.h"

#define SKEW_NOTICE_S  3600
#define SKEW_WITHIN_US (180ull * 1000000)
#define ANSWER_MAX     8192 /* VERSIONS, CERTS, AUTH_CHALLENGE and NETINFO together */

static const uint8_t responder_certs[] = {CERTS_LINK_X509, CERTS_ID_X509, CERTS_ED_SIGNING,
					  CERTS_ED_LINK, CERTS_RSA_ED_CROSS};
static const uint8_t initiator_certs[] = {CERTS_AUTH_X509, CERTS_ID_X509, CERTS_ED_SIGNING,
					  CERTS_ED_AUTH, CERTS_RSA_ED_CROSS};

/* ---- cells that we write; each goes into the hash of what we said ---- */

static void wr_versions(struct shake *s, struct writer *w)
{
	static const uint8_t cell[] = {0, 0, CELL_VERSIONS, 0, 4, 0, 4, 0, 5};

	wr_bytes(w, cell, sizeof(cell));
	EVP_DigestUpdate(s->said, cell, sizeof(cell));
}

/* A variable cell whose payload is what fill wrote: begin returns where its length stands. */
static uint8_t *var_begin(struct writer *w, uint8_t command)
{
	wr_u32(w, 0);
	wr_u8(w, command);
	return wr_space(w, 2);
}

static void var_end(struct shake *s, struct writer *w, uint8_t *at)
{
	if (w->bad)
		return;
	be16_put(at, (uint16_t)(w->p - (at + 2)));
	EVP_DigestUpdate(s->said, at - 5, (size_t)(w->p - (at - 5)));
}

static void wr_certs(struct shake *s, struct writer *w, bool initiator)
{
	uint8_t *at = var_begin(w, CELL_CERTS);

	if (initiator)
		certs_write(w, s->context->certs->certs, initiator_certs, sizeof(initiator_certs));
	else
		certs_write(w, s->context->certs->certs, responder_certs, sizeof(responder_certs));
	var_end(s, w, at);
}

static void wr_challenge(struct shake *s, struct writer *w)
{
	uint8_t challenge[AUTH_CHALLENGE_LEN], *at = var_begin(w, CELL_AUTH_CHALLENGE);

	if (RAND_bytes(challenge, sizeof(challenge)) != 1)
		w->bad = true;
	auth_challenge_write(w, challenge);
	var_end(s, w, at);
}

static void wr_netinfo(const struct links *l, struct link *k, struct writer *w)
{
	struct netinfo n = {
		.time_s = (uint32_t)l->wall_s, .other = k->peer.remote, .n_mine = l->n_ours};
	uint8_t *cell = wr_space(w, CELL_LEN);
	struct writer body;

	if (!cell)
		return;
	memcpy(n.mine, l->ours, l->n_ours * sizeof(n.mine[0]));
	memset(cell, 0, CELL_LEN);
	cell_head_put(cell, 0, CELL_NETINFO);
	body = writer_of(cell + CELL_HEAD, CELL_PAYLOAD);
	netinfo_write(&body, &n);
	k->shake->sent_netinfo = true;
}

static int hash_now(EVP_MD_CTX *running, uint8_t digest[32])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int ok = c && EVP_MD_CTX_copy_ex(c, running) == 1 &&
		 EVP_DigestFinal_ex(c, digest, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok ? 0 : ERR_CRYPTO;
}

/* Everything in AUTHENTICATE that both sides know (tor-spec 4.4.2). */
static int auth_fields_of(struct link *k, struct auth_fields *f)
{
	struct shake *s = k->shake;
	const struct link_certs *us = s->context->certs;
	bool first = k->peer.initiator;
	int err;

	memcpy(first ? f->cid : f->sid, us->rsa_digest, 32);
	memcpy(first ? f->sid : f->cid, s->shown.rsa_digest, 32);
	memcpy(first ? f->cid_ed : f->sid_ed, us->ed_id, 32);
	memcpy(first ? f->sid_ed : f->cid_ed, s->shown.ed_id, 32);
	err = hash_now(first ? s->said : s->heard, f->clog);
	if (first)
		err = err ? err : hash_now(s->heard, f->slog);
	else
		memcpy(f->slog, s->slog, 32);
	if (first)
		err = err ? err : shake_peer_digest(s, f->scert);
	else
		memcpy(f->scert, us->tls_digest, 32);
	return err ? err : shake_export(s, f->cid, f->tls_secrets);
}

static int wr_authenticate(struct link *k, struct writer *w)
{
	const struct link_certs *us = k->shake->context->certs;
	struct auth_fields f;
	uint8_t random[24], *at, *body;
	int err = auth_fields_of(k, &f);

	if (err || RAND_bytes(random, sizeof(random)) != 1)
		return ERR_CRYPTO;
	at = var_begin(w, CELL_AUTHENTICATE);
	wr_u16(w, AUTH_METHOD_ED25519);
	wr_u16(w, AUTH_BODY_LEN + ED_SIG);
	body = w->p;
	auth_fixed_write(w, &f);
	wr_bytes(w, random, sizeof(random));
	wr_space(w, ED_SIG);
	if (w->bad)
		return ERR_FULL;
	var_end(k->shake, w, at);
	wipe(&f, sizeof(f));
	return ed25519_sign(body, AUTH_BODY_LEN, us->auth_secret, us->auth_public,
			    body + AUTH_BODY_LEN);
}

/* Sends what was written as one CONN_WRITE. */
static int say(struct links *l, struct link *k, const struct writer *w)
{
	if (w->bad)
		return ERR_FULL;
	return link_send(l, k, CTL_CONN_WRITE, NULL, 0, w->start, wr_len(w));
}

void shake_begin_cells(struct links *l, struct link *k)
{
	uint8_t buf[16];
	struct writer w = writer_of(buf, sizeof(buf));

	k->shake->versions_us = l->now_us;
	if (!k->peer.initiator)
		return;
	wr_versions(k->shake, &w);
	say(l, k, &w);
}

/* ---- cells that we read: 0, or a negative error that closes the link ---- */

static int on_versions(struct links *l, struct link *k, const struct cell *c)
{
	struct shake *s = k->shake;
	uint8_t buf[ANSWER_MAX];
	struct writer w = writer_of(buf, sizeof(buf));
	int proto = versions_pick(c->payload, c->len, LINK_PROTOS);

	if (k->state != LINK_VERSIONS)
		return 0; /* a second one is ignored */
	if (proto <= 0)
		return ERR_MALFORMED;
	k->peer.link_proto = (uint8_t)proto;
	k->state = LINK_CELLS;
	s->versions_us = l->now_us;
	if (k->peer.initiator) {
		wr_certs(s, &w, true);
		return say(l, k, &w);
	}
	wr_versions(s, &w);
	wr_certs(s, &w, false);
	wr_challenge(s, &w);
	if (hash_now(s->said, s->slog) < 0)
		return ERR_CRYPTO;
	wr_netinfo(l, k, &w);
	return say(l, k, &w);
}

/* The relay that was dialled is the one that was meant (L25). */
static int right_one(struct links *l, const struct link *k)
{
	const struct link_target *t = &k->dial->target;
	const struct shown *s = &k->shake->shown;

	if (!memcmp(t->rsa_id, s->rsa_id, KEYS_RSA_ID) &&
	    (!t->has_ed || (s->has_ed && !memcmp(t->ed_id, s->ed_id, KEYS_ED_ID))))
		return 0;
	l->stats.identity_mismatch++;
	return ERR_UNKNOWN;
}

static int on_certs(struct links *l, struct link *k, const struct cell *c)
{
	struct shake *s = k->shake;
	int err;

	if (s->shown.certs || c->circ_id || !c->len)
		return ERR_MALFORMED;
	err = verify_certs(&s->shown, c->payload, c->len, s, k->peer.initiator, l->wall_s);
	if (err || !k->peer.initiator)
		return err;
	s->authenticated = true;
	return right_one(l, k);
}

static int on_challenge(struct links *l, struct link *k, const struct cell *c)
{
	struct shake *s = k->shake;
	uint8_t buf[2 * CELL_LEN];
	struct writer w = writer_of(buf, sizeof(buf));
	int can;

	if (!k->peer.initiator || s->challenged || !s->shown.certs || c->circ_id)
		return ERR_MALFORMED;
	can = auth_challenge_has(c->payload, c->len, AUTH_METHOD_ED25519);
	if (can < 0)
		return can;
	s->challenged = true;
	if (can && wr_authenticate(k, &w) < 0)
		return ERR_CRYPTO;
	wr_netinfo(l, k, &w);
	return say(l, k, &w);
}

static int on_authenticate(struct links *l, struct link *k, const struct cell *c)
{
	struct shake *s = k->shake;
	uint8_t want[AUTH_FIXED_LEN];
	struct writer w = writer_of(want, sizeof(want));
	struct auth_fields f;
	struct bytes body;
	uint16_t method;
	bool same;

	if (k->peer.initiator || s->authenticated || !s->shown.certs || !s->shown.has_ed)
		return ERR_MALFORMED;
	if (authenticate_parse(c->payload, c->len, &method, &body) < 0 ||
	    method != AUTH_METHOD_ED25519 || body.len != AUTH_BODY_LEN + ED_SIG)
		return ERR_MALFORMED;
	if (auth_fields_of(k, &f) < 0)
		return ERR_CRYPTO;
	auth_fixed_write(&w, &f);
	same = same_bytes(want, body.p, AUTH_FIXED_LEN);
	wipe(&f, sizeof(f));
	wipe(want, sizeof(want));
	if (!same ||
	    !ed25519_check(body.p, AUTH_BODY_LEN, s->shown.auth_key, body.p + AUTH_BODY_LEN))
		return ERR_CRYPTO;
	s->authenticated = true;
	return 0;
}

static void note_ours(struct links *l, struct link *k, const struct netinfo *n)
{
	struct link_peer *p = &k->peer;

	p->named = n->other;
	for (unsigned i = 0; i < l->n_ours; i++)
		p->named_us |= addr_same_ip(&n->other, &l->ours[i]);
	if (p->named_us && !p->initiator && (!p->local || l->config.allow_private))
		l->seen_inbound[p->remote.family == 6] = true;
	if (l->config.suggested && p->kind != CTL_PEER_CLIENT &&
	    !addr_same_ip(&n->other, &p->remote))
		l->config.suggested(l->config.arg, p, &n->other);
}

static void note_skew(struct links *l, struct link *k, uint32_t time_s)
{
	int64_t skew_s = l->wall_s - time_s;

	if (l->now_us - k->shake->versions_us >= SKEW_WITHIN_US || llabs(skew_s) <= SKEW_NOTICE_S)
		return;
	if (!k->peer.initiator && k->peer.kind != CTL_PEER_RELAY)
		return;
	log_info("A relay's clock in NETINFO is %lld seconds %s ours.", (long long)llabs(skew_s),
		 skew_s > 0 ? "behind" : "ahead of");
	if (l->config.skewed)
		l->config.skewed(l->config.arg, &k->peer, skew_s);
}

static void settle_peer(struct links *l, struct link *k, const struct netinfo *n)
{
	const struct shown *s = &k->shake->shown;
	struct link_peer *p = &k->peer;
	const uint8_t *ed = s->has_ed ? p->ed_id : NULL;

	p->kind = CTL_PEER_CLIENT;
	for (unsigned i = 0; i < n->n_mine; i++)
		p->canonical |= addr_same_ip(&n->mine[i], &p->remote);
	if (!k->shake->authenticated)
		return;
	p->has_ed = s->has_ed;
	memcpy(p->rsa_id, s->rsa_id, sizeof(p->rsa_id));
	memcpy(p->ed_id, s->ed_id, sizeof(p->ed_id));
	p->kind = CTL_PEER_UNKNOWN_RELAY;
	if (l->config.known && l->config.known(l->config.arg, p->rsa_id, ed))
		p->kind = CTL_PEER_RELAY;
	if (l->config.listed_at && l->config.listed_at(l->config.arg, p->rsa_id, ed, &p->remote))
		p->canonical = true;
}

static int on_netinfo(struct links *l, struct link *k, const struct cell *c)
{
	uint8_t buf[CELL_LEN];
	struct writer w = writer_of(buf, sizeof(buf));
	struct netinfo n;

	if (k->peer.initiator && !k->shake->authenticated)
		return ERR_MALFORMED;
	if (netinfo_parse(&n, c->payload, c->len) < 0)
		return ERR_MALFORMED;
	settle_peer(l, k, &n);
	note_ours(l, k, &n);
	note_skew(l, k, n.time_s);
	if (!k->shake->sent_netinfo) { /* there was no AUTH_CHALLENGE */
		wr_netinfo(l, k, &w);
		if (say(l, k, &w) < 0)
			return ERR_FULL;
	}
	link_open(l, k);
	return 0;
}

static const struct {
	uint8_t command;
	int (*read)(struct links *, struct link *, const struct cell *);
} rows[] = {
	{CELL_VERSIONS, on_versions},	     {CELL_CERTS, on_certs},
	{CELL_AUTH_CHALLENGE, on_challenge}, {CELL_AUTHENTICATE, on_authenticate},
	{CELL_NETINFO, on_netinfo},
};

/* The whitelist: before VERSIONS only VERSIONS, VPADDING and AUTHORIZE; after it no fixed cell but
 * NETINFO, and any variable one. */
static bool may_come(enum link_state state, uint8_t command)
{
	if (state == LINK_VERSIONS)
		return command == CELL_VERSIONS || command == CELL_VPADDING ||
		       command == CELL_AUTHORIZE;
	return command == CELL_NETINFO || cell_is_variable(command);
}

/* AUTHENTICATE is checked against what came before it; everything else is hashed as it comes. */
static int cell_take(struct links *l, struct link *k, const struct cell *c, size_t size)
{
	int err = 0;

	if (++k->shake->n_cells > CELLS_MAX || !may_come(k->state, c->command))
		return ERR_MALFORMED;
	if (c->command != CELL_AUTHENTICATE &&
	    EVP_DigestUpdate(k->shake->heard, c->start, size) != 1)
		return ERR_CRYPTO;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].command == c->command)
			err = rows[i].read(l, k, c);
	/* on_netinfo may have opened the link: then shake is gone */
	if (!err && k->shake && c->command == CELL_AUTHENTICATE)
		EVP_DigestUpdate(k->shake->heard, c->start, size);
	return err;
}

void shake_cell(struct links *l, struct link *k, const uint8_t *p, size_t len)
{
	unsigned id_len = k->state == LINK_VERSIONS ? 2 : 4;
	unsigned reason = DESTROY_CHANNEL_CLOSED;
	struct cell c;
	int err = cell_size(p, len, id_len) == (int)len && len ? 0 : ERR_MALFORMED;

	if (!err) {
		cell_split(&c, (uint8_t *)p, len, id_len);
		err = cell_take(l, k, &c, len);
	}
	if (!err || k->state == LINK_CLOSING)
		return;
	l->stats.handshake_failed++;
	if (err == ERR_UNKNOWN)
		reason = DESTROY_OR_IDENTITY;
	link_end(l, k, err == ERR_UNKNOWN ? CTL_WHY_IDENTITY : CTL_WHY_PROTOCOL, reason);
}
