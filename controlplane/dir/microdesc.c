/* microdesc.c - microdescriptors, and server descriptors of others: cut out of a run of them, with
 * the digest that the consensus names them by (dir-spec sections 2.1.1 and 3.3). */
#include "controlplane/dir/docs.h"

/* Cuts the next document off rest: it begins at a line that starts with head. */
static struct bytes doc_cut(struct bytes *rest, const char *head, const char *nl_head)
{
	struct bytes b = {NULL, 0};
	const uint8_t *at = rest->p, *next;

	if (!bytes_start(*rest, head)) {
		at = bytes_find(*rest, nl_head);
		if (!at) {
			*rest = bytes_of(rest->p + rest->len, 0);
			return b;
		}
		at++;
	}
	b = bytes_of(at, (size_t)(rest->p + rest->len - at));
	next = bytes_find(bytes_of(at + 1, b.len - 1), nl_head);
	if (next)
		b.len = (size_t)(next + 1 - at);
	*rest = bytes_of(b.p + b.len, (size_t)(rest->p + rest->len - b.p - b.len));
	return b;
}

/* Annotations of a cache file stand before the next document: they are not part of this one. */
static struct bytes without_annotations(struct bytes doc)
{
	const uint8_t *at = bytes_find(doc, "\n@");

	if (at)
		doc.len = (size_t)(at + 1 - doc.p);
	return doc;
}

static int md_line(struct microdesc *m, const struct line *l)
{
	struct bytes rest = l->args;

	if (bytes_are(l->keyword, "ntor-onion-key"))
		return base64_exact(word_next(&rest), m->ntor_key, 32);
	if (bytes_are(l->keyword, "id") && bytes_are(word_next(&rest), "ed25519"))
		return base64_exact(word_next(&rest), m->ed_id, 32);
	return 0;
}

int microdesc_next(struct microdesc *m, struct bytes *rest)
{
	struct microdesc got = {0};
	struct lines ls;
	struct line l;
	int more;

	got.text = without_annotations(doc_cut(rest, "onion-key\n", "\nonion-key\n"));
	if (!got.text.p)
		return 0;
	if (got.text.len > MICRODESC_MAX)
		return ERR_MALFORMED;
	ls = lines_of(got.text.p, got.text.len);
	while ((more = lines_next(&ls, &l)) == 1)
		if (md_line(&got, &l))
			return ERR_MALFORMED;
	if (more)
		return ERR_MALFORMED;
	digest_sha256(got.text.p, got.text.len, got.digest);
	*m = got;
	return 1;
}

/* A fingerprint in groups of four. */
static int print_get(struct bytes args, uint8_t id[20])
{
	uint8_t got[20];

	for (unsigned i = 0; i < 10; i++)
		if (hex_get(word_next(&args), got + 2 * i, 2))
			return ERR_MALFORMED;
	if (args.len)
		return ERR_MALFORMED;
	memcpy(id, got, 20);
	return 0;
}

struct router_seen {
	bool print, published;
	const uint8_t *end; /* behind router-signature's line, NULL: not seen */
};

static int router_line(struct router *r, struct router_seen *seen, const struct line *l)
{
	if (bytes_are(l->keyword, "fingerprint")) {
		seen->print = true;
		return print_get(l->args, r->rsa_id);
	}
	if (bytes_are(l->keyword, "published")) {
		seen->published = true;
		return time_get(l->args, &r->published);
	}
	if (bytes_are(l->keyword, "router-signature")) {
		seen->end = l->keyword.p + l->keyword.len + 1;
		r->text.len = (size_t)(l->end - r->text.p);
		return l->object.len ? 0 : ERR_MALFORMED;
	}
	return 0;
}

int router_next(struct router *r, struct bytes *rest)
{
	struct router got = {0};
	struct router_seen seen = {0};
	struct lines ls;
	struct line l;

	got.text = doc_cut(rest, "router ", "\nrouter ");
	if (!got.text.p)
		return 0;
	ls = lines_of(got.text.p, got.text.len);
	while (!seen.end)
		if (lines_next(&ls, &l) != 1 || router_line(&got, &seen, &l))
			return ERR_MALFORMED;
	if (!seen.print || !seen.published || got.text.len > ROUTER_MAX || seen.end[-1] != '\n')
		return ERR_MALFORMED;
	digest_sha1(got.text.p, (size_t)(seen.end - got.text.p), got.digest);
	*r = got;
	return 1;
}
