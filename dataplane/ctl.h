/* ctl.h - the wall between ramson-dataplane and ramson-control: one memfd with a ring pair per
 * worker and an area of figures. "down" goes from control to the dataplane, "up" the other way.
 * Each side treats the other as if it had been taken over: a message is copied out before it is
 * read, every id is checked once at the door. There is order within a ring and none between rings.
 */
#ifndef RAMSON_CTL_H
#define RAMSON_CTL_H

#include "dataplane/base/base.h"

#define CTL_MAGIC      0x52414d534f4e0001ull
#define CTL_VERSION    3 /* bump it when anything below changes */
#define CTL_WORKERS    64
#define CTL_RING_SLOTS 16384 /* 1 MiB each way and worker */
#define CTL_TAG_LEN    128
#define CTL_CHUNK      16384 /* most bytes that one message carries behind its body */

/* Every message begins so. len is all of it and stands first: the ring writes it. */
struct ctl_head {
	uint32_t len;
	uint16_t type;
	uint16_t _pad;
	uint32_t epoch; /* of the attach; messages of an older one are refused */
	uint32_t arg;	/* small extra, see each message; else 0 */
	wid id;		/* conn, circ or stream that it is about; 0: none */
};

/* clang-format off */
/* X(NAME, body struct): bodies stand below; bytes may follow a body, to the end of the message. */
#define CTL_DOWN(X)                                                                               \
	X(LISTEN_ADD, ctl_listen)      /* every worker gets each; arg 1: remove */               \
	X(CONN_OPEN, ctl_conn_open)    /* dial; answered CONN_OPENED or CONN_CLOSED by cookie */ \
	X(CONN_WRITE, ctl_none)	       /* bytes: TLS before CONN_KEYS, whole link cells after */  \
	X(CONN_KEYS, ctl_conn_keys)    /* the record layer is the worker's from here */           \
	X(CONN_READY, ctl_conn_ready)  /* the link handshake is done: cells flow */               \
	X(CONN_CLOSE, ctl_none)	       /* arg: enum ctl_why (IDLE: once no circuit is on it);     \
					  what is queued is sent first */                         \
	X(CELL_SEND, ctl_none)	       /* bytes: whole link cells for the link's own queue */     \
	X(CIRC_ADD, ctl_circ_add)      /* keys of a reserved circuit; bytes: CREATED* payload */  \
	X(CIRC_EXTEND, ctl_circ_extend) /* bytes: CREATE2 payload (type, length, data) */        \
	X(CIRC_SPLICE, ctl_circ_splice) /* id: service leg; bytes: RENDEZVOUS2 body for client */ \
	X(CIRC_SEND, ctl_circ_msg)     /* originate a relay message towards the client */         \
	X(CIRC_CLOSE, ctl_none)	       /* arg: DESTROY reason */                                  \
	X(CIRC_TAG, ctl_circ_tag)      /* another tag, for the next replay */                     \
	X(ORIGIN_OPEN, ctl_origin_open) /* id: conn; a circuit of our own; bytes: CREATE* payload */ \
	X(ORIGIN_SEND, ctl_none)       /* arg: cell command; bytes: one 509-byte payload */       \
	X(STREAM_OPEN, ctl_stream_open) /* the decision on a BEGIN, BEGIN_DIR */                 \
	X(STREAM_WRITE, ctl_none)      /* bytes for a directory stream, on credit */              \
	X(STREAM_CLOSE, ctl_none)      /* arg: relay command (END, RESOLVED); bytes: its body */  \
	X(ADDR_DENY, ctl_addr_deny)    /* arg: enum ctl_deny; an IPv6 address stands for its /64 */ \
	X(PARAM_SET, ctl_param)                                                                   \
	X(SHUTDOWN, ctl_none)	       /* arg 1: DESTROY, close_notify and FIN everywhere, then end */ \
	X(REPLAY, ctl_none)	       /* after a re-attach: tell what is there */

#define CTL_UP(X)                                                                                 \
	X(CONN_OPENED, ctl_conn_opened)	 /* accepted (cookie 0) or dialled */                    \
	X(CONN_READ, ctl_conn_read)	 /* bytes: one whole TLS record */                       \
	X(CONN_CLOSED, ctl_conn_closed)	 /* the last word on this conn; arg: enum ctl_why */     \
	X(CELL_RECV, ctl_none)		 /* bytes: one link cell as it stood, until CONN_READY */ \
	X(CIRC_CREATE, ctl_circ_create)	 /* id: reserved circ; bytes: CREATE* payload */         \
	X(CIRC_RECV, ctl_circ_msg)	 /* a relay message for control; bytes: its body */      \
	X(CIRC_DONE, ctl_circ_done)	 /* outcome of CIRC_EXTEND or CIRC_SPLICE */             \
	X(CIRC_CLOSED, ctl_none)	 /* the last word on this circ; arg: DESTROY reason,      \
					    | CTL_CLOSED_OUTQ: its onward queue was full */       \
	X(ORIGIN_OPENED, ctl_origin_opened) /* id: circ, or 0 and arg why not */                 \
	X(ORIGIN_RECV, ctl_none)	 /* arg: cell command; bytes: one cell payload */        \
	X(STREAM_RECV, ctl_stream_recv)	 /* BEGIN, BEGIN_DIR, RESOLVE; bytes: its body */        \
	X(STREAM_READ, ctl_none)	 /* bytes that came over a directory stream */           \
	X(STREAM_CREDIT, ctl_none)	 /* arg: that many bytes more may be written */          \
	X(STREAM_CLOSED, ctl_none)	 /* the last word on this stream; arg: END reason */     \
	X(CTL_REFUSED, ctl_refused)	 /* a message down was not carried out */                \
	X(CONN_REPLAY, ctl_conn_replay)	 /* an open link, as it was made ready */                \
	X(CIRC_REPLAY, ctl_circ_replay)	 /* an open circuit, with its tag */                     \
	X(REPLAY_END, ctl_none)

/* clang-format on */
enum ctl_type {
#define X(name, body) CTL_##name,
	CTL_NONE = 0,
	CTL_DOWN(X) N_CTL_DOWN,
	CTL_UP_FIRST = 127,
	CTL_UP(X) N_CTL_UP
#undef X
};

/* Why a conn ended or was refused. */
enum ctl_why {
	CTL_WHY_DONE,	     /* orderly, by either side */
	CTL_WHY_RESET,	     /* RST */
	CTL_WHY_REFUSED,     /* RST to our SYN */
	CTL_WHY_TIMEOUT,     /* no answer */
	CTL_WHY_UNREACHABLE, /* no route, no neighbour, ICMP */
	CTL_WHY_RESOURCE,    /* we are full: ids, ports, memory */
	CTL_WHY_PROTOCOL,    /* the peer broke TLS or the link protocol */
	CTL_WHY_IDLE,
	CTL_WHY_SHUTDOWN,
	CTL_WHY_IDENTITY, /* not who we dialled */
	N_CTL_WHY
};

#define CTL_CLOSED_OUTQ 0x100

enum ctl_peer { CTL_PEER_CLIENT, CTL_PEER_UNKNOWN_RELAY, CTL_PEER_RELAY };

struct ctl_none {
	uint8_t _none[0];
};
struct ctl_listen {
	struct addr at;
};
struct ctl_conn_open {
	uint64_t cookie;
	struct addr local; /* our address to dial from; port 0 */
	struct addr remote;
};
struct ctl_conn_opened {
	uint64_t cookie; /* 0: accepted */
	struct addr local, remote;
};
struct ctl_conn_read {
	uint64_t offset; /* of the record's first byte in the stream */
};
struct ctl_conn_closed {
	uint64_t cookie;
};
struct ctl_tls_dir {
	uint64_t offset;    /* stream offset at which the record layer is the worker's */
	uint64_t seq;	    /* next record sequence number */
	uint8_t secret[48]; /* TLS 1.3: traffic secret; 1.2: key, zero-padded */
	uint8_t iv[16];	    /* TLS 1.2: the implicit part of the nonce */
};
struct ctl_conn_keys {
	uint16_t version; /* 0x0303 or 0x0304 */
	uint16_t suite;
	uint16_t _pad[2];
	struct ctl_tls_dir in, out;
};
struct ctl_conn_ready {
	uint8_t link_proto; /* 4 or 5 */
	uint8_t peer;	    /* enum ctl_peer */
	uint8_t initiator;  /* we dialled: our circuit ids have the top bit set */
	uint8_t canonical;
	uint32_t identity; /* index of our identity */
	uint8_t tag[CTL_TAG_LEN];
};
enum ctl_flow { CTL_FLOW_FIXED, CTL_FLOW_CC, N_CTL_FLOWS };
struct ctl_circ_add {
	uint8_t scheme;	 /* onion/table.c: 0 tor1 */
	uint8_t created; /* link command of the answer: CREATED2, CREATED_FAST */
	uint8_t legacy;	 /* CREATE_FAST: SENDME version 0 is accepted always */
	uint8_t keys_len;
	uint8_t flow;	    /* enum ctl_flow */
	uint8_t sendme_inc; /* with congestion control: cells that one SENDME stands for */
	uint8_t _pad[2];
	uint8_t keys[160];
	uint8_t tag[CTL_TAG_LEN]; /* control keeps KH here, for ESTABLISH_INTRO after a replay */
};
struct ctl_circ_tag {
	uint8_t tag[CTL_TAG_LEN];
};
struct ctl_conn_replay {
	struct addr local, remote;
	struct ctl_conn_ready ready;
};
struct ctl_circ_replay {
	wid conn;
	uint32_t serial;
	uint8_t extended; /* it has a next hop */
	uint8_t spliced;
	uint8_t legacy;
	uint8_t _pad;
	uint8_t tag[CTL_TAG_LEN];
};
struct ctl_circ_extend {
	uint32_t serial; /* of the CIRC_RECV that asked; a stale one is refused */
	uint32_t _pad;
	wid conn;
};
struct ctl_circ_splice {
	wid other; /* the client's circuit, waiting at its rendezvous cookie */
};
struct ctl_circ_msg {
	uint8_t command; /* relay command */
	uint8_t early;	 /* up: it came in RELAY_EARLY */
	uint16_t stream_id;
	uint32_t serial; /* up: the circuit's extend serial */
	wid conn;	 /* up: the link it came over */
};
struct ctl_circ_create {
	wid conn;
	uint8_t command; /* CREATE_FAST or CREATE2 */
	uint8_t _pad[7];
};
struct ctl_circ_done {
	uint32_t serial;
	uint8_t ok;
	uint8_t reason; /* DESTROY reason when not ok */
	uint8_t _pad[2];
};
struct ctl_origin_open {
	uint64_t cookie;
	uint8_t command; /* CREATE_FAST or CREATE2 */
	uint8_t _pad[7];
};
struct ctl_origin_opened {
	uint64_t cookie;
};
enum ctl_stream_kind { CTL_STREAM_TCP, CTL_STREAM_DIR };
struct ctl_stream_open {
	uint8_t kind;
	uint8_t _pad[3];
	uint32_t ttl;	   /* for CONNECTED */
	struct addr local; /* our address to connect from; port 0 */
	struct addr remote;
};
struct ctl_stream_recv {
	wid circ;
	wid conn;	 /* the link that the circuit came over */
	uint8_t command; /* BEGIN, BEGIN_DIR, RESOLVE */
	uint8_t _pad[7];
};
enum ctl_deny {			   /* what is refused to an address, and as what it is counted */
		CTL_DENY_MARKED,   /* new conns: it connects too often */
		CTL_DENY_CROWDED,  /* new conns: it has too many */
		CTL_DENY_CIRCUITS, /* CREATE over links of clients */
		N_CTL_DENY
};
struct ctl_addr_deny {
	struct addr at;
	uint64_t seconds; /* 0: no more */
};
struct ctl_refused {
	uint16_t type; /* of the message */
	int16_t error; /* ERR_* */
	uint32_t _pad;
};

/* clang-format off */
/* Parameters pushed down: consensus parameters and torrc limits alike. */
#define CTL_PARAMS(X)                                                                             \
	X(MAX_MEM, 512ll << 20)	       /* MaxMemInQueues, bytes, all workers together */          \
	X(RATE, 1ll << 30)	       /* BandwidthRate, bytes a second; 0: none */               \
	X(BURST, 1ll << 30)                                                                       \
	X(RELAY_RATE, 0)	       /* RelayBandwidthRate */                                   \
	X(RELAY_BURST, 0)                                                                         \
	X(PERCONN_RATE, 1ll << 31)     /* PerConnBWRate, of links to no known relay */            \
	X(PERCONN_BURST, 1ll << 31)                                                               \
	X(COUNT_PRIVATE, 0)	       /* CountPrivateBandwidth: private peers are no exception */ \
	X(CIRCWINDOW, 1000)                                                                       \
	X(SENDME_EMIT_MIN, 1)                                                                     \
	X(SENDME_ACCEPT_MIN, 0)                                                                   \
	X(CC_CWND_INIT, 124)	       /* congestion control, in cells (interop 3.1) */            \
	X(CC_CWND_MIN, 124)                                                                       \
	X(CC_CWND_MAX, INT32_MAX)                                                                 \
	X(CC_CWND_INC, 1)                                                                         \
	X(CC_CWND_INC_RATE, 31)                                                                   \
	X(CC_CWND_INC_PCT_SS, 100)                                                                \
	X(CC_EWMA_CWND_PCT, 50)                                                                   \
	X(CC_EWMA_MAX, 10)                                                                        \
	X(CC_EWMA_SS, 2)                                                                          \
	X(CC_RTT_RESET_PCT, 100)                                                                  \
	X(CC_SS_CAP, 600)	       /* this and four of Vegas: those of our kind of path */    \
	X(CC_SS_MAX, 5000)                                                                        \
	X(CC_VEGAS_ALPHA, 186)                                                                    \
	X(CC_VEGAS_BETA, 248)                                                                     \
	X(CC_VEGAS_GAMMA, 186)                                                                    \
	X(CC_VEGAS_DELTA, 310)                                                                    \
	X(CC_FULL_GAP, 4)                                                                         \
	X(CC_FULL_MIN_PCT, 25)                                                                    \
	X(CC_FULL_PER_CWND, 1)                                                                    \
	X(CC_XOFF, 500)		       /* cells that wait at an exit stream */                    \
	X(CC_XON_RATE, 500)                                                                       \
	X(CC_XON_CHANGE_PCT, 25)                                                                  \
	X(CC_XON_EWMA, 2)                                                                         \
	X(CELL_QUEUE_MAX, 2500)                                                                   \
	X(CELL_QUEUE_MAX_OUT, 2500)                                                               \
	X(CELLQ_HIGH, 256)                                                                        \
	X(CELLQ_LOW, 10)                                                                          \
	X(EWMA_HALFLIFE_MS, 30000)                                                                \
	X(KIST_INTERVAL_MS, 2)                                                                    \
	X(NF_ITO_LOW, 1500)                                                                       \
	X(NF_ITO_HIGH, 9500)                                                                      \
	X(NF_PAD_BEFORE_USAGE, 1)                                                                 \
	X(NF_PAD_RELAYS, 0)                                                                       \
	X(NF_CONNTIMEOUT_RELAYS, 3600)                                                            \
	X(CFX_ENABLED, 1)	       /* conflux: 0: LINK closes its circuit */                  \
	X(CFX_MAX_LEGS, 8)	       /* of one set */                                           \
	X(CFX_MAX_OOOQ, INT32_MAX)     /* bytes that one set may hold out of order */             \
	X(ALLOW_NONEARLY_EXTEND, 0)                                                               \
	X(CIRCPAD_DISABLED, 0)	       /* by consensus or torrc */                                \
	X(CIRCPAD_GLOBAL_CELLS, 0)                                                                \
	X(CIRCPAD_GLOBAL_PCT, 0)       /* 0: no limit */                                          \
	X(CIRCPAD_MAX_QUEUED, 1000)                                                               \
	X(KEEPALIVE_S, 300)                                                                       \
	X(STREAM_DOS_ENABLED, 0)                                                                  \
	X(STREAM_DOS_RATE, 100)	       /* BEGIN and RESOLVE a second and circuit */               \
	X(STREAM_DOS_BURST, 300)                                                                  \
	X(STREAM_DOS_TYPE, 2)	       /* 1 counted only, 2 refused, 3 the circuit closes */      \
	X(ACCEPTING, 1)		       /* 0: no new conns, circuits or streams (draining) */      \
	X(LOG_LEVEL, 2)		       /* enum log_level, of the process */
/* clang-format on */
enum ctl_param_id {
#define X(name, value) CTL_PARAM_##name,
	CTL_PARAMS(X) N_CTL_PARAMS
#undef X
};
struct ctl_param {
	uint32_t param;
	uint32_t _pad;
	int64_t value;
};

/* The figures: each worker writes its own, control and `ramson status` read them racily. */
struct ctl_figures {
	_Alignas(CACHE_LINE) uint64_t beat_us; /* CLOCK_MONOTONIC of the last publication */
	uint64_t turns, busy_turns, busy_ns, total_ns;
	uint64_t n_conns, n_links, n_circs, n_streams, n_legs;
	uint64_t mem_bytes;			/* held in queues and buffers */
	uint64_t link_bytes_in, link_bytes_out; /* TCP payload of links, for bandwidth history */
	uint64_t exit_bytes_in, exit_bytes_out;
	uint64_t cells_in, cells_out, cells_relayed;
	uint64_t cells_back; /* of the relayed and our own: towards clients */
	struct counts counts;
};

/* The memfd: this page, then the figures, then for each worker its down and its up ring. */
struct ctl_shared {
	uint64_t magic;
	uint32_t version, n_workers;
	uint32_t epoch; /* counts attaches of control; written by it before anything else */
	uint32_t ring_slots;
	uint64_t dataplane_pid;
	_Alignas(4096) struct ctl_figures figures[];
};
/* Bytes of a memfd for n workers, and where the rings lie in it. */
static inline size_t ctl_ring_bytes(void)
{
	return (sizeof(struct ring_shared) + CTL_RING_SLOTS * RING_SLOT + 4095) & ~(size_t)4095;
}
static inline size_t ctl_rings_at(unsigned n_workers)
{
	return (sizeof(struct ctl_shared) + n_workers * sizeof(struct ctl_figures) + 4095) &
	       ~(size_t)4095;
}
static inline size_t ctl_size(unsigned n_workers)
{
	return ctl_rings_at(n_workers) + 2 * n_workers * ctl_ring_bytes();
}
static inline struct ring_shared *ctl_ring(struct ctl_shared *s, unsigned worker, bool up)
{
	return (struct ring_shared *)((uint8_t *)s + ctl_rings_at(s->n_workers) +
				      (2 * worker + up) * ctl_ring_bytes());
}

/* Descriptors that the parent hands to both children, by number: the memfd; one eventfd that wakes
 * control; one eventfd per worker that wakes it. */
enum { CTL_FD_MEMORY = 3, CTL_FD_WAKE_CONTROL = 4, CTL_FD_WAKE_WORKER = 5 };

#endif
