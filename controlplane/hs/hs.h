/* hs.h - onion-service roles of a relay: introduction point and rendezvous point. It stands
 * beside the walk: circ/ hands it the relay messages, it answers through the door. */
#ifndef RAMSON_HS_H
#define RAMSON_HS_H

#include "dataplane/base/base.h"
#include "dataplane/wire/hs_cells.h"

struct door;

/* What a circuit is for; everything begins as HS_OR (C tor's purposes of a relay). */
enum hs_purpose { HS_OR, HS_INTRO_POINT, HS_REND_WAITING, HS_REND_JOINED };

/* What this room keeps of a circuit: a member of circ's entry. All zero at first but circ. */
struct hs_leg {
	wid circ;
	uint8_t purpose;       /* enum hs_purpose */
	bool introduced;       /* it has sent its one INTRODUCE1 */
	bool listed;	       /* stands in the map of its purpose under key */
	struct hs_limit limit; /* introduction point: what the service asked for */
	uint32_t tokens;       /* introductions that it may still be sent, */
	int64_t refilled_s;    /* as of this second */
	uint8_t key[32];       /* Ed25519 auth key, or 20 bytes of rendezvous cookie */
	struct hs_leg *next;   /* in its map's chain */
};

#define HS_FIGURES(X)                                                                              \
	X(est_intro_success, "introduction points established")                                    \
	X(est_intro_malformed, "ESTABLISH_INTRO that do not parse or verify")                      \
	X(est_intro_unsuitable, "ESTABLISH_INTRO on a circuit with another purpose")               \
	X(intro1_success, "INTRODUCE1 passed on")                                                  \
	X(intro1_malformed, "INTRODUCE1 of bad format")                                            \
	X(intro1_unknown, "INTRODUCE1 for a service that we do not serve")                         \
	X(intro1_unsuitable, "INTRODUCE1 on a circuit with another purpose")                       \
	X(intro1_reused, "second INTRODUCE1 on one circuit")                                       \
	X(intro1_single_hop, "INTRODUCE1 straight from a client")                                  \
	X(intro1_rate_limited, "INTRODUCE1 refused: more than the service wants")                  \
	X(intro1_dead, "INTRODUCE1 whose service circuit could not take it")                       \
	X(est_rend_success, "rendezvous points established")                                       \
	X(est_rend_malformed, "ESTABLISH_RENDEZVOUS of wrong length")                              \
	X(est_rend_unsuitable, "ESTABLISH_RENDEZVOUS on a circuit with another purpose")           \
	X(est_rend_duplicate, "ESTABLISH_RENDEZVOUS with a cookie in use")                         \
	X(est_rend_single_hop, "ESTABLISH_RENDEZVOUS straight from a client, ignored")             \
	X(rend1_success, "rendezvous joined")                                                      \
	X(rend1_malformed, "RENDEZVOUS1 of wrong length")                                          \
	X(rend1_unsuitable, "RENDEZVOUS1 on a circuit with another purpose")                       \
	X(rend1_unknown, "RENDEZVOUS1 with a cookie that nobody waits at")                         \
	X(replaced, "introduction circuits closed for a newer one with the same key")
struct hs_figures {
#define X(name, what) uint64_t name;
	HS_FIGURES(X)
#undef X
};

/* A relay message for this room. */
struct hs_msg {
	const uint8_t *body;
	size_t len;
	const uint8_t *kh; /* 20 bytes, of the handshake of this circuit */
	bool edge;	   /* the circuit ends here: it was not extended */
	bool from_client;  /* its link is one of a client (never authenticated) */
};

struct hs;
/* hash_seed: 16 random bytes for the maps. 0 or ERR_FULL. */
int hs_new(struct hs **hs, struct door *door, const uint8_t hash_seed[16]);
void hs_free(struct hs *hs);
const struct hs_figures *hs_figures(const struct hs *hs);

/* What torrc and consensus say. */
struct hs_settings {
	bool intro_defence; /* HiddenServiceEnableIntroDoSDefense and what goes with it: */
	uint32_t intro_rate, intro_burst;
	bool refuse_single_hop; /* DoSRefuseSingleHopClientRendezvous (interop O10) */
};
void hs_configure(struct hs *hs, const struct hs_settings *s);
/* Time goes on: seconds of whichever clock, at least once in each of them. */
void hs_now(struct hs *hs, int64_t now_s);

/* Each handles one message and sends its answers through the door. 0; or a DESTROY reason
 * (positive) with which the caller must close this circuit. A circuit other than the message's
 * that has to go (a replaced introduction point) is closed here with CIRC_CLOSE. */
/* rend-spec section 3.1.1 (interop O1, O3, O11, O12). */
int hs_establish_intro(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m);
/* rend-spec section 3.2 (interop O4, O5, O12). */
int hs_introduce1(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m);
/* rend-spec section 4.1 (interop O9). */
int hs_establish_rendezvous(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m);
/* rend-spec section 4.3 (interop O9, O11): splices the two circuits. */
int hs_rendezvous1(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m);

/* A circuit that an earlier control had given this purpose: it stands in its map again. purpose is
 * not yet set in leg, limit is. 0, or ERR_MALFORMED for a purpose that is none or a key that is in
 * use. */
int hs_restore(struct hs *hs, struct hs_leg *leg, uint8_t purpose, const uint8_t key[32]);

/* The circuit is gone: it leaves its map. */
void hs_leg_gone(struct hs *hs, struct hs_leg *leg);

#endif
