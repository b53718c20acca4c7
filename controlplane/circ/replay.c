/* replay.c - what the dataplane keeps of a circuit for the next control: KH and what the circuit is
 * for, in the tag of CIRC_ADD and CIRC_TAG; and taking it up again. */
#include "controlplane/circ/internal.h"

#include <stdlib.h>

#define TAG_INTRODUCED 2 /* flags; 1 is left to what CIRC_ADD says itself */

void circ_tag_put(const struct circ *k, uint8_t tag[CTL_TAG_LEN])
{
	struct writer w = writer_of(tag, CTL_TAG_LEN);

	memset(tag, 0, CTL_TAG_LEN);
	wr_bytes(&w, k->kh, sizeof(k->kh));
	wr_u8(&w, k->hs.introduced ? TAG_INTRODUCED : 0);
	wr_u8(&w, k->hs.purpose);
	wr_bytes(&w, k->hs.key, sizeof(k->hs.key));
	wr_u8(&w, k->hs.limit.said);
	wr_u32(&w, k->hs.limit.rate);
	wr_u32(&w, k->hs.limit.burst);
}

void circ_tag_send(const struct circ *k)
{
	struct ctl_circ_tag body;

	circ_tag_put(k, body.tag);
	circ_send(k->room, CTL_CIRC_TAG, k->id, 0, &body, sizeof(body), NULL, 0);
	wipe(&body, sizeof(body));
}

/* 0, or ERR_MALFORMED when no control of ours wrote the tag. */
static int tag_get(struct circ *k, const uint8_t tag[CTL_TAG_LEN], bool spliced)
{
	struct reader r = reader_of(tag, CTL_TAG_LEN);
	uint8_t flags, purpose, key[32];

	rd_copy(&r, k->kh, sizeof(k->kh));
	flags = rd_u8(&r);
	purpose = rd_u8(&r);
	rd_copy(&r, key, sizeof(key));
	k->hs.limit.said = rd_u8(&r);
	k->hs.limit.rate = rd_u32(&r);
	k->hs.limit.burst = rd_u32(&r);
	k->hs.introduced = flags & TAG_INTRODUCED;
	return hs_restore(k->room->at.hs, &k->hs, spliced ? HS_REND_JOINED : purpose, key);
}

void circ_in_replay(const struct circ_in *m)
{
	const struct ctl_circ_replay *b = m->body;
	struct circs *c = m->c;
	struct circ *k;

	if (circ_find(c, m->head->id))
		return; /* made since we attached: we know it better */
	k = circ_begin(c, m->head->id, b->conn);
	if (!k) {
		circ_send(c, CTL_CIRC_CLOSE, m->head->id, DESTROY_RESOURCELIMIT, NULL, 0, NULL, 0);
		return;
	}
	k->open = true;
	k->extended = b->extended;
	k->serial = b->serial;
	if (tag_get(k, b->tag, b->spliced)) {
		c->figures.malformed++;
		circ_shut(k, DESTROY_INTERNAL);
	}
}
