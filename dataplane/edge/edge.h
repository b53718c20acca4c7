/* edge.h - where a circuit's streams end: exit connections and directory pipes; bytes to and from
 * DATA messages (tor-spec section 6.2), and how fast. Behind relay/, before sched/. */
#ifndef RAMSON_EDGE_H
#define RAMSON_EDGE_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/wire/relay_msg.h"

#define EDGE_WINDOW    500 /* DATA cells of a stream in flight (tor-spec 7.4) */
#define EDGE_INCREMENT 50
#define EDGE_HELD_MAX  (EDGE_WINDOW * RELAY_BODY)
#define EDGE_FULL      (10 * CELL_PAYLOAD) /* a destination that lags this far gets no more SENDMEs */
#define EDGE_DIR_MAX   65536		   /* bytes of an answer that control may write ahead */
/* With congestion control a client may have sent a whole window when our XOFF reaches it; beyond
 * so many bytes more it does not listen to XOFF. */
#define EDGE_XOFF_LATE (10000 * RELAY_BODY)

/* Bytes in order: one writer at the back, one reader at the front. */
struct pipe {
	uint8_t *p;
	uint32_t at, len, cap;
};
/* 0 or ERR_FULL; never holds more than max. */
int pipe_put(struct pipe *p, const void *from, uint32_t len, uint32_t max);
void pipe_skip(struct pipe *p, uint32_t len);
void pipe_free(struct pipe *p);

enum stream_state {
	STREAM_FREE,
	STREAM_ASKED,	   /* control decides */
	STREAM_CONNECTING, /* TCP dials */
	STREAM_OPEN,
	STREAM_DIR,   /* the far end is control */
	STREAM_ENDED, /* over; control has not been told yet */
};

struct stream { /* up to in, one line: what a DATA message touches */
	_Alignas(CACHE_LINE) uint32_t circ;
	uint32_t conn;	     /* conn: SLOT_NONE but when connecting or open */
	uint32_t next, prev; /* streams of the circuit */
	uint32_t ready_next, ready_prev;
	uint32_t ttl; /* for CONNECTED */
	uint16_t id;
	uint16_t in_flight; /* DATA cells sent and not acknowledged by a stream SENDME */
	uint16_t received;  /* DATA cells not acknowledged by ours */
	uint8_t state, command;
	uint8_t ready;	 /* in the list of those to look at */
	uint8_t far_end; /* the far end has said its last byte: 1 done, else its END reason */
	/* What a DATA cell adds to these two: 1, or 0 on a circuit with congestion control. There
	 * XOFF and XON rule (xon.c), and in_flight is EDGE_WINDOW while nothing may be sent. */
	uint8_t step;
	uint8_t rated;	 /* their XON gave a rate: edge_spent */
	struct pipe in;	 /* from the client, until the far end is there */
	struct pipe out; /* from control, until packed */
};
_Static_assert(offsetof(struct stream, out) == CACHE_LINE, "the usual fields are one line");

/* XOFF and XON of a stream of a circuit with congestion control: xon.c. */
struct edge_flow {
	uint64_t grace_us;	  /* since when too much waits; 0: it does not */
	uint64_t drain_us;	  /* since when bytes drain from a queue; 0: none waits */
	uint64_t out_at;	  /* bytes that had left at the last look */
	uint32_t drained;	  /* bytes since then, or since the queue was empty */
	uint32_t drained_before;  /* of the last measurement */
	uint32_t rate, rate_said; /* in 1000 bytes a second: averaged, and what XON said; 0: none */
	/* theirs: how fast they want bytes */
	uint32_t bucket_rate; /* bytes a second; 0: as they come */
	int32_t bucket;	      /* that may be sent now */
	uint64_t bucket_us;   /* of its last filling */
	uint8_t xoff_said;    /* our XOFF stands */
	uint8_t xoff_heard;   /* theirs does */
	uint8_t dry;	      /* the bucket is empty */
	uint8_t _pad[5];
};
/* What is to be said to the client. */
enum edge_word { EDGE_NOTHING, EDGE_XOFF, EDGE_XON };
#define EDGE_XOFF_LEN 1 /* version 0 */
#define EDGE_XON_LEN  5 /* version 0, rate */

struct edge {
	struct slots slots;
	struct stream *stream;
	struct edge_flow *flow; /* per stream */
	struct wheel dry;	/* streams that wait for their bucket to fill */
	uint32_t *conn_stream;	/* 1 + stream of each exit conn: 0, as memory begins, is none */
	uint32_t n_conns;
	struct map by_id; /* (circ, stream id) -> stream */
	uint32_t ready_head, ready_tail, n_ready;
	uint64_t mem;	  /* bytes in pipes */
	uint64_t mem_max; /* bound of that, set by the worker; 0: none */
	struct tcp *tcp;
	struct counts *counts;
	const int64_t *params;
};

/* tcp, counts and params are borrowed. */
int edge_init(struct edge *e, unsigned worker, uint32_t n_streams, uint32_t n_conns,
	      struct hash_key key, struct tcp *tcp, struct counts *counts, const int64_t *params,
	      uint64_t now_us);
void edge_fini(struct edge *e);

/* A stream in state STREAM_ASKED, put at the head of its circuit's list; cc: that has congestion
 * control. ERR_NOT_NOW when the id is in use on that circuit, ERR_FULL when all streams are; else
 * its index. */
int edge_begin(struct edge *e, uint32_t circ, uint32_t *list, uint16_t id, uint8_t command,
	       bool cc);
/* The stream of an exit conn, or SLOT_NONE. */
static inline uint32_t edge_stream_of(const struct edge *e, uint32_t conn)
{
	return e->conn_stream[conn] - 1;
}
static inline uint64_t stream_key(uint32_t circ, uint16_t id)
{
	return (uint64_t)(circ + 1) << 16 | id;
}
static inline uint32_t edge_find(const struct edge *e, uint32_t circ, uint16_t id)
{
	return map_get(&e->by_id, stream_key(circ, id));
}
/* The same by way of the circuit's list: most circuits have few streams. */
static inline uint32_t edge_find_in(const struct edge *e, uint32_t list, uint32_t circ, uint16_t id)
{
	return list != SLOT_NONE && e->stream[list].id == id ? list : edge_find(e, circ, id);
}
static inline uint32_t edge_check(const struct edge *e, wid id)
{
	return slots_check(&e->slots, id);
}
/* The stream leaves its circuit: its id is free, its conn is closed (after what is queued when
 * flush, else by RST), its pipes are emptied. The index stays, in state STREAM_ENDED, until
 * edge_free. */
void edge_end(struct edge *e, uint32_t stream, uint32_t *list, bool flush, uint64_t now_us);
void edge_free(struct edge *e, uint32_t stream);

/* The decision: a TCP conn that dials, or control's pipe. */
void edge_connecting(struct edge *e, uint32_t stream, uint32_t conn, uint32_t ttl);
void edge_dir(struct edge *e, uint32_t stream);
/* The far end is there: what the client sent ahead goes to it. 0 or ERR_FULL. */
int edge_opened(struct edge *e, uint32_t stream);

/* A DATA body from the client. 0: kept or written; 1: it is control's (STREAM_DIR); ERR_FULL: no
 * memory, or XOFF was not heeded; ERR_MALFORMED: more than the window allows, the circuit is to be
 * closed. */
int edge_data(struct edge *e, uint32_t stream, const uint8_t *body, uint16_t len);
/* How many stream SENDMEs are due now; they are taken as sent. */
unsigned edge_sendmes(struct edge *e, uint32_t stream);
/* A stream SENDME came. 0, or ERR_MALFORMED when it acknowledges what was not sent, or may not be
 * (interop F4). */
int edge_sendme_in(struct edge *e, uint32_t stream);

/* ---- flow control of streams on circuits with congestion control (interop F7, F8) ---- */
static inline bool edge_has_flow(const struct edge *e, uint32_t stream)
{
	return !e->stream[stream].step;
}
/* A look at what waits for the far end. came: a DATA message has just added to it; else some of it
 * may have gone. steady: the clock is to be trusted. What is due is taken as said; its body, at
 * most EDGE_XON_LEN bytes, is written. */
enum edge_word edge_look(struct edge *e, uint32_t stream, bool came, bool steady, uint64_t now_us,
			 uint8_t body[EDGE_XON_LEN]);
/* XOFF or XON came. ERR_NOT_NOW: not on such a stream, or XOFF again; ERR_MALFORMED; both counted,
 * and nothing comes of it. 0: the stream may have bytes to pack. */
int edge_flow_in(struct edge *e, uint32_t stream, uint8_t command, const uint8_t *body,
		 uint16_t len, uint64_t now_us);
/* Bytes of a rated stream were packed: they come off the bucket. */
void edge_spent(struct edge *e, uint32_t stream, uint16_t len, uint64_t now_us);
/* Streams whose bucket has filled again are ready. Call each turn. */
void edge_refill(struct edge *e, uint64_t now_us);

/* Bytes from the far end into the next DATA body, at most room; 0 when there are none. */
uint16_t edge_pack(struct edge *e, uint32_t stream, uint8_t *body, uint16_t room);
static inline bool edge_may_send(const struct edge *e, uint32_t stream)
{
	return e->stream[stream].in_flight < EDGE_WINDOW;
}
/* Control's bytes for a directory stream. 0 or ERR_FULL beyond EDGE_DIR_MAX. */
int edge_write(struct edge *e, uint32_t stream, const uint8_t *p, uint32_t len);

/* Hints that a stream's bytes will be moved soon: its conn; then, when that may have come, the
 * buffers at which they go in and out. */
static inline void edge_fetch(const struct edge *e, uint32_t stream)
{
	tcp_fetch(e->tcp, e->stream[stream].conn);
}
static inline void edge_fetch_far(const struct edge *e, uint32_t stream)
{
	tcp_fetch_bufs(e->tcp, e->stream[stream].conn);
}

/* The list of streams that may have bytes to pack, oldest first. */
void edge_ready(struct edge *e, uint32_t stream);
uint32_t edge_next_ready(struct edge *e);

#endif
