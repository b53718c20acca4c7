/* fake.h - for the tests of circ/: a door that remembers what was sent, and rooms around that
 * answer as told. */
#ifndef RAMSON_CIRC_FAKE_H
#define RAMSON_CIRC_FAKE_H

#include "controlplane/circ/internal.h"

struct sent {
	uint16_t type;
	wid id;
	uint32_t arg;
	uint8_t body[512];
	size_t body_len, len;
	uint8_t tail[CTL_CHUNK];
};
extern struct sent fake_sent[64];
extern unsigned fake_n_sent;
extern bool fake_door_full;

extern struct circs *fake_circs;
extern struct hs *fake_hs;
extern struct handshake_pool *fake_pool;
extern struct handshake_keys fake_keys;
extern struct circ_settings fake_settings;

/* What the rooms around say. */
extern struct fake_outside {
	struct link_peer peer;
	bool no_peer;
	struct circ_node node;
	bool listed, reentry, no_create;
	unsigned n_creates, n_queue_full;
	/* link: what to answer, and what was asked */
	wid link_now;
	unsigned link_why;
	unsigned n_links, n_forgets;
	struct link_target target;
	link_cb cb;
	void *cb_arg;
	/* dir */
	int served;
	size_t answer_len, answer_at; /* the answer is so many bytes, counting up */
	unsigned n_dir_freed;
	/* dns */
	int dns_error;
	unsigned n_asked;
	char asked[512];
	dns_fn *dns_fn;
	void *dns_arg;
} fake;

/* For cmocka: a room with peers that are known relays, a pool with keys, an accepting policy. */
int fake_setup(void **state);
int fake_teardown(void **state);
/* A message from the door. */
void fake_up(uint16_t type, wid id, uint32_t arg, const void *body, const void *tail,
	     size_t tail_len);
void fake_create(wid id, uint8_t command, const void *payload, size_t len);
void fake_relay(wid id, uint8_t command, uint32_t serial, const void *body, size_t len);
/* Opens a circuit by CREATE_FAST and forgets what was sent. */
void fake_open(wid id);
/* Runs the event loop until so many messages were sent. */
void fake_run(unsigned n_sent);
/* Applies fake_settings. */
void fake_apply(void);

#endif
