/* link.h - links to peers: TLS handshakes by OpenSSL over memory, the link handshake (VERSIONS to
 * NETINFO), who the peer is, and which conn reaches which relay. Stands on door/ (messages down)
 * and keys/; circ/, hs/, exit/ and dir/ ask it for peers. One thread; it reads no clock. */
#ifndef RAMSON_LINK_H
#define RAMSON_LINK_H

#include "controlplane/keys/keys.h"
#include "dataplane/base/base.h"
#include "dataplane/ctl.h"

struct door;
struct dos;
struct links;
struct link_peer;

struct links_config {
	struct door *door;
	struct keys *keys;
	struct dos *dos; /* who may connect how often; NULL: everybody */
	unsigned n_workers;
	uint32_t identity;	 /* index of our identity, for CONN_READY */
	uint32_t max_links;	 /* 0: 262144 */
	uint32_t max_handshakes; /* links in handshake or dialled at once; 0: 4096 */
	uint64_t handshake_us;	 /* KeepalivePeriod; 0: 300 s */
	bool tls_order_tor;	 /* DataplaneTLSOrder tor: AES-256 first, as C tor serves */
	bool allow_private;	 /* ExtendAllowPrivateAddresses: private peers count for T1 */
	struct addr
		dial_from[2]; /* OutboundBindAddressOR, v4 and v6; family 0: the dataplane's own */
	uint8_t hash_key[16]; /* for tables that strangers fill */
	void *arg;	      /* of the functions below; each may be NULL */
	/* The relay is in our consensus; ed is NULL when the peer showed none. */
	bool (*known)(void *arg, const uint8_t rsa_id[KEYS_RSA_ID], const uint8_t *ed);
	/* The address (port not compared) is one that the consensus names for that relay. */
	bool (*listed_at)(void *arg, const uint8_t rsa_id[KEYS_RSA_ID], const uint8_t *ed,
			  const struct addr *at);
	/* A peer said that we are at said (T4: trust only what authorities say). */
	void (*suggested)(void *arg, const struct link_peer *peer, const struct addr *said);
	/* A NETINFO whose clock is skew_s behind ours (negative: ahead), by over an hour (L28). */
	void (*skewed)(void *arg, const struct link_peer *peer, int64_t skew_s);
};

/* NULL when memory or OpenSSL refuses; the log says what. */
struct links *links_new(const struct links_config *config, uint64_t now_us, int64_t wall_s);
void links_free(struct links *l);

/* The clock of every call that follows: microseconds of a monotonic clock, and seconds since 1970.
 */
void links_now(struct links *l, uint64_t now_us, int64_t wall_s);
/* Ends handshakes and dials that took too long, ages links. About once a second. */
void links_tick(struct links *l);
/* Takes a new TLS context from keys (after KEYS_LINK); open links keep what they showed. */
int links_renew(struct links *l);
/* The addresses that our descriptor publishes, IPv4 first: shown in NETINFO. */
void links_set_addresses(struct links *l, const struct addr *addrs, unsigned n);
/* Asks known and listed_at again about every open link (after a new consensus). */
void links_reclassify(struct links *l);

/* ---- messages from the door, already checked for length ---- */
void links_opened(struct links *l, wid conn, const struct ctl_conn_opened *m);
void links_read(struct links *l, wid conn, uint64_t offset, const uint8_t *record, size_t len);
void links_cell(struct links *l, wid conn, const uint8_t *cell, size_t len);
/* CONN_CLOSED: conn or, when the dial never got one, cookie. Drops all that is known of it. */
void links_closed(struct links *l, wid conn, uint64_t cookie, unsigned why);
/* The dataplane is gone and every conn with it: drops all links, fails who waits. */
void links_lost(struct links *l);
/* After a restart of control: a link that was open before, by the tag of its CONN_READY. 0, also
 * for one that was made since and is known; ERR_MALFORMED for a tag that is not ours or ERR_FULL:
 * the caller closes the conn. */
int links_replayed(struct links *l, wid conn, const struct addr *local, const struct addr *remote,
		   const struct ctl_conn_ready *ready);

/* ---- peers ---- */
struct link_peer {
	wid conn;
	uint8_t kind; /* enum ctl_peer */
	uint8_t link_proto;
	bool initiator; /* we dialled */
	bool canonical; /* the peer is where it says, or where the consensus says, that it is */
	bool named_us;	/* its NETINFO named one of our published addresses: this one */
	struct addr named;
	bool local; /* from a private address */
	bool has_ed;
	uint8_t rsa_id[KEYS_RSA_ID], ed_id[KEYS_ED_ID]; /* zero for clients */
	struct addr local_addr, remote;
	uint64_t since_us;
};
/* The peer of an open link; NULL when conn is none. Valid until the next call into this room. */
const struct link_peer *link_peer(const struct links *l, wid conn);
/* Some inbound link from outside named one of our published addresses of that family (4 or 6). */
bool links_seen_inbound(const struct links *l, unsigned family);

/* ---- reaching a relay ---- */
#define LINK_ADDRS 4
struct link_target {
	uint8_t rsa_id[KEYS_RSA_ID];
	bool has_ed;
	uint8_t ed_id[KEYS_ED_ID];
	unsigned n_addrs;
	struct addr addrs[LINK_ADDRS];
};
/* Called once: conn is ready, or WID_NONE and why as enum destroy_reason. May call link_get. */
typedef void (*link_cb)(void *arg, wid conn, unsigned reason);
/* A link to that relay (tor-spec section 5.3.1): an open one is returned at once and cb is not
 * called. Else WID_NONE: with *reason 0 the link is being made and cb will be called; with another
 * *reason nobody will be called. */
wid link_get(struct links *l, const struct link_target *t, link_cb cb, void *arg, unsigned *reason);
/* Forgets every waiting (cb, arg). The dial goes on. */
void link_forget(struct links *l, link_cb cb, void *arg);
/* No new circuits over this link from us; it closes when idle. The same happens to links over a
 * week old, and to those that are worse than another one to the same relay (interop L24). */
void link_mark_bad(struct links *l, wid conn);
/* Is there a link with that relay other than one that it dialled over this family (4 or 6)?
 * give_up: such links are marked bad. */
bool links_other_way(struct links *l, const uint8_t rsa_id[KEYS_RSA_ID], int family, bool give_up);

/* ---- figures ---- */
struct links_stats {
	uint64_t accepted, dialled, opened_in, opened_out, closed;
	uint64_t tls_failed, handshake_failed, timed_out, refused_full, refused_dos, dial_failed,
		dial_cached;
	uint64_t identity_mismatch, stray_messages, reused, door_full, retired;
	uint64_t link_proto[6];	   /* opened, by version */
	uint64_t dialled_proto[6]; /* of these, by us */
	uint64_t tls_version[2];   /* 1.2, 1.3 */
	uint32_t n_links, n_handshakes, n_dials;
	uint32_t n_clients, n_relays; /* open now */
};
const struct links_stats *links_stats(const struct links *l);

#endif
