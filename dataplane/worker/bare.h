/* bare.h - for fuzz targets: one worker with two open links and nobody behind them. What an input
 * does is undone at its end, and must leave nothing: no slot, leg, circuit, stream or byte. */
#ifndef RAMSON_BARE_H
#define RAMSON_BARE_H

#include "dataplane/worker/house.h"

#define BARE_LINKS 2
#define BARE_IDS   8

struct bare {
	struct house h;
	struct worker *w;
	uint32_t link[BARE_LINKS + 1]; /* the last: whom bare_stranger dialled */
	wid conn[BARE_IDS], circ[BARE_IDS], stream[BARE_IDS]; /* seen of late, perhaps closed */
	unsigned n_conn, n_circ, n_stream;
	bool answers; /* control plays its part */
};

/* The one of this process, with its links open. */
struct bare *bare_begin(bool answers);
/* Closes everything; aborts the process when something is left. */
void bare_end(struct bare *b);

/* One link more, at the beginning of its TLS handshake; what the peer's end of it is. Its plaintext
 * is that of link BARE_LINKS. It is gone with the input. */
uint32_t bare_stranger(struct bare *b);

/* Plaintext of a link, as TLS would have opened it. */
void bare_plain(struct bare *b, unsigned link, const uint8_t *p, size_t len);
void bare_cell(struct bare *b, unsigned link, uint32_t circ_id, uint8_t command, const uint8_t *p,
	       size_t len);
/* Takes what the worker said to control. */
void bare_hear(struct bare *b);
/* Turns of everything; the clock leaps first. */
void bare_turn(struct bare *b, unsigned turns, uint64_t leap_us);

/* What an input may do, each from its own bytes. */
void bare_do_message(struct bare *b, struct reader *r);
void bare_do_cell(struct bare *b, struct reader *r);
void bare_do_relay(struct bare *b, struct reader *r);
void bare_do_turn(struct bare *b, struct reader *r);

#endif
