/* dir.h - directory documents: the descriptor we publish, the consensus, certificates,
 * microdescriptors and descriptors we fetch, check, keep and serve, and what follows from them: the
 * list of relays and the network's parameters. Stands low: it asks for fetches through a function
 * given at start, and knows neither door nor link nor origin. One thread; time is an argument. */
#ifndef RAMSON_DIR_H
#define RAMSON_DIR_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"

struct config;
struct keys;
struct dir;

/* ---- fetches ---- */
/* Where a request goes: a relay or authority, by its RSA identity and OR addresses. */
struct dir_target {
	uint8_t rsa_id[20];
	uint8_t ed_id[32];    /* zero: not known */
	uint8_t ntor_key[32]; /* zero: not known; the circuit is then a CREATE_FAST one */
	struct addr or4, or6; /* family 0: none */
};
/* The outcome, exactly once for each accepted fetch and never from inside the call that started it.
 * status: of HTTP (200, 304, 404, ...), or a negative ERR_* when no answer came (ERR_SYSTEM: no
 * connection or time-out; ERR_MALFORMED: not HTTP, or does not decompress; ERR_FULL: longer than
 * allowed). body is decompressed, borrowed for the call, NULL when status is negative. */
typedef void (*dir_fetched)(void *arg, int status, const uint8_t *body, size_t len);
/* Starts a fetch over one BEGIN_DIR stream: sends request (a whole HTTP/1.0 request, copied) and
 * hands at most max_len bytes of body, after decompression, to done. 0, or ERR_*: done then is not
 * called. */
typedef int (*dir_fetch)(void *ctx, const struct dir_target *to, const uint8_t *request, size_t len,
			 size_t max_len, dir_fetched done, void *arg);

/* ---- life ---- */
struct dir_setup {
	const struct config *config; /* borrowed until dir_free or dir_reconfigure */
	struct keys *keys;	     /* borrowed */
	dir_fetch fetch;
	void *fetch_ctx;
	/* Called from dir_tick or from a fetch's outcome when the consensus has changed: nodes and
	 * parameters are new, older struct dir_node pointers are invalid. May be NULL. */
	void (*changed)(void *ctx);
	void *changed_ctx;
	uint8_t seed[32]; /* for choices that need not be secret, and table keys */
	int64_t since;	  /* the relay's uptime counts from here; 0: from now */
};
/* Loads the caches of CacheDirectory. NULL when memory is short. now: seconds of UTC, here and in
 * everything below. */
struct dir *dir_new(const struct dir_setup *s, int64_t now);
/* Writes what is not on disk yet. Outcomes of fetches must not arrive any more. */
void dir_free(struct dir *d);
/* After SIGHUP. A changed descriptor is published. */
void dir_reconfigure(struct dir *d, const struct config *config, int64_t now);
/* Call it once a second: fetches, publishes, writes caches. */
void dir_tick(struct dir *d, int64_t now);

/* ---- the list of relays, from the microdescriptor consensus and its microdescriptors ---- */
enum dir_flag {
	DIR_AUTHORITY = 1 << 0,
	DIR_BAD_EXIT = 1 << 1,
	DIR_EXIT = 1 << 2,
	DIR_FAST = 1 << 3,
	DIR_GUARD = 1 << 4,
	DIR_HSDIR = 1 << 5,
	DIR_RUNNING = 1 << 6,
	DIR_STABLE = 1 << 7,
	DIR_STALE_DESC = 1 << 8,
	DIR_V2DIR = 1 << 9,
	DIR_VALID = 1 << 10,
	DIR_NO_ED = 1 << 11,
	DIR_SYBIL = 1 << 12,
	DIR_MIDDLE_ONLY = 1 << 13,
};
struct dir_node {
	uint8_t rsa_id[20];
	uint8_t ed_id[32];    /* zero until its microdescriptor is here */
	uint8_t ntor_key[32]; /* likewise */
	uint8_t md_digest[32];
	bool has_md;
	uint16_t flags;	    /* enum dir_flag */
	uint32_t bandwidth; /* consensus weight, KB/s */
	struct addr or4, or6;
	char nickname[20];
	char version[24]; /* of tor, "0.4.9.11"; empty: no v line */
};
/* NULL: not listed. The pointer holds until the next consensus (dir_setup.changed). */
const struct dir_node *dir_node_by_rsa(const struct dir *d, const uint8_t rsa_id[20]);
const struct dir_node *dir_node_by_ed(const struct dir *d, const uint8_t ed_id[32]);
/* By ORPort, IPv4 or IPv6. */
const struct dir_node *dir_node_by_addr(const struct dir *d, const struct addr *at);
/* Does a listed relay or an authority have an ORPort at this address and port (exit: re-entry), or
 * at this address with any port (any_port)? */
bool dir_is_relay_addr(const struct dir *d, const struct addr *at, bool any_port);
unsigned dir_n_nodes(const struct dir *d);
const struct dir_node *dir_node_at(const struct dir *d, unsigned i);
/* Fills in where to reach a node. */
void dir_target_of(struct dir_target *t, const struct dir_node *n);
/* Is rsa_id one of the configured authorities? */
bool dir_is_authority(const struct dir *d, const uint8_t rsa_id[20]);

/* ---- consensus parameters (interop section 3; the table is params.def) ---- */
enum dir_param_id {
#define PARAM(id, ...) DIR_PARAM_##id,
#include "controlplane/dir/params.def"
#undef PARAM
	N_DIR_PARAMS
};
struct dir_param_row {
	const char *name; /* as in the consensus */
	int32_t dflt, min, max;
	int ctl; /* enum ctl_param_id, or -1: control's own */
};
/* NULL behind the last. */
const struct dir_param_row *dir_param_row_at(enum dir_param_id id);
/* The value in force: of the torrc, taken as it is; else of the consensus, clamped; else the
 * default. */
int64_t dir_param(const struct dir *d, enum dir_param_id id);
/* Calls set for each parameter that goes to the dataplane: at every attach, after each new
 * consensus and after SIGHUP. */
void dir_params_push(const struct dir *d, void (*set)(void *ctx, int ctl_param, int64_t value),
		     void *ctx);

/* ---- what we publish ---- */
/* The exit policy as it stands in the descriptor: accept/reject lines, each with its newline, and
 * the summary behind "ipv6-policy " ("accept 80,443"; NULL or "reject 1-65535": none). Copied; a
 * change is published. Without a call it is "reject *:*". */
void dir_set_policy(struct dir *d, const char *lines, const char *ipv6_summary);
/* Onion keys, signing key or certificates have changed. */
void dir_keys_changed(struct dir *d);
/* A published address of the family (4 or 6) was proven reachable (T1). */
void dir_set_reachable(struct dir *d, int family);
/* True while the family is advertised, not proven and nothing waives the proof: test it. */
bool dir_wants_selftest(const struct dir *d, int family);
/* True when the measured capacity is small enough to be seeded by a self-test (T3): once at first,
 * then every 12 h. Tell when one was done. */
bool dir_wants_bandwidth_test(const struct dir *d, int64_t now);
void dir_bandwidth_test_done(struct dir *d, int64_t now);
/* Sums so far of what is published of padding and overload (S10, S11, P9), once a second. */
#define DIR_PADDING(X) /* as padding-counts has them, in its order */                              \
	X(DIR_WRITE_DROP, "write-drop")                                                            \
	X(DIR_WRITE_PAD, "write-pad")                                                              \
	X(DIR_WRITE_TOTAL, "write-total")                                                          \
	X(DIR_READ_DROP, "read-drop")                                                              \
	X(DIR_READ_PAD, "read-pad")                                                                \
	X(DIR_READ_TOTAL, "read-total")                                                            \
	X(DIR_ENABLED_READ_PAD, "enabled-read-pad")                                                \
	X(DIR_ENABLED_READ_TOTAL, "enabled-read-total")                                            \
	X(DIR_ENABLED_WRITE_PAD, "enabled-write-pad")                                              \
	X(DIR_ENABLED_WRITE_TOTAL, "enabled-write-total")
enum dir_padding {
#define X(id, name) id,
	DIR_PADDING(X) N_DIR_PADDING
#undef X
};
struct dir_events {
	uint64_t padding[N_DIR_PADDING];      /* cells */
	uint64_t pad_timers;		      /* now: links whose padding is timed */
	uint64_t read_limited, write_limited; /* times that BandwidthRate held us back */
	uint64_t memory, no_port, no_conn;    /* times that memory, source ports, conns ran out */
	uint64_t skins, skins_dropped;	      /* ntor handshakes of relays: asked, and let fall */
};
void dir_count_events(struct dir *d, int64_t now, const struct dir_events *e);
void dir_set_hibernating(struct dir *d, bool hibernating);
/* Bytes that links and exits have moved since the last call, from the figures of the dataplane;
 * once a second. They become the observed bandwidth and the histories (S1, S2). */
void dir_count_bytes(struct dir *d, int64_t now, uint64_t n_read, uint64_t n_written);
/* Our current descriptor and extra-info as text, NULL before there is one. Borrowed until the next
 * dir_tick. */
const char *dir_own_descriptor(const struct dir *d, size_t *len);
const char *dir_own_extrainfo(const struct dir *d, size_t *len);

/* ---- serving (D12, D15, D16, D19, D20) ---- */
#define DIR_REQUEST_MAX 65536 /* most bytes of request that a caller has to keep */
struct dir_answer;
enum dir_served { DIR_SERVE_MORE, DIR_SERVE_ANSWER };
/* Looks at what has come of a request over a directory stream. DIR_SERVE_MORE: call again when
 * there is more; DIR_SERVE_ANSWER: *a is the answer, to be read with dir_answer_read and freed, and
 * the stream ends behind it; ERR_MALFORMED: close without an answer; ERR_FULL: likewise.
 * peer: the address of the previous hop's link, for X-Your-Address-Is. */
int dir_serve(struct dir *d, const uint8_t *request, size_t len, const struct addr *peer,
	      int64_t now, struct dir_answer **a);
/* The next bytes, at most cap; 0 at the end. Compresses as it goes. */
size_t dir_answer_read(struct dir_answer *a, uint8_t *to, size_t cap);
/* What compression holds at the moment, for MaxMemInQueues: answers under way, which take no more
 * than a tenth of it, a new consensus that is packed for all, and what is being unpacked. */
size_t dir_memory(const struct dir *d);
/* Before dir_free. */
void dir_answer_free(struct dir_answer *a);
/* The same in one piece: > 0: that many bytes at *whole, for free(); 0: more is needed; negative:
 * close. */
long dir_serve_whole(struct dir *d, const uint8_t *request, size_t len, const struct addr *peer,
		     int64_t now, uint8_t **whole);

/* ---- decompression of what was fetched (D22), for origin ---- */
/* Takes a whole HTTP/1.0 answer: the body, decompressed by its Content-Encoding, goes to *body
 * (malloc, NUL behind it; give it to free), at most max_len bytes; when there is none and the
 * status is not 200, the reason phrase instead. The status, or ERR_MALFORMED, ERR_FULL. */
int dir_http_answer(const uint8_t *p, size_t len, size_t max_len, uint8_t **body, size_t *body_len);

/* ---- for `ramson status` ---- */
struct dir_status {
	bool has_consensus; /* live or reasonably live */
	int64_t valid_after, fresh_until, valid_until;
	unsigned n_nodes, n_mds, n_descriptors;
	bool is_listed;	    /* we are in the consensus */
	uint16_t flags;	    /* ours in it */
	uint32_t bandwidth; /* our weight in it */
	bool reachable4, reachable6;
	int64_t published;	       /* when an authority last took our descriptor; 0: never */
	unsigned n_accepted;	       /* authorities that hold the current one */
	uint64_t observed;	       /* bytes/s */
	const char *why_not_published; /* NULL: nothing is in the way */
	uint64_t n_requests, n_bytes_served, n_fetches, n_fetch_failures;
};
void dir_status(const struct dir *d, int64_t now, struct dir_status *s);
/* "Exit Fast Guard ..." */
const char *dir_flags_text(uint16_t flags, char buf[160]);

#endif
