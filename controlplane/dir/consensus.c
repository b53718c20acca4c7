/* consensus.c - a consensus of either flavour: parsed into times, parameters, nodes and signatures,
 * and its signatures counted (dir-spec section 3.4.1). */
#include <openssl/evp.h>
#include <stdlib.h>

#include "controlplane/config/config.h"
#include "controlplane/dir/docs.h"
#include "controlplane/keys/keys.h"

#define NODES_MAX 60000
#define GRACE_S	  86400 /* "reasonably live" */

const char *flavour_name(enum flavour f)
{
	return f == FLAVOUR_NS ? "ns" : "microdesc";
}

struct parse {
	struct consensus *c;
	const uint8_t *signed_end; /* NULL until the first signature */
	unsigned seen;		   /* bits of SEEN_* */
};
enum {
	SEEN_VERSION = 1,
	SEEN_STATUS = 2,
	SEEN_AFTER = 4,
	SEEN_FRESH = 8,
	SEEN_UNTIL = 16,
	SEEN_FOOTER = 32,
	SEEN_ALL = 63
};

/* ---- the head ---- */
static int take_version(struct parse *p, const struct line *l)
{
	struct bytes rest = l->args, version = word_next(&rest), flavour = word_next(&rest);

	if (!bytes_are(version, "3") || p->seen)
		return ERR_MALFORMED;
	if (!flavour.len || bytes_are(flavour, "ns"))
		p->c->flavour = FLAVOUR_NS;
	else if (bytes_are(flavour, "microdesc"))
		p->c->flavour = FLAVOUR_MICRODESC;
	else
		return ERR_MALFORMED;
	p->seen |= SEEN_VERSION;
	return 0;
}

static int take_status(struct parse *p, const struct line *l)
{
	p->seen |= SEEN_STATUS;
	return bytes_are(l->args, "consensus") ? 0 : ERR_MALFORMED;
}

static int take_after(struct parse *p, const struct line *l)
{
	p->seen |= SEEN_AFTER;
	return time_get(l->args, &p->c->valid_after);
}

static int take_fresh(struct parse *p, const struct line *l)
{
	p->seen |= SEEN_FRESH;
	return time_get(l->args, &p->c->fresh_until);
}

static int take_until(struct parse *p, const struct line *l)
{
	p->seen |= SEEN_UNTIL;
	return time_get(l->args, &p->c->valid_until);
}

static int take_params(struct parse *p, const struct line *l)
{
	p->c->params = l->args;
	return 0;
}

static int take_required(struct parse *p, const struct line *l)
{
	p->c->required_relay = l->args;
	return 0;
}

static int take_recommended(struct parse *p, const struct line *l)
{
	p->c->recommended_relay = l->args;
	return 0;
}

static int take_footer(struct parse *p, const struct line *l)
{
	p->seen |= SEEN_FOOTER;
	return 0;
}

/* ---- one node ---- */
static struct dir_node *node_last(struct parse *p)
{
	return p->c->n_nodes && !(p->seen & SEEN_FOOTER) ? &p->c->nodes[p->c->n_nodes - 1] : NULL;
}

static struct dir_node *node_new(struct consensus *c)
{
	if (c->n_nodes == c->cap_nodes) {
		unsigned cap = c->cap_nodes ? 2 * c->cap_nodes : 256;
		struct dir_node *n;

		if (c->n_nodes >= NODES_MAX)
			return NULL;
		n = realloc(c->nodes, cap * sizeof(*n));
		if (!n)
			return NULL;
		c->nodes = n;
		c->cap_nodes = cap;
	}
	memset(&c->nodes[c->n_nodes], 0, sizeof(c->nodes[0]));
	return &c->nodes[c->n_nodes++];
}

/* An address of a document: "1.2.3.4" and a port apart, or "[::1]:443" (port NULL). */
static int addr_get(struct bytes ip, const struct bytes *port, struct addr *a)
{
	char word[64];
	struct addr got;
	int64_t v = 0;

	if (!bytes_copy(ip, word, sizeof(word)) || addr_parse(&got, word))
		return ERR_MALFORMED;
	if (port) {
		if (got.port || got.family != 4 || number_get(*port, 0, 65535, &v))
			return ERR_MALFORMED;
		got.port = (uint16_t)v;
	}
	*a = got;
	return 0;
}

static int take_r(struct parse *p, const struct line *l)
{
	struct consensus *c = p->c;
	struct bytes rest = l->args, nick = word_next(&rest), id = word_next(&rest), ip, port;
	struct dir_node *n;
	int64_t published;

	if ((p->seen & SEEN_FOOTER) || !(n = node_new(c)))
		return ERR_MALFORMED;
	if (!nick.len || !bytes_copy(nick, n->nickname, sizeof(n->nickname)) ||
	    base64_exact(id, n->rsa_id, 20))
		return ERR_MALFORMED;
	if (c->flavour == FLAVOUR_NS && base64_exact(word_next(&rest), n->md_digest, 20))
		return ERR_MALFORMED;
	if (time_words(&rest, &published))
		return ERR_MALFORMED;
	ip = word_next(&rest);
	port = word_next(&rest);
	if (addr_get(ip, &port, &n->or4))
		return ERR_MALFORMED;
	if (c->n_nodes > 1 && memcmp(n[-1].rsa_id, n->rsa_id, 20) >= 0)
		return ERR_MALFORMED; /* order is what look-up stands on */
	return 0;
}

static int take_a(struct parse *p, const struct line *l)
{
	struct dir_node *n = node_last(p);
	struct addr a;

	if (!n)
		return ERR_MALFORMED;
	if (n->or6.family == 0 && addr_get(l->args, NULL, &a) == 0 && a.family == 6 && a.port)
		n->or6 = a;
	return 0;
}

static const struct {
	const char *name;
	uint16_t flag;
} flags[] = {
	{"Authority", DIR_AUTHORITY},
	{"BadExit", DIR_BAD_EXIT},
	{"Exit", DIR_EXIT},
	{"Fast", DIR_FAST},
	{"Guard", DIR_GUARD},
	{"HSDir", DIR_HSDIR},
	{"Running", DIR_RUNNING},
	{"Stable", DIR_STABLE},
	{"StaleDesc", DIR_STALE_DESC},
	{"V2Dir", DIR_V2DIR},
	{"Valid", DIR_VALID},
	{"NoEdConsensus", DIR_NO_ED},
	{"Sybil", DIR_SYBIL},
	{"MiddleOnly", DIR_MIDDLE_ONLY},
};

const char *dir_flags_text(uint16_t mask, char buf[160])
{
	size_t n = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		if (!(mask & flags[i].flag))
			continue;
		if (n)
			buf[n++] = ' ';
		memcpy(buf + n, flags[i].name, strlen(flags[i].name) + 1);
		n += strlen(flags[i].name);
	}
	return buf;
}

static int take_s(struct parse *p, const struct line *l)
{
	struct dir_node *n = node_last(p);
	struct bytes rest = l->args;

	if (!n)
		return ERR_MALFORMED;
	while (rest.len) {
		struct bytes word = word_next(&rest);

		for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
			if (bytes_are(word, flags[i].name))
				n->flags |= flags[i].flag;
	}
	return 0;
}

static int take_v(struct parse *p, const struct line *l)
{
	struct dir_node *n = node_last(p);
	struct bytes rest = l->args;

	if (!n)
		return ERR_MALFORMED;
	if (bytes_are(word_next(&rest), "Tor"))
		bytes_copy(word_next(&rest), n->version, sizeof(n->version));
	return 0;
}

static int take_w(struct parse *p, const struct line *l)
{
	struct dir_node *n = node_last(p);
	struct bytes rest = l->args;
	int64_t v;

	if (!n)
		return ERR_MALFORMED;
	while (rest.len) {
		struct bytes word = word_next(&rest);

		if (bytes_start(word, "Bandwidth=") &&
		    number_get(bytes_of(word.p + 10, word.len - 10), 0, UINT32_MAX, &v) == 0)
			n->bandwidth = (uint32_t)v;
	}
	return 0;
}

static int take_m(struct parse *p, const struct line *l)
{
	struct dir_node *n = node_last(p);
	struct bytes rest = l->args;

	if (!n || p->c->flavour != FLAVOUR_MICRODESC)
		return ERR_MALFORMED;
	return base64_exact(word_next(&rest), n->md_digest, 32);
}

/* ---- signatures ---- */
static int take_signature(struct parse *p, const struct line *l)
{
	struct consensus *c = p->c;
	struct bytes rest = l->args, a = word_next(&rest), b = word_next(&rest),
		     d = word_next(&rest);
	struct consensus_sig s = {0}, *sigs;
	size_t len;

	if (!p->signed_end) /* up to the blank behind the first of them */
		p->signed_end = l->keyword.p + l->keyword.len + 1;
	if (d.len) { /* with the name of the hash */
		if (!bytes_are(a, "sha1") && !bytes_are(a, "sha256"))
			return 0;
		s.sha256 = bytes_are(a, "sha256");
		a = b;
		b = d;
	}
	if (hex_get(a, s.v3ident, 20) || hex_get(b, s.signing_digest, 20) ||
	    base64_get(l->object, s.sig, sizeof(s.sig), &len))
		return ERR_MALFORMED;
	s.len = (uint16_t)len;
	if (c->n_sigs == CONSENSUS_SIGS_MAX)
		return 0;
	sigs = realloc(c->sigs, (c->n_sigs + 1) * sizeof(s));
	if (!sigs)
		return ERR_FULL;
	c->sigs = sigs;
	sigs[c->n_sigs++] = s;
	return 0;
}

static const struct {
	const char *keyword;
	int (*take)(struct parse *p, const struct line *l);
} rows[] = {
	{"r", take_r},
	{"s", take_s},
	{"m", take_m},
	{"w", take_w},
	{"v", take_v},
	{"a", take_a},
	{"network-status-version", take_version},
	{"vote-status", take_status},
	{"valid-after", take_after},
	{"fresh-until", take_fresh},
	{"valid-until", take_until},
	{"params", take_params},
	{"required-relay-protocols", take_required},
	{"recommended-relay-protocols", take_recommended},
	{"directory-footer", take_footer},
	{"directory-signature", take_signature},
};

static int line_take(struct parse *p, const struct line *l)
{
	bool is_signature = bytes_are(l->keyword, "directory-signature");

	if (p->signed_end && !is_signature)
		return ERR_MALFORMED; /* nothing unsigned may follow */
	if (!p->seen && !bytes_are(l->keyword, "network-status-version"))
		return ERR_MALFORMED;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (bytes_are(l->keyword, rows[i].keyword))
			return rows[i].take(p, l);
	return 0;
}

static int consensus_read(struct consensus *c)
{
	struct parse p = {.c = c};
	struct lines ls = lines_of(c->text->p, c->text->len);
	struct line l;
	int more;

	while ((more = lines_next(&ls, &l)) == 1)
		if (line_take(&p, &l))
			return ERR_MALFORMED;
	if (more || p.seen != SEEN_ALL || !p.signed_end ||
	    p.signed_end > c->text->p + c->text->len || c->valid_after >= c->fresh_until ||
	    c->fresh_until > c->valid_until)
		return ERR_MALFORMED;
	c->signed_len = (size_t)(p.signed_end - c->text->p);
	digest_sha1(c->text->p, c->signed_len, c->sha1);
	digest_sha256(c->text->p, c->signed_len, c->sha256);
	digest_sha3(c->text->p, c->signed_len, c->sha3);
	return 0;
}

int consensus_parse(struct consensus **out, const uint8_t *p, size_t len)
{
	struct consensus *c;
	int error = ERR_FULL;

	if (len > CONSENSUS_MAX)
		return ERR_MALFORMED;
	c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_FULL;
	c->text = blob_new(p, len);
	if (c->text)
		error = consensus_read(c);
	if (!error) {
		c->wants = calloc(c->n_nodes + 1, sizeof(*c->wants));
		error = c->wants ? 0 : ERR_FULL;
	}
	if (error) {
		consensus_free(c);
		return error;
	}
	*out = c;
	return 0;
}

void consensus_free(struct consensus *c)
{
	if (!c)
		return;
	blob_put(c->text);
	for (unsigned i = 0; i < N_ENCODINGS; i++)
		blob_put(c->packed[i]);
	free(c->nodes);
	free(c->sigs);
	free(c->wants);
	free(c);
}

/* ---- who signed it ---- */
enum verdict { GOOD, BAD, UNKNOWN };

static enum verdict sig_verdict(const struct consensus *c, const struct consensus_sig *s,
				const struct auth_certs *cs, int64_t now)
{
	const struct auth_cert *cert = auth_certs_find(cs, s->v3ident, s->signing_digest);

	if (!cert)
		return UNKNOWN;
	if (cert->expires < now)
		return BAD;
	return rsa_check(cert->signing_key, s->sha256 ? c->sha256 : c->sha1, s->sha256 ? 32 : 20,
			 s->sig, s->len)
		       ? GOOD
		       : BAD;
}

struct consensus_votes consensus_check(const struct consensus *c, const struct auth_certs *cs,
				       const struct config *config, int64_t now)
{
	struct consensus_votes v = {0};

	for (int i = 0; i < config->n_dir_auths; i++) {
		const struct config_dir_auth *a = &config->dir_auth[i];
		unsigned n[3] = {0};

		if (!a->has_v3ident)
			continue;
		v.n_authorities++;
		for (unsigned k = 0; k < c->n_sigs; k++)
			if (memcmp(c->sigs[k].v3ident, a->v3ident, 20) == 0)
				n[sig_verdict(c, &c->sigs[k], cs, now)]++;
		v.n_good += n[GOOD] > 0;
		v.n_bad += !n[GOOD] && n[BAD];
		v.n_unknown += !n[GOOD] && n[UNKNOWN];
	}
	return v;
}

bool consensus_usable(const struct consensus *c, int64_t now)
{
	return now >= c->valid_after - GRACE_S && now <= c->valid_until + GRACE_S;
}

const struct dir_node *consensus_find(const struct consensus *c, const uint8_t rsa_id[20])
{
	unsigned lo = 0, hi = c->n_nodes;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int cmp = memcmp(c->nodes[mid].rsa_id, rsa_id, 20);

		if (cmp == 0)
			return &c->nodes[mid];
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
