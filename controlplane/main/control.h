/* control.h - the program ramson-control: all rooms of the control plane, joined. Only this room
 * knows them all; each file here is the seam between one of them and the rest. */
#ifndef RAMSON_CONTROL_H
#define RAMSON_CONTROL_H

#include "controlplane/circ/circ.h"
#include "controlplane/config/config.h"
#include "controlplane/dir/dir.h"
#include "controlplane/door/door.h"
#include "controlplane/exit/exit.h"
#include "controlplane/guardrail/dos.h"
#include "controlplane/handshake/handshake.h"
#include "controlplane/hs/hs.h"
#include "controlplane/keys/keys.h"
#include "controlplane/link/link.h"
#include "controlplane/ops/ops.h"
#include "controlplane/origin/origin.h"

#include <event2/event.h>

enum control_phase { CONTROL_RUNS, CONTROL_DRAINS, CONTROL_ENDS };
#define CONTROL_SIGNALS 4
#define CONTROL_ORIGINS 4096 /* circuits of our own that may be open at once */

/* A link that origin/ waits for; see reach.c. */
struct reach_wait;

struct control {
	struct event_base *base;
	struct event *tick, *signals[CONTROL_SIGNALS];
	const char *torrc;
	char *const *args; /* overrides, for reading the torrc again */
	int n_args;
	struct config config;
	enum control_phase phase;
	uint64_t end_at_us; /* of draining, then of ending */
	uint64_t tick_n;    /* tenths of a second */
	int64_t mem_left;   /* MAX_MEM as it was last said */
	int code;

	struct door *door;
	struct keys *keys;
	struct handshake_pair junk_onion; /* stands in for onion keys that are not ours */
	struct handshake_pool *pool;
	struct dos *dos;
	struct links *links;
	struct policy *policy;
	struct dns *dns;
	struct hs *hs;
	struct dir *dir;
	struct origin *origin;
	struct map origins; /* ids of circuits that are origin's: CIRC_CLOSED does not say */
	struct reach_wait *waits;
	struct circ_neighbours neighbours;
	struct circs *circs;
	struct ops *ops;

	int64_t keys_at_s, selftest_at_s[2], bandwidth_at_s; /* when each is due again */
	int64_t said_skew_s;
	unsigned
		replays_due; /* workers that have not yet told all that was open when we attached */
	struct ops_sums counted;	  /* what dir/ has been told of traffic */
	struct circ_figures at_heartbeat; /* what the last one told, likewise the next */
	uint64_t unrecognized_said;
};

/* ---- clock.c: the only place of control's own that reads clocks ---- */
int64_t clock_wall_s(void);
uint64_t clock_us(void);

/* ---- rooms.c: 0, or a negative code and the reason in the log ---- */
int rooms_open(struct control *c);
void rooms_close(struct control *c);
/* New settings to everybody: after a SIGHUP, a new consensus, when draining begins. */
void rooms_configure(struct control *c);
/* Every tenth of a second. */
void rooms_tick(struct control *c);
/* The struct keys_config of a torrc. */
struct keys_config rooms_keys_config(const struct config *f);

/* ---- rotate.c: keys that rotate, and who must know ---- */
/* The pool's keys, from the present onion keys. 0 or negative. */
int rotate_hand_out(struct control *c);
void rotate_tick(struct control *c, int64_t now_s);

/* ---- exits.c: policy and resolver ---- */
/* Makes the policy of the torrc. 0 or ERR_CONFIG with a sentence in why (POLICY_ERROR bytes). */
int exits_policy(const struct config *f, struct policy **p, char *why);
int exits_open(struct control *c);
/* A new policy to circuits and descriptor; the old one stays when the torrc's is wrong. */
void exits_configure(struct control *c);
/* Fills in what circ/ is to know; deny: room for CONTROL_DENY addresses. */
#define CONTROL_DENY 96
void exits_settings(struct control *c, struct circ_settings *s, struct addr deny[CONTROL_DENY]);
struct dns_setup exits_dns_setup(const struct config *f);

/* ---- defend.c: the defences against floods ---- */
int defend_open(struct control *c);
void defend_configure(struct control *c);
/* By the names that tor's MetricsPort gives them, since start. */
struct defend_figures {
	uint64_t circuit_rejected, circuit_killed_max_cell, circuit_killed_max_cell_outq;
	uint64_t marked_address, marked_address_maxq, conn_rejected, concurrent_conn_rejected;
	uint64_t single_hop_refused, introduce2_rejected, stream_rejected;
	uint64_t n_addresses, forgotten; /* watched now; made room for others */
};
struct defend_figures defend_figures(struct control *c);
void defend_heartbeat(struct control *c);

/* ---- heartbeat.c ---- */
/* Tells dir/ what it publishes of padding and overload; once a second. */
void heartbeat_count(struct control *c, int64_t now_s);
/* The lines of the rooms, behind that of ops/. */
void heartbeat_say(struct control *c);

/* ---- reach.c: links, as dir/, origin/ and circ/ ask for them ---- */
int reach_open(struct control *c);
void reach_close(struct control *c);
struct origin_ops reach_origin_ops(struct control *c);
/* circ_answered_fn: somebody reached us (T1). */
void reach_answered(void *arg, wid conn);
/* Self-tests of reachability and bandwidth, once a second. */
void reach_tick(struct control *c, int64_t now_s);

/* ---- status.c: the sections of the rooms in the status document ---- */
struct json_t;
void status_fill(void *arg, struct json_t *root);

/* ---- table.c: which handler has which message ---- */
extern const struct door_row control_table[];

/* ---- settings.c: what the dataplane is told ---- */
/* Every parameter, of torrc and consensus. */
void settings_push(struct control *c);
/* Each second: MaxMemInQueues less what we hold ourselves. */
void settings_memory(struct control *c);
void settings_accept(struct control *c, bool accepting);
/* Opens the listeners; once, after attaching. */
void settings_listen(struct control *c);

/* ---- stop.c ---- */
int signals_open(struct control *c);
void stop_tick(struct control *c);
/* Closes every link and ends; code is the exit code. */
void stop_now(struct control *c, int code);

/* ---- check.c ---- */
/* Logs what was found while reading a torrc. */
void control_say(const struct config_messages *m);
/* Each the exit code. */
int control_check(struct control *c);
int control_keygen(struct control *c);

#endif
