/* docs.h - documents of others, inside the room: kept texts by digest, authority certificates,
 * the two consensuses, microdescriptors and descriptors. Parsing and checking only: when to fetch
 * them is fetch.c's, what to answer is serve.c's. */
#ifndef RAMSON_DIR_DOCS_H
#define RAMSON_DIR_DOCS_H

#include "controlplane/dir/compress.h"
#include "controlplane/dir/dir.h"
#include "controlplane/dir/text.h"

void digest_sha1(const void *p, size_t len, uint8_t out[20]);
void digest_sha256(const void *p, size_t len, uint8_t out[32]);
void digest_sha3(const void *p, size_t len, uint8_t out[32]);

/* ---- a text that several hold; only the count of holders changes, atomically ---- */
struct blob {
	uint32_t refs;
	size_t len;
	uint8_t *p; /* NUL behind it */
};
/* A copy, or (blob_take) the malloc'ed p itself, which is freed when memory is short. NULL then. */
struct blob *blob_new(const void *p, size_t len);
struct blob *blob_take(uint8_t *p, size_t len);
struct blob *blob_get(struct blob *b);
void blob_put(struct blob *b); /* NULL is allowed */

/* ---- texts by their digest ---- */
#define STORE_MAX 32768
struct doc {
	uint8_t digest[32];
	int64_t listed_at; /* last time that a consensus named it */
	struct blob *text;
};
struct store {
	unsigned digest_len;
	struct hash_key key;
	struct map by_digest;
	struct doc *docs;
	uint32_t n, cap;
	bool dirty; /* the file is older */
};
int store_init(struct store *s, unsigned digest_len, struct hash_key key);
void store_fini(struct store *s);
/* NULL: not kept. The pointer holds until the next change of the store. */
struct doc *store_find(const struct store *s, const uint8_t *digest);
/* Takes a reference of text. 0 (also when it is there already), or ERR_FULL. */
int store_add(struct store *s, const uint8_t *digest, struct blob *text, int64_t listed_at);
/* Drops what no consensus has named since. */
void store_expire(struct store *s, int64_t since);

/* ---- authority certificates (dir-spec section 3.1) ---- */
struct auth_cert {
	uint8_t v3ident[20], signing_digest[20];
	int64_t published, expires;
	struct evp_pkey_st *signing_key;
	struct blob *text;
};
#define AUTH_CERTS_MAX 128
struct auth_certs {
	struct auth_cert v[AUTH_CERTS_MAX];
	unsigned n;
	bool dirty;
};
/* Takes the next certificate off rest and checks all its signatures. 1 and *c (give it to
 * auth_cert_free); 0 at the end; ERR_MALFORMED or ERR_CRYPTO: rest is behind the bad one. */
int auth_cert_parse(struct auth_cert *c, struct bytes *rest);
void auth_cert_free(struct auth_cert *c);
/* Keeps those of configured authorities that are new; how many. */
unsigned auth_certs_add(struct auth_certs *cs, const struct config *config, struct bytes text);
/* v3ident's certificate for this signing key, or its newest when signing_digest is NULL. */
const struct auth_cert *auth_certs_find(const struct auth_certs *cs, const uint8_t v3ident[20],
					const uint8_t *signing_digest);
void auth_certs_drop_expired(struct auth_certs *cs, int64_t now);
void auth_certs_fini(struct auth_certs *cs);

/* ---- consensus (dir-spec section 3.4.1) ---- */
enum flavour { FLAVOUR_NS, FLAVOUR_MICRODESC, N_FLAVOURS };
#define CONSENSUS_MAX	   (16u << 20)
#define CONSENSUS_SIGS_MAX 64
struct consensus_sig {
	uint8_t v3ident[20], signing_digest[20];
	bool sha256;
	uint16_t len;
	uint8_t sig[512];
};
struct consensus {
	enum flavour flavour;
	struct blob *text;
	struct blob *packed[N_ENCODINGS]; /* NULL: not there (yet) */
	size_t signed_len;
	uint8_t sha1[20], sha256[32], sha3[32]; /* of the signed part */
	int64_t valid_after, fresh_until, valid_until;
	struct bytes params, required_relay, recommended_relay; /* inside text */
	struct dir_node *nodes; /* sorted by rsa_id; ns: md_digest begins with the descriptor's */
	unsigned n_nodes, cap_nodes;
	struct consensus_sig *sigs;
	unsigned n_sigs;
	/* fetching of what it lists: one a node */
	struct want {
		int64_t next_at;
		uint8_t n_tries;
		bool asked;
	} * wants;
};
const char *flavour_name(enum flavour f);
/* Parses p (copied). 0 and *c, or ERR_MALFORMED, ERR_FULL. Signatures are not checked. */
int consensus_parse(struct consensus **c, const uint8_t *p, size_t len);
void consensus_free(struct consensus *c);
/* How many configured voting authorities have signed it with a certificate that we hold and that
 * is good at now; n_unknown: signatures of theirs whose certificate is missing. */
struct consensus_votes {
	unsigned n_good, n_bad, n_unknown, n_authorities;
};
struct consensus_votes consensus_check(const struct consensus *c, const struct auth_certs *cs,
				       const struct config *config, int64_t now);
static inline bool consensus_enough(struct consensus_votes v)
{
	return v.n_good > v.n_authorities / 2;
}
/* Within 24 h around its validity (D8)? */
bool consensus_usable(const struct consensus *c, int64_t now);
const struct dir_node *consensus_find(const struct consensus *c, const uint8_t rsa_id[20]);

/* ---- microdescriptors (dir-spec section 3.3) ---- */
#define MICRODESC_MAX 65536
struct microdesc {
	uint8_t ntor_key[32], ed_id[32]; /* zero: not told */
	uint8_t digest[32];
	struct bytes text;
};
/* The next one in a run of them (annotations between are passed over). 1, 0 at the end,
 * ERR_MALFORMED: rest is behind the bad one. */
int microdesc_next(struct microdesc *m, struct bytes *rest);

/* ---- server descriptors of others, as far as a cache looks (dir-spec section 2.1.1) ---- */
#define ROUTER_MAX 20000
struct router {
	uint8_t digest[20]; /* SHA-1 of the signed part */
	uint8_t rsa_id[20];
	int64_t published;
	struct bytes text;
};
int router_next(struct router *r, struct bytes *rest);

/* ---- the index over the nodes of the microdescriptor consensus ---- */
struct nodes {
	struct map by_ed, by_addr, by_ip;
	bool made;
};
/* Reads each node's microdescriptor out of the store where it is there and not read yet, and
 * rebuilds the index; n_mds gets the number of nodes that have one. 0 or ERR_FULL. */
int nodes_index(struct nodes *ns, struct consensus *c, const struct store *mds, struct hash_key key,
		unsigned *n_mds);
void nodes_fini(struct nodes *ns);

/* ---- parameters ---- */
void params_read(int32_t values[N_DIR_PARAMS], struct bytes args);
/* Does our proto line hold everything that the list asks for? When not, the first missing one is
 * written to missing. Fails as missing when the list cannot be read. */
bool protocols_met(struct bytes required, char missing[64]);
extern const char dir_proto_line[];

#endif
