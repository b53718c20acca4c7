/* control.h - the program ramson-control: all rooms of the control plane, joined. Only this room
 * knows them all; each file here is the seam between one of them and the rest. */
#ifndef RAMSON_CONTROL_H
#define RAMSON_CONTROL_H

#include "controlplane/config/config.h"
#include "controlplane/door/door.h"
#include "controlplane/ops/ops.h"

#include <event2/event.h>

enum control_phase { CONTROL_RUNS, CONTROL_DRAINS, CONTROL_ENDS };
#define CONTROL_SIGNALS 4

struct control {
	struct event_base *base;
	struct event *tick, *signals[CONTROL_SIGNALS];
	const char *torrc;
	char *const *args; /* overrides, for reading the torrc again */
	int n_args;
	struct config config;
	struct door *door;
	struct ops *ops;
	enum control_phase phase;
	int64_t end_at_s;
	uint64_t tick_n;
	int code;
};

/* ---- clocks: the only place of control's own that reads them ---- */
int64_t clock_wall_s(void);
uint64_t clock_us(void);

/* ---- rooms.c: 0, or a negative code and the reason in the log ---- */
int rooms_open(struct control *c);
void rooms_close(struct control *c);
/* New settings to everybody: at start and after a SIGHUP. */
void rooms_configure(struct control *c);
void rooms_tick(struct control *c);

/* ---- table.c: which handler has which message ---- */
extern const struct door_row control_table[];

/* ---- settings.c: what the dataplane is told ---- */
/* Every ORPort and every parameter, after attaching and after a change. */
void settings_push(struct control *c);
void settings_accept(struct control *c, bool accepting);
/* Opens the listeners; once, after attaching. */
void settings_listen(struct control *c);

/* ---- stop.c ---- */
int signals_open(struct control *c);
void stop_tick(struct control *c);

/* ---- check.c ---- */
int control_check(struct control *c);
int control_keygen(struct control *c);

#endif
