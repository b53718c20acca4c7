/* test_relays.h - two relays with keys of their own, for the tests of link/: one dials, one serves.
 */
#ifndef RAMSON_LINK_TEST_RELAYS_H
#define RAMSON_LINK_TEST_RELAYS_H

#include "controlplane/link/internal.h"

#include "controlplane/link/test_worker.h"

#define WALL ((int64_t)1790000000)

/* Each has one links, whose door is that pointer's address. */
struct relay {
	struct keys *keys;
	struct links *links;
	struct dos *dos; /* who may connect; NULL: everybody */
	struct addr at;
	bool knows; /* what it says of any relay */
	unsigned n_suggested, n_skewed;
	struct addr suggested;
	int64_t skew_s;
};
extern struct relay relays[2];
#define DIALS  (&relays[0])
#define SERVES (&relays[1])

extern uint64_t now_us;
extern int64_t wall_s;
/* The last answer to link_get, and how many there were. */
extern struct answered {
	unsigned n;
	wid conn;
	unsigned reason;
} answered;
void on_link(void *arg, wid conn, unsigned reason);

/* Sets both relays' clock. */
void clock_to(uint64_t us);
/* Ends r's links, if it has some, and starts new ones. */
void relay_start(struct relay *r, uint32_t max_handshakes);
struct link_target target_of(const struct relay *r);

/* Both ends of a TCP connection from DIALS to SERVES. */
struct wire {
	struct fake_end *a, *b;
};
struct wire connect_ends(struct fake_end *dialled);
/* A new dial of t that is connected; nothing has been said yet. */
struct wire dial(const struct link_target *t);
/* The same to SERVES, open on both sides. */
struct wire dial_whole(void);

/* cmocka's: fresh links before each test; keys once. */
int fresh(void **state);
int group_setup(void **state);
int group_teardown(void **state);
#define T(name) cmocka_unit_test_setup(name, fresh)

#endif
