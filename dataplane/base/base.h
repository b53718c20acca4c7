/* base.h - what every room stands on: ids, bounded readers and writers, slots, maps, the timer
 * wheel, counters, rings, wiping and log lines. Nothing here knows Tor, TCP or TLS. */
#ifndef RAMSON_BASE_H
#define RAMSON_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CACHE_LINE   64
#define LIKELY(x)    __builtin_expect(!!(x), 1)
#define UNLIKELY(x)  __builtin_expect(!!(x), 0)
/* A function that is made for each width of register, and chosen as the program starts. */
#define FOR_EACH_WIDTH __attribute__((target_clones("avx512f", "avx2", "default")))
#define MIN(a, b)      ((a) < (b) ? (a) : (b))
#define MAX(a, b)      ((a) > (b) ? (a) : (b))

/* ---- errors: every room returns 0 or one of these, negative ---- */
enum {
	ERR_FULL = -1,	    /* no room, no slot, no memory: refuse and count */
	ERR_MALFORMED = -2, /* the bytes do not parse */
	ERR_UNKNOWN = -3,   /* no such id, or of an older generation */
	ERR_NOT_NOW = -4,   /* not in this state */
	ERR_CRYPTO = -5,    /* a tag, signature or key does not hold */
	ERR_SYSTEM = -6,    /* the operating system refused: errno says why */
	ERR_CONFIG = -7,    /* a setting is wrong: the message says which */
};

/* ---- ids: worker 8 | index 24 | generation 32. On the wall and in the mesh only; inside a
 * worker the bare index is used. Generation 0 is never given out, so 0 is no id. ---- */
typedef uint64_t wid;
#define WID_NONE  ((wid)0)
#define SLOT_NONE UINT32_MAX

static inline wid wid_make(unsigned worker, uint32_t index, uint32_t gen)
{
	return (wid)(worker & 0xff) << 56 | (wid)(index & 0xffffff) << 32 | gen;
}
static inline unsigned wid_worker(wid id)
{
	return id >> 56;
}
static inline uint32_t wid_index(wid id)
{
	return id >> 32 & 0xffffff;
}

/* Slots give out indices 0..n-1 with generations. A freed index rests until SLOTS_REST others are
 * free too, and is used again then, first in, first out: columns are touched only as far as they
 * were once needed, and untouched memory costs nothing. */
#define SLOTS_REST 1024
struct slots {
	uint32_t n, n_used;
	uint32_t n_touched; /* were ever in use: the first ones */
	uint32_t free_head, free_tail;
	unsigned worker;
	uint32_t *gen;	 /* the first; odd: in use, even: free */
	uint32_t stride; /* from one to the next, in words */
	uint32_t *next;	 /* free list */
};
/* 0, or ERR_FULL when memory is short. n at most 2^24. */
int slots_init(struct slots *s, unsigned worker, uint32_t n);
/* The same where generations stand in the rows of a column, so that a look at a row is one line.
 * gen: the first row's, 0 as memory begins; row_len a multiple of 4. The column is the caller's and
 * outlives the slots, and whoever writes a row leaves its generation alone. */
int slots_init_in(struct slots *s, unsigned worker, uint32_t n, uint32_t *gen, size_t row_len);
void slots_fini(struct slots *s);
/* An index, or SLOT_NONE when all are in use. */
uint32_t slots_take(struct slots *s);
void slots_give(struct slots *s, uint32_t index);
static inline bool slots_full(const struct slots *s)
{
	return s->n_used == s->n;
}
static inline uint32_t *slots_gen(const struct slots *s, uint32_t index)
{
	return &s->gen[(size_t)index * s->stride];
}
static inline bool slots_live(const struct slots *s, uint32_t index)
{
	return index < s->n && (*slots_gen(s, index) & 1);
}
static inline wid slots_id(const struct slots *s, uint32_t index)
{
	return wid_make(s->worker, index, *slots_gen(s, index));
}
/* The index behind an id that came over the wall or the mesh; SLOT_NONE when it is of another
 * worker, free, or of another generation. */
static inline uint32_t slots_check(const struct slots *s, wid id)
{
	uint32_t index = wid_index(id);

	if (wid_worker(id) != s->worker || !slots_live(s, index) ||
	    *slots_gen(s, index) != (uint32_t)id)
		return SLOT_NONE;
	return index;
}

/* ---- columns: zeroed anonymous memory, 2 MiB pages where the kernel has them ---- */
/* NULL when memory is short. */
void *column_new(size_t n, size_t size);
void column_free(void *column, size_t n, size_t size);

/* ---- wire order ---- */
static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t be32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}
static inline uint64_t be64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}
static inline void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = (uint8_t)v;
}
static inline void be32_put(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}
static inline void be64_put(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

/* ---- bytes: a borrowed run of memory ---- */
struct bytes {
	const uint8_t *p;
	size_t len;
};

/* A bounded reader. Reading past the end returns zeroes and sets bad for good: parse the whole
 * message, look at bad once, then use the values. */
struct reader {
	const uint8_t *p, *end;
	bool bad;
};
static inline struct reader reader_of(const void *p, size_t len)
{
	const uint8_t *b = p;

	return (struct reader) {b, b + len, false};
}
static inline size_t rd_left(const struct reader *r)
{
	return (size_t)(r->end - r->p);
}
/* len bytes in place, or NULL (and bad). */
static inline const uint8_t *rd_bytes(struct reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (UNLIKELY(r->bad || rd_left(r) < len)) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	return p;
}
static inline uint8_t rd_u8(struct reader *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p ? *p : 0;
}
static inline uint16_t rd_u16(struct reader *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p ? be16_get(p) : 0;
}
static inline uint32_t rd_u32(struct reader *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	return p ? be32_get(p) : 0;
}
static inline uint64_t rd_u64(struct reader *r)
{
	const uint8_t *p = rd_bytes(r, 8);

	return p ? be64_get(p) : 0;
}
/* Copies len bytes out; zeroes on bad. */
static inline void rd_copy(struct reader *r, void *to, size_t len)
{
	const uint8_t *p = rd_bytes(r, len);

	if (p)
		memcpy(to, p, len);
	else
		memset(to, 0, len);
}
/* A reader over the next len bytes, which are taken from r; it is bad when r is. */
static inline struct reader rd_sub(struct reader *r, size_t len)
{
	const uint8_t *p = rd_bytes(r, len);
	struct reader s = {p, p ? p + len : p, p == NULL};

	return s;
}

/* A bounded writer; writing past the end writes nothing and sets bad for good. */
struct writer {
	uint8_t *start, *p, *end;
	bool bad;
};
static inline struct writer writer_of(void *p, size_t cap)
{
	uint8_t *b = p;

	return (struct writer) {b, b, b + cap, false};
}
static inline size_t wr_len(const struct writer *w)
{
	return (size_t)(w->p - w->start);
}
/* len bytes to fill in place, or NULL (and bad). */
static inline uint8_t *wr_space(struct writer *w, size_t len)
{
	uint8_t *p = w->p;

	if (UNLIKELY(w->bad || (size_t)(w->end - w->p) < len)) {
		w->bad = true;
		return NULL;
	}
	w->p += len;
	return p;
}
static inline void wr_bytes(struct writer *w, const void *from, size_t len)
{
	uint8_t *p = wr_space(w, len);

	if (p && len)
		memcpy(p, from, len);
}
static inline void wr_u8(struct writer *w, uint8_t v)
{
	wr_bytes(w, &v, 1);
}
static inline void wr_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = wr_space(w, 2);

	if (p)
		be16_put(p, v);
}
static inline void wr_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = wr_space(w, 4);

	if (p)
		be32_put(p, v);
}
static inline void wr_u64(struct writer *w, uint64_t v)
{
	uint8_t *p = wr_space(w, 8);

	if (p)
		be64_put(p, v);
}

/* ---- addresses: an IP address and a TCP port, host order port; family 0 is none ---- */
struct addr {
	uint8_t family; /* 4, 6 or 0 */
	uint8_t _pad;
	uint16_t port;
	uint8_t ip[16]; /* 4 or 16 bytes are used, the rest is zero */
};
static inline size_t addr_ip_len(const struct addr *a)
{
	return a->family == 4 ? 4 : a->family == 6 ? 16 : 0;
}
static inline bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->ip, sizeof(x));
	memcpy(y, b->ip, sizeof(y));
	return a->family == b->family && !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}
static inline bool addr_same(const struct addr *a, const struct addr *b)
{
	return addr_same_ip(a, b) && a->port == b->port;
}
/* "1.2.3.4", "[::1]" or "::1", each with an optional ":port" (brackets needed then for v6).
 * 0 or ERR_MALFORMED; *a is written only on success. */
int addr_parse(struct addr *a, const char *text);
/* Writes "1.2.3.4:80" or "[::1]:80" (no port when it is 0) and returns buf. */
#define ADDR_TEXT 56
const char *addr_text(const struct addr *a, char buf[ADDR_TEXT]);
/* True for addresses that never leave an exit, that a relay never extends to and whose bytes no
 * bucket counts: "this" net, loopback, link-local, private use, unspecified, and for IPv6 also
 * unique-local and site-local; an IPv4 address mapped into IPv6 is judged as itself. */
bool addr_is_private(const struct addr *a);

/* The network that is taken for one party: an IPv4 address, the /64 of an IPv6 one; port 0. */
static inline struct addr addr_party(const struct addr *a)
{
	struct addr p = *a;

	p.port = 0;
	if (p.family == 6)
		memset(p.ip + 8, 0, 8);
	return p;
}

/* ---- secrets ---- */
void wipe(void *p, size_t len);
/* Constant time; true when equal. */
bool same_bytes(const void *a, const void *b, size_t len);

/* ---- keyed hash (SipHash-1-3): for every table that strangers can fill ---- */
struct hash_key {
	uint64_t k[2];
};
uint64_t hash_bytes(const struct hash_key *key, const void *p, size_t len);
/* The same for one 64-bit word, cheaper. */
uint64_t hash_u64(const struct hash_key *key, uint64_t v);
/* The same for n words side by side. Both arrays have room for the next multiple of HASH_LANES:
 * what stands there is read and written. */
#define HASH_LANES 8
void hash_u64s(const struct hash_key *key, const uint64_t *v, unsigned n, uint64_t *hash);

/* map: 64-bit key to 32-bit value, open addressing, keyed. Key 0 is not allowed. It begins small
 * and doubles, up to what max entries need: a doubling moves all entries at once (50 ns each). */
struct map_entry {
	uint64_t key;
	uint32_t value;
	uint32_t _pad;
};
struct map {
	struct hash_key key;
	uint32_t mask, n, max;
	struct map_entry *entries;
};
/* Holds up to max entries, at most 2^29. 0 or ERR_FULL. */
int map_init(struct map *m, uint32_t max, struct hash_key key);
void map_fini(struct map *m);
/* 0, or ERR_FULL: max entries, or no memory for more; an existing key gets the new value. */
int map_put(struct map *m, uint64_t key, uint32_t value);
/* The value, or SLOT_NONE. */
uint32_t map_get(const struct map *m, uint64_t key);
/* For many look-ups side by side: hash first (arrays as for hash_u64s), which asks for the entries,
 * then get by that hash. */
void map_hash(const struct map *m, const uint64_t *keys, unsigned n, uint64_t *hash);
uint32_t map_get_hashed(const struct map *m, uint64_t key, uint64_t hash);
/* The value that was there, or SLOT_NONE. */
uint32_t map_del(struct map *m, uint64_t key);

/* ---- parties that are refused for a while, each for reasons of the caller: a keyed table of fixed
 * size, one look-up reads one bucket. In a full bucket the row that ends first makes room. ---- */
#define DENIED_WHYS 3
#define DENIED_WAYS 4 /* rows of a bucket */
struct denied_row {
	uint8_t ip[16];
	uint32_t until_s[DENIED_WHYS]; /* each 0 or the last second */
	uint8_t family;
	uint8_t _pad[3];
};
struct denied {
	struct hash_key key;
	uint32_t mask; /* buckets - 1 */
	struct denied_row (*buckets)[DENIED_WAYS];
};
/* Room for n rows, at least; a power of two. 0 or ERR_FULL. */
int denied_init(struct denied *d, uint32_t n, struct hash_key key);
void denied_fini(struct denied *d);
/* Refuses the party of a for this reason until that second; until_s 0: no more. 0, or ERR_FULL when
 * a row that had not ended made room. */
int denied_set(struct denied *d, const struct addr *a, unsigned why, uint32_t until_s,
	       uint32_t now_s);
/* The reasons that hold, as bits 1 << why. */
unsigned denied_whys(const struct denied *d, const struct addr *a, uint32_t now_s);

/* ---- random bytes from a seed (ChaCha20 in counter mode): no room reads the system's entropy;
 * the worker seeds one of these at boot, a test with its number. ---- */
struct rng {
	uint32_t key[8];
	uint64_t counter;
	uint32_t used;
	uint8_t block[64];
};
void rng_seed(struct rng *r, const uint8_t seed[32]);
void rng_bytes(struct rng *r, void *to, size_t len);
uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
/* Uniform in [0, n). */
uint32_t rng_below(struct rng *r, uint32_t n);

/* ---- timer wheel: at most one timer per object index, resolution 1 ms ---- */
struct wheel_entry {
	uint64_t due_ms; /* 0: not set */
	uint32_t next, prev;
};
struct wheel {
	uint64_t now_ms;
	uint32_t n;
	uint32_t *head; /* WHEEL_SLOTS lists */
	struct wheel_entry *entries;
};
#define WHEEL_SLOTS 8192
int wheel_init(struct wheel *w, uint32_t n, uint64_t now_us);
void wheel_fini(struct wheel *w);
/* Sets or moves the timer of index to fire at or after due_us (never before). */
void wheel_set(struct wheel *w, uint32_t index, uint64_t due_us);
void wheel_clear(struct wheel *w, uint32_t index);
static inline bool wheel_is_set(const struct wheel *w, uint32_t index)
{
	return w->entries[index].due_ms != 0;
}
/* Takes up to max indices due at now_us and unsets them; call again while it returns max. */
uint32_t wheel_due(struct wheel *w, uint64_t now_us, uint32_t *due, uint32_t max);

/* ---- counters: one array per worker, plain adds by its owner, read by others racily ---- */
enum count_id {
#define COUNT(room, name, what) COUNT_##room##_##name,
#include "dataplane/count.def"
#undef COUNT
	N_COUNTS
};
struct counts {
	uint64_t v[N_COUNTS];
};
/* "tcp_checksum_bad" and its sentence. */
const char *count_name(enum count_id id);
const char *count_what(enum count_id id);
#define count(c, name)	      ((void)((c)->v[COUNT_##name]++))
#define count_add(c, name, k) ((void)((c)->v[COUNT_##name] += (k)))

/* ---- rings of 64-byte slots in shared memory: one producer, one consumer ---- */
#define RING_SLOT      64
#define RING_MSG_SLOTS 300
#define RING_MSG_MAX   (RING_SLOT * RING_MSG_SLOTS)
struct ring_shared { /* in shared memory; each index is written by one side only */
	_Alignas(CACHE_LINE) uint32_t head;	/* producer: slots written so far */
	_Alignas(CACHE_LINE) uint32_t tail;	/* consumer: slots read so far */
	_Alignas(CACHE_LINE) uint32_t sleeping; /* consumer waits on its eventfd */
	_Alignas(CACHE_LINE) uint8_t slots[];
};
struct ring { /* one side's private view */
	struct ring_shared *shared;
	uint32_t n_slots; /* power of two */
	uint32_t head, tail;
};
/* Bytes of shared memory for a ring of n_slots. */
size_t ring_size(uint32_t n_slots);
void ring_attach(struct ring *r, struct ring_shared *shared, uint32_t n_slots);
/* Writes one message made of two runs (the second may be empty). The first 16 bytes of a message
 * are its header (struct ctl_head). 0, or ERR_FULL, or ERR_MALFORMED when longer than RING_MSG_MAX.
 */
int ring_send(struct ring *r, const void *a, size_t a_len, const void *b, size_t b_len);
/* Slots that a send could use now. */
uint32_t ring_space(struct ring *r);
/* Copies the next message out into buf (RING_MSG_MAX bytes), wipes its slots when told to, and
 * returns its length; 0 when there is none; ERR_MALFORMED when the other side's index or length is
 * out of bounds (the ring is then emptied). Fields are to be looked at only in buf. */
int ring_recv(struct ring *r, uint8_t *buf, bool wipe_slots);
/* Whether a message waits for us. */
static inline bool ring_waits(const struct ring *r)
{
	return __atomic_load_n(&r->shared->head, __ATOMIC_ACQUIRE) != r->tail;
}
static inline bool ring_consumer_sleeps(const struct ring *r)
{
	return __atomic_load_n(&r->shared->sleeping, __ATOMIC_SEQ_CST) != 0;
}

/* ---- log lines, in tor's format; never on the path of a cell ---- */
enum log_level { LOG_ERR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
#define LOG_LEVELS 5
/* Lines at or above level go to fd, prefixed by who ("dataplane"); may be called again. */
void log_open(int fd, enum log_level level, const char *who);
/* The same for a program whose parent writes the log: "<2>who: text", the number being the level.
 * The parent adds the time. What finds the pipe full is lost. */
void log_open_piped(int fd, enum log_level level, const char *who);
/* The same where lines are taken by a function: "who: text". */
void log_divert(void (*take)(enum log_level level, const char *text), enum log_level level,
		const char *who);
/* Another level, all else as before. */
void log_set_level(enum log_level level);
/* How a line begins: the time and the level, "Nov 27 20:00:00.123 [notice] "; its length. */
#define LOG_HEAD 48
size_t log_head(char head[LOG_HEAD], enum log_level level);
/* "notice" and so on, and back: -1 when it is none. */
const char *log_level_name(enum log_level level);
int log_level_of(const char *name, size_t len);
bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_err(...)	log_line(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_WARN, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_DEBUG, __VA_ARGS__)

#endif
