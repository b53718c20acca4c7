/* house.h - for tests: a whole dataplane on the wire port, a scripted control behind the wall, and
 * a scripted peer that is client, next hop and destination. No root, NIC, hugepage or clock. */
#ifndef RAMSON_HOUSE_H
#define RAMSON_HOUSE_H

#include "dataplane/worker/worker.h"

#define HOUSE_WORKERS 4
#define HOUSE_LINKS   64
#define HOUSE_CIRCS   256
#define HOUSE_KEPT    64
#define HOUSE_CIRC_ID 0x80000001u /* of the first circuit that the client makes */

/* What the peer's destinations do; each listens at HOUSE_DEST + its number. */
#define HOUSE_DEST 100
enum house_dest {
	DEST_ECHO,
	DEST_DEAF,   /* takes the connection and reads nothing */
	DEST_SOURCE, /* sends house.source bytes, then FIN, and goes on reading */
	DEST_RESET,  /* answers the first byte with RST */
	DEST_CLOSED, /* nobody listens */
	N_DESTS
};
/* What control says to a stream. */
enum house_answer { ANSWER_TCP, ANSWER_DIR, ANSWER_RESOLVED, ANSWER_REFUSED };

struct peer_link {
	uint32_t conn;
	bool dialled, open;
	bool greeted;  /* the relay's hello came */
	bool deaf;     /* the peer reads nothing of it */
	bool notified; /* close_notify came */
	bool ended;    /* FIN came */
	bool reset;    /* RST came, or time ran out */
	uint8_t stash[CELL_LEN];
	unsigned stash_len;
	unsigned n_records;
	uint8_t gathered[CELLS_A_RECORD * CELL_LEN]; /* between house_gather and house_send */
	size_t gathered_len;
	bool gathering;
};

/* A circuit as the client sees it: one hop (the relay) or two (the peer itself behind it). */
struct peer_circ {
	struct peer_link *link;
	uint32_t id;
	unsigned n_layers;
	bool created, extended, destroyed, connected, ended, truncated, resolved, joined;
	uint8_t destroy_reason, end_reason;
	bool no_sendmes;   /* acknowledges nothing */
	bool hold_sendmes; /* only when house_acknowledge is called */
	unsigned n_held;
	uint8_t held[64][RELAY_TAG]; /* tags of theirs */
	uint16_t end_stream;
	unsigned n_connected, n_ended;
	struct tor1_layer layers[2];
	struct cgo_layer outer; /* in place of the first, where cgo */
	bool cgo;
	struct tor1_layer *inner; /* service: what the client's second layer is here */
	unsigned n_data_in, n_data_out, window;
	unsigned inc; /* DATA cells that a SENDME stands for */
	bool cc;      /* congestion control: no stream SENDMEs, XOFF and XON */
	unsigned n_xoff, n_xon;
	uint32_t xon_rate;	  /* of the last one */
	uint8_t n_on_stream[256]; /* DATA since the last stream SENDME, by id */
	unsigned n_tags, n_acked;
	uint8_t tags[512][20];
	uint64_t bytes_in, hash_in; /* what DATA carried */
	uint64_t bytes_out, hash_out;
	uint16_t connected_len;
	unsigned n_drops, n_negotiated; /* circuit padding that came */
	uint8_t negotiated[RELAY_BODY]; /* the last answer about it */
};
/* The same circuit where the peer is the next hop: it echoes each DATA. */
struct peer_hop {
	struct peer_link *link;
	uint32_t id;
	bool used;
	struct tor1_layer layer;
	unsigned n_cells;
};

struct house {
	struct plane plane;
	struct worker *workers;
	unsigned n_workers;
	struct wire *wire;
	uint64_t now_us;
	/* the peer */
	struct port port;
	struct net *net;
	struct tcp *tcp;
	struct cipher cipher;
	struct tls tls;
	struct counts counts;
	struct rng rng;
	struct peer_link link[HOUSE_LINKS];
	struct peer_circ circ[HOUSE_CIRCS];
	struct peer_hop hop[HOUSE_CIRCS];
	unsigned n_links, n_circs;
	bool sink; /* the peer knows no TLS: it takes what comes and is silent */
	/* What a test itself hears of each message to a client. */
	void (*heard)(struct house *h, struct peer_circ *c, const struct relay_msg *m);
	uint8_t cc_inc; /* circuits made from now on have congestion control, with this increment */
	bool cgo;	/* and CGO */
	bool hop_silent;   /* the next hop keeps what it is asked */
	enum house_eager { /* how a client's link begins */
			   EAGER_NOT,
			   EAGER_RECORD, /* NETINFO and a CREATE in one record */
			   EAGER_BLIND,	 /* all it has to say, before anything came */
	} eager;
	uint64_t step_us; /* 0: 200 */
	uint64_t source;  /* bytes that DEST_SOURCE still has to send */
	uint64_t source_hash;
	uint64_t dest_bytes; /* that came at destinations */
	uint32_t dest_conn;  /* the newest */
	bool dest_ended, dest_reset;
	/* control */
	struct ring down[HOUSE_WORKERS], up[HOUSE_WORKERS];
	uint32_t epoch;	     /* that its messages bear */
	wid next_conn;	     /* the link that circuits are extended over */
	enum ctl_peer judge; /* what control takes the next links' peers for */
	bool silent;	     /* control takes nothing */
	uint32_t holds;	     /* bit (type - CTL_UP_FIRST): such messages are kept unanswered */
	unsigned n_kept;
	struct house_kept {
		size_t len;
		uint8_t bytes[1024];
	} kept[HOUSE_KEPT];
	unsigned n_up[N_CTL_UP];
	wid last[N_CTL_UP];
	uint32_t last_arg[N_CTL_UP];
	uint8_t last_body[N_CTL_UP][CELL_LEN];
	enum house_answer answer;
	enum house_dest dest;
	uint64_t credit;	      /* of the newest directory stream */
	uint64_t dir_bytes, dir_hash; /* that came over directory streams */
	uint64_t trace;		      /* hash of every frame on the wire */
	uint64_t held_most;	      /* bytes that all workers held after a turn, at most */
};

/* EAL is started once. One relay with n workers; impair both directions. */
void house_open(struct house *h, unsigned n_workers, uint64_t seed,
		const struct wire_impair *impair);
/* One worker, and nobody who answers: for fuzz targets. */
void house_open_bare(struct house *h, uint64_t seed);
void house_close(struct house *h);
/* Lets time pass until *flag or until the limit of virtual milliseconds; whether *flag. */
bool house_until(struct house *h, const bool *flag, unsigned limit_ms);
void house_run(struct house *h, unsigned ms);
/* One turn of everything. */
void house_step(struct house *h);
/* A deaf link hears again. */
void house_hear(struct house *h, struct peer_link *l);
/* The peer's end of a link is torn off, with what it has said and not yet sent. */
void house_cut(struct house *h, struct peer_link *l);
uint64_t house_count(const struct house *h, enum count_id id);

/* Client: a link that is open when it returns, a circuit that is made, extended to the peer as next
 * hop, or closed. */
struct peer_link *house_link(struct house *h);
struct peer_circ *house_create(struct house *h, struct peer_link *l);
void house_extend(struct house *h, struct peer_circ *c);
/* A circuit that is there; one with a stream on which DEST_SOURCE sends. */
struct peer_circ *house_made(struct house *h, struct peer_link *l);
struct peer_circ *house_loading(struct house *h, struct peer_link *l);
void house_say(struct house *h, struct peer_circ *c, uint8_t command, uint16_t stream,
	       const void *body, uint16_t len, bool early);
/* Says the SENDMEs that a circuit holds back. */
void house_acknowledge(struct house *h, struct peer_circ *c);
/* How messages of the last hop stand in this circuit's cells; the longest body of DATA. */
static inline enum relay_format house_format(const struct peer_circ *c)
{
	return c->cgo && c->n_layers == 1 ? RELAY_V1 : RELAY_V0;
}
static inline uint16_t house_most(const struct peer_circ *c)
{
	return relay_body_max(house_format(c), RELAY_DATA);
}
void house_begin(struct house *h, struct peer_circ *c, uint16_t stream);
/* Sends DATA cells until n bytes went out and the same came back, within the windows. */
bool house_echo(struct house *h, struct peer_circ *c, uint64_t bytes, unsigned limit_ms);
/* Abuse, and an honest circuit beside it whose stream 7 echoes: a round of echo after each call of
 * flood, and as many without it before. What was seen is printed. It must keep nine tenths of its
 * rate, and all workers together must hold at most bound bytes. On a wire without delay. */
#define HOUSE_ROUNDS 200
void house_abuse(struct house *h, const char *what, struct peer_circ *other, uint64_t bound,
		 void (*flood)(void *arg), void *arg);
void house_cell(struct house *h, struct peer_link *l, uint32_t id, uint8_t command,
		const uint8_t *payload, size_t len);
void house_destroy(struct house *h, struct peer_circ *c);
/* What is said on a link in between leaves in one record. */
void house_gather(struct peer_link *l);
void house_send(struct house *h, struct peer_link *l);
/* Sends a message down to a worker as control. */
void house_down(struct house *h, unsigned worker, enum ctl_type type, wid id, uint32_t arg,
		const void *body, size_t body_len, const void *tail, size_t tail_len);
/* Control now answers what was held, and holds no more. */
void house_release(struct house *h);
void house_param(struct house *h, enum ctl_param_id id, int64_t value);

/* ---- between house.c, house_control.c and house_peer.c ---- */
#define HELLO_LEN 37 /* one record each way stands for the TLS handshake */
#define RELAY_IP  0x0a000001
#define PEER_IP	  0x0a000002
#define OR_PORT	  9001
#define HOP_PORT  9002
enum { PEER_LINK, PEER_DEST }; /* kinds of the peer's conns; PEER_DEST + house_dest */

void house_must(bool ok, const char *what);
struct addr house_address(uint32_t ip, uint16_t port);
uint64_t house_fold(uint64_t h, const void *p, size_t len);
void house_secrets(uint8_t *in, uint8_t *out, bool dialled);
void house_hello(uint8_t p[HELLO_LEN]);
void house_control_turn(struct house *h);
/* One message up: remembered, and answered or kept. */
void house_hears(struct house *h, const uint8_t *msg, size_t len);
void house_peer_turn(struct house *h);
struct peer_link *house_link_new(struct house *h, uint32_t conn, bool dialled);

#endif
