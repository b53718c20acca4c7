/* rooms.c - the rooms in the order in which they stand on each other: opened, ticked, told of new
 * settings, closed. */
#include "controlplane/main/control.h"

#ifndef RAMSON_VERSION
#define RAMSON_VERSION "unknown"
#endif

int rooms_open(struct control *c)
{
	struct ops_setup ops = {.base = c->base, .door = c->door, .config = &c->config,
				.version = RAMSON_VERSION, .ctx = c};

	c->ops = ops_new(&ops, clock_wall_s());
	if (!c->ops) {
		log_err("memory is short");
		return ERR_FULL;
	}
	return 0;
}

void rooms_close(struct control *c)
{
	ops_free(c->ops);
}

void rooms_configure(struct control *c)
{
	ops_reconfigure(c->ops, &c->config);
}

void rooms_tick(struct control *c)
{
}
