/* rend.c - the rendezvous point: clients wait at a cookie until the service's circuit is spliced to
 * theirs (rend-spec section 4; interop O9 to O11). */
#include "controlplane/hs/internal.h"

int hs_establish_rendezvous(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m)
{
	uint64_t *why = NULL;

	if (leg->purpose == HS_OR && m->from_client && hs->set.refuse_single_hop) {
		hs->figures.est_rend_single_hop++;
		return 0; /* silence: the client is to time out */
	}
	if (leg->purpose != HS_OR || !m->edge)
		why = &hs->figures.est_rend_unsuitable;
	else if (m->len != HS_COOKIE_LEN)
		why = &hs->figures.est_rend_malformed;
	else if (hs_map_find(&hs->cookies, m->body))
		why = &hs->figures.est_rend_duplicate;
	if (why) {
		++*why;
		return DESTROY_TORPROTOCOL;
	}
	if (hs_send(hs, leg->circ, RELAY_RENDEZVOUS_ESTABLISHED, NULL, 0))
		return DESTROY_RESOURCELIMIT;
	leg->purpose = HS_REND_WAITING;
	hs_map_add(&hs->cookies, leg, m->body);
	hs->figures.est_rend_success++;
	return 0;
}

/* One message joins both legs; RENDEZVOUS2 leaves when they are joined. */
static int splice(struct hs *hs, const struct hs_leg *service, const struct hs_leg *client,
		  struct bytes body)
{
	struct ctl_circ_splice b = {.other = client->circ};

	return door_send(hs->door, wid_worker(service->circ), CTL_CIRC_SPLICE, service->circ, 0, &b,
			 sizeof(b), body.p, body.len);
}

int hs_rendezvous1(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m)
{
	struct hs_leg *client = NULL;
	struct rendezvous1 r;
	uint64_t *why = NULL;

	if (leg->purpose != HS_OR || !m->edge)
		why = &hs->figures.rend1_unsuitable;
	else if (rendezvous1_get(&r, m->body, m->len))
		why = &hs->figures.rend1_malformed;
	else if (!(client = hs_map_find(&hs->cookies, r.cookie)))
		why = &hs->figures.rend1_unknown;
	if (why) {
		++*why;
		return DESTROY_TORPROTOCOL;
	}
	if (splice(hs, leg, client, r.body))
		return DESTROY_RESOURCELIMIT;
	hs_map_del(&hs->cookies, client);
	client->purpose = leg->purpose = HS_REND_JOINED;
	hs->figures.rend1_success++;
	return 0;
}
