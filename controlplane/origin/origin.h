/* origin.h - circuits that begin here: one-hop directory circuits to fetch and upload documents,
 * and circuits through other relays to ourselves that prove our ORPort and seed the bandwidth
 * observation. Cells pass the wall one by one; client-side onion layers are done here. */
#ifndef RAMSON_ORIGIN_H
#define RAMSON_ORIGIN_H

#include "controlplane/dir/dir.h"
#include "dataplane/base/base.h"

struct config;
struct keys;
struct origin;

/* What origin needs from the rooms beside it; main fills it in. Each send returns 0 or ERR_FULL. */
struct origin_ops {
	/* A conn (ready for circuits) to the relay; done is called once, perhaps from inside:
	 * conn, or WID_NONE and an enum destroy_reason. */
	int (*get_link)(void *ctx, const struct dir_target *to,
			void (*done)(void *arg, wid conn, int why), void *arg);
	/* One message down, to the worker of id: type ORIGIN_OPEN, ORIGIN_SEND, CIRC_CLOSE. */
	int (*send)(void *ctx, uint16_t type, wid id, uint32_t arg, const void *body,
		    size_t body_len, const void *bytes, size_t len);
	/* Is there a link with that relay over which it would extend to us without proving that our
	 * ORPort of that family is reachable? retire: such links are to close once they are idle.
	 */
	bool (*in_the_way)(void *ctx, const uint8_t rsa_id[20], int family, bool retire);
	void *ctx;
};
struct origin_setup {
	const struct config *config; /* borrowed */
	struct keys *keys;	     /* borrowed: our identity and ntor key, for self-tests */
	struct dir *dir;	     /* borrowed: relays to build through */
	struct origin_ops ops;
	uint8_t seed[32]; /* secret: handshakes, cookies and padding are drawn from it */
};
/* NULL when memory is short. now_us: any monotonic clock, here and below. */
struct origin *origin_new(const struct origin_setup *s, uint64_t now_us);
/* Outcomes still due are not delivered. */
void origin_free(struct origin *o);
void origin_reconfigure(struct origin *o, const struct config *config);

/* A dir_fetch (ctx: the origin): one BEGIN_DIR stream on a one-hop circuit. ERR_FULL when too many
 * are under way. Waits at most 60 s for each next byte and 600 s in all. */
int origin_fetch(void *origin, const struct dir_target *to, const uint8_t *request, size_t len,
		 size_t max_len, dir_fetched done, void *arg);
/* Tests our own ORPort of the family (4 or 6): sees to it that ORIGIN_TESTS circuits are there or
 * under way, each through two other relays (one, when no more are known) to ourselves, reached at
 * that address (T1). While the family is unproven, the one that dials is a relay without a link
 * with us, and circuits that opened in vain are replaced at each call. That we are reachable
 * shows as an incoming CREATE and is told by circ to dir_set_reachable, not here. 0;
 * ERR_NOT_NOW: no relays with known keys, or no such address; ERR_FULL: all have links with us, one
 * of which was asked to go. */
#define ORIGIN_TESTS 4
int origin_selftest(struct origin *o, int family, uint64_t now_us);
/* Sends up to 1000 DROP cells to ourselves, or what 10 s of BandwidthRate allow, split over
 * ORIGIN_TESTS test circuits (T3), in the ticks that follow. How many circuits carry them; while
 * not so many are open they are started, and ERR_NOT_NOW says to ask again later. */
int origin_bandwidth_test(struct origin *o, uint64_t now_us);

/* ---- what came up the wall, each called by its handler; unknown ids are counted and dropped ----
 */
void origin_opened(struct origin *o, uint64_t cookie, wid circ, int why, uint64_t now_us);
void origin_recv(struct origin *o, wid circ, uint8_t cell_command, const uint8_t *payload,
		 size_t len, uint64_t now_us);
void origin_closed(struct origin *o, wid circ, int reason, uint64_t now_us);
/* Time-outs, outcomes, pacing of DROP cells; every 100 ms or so. */
void origin_tick(struct origin *o, uint64_t now_us);

struct origin_status {
	unsigned n_circs, n_fetches;
	uint64_t n_opened, n_failed, n_cells_bad;
};
void origin_status(const struct origin *o, struct origin_status *s);

#endif
