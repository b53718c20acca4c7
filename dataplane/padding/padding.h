/* padding.h - circuit padding at the relay's end: the machines of padding-spec section 3.3, which
 * send DROP messages to a client that asked for them (interop P5 to P8). Beside relay/: it says
 * what is to be sent and when, the worker sends it. */
#ifndef RAMSON_PADDING_H
#define RAMSON_PADDING_H

#include "dataplane/base/base.h"
#include "dataplane/ctl.h"
#include "dataplane/wire/pad_msg.h"

/* What happens on a circuit, as far as a machine of ours listens. */
enum pad_event {
	PAD_OTHER_SENT, /* a cell that is no DROP of ours went to the client */
	PAD_DROP_SENT,
	PAD_ALL_SENT, /* the last DROP of the state */
	N_PAD_EVENTS
};
enum pad_state { PAD_IGNORE, PAD_BEGIN, PAD_FLOW, PAD_END, N_PAD_STATES };

/* A machine, as table.c has it. */
struct pad_machine {
	const char *name;			  /* C tor's */
	uint8_t next[N_PAD_STATES][N_PAD_EVENTS]; /* PAD_IGNORE: nothing; a state: also its own,
						   * and the next DROP is timed anew */
	uint8_t drops_min, drops_span;		  /* DROPs of PAD_FLOW: min + [0, span) */
	uint16_t delay_min_us, delay_span_us;	  /* before each, likewise */
	uint8_t free_drops;			  /* so many before max_percent counts */
	uint8_t max_percent;			  /* of the cells to this client */
	bool says_end; /* tells the client when it is through, and goes */
};
/* NULL: no such machine. */
const struct pad_machine *pad_machine_at(unsigned number);

/* A circuit's, from the first machine on it to its end. */
struct padding {
	uint32_t circ;
	uint32_t ctr;	 /* machines begun on it so far; the client counts too */
	uint8_t machine; /* 1 + its number; 0: none */
	uint8_t state;
	uint8_t left;	 /* DROPs to go in this state */
	uint8_t drops;	 /* sent by this machine */
	uint32_t others; /* cells that went to the client under it */
};

struct paddings {
	struct slots slots;
	struct padding *row;
	struct wheel timers;
	struct counts *counts;
	const int64_t *params;
	struct rng *rng;
};
/* 0 or ERR_FULL. counts, params and rng are borrowed; n_circs bounds the rows. */
int paddings_init(struct paddings *p, uint32_t n_circs, struct rng *rng, struct counts *counts,
		  const int64_t *params, uint64_t now_us);
void paddings_fini(struct paddings *p);

/* The moment, and what the whole process has sent to clients so far: circpad_global_*. */
struct pad_now {
	uint64_t us, drops, others;
};

/* PADDING_NEGOTIATE came on a circuit. *h: its row, SLOT_NONE until it has one. 1: reply is to be
 * said as PADDING_NEGOTIATED, and then padding_sent is told of it; 0: silence. */
int padding_negotiate(struct paddings *p, uint32_t circ, uint32_t *h, const uint8_t *body,
		      size_t len, uint8_t reply[PAD_NEGOTIATED_LEN]);
/* Whether its machine listens to what is sent; asked after each call that may change it. */
bool padding_listens(const struct paddings *p, uint32_t h);
/* A cell that is no DROP of ours is on its way to the client. */
void padding_sent(struct paddings *p, uint32_t h, const struct pad_now *now);
/* Rows whose next DROP is due, at most max; for each the worker says DROP (or withholds it, its
 * queue being too long) and then calls padding_drop_sent. */
unsigned padding_due(struct paddings *p, uint64_t now_us, uint32_t *h, unsigned max);
/* True: the machine is through, and reply is to be said as PADDING_NEGOTIATED. */
bool padding_drop_sent(struct paddings *p, uint32_t h, const struct pad_now *now,
		       uint8_t reply[PAD_NEGOTIATED_LEN]);
/* The circuit ends. SLOT_NONE is fine. */
void padding_stop(struct paddings *p, uint32_t *h);

#endif
