/* fake_relay.h - for tests of origin: the wall, a link and a chain of relays behind it in one
 * process, with handshakes, onion layers and windows of their own. */
#ifndef RAMSON_ORIGIN_FAKE_RELAY_H
#define RAMSON_ORIGIN_FAKE_RELAY_H

#include "controlplane/handshake/handshake.h"
#include "controlplane/origin/origin.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/wire/relay_msg.h"

#define FAKE_CIRCS 16
#define FAKE_HOPS  3

/* What goes wrong, and when. */
enum fake_trouble {
	FAKE_NONE,
	FAKE_LINK_REFUSED, /* get_link says no at once */
	FAKE_LINK_FAILED,  /* the link call-back says no */
	FAKE_OPEN_REFUSED,
	FAKE_DESTROY_AT_CREATE,
	FAKE_BAD_CREATED,
	FAKE_SILENT, /* never answers CREATE */
	FAKE_END_AT_BEGIN,
	FAKE_DATA_BEFORE_CONNECTED,
	FAKE_DESTROY_IN_BODY,
	FAKE_END_MISC, /* END for another reason behind the answer */
	FAKE_GARBAGE,  /* a cell that no layer recognises */
	FAKE_SENDME_EARLY,
	FAKE_SENDME_TAG, /* wrong tag */
	FAKE_NOT_HTTP,
};

struct fake_hop {
	struct tor1_layer l; /* fwd: towards this hop */
};
struct fake_circ {
	wid id;
	struct fake_hop hop[FAKE_HOPS];
	unsigned n_hops;
	uint16_t stream;
	uint8_t *request;
	size_t request_len;
	size_t body_at;
	int circ_window, stream_window; /* for what we send */
	unsigned n_data, n_sendme, n_stream_sendme, n_drop;
	uint8_t tags[64][20]; /* of our DATA cells that need an answer */
	unsigned n_tags, n_tags_ok;
	unsigned n_got;	  /* DATA cells of the request */
	unsigned n_early; /* RELAY_EARLY cells */
	uint8_t extended_to[FAKE_HOPS][20];
};
struct fake {
	struct origin *o;
	struct cipher cipher;
	enum fake_trouble trouble;
	struct handshake_keys keys; /* of every hop */
	const uint8_t *answer;	    /* head and body */
	size_t answer_len;
	size_t request_min; /* answers when so much of the request is here */
	struct fake_circ circ[FAKE_CIRCS];
	unsigned n_circs, n_closed, n_fast, n_ntor;
	uint64_t now_us;
	struct fake_event *events, **tail; /* what will come up the wall */
	const uint8_t *alone; /* NULL: nobody has a link with us; else all but this one have */
	unsigned n_retired;
	unsigned late_links; /* call-backs come only with fake_run */
	void (*link_done)(void *arg, wid conn, int why);
	void *link_arg;
};
void fake_init(struct fake *f, struct origin_ops *ops);
void fake_fini(struct fake *f);
/* Lets happen what is due until nothing is. */
void fake_run(struct fake *f);

#endif
