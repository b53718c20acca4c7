/* load.h - ramson-load: one process that is client, next hop and destination of a relay under test.
 * It walks the relay's own stair from the other side: port, net, tcp, tls, and the cells on top. */
#ifndef RAMSON_LOAD_H
#define RAMSON_LOAD_H

#include "controlplane/handshake/handshake.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/net/net.h"
#include "dataplane/onion/onion.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tls/tls.h"
#include "dataplane/wire/cell.h"
#include "dataplane/wire/relay_msg.h"
#include "drivers/port.h"

#define LOAD_SINKS   64
#define LOAD_PIDS    8
#define LOAD_SHARES  16
#define SINK_PORT    9100 /* and up: one for each sink relay */
#define LATENCY_ROWS 2048

enum { DIR_UP = 1, DIR_DOWN = 2, DIR_BOTH = 3 };

/* ---- what was asked for ---- */
struct load_mode;
struct options {
	const struct load_mode *mode;
	const char *port, *descriptor, *keys_dir, *suite, *cores, *cgroup;
	struct net_prefix address;
	struct addr gateway, relay;
	uint16_t handshake;			       /* of the first hop */
	unsigned n_links, n_circs, n_sinks, n_streams; /* streams: of one circuit */
	unsigned direction;
	bool cc;	 /* exit: congestion control is asked for, and must be granted */
	bool cgo;	 /* and Counter Galois Onion */
	unsigned window; /* cells under way on one circuit and direction (middle) */
	unsigned flight; /* cells under way in all; 0: as many as the windows allow */
	unsigned run;	 /* cells of one circuit behind each other */
	unsigned burst;	 /* cells that a link waits for and sends as one record; 0: it does not wait
			  */
	unsigned record; /* most cells in one TLS record */
	unsigned pending; /* handshakes at once */
	double rate;	  /* cells a second in all; 0: as many as go */
	double sink_rate; /* bytes a second that the sinks read, together; 0: all that comes */
	double every_ms;  /* thin: between the cells of the thin circuit */
	unsigned
		rcvbuf; /* KB that one connection of ours takes ahead of its reader; 0: TCP's own */
	double warmup_s, time_s;
	unsigned quota, period_us; /* of the cgroup while it is measured; quota 0: none */
	unsigned mem_mb, mtu;
	unsigned n_pids, pid[LOAD_PIDS];
	unsigned n_shares;
	double share[LOAD_SHARES]; /* latency: loads, of the most */
	bool json, quiet;
};
/* Reads the command line; ends the program with a sentence when it is wrong. */
void options_read(struct options *o, int argc, char **argv);

/* ---- the relay under test ---- */
struct relay {
	struct addr at;
	struct handshake_peer keys; /* RSA and Ed25519 identity, ntor onion key */
	bool known;
};
/* Takes identities, onion key and, when at is not set, address from a server descriptor. 0, or
 * ERR_MALFORMED and the line that is missing in *why. */
int relay_read(struct relay *r, const char *text, const char **why);

/* ---- connections ---- */
enum conn_kind { CONN_CLIENT, CONN_SINK, CONN_DEST_DOWN, CONN_DEST_UP, CONN_DEST_BOTH };
#define DEST_PORT(kind) (7000 + (kind))
enum conn_state { CONN_NONE, CONN_DIALLED, CONN_TLS, CONN_CELLS, CONN_OPEN };

/* Circuits that may send over a conn now, by index; linked through struct circ. */
struct queue {
	uint32_t head, tail, n;
};

struct hello; /* the client's TLS and link handshake while it lasts */
struct conn {
	uint8_t kind, state;
	bool active;   /* stands in load.active */
	bool versions; /* cells have ids of four bytes */
	bool paused;   /* a slow sink has records to read */
	uint8_t sink;
	uint16_t stash_len, stash_cap;
	uint8_t *stash; /* the cell that spans two records */
	struct queue ready;
	uint32_t next_active;
	uint32_t n_circs, n_out; /* n_out: their cells that left here and have not arrived */
	struct hello *hello;
	/* as destination of a stream */
	uint64_t sent, got;
	uint32_t phase_out, phase_in;
};

/* ---- circuits ---- */
enum circ_state { CIRC_NONE, CIRC_CREATING, CIRC_EXTENDING, CIRC_OPEN, CIRC_GONE };
enum { UP, DOWN };

struct circ {
	union {
		struct tor1_layer tor1;
		struct cgo_layer cgo;
	} layer;       /* of the relay under test */
	uint32_t conn; /* the client's link */
	uint32_t id;
	uint32_t sink_conn, sink_id; /* where it came out; SLOT_NONE: nowhere yet */
	uint8_t state;
	bool queued[2];
	uint32_t next[2]; /* in conn.ready: of the client's link, of the sink's */
	uint32_t sent[2], got[2];
	/* exit */
	int32_t package, deliver; /* DATA cells that may go; that came since the last SENDME */
	uint32_t n_data_out;
	uint16_t n_tags, n_acked;
	uint8_t inc;		   /* cells that a SENDME stands for */
	bool cc;		   /* congestion control: no stream SENDMEs */
	bool cgo;		   /* the layer's kind, and version 1 of messages */
	uint8_t (*tags)[SHA1_LEN]; /* of cells that SENDMEs must prove; exit.c */
	uint16_t turn;		   /* which stream is next */
	uint8_t n_late;		   /* its cells in load.late */
	struct handshake_client *shake;
	uint8_t proof[64]; /* what the sink must have answered */
};

/* A stream of an exit circuit, number circ * n_streams + k. */
struct stream {
	uint8_t state; /* 0 none, 1 BEGIN sent, 2 connected */
	int16_t package, deliver;
	uint32_t phase_out, phase_in;
	uint64_t sent, got;
};

/* ---- figures ---- */
struct tally {
	uint64_t cells[2], bytes[2]; /* verified arrivals: up, down */
	uint64_t handshakes, connects;
	uint64_t tx_cells, tx_records, rx_cells, rx_records; /* of relayed cells */
};
struct cpu {
	uint64_t ns;		     /* of all tasks of the pids */
	uint64_t periods, throttled; /* of the cgroup's quota */
	uint64_t at_ns;
};

/* Cells of exit circuits, copied from their records until the digests of many are looked at side by
 * side; layer.c. */
#define LATE_MAX   256
#define LATE_DEPTH 32 /* cells of one circuit */
struct late {
	unsigned n;
	unsigned n_at[LATE_DEPTH]; /* how many are the first, the second... of their circuit */
	uint8_t depth[LATE_MAX];
	struct onion_item item[LATE_MAX];
	uint8_t payload[LATE_MAX][CELL_PAYLOAD];
};

/* Of all cells; and of those whose way no pause of ours touches: we were not kept from the core, or
 * in one turn for PAUSE_US, while they were under way or while what queued then was worked off. */
#define PAUSE_US 100
enum latency { LATENCY_ALL, LATENCY_STEADY, N_LATENCIES };

struct door;
struct load;
struct load_mode {
	const char *name, *what;
	bool extend, streams, defaults_to_many_links;
	bool thin; /* the last circuit has the last link for itself, and its cells alone are timed
		    */
	/* From open circuits (or links) to the end of the measurement. 0 or an exit status. */
	int (*run)(struct load *ld);
};
extern const struct load_mode load_modes[];

struct load {
	struct options opt;
	struct relay relay;
	struct port port;
	struct net *net;
	struct tcp *tcp;
	struct cipher cipher;
	struct tls tls;
	struct onion back; /* exit, tor1: layers of the way back */
	struct late late;
	struct counts counts;
	struct rng rng;
	struct net_rx rx;
	uint64_t now_us, base_bytes, idle_us, turn_us;
	uint64_t turn_tsc, steady_tsc, pause_tsc; /* latency_note */
	uint32_t n_conns;
	struct conn *conn;
	struct circ *circ;
	struct stream *stream;
	uint32_t active, active_tail; /* conns that have something to send */
	struct door *sinks;

	uint32_t *link; /* the client's conns */
	unsigned n_links, n_links_open, n_dialling;
	unsigned n_circs_open, n_circs_pending, n_circs_gone, n_streams_open;
	bool redial;   /* connect: an open link is closed and dialled anew */
	bool recreate; /* create: a circuit that is there is destroyed and made anew */
	bool retry;    /* a dial that fails is tried again: the relay may not be up yet */
	bool flowing;
	uint32_t n_flight; /* relayed cells under way */
	bool worked;	   /* the last turn had frames */
	uint32_t circs_wanted;
	struct tally sum;
	uint64_t hist[N_LATENCIES][LATENCY_ROWS];
	bool timing;
	double tsc_per_ns, ns_per_tsc;
	uint64_t record_tsc;	    /* when the record that is read now was taken */
	double links_s, circuits_s; /* how long the set-up took */
	/* pacing: tsc of the first cell's turn, tsc between cells */
	uint64_t pace_start, pace_n;
	double pace_step;
	double sink_tokens;
	uint64_t sink_tsc,
		thin_tsc; /* when tokens were last added; when the next thin cell is due */
	uint8_t *pattern; /* PATTERN_LEN bytes, and as many again */
	void *fetch;
	char failed[256];
};
#define PATTERN_LEN 65536

/* Notes the first thing that went wrong; every loop ends then. */
void load_fail(struct load *ld, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t clock_ns(void);

/* ---- stack.c: port, net, tcp, tls ---- */
void stack_start(struct load *ld);
void stack_stop(struct load *ld);
/* One turn: what came is read and answered, what waits is sent. */
void stack_turn(struct load *ld);
/* Turns until done(ld), or ld->failed, or the time is over; whether done. */
bool stack_until(struct load *ld, bool (*done)(struct load *ld), double seconds);
uint64_t stack_lost(struct load *ld);

/* ---- conns.c: links and destinations ---- */
int conns_dial(struct load *ld);
/* Seals len bytes of cells as one record. False when there is no room. */
bool peer_send(struct load *ld, uint32_t conn, const void *cells, size_t len);
bool peer_ready(struct load *ld, uint32_t conn);
void peer_raw(struct load *ld, uint32_t conn, const void *bytes, size_t len);
bool peer_cell(struct load *ld, uint32_t conn, uint32_t id, uint8_t command, const void *payload,
	       size_t len);
void peer_keys(struct load *ld, uint32_t conn, const struct tls_keys *keys);
void peer_open(struct load *ld, uint32_t conn);
void peer_event(struct load *ld, const struct tcp_event *ev);
/* With --sink-rate: what the sinks may read again. */
void sinks_read(struct load *ld);
/* The conn has something to send: it gets its turn in pump(). */
void peer_wake(struct load *ld, uint32_t conn);

/* ---- hello.c: the client's handshakes ---- */
void hello_init(struct load *ld);
void hello_start(struct load *ld, uint32_t conn);
void hello_record(struct load *ld, uint32_t conn, const uint8_t *record, size_t len);
void hello_cell(struct load *ld, uint32_t conn, uint8_t *cell, size_t len);
void hello_free(struct conn *c);

/* ---- role.c: keys of relays that we play ---- */
struct keys;
struct role {
	struct keys *keys;
	char dir[300];
	bool temporary;
};
/* Opens or makes the keys of that name; ends the program when it cannot. */
void role_open(struct load *ld, struct role *id, const char *name);
void role_close(struct role *id);

/* ---- auth.c: the client authenticates as a relay, once auth_start was called; else auth_new gives
 * NULL, and the rest does nothing ---- */
struct auth;
struct ssl_st;
struct certs_body;
void auth_start(struct load *ld);
void auth_stop(void);
struct auth *auth_new(struct load *ld);
void auth_free(struct auth *a);
/* Cells of the handshake, as they stood. */
void auth_said(struct auth *a, const void *cell, size_t len);
void auth_heard(struct auth *a, const void *cell, size_t len);
void auth_peer(struct auth *a, const struct certs_body *b, const uint8_t ed_id[32]);
void auth_certs(struct load *ld, uint32_t conn, struct auth *a);
void auth_answer(struct load *ld, uint32_t conn, struct auth *a, struct ssl_st *ssl);

/* ---- door.c: the sink relays, whose handshakes are control's own ---- */
void sinks_start(struct load *ld);
void sinks_stop(struct load *ld);
void sinks_now(struct load *ld);
void sink_opened(struct load *ld, uint32_t conn);
void sink_record(struct load *ld, uint32_t conn, uint64_t offset, const uint8_t *record,
		 size_t len);
void sink_cell(struct load *ld, uint32_t conn, const uint8_t *cell, size_t len);
void sink_closed(struct load *ld, uint32_t conn);
void sink_ids(const struct load *ld, unsigned sink, uint8_t rsa_id[20], uint8_t ed_id[32]);

/* ---- circuits.c ---- */
/* Starts as many handshakes as may be pending at once. */
void circuits_build(struct load *ld);
void circuit_cell(struct load *ld, uint32_t conn, uint8_t *cell);
void circuit_say(struct load *ld, uint32_t circ, uint8_t command, uint16_t stream, const void *body,
		 uint16_t len, bool early, uint8_t tag[SHA1_LEN]);
void circuit_open(struct load *ld, uint32_t circ);

/* ---- layer.c ---- */
void layer_start(struct load *ld, struct circ *c, const struct handshake_done *done);
/* A message for the relay, in place, and the tag of its SENDME (CGO: UIV_TAG bytes). */
void layer_seal(struct load *ld, struct circ *c, uint8_t command, uint8_t *payload,
		uint8_t tag[SHA1_LEN]);
/* A payload that is to leave the relay as it is. */
void layer_pass(struct load *ld, struct circ *c, uint8_t *payload);
/* Takes the layer off; true when the message is the relay's. */
bool layer_open(struct load *ld, struct circ *c, uint8_t *payload, uint8_t tag[SHA1_LEN]);
/* The same for what the sink sent. */
void layer_back(struct load *ld, struct circ *c, uint8_t *payload);
/* The same for many: a tor1 circuit of the mode exit opens all its cells so. late_put keeps a copy;
 * false: late_open comes first. Of late_open's items the recognized are the relay's own, dst is
 * their message; the caller sets late.n to 0 when it has seen them. */
void late_start(struct load *ld);
void late_stop(struct load *ld);
bool late_put(struct load *ld, uint32_t circ, const uint8_t *payload);
void late_open(struct load *ld);
static inline enum relay_format layer_format(const struct circ *c)
{
	return c->cgo ? RELAY_V1 : RELAY_V0;
}
static inline uint16_t layer_tag_len(const struct circ *c)
{
	return c->cgo ? UIV_TAG : SHA1_LEN;
}

/* ---- middle.c: cells through the relay to the sink and back ---- */
void middle_flow(struct load *ld, uint32_t circ);
void middle_up(struct load *ld, uint32_t conn, uint8_t *payload, uint32_t id);
void middle_down(struct load *ld, uint32_t circ, uint8_t *payload);
/* Packs up to n cells of the conn's ready circuits at p; how many. */
unsigned middle_pack(struct load *ld, uint32_t conn, uint8_t *p, unsigned n);
void pump(struct load *ld);
/* Whether this circuit is the thin one. */
static inline bool is_thin(const struct load *ld, uint32_t circ)
{
	return ld->opt.mode->thin && circ == ld->opt.n_circs - 1;
}
/* Sends a thin cell whose time has come. */
void thin_turn(struct load *ld);

/* ---- exit.c: streams to the destination ---- */
void exit_begin(struct load *ld, uint32_t circ);
void exit_cell(struct load *ld, uint32_t circ, uint8_t *payload);
/* What exit_cell put off: once a turn, when all that came is read. */
void exit_settle(struct load *ld);
unsigned exit_pack(struct load *ld, uint32_t conn, uint8_t *p, unsigned n);
void dest_event(struct load *ld, uint32_t conn);
void dest_opened(struct load *ld, uint32_t conn);

/* ---- fetch.c: the descriptor by BEGIN_DIR ---- */
void fetch_descriptor(struct load *ld);
void fetch_cell(struct load *ld, uint32_t conn, uint8_t *cell);

/* ---- runs.c, report.c ---- */
/* A cell whose time was at stamp (tsc) has come with the record that is read now. */
void latency_note(struct load *ld, uint64_t stamp);
/* In ns; 0: there were none. */
double latency_at(const struct load *ld, enum latency which, double share);
/* The share of the steady. */
double latency_steady(const struct load *ld);
void cpu_read(const struct options *o, struct cpu *c);
/* The cgroup's CPU quota, in percent of a core; 0 lifts it. */
void quota_set(struct load *ld, unsigned percent);
uint64_t memory_of(const struct options *o);
/* Turns for the warm-up and the measured time, with a progress line, and reports. */
int run_flow(struct load *ld);
int run_create(struct load *ld);
int run_connect(struct load *ld);
int run_idle(struct load *ld);

struct outcome {
	struct tally t; /* within the measured time */
	double seconds, cpu_s;
	double best;	  /* bytes a ns of the relay's CPU, in the best tenth of the steps */
	uint64_t lost;	  /* frames that found no room here */
	double throttled; /* share of the quota's periods */
	double busy;	  /* share of our time in turns that had frames */
};
void report(struct load *ld, const struct outcome *o);
void report_idle(struct load *ld, uint64_t base, uint64_t links, uint64_t circs);
void progress(struct load *ld, const char *what, double done, double of, const char *unit);
void progress_end(struct load *ld);

#endif
