/* links.c - the table of links and their lives: a conn comes up, its records go through OpenSSL,
 * its cells through the link handshake, then it is open until CONN_CLOSED. */
#include <malloc.h>
#include <stdlib.h>

#include "controlplane/link/internal.h"

#define MAX_LINKS      (1u << 18)
#define MAX_HANDSHAKES 4096
#define HANDSHAKE_US   (300ull * 1000000)
#define RETRY_US       1000000
#define AGE_US	       60000000 /* between two looks for links that are too old */
#define BURST	       16	/* handshakes at once: about 1 MB */
#define TAG_VERSION    2

/* What CONN_READY's tag holds, for the control after us. */
struct tag {
	uint8_t version, has_ed, named_us, named_family, _pad[4];
	uint8_t named[16];
	uint8_t rsa_id[KEYS_RSA_ID], ed_id[KEYS_ED_ID];
	uint8_t since_s[8]; /* seconds since 1970, wire order */
};
_Static_assert(sizeof(struct tag) <= CTL_TAG_LEN, "the tag fits");

uint64_t link_id_key(const struct links *l, const uint8_t rsa_id[KEYS_RSA_ID])
{
	return hash_bytes(&l->hash, rsa_id, KEYS_RSA_ID) | 1; /* a map's key is never 0 */
}

bool link_is_private(const struct addr *a)
{
	static const struct {
		uint8_t family, bits, ip[2];
	} nets[] = {
		{4, 8, {10, 0}},     {4, 8, {127, 0}}, {4, 12, {172, 16}}, {4, 16, {192, 168}},
		{4, 16, {169, 254}}, {4, 8, {0, 0}},   {6, 7, {0xfc, 0}},  {6, 10, {0xfe, 0x80}},
	};
	static const uint8_t loop6[16] = {[15] = 1};
	uint16_t top = be16_get(a->ip);

	for (unsigned i = 0; i < ARRAY_LEN(nets); i++)
		if (nets[i].family == a->family &&
		    ((top ^ be16_get(nets[i].ip)) >> (16 - nets[i].bits)) == 0)
			return true;
	return a->family == 6 && (!memcmp(a->ip, loop6, 16) || !memcmp(a->ip, loop6, 15));
}

/* ---- handshakes by age: all wait equally long, so the list is in order ---- */

static void time_append(struct links *l, struct link *k, uint64_t after_us)
{
	k->deadline_us = l->now_us + after_us;
	k->time_next = NULL;
	k->time_prev = l->time_last;
	*(l->time_last ? &l->time_last->time_next : &l->time_first) = k;
	l->time_last = k;
}

void time_remove(struct links *l, struct link *k)
{
	if (!k->deadline_us)
		return;
	*(k->time_prev ? &k->time_prev->time_next : &l->time_first) = k->time_next;
	*(k->time_next ? &k->time_next->time_prev : &l->time_last) = k->time_prev;
	k->deadline_us = 0;
}

/* ---- the table ---- */

static bool in_handshake(const struct link *k)
{
	return k->state < LINK_OPEN;
}

static struct link *row_take(struct links *l)
{
	uint32_t i = slots_take(&l->slots);
	struct link **chunk = i == SLOT_NONE ? NULL : &l->chunk[i / LINKS_CHUNK];

	if (chunk && !*chunk)
		*chunk = calloc(LINKS_CHUNK, sizeof(**chunk));
	if (!chunk || !*chunk) {
		slots_give(&l->slots, i);
		return NULL;
	}
	link_at(l, i)->slot = i;
	return link_at(l, i);
}

struct link *link_new(struct links *l, bool initiator)
{
	uint32_t max = l->config.max_handshakes;
	struct link *k;

	if (!initiator)
		max -= max / 4; /* strangers do not keep us from dialling */
	if (l->stats.n_handshakes >= max || !(k = row_take(l))) {
		l->stats.refused_full++;
		return NULL;
	}
	k->id_next = SLOT_NONE;
	k->peer.initiator = initiator;
	k->peer.since_us = l->now_us;
	k->state = initiator ? LINK_DIALING : LINK_TLS;
	time_append(l, k, l->config.handshake_us);
	l->stats.n_links++;
	l->stats.n_handshakes++;
	l->n_peak = MAX(l->n_peak, l->stats.n_handshakes);
	return k;
}

static void id_remove(struct links *l, struct link *k)
{
	uint64_t key = link_id_key(l, k->peer.rsa_id);
	uint32_t at = map_get(&l->by_id, key), *from = NULL;

	while (at != SLOT_NONE && at != k->slot) {
		from = &link_at(l, at)->id_next;
		at = *from;
	}
	if (at == SLOT_NONE)
		return;
	if (from)
		*from = k->id_next;
	else if (k->id_next != SLOT_NONE)
		map_put(&l->by_id, key, k->id_next);
	else
		map_del(&l->by_id, key);
	k->id_next = SLOT_NONE;
}

static int id_insert(struct links *l, struct link *k)
{
	uint64_t key = link_id_key(l, k->peer.rsa_id);

	k->id_next = map_get(&l->by_id, key);
	return map_put(&l->by_id, key, k->slot);
}

/* The link is no longer open, or no longer in handshake: counters, lists, secrets. */
static void link_leave(struct links *l, struct link *k)
{
	if (in_handshake(k))
		l->stats.n_handshakes--;
	if (k->state == LINK_DIALING)
		l->stats.n_dials--;
	if (k->state == LINK_OPEN && k->peer.kind == CTL_PEER_CLIENT)
		l->stats.n_clients--;
	if (k->state == LINK_OPEN && k->peer.kind != CTL_PEER_CLIENT) {
		l->stats.n_relays--;
		id_remove(l, k);
	}
	time_remove(l, k);
	shake_free(k);
}

void link_free(struct links *l, struct link *k)
{
	struct dial *d = k->dial;

	link_leave(l, k);
	k->dial = NULL;
	if (k->counted)
		dos_disconnected(l->config.dos, &k->peer.remote, l->now_us / 1000000);
	if (k->peer.conn)
		map_del(&l->by_conn, k->peer.conn);
	slots_give(&l->slots, k->slot);
	l->stats.n_links--;
	dial_free(d);
	wipe(k, sizeof(*k));
}

struct link *link_find(const struct links *l, wid conn)
{
	uint32_t at = conn ? map_get(&l->by_conn, conn) : SLOT_NONE;

	return at == SLOT_NONE ? NULL : link_at(l, at);
}

int link_send(struct links *l, struct link *k, uint16_t type, const void *body, size_t body_len,
	      const void *tail, size_t tail_len)
{
	int err = door_send(l->config.door, wid_worker(k->peer.conn), type, k->peer.conn, 0, body,
			    body_len, tail, tail_len);

	if (err)
		l->stats.door_full++;
	return err;
}

static void close_send(struct links *l, struct link *k)
{
	k->close_unsent = door_send(l->config.door, wid_worker(k->peer.conn), CTL_CONN_CLOSE,
				    k->peer.conn, k->close_why, NULL, 0, NULL, 0) < 0;
	if (k->close_unsent)
		time_append(l, k, RETRY_US);
}

void link_end(struct links *l, struct link *k, enum ctl_why why, unsigned reason)
{
	struct dial *d = k->dial;

	if (k->state == LINK_CLOSING)
		return;
	k->dial = NULL;
	if (!k->peer.conn) {
		link_free(l, k);
	} else {
		link_leave(l, k);
		k->state = LINK_CLOSING;
		k->close_why = (uint8_t)why;
		close_send(l, k);
	}
	if (d)
		reach_failed(l, d, reason);
}

/* ---- open ---- */

static void ready_of(const struct links *l, const struct link *k, struct ctl_conn_ready *r)
{
	struct tag tag = {.version = TAG_VERSION,
			  .has_ed = k->peer.has_ed,
			  .named_us = k->peer.named_us,
			  .named_family = k->peer.named.family};

	memcpy(tag.named, k->peer.named.ip, sizeof(tag.named));
	memset(r, 0, sizeof(*r));
	r->link_proto = k->peer.link_proto;
	r->peer = k->peer.kind;
	r->initiator = k->peer.initiator;
	r->canonical = k->peer.canonical;
	r->identity = l->config.identity;
	memcpy(tag.rsa_id, k->peer.rsa_id, sizeof(tag.rsa_id));
	memcpy(tag.ed_id, k->peer.ed_id, sizeof(tag.ed_id));
	be64_put(tag.since_s, (uint64_t)l->wall_s);
	memcpy(r->tag, &tag, sizeof(tag));
}

/* From handshake to open; nothing has changed when it fails. */
static int enter_open(struct links *l, struct link *k)
{
	bool client = k->peer.kind == CTL_PEER_CLIENT;

	if (!client && id_insert(l, k) < 0)
		return ERR_FULL;
	link_leave(l, k);
	(*(client ? &l->stats.n_clients : &l->stats.n_relays))++;
	k->peer.since_us = l->now_us;
	k->state = LINK_OPEN;
	return 0;
}

void link_open(struct links *l, struct link *k)
{
	struct ctl_conn_ready r;

	ready_of(l, k, &r);
	if (enter_open(l, k) < 0 || link_send(l, k, CTL_CONN_READY, &r, sizeof(r), NULL, 0) < 0) {
		link_end(l, k, CTL_WHY_RESOURCE, DESTROY_RESOURCELIMIT);
		return;
	}
	(*(k->peer.initiator ? &l->stats.opened_out : &l->stats.opened_in))++;
	l->stats.link_proto[k->peer.link_proto]++;
	l->stats.dialled_proto[k->peer.link_proto] += k->peer.initiator;
	if (k->peer.kind != CTL_PEER_CLIENT)
		reach_opened(l, k);
}

/* ---- messages ---- */

/* Sends down what OpenSSL wrote. */
static int drain(struct links *l, struct link *k)
{
	struct shake *s = k->shake;
	uint8_t buf[CTL_CHUNK];
	int n;

	while ((n = BIO_read(s->out, buf, sizeof(buf))) > 0) {
		if (link_send(l, k, CTL_CONN_WRITE, NULL, 0, buf, (size_t)n) < 0)
			return ERR_FULL;
		s->out_offset += (size_t)n;
	}
	return 0;
}

static void tls_done(struct links *l, struct link *k)
{
	struct ctl_conn_keys keys;
	int err = shake_keys(k->shake, k->peer.initiator, &keys);

	if (!err)
		err = link_send(l, k, CTL_CONN_KEYS, &keys, sizeof(keys), NULL, 0);
	l->stats.tls_version[keys.version == TLS1_3_VERSION]++;
	wipe(&keys, sizeof(keys));
	wipe(k->shake->secret, sizeof(k->shake->secret));
	if (err) {
		link_end(l, k, CTL_WHY_RESOURCE, DESTROY_RESOURCELIMIT);
		return;
	}
	k->state = LINK_VERSIONS;
	shake_begin_cells(l, k);
}

static void tls_step(struct links *l, struct link *k, const uint8_t *record, size_t len)
{
	int n = shake_step(k->shake, record, len), sent = drain(l, k);

	if (n < 0 || sent < 0) {
		l->stats.tls_failed++;
		link_end(l, k, sent < 0 ? CTL_WHY_RESOURCE : CTL_WHY_PROTOCOL,
			 DESTROY_CHANNEL_CLOSED);
	} else if (n == 1) {
		tls_done(l, k);
	}
}

/* The link of a dial under way, by its cookie; NULL when there is none. */
static struct link *dial_find(const struct links *l, uint64_t cookie)
{
	uint32_t at = cookie & 0xffffff;

	if (!cookie || !slots_live(&l->slots, at) || link_at(l, at)->cookie != cookie ||
	    link_at(l, at)->state != LINK_DIALING)
		return NULL;
	return link_at(l, at);
}

/* Counted from here on, before TLS, as tor does: also whoever never ends his handshake. */
static struct link *accepted_link(struct links *l, const struct ctl_conn_opened *m)
{
	uint64_t now_s = l->now_us / 1000000;
	enum dos_conn dos = dos_connected(l->config.dos, &m->remote, now_s);
	struct link *k;

	l->stats.accepted++;
	if (dos == DOS_CONN_REFUSED) {
		l->stats.refused_dos++;
		return NULL;
	}
	k = link_new(l, false);
	if (k)
		k->counted = dos == DOS_CONN_COUNTED;
	else if (dos == DOS_CONN_COUNTED)
		dos_disconnected(l->config.dos, &m->remote, now_s);
	return k;
}

static struct link *opened_link(struct links *l, wid conn, const struct ctl_conn_opened *m)
{
	struct link *k;

	if (!m->cookie)
		return accepted_link(l, m);
	k = dial_find(l, m->cookie);
	if (!k)
		return NULL; /* a dial that we gave up */
	l->stats.n_dials--;
	k->state = LINK_TLS;
	return k;
}

void links_opened(struct links *l, wid conn, const struct ctl_conn_opened *m)
{
	struct link *k;

	if (!conn || link_find(l, conn)) {
		l->stats.stray_messages++;
		return;
	}
	k = opened_link(l, conn, m);
	if (!k) {
		door_send(l->config.door, wid_worker(conn), CTL_CONN_CLOSE, conn, CTL_WHY_RESOURCE,
			  NULL, 0, NULL, 0);
		return;
	}
	k->peer.conn = conn;
	k->peer.local_addr = m->local;
	k->peer.remote = m->remote;
	k->peer.local = link_is_private(&m->remote);
	if (map_put(&l->by_conn, conn, k->slot) < 0 || shake_new(l, k) < 0) {
		link_end(l, k, CTL_WHY_RESOURCE, DESTROY_RESOURCELIMIT);
		return;
	}
	if (k->peer.initiator)
		tls_step(l, k, NULL, 0);
}

/* After the hand-over the worker may still send up what it had read before it knew. */
void links_read(struct links *l, wid conn, uint64_t offset, const uint8_t *record, size_t len)
{
	struct link *k = link_find(l, conn);

	if (!k || k->state != LINK_TLS) {
		l->stats.stray_messages++;
		return;
	}
	if (offset != k->shake->in_offset || len < 5 || len != 5u + be16_get(record + 3)) {
		l->stats.tls_failed++;
		link_end(l, k, CTL_WHY_PROTOCOL, DESTROY_CHANNEL_CLOSED);
		return;
	}
	tls_step(l, k, record, len);
}

void links_cell(struct links *l, wid conn, const uint8_t *cell, size_t len)
{
	struct link *k = link_find(l, conn);

	if (!k || (k->state != LINK_VERSIONS && k->state != LINK_CELLS))
		l->stats.stray_messages++;
	else
		shake_cell(l, k, cell, len);
}

void links_closed(struct links *l, wid conn, uint64_t cookie, unsigned why)
{
	struct link *k = link_find(l, conn);
	struct dial *d;

	if (!k)
		k = dial_find(l, cookie);
	if (!k) {
		l->stats.stray_messages++;
		return;
	}
	l->stats.closed++;
	if (k->state == LINK_DIALING)
		l->stats.dial_failed++;
	else if (in_handshake(k))
		l->stats.handshake_failed++;
	d = k->dial;
	k->dial = NULL;
	link_free(l, k);
	if (d)
		reach_failed(l, d,
			     why == CTL_WHY_RESOURCE ? DESTROY_RESOURCELIMIT
						     : DESTROY_CHANNEL_CLOSED);
}

int links_replayed(struct links *l, wid conn, const struct addr *local, const struct addr *remote,
		   const struct ctl_conn_ready *ready)
{
	struct link *k;
	struct tag tag;
	uint64_t age_s;

	if (link_find(l, conn))
		return 0;
	memcpy(&tag, ready->tag, sizeof(tag));
	if (tag.version != TAG_VERSION || !conn || ready->peer > CTL_PEER_RELAY ||
	    ready->link_proto < 4 || ready->link_proto > 5)
		return ERR_MALFORMED;
	k = link_new(l, ready->initiator);
	if (!k)
		return ERR_FULL;
	k->state = LINK_TLS; /* no dial to count */
	k->peer.conn = conn;
	k->peer.kind = ready->peer;
	k->peer.link_proto = ready->link_proto;
	k->peer.canonical = ready->canonical;
	k->peer.named_us = tag.named_us;
	k->peer.named.family = tag.named_family;
	memcpy(k->peer.named.ip, tag.named, sizeof(tag.named));
	k->peer.has_ed = tag.has_ed;
	memcpy(k->peer.rsa_id, tag.rsa_id, sizeof(k->peer.rsa_id));
	memcpy(k->peer.ed_id, tag.ed_id, sizeof(k->peer.ed_id));
	k->peer.local_addr = *local;
	k->peer.remote = *remote;
	k->peer.local = link_is_private(remote);
	if (!ready->initiator)
		k->counted = dos_was_connected(l->config.dos, remote, l->now_us / 1000000);
	if (map_put(&l->by_conn, conn, k->slot) < 0 || enter_open(l, k) < 0) {
		link_free(l, k);
		return ERR_FULL;
	}
	age_s = (uint64_t)MAX(l->wall_s - (int64_t)be64_get(tag.since_s), 0);
	k->peer.since_us -= MIN(age_s * 1000000, k->peer.since_us);
	return 0;
}

/* ---- the room's face ---- */

static int tables_new(struct links *l)
{
	uint32_t n = l->config.max_links;

	l->chunk = calloc(n / LINKS_CHUNK + 1, sizeof(struct link *));
	return l->chunk && slots_init(&l->slots, 0, n) == 0 &&
			       map_init(&l->by_conn, n, l->hash) == 0 &&
			       map_init(&l->by_id, n, l->hash) == 0
		       ? 0
		       : ERR_FULL;
}

struct links *links_new(const struct links_config *config, uint64_t now_us, int64_t wall_s)
{
	struct links *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->config = *config;
	l->config.max_links = MIN(config->max_links ? config->max_links : MAX_LINKS, 1u << 24);
	if (!l->config.max_handshakes)
		l->config.max_handshakes = MAX_HANDSHAKES;
	if (!l->config.handshake_us)
		l->config.handshake_us = HANDSHAKE_US;
	if (!l->config.n_workers)
		l->config.n_workers = 1;
	memcpy(l->hash.k, config->hash_key, sizeof(l->hash.k));
	memcpy(l->rsa_id, keys_rsa_id(config->keys), sizeof(l->rsa_id));
	memcpy(l->ed_id, keys_ed_id(config->keys), sizeof(l->ed_id));
	l->answered_end = &l->answered;
	links_now(l, now_us, wall_s);
	if (tables_new(l) < 0 || links_renew(l) < 0) {
		links_free(l);
		return NULL;
	}
	return l;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->slots.n_touched; i++)
		if (slots_live(&l->slots, i))
			link_free(l, link_at(l, i));
	while (l->answered) {
		struct waiter *w = l->answered;

		l->answered = w->next;
		free(w);
	}
	map_fini(&l->by_conn);
	map_fini(&l->by_id);
	tls_context_put(l->context);
	for (uint32_t i = 0; l->chunk && i <= l->config.max_links / LINKS_CHUNK; i++)
		free(l->chunk[i]);
	free((void *)l->chunk);
	slots_fini(&l->slots);
	free(l);
}

void links_lost(struct links *l)
{
	for (uint32_t i = 0; i < l->slots.n_touched; i++) {
		struct link *k = slots_live(&l->slots, i) ? link_at(l, i) : NULL;
		struct dial *d = k ? k->dial : NULL;

		if (!k)
			continue;
		l->stats.closed++;
		k->dial = NULL;
		link_free(l, k);
		if (d) {
			d->at = d->target.n_addrs; /* nowhere to dial from */
			reach_failed(l, d, DESTROY_CHANNEL_CLOSED);
		}
	}
}

void links_now(struct links *l, uint64_t now_us, int64_t wall_s)
{
	l->now_us = now_us;
	l->wall_s = wall_s;
}

/* After a burst of handshakes the kernel gets back what OpenSSL held for them. */
static void give_back(struct links *l)
{
	if (l->n_peak < BURST || l->stats.n_handshakes > l->n_peak / 4)
		return;
	malloc_trim(0);
	l->n_peak = l->stats.n_handshakes;
}

void links_tick(struct links *l)
{
	struct link *k;

	if (l->now_us >= l->age_us) {
		l->age_us = l->now_us + AGE_US;
		reach_age(l);
	}
	while ((k = l->time_first) && k->deadline_us <= l->now_us) {
		time_remove(l, k);
		if (k->state == LINK_CLOSING) {
			close_send(l, k);
			continue;
		}
		l->stats.timed_out++;
		link_end(l, k, CTL_WHY_TIMEOUT, DESTROY_CHANNEL_CLOSED);
	}
	give_back(l);
}

int links_renew(struct links *l)
{
	struct tls_context *c = tls_context_new(l->config.keys, l->config.tls_order_tor);

	if (!c)
		return ERR_CRYPTO;
	tls_context_put(l->context);
	l->context = c;
	return 0;
}

void links_set_addresses(struct links *l, const struct addr *addrs, unsigned n)
{
	l->n_ours = MIN(n, (unsigned)ARRAY_LEN(l->ours));
	memcpy(l->ours, addrs, l->n_ours * sizeof(addrs[0]));
}

static void reclassify(struct links *l, struct link *k)
{
	struct link_peer *p = &k->peer;
	const uint8_t *ed = p->has_ed ? p->ed_id : NULL;
	bool was = p->canonical;

	if (k->state != LINK_OPEN || p->kind == CTL_PEER_CLIENT)
		return;
	p->kind = l->config.known && l->config.known(l->config.arg, p->rsa_id, ed)
			  ? CTL_PEER_RELAY
			  : CTL_PEER_UNKNOWN_RELAY;
	if (l->config.listed_at && l->config.listed_at(l->config.arg, p->rsa_id, ed, &p->remote))
		p->canonical = true;
	if (p->canonical != was)
		reach_rank(l, k);
}

void links_reclassify(struct links *l)
{
	for (uint32_t i = 0; i < l->slots.n_touched; i++)
		if (slots_live(&l->slots, i))
			reclassify(l, link_at(l, i));
}

const struct link_peer *link_peer(const struct links *l, wid conn)
{
	const struct link *k = link_find(l, conn);

	return k && k->state == LINK_OPEN ? &k->peer : NULL;
}

bool links_seen_inbound(const struct links *l, unsigned family)
{
	return l->seen_inbound[family == 6];
}

const struct links_stats *links_stats(const struct links *l)
{
	return &l->stats;
}
