/* serve.c - directory requests: which URL is answered with which texts (D12, D15, D16, D20). */
#include <stdlib.h>

#include "controlplane/dir/answer.h"
#include "controlplane/dir/http.h"
#include "controlplane/keys/keys.h"

#define ANSWERS_MAX 512	 /* alive at once; more are told to come later */
#define PACKERS_MAX 64	 /* of them packed as they go; the rest goes out as it is */
#define FEW	    10	 /* nor is packed what would need more than a tenth of MaxMemInQueues */
#define DIGESTS_MAX 1024 /* looked at in one URL */
#define LIFE_ALL    3600
#define LIFE_ROUTER (48 * 3600)
#define LIFE_MD	    (48 * 3600)
#define LIFE_CERTS  3600
#define LIFE_ROBOTS 86400

struct serving {
	struct dir *d;
	struct http_request req;
	struct bytes path; /* behind the prefix of the row */
	const struct addr *peer;
	int64_t now;
	struct dir_answer *a;
};

static void not_found(struct serving *s)
{
	answer_short(s->a, 404, "Not found", s->now);
}

/* zstd, deflate, gzip, identity: what is packed while it is sent (never lzma). */
static enum encoding best_streamed(const struct serving *s)
{
	static const enum encoding order[] = {ENC_ZSTD, ENC_DEFLATE, ENC_GZIP};

	if (s->d->n_answers <= PACKERS_MAX &&
	    packers_memory(PACK) < (size_t)s->d->config->max_mem / FEW)
		for (unsigned i = 0; i < ARRAY_LEN(order); i++)
			if (s->req.encodings & 1u << order[i])
				return order[i];
	return ENC_IDENTITY;
}

/* Heads the parts that the answer has and packs them on the way. */
static void send_streamed(struct serving *s, int64_t lifetime, bool with_len)
{
	enum encoding e = best_streamed(s);
	struct answer_head h = {.peer = s->peer,
				.encoding = e,
				.len = -1,
				.lifetime = lifetime,
				.now = s->now,
				.extra = ""};

	if (e != ENC_IDENTITY) {
		s->a->packer = packer_new(e, PACK);
		if (!s->a->packer) {
			answer_short(s->a, 503, "Directory busy, try again later", s->now);
			return;
		}
	} else if (with_len) {
		h.len = (int64_t)answer_len(s->a);
	}
	answer_head(s->a, &h);
}

/* ---- lists of digests in a URL ---- */
/* Calls add for each item between the separators; at most DIGESTS_MAX. */
static void each_item(struct serving *s, struct bytes list, char separator,
		      void (*add)(struct serving *s, struct bytes item))
{
	for (unsigned n = 0; list.len && n < DIGESTS_MAX; n++) {
		const uint8_t *end = memchr(list.p, separator, list.len);
		size_t len = end ? (size_t)(end - list.p) : list.len;

		add(s, bytes_of(list.p, len));
		len += end != NULL;
		list = bytes_of(list.p + len, list.len - len);
	}
}

static void add_once(struct serving *s, struct blob *b)
{
	for (unsigned i = 0; i < s->a->n_parts; i++)
		if (s->a->parts[i] == b)
			return;
	answer_add(s->a, b);
}

/* ---- consensus ---- */
/* More than half of the wanted authorities (hex, maybe shortened) have signed it. */
static bool is_signed_by(const struct consensus *c, struct bytes fps)
{
	unsigned n_want = 0, n_have = 0;

	while (fps.len) {
		const uint8_t *end = memchr(fps.p, '+', fps.len);
		size_t len = end ? (size_t)(end - fps.p) : fps.len;
		uint8_t id[20];
		bool have = false;

		n_want++;
		if (len && len <= 40 && len % 2 == 0 &&
		    hex_get(bytes_of(fps.p, len), id, len / 2) == 0)
			for (unsigned i = 0; i < c->n_sigs; i++)
				have |= memcmp(c->sigs[i].v3ident, id, len / 2) == 0;
		n_have += have;
		len += end != NULL;
		fps = bytes_of(fps.p + len, fps.len - len);
	}
	return n_have > n_want / 2;
}

static bool has_it_already(const struct serving *s, const struct consensus *c)
{
	struct bytes rest = s->req.diff_from;
	uint8_t digest[32];

	while (rest.len)
		if (hex_get(word_next(&rest), digest, 32) == 0 && memcmp(digest, c->sha3, 32) == 0)
			return true;
	return false;
}

/* Picks the packed text that the client likes most; what it likes is not packed yet: as it is. */
static struct blob *best_packed(const struct serving *s, struct consensus *c, enum encoding *e)
{
	static const enum encoding order[] = {ENC_LZMA, ENC_ZSTD, ENC_DEFLATE, ENC_GZIP};

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		if ((s->req.encodings & 1u << order[i]) && c->packed[order[i]]) {
			*e = order[i];
			return c->packed[order[i]];
		}
	*e = ENC_IDENTITY;
	return c->text;
}

static void send_consensus(struct serving *s, struct consensus *c)
{
	struct answer_head h = {.peer = s->peer,
				.len = -1,
				.now = s->now,
				.lifetime = MAX(c->fresh_until - s->now, 0),
				.extra = "Vary: X-Or-Diff-From-Consensus\r\n"};
	struct blob *b = best_packed(s, c, &h.encoding);

	if (h.encoding == ENC_IDENTITY && s->req.encodings != 1u << ENC_IDENTITY) {
		/* not packed yet: pack it as it goes */
		h.encoding = best_streamed(s);
		s->a->packer = h.encoding != ENC_IDENTITY ? packer_new(h.encoding, PACK) : NULL;
		if (!s->a->packer)
			h.encoding = ENC_IDENTITY;
	}
	if (answer_add(s->a, b))
		answer_short(s->a, 503, "Directory busy, try again later", s->now);
	else
		answer_head(s->a, &h);
}

/* path: "", "-microdesc", then "" or "/fp+fp" (dir-spec appendix B). */
static void serve_consensus(struct serving *s)
{
	enum flavour f = FLAVOUR_NS;
	struct bytes path = s->path;
	struct consensus *c;

	if (bytes_start(path, "-microdesc"))
		f = FLAVOUR_MICRODESC;
	if (bytes_start(path, "-")) {
		size_t n = f == FLAVOUR_MICRODESC ? 10 : bytes_start(path, "-ns") ? 3 : 0;

		path = bytes_of(path.p + n, path.len - n);
		if (!n) {
			not_found(s);
			return;
		}
	}
	if (path.len && *path.p != '/') {
		not_found(s);
		return;
	}
	if (bytes_start(path, "/diff/")) {
		answer_short(s->a, 404, "No such diff available", s->now);
		return;
	}
	c = s->d->current[f];
	if (!c)
		not_found(s);
	else if (has_it_already(s, c))
		answer_short(s->a, 304, "Not modified", s->now);
	else if (s->now < c->valid_after - 86400)
		answer_short(s->a, 404, "Consensus is too new", s->now);
	else if (s->now > c->valid_until + 86400)
		answer_short(s->a, 404, "Consensus is too old", s->now);
	else if (path.len > 1 && !is_signed_by(c, bytes_of(path.p + 1, path.len - 1)))
		answer_short(s->a, 404,
			     "Consensus not signed by sufficient number of requested authorities",
			     s->now);
	else if (c->valid_after < s->req.modified_since)
		answer_short(s->a, 304, "Not modified", s->now);
	else
		send_consensus(s, c);
}

/* ---- descriptors ---- */
static bool is_own_id(const struct serving *s, const uint8_t id[20])
{
	return s->d->pub.descriptor.p && memcmp(id, keys_rsa_id(s->d->keys), 20) == 0;
}

static void add_own(struct serving *s)
{
	struct blob *b = s->d->pub.descriptor.p
				 ? blob_new(s->d->pub.descriptor.p, s->d->pub.descriptor.len)
				 : NULL;

	answer_add(s->a, b);
	blob_put(b);
}

static void add_own_extra(struct serving *s)
{
	struct blob *b = s->d->pub.extrainfo.p
				 ? blob_new(s->d->pub.extrainfo.p, s->d->pub.extrainfo.len)
				 : NULL;

	answer_add(s->a, b);
	blob_put(b);
}

static void add_node_router(struct serving *s, const struct dir_node *n)
{
	struct doc *doc = n ? store_find(&s->d->docs[FLAVOUR_NS], n->md_digest) : NULL;

	if (doc)
		add_once(s, doc->text);
}

static void add_router_fp(struct serving *s, struct bytes item)
{
	const struct consensus *c = s->d->current[FLAVOUR_NS];
	uint8_t id[20];

	if (hex_get(item, id, 20))
		return;
	if (is_own_id(s, id))
		add_own(s);
	else if (c)
		add_node_router(s, consensus_find(c, id));
}

static void add_router_digest(struct serving *s, struct bytes item)
{
	uint8_t digest[20];
	struct doc *doc;

	if (hex_get(item, digest, 20))
		return;
	doc = store_find(&s->d->docs[FLAVOUR_NS], digest);
	if (doc)
		add_once(s, doc->text);
	else if (s->d->pub.descriptor.p && memcmp(digest, s->d->pub.digest, 20) == 0)
		add_own(s);
}

static void add_all_routers(struct serving *s)
{
	const struct consensus *c = s->d->current[FLAVOUR_NS];

	add_own(s);
	for (unsigned i = 0; c && i < c->n_nodes; i++)
		if (!is_own_id(s, c->nodes[i].rsa_id)) {
			struct doc *doc =
				store_find(&s->d->docs[FLAVOUR_NS], c->nodes[i].md_digest);

			if (doc)
				answer_add(s->a, doc->text);
		}
}

static void add_extra_fp(struct serving *s, struct bytes item)
{
	uint8_t id[20];

	if (hex_get(item, id, 20) == 0 && is_own_id(s, id))
		add_own_extra(s);
}

static struct bytes behind(struct bytes b, const char *prefix)
{
	size_t n = strlen(prefix);

	return bytes_of(b.p + n, b.len - n);
}

static void send_routers(struct serving *s, bool is_all)
{
	if (!s->a->n_parts)
		answer_short(s->a, 404, "Not found", s->now);
	else
		send_streamed(s, is_all ? LIFE_ALL : s->a->n_parts == 1 ? LIFE_ROUTER : 0, false);
}

static void serve_server(struct serving *s)
{
	bool is_all = bytes_are(s->path, "all");

	if (is_all)
		add_all_routers(s);
	else if (bytes_are(s->path, "authority"))
		add_own(s);
	else if (bytes_start(s->path, "d/"))
		each_item(s, behind(s->path, "d/"), '+', add_router_digest);
	else if (bytes_start(s->path, "fp/"))
		each_item(s, behind(s->path, "fp/"), '+', add_router_fp);
	else {
		not_found(s);
		return;
	}
	send_routers(s, is_all);
}

/* Of extra-info documents we have our own only. */
static void serve_extra(struct serving *s)
{
	bool is_all = bytes_are(s->path, "all");

	if (is_all || bytes_are(s->path, "authority"))
		add_own_extra(s);
	else if (bytes_start(s->path, "fp/"))
		each_item(s, behind(s->path, "fp/"), '+', add_extra_fp);
	else if (!bytes_start(s->path, "d/")) {
		not_found(s);
		return;
	}
	send_routers(s, is_all);
}

static void add_microdesc(struct serving *s, struct bytes item)
{
	uint8_t digest[32];
	struct doc *doc = NULL;

	if (base64_exact(item, digest, 32) == 0)
		doc = store_find(&s->d->docs[FLAVOUR_MICRODESC], digest);
	if (doc)
		add_once(s, doc->text);
}

static void serve_micro(struct serving *s)
{
	each_item(s, s->path, '-', add_microdesc);
	if (s->a->n_parts)
		send_streamed(s, LIFE_MD, false);
	else
		not_found(s);
}

/* ---- certificates ---- */
static void add_cert(struct serving *s, const uint8_t *fp, const uint8_t *sk)
{
	const struct auth_certs *cs = &s->d->certs;
	const struct auth_cert *c = fp ? auth_certs_find(cs, fp, sk) : NULL;

	for (unsigned i = 0; !fp && i < cs->n; i++)
		if (memcmp(cs->v[i].signing_digest, sk, 20) == 0)
			c = &cs->v[i];
	if (c)
		add_once(s, c->text);
}

static void add_cert_fp(struct serving *s, struct bytes item)
{
	uint8_t fp[20];

	if (hex_get(item, fp, 20) == 0)
		add_cert(s, fp, NULL);
}

static void add_cert_sk(struct serving *s, struct bytes item)
{
	uint8_t sk[20];

	if (hex_get(item, sk, 20) == 0)
		add_cert(s, NULL, sk);
}

static void add_cert_pair(struct serving *s, struct bytes item)
{
	uint8_t fp[20], sk[20];

	if (item.len == 81 && item.p[40] == '-' && hex_get(bytes_of(item.p, 40), fp, 20) == 0 &&
	    hex_get(bytes_of(item.p + 41, 40), sk, 20) == 0)
		add_cert(s, fp, sk);
}

/* Leaves out what was published before If-Modified-Since. */
static void drop_old_certs(struct serving *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->a->n_parts; i++) {
		bool is_old = false;

		for (unsigned k = 0; k < s->d->certs.n; k++)
			is_old |= s->d->certs.v[k].text == s->a->parts[i] &&
				  s->d->certs.v[k].published < s->req.modified_since;
		if (is_old)
			blob_put(s->a->parts[i]);
		else
			s->a->parts[n++] = s->a->parts[i];
	}
	s->a->n_parts = n;
}

static void serve_keys(struct serving *s)
{
	if (bytes_are(s->path, "all")) {
		for (unsigned i = 0; i < s->d->certs.n; i++)
			answer_add(s->a, s->d->certs.v[i].text);
	} else if (bytes_start(s->path, "fp/")) {
		each_item(s, behind(s->path, "fp/"), '+', add_cert_fp);
	} else if (bytes_start(s->path, "sk/")) {
		each_item(s, behind(s->path, "sk/"), '+', add_cert_sk);
	} else if (bytes_start(s->path, "fp-sk/")) {
		each_item(s, behind(s->path, "fp-sk/"), '+', add_cert_pair);
	} else if (!bytes_are(s->path, "authority")) {
		answer_short(s->a, 400, "Bad request", s->now);
		return;
	}
	if (!s->a->n_parts) {
		not_found(s);
		return;
	}
	drop_old_certs(s);
	if (s->a->n_parts)
		send_streamed(s, LIFE_CERTS, true);
	else
		answer_short(s->a, 304, "Not modified", s->now);
}

static void serve_robots(struct serving *s)
{
	static const char robots[] = "User-agent: *\r\nDisallow: /\r\n";
	struct blob *b = blob_new(robots, sizeof(robots) - 1);

	answer_add(s->a, b);
	blob_put(b);
	s->req.encodings = 1u << ENC_IDENTITY;
	send_streamed(s, LIFE_ROBOTS, true);
}

/* ---- the table; a prefix ends where the row's own path begins ---- */
static const struct {
	const char *url;
	bool is_prefix;
	void (*serve)(struct serving *s);
} rows[] = {
	{"/tor/status-vote/current/consensus", true, serve_consensus},
	{"/tor/micro/d/", true, serve_micro},
	{"/tor/server/", true, serve_server},
	{"/tor/extra/", true, serve_extra},
	{"/tor/keys/", true, serve_keys},
	{"/tor/robots.txt", false, serve_robots},
};

/* "http://host" before the path is passed over, ".z" behind it means deflate; "/tor" is prepended
 * when it is missing (D12). */
static void url_clean(struct http_request *r, struct text *t)
{
	struct bytes url = r->url;

	if (bytes_start(url, "http://")) {
		const uint8_t *slash = memchr(url.p + 7, '/', url.len - 7);

		url = slash ? bytes_of(slash, (size_t)(url.p + url.len - slash)) : bytes_of("/", 1);
	}
	if (url.len > 2 && memcmp(url.p + url.len - 2, ".z", 2) == 0) {
		url.len -= 2;
		r->encodings |= 1u << ENC_DEFLATE;
	}
	if (!bytes_start(url, "/tor/"))
		text_str(t, "/tor");
	if (!bytes_start(url, "/"))
		text_str(t, "/");
	text_add(t, url.p, url.len);
}

static void serve_get(struct serving *s)
{
	struct text url = {0};

	url_clean(&s->req, &url);
	if (url.bad) {
		text_free(&url);
		answer_short(s->a, 503, "Directory busy, try again later", s->now);
		return;
	}
	s->path = bytes_of(url.p, url.len);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].is_prefix ? !bytes_start(s->path, rows[i].url)
				      : !bytes_are(s->path, rows[i].url))
			continue;
		s->path = behind(s->path, rows[i].url);
		rows[i].serve(s);
		text_free(&url);
		return;
	}
	text_free(&url);
	not_found(s);
}

int dir_serve(struct dir *d, const uint8_t *request, size_t len, const struct addr *peer,
	      int64_t now, struct dir_answer **a)
{
	struct serving s = {.d = d, .peer = peer, .now = now};
	int error = http_request_get(&s.req, request, len);

	if (error == ERR_NOT_NOW)
		return len >= DIR_REQUEST_MAX ? ERR_FULL : DIR_SERVE_MORE;
	if (error)
		return error;
	s.a = answer_new(d);
	if (!s.a)
		return ERR_FULL;
	d->n_requests++;
	bwhist_add(&d->dir_read, d->now, len);
	if (s.req.is_post)
		answer_short(s.a, 400,
			     "Nonauthoritative directory does not accept posted server descriptors",
			     now);
	else if (d->n_answers > ANSWERS_MAX)
		answer_short(s.a, 503, "Directory busy, try again later", now);
	else
		serve_get(&s);
	if (s.a->head.bad) {
		dir_answer_free(s.a);
		return ERR_FULL;
	}
	*a = s.a;
	return DIR_SERVE_ANSWER;
}
