/* circ.h - decisions on circuits and streams: CREATE*, EXTEND2, onion-service messages, BEGIN,
 * BEGIN_DIR, RESOLVE. It stands behind the wall: what the worker cannot decide comes up here. */
#ifndef RAMSON_CONTROL_CIRC_H
#define RAMSON_CONTROL_CIRC_H

#include "controlplane/exit/exit.h"
#include "controlplane/handshake/handshake.h"
#include "controlplane/hs/hs.h"
#include "controlplane/link/link.h"
#include "dataplane/ctl.h"

struct door;
struct dir;
struct dir_answer;
struct circs;

/* What the consensus says of a relay. */
struct circ_node {
	bool has_ed;
	uint8_t ed_id[32];
	struct addr or4, or6; /* family 0: none */
};

/* The rooms around this one, as it asks them; each function takes arg first. circ_outside_of fills
 * this in for the real ones, a test brings its own. */
struct circ_outside {
	void *arg;
	/* NULL: no such link (any more). */
	const struct link_peer *(*peer)(void *arg, wid conn);
	/* As link_get and link_forget. */
	wid (*link)(void *arg, const struct link_target *to, link_cb cb, void *cb_arg,
		    unsigned *reason);
	void (*link_forget)(void *arg, link_cb cb, void *cb_arg);
	/* The relay with this RSA identity in the consensus; false: not listed. */
	bool (*node)(void *arg, const uint8_t rsa_id[20], struct circ_node *node);
	/* Is this a relay's or an authority's port, which exits must not reach (interop E8)? */
	bool (*reentry)(void *arg, const struct addr *to);
	/* Whether a CREATE over this link may be answered (interop X1). */
	bool (*may_create)(void *arg, const struct link_peer *peer);
	/* A circuit that came over it was closed: the queue to its next hop was full (interop X5).
	 */
	void (*queue_full)(void *arg, const struct link_peer *peer);
	/* As dir_serve, dir_answer_read and dir_answer_free. */
	int (*dir_serve)(void *arg, const uint8_t *request, size_t len, const struct addr *peer,
			 struct dir_answer **answer);
	size_t (*dir_read)(void *arg, struct dir_answer *answer, uint8_t *to, size_t cap);
	void (*dir_free)(void *arg, struct dir_answer *answer);
};
struct circ_neighbours { /* the arg of the functions that circ_outside_of fills in */
	struct links *links;
	struct dir *dir;
	struct dos *dos;
};
/* n must outlive the room that uses *out. */
void circ_outside_of(struct circ_outside *out, struct circ_neighbours *n);

/* Settings; replaced whole on reload and when a consensus changes a parameter. */
struct circ_settings {
	const struct policy *policy; /* borrowed until the next circ_configure */
	bool extend_private;	     /* ExtendAllowPrivateAddresses */
	bool ipv6_orport;	     /* we have one: IPv6 extends are allowed */
	bool ipv6_exit;		     /* IPv6Exit */
	int refuse_unknown_exits;    /* effective value of RefuseUnknownExits: 1 or 0 */
	bool allow_reentry;	     /* consensus allow-network-reentry */
	bool dir_cache;		     /* BEGIN_DIR is served */
	uint32_t dir_stall_s; /* a directory stream that we send nothing on ends then; 0: never */
	bool hibernating;     /* shutting down: nothing new */
	struct addr exit4, exit6; /* source addresses of exit streams; family 0: none */
	const struct addr *deny;  /* never connected to: gateway, resolvers; copied */
	size_t n_deny;
	uint8_t rsa_id[20], ed_id[32]; /* ours: never extended to */
};

#define CIRC_FIGURES(X)                                                                            \
	X(create, "CREATE cells seen")                                                             \
	X(create_malformed, "CREATE cells that do not parse or have a type that is refused")       \
	X(create_failed, "handshakes that failed")                                                 \
	X(create_denied, "CREATE cells of addresses that make too many circuits")                  \
	X(skins_ntor, "ntor handshakes that relays asked for")                                     \
	X(skins_ntor3, "ntor_v3 handshakes that relays asked for")                                 \
	X(drops_ntor, "of the former, let fall because too many wait")                             \
	X(drops_ntor3, "of the latter, likewise")                                                  \
	X(create_overload, "handshakes refused because too many wait")                             \
	X(create_open, "circuits opened")                                                          \
	X(create_stale, "handshakes done for a circuit that was gone")                             \
	X(extend, "EXTEND2 seen")                                                                  \
	X(extend_malformed, "EXTEND2 that do not parse or name a refused handshake")               \
	X(extend_refused, "EXTEND2 against the policy")                                            \
	X(extend_busy, "EXTEND2 on a circuit that is or gets extended")                            \
	X(extend_no_link, "EXTEND2 whose next relay could not be reached")                         \
	X(extend_open, "circuits extended")                                                        \
	X(extend_failed, "CREATE2 of ours that the next relay refused")                            \
	X(begin, "BEGIN seen")                                                                     \
	X(begin_malformed, "BEGIN that do not parse")                                              \
	X(begin_single_hop, "BEGIN straight from a client or from an unknown relay")               \
	X(begin_policy, "BEGIN refused by the exit policy")                                        \
	X(begin_reentry, "BEGIN to a relay's port")                                                \
	X(begin_unresolved, "BEGIN to a name that was not found")                                  \
	X(begin_open, "exit streams opened")                                                       \
	X(begin_dir, "BEGIN_DIR seen")                                                             \
	X(begin_dir_refused, "BEGIN_DIR refused")                                                  \
	X(dir_answered, "directory requests answered")                                             \
	X(dir_hung_up, "directory streams ended without an answer")                                \
	X(dir_stalled, "directory streams ended on which nothing was sent for long")               \
	X(resolve, "RESOLVE seen")                                                                 \
	X(unknown, "messages about a circuit or stream that is gone")                              \
	X(malformed, "messages of the dataplane that do not parse")
struct circ_figures {
#define X(name, what) uint64_t name;
	CIRC_FIGURES(X)
#undef X
	uint64_t n_circs, n_dir_streams;
	uint64_t dir_bytes; /* held for directory streams */
};

struct circ_rooms {
	struct door *door;
	struct handshake_pool *pool; /* made with circ_handshake_done and this room as arg */
	struct dns *dns;
	struct hs *hs;
	struct circ_outside out;
	uint64_t dir_bytes_max; /* bound of what directory streams hold in sum; 0: 64 MiB */
};

/* 0 or ERR_FULL. rooms->pool may be set later by circ_set_pool (it needs us first). To end: free
 * the pool, the dns room, this one, and then hs and the door. */
int circ_new(struct circs **c, const struct circ_rooms *rooms);
void circ_set_pool(struct circs *c, struct handshake_pool *pool);
void circ_free(struct circs *c);
/* 0 or ERR_FULL (the old settings stay). */
int circ_configure(struct circs *c, const struct circ_settings *s);
const struct circ_figures *circ_figures(struct circs *c);

/* One message from the door, as its handlers get it: CIRC_CREATE, CIRC_RECV, CIRC_DONE,
 * CIRC_CLOSED, CIRC_REPLAY, STREAM_RECV, STREAM_READ, STREAM_CREDIT, STREAM_CLOSED, CTL_REFUSED (of
 * a message that this room sent). */
void circ_message(struct circs *c, const struct ctl_head *head, const void *body,
		  struct bytes tail);
/* Each second or so, by a clock that does not jump. */
void circ_tick(struct circs *c, uint64_t now_s);
/* For handshake_pool_new; arg is the struct circs. */
void circ_handshake_done(void *arg, const struct handshake_result *r);
/* The dataplane died: every circuit and stream is forgotten. */
void circ_forget_all(struct circs *c);

/* Called for each CREATE we answered over a link, for the reachability self-test (interop T1);
 * may be NULL. */
typedef void circ_answered_fn(void *arg, wid conn);
void circ_on_answered(struct circs *c, circ_answered_fn *fn, void *arg);

#endif
