/* reassembly.c - bytes that came too early: sorted runs of buffers, bounded per conn in bytes and
 * holes and over all conns in memory, and the SACK blocks that report them (RFC 2018). */
#include "dataplane/tcp/internal.h"

/* Several segments share a buffer; merged ones of a port fill the largest. */
#define CHUNK 4352

static bool reass_room(struct tcp *t, const struct conn *c)
{
	return c->reass->mem < 2ull * c->rx_max && t->reass_mem < t->cfg.max_mem / 4;
}

static struct rte_mbuf *chunk_new(struct tcp *t, struct conn *c, uint32_t seq, uint32_t len)
{
	struct rte_mbuf *m = NULL;

	if (reass_room(t, c))
		m = buf_new(t, MIN(MAX(len, CHUNK), TCP_UNIT_MAX), t->cfg.max_mem / 2);
	if (!m)
		return NULL;
	buf_of(m)->seq = seq;
	c->reass->mem += buf_cap(m);
	t->reass_mem += buf_cap(m);
	return m;
}

static void chunk_free(struct tcp *t, struct conn *c, struct rte_mbuf *m)
{
	c->reass->mem -= buf_cap(m);
	t->reass_mem -= buf_cap(m);
	buf_free(t, m);
}

/* Grows a run at its end; returns how far it got. */
static uint32_t range_grow(struct tcp *t, struct conn *c, struct range *r, const uint8_t *p,
			   uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		struct rte_mbuf *m = r->bufs.tail;

		if (!m || m->data_len == buf_cap(m)) {
			m = chunk_new(t, c, r->end, len - done);
			if (!m)
				break;
			buf_append(&r->bufs, m);
		}
		uint32_t n = MIN(len - done, buf_cap(m) - m->data_len);
		memcpy(buf_data(m) + m->data_len, p + done, n);
		m->data_len += n;
		r->end += n;
		done += n;
	}
	r->stamp = ++c->reass->stamp;
	return done;
}

/* Joins run i + 1 to run i, which has reached it. */
static void range_join(struct reass *s, uint32_t i)
{
	struct range *a = &s->r[i], *b = a + 1;

	buf_of(a->bufs.tail)->next = b->bufs.head;
	a->bufs.tail = b->bufs.tail;
	a->end = b->end;
	s->n--;
	memmove(b, b + 1, (s->n - i - 1) * sizeof(*b));
}

/* Puts bytes that no run holds: behind run i - 1 if they touch it, else as a new run i. Returns the
 * index of their run, or SLOT_NONE when not all could be kept. */
static uint32_t reass_piece(struct tcp *t, struct conn *c, uint32_t i, uint32_t seq,
			    const uint8_t *p, uint32_t len)
{
	struct reass *s = c->reass;

	if (!i || s->r[i - 1].end != seq) {
		if (s->n == N_RANGES)
			return SLOT_NONE;
		memmove(&s->r[i + 1], &s->r[i], (s->n - i) * sizeof(s->r[0]));
		s->n++;
		s->r[i] = (struct range) {.start = seq, .end = seq};
	} else {
		i--;
	}
	uint32_t done = range_grow(t, c, &s->r[i], p, len);
	if (s->r[i].start == s->r[i].end) { /* not one byte: no run */
		s->n--;
		memmove(&s->r[i], &s->r[i + 1], (s->n - i) * sizeof(s->r[0]));
		return SLOT_NONE;
	}
	return done == len ? i : SLOT_NONE;
}

static bool reass_start(struct tcp *t, struct conn *c)
{
	if (c->reass)
		return true;
	if (!t->n_reass_free)
		return false;
	c->reass = &t->reass[t->reass_free[--t->n_reass_free]];
	c->reass->n = 0;
	c->reass->stamp = 0;
	c->reass->mem = 0;
	return true;
}

void reass_add(struct tcp *t, struct conn *c, uint32_t seq, const uint8_t *p, uint32_t len)
{
	uint32_t i = 0, end = seq + len;

	if (!reass_start(t, c)) {
		tcp_count(t, reass_full);
		return;
	}
	struct reass *s = c->reass;
	/* The first run that ends behind seq; data mostly arrives at the far end. */
	if (s->n && seq_leq(s->r[s->n - 1].end, seq))
		i = s->n;
	while (i < s->n && seq_leq(s->r[i].end, seq))
		i++;
	if (i < s->n && seq_leq(s->r[i].start, seq) && seq_leq(end, s->r[i].end)) {
		c->dsack_start = seq;
		c->dsack_end = end;
	}
	while (seq_lt(seq, end)) {
		uint32_t stop = i < s->n ? seq_min(s->r[i].start, end) : end;

		if (seq_lt(seq, stop)) {
			i = reass_piece(t, c, i, seq, p, stop - seq);
			if (i == SLOT_NONE) {
				tcp_count(t, reass_full);
				break;
			}
			if (i + 1 < s->n && s->r[i].end == s->r[i + 1].start)
				range_join(s, i);
			p += stop - seq;
			seq = stop;
		}
		if (i < s->n && seq_lt(seq, end)) { /* what this run already holds */
			uint32_t next = seq_max(s->r[i].end, seq);

			p += next - seq;
			seq = next;
			i++;
		}
	}
	if (!s->n)
		reass_free(t, c);
}

/* Hands on the bytes of the first run behind rcv_nxt; false when the reader's buffers are full. */
static bool drain_first(struct tcp *t, struct conn *c)
{
	struct range *r = &c->reass->r[0];
	struct rte_mbuf *m;

	while ((m = r->bufs.head)) {
		uint32_t skip = c->rcv_nxt - buf_of(m)->seq;

		if (skip < m->data_len) {
			uint32_t done = rx_bytes(t, c, buf_data(m) + skip, m->data_len - skip);

			c->rcv_nxt += done;
			if (done < m->data_len - skip)
				return false;
		}
		chunk_free(t, c, buf_shift(&r->bufs));
	}
	return true;
}

void reass_drain(struct tcp *t, struct conn *c)
{
	struct reass *s = c->reass;

	while (s->n && seq_leq(s->r[0].start, c->rcv_nxt)) {
		if (!drain_first(t, c)) {
			/* What was handed on is no longer reported; the rest stays. */
			s->r[0].start = c->rcv_nxt;
			return;
		}
		s->n--;
		memmove(&s->r[0], &s->r[1], s->n * sizeof(s->r[0]));
	}
	if (!s->n)
		reass_free(t, c);
}

void reass_free(struct tcp *t, struct conn *c)
{
	struct rte_mbuf *m;

	if (!c->reass)
		return;
	for (uint32_t i = 0; i < c->reass->n; i++)
		while ((m = buf_shift(&c->reass->r[i].bufs)))
			chunk_free(t, c, m);
	t->reass_free[t->n_reass_free++] = (uint32_t)(c->reass - t->reass);
	c->reass = NULL;
}

static void sack_block(struct tcp_hdr *h, uint32_t start, uint32_t end)
{
	h->sack[h->n_sack].start = start;
	h->sack[h->n_sack++].end = end;
}

/* The blocks to report: a duplicate first (RFC 2883), then the runs that grew last. */
uint8_t reass_sack(const struct conn *c, struct tcp_hdr *h)
{
	uint8_t max = c->flags & F_TS ? 3 : 4;
	uint32_t below = UINT32_MAX;

	h->n_sack = 0;
	if (c->dsack_start != c->dsack_end)
		sack_block(h, c->dsack_start, c->dsack_end);
	while (c->reass && h->n_sack < max) {
		const struct range *best = NULL;

		for (uint32_t i = 0; i < c->reass->n; i++) {
			const struct range *r = &c->reass->r[i];

			if (r->stamp < below && (!best || r->stamp > best->stamp) &&
			    seq_lt(c->rcv_nxt, r->start))
				best = r;
		}
		if (!best)
			break;
		below = best->stamp;
		sack_block(h, best->start, best->end);
	}
	return h->n_sack;
}
