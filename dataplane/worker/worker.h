/* worker.h - one core's whole house: the rooms in the order of the walk, and what joins them. The
 * loop is worker.c; read it first. */
#ifndef RAMSON_WORKER_H
#define RAMSON_WORKER_H

#include "dataplane/base/base.h"
#include "dataplane/circ/circ.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/conflux/conflux.h"
#include "dataplane/ctl.h"
#include "dataplane/edge/edge.h"
#include "dataplane/link/link.h"
#include "dataplane/net/net.h"
#include "dataplane/onion/onion.h"
#include "dataplane/padding/padding.h"
#include "dataplane/relay/relay.h"
#include "dataplane/sched/sched.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tls/tls.h"
#include "drivers/port.h"

#define BATCH	     64		  /* cells of one pass through the onion */
#define TURN_PACKETS 64		  /* frames read in one turn */
#define TURN_BYTES   (256 * 1024) /* bytes of records opened in one turn: they stay in L2 */
#define STOP_US	     1000000	  /* from SHUTDOWN to the end of the loop */
#define DENIED_MAX   65536	  /* addresses refused at once */
#define FILL_TURNS   64		  /* turns over which it is averaged how full they are */
#define FILL_ONE     1024
#define TURN_SLOTS   1024 /* slots that must be free before a turn reads anything */

enum conn_kind { CONN_LINK, CONN_EXIT };

/* What the worker itself knows of a conn, beside the rooms' columns. */
struct conn {
	uint64_t cookie;    /* control's, when it dialled */
	uint32_t next_read; /* list of links with records to open */
	uint8_t reading;    /* in that list */
	uint8_t known;	    /* control was told of it */
	uint8_t shut;	    /* we are closing it: nothing more is read */
	uint8_t why;	    /* enum ctl_why, for CONN_CLOSED */
	uint8_t free;	    /* a private peer: no bucket counts it */
	uint8_t has_own;    /* a bucket of its own, in worker.own */
	uint8_t _pad[6];
	uint64_t own_use_us; /* a circuit of ours last used it; 0: none did */
};

/* What a circuit may still ask for of streams (interop X4). */
struct begins {
	uint32_t left, at_s; /* at_s 0: never asked, all is left */
};

/* Cells that were cut from the records of open links and are not yet looked at. */
struct came {
	unsigned n;
	struct cell cell[LEGS_ASKED];
	uint32_t conn[LEGS_ASKED];
};
_Static_assert(LEGS_ASKED >= BATCH + LINK_CELLS_MAX, "one more record fits while a batch does not");

/* A relay cell on its way through the onion. */
struct walk {
	unsigned n;
	struct onion_item item[BATCH];
	wid circ[BATCH];
	uint32_t slot[BATCH];
	uint8_t data[BATCH]; /* ours: DATA, which counts for the window */
};

/* Closings that control must hear of and that did not fit into the ring. */
struct late_row {
	uint16_t type;
	uint32_t index;
	uint32_t arg;
};
struct late {
	uint32_t n, cap;
	struct late_row *rows;
};

/* Token buckets: buckets.c. */
enum way { WAY_IN, WAY_OUT, N_WAYS };
enum bucket_id { BUCKET_ALL, BUCKET_RELAYED, N_BUCKETS };
#define SHORT(bucket, way) (1u << ((bucket)*N_WAYS + (way)))
struct bucket { /* bytes that may pass; shared by all workers */
	_Alignas(CACHE_LINE) int64_t left[N_WAYS];
};
struct own_bucket {
	int64_t left[N_WAYS];
	uint64_t at_us;
};

/* Cells behind a RENDEZVOUS1 that is with control. */
#define HELD_MAX    1024
#define HELD_A_CIRC 64
struct held {
	unsigned n;
	wid circ[HELD_MAX];
	uint32_t slot[HELD_MAX];
};

struct mesh;

/* What the workers of one process share. */
struct plane {
	unsigned n_workers;
	struct ctl_shared *ctl;
	struct port port;
	struct mesh *mesh;
	struct bucket bucket[N_BUCKETS];
	struct {
		_Alignas(CACHE_LINE)
			int64_t bytes; /* what each worker holds in queues and buffers */
	} held[CTL_WORKERS];
	uint64_t refill_us, over[N_BUCKETS]; /* whoever moved refill_us on owns the rest */
	struct net_config net;
	struct tcp_config tcp;
	uint32_t n_conns, n_circs, n_streams, n_slots; /* per worker */
	struct hash_key hash_key;
	bool busy_poll;
	volatile int stop;
};

struct worker {
	struct plane *plane;
	unsigned index;
	uint64_t now_us;
	struct port *port;
	struct net *net;
	struct tcp *tcp;
	struct cipher cipher;
	struct tls tls;
	struct links links;
	struct circs circs;
	struct onion onion;
	struct relay relay;
	struct paddings padding;
	struct edge edge;
	struct sched sched;
	struct conflux conflux;
	struct rng rng;
	struct counts *counts; /* in the shared figures */
	struct ctl_figures *figures;
	int64_t params[N_CTL_PARAMS];

	struct denied denied;  /* addresses that control has had refused */
	struct begins *begins; /* by circuit, then by set */
	struct conn *conn;
	uint32_t read_head, read_tail; /* links with records to open */
	struct came came;
	struct walk fwd, back;
	struct held held;
	struct walk said; /* messages of ours that leave with the batch */
	struct late late;

	/* the wall */
	struct ring up, down;
	uint32_t epoch;
	uint64_t up_stuck_us; /* since when control takes nothing from a ring with messages */
	uint32_t up_tail;
	uint32_t woken_head; /* up.head when control was last woken, at woken_us */
	uint64_t woken_us;
	int wake_fd, wake_control_fd;
	uint32_t replay_at; /* next conn, then next circuit, to tell a new control; REPLAY_NONE */
	bool stopping;	    /* SHUTDOWN came */
	uint64_t stop_us;   /* when the loop ends at the latest */

	/* pace */
	uint32_t idle_turns;
	bool worked;	/* this turn moved something */
	bool port_full; /* the port took less than there was, in the last turn */
	uint64_t port_us, publish_us, busy_ns, total_ns, last_tick_us;
	uint64_t n_passed, cell_us; /* cells relayed when last looked at, and when they rose */
	uint32_t fill; /* FILL_ONE times the thousandths of a turn that turns are full, of late */
	struct net_rx *rx;

	/* tokens */
	int64_t purse[N_BUCKETS][N_WAYS]; /* what this turn may still move */
	bool drawn_relayed;
	uint8_t short_of; /* SHORT() bits: what somebody had to wait for in this turn */
	bool tight;	  /* tokens to read were short of late: links and exits take turns */
	uint64_t tight_until_us;
	int64_t lead;	 /* bytes that links read beyond those of exits since */
	uint32_t n_free; /* conns that no bucket counts */
	struct own_bucket *own;
	struct wheel own_timers; /* links that wait for theirs */
	uint8_t *message;	 /* RING_MSG_MAX: the one being read */
};

/* ---- worker.c ---- */
/* One turn of the walk, at plane time now_us. True when it moved something. */
bool worker_turn(struct worker *w, uint64_t now_us);

/* ---- boot.c ---- */
/* Takes all memory of a worker. 0, or negative with a sentence in err. */
int worker_init(struct worker *w, struct plane *plane, unsigned index, const uint8_t seed[32],
		uint64_t now_us, char err[PORT_ERR]);
void worker_fini(struct worker *w);

/* ---- conns.c: what TCP reports ---- */
void conns_events(struct worker *w);
/* Ends a link: close_notify, FIN; its circuits close now, CONN_CLOSED follows when TCP is done. */
void link_shut(struct worker *w, uint32_t conn, enum ctl_why why);
/* After SHUTDOWN: a link ends when what waits on it is out, or when half of the time is over. */
void links_stop(struct worker *w);
/* A link may have records to open. */
void link_want_read(struct worker *w, uint32_t conn);
/* A fresh row for another conn of this index. */
void conn_row_new(struct worker *w, uint32_t conn, uint64_t cookie);

/* ---- links_in.c: records to cells ---- */
void links_read(struct worker *w);
/* Opens bytes that lay behind the TLS or the link hand-over; frees them. */
void link_replay_records(struct worker *w, uint32_t conn, uint8_t *data, size_t at, size_t len);
void link_replay_cells(struct worker *w, uint32_t conn);

/* ---- cells.c: through the onion ---- */
/* A relay cell of a circuit, in the order of its link; side: whence it came, leg: over which leg of
 * ours (SLOT_NONE when the mesh brought it). */
void cell_walk(struct worker *w, wid circ, enum circ_side side, uint32_t leg, uint8_t command,
	       const uint8_t *payload);
/* Takes what has gathered through the onion and on. */
void cells_flush(struct worker *w);
/* Originates a relay message towards the client. 0; ERR_FULL: no slot or queue full, and the
 * circuit is closed. */
int circ_say(struct worker *w, uint32_t circ, uint8_t command, uint16_t stream_id,
	     const uint8_t *body, uint16_t len);
/* circ: a circuit, or with CFX_SET a set: the message goes over the leg that it picks. */
/* The same for cells_flush and what it calls: sealed with its batch, or before the next circ_say.
 */
typedef int circ_say_fn(struct worker *w, uint32_t circ, uint8_t command, uint16_t stream_id,
			const uint8_t *body, uint16_t len);
int circ_say_soon(struct worker *w, uint32_t circ, uint8_t command, uint16_t stream_id,
		  const uint8_t *body, uint16_t len);
/* Adds a relay message of ours, whole but for its digest, in a slot. True: the batch is full. */
bool walk_put(struct worker *w, struct walk *k, uint32_t circ, uint32_t slot, bool data);
/* Seals and queues a batch of those. A circuit may be closed for a queue beyond its bound, and with
 * it its partner of a rendezvous, or its set. */
void walk_originate(struct worker *w, struct walk *k);
/* A filled slot onto a circuit's leg (its header is written here); the circuit closes when that
 * queue is beyond its bound. */
void circ_queue(struct worker *w, uint32_t circ, enum circ_side side, uint8_t command,
		uint32_t slot);
/* A cell of from, the rendezvous partner: takes our layer and goes to the client. */
void splice_cell(struct worker *w, wid circ, wid from, const uint8_t *payload);

/* ---- held.c: cells behind a RENDEZVOUS1 ---- */
/* Keeps a slot until control has answered; false: it asks nothing, the slot is the caller's. */
bool cell_hold(struct worker *w, uint32_t circ, uint32_t slot);
/* Control has answered: what was held goes over the splice, or, where there is none, back. */
void held_cross(struct worker *w, uint32_t circ);

/* ---- recognised.c: relay messages for us ---- */
void recognised(struct worker *w, uint32_t circ, uint8_t *payload, const uint8_t *tag, bool early);
/* A message of a set whose turn it is; leg: the row that it came over. The set may be gone after
 * it.
 */
void recognised_in_order(struct worker *w, uint32_t set, unsigned leg, const struct relay_msg *m);

/* ---- padding.c: circuit padding ---- */
void circ_pad_negotiate(struct worker *w, uint32_t circ, const uint8_t *body, uint16_t len);
/* A cell goes to the client of a circuit that is padded. */
void circ_pad_sent(struct worker *w, uint32_t circ);
/* DROPs that are due. */
void pad_timers(struct worker *w);

/* ---- streams.c ---- */
/* Packs what the far ends have sent into DATA cells. */
void streams_read(struct worker *w);
/* Ends a stream: an END with this reason goes to the client unless it is 0. */
void stream_end(struct worker *w, uint32_t stream, uint8_t reason, bool flush);
/* The stream SENDMEs, or the XOFF or XON, that are due. came: a DATA message has just been taken;
 * say: circ_say, or circ_say_soon within a batch. */
void stream_say_flow(struct worker *w, uint32_t stream, bool came, circ_say_fn *say);
void stream_connected(struct worker *w, uint32_t stream);
/* All streams of a circuit may try again. */
void circ_unblock(struct worker *w, uint32_t circ);

/* Whether a stream has bytes to pack; takes up to room of them for a DATA message, all counted. */
bool stream_has_bytes(struct worker *w, const struct stream *s);
uint16_t stream_take(struct worker *w, uint32_t stream, uint8_t *body, uint16_t room);

/* ---- sets.c: conflux sets, their life. Streams belong to an owner: a circuit, or with CFX_SET a
 * set ---- */
static inline uint32_t *owner_streams(struct worker *w, uint32_t owner)
{
	return owner & CFX_SET ? &w->conflux.set[owner & ~CFX_SET].streams
			       : &w->circs.circ[owner].streams;
}
static inline struct begins *begins_of(struct worker *w, uint32_t owner)
{
	return &w->begins[owner & CFX_SET ? w->plane->n_circs + (owner & ~CFX_SET) : owner];
}
/* Whether conflux may be asked for on a circuit. */
bool conflux_on(const struct worker *w, uint32_t circ);
/* LINK came on a loose circuit. 0, or ERR_MALFORMED: the circuit is to be closed. */
int set_link(struct worker *w, uint32_t circ, const struct relay_msg *m);
/* What goes to the keeper of the nonce's name, and from it to the owner of the set. */
struct set_ask {
	wid conn;
	uint32_t asked;
	uint16_t body; /* longest DATA of the leg */
	uint8_t _pad[2];
	struct conflux_link link;
};
void on_set_ask(struct worker *w, wid circ, struct set_ask *ask);
void on_set_join(struct worker *w, wid circ, const struct set_ask *ask);
void on_set_joined(struct worker *w, wid circ, wid set, const struct conflux_link *answer);
/* The set, or whoever was asked for it, closes a circuit; set WID_NONE: it never joined. */
void on_set_end(struct worker *w, wid circ, wid set, uint8_t reason);
/* taken: of a leg on another worker, the DATA that came to it. */
void on_set_left(struct worker *w, wid set, wid circ, bool in_flight, uint32_t taken);
/* For circ_shut: a circuit that is part of a set, or has asked, is gone. */
void set_circ_gone(struct worker *w, uint32_t circ);
/* Ends one leg; the set too, where it cannot go on without it. */
void set_leg_close(struct worker *w, uint32_t set, unsigned leg, uint8_t reason);
/* The one end of a set: its streams, its id, then its legs, which get a DESTROY with this reason.
 */
void set_shut(struct worker *w, uint32_t set, uint8_t reason);

/* ---- ways.c: what goes between legs and sets ---- */
/* A recognised message of a circuit: false when it is served as on any. */
bool set_hears(struct worker *w, uint32_t circ, const struct relay_msg *m);
void on_set_heard(struct worker *w, wid set, wid circ, const struct relay_msg *m);
/* A leg may take more, or its round trip is known better. */
void leg_moved(struct worker *w, uint32_t circ);
void on_set_news(struct worker *w, wid set, wid circ, uint32_t rtt_us, uint32_t limit);
/* A sequenced message, not DATA, over the leg that the set picks. 0; ERR_FULL: the set is gone. */
int set_say(struct worker *w, uint32_t owner, uint8_t command, uint16_t stream_id,
	    const uint8_t *body, uint16_t len);
void on_set_say(struct worker *w, wid circ, wid set, const struct relay_msg *m);
/* Packs up to most DATA of a set's stream; how many. The set may be gone after it. */
unsigned set_read(struct worker *w, uint32_t stream, unsigned most);
/* All streams of a set may try again. */
void set_unblock(struct worker *w, uint32_t set);
void set_reclaim(struct worker *w, uint32_t set);

/* ---- close.c: the one close path ---- */
/* All streams of an owner, without a word to the client. */
void streams_close(struct worker *w, uint32_t owner);
/* Closes a circuit of ours. from: -1 we decided; else the side whose leg is gone already (its peer
 * sent DESTROY, or its link died). Every other leg gets a DESTROY with this reason. */
void circ_shut(struct worker *w, uint32_t circ, uint8_t reason, int from);
/* A leg of our conns ends: it is freed when its DESTROY has been packed. */
void leg_destroy(struct worker *w, uint32_t leg, uint8_t reason);
/* A leg of our conns is gone without a word to the peer; its circuit hears of it. */
void leg_gone(struct worker *w, uint32_t leg, uint8_t reason);
/* A leg of our conns ends by our wish: DESTROY to its peer, and its circuit hears of it.
 * LEG_OVERRAN is RESOURCELIMIT of a queue at its bound, also for circ_shut. */
#define LEG_OVERRAN 0x80
void leg_kill(struct worker *w, uint32_t leg, uint8_t reason);
/* Circuits that end here and serve nothing, of a client's link that has long been silent: closed
 * with FINISHED (interop C16). */
void conn_legs_stale(struct worker *w, uint32_t conn);
/* All legs of a conn that is going. */
void conn_legs_gone(struct worker *w, uint32_t conn, uint8_t reason);

/* ---- memory.c ---- */
/* Each turn: says what we hold; over MaxMemInQueues frees until a tenth of it is free. */
void memory_watch(struct worker *w);
/* MaxMemInQueues was set. */
void memory_bound(struct worker *w);

/* ---- legs.c: between a circuit and its legs, on this worker or over the mesh ---- */
void leg_make(struct worker *w, uint32_t circ, wid conn, uint8_t command, const uint8_t *payload);
void leg_send(struct worker *w, wid leg, uint8_t command, uint32_t slot);
/* Whether a leg of our conns has as many cells waiting as it may (interop C13); if so it is
 * counted, and the circuit is to be closed. */
bool leg_full(struct worker *w, uint32_t leg);
void leg_end(struct worker *w, wid leg, uint8_t reason);
/* A cell that is no relay cell came for a leg of ours: CREATED*, DESTROY. */
void leg_created(struct worker *w, uint32_t leg, const struct cell *c);
void splice_make(struct worker *w, uint32_t circ, wid other, const uint8_t *body, uint16_t len);
void splice_end(struct worker *w, wid circ, wid from, uint8_t reason);

/* What the other side of legs.c does when the message arrives, from here or by the mesh. */
void on_leg_make(struct worker *w, wid circ, wid conn, uint8_t command, const uint8_t *payload);
void on_leg_made(struct worker *w, wid circ, wid leg);
void on_created(struct worker *w, wid circ, wid leg, uint8_t command, const uint8_t *payload);
void on_leg_gone(struct worker *w, wid circ, wid leg, uint8_t reason);
void on_leg_end(struct worker *w, wid leg, uint8_t reason);
void on_splice(struct worker *w, wid circ, wid from, const uint8_t *body, uint16_t len);
void on_splice_end(struct worker *w, wid circ, wid from, uint8_t reason);

/* ---- links_out.c: cells to records ---- */
void links_serve(struct worker *w);
/* Seals bytes of control's into the stream of a link at once. */
int link_write(struct worker *w, uint32_t conn, const uint8_t *p, size_t len);
void link_flush_small(struct worker *w, uint32_t conn);
int link_own_cell(struct worker *w, uint32_t conn, uint32_t circ_id, uint8_t command,
		  const uint8_t *payload);

/* ---- buckets.c ---- */
#define DENY_MAX_S (90ull * 86400) /* longest refusal of an address */
#define PARAM_MAX                                                                                  \
	(1ll << 40) /* of a parameter: a rate times a second's microseconds fits 64 bits */
/* Adds what the time since the last refill is worth, whichever worker did that. Call each turn. */
void buckets_refill(struct worker *w);
/* The start of a turn: this worker's slice. Its end: what is left of it, or is owed. */
void buckets_draw(struct worker *w);
void buckets_return(struct worker *w);
/* Whether links, or exits, may read at all: when tokens are short they do so in turns, byte for
 * byte.
 */
bool links_turn(struct worker *w);
bool exits_turn(struct worker *w);
/* Links whose own buckets have filled go on. */
void buckets_timers(struct worker *w);
/* A conn has a peer; its link is judged; it ends. A rate or who counts was set anew. */
void buckets_conn_start(struct worker *w, uint32_t conn);
void buckets_link_ready(struct worker *w, uint32_t conn);
void buckets_conn_end(struct worker *w, uint32_t conn);
void buckets_changed(struct worker *w);
/* Whether a link may move bytes now, when tokens come, or when its timer asks again. */
enum leave { LEAVE_NOW, LEAVE_LATER, LEAVE_TIMER };
enum leave link_may(struct worker *w, uint32_t conn, enum way way);
void link_moved(struct worker *w, uint32_t conn, enum way way, size_t bytes);
/* The same of an exit conn. What goes to a destination is not held up: it was let in. */
bool exit_may_read(struct worker *w, uint32_t conn);
void exit_moved(struct worker *w, uint32_t conn, enum way way, size_t bytes);
/* Cells that one link may send before the next one's turn. */
unsigned share_cells(const struct worker *w);

/* ---- ctl_in.c, ctl_out.c: the wall ---- */
void ctl_in(struct worker *w);
/* Control's SHUTDOWN, or a signal to the process: DESTROY on every circuit, close_notify and FIN on
 * every link; the loop ends when that is said, or after a second. */
void worker_stop(struct worker *w);
/* 0 or ERR_FULL: the ring is full or control is away. */
int ctl_say(struct worker *w, enum ctl_type type, wid id, uint32_t arg, const void *body,
	    size_t body_len, const void *tail, size_t tail_len);
/* The last word on a conn, circ or stream: never lost; its index is freed once it is said. */
void ctl_say_closed(struct worker *w, enum ctl_type type, uint32_t index, uint32_t arg);
void ctl_say_late(struct worker *w);
void ctl_wake(struct worker *w);

/* ---- replay.c: a new control at the same wall ---- */
#define REPLAY_NONE UINT32_MAX
/* Another control than before: what the old one was asked is refused, as if it had answered so. */
void replay_forget(struct worker *w);
/* Tells the new one of every open link and circuit, as the ring has room. */
void replay_begin(struct worker *w);
void replay_go_on(struct worker *w);

/* ---- mesh.c ---- */
enum mesh_op {
	MESH_LEG_MAKE,
	MESH_LEG_MADE,
	MESH_LEG_CELL,
	MESH_LEG_END,
	MESH_LEG_GONE,
	MESH_CIRC_CELL,
	MESH_CREATED,
	MESH_SPLICE,
	MESH_SPLICE_CELL,
	MESH_SPLICE_END,
	MESH_NEIGHBOUR,
	MESH_SET_ASK,
	MESH_SET_JOIN,
	MESH_SET_FORGET,
	MESH_SET_JOINED,
	MESH_SET_END,
	MESH_SET_LEFT,
	MESH_SET_HEARD,
	MESH_SET_NEWS,
	MESH_SET_SAY,
	N_MESH_OPS
};
struct mesh *mesh_new(unsigned n_workers);
void mesh_free(struct mesh *m);
/* Sends to the worker of to. Cells are sent only while mesh_open; the rest is never lost. */
void mesh_send(struct worker *w, enum mesh_op op, wid to, wid from, uint8_t command,
	       const uint8_t *payload, uint16_t len);
void mesh_in(struct worker *w);
/* Whether every ring out of here has room for a whole turn. */
bool mesh_open(const struct worker *w);
/* Bytes kept aside for full rings. */
size_t mesh_mem(const struct worker *w);
void mesh_share_neighbours(struct worker *w, const struct net_neigh *n, unsigned k);

#endif
