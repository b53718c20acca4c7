/* door.h - control's end of the wall: the one room that touches the rings of dataplane/ctl.h. It
 * copies each message out, checks its length, type and epoch, and gives it to the handler that the
 * table names; on the way down it keeps the order when a ring is full. */
#ifndef RAMSON_DOOR_H
#define RAMSON_DOOR_H

#include "dataplane/ctl.h"

struct event_base;
struct door;

/* A message from the dataplane: head is checked (known type, whole body, this epoch, an id whose
 * worker is the ring's own), body points to the struct that ctl.h gives for the type, tail to what
 * follows it. All three are a private copy, aligned to 8, and valid only during the call. A handler
 * may call door_send. */
typedef void door_fn(void *ctx, const struct ctl_head *head, const void *body, struct bytes tail);

/* Row of the table: types without a row are counted and dropped. */
struct door_row {
	uint16_t type; /* CTL_* of CTL_UP; 0 ends the table */
	door_fn *handler;
};

/* What the door has refused or delayed, for status. */
struct door_counts {
	uint64_t n_up, n_down;	/* messages taken and sent */
	uint64_t n_queued;	/* sends that had to wait in our queue */
	uint64_t n_refused;	/* sends refused because that queue was full */
	uint64_t n_bad_message; /* up: length, type or worker wrong */
	uint64_t n_old_epoch;	/* up: of an earlier attach */
	uint64_t n_unhandled;	/* up: type without a row */
	uint64_t queued_bytes;	/* waiting now */
};

/* Bytes that may wait for one worker before sends are refused. */
#define DOOR_QUEUE_MAX (16u << 20)

/* Attaches: maps memory_fd, checks that magic, version and size agree, takes a new epoch, drops
 * whatever an earlier control left in the up rings, and reads wake_fd in base's loop.
 * wake_worker_fd[i] wakes worker i. The descriptors stay the caller's; table must outlive the door.
 * NULL with errno and a sentence in *why (a static string) when the memory is not what it should
 * be. */
struct door *door_open(int memory_fd, int wake_fd, const int wake_worker_fd[], unsigned n_fds,
		       struct event_base *base, const struct door_row table[], void *ctx,
		       const char **why);
void door_close(struct door *d);

unsigned door_workers(const struct door *d);
uint32_t door_epoch(const struct door *d);

/* Sends to one worker: head (filled in here from type, id, arg), body, then tail. Keeps the order
 * of sends to one worker also when its ring is full. Copies everything, so secrets are the caller's
 * to wipe; our own waiting copies are wiped when they have gone. 0; ERR_FULL when the worker's
 * queue is full (counted: treat what it was about as refused); ERR_MALFORMED when it is longer than
 * a message may be; ERR_UNKNOWN when there is no such worker. */
int door_send(struct door *d, unsigned worker, uint16_t type, wid id, uint32_t arg,
	      const void *body, size_t body_len, const void *tail, size_t tail_len);
/* The same to every worker; the worst of their results. */
int door_send_all(struct door *d, uint16_t type, wid id, uint32_t arg, const void *body,
		  size_t body_len, const void *tail, size_t tail_len);

/* Takes up to max waiting messages of each up ring and flushes the queues; returns how many were
 * taken. The event loop calls it; tests may. */
int door_run(struct door *d, int max);

/* A copy of a worker's figures (racy, each word whole). Zeroes when there is no such worker. */
void door_figures(const struct door *d, unsigned worker, struct ctl_figures *to);
struct door_counts door_counts(const struct door *d);

/* Names for log lines: "CIRC_ADD"; "?" when there is none. */
const char *door_type_name(uint16_t type);

#endif
