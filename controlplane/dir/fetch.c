/* fetch.c - what is fetched when, from which authority: consensuses (D7), certificates (D9),
 * microdescriptors and descriptors (D10), with back-off (D11). */
#include <stdlib.h>

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

#define DOCS_PER_ASK	   500
#define DOCS_SPLIT	   96 /* beyond it, at least three asks share the work */
#define DOC_ASKS	   4
#define DOCS_PATIENCE	   16 /* fewer wait until more are wanted */
#define DOCS_PATIENCE_S	   600
#define MOST_ANSWER	   (16u << 20)
#define ACCEPTED_ENCODINGS "deflate, gzip, identity, x-tor-lzma, x-zstd"

enum ask_kind { ASK_CONSENSUS, ASK_CERTS, ASK_DOCS };
struct ask {
	struct ask *next, **at; /* in d->fetcher.asks */
	struct dir *d;
	enum ask_kind kind;
	enum flavour flavour;
	unsigned auth;
	unsigned n; /* ASK_DOCS: digests, sorted */
	uint8_t *digests;
};

static void ask_free(struct ask *a)
{
	if (a->at) {
		*a->at = a->next;
		if (a->next)
			a->next->at = a->at;
	}
	free(a->digests);
	free(a);
}

static struct ask *ask_new(struct dir *d, enum ask_kind kind, enum flavour flavour)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->d = d;
	a->kind = kind;
	a->flavour = flavour;
	a->next = d->fetcher.asks;
	a->at = &d->fetcher.asks;
	if (a->next)
		a->next->at = &a->next;
	d->fetcher.asks = a;
	return a;
}

void fetch_fini(struct dir *d)
{
	while (d->fetcher.asks)
		ask_free(d->fetcher.asks);
}

int64_t retry_delay(struct dir *d, unsigned n_tries, int64_t first, int64_t most)
{
	int64_t delay = first;

	for (unsigned i = 0; i < n_tries && delay < most; i++)
		delay *= 2;
	delay = MIN(delay, most);
	return delay + rng_below(&d->rng, (uint32_t)delay / 2 + 1);
}

static bool is_testing(const struct dir *d)
{
	return d->config->testing_tor_network;
}

static void retry_failed(struct dir *d, struct retry *r, int64_t now)
{
	bool have = d->current[FLAVOUR_MICRODESC] && d->current[FLAVOUR_NS];

	r->next_at = now + retry_delay(d, r->n_tries++, have && !is_testing(d) ? 30 : 1,
				       is_testing(d) ? 8
				       : have	     ? 1800
						     : 300);
	d->fetcher.n_failures++;
}

/* The next authority in turn; false when none is configured but ourselves. */
static bool pick_authority(struct dir *d, struct dir_target *t, unsigned *which)
{
	unsigned n = (unsigned)d->config->n_dir_auths;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = d->fetcher.turn++ % n;
		const struct config_dir_auth *a = &d->config->dir_auth[i];
		const struct dir_node *node = dir_node_by_rsa(d, a->rsa_id);

		if (!a->has_v3ident || (!a->or4.family && !a->or6.family) ||
		    memcmp(a->rsa_id, keys_rsa_id(d->keys), 20) == 0)
			continue;
		memset(t, 0, sizeof(*t));
		if (node)
			dir_target_of(t, node);
		memcpy(t->rsa_id, a->rsa_id, 20);
		t->or4 = a->or4.family ? a->or4 : t->or4;
		t->or6 = a->or6.family ? a->or6 : t->or6;
		*which = i;
		return true;
	}
	return false;
}

static void ask_done(void *arg, int status, const uint8_t *body, size_t len);

/* Sends GET url; takes over a. */
static int ask_send(struct ask *a, const struct text *url, int64_t modified_since, size_t max_len)
{
	struct dir *d = a->d;
	struct text req = {0};
	struct dir_target target;
	char buf[ADDR_TEXT];
	int error = ERR_UNKNOWN;

	if (url->p && pick_authority(d, &target, &a->auth)) {
		text_printf(&req, "GET %s HTTP/1.0\r\nHost: %s\r\nAccept-Encoding: %s\r\n", url->p,
			    addr_text(&d->config->dir_auth[a->auth].dir, buf), ACCEPTED_ENCODINGS);
		if (modified_since) {
			text_str(&req, "If-Modified-Since: ");
			text_http_time(&req, modified_since);
			text_str(&req, "\r\n");
		}
		text_str(&req, "\r\n");
		error = ERR_FULL;
		if (!req.bad && !url->bad)
			error = d->fetch(d->fetch_ctx, &target, (uint8_t *)req.p, req.len, max_len,
					 ask_done, a);
	}
	text_free(&req);
	if (error)
		ask_free(a);
	else
		d->fetcher.n_fetches++;
	return error;
}

/* ---- consensus ---- */
/* Between fresh-until and half an interval later (D7), counted in the network's own intervals. */
static void consensus_schedule(struct dir *d, enum flavour f, int64_t now)
{
	const struct consensus *c = d->current[f];
	struct retry *r = &d->fetcher.consensus[f];
	int64_t interval = c->fresh_until - c->valid_after, lead = MIN(120, interval / 16);

	r->n_tries = 0;
	r->next_at = c->fresh_until + lead +
		     rng_below(&d->rng, (uint32_t)MIN(interval / 2, 1 << 30) + 1);
	if (r->next_at <= now) /* it is old already: soon, not at once and again */
		r->next_at = now + retry_delay(d, 0, is_testing(d) ? 2 : 60, 600);
}

static void consensus_ask(struct dir *d, enum flavour f, int64_t now)
{
	struct retry *r = &d->fetcher.consensus[f];
	struct ask *a = ask_new(d, ASK_CONSENSUS, f);
	const struct consensus *c = d->current[f];
	struct text url = {0};
	bool first = true;
	int64_t since;

	if (!a)
		return;
	text_printf(&url, "/tor/status-vote/current/consensus%s",
		    f == FLAVOUR_MICRODESC ? "-microdesc" : "");
	for (int i = 0; i < d->config->n_dir_auths; i++) {
		if (!d->config->dir_auth[i].has_v3ident)
			continue;
		text_str(&url, first ? "/" : "+");
		text_base16(&url, d->config->dir_auth[i].v3ident, 3);
		first = false;
	}
	text_str(&url, ".z");
	/* a little later than what we have: an authority sends what is not older than asked for */
	since = c ? c->valid_after + MIN(180, MAX((c->fresh_until - c->valid_after) / 16, 1)) : 0;
	if (ask_send(a, &url, since, CONSENSUS_MAX))
		retry_failed(d, r, now);
	else
		r->busy = true;
	text_free(&url);
}

static void consensus_got(struct dir *d, struct ask *a, int status, const uint8_t *body, size_t len)
{
	struct retry *r = &d->fetcher.consensus[a->flavour];
	struct consensus *c;
	int error;

	r->busy = false;
	if (status != 200) {
		log_info("Authority %s has no new %s consensus for us (%d).",
			 d->config->dir_auth[a->auth].nickname, flavour_name(a->flavour), status);
		retry_failed(d, r, d->now);
		return;
	}
	error = consensus_parse(&c, body, len);
	if (!error && c->flavour != a->flavour) {
		consensus_free(c);
		error = ERR_MALFORMED;
	}
	if (!error)
		error = consensus_accept(d, c, d->now);
	if (error == ERR_MALFORMED || error == ERR_CRYPTO)
		log_warn("Authority %s gave us a %s consensus that we do not believe.",
			 d->config->dir_auth[a->auth].nickname, flavour_name(a->flavour));
	if (error)
		retry_failed(d, r, d->now);
}

/* May c replace what we have? */
static bool is_newer(const struct dir *d, const struct consensus *c)
{
	const struct consensus *old = d->current[c->flavour];

	return !old || c->valid_after > old->valid_after;
}

static void check_protocols(struct dir *d, const struct consensus *c)
{
	char missing[64], was[64];

	memcpy(was, d->missing_protocol, sizeof(was));
	if (protocols_met(c->required_relay, d->missing_protocol))
		d->missing_protocol[0] = 0;
	if (d->missing_protocol[0] && strcmp(was, d->missing_protocol) != 0)
		log_warn("The network requires %s of relays, which this version does not have.%s",
			 d->missing_protocol,
			 is_testing(d) ? "" : " Our descriptor is not published.");
	else if (!was[0] && !d->missing_protocol[0] &&
		 !protocols_met(c->recommended_relay, missing))
		log_info("The network recommends %s to relays.", missing);
}

static void consensus_install(struct dir *d, struct consensus *c, int64_t now)
{
	enum flavour f = c->flavour;

	consensus_free(d->current[f]);
	d->current[f] = c;
	for (unsigned i = 0; i < c->n_nodes; i++) {
		struct doc *doc = store_find(&d->docs[f], c->nodes[i].md_digest);

		if (doc)
			doc->listed_at = now;
	}
	consensus_schedule(d, f, now);
	if (f == FLAVOUR_NS)
		return;
	params_read(d->params, c->params);
	check_protocols(d, c);
	nodes_changed(d);
}

int consensus_accept(struct dir *d, struct consensus *c, int64_t now)
{
	enum flavour f = c->flavour;
	struct consensus_votes v;

	if (!is_newer(d, c)) {
		consensus_free(c);
		return ERR_NOT_NOW;
	}
	if (!consensus_usable(c, now)) {
		log_warn("A consensus is a day or more beside our clock: is the clock right?");
		consensus_free(c);
		return ERR_MALFORMED;
	}
	v = consensus_check(c, &d->certs, d->config, now);
	if (consensus_enough(v)) {
		log_info("New %s consensus: %u relays, %u of %u authorities signed it.",
			 flavour_name(f), c->n_nodes, v.n_good, v.n_authorities);
		consensus_install(d, c, now);
		cache_write_consensus(d, c);
		return 0;
	}
	if (v.n_good + v.n_unknown <= v.n_authorities / 2) {
		consensus_free(c);
		return ERR_CRYPTO;
	}
	consensus_free(d->pending[f]);
	d->pending[f] = c;
	d->fetcher.certs.next_at = MIN(d->fetcher.certs.next_at, now);
	return ERR_NOT_NOW;
}

void consensus_recheck(struct dir *d, int64_t now)
{
	for (unsigned f = 0; f < N_FLAVOURS; f++) {
		struct consensus *c = d->pending[f];

		d->pending[f] = NULL;
		if (c)
			consensus_accept(d, c, now);
	}
}

/* ---- certificates ---- */
static void pairs_of(const struct dir *d, const struct consensus *c, struct text *url)
{
	for (unsigned i = 0; c && i < c->n_sigs; i++) {
		const struct consensus_sig *s = &c->sigs[i];
		bool ours = false;

		for (int k = 0; k < d->config->n_dir_auths; k++)
			ours |= d->config->dir_auth[k].has_v3ident &&
				memcmp(d->config->dir_auth[k].v3ident, s->v3ident, 20) == 0;
		if (!ours || auth_certs_find(&d->certs, s->v3ident, s->signing_digest))
			continue;
		text_str(url, url->len ? "+" : "/tor/keys/fp-sk/");
		text_base16(url, s->v3ident, 20);
		text_str(url, "-");
		text_base16(url, s->signing_digest, 20);
	}
}

/* What to ask for: exact pairs of a consensus that waits (or waits no more but has unknown
 * signers), else authorities of which we have none. Empty: nothing. */
static void certs_url(const struct dir *d, struct text *url)
{
	for (unsigned f = 0; f < N_FLAVOURS && !url->len; f++)
		pairs_of(d, d->pending[f], url);
	for (int i = 0; i < d->config->n_dir_auths &&
			!bytes_start(bytes_of(url->p, url->len), "/tor/keys/fp-sk/");
	     i++) {
		const struct config_dir_auth *a = &d->config->dir_auth[i];

		if (!a->has_v3ident || auth_certs_find(&d->certs, a->v3ident, NULL))
			continue;
		text_str(url, url->len ? "+" : "/tor/keys/fp/");
		text_base16(url, a->v3ident, 20);
	}
	for (unsigned f = 0; f < N_FLAVOURS && !url->len; f++)
		pairs_of(d, d->current[f], url);
}

static void certs_ask(struct dir *d, int64_t now)
{
	struct retry *r = &d->fetcher.certs;
	struct text url = {0};
	struct ask *a;

	certs_url(d, &url);
	if (!url.len) {
		r->n_tries = 0;
		r->next_at = now + (is_testing(d) ? 2 : 60);
		text_free(&url);
		return;
	}
	text_str(&url, ".z");
	a = ask_new(d, ASK_CERTS, FLAVOUR_NS);
	if (a && ask_send(a, &url, 0, 1u << 20) == 0)
		r->busy = true;
	else
		retry_failed(d, r, now);
	text_free(&url);
}

static void certs_got(struct dir *d, struct ask *a, int status, const uint8_t *body, size_t len)
{
	struct retry *r = &d->fetcher.certs;
	unsigned n = status == 200 ? auth_certs_add(&d->certs, d->config, bytes_of(body, len)) : 0;

	r->busy = false;
	if (!n) {
		retry_failed(d, r, d->now);
		return;
	}
	log_info("Learned %u authority certificates.", n);
	r->n_tries = 0;
	r->next_at = d->now;
	consensus_recheck(d, d->now);
}

/* ---- descriptors and microdescriptors ---- */
static unsigned digest_len(enum flavour f)
{
	return f == FLAVOUR_NS ? 20 : 32;
}

static int by_digest20(const void *a, const void *b)
{
	return memcmp(a, b, 20);
}

static int by_digest32(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static bool is_asked(const uint8_t *digests, unsigned n, enum flavour f, const uint8_t *digest)
{
	return bsearch(digest, digests, n, digest_len(f),
		       f == FLAVOUR_NS ? by_digest20 : by_digest32) != NULL;
}

static bool doc_next(enum flavour f, struct bytes *rest, uint8_t digest[32], struct bytes *text,
		     bool *good)
{
	struct microdesc m;
	struct router r;
	int got = f == FLAVOUR_NS ? router_next(&r, rest) : microdesc_next(&m, rest);

	*good = got == 1;
	if (got == 1) {
		memcpy(digest, f == FLAVOUR_NS ? r.digest : m.digest, digest_len(f));
		*text = f == FLAVOUR_NS ? r.text : m.text;
	}
	return got != 0;
}

unsigned docs_accept(struct dir *d, enum flavour f, struct bytes rest, const uint8_t *digests,
		     unsigned n, int64_t now)
{
	unsigned n_new = 0;
	uint8_t digest[32];
	struct bytes text;
	struct blob *b;
	bool good;

	while (doc_next(f, &rest, digest, &text, &good)) {
		if (!good || (digests && !is_asked(digests, n, f, digest)) ||
		    store_find(&d->docs[f], digest))
			continue;
		b = blob_new(text.p, text.len);
		if (b && store_add(&d->docs[f], digest, b, now) == 0)
			n_new++;
		blob_put(b);
	}
	return n_new;
}

/* Which nodes' documents are wanted now; at most max of their indices. */
static unsigned docs_wanted(struct dir *d, enum flavour f, int64_t now, uint32_t *which,
			    unsigned max)
{
	struct consensus *c = d->current[f];
	unsigned n = 0;

	for (uint32_t i = 0; c && i < c->n_nodes && n < max; i++) {
		struct want *w = &c->wants[i];

		if (!w->asked && now >= w->next_at &&
		    !store_find(&d->docs[f], c->nodes[i].md_digest))
			which[n++] = i;
	}
	return n;
}

static void docs_url(enum flavour f, const struct consensus *c, const uint32_t *which, unsigned n,
		     struct text *url)
{
	text_str(url, f == FLAVOUR_NS ? "/tor/server/d/" : "/tor/micro/d/");
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *digest = c->nodes[which[i]].md_digest;

		if (i)
			text_str(url, f == FLAVOUR_NS ? "+" : "-");
		if (f == FLAVOUR_NS)
			text_base16(url, digest, 20);
		else
			text_base64(url, digest, 32, false);
	}
	text_str(url, ".z");
}

static int docs_ask(struct dir *d, enum flavour f, const uint32_t *which, unsigned n)
{
	struct consensus *c = d->current[f];
	unsigned len = digest_len(f);
	struct ask *a = ask_new(d, ASK_DOCS, f);
	struct text url = {0};
	int error;

	if (!a)
		return ERR_FULL;
	a->digests = malloc((size_t)n * len);
	if (!a->digests) {
		ask_free(a);
		return ERR_FULL;
	}
	for (unsigned i = 0; i < n; i++)
		memcpy(a->digests + (size_t)i * len, c->nodes[which[i]].md_digest, len);
	qsort(a->digests, n, len, f == FLAVOUR_NS ? by_digest20 : by_digest32);
	a->n = n;
	docs_url(f, c, which, n, &url);
	error = ask_send(a, &url, 0, MOST_ANSWER);
	text_free(&url);
	if (error)
		return error;
	d->fetcher.n_doc_asks[f]++;
	for (unsigned i = 0; i < n; i++)
		c->wants[which[i]].asked = true;
	return 0;
}

static void docs_tick(struct dir *d, enum flavour f, int64_t now)
{
	uint32_t which[DOCS_PER_ASK * DOC_ASKS];
	int64_t patience = is_testing(d) ? 2 : DOCS_PATIENCE_S;
	unsigned n, per, n_asks = DOC_ASKS - MIN(d->fetcher.n_doc_asks[f], DOC_ASKS);

	if (!n_asks)
		return;
	n = docs_wanted(d, f, now, which, DOCS_PER_ASK * n_asks);
	if (!n || (n < DOCS_PATIENCE && now - d->fetcher.docs_at[f] < patience))
		return;
	d->fetcher.docs_at[f] = now;
	per = n <= DOCS_SPLIT ? n : MIN((n + n_asks - 1) / n_asks, DOCS_PER_ASK);
	for (unsigned i = 0; i < n; i += per)
		if (docs_ask(d, f, which + i, MIN(per, n - i)))
			return;
}

/* What was asked and did not come is asked again later, of another authority. */
static void docs_settle(struct dir *d, const struct ask *a)
{
	struct consensus *c = d->current[a->flavour];

	for (uint32_t i = 0; c && i < c->n_nodes; i++) {
		struct want *w = &c->wants[i];

		if (!w->asked || !is_asked(a->digests, a->n, a->flavour, c->nodes[i].md_digest))
			continue;
		w->asked = false;
		w->next_at = d->now + retry_delay(d, w->n_tries, is_testing(d) ? 1 : 10,
						  is_testing(d) ? 8 : 3600);
		w->n_tries += w->n_tries < 32;
	}
}

static void docs_got(struct dir *d, struct ask *a, int status, const uint8_t *body, size_t len)
{
	unsigned n = 0;

	d->fetcher.n_doc_asks[a->flavour]--;
	if (status == 200)
		n = docs_accept(d, a->flavour, bytes_of(body, len), a->digests, a->n, d->now);
	else
		d->fetcher.n_failures++;
	docs_settle(d, a);
	if (n && a->flavour == FLAVOUR_MICRODESC)
		d->nodes_dirty = true;
}

static void ask_done(void *arg, int status, const uint8_t *body, size_t len)
{
	static void (*const got[])(struct dir *, struct ask *, int, const uint8_t *, size_t) = {
		[ASK_CONSENSUS] = consensus_got,
		[ASK_CERTS] = certs_got,
		[ASK_DOCS] = docs_got,
	};
	struct ask *a = arg;

	got[a->kind](a->d, a, status, body, len);
	ask_free(a);
}

void nodes_changed(struct dir *d)
{
	d->nodes_dirty = false;
	if (nodes_index(&d->nodes, d->current[FLAVOUR_MICRODESC], &d->docs[FLAVOUR_MICRODESC],
			d->key, &d->n_mds))
		log_warn("Memory is short: the list of relays has no index.");
	if (d->changed)
		d->changed(d->changed_ctx);
}

void fetch_tick(struct dir *d, int64_t now)
{
	struct fetcher *f = &d->fetcher;

	if (!f->certs.busy && now >= f->certs.next_at)
		certs_ask(d, now);
	for (unsigned i = 0; i < N_FLAVOURS; i++) {
		if (!f->consensus[i].busy && now >= f->consensus[i].next_at)
			consensus_ask(d, i, now);
		docs_tick(d, i, now);
	}
	if (d->nodes_dirty)
		nodes_changed(d);
}
