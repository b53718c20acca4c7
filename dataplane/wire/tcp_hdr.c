/* tcp_hdr.c - the TCP header and its options: the first thing tcp_in reads, the last tcp_out
 * writes. */
#include "dataplane/wire/tcp_hdr.h"

enum { KIND_END, KIND_NOP, KIND_MSS, KIND_WSCALE, KIND_SACK_OK, KIND_SACK, KIND_TS = 8 };

#define NOP_NOP_TS 0x0101080au /* how nearly every segment's options begin */

static void read_sack(struct tcp_hdr *h, struct reader *r)
{
	h->opts |= TCP_OPT_SACK;
	h->n_sack = 0;
	while (h->n_sack < 4 && rd_left(r) >= 8) {
		h->sack[h->n_sack].start = rd_u32(r);
		h->sack[h->n_sack++].end = rd_u32(r);
	}
}

/* One option's body, without kind and length. A known option of a wrong length is skipped. */
static void read_option(struct tcp_hdr *h, uint8_t kind, struct reader *r)
{
	size_t len = rd_left(r);

	if (kind == KIND_MSS && len == 2) {
		h->opts |= TCP_OPT_MSS;
		h->mss = rd_u16(r);
	} else if (kind == KIND_WSCALE && len == 1) {
		h->opts |= TCP_OPT_WSCALE;
		h->wscale = rd_u8(r);
		h->wscale = MIN(h->wscale, 14); /* RFC 7323 2.3 */
	} else if (kind == KIND_SACK_OK && len == 0) {
		h->opts |= TCP_OPT_SACK_OK;
	} else if (kind == KIND_TS && len == 8) {
		h->opts |= TCP_OPT_TS;
		h->ts_val = rd_u32(r);
		h->ts_ecr = rd_u32(r);
	} else if (kind == KIND_SACK && len >= 8 && len % 8 == 0) {
		read_sack(h, r);
	}
}

static int read_options(struct tcp_hdr *h, const uint8_t *p, size_t len)
{
	struct reader r = reader_of(p, len);

	while (rd_left(&r) && !r.bad) {
		uint8_t kind = rd_u8(&r);

		if (kind == KIND_END)
			break;
		if (kind == KIND_NOP)
			continue;
		uint8_t opt_len = rd_u8(&r);
		if (r.bad || opt_len < 2)
			return ERR_MALFORMED;
		struct reader body = rd_sub(&r, opt_len - 2);
		if (!body.bad)
			read_option(h, kind, &body);
	}
	return r.bad ? ERR_MALFORMED : 0;
}

static void read_fixed(struct tcp_hdr *h, const uint8_t *p, uint8_t hdr_len)
{
	h->src_port = be16_get(p);
	h->dst_port = be16_get(p + 2);
	h->seq = be32_get(p + 4);
	h->ack = be32_get(p + 8);
	h->flags = p[13] & 0x3f;
	h->opts = 0;
	h->hdr_len = hdr_len;
	h->n_sack = 0;
	h->window = be16_get(p + 14);
	h->mss = 0;
	h->wscale = 0;
	h->ts_val = h->ts_ecr = 0;
}

int tcp_hdr_parse(struct tcp_hdr *out, const uint8_t *p, size_t len)
{
	uint8_t hdr_len;
	struct tcp_hdr h;

	if (len < TCP_HDR_MIN)
		return ERR_MALFORMED;
	hdr_len = (p[12] >> 4) * 4;
	if (hdr_len < TCP_HDR_MIN || hdr_len > len)
		return ERR_MALFORMED;
	/* In place: a copy of what was just written in pieces would wait for every store before it.
	 */
	if (LIKELY(hdr_len == 32 && be32_get(p + 20) == NOP_NOP_TS)) {
		read_fixed(out, p, hdr_len);
		out->opts = TCP_OPT_TS;
		out->ts_val = be32_get(p + 24);
		out->ts_ecr = be32_get(p + 28);
		return 0;
	}
	read_fixed(&h, p, hdr_len);
	if (read_options(&h, p + TCP_HDR_MIN, hdr_len - TCP_HDR_MIN) < 0)
		return ERR_MALFORMED;
	*out = h;
	return 0;
}

static uint8_t sack_fitting(uint8_t opts, uint8_t n_sack)
{
	uint8_t max = opts & TCP_OPT_TS ? 3 : 4;

	return MIN(n_sack, max);
}

size_t tcp_hdr_size(uint8_t opts, uint8_t n_sack)
{
	size_t len = TCP_HDR_MIN;

	len += opts & TCP_OPT_MSS ? 4 : 0;
	len += opts & TCP_OPT_WSCALE ? 4 : 0;
	/* The timestamp's two bytes of padding carry SACK-permitted. */
	len += opts & TCP_OPT_TS ? 12 : opts & TCP_OPT_SACK_OK ? 4 : 0;
	if (opts & TCP_OPT_SACK && n_sack)
		len += 4 + 8 * sack_fitting(opts, n_sack);
	return len;
}

static void put_fixed(const struct tcp_hdr *h, uint8_t *p, size_t len)
{
	be32_put(p, (uint32_t)h->src_port << 16 | h->dst_port);
	be32_put(p + 4, h->seq);
	be32_put(p + 8, h->ack);
	be32_put(p + 12, (uint32_t)(len / 4) << 28 | (uint32_t)h->flags << 16 | h->window);
	be32_put(p + 16, 0);
}

size_t tcp_hdr_build(const struct tcp_hdr *h, uint8_t *p)
{
	size_t len = tcp_hdr_size(h->opts, h->n_sack);
	struct writer w = writer_of(p + TCP_HDR_MIN, len - TCP_HDR_MIN);

	put_fixed(h, p, len);
	if (LIKELY(h->opts == TCP_OPT_TS)) {
		be32_put(p + 20, NOP_NOP_TS);
		be32_put(p + 24, h->ts_val);
		be32_put(p + 28, h->ts_ecr);
		return len;
	}
	if (h->opts & TCP_OPT_MSS)
		wr_u32(&w, (uint32_t)KIND_MSS << 24 | 4u << 16 | h->mss);
	if (h->opts & TCP_OPT_SACK_OK)
		wr_u16(&w, KIND_SACK_OK << 8 | 2);
	else if (h->opts & TCP_OPT_TS)
		wr_u16(&w, KIND_NOP << 8 | KIND_NOP);
	if (h->opts & TCP_OPT_TS) {
		wr_u16(&w, KIND_TS << 8 | 10);
		wr_u32(&w, h->ts_val);
		wr_u32(&w, h->ts_ecr);
	} else if (h->opts & TCP_OPT_SACK_OK) {
		wr_u16(&w, KIND_NOP << 8 | KIND_NOP);
	}
	if (h->opts & TCP_OPT_WSCALE)
		wr_u32(&w, (uint32_t)KIND_NOP << 24 | KIND_WSCALE << 16 | 3u << 8 | h->wscale);
	if (h->opts & TCP_OPT_SACK && h->n_sack) {
		uint8_t n = sack_fitting(h->opts, h->n_sack);

		wr_u32(&w,
		       (uint32_t)KIND_NOP << 24 | KIND_NOP << 16 | KIND_SACK << 8 | (2u + 8u * n));
		for (uint8_t i = 0; i < n; i++) {
			wr_u32(&w, h->sack[i].start);
			wr_u32(&w, h->sack[i].end);
		}
	}
	return TCP_HDR_MIN + wr_len(&w);
}
