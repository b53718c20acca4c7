/* tcp.h - the face of our TCP: segments in, bytes and events up; buffers down, segments out.
 * It stands between net and tls. Sans-I/O: no clock, no entropy, no port; one struct tcp per
 * worker, used by that worker alone. Only this room and those below it know rte_mbuf.
 *
 * A turn of the worker calls, mostly in this order:
 *	tcp_in(segments), tcp_timers(), tcp_events() until it returns 0,
 *	... rooms above: tcp_peek/tcp_take, tcp_reserve/tcp_push, tcp_close ...
 *	tcp_out() until it returns less than max, tcp_release() of what was reported closed.
 *
 * A conn is an index below n_conns. Its life: tcp_open, or a TCP_OPENED event of a listener's kind;
 * then exactly one TCP_CLOSED event whatever happened; then the owner calls tcp_release, and only
 * then is the index free. All calls on an index that is not live do nothing. */
#ifndef RAMSON_TCP_H
#define RAMSON_TCP_H

#include "dataplane/base/base.h"
#include "dataplane/wire/seg.h"

struct rte_mbuf;
struct tcp;

#define TCP_KINDS	32		  /* a kind is a small number of the caller's choice */
#define TCP_UNIT_MAX	(5 + 16384 + 256) /* longest unit and longest reservation */
#define TCP_POOLS	4		  /* record buffers by size: 1, 4, 8 and 31 cells */
#define TCP_TX_HEADROOM 128 /* free bytes before the TCP header of what tcp_out gives */

/* Which semantic a kind's receive buffers have. */
enum tcp_framing {
	TCP_RAW,     /* a unit is any run of contiguous bytes, and may be taken in part */
	TCP_RECORDS, /* a unit is one whole TLS record, header included (RFC 8446 5.1) */
};

struct tcp_config {
	unsigned worker; /* names the pools and goes into conn ids */
	int numa;	 /* memory node of the pools; -1: any */
	uint32_t n_conns;
	uint32_t n_half;      /* half-open passive connections; 0: 4096 */
	uint32_t n_time_wait; /* 0: n_conns / 2, at least 1024 */
	uint32_t n_listeners; /* 0: 64 */
	uint32_t n_sent;      /* segments in flight, all conns; 0: from n_conns */
	uint16_t mss4, mss6;  /* port MTU - 40, - 60; 0: 1460, 1440 */
	uint32_t tso_max;     /* longest payload of one tcp_out mbuf; 0: no TSO, one MSS */
	uint16_t tx_segs;     /* longest mbuf chain the port takes; 0: 32 */
	bool sums;	      /* the port does no checksums: tcp_tx.sum is worth having */
	/* Record buffers per size (0: from max_mem), header mbufs and indirect mbufs (0: 8192,
	 * 32768). What the port's queues can hold comes on top. */
	uint32_t n_bufs[TCP_POOLS], n_headers, n_pieces;
	uint64_t max_mem;	     /* bytes of record buffers in use by all conns; 0: 256 MiB */
	uint32_t rx_max;	     /* receive window bound of one conn; 0: 4 MiB */
	uint32_t tx_max;	     /* congestion window bound of one conn; 0: 4 MiB */
	uint32_t records;	     /* bit k: kind k is TCP_RECORDS, else TCP_RAW */
	const char *congestion;	     /* a row of the congestion table; NULL: "cubic" */
	uint64_t keepalive_us;	     /* idle time before probes; 0: none */
	uint16_t port_min, port_max; /* source ports of tcp_open; 0: 15000, 65535 */
	const struct denied *denied; /* parties that may not connect; NULL: all may */
	struct hash_key cookie_key;  /* SYN cookies: the same for all workers */
	uint8_t seed[32];	     /* every other key and random choice comes from it */
	struct counts *counts;
	/* Whether a segment from remote to local would be received by this worker; NULL: always. */
	bool (*lands_here)(void *arg, const struct addr *local, const struct addr *remote);
	void *lands_arg;
};

enum tcp_denied {
	TCP_DENIED_MARKED,
	TCP_DENIED_CROWDED
}; /* reasons in denied; others are not ours */
/* NULL and *err (a static sentence that names the setting) when memory or a name is missing. EAL
 * must be up. The config is copied. */
struct tcp *tcp_init(const struct tcp_config *config, uint64_t now_us, const char **err);
/* Drops everything without a segment. Mbufs given by tcp_out must have been freed before. */
void tcp_fini(struct tcp *t);

/* ---- in ---- */
/* struct tcp_seg is one checked segment. */
void tcp_in(struct tcp *t, const struct tcp_seg *seg, unsigned n, uint64_t now_us);
/* Runs the timers that are due. Call each turn, also when nothing arrived. */
void tcp_timers(struct tcp *t, uint64_t now_us);
/* True when tcp_out or tcp_events has something: the worker must not sleep. */
bool tcp_busy(const struct tcp *t);

/* ICMP packet too big for the flow local -> remote (the 4-tuple and sequence number quoted by the
 * message, which may come from anybody: ignored unless seq is in flight; RFC 5927, 8201). mtu is
 * that of IP. */
void tcp_mtu_hint(struct tcp *t, const struct addr *local, const struct addr *remote, uint32_t seq,
		  uint32_t mtu, uint64_t now_us);
/* ICMP unreachable: closes a conn that is still dialling (RFC 1122 4.2.3.9), else ignored. */
void tcp_unreach(struct tcp *t, const struct addr *local, const struct addr *remote, uint32_t seq);

/* ---- events ---- */
enum {
	TCP_OPENED = 1 << 0,   /* accepted, or the dial was answered */
	TCP_READABLE = 1 << 1, /* a new unit is complete (edge: not repeated until more comes) */
	TCP_WRITABLE = 1 << 2, /* bytes were acknowledged or the peer's window grew */
	TCP_EOF = 1 << 3,      /* the peer's FIN, all before it is complete and was taken */
	TCP_BAD_UNIT = 1 << 4, /* TCP_RECORDS: no record header; nothing more is read */
	TCP_CLOSED = 1 << 5,   /* the last event: see reason; tcp_release is due */
};
enum tcp_reason {
	TCP_DONE = 1,	 /* both sides closed in good order */
	TCP_ABORTED,	 /* by tcp_abort */
	TCP_RESET,	 /* RST from the peer */
	TCP_REFUSED,	 /* RST while dialling */
	TCP_TIMEOUT,	 /* no answer to data, probes or our SYN */
	TCP_UNREACHABLE, /* ICMP while dialling */
};
struct tcp_event {
	uint32_t conn;
	uint16_t flags;
	uint8_t reason; /* with TCP_CLOSED */
	uint8_t kind;
};
/* Takes up to max conns with something to tell, each once, oldest first; call until it returns 0.
 * A conn on which TCP_READABLE is seen is to be read until tcp_peek says no, or tcp_again used. */
unsigned tcp_events(struct tcp *t, struct tcp_event *ev, unsigned max);
/* Asks for TCP_READABLE again if a unit waits. Not from within the loop over tcp_events, which
 * would not end. */
void tcp_again(struct tcp *t, uint32_t conn);

/* ---- conns ---- */
/* Listens on addr (all-zero ip: every address of the family). backlog: half-open connections kept
 * before SYN cookies are used. 0, ERR_FULL, or ERR_NOT_NOW when the address is taken. */
int tcp_listen(struct tcp *t, const struct addr *addr, uint8_t kind, uint32_t backlog);
/* Stops listening; its half-open connections are forgotten. 0 or ERR_UNKNOWN. */
int tcp_unlisten(struct tcp *t, const struct addr *addr);
/* false: SYNs and the last ACK of new connections are dropped and counted. */
void tcp_accepting(struct tcp *t, bool yes);
/* Dials. local: our address (its port is ignored, 0.0.0.0 is not allowed). The conn index, or
 * ERR_FULL (no slot, no memory, no source port: counted apart), ERR_NOT_NOW (bad address). */
int tcp_open(struct tcp *t, const struct addr *local, const struct addr *remote, uint8_t kind,
	     uint64_t now_us);
/* Sends FIN after what is queued. The caller reads no more: later bytes are dropped. */
void tcp_close(struct tcp *t, uint32_t conn, uint64_t now_us);
/* Sends RST and drops what is queued. TCP_CLOSED comes with the next tcp_events. */
void tcp_abort(struct tcp *t, uint32_t conn);
/* Frees the index after TCP_CLOSED was reported (before: as tcp_abort, and frees). */
void tcp_release(struct tcp *t, uint32_t conn);

bool tcp_live(const struct tcp *t, uint32_t conn);
wid tcp_id(const struct tcp *t, uint32_t conn);
/* The index behind an id of the wall or the mesh, or SLOT_NONE. */
uint32_t tcp_check(const struct tcp *t, wid id);
uint8_t tcp_kind(const struct tcp *t, uint32_t conn);
void tcp_addrs(const struct tcp *t, uint32_t conn, struct addr *local, struct addr *remote);

/* Hints that a conn will be read or written soon (SLOT_NONE: none). tcp_fetch first (10 lines: ask
 * for one conn at a time) and, when that may have come, tcp_fetch_bufs for the buffers at which
 * tcp_peek and tcp_reserve will look. */
void tcp_fetch(const struct tcp *t, uint32_t conn);
void tcp_fetch_bufs(const struct tcp *t, uint32_t conn);

/* ---- reading ---- */
/* The next complete unit, in place: it may be written to (opened) until it is taken. At least 64
 * bytes before it and after it may be overwritten too. False when there is none. */
bool tcp_peek(struct tcp *t, uint32_t conn, uint8_t **p, uint32_t *len);
/* Consumes len bytes of the unit that tcp_peek showed; TCP_RECORDS: the whole unit whatever len.
 * The pointer is dead afterwards; the window may open. */
void tcp_take(struct tcp *t, uint32_t conn, uint32_t len);
/* Whether tcp_peek has something to show. */
bool tcp_has(const struct tcp *t, uint32_t conn);
/* TCP_RAW: peek, copy and take in one, over as many units as there are: how many bytes, at most
 * len. */
uint32_t tcp_read(struct tcp *t, uint32_t conn, uint8_t *to, uint32_t len);
/* true: no TCP_READABLE until false again; the window closes as buffers fill. */
void tcp_hold(struct tcp *t, uint32_t conn, bool hold);
/* Stream offset of the next unit: bytes the peer sent before it. */
uint64_t tcp_rx_offset(const struct tcp *t, uint32_t conn);
/* After TCP_BAD_UNIT: the five bytes that are no record header. NULL otherwise. */
const uint8_t *tcp_bad_unit(const struct tcp *t, uint32_t conn);

/* ---- writing ---- */
/* Bytes that could leave now: min(cwnd, peer's window) - in flight - queued. 0 before TCP_OPENED
 * and after tcp_close. Pushing more is allowed, and then waits. */
uint32_t tcp_room(const struct tcp *t, uint32_t conn);
/* cap bytes (at most TCP_UNIT_MAX) in which to build the next bytes of the stream; NULL when there
 * is no memory (counted) or the conn is closing. One reservation at a time: a second call without
 * tcp_push replaces the first. At least 64 bytes before and after may be overwritten on a
 * TCP_RECORDS conn; on a TCP_RAW conn not one byte outside. */
uint8_t *tcp_reserve(struct tcp *t, uint32_t conn, uint32_t cap);
/* The first len bytes of the reservation join the stream (0: it is given back). They must not
 * change any more. */
void tcp_push(struct tcp *t, uint32_t conn, uint32_t len);
uint32_t tcp_unsent(const struct tcp *t, uint32_t conn);
uint32_t tcp_unacked(const struct tcp *t, uint32_t conn); /* sent, not acknowledged */
/* Stream offset of the next byte to be pushed. */
uint64_t tcp_tx_offset(const struct tcp *t, uint32_t conn);
/* Bytes of buffers held by one conn, and by all (against max_mem). */
uint64_t tcp_mem(const struct tcp *t, uint32_t conn);
uint64_t tcp_mem_all(const struct tcp *t);
/* Since when the oldest buffer of a conn has waited for its reader or its peer; UINT64_MAX: it has
 * none. */
uint64_t tcp_since(const struct tcp *t, uint32_t conn);
/* The conns of a kind whose buffers have waited longest, at most max, longest first; how many.
 * Walks all conns that were ever in use: for emergencies. */
unsigned tcp_oldest(const struct tcp *t, uint8_t kind, uint32_t *conns, unsigned max);

/* ---- out ---- */
/* struct tcp_tx is one segment to send. */
/* Everything that may leave now, at most max; call again while it returns max. */
unsigned tcp_out(struct tcp *t, uint64_t now_us, struct tcp_tx *tx, unsigned max);

/* ---- for tests and status ---- */
struct tcp_info {
	uint32_t srtt_us, min_rtt_us, rto_us;
	uint32_t cwnd, ssthresh, in_flight, peer_wnd, rcv_wnd, mss;
	uint32_t n_retransmits, n_timeouts;
	const char *state;
};
/* 0 or ERR_UNKNOWN. */
int tcp_info(const struct tcp *t, uint32_t conn, struct tcp_info *info);
uint32_t tcp_n_conns(const struct tcp *t);
uint32_t tcp_n_half(const struct tcp *t);
uint32_t tcp_n_time_wait(const struct tcp *t);

#endif
