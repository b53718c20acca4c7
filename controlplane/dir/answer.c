/* answer.c - answers to directory requests: their heads, and their bodies packed as they are read.
 */
#include "controlplane/dir/answer.h"

#include <stdlib.h>

struct dir_answer *answer_new(struct dir *d)
{
	struct dir_answer *a = calloc(1, sizeof(*a));

	if (a) {
		a->d = d;
		d->n_answers++;
	}
	return a;
}

void dir_answer_free(struct dir_answer *a)
{
	if (!a)
		return;
	a->d->n_answers--;
	for (unsigned i = 0; i < a->n_parts; i++)
		blob_put(a->parts[i]);
	free(a->parts);
	text_free(&a->head);
	packer_free(a->packer);
	free(a);
}

int answer_add(struct dir_answer *a, struct blob *b)
{
	if (!b)
		return 0;
	if (a->n_parts == a->cap_parts) {
		unsigned cap = a->cap_parts ? 2 * a->cap_parts : 4;
		struct blob **p = realloc(a->parts, cap * sizeof(*p));

		if (!p)
			return ERR_FULL;
		a->parts = p;
		a->cap_parts = cap;
	}
	a->parts[a->n_parts++] = blob_get(b);
	return 0;
}

size_t answer_len(const struct dir_answer *a)
{
	size_t len = 0;

	for (unsigned i = 0; i < a->n_parts; i++)
		len += a->parts[i]->len;
	return len;
}

void answer_short(struct dir_answer *a, int status, const char *reason, int64_t now)
{
	for (unsigned i = 0; i < a->n_parts; i++)
		blob_put(a->parts[i]);
	a->n_parts = 0;
	a->head.len = 0;
	text_printf(&a->head, "HTTP/1.0 %d %s\r\nDate: ", status, reason);
	text_http_time(&a->head, now);
	text_str(&a->head, "\r\n\r\n");
}

/* Addresses that tell their owner nothing (D19). */
static bool is_private(const struct addr *a)
{
	static const struct {
		uint8_t family, bits, ip[4];
	} nets[] = {
		{4, 8, {0}},	       {4, 8, {10}},	      {4, 8, {127}}, {4, 16, {169, 254}},
		{4, 12, {172, 16}},    {4, 16, {192, 168}},   {6, 32, {0}},  {6, 7, {0xfc}},
		{6, 10, {0xfe, 0x80}}, {6, 10, {0xfe, 0xc0}},
	};

	for (unsigned i = 0; i < ARRAY_LEN(nets); i++)
		if (nets[i].family == a->family &&
		    !((be32_get(a->ip) ^ be32_get(nets[i].ip)) >> (32 - nets[i].bits)))
			return true;
	return a->family == 0;
}

void answer_head(struct dir_answer *a, const struct answer_head *h)
{
	struct text *t = &a->head;
	char buf[ADDR_TEXT];

	text_str(t, "HTTP/1.0 200 OK\r\nDate: ");
	text_http_time(t, h->now);
	text_str(t, "\r\nContent-Type: text/plain\r\n");
	if (h->peer && !is_private(h->peer)) {
		struct addr ip = *h->peer;
		const char *s;

		ip.port = 0;
		s = addr_text(&ip, buf);
		text_printf(t, "X-Your-Address-Is: %.*s\r\n", (int)strcspn(s + (*s == '['), "]"),
			    s + (*s == '['));
	}
	text_printf(t, "Content-Encoding: %s\r\n", encoding_name(h->encoding));
	if (h->len >= 0)
		text_printf(t, "Content-Length: %lld\r\n", (long long)h->len);
	if (h->lifetime > 0) {
		text_str(t, "Expires: ");
		text_http_time(t, h->now + h->lifetime);
		text_str(t, "\r\n");
	} else if (h->lifetime == 0) {
		text_str(t, "Pragma: no-cache\r\n");
	}
	text_printf(t, "%s\r\n", h->extra);
}

/* The bytes of the body that come next as they are; len 0 at the end. */
static struct bytes body_next(const struct dir_answer *a)
{
	const struct blob *b;

	if (a->part == a->n_parts)
		return bytes_of(NULL, 0);
	b = a->parts[a->part];
	return bytes_of(b->p + a->part_at, b->len - a->part_at);
}

static void body_skip(struct dir_answer *a, size_t len)
{
	a->part_at += len;
	while (a->part < a->n_parts && a->part_at == a->parts[a->part]->len) {
		a->part++;
		a->part_at = 0;
	}
}

static void read_plain(struct dir_answer *a, struct writer *w)
{
	struct bytes b;

	while (w->p < w->end && (b = body_next(a)).len) {
		size_t n = MIN(b.len, (size_t)(w->end - w->p));

		wr_bytes(w, b.p, n);
		body_skip(a, n);
	}
}

static void read_packed(struct dir_answer *a, struct writer *w)
{
	while (w->p < w->end && !a->packed_all) {
		struct bytes b = body_next(a);
		size_t len = b.len;
		int done = packer_step(a->packer, &b, a->part == a->n_parts, w);

		body_skip(a, len - b.len);
		a->packed_all = done != 0;
	}
}

size_t dir_answer_read(struct dir_answer *a, uint8_t *to, size_t cap)
{
	struct writer w = writer_of(to, cap);
	size_t n = MIN(a->head.len - a->head_at, cap);

	wr_bytes(&w, a->head.p + a->head_at, n);
	a->head_at += n;
	body_skip(a, 0);
	if (a->packer)
		read_packed(a, &w);
	else
		read_plain(a, &w);
	a->d->n_bytes_served += wr_len(&w);
	bwhist_add(&a->d->dir_written, a->d->now, wr_len(&w));
	return wr_len(&w);
}

size_t dir_memory(const struct dir *d)
{
	size_t sum = 0;

	for (unsigned way = 0; way < N_PACKER_WAYS; way++)
		sum += packers_memory(way);
	return sum;
}

#define WHOLE_MAX (64u << 20)

long dir_serve_whole(struct dir *d, const uint8_t *request, size_t len, const struct addr *peer,
		     int64_t now, uint8_t **whole)
{
	struct dir_answer *a;
	int got = dir_serve(d, request, len, peer, now, &a);
	size_t have = 0, cap = 16384, n = 1;
	uint8_t *p = NULL;

	if (got != DIR_SERVE_ANSWER)
		return got;
	while (n) {
		uint8_t *q = cap <= WHOLE_MAX ? realloc(p, cap) : NULL;

		if (!q) {
			free(p);
			dir_answer_free(a);
			return ERR_FULL;
		}
		p = q;
		n = dir_answer_read(a, p + have, cap - have);
		have += n;
		if (have == cap)
			cap *= 2;
	}
	dir_answer_free(a);
	*whole = p;
	return (long)have;
}
