/* internal.h - what the files of link/ share: a link, its handshake while it lasts, the tables. */
#ifndef RAMSON_LINK_INTERNAL_H
#define RAMSON_LINK_INTERNAL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "controlplane/door/door.h"
#include "controlplane/guardrail/dos.h"
#include "controlplane/link/link.h"
#include "dataplane/wire/cell.h"
#include "dataplane/wire/certs.h"

#define LINK_OLD_US (7 * 86400ull * 1000000) /* bad for new circuits from then on */
#define LINK_PROTOS (1u << 4 | 1u << 5)
#define HEARD_MAX   (128u * 1024) /* of TLS handshake that we read from one peer */
#define CELLS_MAX   64		  /* cells that one peer may send before NETINFO */

enum link_state {
	LINK_FREE,
	LINK_DIALING,  /* CONN_OPEN is out */
	LINK_TLS,      /* records go through OpenSSL */
	LINK_VERSIONS, /* the peer's VERSIONS is awaited */
	LINK_CELLS,    /* to NETINFO */
	LINK_OPEN,
	LINK_CLOSING, /* CONN_CLOSE is out, CONN_CLOSED awaited */
};

/* One TLS context with the certificates that its links show. */
struct tls_context {
	uint32_t refs;
	SSL_CTX *ssl;
	struct link_certs *certs;
};

/* Who waits for a link. */
struct waiter {
	struct waiter *next;
	link_cb cb;
	void *arg;
	wid conn; /* result, once it stands in the queue of the answered */
	unsigned reason;
};

/* Who the CERTS showed; nobody is believed before AUTHENTICATE, except by who dialled. */
struct shown {
	bool certs; /* a CERTS cell came and held */
	bool has_ed;
	uint8_t rsa_id[KEYS_RSA_ID], rsa_digest[32];
	uint8_t ed_id[KEYS_ED_ID];
	uint8_t auth_key[32]; /* of the type 6 certificate */
};

/* What a link needs until NETINFO; then it is wiped. */
struct shake {
	struct tls_context *context;
	SSL *ssl;
	BIO *in, *out; /* the SSL's */
	uint64_t in_offset, out_offset;
	uint8_t secret[2][48]; /* TLS 1.3: client's, server's */
	size_t secret_len[2];

	EVP_MD_CTX *said, *heard; /* SHA-256 of our cells and the peer's */
	uint8_t slog[32];	  /* responder: of said, up to AUTH_CHALLENGE */
	unsigned n_cells;
	uint64_t versions_us; /* when VERSIONS went out */
	struct shown shown;
	bool challenged, authenticated, sent_netinfo;
};

/* What only a dialled link has until it opens. */
struct dial {
	struct link_target target;
	unsigned at; /* which address */
	struct waiter *waiters;
};

struct link {
	struct link_peer peer;
	enum link_state state;
	uint32_t slot;
	uint64_t cookie; /* of its dial; 0: accepted */
	bool bad;
	bool close_unsent; /* the door was full */
	bool counted;	   /* dos/ counts it for its address */
	uint8_t close_why;
	uint64_t deadline_us;
	struct link *time_next, *time_prev; /* in handshake, oldest first */
	uint32_t id_next;		    /* slot of the next link of that identity */
	struct shake *shake;
	struct dial *dial;
};

/* Links stand in rows of their own: among what OpenSSL needs for a handshake and gives back, one
 * long-lived link would hold a page. */
#define LINKS_CHUNK 128

#define FAILED_WAYS 4
#define FAILED_SETS 1024
struct failed { /* dials that failed less than 60 s ago */
	uint64_t key, until_us;
};

struct links {
	struct links_config config;
	uint64_t now_us;
	int64_t wall_s;
	struct hash_key hash;
	struct tls_context *context;
	uint8_t rsa_id[KEYS_RSA_ID], ed_id[KEYS_ED_ID];
	struct addr ours[8]; /* published */
	unsigned n_ours;
	bool seen_inbound[2];

	struct slots slots;
	struct link **chunk;	   /* LINKS_CHUNK rows each, made when first needed and kept */
	struct map by_conn, by_id; /* slots; by_id: head of a chain */
	struct link *time_first, *time_last;
	uint64_t serial, age_us; /* age_us: when to look for old links again */
	unsigned next_worker;
	struct waiter *answered, **answered_end;
	bool answering;
	uint32_t n_peak; /* most handshakes at once since memory was given back */
	struct failed failed[FAILED_SETS][FAILED_WAYS];
	struct links_stats stats;
};

/* links.c */
struct link *link_new(struct links *l, bool initiator);
struct link *link_find(const struct links *l, wid conn);
/* Row i, of those that were ever in use. */
static inline struct link *link_at(const struct links *l, uint32_t i)
{
	return &l->chunk[i / LINKS_CHUNK][i % LINKS_CHUNK];
}
/* Sends to the link's worker; when the door is full the link is closed and ERR_FULL comes back. */
int link_send(struct links *l, struct link *k, uint16_t type, const void *body, size_t body_len,
	      const void *tail, size_t tail_len);
/* Ends a link: CONN_CLOSE when it has a conn; who waits for it is told reason. */
void link_end(struct links *l, struct link *k, enum ctl_why why, unsigned reason);
void link_free(struct links *l, struct link *k);
void link_open(struct links *l, struct link *k);
uint64_t link_id_key(const struct links *l, const uint8_t rsa_id[KEYS_RSA_ID]);
bool link_is_private(const struct addr *a);
void time_remove(struct links *l, struct link *k);

/* tls.c */
struct tls_context *tls_context_new(struct keys *keys, bool tor_order);
void tls_context_put(struct tls_context *c);
int shake_new(struct links *l, struct link *k);
void shake_free(struct link *k);
/* One record in (NULL: begin). 1 when the TLS handshake is done, 0 when more is needed, or
 * negative: what is in shake->out (an alert, perhaps) is to be sent in each case. */
int shake_step(struct shake *s, const uint8_t *record, size_t len);
int shake_keys(struct shake *s, bool initiator, struct ctl_conn_keys *keys);
/* The peer's TLS certificate's SHA-256, when we dialled. */
int shake_peer_digest(struct shake *s, uint8_t digest[32]);
/* RFC 5705 or RFC 8446 exporter of AUTH0003 with the initiator's identity as context. */
int shake_export(struct shake *s, const uint8_t cid[32], uint8_t secrets[32]);

/* verify.c: a CERTS body (tor-spec 4.2). 0 and *out, or ERR_MALFORMED, ERR_CRYPTO. */
int verify_certs(struct shown *out, const uint8_t *p, size_t len, struct shake *s, bool initiator,
		 int64_t wall_s);

/* shake.c */
void shake_begin_cells(struct links *l, struct link *k);
void shake_cell(struct links *l, struct link *k, const uint8_t *p, size_t len);

/* reach.c */
void reach_opened(struct links *l, struct link *k);
/* A dial that failed before it opened: takes d, dials the next address, or tells who waits. */
void reach_failed(struct links *l, struct dial *d, unsigned reason);
void reach_answer(struct links *l);
/* After a link to k's relay opened or became canonical: the worse ones are retired (L24). */
void reach_rank(struct links *l, const struct link *k);
/* Retires what is too old. */
void reach_age(struct links *l);
void dial_free(struct dial *d);

#endif
