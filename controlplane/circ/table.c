/* table.c - the slow relay commands, a row each: what reaches control about an open circuit. */
#include "controlplane/circ/internal.h"

/* Onion-service messages see the circuit as hs/ wants it. */
static struct hs_msg hs_msg_of(const struct circ *k, const struct circ_relay *r)
{
	bool gone_on = (k->extending || k->extended) && r->msg->serial == k->serial;

	return (struct hs_msg) {.body = r->body.p,
				.len = r->body.len,
				.kh = k->kh,
				.edge = !gone_on,
				.from_client = !r->peer || r->peer->kind == CTL_PEER_CLIENT};
}

#define HS_ROW(name, fn)                                                                           \
	static int name(struct circ *k, const struct circ_relay *r)                                \
	{                                                                                          \
		struct hs_msg m = hs_msg_of(k, r);                                                 \
		return fn(k->room->at.hs, &k->hs, &m);                                             \
	}
HS_ROW(establish_intro, hs_establish_intro)
HS_ROW(introduce1, hs_introduce1)
HS_ROW(establish_rendezvous, hs_establish_rendezvous)
HS_ROW(rendezvous1, hs_rendezvous1)

/* A handler returns 0, or the DESTROY reason with which its circuit must close. */
static const struct {
	uint8_t command;
	int (*handle)(struct circ *k, const struct circ_relay *r);
} rows[] = {
	{RELAY_EXTEND2, circ_extend},	  {RELAY_ESTABLISH_INTRO, establish_intro},
	{RELAY_INTRODUCE1, introduce1},	  {RELAY_ESTABLISH_RENDEZVOUS, establish_rendezvous},
	{RELAY_RENDEZVOUS1, rendezvous1},
};

void circ_in_recv(const struct circ_in *m)
{
	struct circs *c = m->c;
	struct circ_relay r = {.msg = m->body, .body = m->tail};
	struct circ *k = circ_find(c, m->head->id);
	uint8_t purpose;
	bool introduced;
	int reason;

	if (!k || !k->open) {
		c->figures.unknown++;
		/* Not yet told of in a replay, or closed by us a moment ago. The client waits for
		 * an answer that nobody else can give. */
		if (!k)
			circ_send(c, CTL_CIRC_CLOSE, m->head->id, DESTROY_RESOURCELIMIT, NULL, 0,
				  NULL, 0);
		return;
	}
	purpose = k->hs.purpose;
	introduced = k->hs.introduced;
	r.peer = c->at.out.peer(c->at.out.arg, r.msg->conn);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].command == r.msg->command) {
			reason = rows[i].handle(k, &r);
			if (reason)
				circ_shut(k, (uint8_t)reason);
			else if (k->hs.purpose != purpose || k->hs.introduced != introduced)
				circ_tag_send(k);
			return;
		}
	c->figures.malformed++; /* the worker sends up only what stands here */
}
