/* relay.h - recognised cells: what each relay command is, and how many DATA cells a circuit may
 * have in flight, with authenticated SENDMEs: a fixed window (tor-spec 7.3) or congestion control
 * (proposal 324). Between onion/ and edge/ or sched/. */
#ifndef RAMSON_RELAY_H
#define RAMSON_RELAY_H

#include "dataplane/base/base.h"
#include "dataplane/cipher/cipher.h"
#include "dataplane/ctl.h"
#include "dataplane/wire/relay_msg.h"

/* What is done with a message by its command: relay/table.c. */
enum relay_act {
	RELAY_ACT_IGNORE, /* unknown or of no meaning at a relay: counted and dropped */
	RELAY_ACT_DROP,	  /* long-range padding */
	RELAY_ACT_DATA,
	RELAY_ACT_END,
	RELAY_ACT_SENDME,
	RELAY_ACT_FLOW, /* XOFF, XON */
	RELAY_ACT_TRUNCATE,
	RELAY_ACT_PADDING, /* PADDING_NEGOTIATE */
	RELAY_ACT_STREAM,  /* BEGIN, BEGIN_DIR, RESOLVE: a stream is reserved, control decides */
	RELAY_ACT_EXTEND,  /* to control, if it came in RELAY_EARLY */
	RELAY_ACT_UP,	   /* to control */
	RELAY_ACT_ANSWER,  /* CONNECTED, RESOLVED: a violation on an open stream, else dropped */
	RELAY_ACT_CONFLUX, /* by what the circuit is to a set: conflux/table.c */
	RELAY_ACT_VIOLATE, /* closes the circuit */
};
enum relay_act relay_act_of(uint8_t command);
/* Stream id 0 is not allowed with this command: the message is dropped (interop C17). */
bool relay_needs_stream(uint8_t command);

#define RELAY_TAG	 20		 /* bytes of the longest tag */
#define RELAY_INCREMENT	 100		 /* DATA cells that a SENDME stands for in a fixed window */
#define RELAY_WINDOW	 1000		 /* cells of the largest fixed window */
#define RELAY_TAGS	 10		 /* its increments */
#define RELAY_TAGS_MAX	 16384		 /* increments of the largest congestion window */
#define RELAY_SENDME_LEN (3 + RELAY_TAG) /* version 1, length 2, tag */

/* What each DATA cell of a circuit touches, whichever its flow control. */
struct relay_window {
	uint32_t in_flight;  /* DATA cells sent and not yet acknowledged */
	uint32_t limit;	     /* so many may be: the fixed window, or what is open of cwnd */
	uint8_t inc;	     /* DATA cells that one SENDME stands for, either way */
	uint8_t sent;	     /* since the last recorded tag */
	uint8_t received;    /* since our last SENDME */
	uint8_t until_short; /* DATA cells until one is left short (interop R10) */
	uint8_t flow;	     /* enum ctl_flow */
	uint8_t tag_len;     /* 20 tor1, 16 CGO */
	uint8_t legacy;	     /* made by CREATE_FAST: SENDME version 0 is accepted always */
	uint8_t tagged;	     /* its row of tags is in use */
};
_Static_assert(sizeof(struct relay_window) == 16, "four circuits in a line");

/* What a SENDME to come must prove, and when the last cell that it stands for was sent. */
struct relay_tag {
	uint64_t sent_us;
	uint8_t tag[RELAY_TAG];
	uint8_t _pad[4];
};
/* Those of a circuit, oldest first, a ring. Congestion control may want more than stand here. */
struct relay_tags {
	struct relay_tag *more; /* then the ring, and not own */
	uint16_t cap, first, n;
	uint8_t _pad[2];
	struct relay_tag own[RELAY_TAGS];
};

/* Vegas' side of a circuit, touched once a SENDME: cc.c; and how much of the window is open:
 * open.c. */
struct relay_cc {
	uint64_t rtt_us, min_rtt_us; /* moving average, and its least */
	uint64_t bdp;		     /* cells that fit on the way without waiting */
	uint64_t opened_us;	     /* until when cells have been let go */
	uint32_t cwnd;		     /* the congestion window */
	uint32_t next_update;	     /* SENDMEs until the window is looked at again */
	uint32_t next_window;	     /* SENDMEs until a whole window is acknowledged */
	/* of the consensus when the circuit was made */
	uint32_t ss_cap, ss_max, alpha, beta, gamma, delta;
	uint16_t cwnd_min, cwnd_inc, inc_pct_ss;
	uint8_t inc_rate;
	uint8_t slow_start;
	uint8_t full;	 /* the window was used up, of late */
	uint8_t blocked; /* the circuit's queue was full, at the last SENDME */
	uint8_t _pad[2];
};

struct relay {
	uint32_t n;
	struct relay_window *window; /* per circ */
	struct relay_tags *tags;     /* per circ: only circuits that we send data on touch it */
	struct relay_cc *cc;	     /* per circ with congestion control */
	struct wheel opening;	     /* circuits whose window is not open all the way */
	bool clock_bad; /* time stood still at the last look (interop F5): no rate is to be trusted
			 */
	struct counts *counts;
	const int64_t *params;
	const struct cipher *cipher;
	struct aes_ctr *padding; /* its key stream */
};

/* cipher, counts and params are borrowed; rng gives a key for the padding. */
int relay_init(struct relay *r, uint32_t n_circs, const struct cipher *cipher, struct rng *rng,
	       struct counts *counts, const int64_t *params);
void relay_fini(struct relay *r);

/* What a circuit begins with. */
struct relay_terms {
	uint8_t flow;	    /* enum ctl_flow */
	uint8_t sendme_inc; /* with congestion control */
	uint8_t tag_len;
	bool legacy;
};
/* 0, or ERR_MALFORMED for terms that no circuit can have. */
int relay_start(struct relay *r, uint32_t circ, const struct relay_terms *terms);
/* Gives back what the circuit had; also when it was never started. */
void relay_stop(struct relay *r, uint32_t circ);
static inline bool relay_has_cc(const struct relay *r, uint32_t circ)
{
	return r->window[circ].flow == CTL_FLOW_CC;
}

/* A DATA cell was recognised, whatever its stream: true when a SENDME is due now, for its tag. */
static inline bool relay_data_in(struct relay *r, uint32_t circ)
{
	struct relay_window *w = &r->window[circ];

	if (LIKELY(++w->received < w->inc))
		return false;
	w->received = 0;
	return true;
}
/* Writes the body of that SENDME for its tag; its length (0 for version 0). */
uint16_t relay_sendme_make(const struct relay *r, uint32_t circ, const uint8_t *tag,
			   uint8_t body[RELAY_SENDME_LEN]);
/* How it stands with the circuit's own queue when a SENDME comes. */
struct relay_queue {
	uint32_t n;   /* cells in it */
	bool blocked; /* it is full, or was and has not drained */
};
/* A circuit SENDME came. 0, or ERR_MALFORMED: unexpected, wrong tag or refused version, each
 * counted; the circuit is then closed. */
int relay_sendme_in(struct relay *r, uint32_t circ, const uint8_t *body, size_t len,
		    struct relay_queue queue, uint64_t now_us);
/* Circuits whose window time has opened further, up to max of them; the others have the next turn.
 * Call each turn. */
uint32_t relay_opened(struct relay *r, uint64_t now_us, uint32_t *circs, uint32_t max);
/* How many more DATA cells may go. */
static inline unsigned relay_room(const struct relay *r, uint32_t circ)
{
	const struct relay_window *w = &r->window[circ];

	return w->limit > w->in_flight ? (unsigned)(w->limit - w->in_flight) : 0;
}
/* A DATA cell was originated, with this tag. 0, or ERR_FULL when there is no memory for the tag:
 * the circuit is then closed. */
int relay_tag_keep(struct relay *r, uint32_t circ, const uint8_t *tag, uint64_t now_us);
static inline int relay_data_out(struct relay *r, uint32_t circ, const uint8_t *tag,
				 uint64_t now_us)
{
	struct relay_window *w = &r->window[circ];

	w->in_flight++;
	if (LIKELY(++w->sent < w->inc))
		return 0;
	w->sent = 0;
	return relay_tag_keep(r, circ, tag, now_us);
}
/* The average over n: before is 0 when there is none. */
uint64_t relay_ewma(uint64_t now, uint64_t before, uint64_t n);
/* Longest body of the next DATA cell, most at most: now and then 16 bytes and more are left to
 * chance, so that tags cannot be foretold. */
uint16_t relay_data_room(struct relay *r, uint32_t circ, uint16_t most, struct rng *rng);
/* How many bytes the next one is left short by, where a circuit's own count is not here. */
uint16_t relay_left_short(uint8_t *until_short, struct rng *rng);
/* Fills what is behind the end of a message in its payload: four zero bytes, then random ones
 * (tor-spec 6.1.1). */
void relay_pad(struct relay *r, uint8_t *payload, size_t end);

#endif
