/* internal.h - the room's own state: what dir.h keeps behind struct dir. */
#ifndef RAMSON_DIR_INTERNAL_H
#define RAMSON_DIR_INTERNAL_H

#include <pthread.h>

#include "controlplane/config/config.h"
#include "controlplane/dir/docs.h"

/* ---- bandwidth history (bwhist.c; S1, S2) ---- */
#define BWHIST_INTERVAL 86400
#define BWHIST_TOTALS	5
#define BWHIST_ROLL	10 /* seconds over which a peak is taken */
struct bwhist {
	int64_t now, ends; /* second of the newest bin, end of this interval */
	uint64_t bins[BWHIST_ROLL];
	uint64_t total, peak; /* of this interval; peak: bytes in BWHIST_ROLL seconds */
	uint64_t totals[BWHIST_TOTALS], peaks[BWHIST_TOTALS]; /* oldest first */
	unsigned n;
};
void bwhist_init(struct bwhist *b, int64_t now);
void bwhist_add(struct bwhist *b, int64_t now, uint64_t bytes);
/* Highest bytes/s over BWHIST_ROLL seconds that is remembered; this interval counts when it has
 * been watched for longer than min_s. */
uint64_t bwhist_best(const struct bwhist *b, int64_t min_s);
/* "write-history 2026-... (86400 s) 1024,2048\n", or nothing before an interval is complete. Values
 * are cut to whole KiB and to rate (bytes/s, 0: none) times the interval. */
void bwhist_line(struct text *t, const char *keyword, const struct bwhist *b, uint64_t rate);
/* To and from lines of DataDirectory/state: "BWHistory" kind "Ends" and so on. */
void bwhist_save(const struct bwhist *b, const char *data_dir, const char *kind);
void bwhist_load(struct bwhist *b, const char *data_dir, const char *kind, int64_t now);

/* ---- padding and overload (stats.c; S10, S11, P9) ---- */
struct stats {
	struct dir_events last;
	/* padding: this interval, and the last one as it is told */
	uint64_t padding[N_DIR_PADDING], published[N_DIR_PADDING];
	uint64_t max_timers, published_timers;
	int64_t padding_ends, padding_at; /* padding_at 0: nothing to tell */
	/* overload: hours in which there was some, 0: none */
	int64_t general_hour, limits_hour, conns_hour;
	uint64_t n_read, n_written; /* minutes that a limit held us back */
	int64_t read_at, written_at;
	uint64_t skins, skins_dropped; /* of this period */
	int64_t assess_at;
};
struct stats_rules {
	bool padding;
	int64_t skin_scale, skin_period_s; /* overload_onionskin_ntor_*: thousandths of a percent */
};
void stats_add(struct stats *s, const struct dir_events *e, const struct stats_rules *r,
	       int64_t now);
/* padding-counts, overload-ratelimits, overload-fd-exhausted, each where there is something to say.
 */
void stats_lines(struct text *t, const struct stats *s, const struct config *c, int64_t now);
/* For overload-general; 0: none in the last 72 hours. */
int64_t stats_overload_hour(const struct stats *s, int64_t now);

/* ---- our own documents (descriptor.c, extrainfo.c) ---- */
struct own_document { /* what both say */
	int64_t published;
	bool with_or6;
	uint32_t rate, burst, observed;
	int64_t uptime;
	bool hibernating, tunnelled_dir, extra_stats;
	int64_t overload_hour; /* 0: none */
	const char *policy, *policy6;
};
/* Build and sign. 0, or ERR_CRYPTO, ERR_FULL; the text is the caller's to free. */
int extrainfo_build(const struct dir *d, const struct own_document *o, struct text *t,
		    uint8_t sha1[20], uint8_t sha256[32]);
int descriptor_build(const struct dir *d, const struct own_document *o,
		     const uint8_t extra_sha1[20], const uint8_t extra_sha256[32], struct text *t);
/* Adds router-sig-ed25519 and router-signature over what is in t; sha1: of the signed part. */
int own_sign(const struct dir *d, struct text *t, uint8_t sha1[20]);
/* identity-ed25519 (with its certificate). */
void own_identity(const struct dir *d, struct text *t);

/* ---- fetching (fetch.c) ---- */
struct retry {
	int64_t next_at;
	unsigned n_tries;
	bool busy;
};
struct fetcher {
	struct retry consensus[N_FLAVOURS], certs;
	int64_t docs_at[N_FLAVOURS]; /* last time that documents were asked for */
	unsigned n_doc_asks[N_FLAVOURS];
	unsigned turn;	  /* which authority is next */
	struct ask *asks; /* under way */
	uint64_t n_fetches, n_failures;
};
void fetch_tick(struct dir *d, int64_t now);
void fetch_fini(struct dir *d);
/* When to try again after n failures: growing, with jitter. */
int64_t retry_delay(struct dir *d, unsigned n_tries, int64_t first, int64_t most);
/* Believes and installs a consensus (which it takes over), or keeps it while a certificate is
 * missing. 0, ERR_NOT_NOW: kept for later or not newer; ERR_CRYPTO, ERR_MALFORMED: refused. */
int consensus_accept(struct dir *d, struct consensus *c, int64_t now);
/* A certificate is new: tries the kept ones again. */
void consensus_recheck(struct dir *d, int64_t now);
/* Files documents out of a text; digests (sorted, n of them) are what may be taken, NULL: what the
 * consensuses list or nothing does (from disk). How many were new. */
unsigned docs_accept(struct dir *d, enum flavour f, struct bytes text, const uint8_t *digests,
		     unsigned n, int64_t now);
/* The index is read anew, changed() is told. */
void nodes_changed(struct dir *d);

/* ---- publishing (publish.c) ---- */
struct publisher {
	bool dirty;
	char reason[48];
	struct text descriptor, extrainfo;
	uint8_t digest[20];
	int64_t made_at, published, looked_at;
	uint32_t observed; /* as the descriptor says */
	int64_t bandwidth_changed_at;
	struct upload {
		struct retry retry;
		bool accepted, refused;
		int64_t accepted_at;
	} to[CONFIG_DIR_AUTHS];
	unsigned generation; /* of the descriptor: an answer to an older one says nothing */
	bool with_or6;
	int64_t self_missing_at;
	const char *why_not;
};
void publish_tick(struct dir *d, int64_t now);
void publish_dirty(struct dir *d, const char *reason);
void publish_fini(struct dir *d);
bool is_reachable(const struct dir *d, int family);
const struct config_or_port *advertised(const struct config *c, int family);

/* ---- caches on disk (cache.c) ---- */
void cache_load(struct dir *d, int64_t now);
void cache_tick(struct dir *d, int64_t now, bool at_once);
void cache_write_consensus(const struct dir *d, const struct consensus *c);

/* ---- a thread that packs a consensus once in each encoding (pack.c) ---- */
struct packing {
	pthread_t thread;
	bool running;
	int done; /* atomic */
	enum flavour flavour;
	struct blob *text, *out[N_ENCODINGS];
};
void packing_tick(struct dir *d);
void packing_fini(struct dir *d);

/* ---- everything ---- */
struct dir {
	const struct config *config;
	struct keys *keys;
	dir_fetch fetch;
	void *fetch_ctx;
	void (*changed)(void *ctx);
	void *changed_ctx;
	struct rng rng;
	struct hash_key key;
	int64_t started, now;

	struct auth_certs certs;
	struct consensus *current[N_FLAVOURS], *pending[N_FLAVOURS];
	struct store docs[N_FLAVOURS]; /* descriptors for ns, microdescriptors */
	struct nodes nodes;
	unsigned n_mds;
	int32_t params[N_DIR_PARAMS];
	bool nodes_dirty;
	char missing_protocol[64]; /* required of relays and not ours; "": none */

	struct fetcher fetcher;
	struct publisher pub;
	struct packing packing;
	int64_t cache_at, state_at;

	struct bwhist read, written, dir_read, dir_written;
	int64_t bandwidth_test_at;
	char *policy, *policy6;
	struct addr reached[2]; /* the published IPv4 and IPv6 address that was proven reachable */
	bool hibernating;
	struct stats stats;

	unsigned n_answers; /* alive */
	uint64_t n_requests, n_bytes_served;
};

#endif
