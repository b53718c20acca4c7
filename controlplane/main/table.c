/* table.c - message from the dataplane to handler: the one table that knows all rooms. */
#include "controlplane/main/control.h"

#include "dataplane/wire/cell.h"

#define HANDLER(name)                                                                              \
	static void name(void *ctx, const struct ctl_head *head, const void *body,                 \
			 struct bytes tail)

/* Every handler begins so: links reads no clock. */
static struct control *now(void *ctx)
{
	struct control *c = ctx;

	links_now(c->links, clock_us(), clock_wall_s());
	return c;
}

HANDLER(on_conn_opened)
{
	links_opened(now(ctx)->links, head->id, body);
}

HANDLER(on_conn_read)
{
	const struct ctl_conn_read *m = body;

	links_read(now(ctx)->links, head->id, m->offset, tail.p, tail.len);
}

HANDLER(on_conn_closed)
{
	const struct ctl_conn_closed *m = body;

	links_closed(now(ctx)->links, head->id, m->cookie, head->arg);
}

HANDLER(on_cell)
{
	links_cell(now(ctx)->links, head->id, tail.p, tail.len);
}

HANDLER(on_circ)
{
	circ_message(now(ctx)->circs, head, body, tail);
}

HANDLER(on_circ_closed)
{
	struct control *c = now(ctx);

	if (head->id && map_del(&c->origins, head->id) != SLOT_NONE)
		origin_closed(c->origin, head->id, (int)head->arg, clock_us());
	else
		circ_message(c->circs, head, body, tail);
}

HANDLER(on_origin_opened)
{
	const struct ctl_origin_opened *m = body;
	struct control *c = now(ctx);
	wid circ = head->id;
	unsigned why = head->arg;

	/* An id that we cannot remember we cannot use: its closing would go astray. */
	if (circ && map_put(&c->origins, circ, 1) < 0) {
		door_send(c->door, wid_worker(circ), CTL_CIRC_CLOSE, circ, DESTROY_RESOURCELIMIT,
			  NULL, 0, NULL, 0);
		circ = WID_NONE;
		why = DESTROY_RESOURCELIMIT;
	}
	origin_opened(c->origin, m->cookie, circ, (int)why, clock_us());
}

HANDLER(on_origin_recv)
{
	origin_recv(now(ctx)->origin, head->id, (uint8_t)head->arg, tail.p, tail.len, clock_us());
}

HANDLER(on_refused)
{
	const struct ctl_refused *r = body;
	struct control *c = now(ctx);

	log_debug("the dataplane refused a %s (%d)", door_type_name(r->type), r->error);
	if (head->id && map_get(&c->origins, head->id) != SLOT_NONE)
		return; /* its CIRC_CLOSED is on the way */
	circ_message(c->circs, head, body, tail);
}

/* What the control before us left open: its links by their tags. One that is not ours closes. */
HANDLER(on_conn_replay)
{
	const struct ctl_conn_replay *m = body;
	struct control *c = now(ctx);
	int rc = links_replayed(c->links, head->id, &m->local, &m->remote, &m->ready);

	if (rc < 0)
		door_send(c->door, wid_worker(head->id), CTL_CONN_CLOSE, head->id,
			  rc == ERR_FULL ? CTL_WHY_RESOURCE : CTL_WHY_PROTOCOL, NULL, 0, NULL, 0);
	else
		reach_answered(c,
			       head->id); /* what it proved to the control before us still holds */
}

HANDLER(on_replay_end)
{
	struct control *c = now(ctx);
	const struct links_stats *s = links_stats(c->links);

	if (!c->replays_due || --c->replays_due)
		return;
	links_reclassify(c->links); /* who is a relay may have changed meanwhile */
	log_notice("a control was here before: %u links and %llu circuits go on",
		   s->n_clients + s->n_relays, (unsigned long long)circ_figures(c->circs)->n_circs);
}

const struct door_row control_table[] = {
	{CTL_CONN_OPENED, on_conn_opened},
	{CTL_CONN_READ, on_conn_read},
	{CTL_CONN_CLOSED, on_conn_closed},
	{CTL_CELL_RECV, on_cell},
	{CTL_CIRC_CREATE, on_circ},
	{CTL_CIRC_RECV, on_circ},
	{CTL_CIRC_DONE, on_circ},
	{CTL_CIRC_CLOSED, on_circ_closed},
	{CTL_ORIGIN_OPENED, on_origin_opened},
	{CTL_ORIGIN_RECV, on_origin_recv},
	{CTL_STREAM_RECV, on_circ},
	{CTL_STREAM_READ, on_circ},
	{CTL_STREAM_CREDIT, on_circ},
	{CTL_STREAM_CLOSED, on_circ},
	{CTL_CTL_REFUSED, on_refused},
	{CTL_CONN_REPLAY, on_conn_replay},
	{CTL_CIRC_REPLAY, on_circ},
	{CTL_REPLAY_END, on_replay_end},
	{0, NULL},
};
