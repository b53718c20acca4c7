/* internal.h - a circuit that begins here, as the files of this room share it. */
#ifndef RAMSON_ORIGIN_INTERNAL_H
#define RAMSON_ORIGIN_INTERNAL_H

#include "controlplane/config/config.h"
#include "controlplane/handshake/handshake.h"
#include "controlplane/keys/keys.h"
#include "controlplane/origin/origin.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/wire/cell.h"
#include "dataplane/wire/relay_msg.h"

#define ORIGIN_CIRCS   96
#define ORIGIN_FETCHES 64 /* of them; the rest is for tests */
#define HOPS_MAX       3
#define CIRC_WINDOW    1000
#define CIRC_STEP      100
#define STREAM_WINDOW  500
#define STREAM_STEP    50
#define TAGS_MAX       (CIRC_WINDOW / CIRC_STEP)

enum circ_kind { CIRC_FETCH, CIRC_TEST };
enum circ_state {
	CIRC_LINKING,  /* waits for the conn */
	CIRC_BUILDING, /* CREATE or EXTEND2 is under way */
	CIRC_OPEN,
	CIRC_DEAD, /* to be delivered and freed by the sweep */
};

/* A fetch: the stream on its circuit. */
struct fetch {
	dir_fetched done;
	void *arg;
	size_t max_len;
	uint8_t *request;
	size_t request_len, request_at;
	uint8_t *raw; /* the answer, head and all */
	size_t raw_len, raw_cap;
	uint16_t stream_id;
	bool connected, ended;
	int package_window, deliver_count; /* of the stream */
	unsigned until_short; /* DATA cells before one that leaves room for random bytes */
	int status;	      /* outcome when it is dead */
};

struct circuit {
	struct tor1_layer layers[HOPS_MAX];
	struct origin *o;
	enum circ_kind kind;
	enum circ_state state;
	uint64_t cookie;
	wid conn, circ;
	struct dir_target path[HOPS_MAX];
	unsigned n_path, n_open; /* hops wanted, hops built */
	struct handshake_client shake;
	uint64_t born_us, moved_us;
	int package_window, deliver_count; /* of the circuit; its last hop */
	uint8_t tags[TAGS_MAX][20];	   /* that SENDMEs must bring, oldest first */
	unsigned n_tags;
	int family;	 /* CIRC_TEST */
	unsigned n_drop; /* DROP cells still to send */
	bool spent;	 /* all DROP cells are sent */
	struct fetch fetch;
};

struct link_wait { /* outlives the circuit and, orphaned, the room */
	struct origin *o;
	uint64_t cookie;
	struct link_wait *next, **at;
};

struct origin {
	const struct config *config;
	struct keys *keys;
	struct dir *dir;
	struct origin_ops ops;
	struct rng rng;
	struct cipher cipher;
	uint64_t now_us, next_cookie;
	uint64_t tested_us; /* circuits for the bandwidth test were started; 0: never */
	struct circuit *circs[ORIGIN_CIRCS];
	struct link_wait *waits;
	unsigned n_fetches;
	uint64_t n_opened, n_failed, n_cells_bad;
};

/* ---- circuit.c ---- */
/* A circuit along the path, on its way; NULL when there is no room. */
struct circuit *circuit_new(struct origin *o, enum circ_kind kind, const struct dir_target *path,
			    unsigned n_path);
void circuit_free(struct circuit *c);
/* Asks for the link: from there on it goes by itself. */
void circuit_start(struct circuit *c);
/* Marks it dead and tells the dataplane. status: for a fetch. */
void circuit_kill(struct circuit *c, int status);
/* Seals and sends one relay message to the last hop that is built. 0 or ERR_FULL (it is dead then).
 */
int circuit_send(struct circuit *c, uint8_t cell_command, uint8_t command, uint16_t stream_id,
		 const void *body, size_t len, uint8_t tag[SHA1_LEN]);
void circuit_linked(struct circuit *c, wid conn);
void circuit_cell(struct circuit *c, uint8_t cell_command, const uint8_t *payload);

/* ---- stream.c ---- */
void fetch_begin(struct circuit *c);
void fetch_message(struct circuit *c, const struct relay_msg *m, const uint8_t tag[SHA1_LEN]);
/* Sends as much of the request as the windows allow. */
void fetch_pump(struct circuit *c);
/* Hands over the outcome and frees what the fetch held. */
void fetch_deliver(struct circuit *c);

/* ---- selftest.c ---- */
void test_tick(struct circuit *c);

#endif
