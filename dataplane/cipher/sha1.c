/* sha1.c - SHA-1 as tor1 needs it: a running state that can be looked at after every cell. */
#include "dataplane/cipher/internal.h"

#define BLOCK 64

void sha1_init(struct sha1 *s)
{
	*s = (struct sha1) {.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

void sha1_update(const struct cipher *c, struct sha1 *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t have = s->len % BLOCK, take = MIN(len, BLOCK - have);

	s->len += len;
	if (have) {
		memcpy(s->buf + have, p, take);
		if (have + take < BLOCK)
			return;
		c->sha1_blocks(s->h, s->buf, 1);
		p += take;
		len -= take;
	}
	c->sha1_blocks(s->h, p, len / BLOCK);
	memcpy(s->buf, p + len / BLOCK * BLOCK, len % BLOCK);
}

/* Writes what stands behind the message (RFC 3174 4) and returns how many blocks that makes. */
static size_t last_blocks(const struct sha1 *s, uint8_t last[2 * BLOCK])
{
	size_t have = s->len % BLOCK, n = have < BLOCK - 8 ? 1 : 2;

	memcpy(last, s->buf, have);
	memset(last + have, 0, n * BLOCK - have);
	last[have] = 0x80;
	be64_put(last + n * BLOCK - 8, s->len * 8);
	return n;
}

static void put_digest(const uint32_t h[5], uint8_t digest[SHA1_LEN])
{
	for (unsigned i = 0; i < 5; i++)
		be32_put(digest + 4 * i, h[i]);
}

void sha1_peek(const struct cipher *c, const struct sha1 *s, uint8_t digest[SHA1_LEN])
{
	uint8_t last[2 * BLOCK];
	uint32_t h[5];

	memcpy(h, s->h, sizeof(h));
	c->sha1_blocks(h, last, last_blocks(s, last));
	put_digest(h, digest);
}

/* Runs two streams of n[0] and n[1] blocks, together as far as both go. */
static void blocks_pair(const struct cipher *c, uint32_t *h[2], const uint8_t *p[2],
			const size_t n[2])
{
	size_t both = MIN(n[0], n[1]);

	if (both)
		c->sha1_blocks_x2(h, p, both);
	for (unsigned i = 0; i < 2; i++)
		if (n[i] > both)
			c->sha1_blocks(h[i], p[i] + both * BLOCK, n[i] - both);
}

static void cell_pair(const struct cipher *c, struct sha1 *const s[2],
		      const uint8_t *const payload[2], uint8_t (*digest)[SHA1_LEN])
{
	uint8_t last[2][2 * BLOCK];
	uint32_t end[2][5], *h[2];
	const uint8_t *p[2];
	size_t n[2], left[2];

	for (unsigned i = 0; i < 2; i++) { /* the block begun by an earlier cell */
		size_t have = s[i]->len % BLOCK, take = have ? BLOCK - have : 0;

		memcpy(s[i]->buf + have, payload[i], take);
		h[i] = s[i]->h;
		p[i] = s[i]->buf;
		n[i] = have != 0;
		left[i] = RELAY_PAYLOAD - take;
	}
	blocks_pair(c, h, p, n);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = payload[i] + RELAY_PAYLOAD - left[i];
		n[i] = left[i] / BLOCK;
	}
	blocks_pair(c, h, p, n);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(s[i]->buf, p[i] + n[i] * BLOCK, left[i] % BLOCK);
		s[i]->len += RELAY_PAYLOAD;
		memcpy(end[i], s[i]->h, sizeof(end[i]));
		n[i] = last_blocks(s[i], last[i]);
		h[i] = end[i];
		p[i] = last[i];
	}
	blocks_pair(c, h, p, n);
	put_digest(end[0], digest[0]);
	put_digest(end[1], digest[1]);
}

void sha1_cells(const struct cipher *c, struct sha1 *const *s, const uint8_t *const *payload,
		uint8_t (*digest)[SHA1_LEN], unsigned n)
{
	unsigned i = 0;

	while (c->sha1_cells_x16 && n - i >= c->sha1_lanes_from) {
		unsigned k = MIN(n - i, SHA1_LANES);

		c->sha1_cells_x16(s + i, payload + i, digest + i, k);
		i += k;
	}
	for (; i + 1 < n; i += 2)
		cell_pair(c, s + i, payload + i, digest + i);
	if (i < n) {
		sha1_update(c, s[i], payload[i], RELAY_PAYLOAD);
		sha1_peek(c, s[i], digest[i]);
	}
}
