/* internal.h - what the files of tcp/ share: the conn row, the tables beside it, and who does what.
 * Nobody outside this room includes it but its own tests. */
#ifndef RAMSON_TCP_INTERNAL_H
#define RAMSON_TCP_INTERNAL_H

#include <rte_mbuf.h>

#include "dataplane/tcp/tcp.h"
#include "dataplane/wire/tcp_hdr.h"

#define BUF_SCRATCH    64 /* bytes after a record buffer that its reader may overwrite */
#define RCV_WSCALE     7  /* our window scale: 128-byte units, up to 8 MiB */
#define RCV_WND_START  65535
#define INIT_CWND_SEGS 10      /* RFC 6928 */
#define RTO_FIRST_US   1000000 /* RFC 6298 2.1 */
#define RTO_MIN_US     200000  /* as Linux: also rides out 10 ms of scheduling jitter */
#define RTO_MAX_US     120000000
#define DELACK_US      40000
#define QUICK_ACKS     16 /* segments acknowledged at once after opening: the sender's slow start */
#define SYN_TRIES      6
#define SYN_ACK_TRIES  5
#define DATA_TRIES     15 /* RFC 1122 4.2.3.5: R2 */
#define KEEP_PROBES    9
#define KEEP_GAP_US    75000000
#define TIME_WAIT_US   60000000
#define FIN_WAIT_US    60000000 /* an orphan that waits for the peer's FIN */
#define CHALLENGE_US   500000	/* one challenge ACK per conn in this time */
#define N_RANGES       128	/* holes tolerated in one conn's out-of-order data */
#define RST_BURST      2000
#define N_REPLIES      1024
#define N_PATHS	       1024

enum state {
	ST_CLOSED,
	ST_SYN_SENT,
	ST_SYN_RCVD, /* simultaneous open only; passive opens wait in struct half */
	ST_ESTABLISHED,
	ST_FIN_WAIT_1,
	ST_FIN_WAIT_2,
	ST_CLOSING,
	ST_CLOSE_WAIT,
	ST_LAST_ACK,
	N_STATES
};

/* table.c: what a state allows. */
enum {
	DOES_SEND = 1, /* new data may leave */
	DOES_RECV = 2, /* the peer's data is taken */
	IS_SYNCED = 4, /* the handshake is over */
};
struct state_row {
	const char *name;
	uint8_t can;
	uint8_t fin_acked; /* the state when our FIN is acknowledged */
	uint8_t fin_got;   /* the state when the peer's FIN is taken */
};
extern const struct state_row state_table[N_STATES];

enum conn_flag {
	F_TS = 1 << 0,
	F_SACK = 1 << 1,
	F_ACK_NOW = 1 << 2,
	F_FIN_QUEUED = 1 << 3, /* tcp_close was called */
	F_FIN_SENT = 1 << 4,
	F_FIN_GOT = 1 << 5,   /* the peer's FIN was taken in order */
	F_FIN_AHEAD = 1 << 6, /* it was seen, at fin_seq, with bytes missing before it */
	F_EOF_TOLD = 1 << 7,
	F_HOLD = 1 << 8,
	F_BAD_UNIT = 1 << 9,
	F_SYN_NOW = 1 << 10,   /* (re)send our SYN */
	F_TLP_NOW = 1 << 11,   /* send a tail loss probe */
	F_PROBE_NOW = 1 << 12, /* send a window or keepalive probe */
	F_REORDERS = 1 << 13,  /* the path was seen to reorder */
	F_TLP_OUT = 1 << 14,   /* a probe is out, until tlp_end is acknowledged */
	F_TLP_RETX = 1 << 15,  /* ... and it was a retransmission */
	F_APPEND = 1 << 16,    /* the reservation is room at the end of the last buffer */
	F_UNDO = 1 << 17,      /* undo_* hold what was before the first retransmission */
};

enum { Q_OUT = 1, Q_EVENT = 2 };	/* conn.queued: which rings hold it */
enum { CA_OPEN, CA_RECOVERY, CA_LOSS }; /* conn.ca */
enum { RTX_NONE, RTX_RTO, RTX_TLP, RTX_REO, RTX_PERSIST, RTX_SYN }; /* conn.rtx_mode */

/* A segment in flight. Lists by sequence and, unless lost or sacked, by time sent. 32 bytes. */
enum {
	SENT_SACKED = 1,
	SENT_LOST = 2,
	SENT_RETX = 4,
	SENT_EVER = 8,
	SENT_FIN = 16,
	SENT_TIMED = 32
};
struct sent {
	uint32_t seq, end; /* end counts the FIN */
	uint32_t next, prev, t_next, t_prev;
	uint32_t tx_us; /* low bits of the clock */
	uint8_t flags;
};
_Static_assert(sizeof(struct sent) == 32, "two per line");

/* What a congestion controller sees and sets. Bytes throughout. */
struct cc_path {
	uint32_t cwnd, ssthresh, mss, cwnd_max;
	uint32_t srtt_us, min_rtt_us;
};
#define CC_STATE 64
struct tcp_cc {
	const char *name;
	size_t state_len; /* at most CC_STATE */
	void (*init)(void *state, struct cc_path *path);
	/* acked bytes were delivered while the window was the limit. */
	void (*acked)(void *state, struct cc_path *path, uint32_t acked, uint64_t now_us);
	/* A loss episode begins: sets ssthresh, leaves cwnd. */
	void (*lost)(void *state, struct cc_path *path, uint64_t now_us);
	/* The episode was no loss after all; cwnd and ssthresh are already what they were. */
	void (*undo)(void *state, struct cc_path *path);
};
extern const struct tcp_cc cc_cubic, cc_newreno;
const struct tcp_cc *cc_find(const char *name);

/* Lies in the private area of every record buffer. */
struct buf {
	struct rte_mbuf *next;
	uint32_t seq; /* of its first byte: sending and reassembly */
	uint32_t pool;
	uint64_t since_us; /* it was taken: its first byte has waited about as long */
};
static inline struct buf *buf_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}
static inline uint8_t *buf_data(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *);
}
static inline void buf_fetch(struct rte_mbuf *m)
{
	__builtin_prefetch(m);
	__builtin_prefetch((const uint8_t *)m + CACHE_LINE);
	__builtin_prefetch(buf_of(m));
}
/* Takes from a pool, and asks for the lines of the third behind it: what a port gave back is cold,
 * and the frames of a train follow each other faster than a line comes. */
#define POOL_AHEAD 3
static inline struct rte_mbuf *pool_take(struct rte_mempool *pool)
{
	const struct rte_mempool_cache *c = rte_mempool_default_cache(pool, rte_lcore_id());
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (LIKELY(c && c->len >= POOL_AHEAD))
		buf_fetch(c->objs[c->len - POOL_AHEAD]);
	return m;
}
struct buf_list {
	struct rte_mbuf *head, *tail;
};

/* Out-of-order data of one conn: sorted runs without overlap, each a list of buffers. */
struct range {
	uint32_t start, end;
	struct buf_list bufs;
	uint32_t stamp; /* the highest grew last: it is the first SACK block (RFC 2018 4) */
};
struct reass {
	uint32_t n, stamp;
	uint64_t mem;
	struct range r[N_RANGES];
};

struct conn {
	/* look-up, and the fast way in */
	_Alignas(CACHE_LINE) struct addr local;
	struct addr remote;
	uint32_t flags;
	uint8_t state, kind, framing, queued;
	uint8_t snd_wscale, rcv_wscale, ca, rtx_mode;
	uint32_t rcv_nxt, rcv_adv; /* next expected; right edge ever offered */
	uint32_t ack_sent;	   /* rcv_nxt of our last segment */

	uint32_t snd_una, snd_nxt, snd_end; /* snd_end: after the last byte pushed */
	uint32_t snd_wnd, snd_wl1, snd_wl2, max_wnd;
	uint32_t ts_recent, ts_off;
	uint32_t ts_recent_ms;
	uint16_t n_unacked; /* segments received since our last ACK */
	uint16_t n_quick;
	uint32_t tuple; /* look-up tag */
	uint16_t events, dupacks;
	uint16_t mss; /* payload without options */
	uint8_t reason;
	uint8_t rx_hdr_len, rx_hdr[5];

	/* receiving */
	struct rte_mbuf *rx_open; /* the record under construction; TCP_RAW: none */
	struct buf_list rx;
	uint32_t rx_need; /* bytes missing in rx_open */
	uint32_t rx_bytes, rx_mem, rx_max;
	uint32_t rx_taken, rx_mark_us; /* autotuning: bytes taken since the mark */
	uint64_t rx_off;
	struct reass *reass;

	/* timers (0 is none), and whether anything is under way */
	uint64_t ack_due_us, rtx_due_us, keep_due_us;
	uint64_t heard_us, sent_us;
	struct buf_list tx;
	uint32_t sent_head;
	uint32_t n_keep;

	struct cc_path path;
	uint32_t sacked, lost, retx; /* bytes */
	uint32_t n_retransmits;
	uint32_t n_tries, rto_us;
	uint32_t fin_seq;
	uint32_t tx_mem;
	uint64_t rto_at_us;

	/* sending: untouched by who only receives */
	struct rte_mbuf *tx_hint, *rtx_hint, *reserved;
	uint64_t tx_off;
	uint32_t iss;
	uint32_t sent_tail, timed_head, timed_tail, lost_hint, sack_hint;
	uint32_t high_sacked;
	uint32_t recover;
	uint32_t prr_delivered, prr_out, recover_fs;
	uint32_t rack_us, rack_end, rack_rtt_us, reo_mult;
	uint32_t tlp_end;
	uint32_t rttvar_us, backoff;
	uint32_t flight_max, flight_seq;
	uint32_t undo_cwnd, undo_ssthresh, undo_ts;
	uint32_t n_timeouts;
	uint32_t dsack_start, dsack_end;
	struct {
		uint32_t start, end;
	} sack_seen[4];
	_Alignas(8) uint8_t cc[CC_STATE];
	uint64_t reo_due_us, challenge_us;
	uint32_t keep_una;
};

#define CONN_LINES	(sizeof(struct conn) / CACHE_LINE)
#define CONN_LINES_SEND (offsetof(struct conn, tx_hint) / CACHE_LINE) /* from here on */
_Static_assert(sizeof(struct conn) == 9 * CACHE_LINE, "nine lines, all used by who sends");
_Static_assert(offsetof(struct conn, tx_hint) == 5 * CACHE_LINE, "five for who only receives");
_Static_assert(offsetof(struct conn, snd_una) == CACHE_LINE, "a line ends");
_Static_assert(offsetof(struct conn, rx_open) == 2 * CACHE_LINE, "a line ends");
_Static_assert(offsetof(struct conn, ack_due_us) == 3 * CACHE_LINE, "a line ends");
_Static_assert(offsetof(struct conn, path) == 4 * CACHE_LINE, "a line ends");
static inline void conn_fetch(const struct conn *c, size_t line, size_t end)
{
	for (; line < end; line++)
		__builtin_prefetch((const uint8_t *)c + CACHE_LINE * line);
}

/* A passive open between SYN and ACK. */
struct half {
	struct addr local, remote;
	uint32_t tuple, iss, irs, ts_off, ts_recent;
	uint32_t sent_us;
	uint16_t window, mss;
	uint8_t opts, wscale, tries, listener;
};

struct time_wait {
	struct addr local, remote;
	uint32_t tuple, snd_nxt, rcv_nxt, ts_off, ts_recent;
	uint32_t next, prev;
	uint64_t due_us;
	bool has_ts;
};

struct listener {
	struct addr addr;
	bool used;
	uint8_t kind;
	uint32_t backlog, n_half;
};

/* A segment without a conn, or one that must not wait for its conn. */
struct reply {
	struct addr src, dst;
	struct tcp_hdr h;
};

enum { HIT_NONE, HIT_CONN, HIT_HALF, HIT_WAIT };
struct hit {
	uint32_t kind, index;
};
struct tuple_entry {
	uint32_t tag, value; /* value: kind in the top two bits; 0 is empty */
};

struct index_ring {
	uint32_t *v, mask, head, tail;
};

struct tcp {
	struct tcp_config cfg;
	const struct tcp_cc *cc;
	struct counts *counts;
	uint64_t now_us;
	/* columns */
	struct slots slots;
	struct conn *conns;
	struct wheel wheel;
	struct tuple_entry *tuples;
	uint32_t tuple_mask, tuple_version;
	struct index_ring out, events;
	/* beside the conns */
	struct slots half_slots;
	struct half *halves;
	struct wheel half_wheel;
	struct slots wait_slots;
	struct time_wait *waits;
	uint32_t wait_head, wait_tail;
	struct listener *listeners;
	bool accepting;
	uint64_t cookies_until_us;
	struct reply *replies;
	uint32_t reply_head, reply_tail;
	uint64_t rst_tokens, rst_at_us;
	struct {
		struct addr ip;
		uint64_t until_us;
		uint16_t mtu;
	} * paths;
	/* segments in flight */
	struct sent *sent;
	uint32_t sent_free;  /* its last is sent_fresh */
	uint32_t sent_fresh; /* never used yet, and all behind it: their memory is untouched */
	/* buffers */
	struct rte_mempool *pools[TCP_POOLS], *headers, *pieces;
	struct reass *reass;
	uint32_t n_reass, n_reass_free;
	uint32_t *reass_free;
	uint64_t mem, reass_mem;
	/* keys */
	struct rng rng;
	struct hash_key tuple_key, isn_key, ts_key, port_key;
	uint32_t port_next[256];
};

#define tcp_count(t, name) count((t)->counts, tcp_##name)

/* ---- sequence numbers ---- */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}
static inline bool seq_leq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}
static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

static inline uint32_t conn_index(const struct tcp *t, const struct conn *c)
{
	return (uint32_t)(c - t->conns);
}
static inline bool conn_can(const struct conn *c, uint8_t what)
{
	return state_table[c->state].can & what;
}
static inline uint32_t ts_clock(uint32_t ts_off, uint64_t now_us)
{
	return (uint32_t)(now_us / 1000) + ts_off;
}
/* Sequence space sent and not acknowledged, and the part of it thought to be in the network. */
static inline uint32_t conn_flight(const struct conn *c)
{
	return c->snd_nxt - c->snd_una;
}
uint32_t conn_pipe(const struct conn *c);

/* ---- lookup.c: 4-tuples ---- */
int lookup_init(struct tcp *t, uint32_t max);
void lookup_fini(struct tcp *t);
uint32_t lookup_tag(const struct tcp *t, const struct addr *local, const struct addr *remote);
uint64_t lookup_hash(const struct hash_key *key, const struct addr *local,
		     const struct addr *remote);
struct hit lookup_find(const struct tcp *t, uint32_t tag, const struct addr *local,
		       const struct addr *remote);
void lookup_put(struct tcp *t, uint32_t tag, uint32_t kind, uint32_t index);
void lookup_del(struct tcp *t, uint32_t tag, uint32_t kind, uint32_t index);

/* ---- pool.c: buffers ---- */
int pool_init(struct tcp *t, const char **err);
void pool_fini(struct tcp *t);
/* A buffer for at least len bytes; NULL when the pool or the limit (bytes of t->mem) is reached. */
struct rte_mbuf *buf_new(struct tcp *t, uint32_t len, uint64_t limit);
void buf_free(struct tcp *t, struct rte_mbuf *m);
uint32_t buf_cap(const struct rte_mbuf *m);
void buf_append(struct buf_list *l, struct rte_mbuf *m);
struct rte_mbuf *buf_shift(struct buf_list *l);

/* ---- conn.c: birth, death and queues of a conn ---- */
int ring_init(struct index_ring *r, uint32_t n);
struct conn *conn_new(struct tcp *t, const struct addr *local, const struct addr *remote,
		      uint32_t tag, uint8_t kind);
/* The handshake is done: h is the peer's SYN or what we kept of it. */
void conn_opened(struct tcp *t, struct conn *c, uint64_t now_us);
void conn_options(struct tcp *t, struct conn *c, const struct tcp_hdr *syn);
void conn_event(struct tcp *t, struct conn *c, uint16_t events);
void conn_output(struct tcp *t, struct conn *c);
/* Leaves the tables, keeps what was received; the event is TCP_CLOSED. */
void conn_closed(struct tcp *t, struct conn *c, uint8_t reason);
/* RST to the peer, then closed. */
void conn_reset(struct tcp *t, struct conn *c, uint8_t reason);
void conn_to_time_wait(struct tcp *t, struct conn *c, uint64_t now_us);
void conn_arm(struct tcp *t, struct conn *c);
uint16_t conn_mss_for(struct tcp *t, const struct addr *remote);

/* ---- in.c ---- */
struct in {
	const struct tcp_seg *seg;
	struct addr local, remote;
	struct tcp_hdr h;
	const uint8_t *data;
	uint32_t len; /* payload */
	uint32_t tag;
	struct hit hit;
	bool bad;
	bool follows; /* says the same as the one before it, and goes on with its bytes */
	bool taken;   /* its bytes were next, and all of them went up */
};
void in_conn(struct tcp *t, struct conn *c, struct in *in, uint64_t now_us);
void in_syn_sent(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us);

/* ---- ack.c: what an acknowledgement says ---- */
/* False when the segment is to be dropped. */
bool ack_in(struct tcp *t, struct conn *c, const struct in *in, uint64_t now_us);
void ack_rtt(struct conn *c, uint32_t rtt_us);
void ack_soon(struct tcp *t, struct conn *c, unsigned n_segs, uint64_t now_us);
void ack_now(struct tcp *t, struct conn *c);
void ack_challenge(struct tcp *t, struct conn *c, uint64_t now_us);

/* ---- listen.c, cookie.c, wait.c, reply.c: segments without a conn ---- */
void listen_in(struct tcp *t, const struct in *in, uint64_t now_us);
void half_in(struct tcp *t, uint32_t index, struct in *in, uint64_t now_us);
void half_timer(struct tcp *t, uint32_t index, uint64_t now_us);
void half_free(struct tcp *t, uint32_t index);
uint32_t isn_of(const struct tcp *t, const struct addr *local, const struct addr *remote,
		uint64_t now_us);
/* The initial sequence number that stands for what the SYN said, and the timestamp that does. */
uint32_t cookie_make(const struct tcp *t, const struct in *in, uint64_t now_us);
uint32_t cookie_ts(uint32_t ts_now, const struct tcp_hdr *syn);
/* Rebuilds the SYN's options from the ACK of a cookie; false when it is none of ours. */
bool cookie_check(const struct tcp *t, const struct in *in, struct tcp_hdr *syn, uint64_t now_us);
void wait_add(struct tcp *t, const struct conn *c, uint64_t now_us);
void wait_free(struct tcp *t, uint32_t index);
void wait_expire(struct tcp *t, uint64_t now_us);
/* True: a new SYN may use the 4-tuple, which is free now. */
bool wait_in(struct tcp *t, uint32_t index, const struct in *in, uint64_t now_us);
void reply_put(struct tcp *t, const struct addr *src, const struct addr *dst,
	       const struct tcp_hdr *h);
/* Answers a segment that belongs to nothing (RFC 9293 3.10.7.1). */
void reply_rst(struct tcp *t, const struct in *in, uint64_t now_us);

/* ---- rx.c and reassembly.c: the bytes received ---- */
/* Takes in-order bytes; returns how many there was room for. */
uint32_t rx_bytes(struct tcp *t, struct conn *c, const uint8_t *p, uint32_t len);
/* The window to announce, scaled; moves rcv_adv. */
uint16_t rx_window(struct conn *c);
void rx_free(struct tcp *t, struct conn *c);
/* TCP_EOF comes when the FIN is in order and every unit was taken. */
void rx_eof(struct tcp *t, struct conn *c);
void reass_add(struct tcp *t, struct conn *c, uint32_t seq, const uint8_t *p, uint32_t len);
/* Hands on what has become in-order. */
void reass_drain(struct tcp *t, struct conn *c);
void reass_free(struct tcp *t, struct conn *c);
uint8_t reass_sack(const struct conn *c, struct tcp_hdr *h);

/* ---- tx.c: the bytes to send ---- */
void tx_acked(struct tcp *t, struct conn *c);
void tx_free(struct tcp *t, struct conn *c);
static inline uint32_t tx_unsent(const struct conn *c)
{
	return seq_lt(c->snd_nxt, c->snd_end) ? c->snd_end - c->snd_nxt : 0;
}
/* Bytes or a FIN are still to be sent for the first time. */
static inline bool tx_waits(const struct conn *c)
{
	return tx_unsent(c) || (c->flags & (F_FIN_QUEUED | F_FIN_SENT)) == F_FIN_QUEUED;
}

/* ---- loss.c and recovery.c: segments in flight ---- */
struct delivery {
	uint32_t bytes;	 /* newly acknowledged or sacked */
	uint32_t rtt_us; /* a sample, or 0 */
	uint32_t high;	 /* the highest sequence number sacked before */
	bool dsack;
	bool dup; /* a duplicate ACK in the sense of RFC 5681 2 */
};
int sent_init(struct tcp *t);
/* False when there is no descriptor. */
bool sent_add(struct tcp *t, struct conn *c, uint32_t seq, uint32_t end, bool fin, uint64_t now_us);
bool sent_split(struct tcp *t, struct conn *c, uint32_t i, uint32_t at);
void sent_again(struct tcp *t, struct conn *c, uint32_t i, uint64_t now_us);
void sent_lose(struct tcp *t, struct conn *c, uint32_t i);
void sent_free_all(struct tcp *t, struct conn *c);
void sent_cum_ack(struct tcp *t, struct conn *c, uint32_t ack, struct delivery *d, uint64_t now_us);
void sent_sack(struct tcp *t, struct conn *c, const struct tcp_hdr *h, struct delivery *d,
	       uint64_t now_us);
void sent_forget_sacks(struct tcp *t, struct conn *c);
/* The next segment to retransmit, or SLOT_NONE. */
uint32_t sent_next_lost(struct tcp *t, struct conn *c);
/* Marks what RACK thinks lost; returns the time after which to look again, 0: none. */
uint64_t rack_detect(struct tcp *t, struct conn *c, uint64_t now_us);
/* Takes what the ACK says of the segments in flight; moves snd_una and cwnd. */
void recovery_in(struct tcp *t, struct conn *c, const struct tcp_hdr *h, bool dup, uint64_t now_us);
void recovery_timeout(struct tcp *t, struct conn *c, uint64_t now_us);
void recovery_reorder(struct tcp *t, struct conn *c, uint64_t now_us);
void recovery_probe(struct tcp *t, struct conn *c, uint64_t now_us);
/* Sets the retransmission timer to what the conn's state asks for. restart: there was progress, or
 * the first segment leaves: the RTO counts from now (RFC 6298 5). */
void recovery_arm(struct tcp *t, struct conn *c, bool restart, uint64_t now_us);

/* ---- slow.c: timers ---- */
void slow_conn(struct tcp *t, struct conn *c, uint64_t now_us);

#endif
