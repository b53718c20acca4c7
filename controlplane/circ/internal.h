/* internal.h - what the files of circ/ share: the table of circuits and the one way to end one. */
#ifndef RAMSON_CIRC_INTERNAL_H
#define RAMSON_CIRC_INTERNAL_H

#include "controlplane/circ/circ.h"
#include "controlplane/door/door.h"
#include "dataplane/wire/begin.h"
#include "dataplane/wire/onionskin.h"
#include "dataplane/wire/relay_msg.h"

#define CIRCS_MAX     (4u << 20) /* more than a dataplane holds: a bound against a mad one */
#define DIR_BYTES_MAX (64ull << 20)

/* A circuit that a client began, from its CREATE to its last word. */
struct circ {
	wid id;
	struct circ *next; /* in its bucket */
	struct circs *room;
	wid conn;	 /* the link it came over */
	uint64_t ticket; /* of its handshake while that is under way */
	uint16_t skin;	 /* its type, when a relay asked for it; else 0 */
	bool open;	 /* CIRC_ADD has gone */
	bool waiting;	 /* for a link to the next relay; create is held */
	bool extending;	 /* CIRC_EXTEND has gone */
	bool extended;	 /* and came to a good end */
	uint32_t serial; /* of the EXTEND2 that these speak of */
	uint8_t kh[HANDSHAKE_KH_LEN];
	struct hs_leg hs;
	uint16_t create_len;
	uint8_t *create; /* CREATE2 payload for the next relay */
};

/* A directory stream. */
struct dirstream {
	wid id;
	struct dirstream *next;
	struct addr peer;
	uint8_t *request;
	size_t len, cap;
	struct dir_answer *answer;
	uint64_t credit;
	uint64_t since_s; /* we have sent nothing since then; 0: we have */
};

/* Chained by id under a secret key; both kinds begin with the id and the chain. */
struct chain {
	wid id;
	struct chain *next;
};
struct table {
	struct hash_key key;
	struct chain **buckets;
	uint32_t n, n_buckets;
};
int table_init(struct table *t, struct hash_key key);
void table_fini(struct table *t);
void *table_find(const struct table *t, wid id);
/* 0 or ERR_FULL; the id must not be there. */
int table_add(struct table *t, void *item);
void table_del(struct table *t, void *item);
/* The items, one after the other: NULL gives the first, the last gives NULL. The one that is given
 * may be deleted once its next is known. */
void *table_next(const struct table *t, void *item);
/* Any item, or NULL. */
void *table_any(const struct table *t);

struct circs {
	struct circ_rooms at;
	struct circ_settings set;
	struct circ_figures figures;
	struct table circs, dirstreams;
	circ_answered_fn *answered;
	void *answered_arg;
};

/* One message, as the handlers of this room get it. */
struct circ_in {
	struct circs *c;
	const struct ctl_head *head;
	const void *body;
	struct bytes tail;
};

/* A relay message for control about a circuit that is open. */
struct circ_relay {
	const struct ctl_circ_msg *msg;
	struct bytes body;
	const struct link_peer *peer; /* NULL: the link is gone */
};

void circ_in_create(const struct circ_in *m); /* create.c */
void circ_in_recv(const struct circ_in *m);   /* table.c */
void circ_in_done(const struct circ_in *m);   /* extend.c */
void circ_in_closed(const struct circ_in *m); /* circ.c */
void circ_in_refused(const struct circ_in *m);
void circ_in_replay(const struct circ_in *m);	   /* replay.c */
void circ_in_stream(const struct circ_in *m);	   /* stream.c */
void circ_in_stream_read(const struct circ_in *m); /* dirstream.c */
void circ_in_stream_credit(const struct circ_in *m);
void circ_in_stream_closed(const struct circ_in *m);

/* ---- replay.c ---- */
/* What the dataplane is to keep of a circuit. It holds KH: wipe it. */
void circ_tag_put(const struct circ *k, uint8_t tag[CTL_TAG_LEN]);
void circ_tag_send(const struct circ *k);

/* ---- create.c ---- */
/* The entry of a circuit that the worker has, in place of an older one. NULL: no memory. */
struct circ *circ_begin(struct circs *c, wid id, wid conn);

/* ---- circ.c ---- */
struct circ *circ_find(struct circs *c, wid id);
/* A circuit that is to close: tells the dataplane and forgets it. */
void circ_shut(struct circ *k, uint8_t reason);
/* Forgets it, whatever is under way. */
void circ_drop(struct circ *k);
/* door_send to the worker of an id. */
int circ_send(struct circs *c, uint16_t type, wid id, uint32_t arg, const void *body,
	      size_t body_len, const void *tail, size_t tail_len);

/* ---- extend.c ---- */
/* EXTEND2 (interop C1 to C3). 0, or the DESTROY reason with which to close. */
int circ_extend(struct circ *k, const struct circ_relay *r);
/* The extend that waits for a link is void. */
void circ_extend_cancel(struct circ *k);

/* ---- stream.c, dirstream.c ---- */
void stream_end_with(struct circs *c, wid stream, uint8_t reason, const struct addr *addr,
		     uint32_t ttl);
/* Opens a directory stream. */
void dirstream_begin(struct circs *c, wid stream, const struct addr *peer);
void dirstream_drop(struct circs *c, struct dirstream *d);

#endif
