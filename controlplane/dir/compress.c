/* compress.c - deflate, gzip, zstd and lzma behind one face; one row an encoding. What they hold is
 * counted, because MaxMemInQueues is for it too (interop C15). */
#include "controlplane/dir/compress.h"

#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "controlplane/dir/text.h"

#define BOMB_AFTER  (5u << 20)
#define BOMB_FACTOR 25
#define LZMA_MEMORY (64u << 20) /* for a dictionary that a peer asks us to keep */

struct packer {
	const struct codec *codec;
	enum packer_way way;
	z_stream z;
	lzma_stream l;
	ZSTD_CCtx *zc;
	ZSTD_DCtx *zd;
	lzma_allocator lz_memory;
	size_t held; /* bytes of the library's, as they stand in all_held */
};

struct codec {
	const char *name;
	int (*open)(struct packer *p);
	int (*step)(struct packer *p, struct bytes *in, bool last, struct writer *out);
	void (*close)(struct packer *p);
};

/* ---- what they hold ---- */
static size_t all_held[N_PACKER_WAYS]; /* atomic: a thread packs too */

static void held_add(struct packer *p, size_t more)
{
	p->held += more;
	__atomic_fetch_add(&all_held[p->way], more, __ATOMIC_RELAXED);
}

static void held_take(struct packer *p, size_t less)
{
	p->held -= less;
	__atomic_fetch_sub(&all_held[p->way], less, __ATOMIC_RELAXED);
}

size_t packers_memory(enum packer_way way)
{
	return __atomic_load_n(&all_held[way], __ATOMIC_RELAXED);
}

/* Allocator of zlib and lzma: each piece has its length before it. */
#define PIECE 16

static void *piece_get(void *packer, size_t n, size_t size)
{
	uint8_t *piece;
	size_t len;

	if (__builtin_mul_overflow(n, size, &len) || __builtin_add_overflow(len, PIECE, &len))
		return NULL;
	piece = malloc(len);
	if (!piece)
		return NULL;
	memcpy(piece, &len, sizeof(len));
	held_add(packer, len);
	return piece + PIECE;
}

static void piece_put(void *packer, void *p)
{
	uint8_t *piece = p;
	size_t len;

	if (!piece)
		return;
	piece -= PIECE;
	memcpy(&len, piece, sizeof(len));
	held_take(packer, len);
	free(piece);
}

static void *z_alloc(void *packer, uInt n, uInt size)
{
	return piece_get(packer, n, size);
}

static void advance(struct bytes *in, size_t used)
{
	in->p += used;
	in->len -= used;
}

/* ---- identity ---- */
static int none_open(struct packer *p)
{
	return 0;
}

static int none_step(struct packer *p, struct bytes *in, bool last, struct writer *out)
{
	size_t n = MIN(in->len, (size_t)(out->end - out->p));

	wr_bytes(out, in->p, n);
	advance(in, n);
	return last && !in->len;
}

static void none_close(struct packer *p)
{
}

/* ---- zlib and gzip ---- */
static int z_open(struct packer *p, int bits)
{
	int e;

	p->z.zalloc = z_alloc;
	p->z.zfree = piece_put;
	p->z.opaque = p;
	if (p->way == UNPACK)
		e = inflateInit2(&p->z, bits);
	else
		e = deflateInit2(&p->z, p->way == PACK_SMALL ? 9 : 6, Z_DEFLATED, bits, 8,
				 Z_DEFAULT_STRATEGY);
	return e == Z_OK ? 0 : ERR_FULL;
}

static int deflate_open(struct packer *p)
{
	return z_open(p, 15);
}

static int gzip_open(struct packer *p)
{
	return z_open(p, 15 + 16);
}

static int z_step(struct packer *p, struct bytes *in, bool last, struct writer *out)
{
	uInt in_len = (uInt)MIN(in->len, (size_t)1 << 30);
	uInt out_len = (uInt)MIN((size_t)(out->end - out->p), (size_t)1 << 30);
	int e;

	p->z.next_in = (Bytef *)(uintptr_t)in->p;
	p->z.avail_in = in_len;
	p->z.next_out = out->p;
	p->z.avail_out = out_len;
	e = p->way == UNPACK ? inflate(&p->z, Z_NO_FLUSH)
			     : deflate(&p->z, last && in_len == in->len ? Z_FINISH : Z_NO_FLUSH);
	advance(in, in_len - p->z.avail_in);
	out->p += out_len - p->z.avail_out;
	if (e == Z_STREAM_END)
		return 1;
	return e == Z_OK || e == Z_BUF_ERROR ? 0 : ERR_MALFORMED;
}

static void z_close(struct packer *p)
{
	if (p->way == UNPACK)
		inflateEnd(&p->z);
	else
		deflateEnd(&p->z);
}

/* ---- zstd: a window of at most 8 MiB either way ---- */
/* It takes what it needs at the first step, and when it reads a head; it can be asked how much. */
static void zstd_weigh(struct packer *p)
{
	size_t now = p->zc ? ZSTD_sizeof_CCtx(p->zc) : ZSTD_sizeof_DCtx(p->zd);

	if (now > p->held)
		held_add(p, now - p->held);
	else
		held_take(p, p->held - now);
}

static int zstd_step(struct packer *p, struct bytes *in, bool last, struct writer *out)
{
	ZSTD_inBuffer i = {in->p, in->len, 0};
	ZSTD_outBuffer o = {out->p, (size_t)(out->end - out->p), 0};
	size_t left;

	if (p->way == UNPACK)
		left = ZSTD_decompressStream(p->zd, &o, &i);
	else
		left = ZSTD_compressStream2(p->zc, &o, &i, last ? ZSTD_e_end : ZSTD_e_continue);
	zstd_weigh(p);
	if (ZSTD_isError(left))
		return ERR_MALFORMED;
	advance(in, i.pos);
	out->p += o.pos;
	if (p->way == UNPACK)
		return left == 0;
	return last && left == 0;
}

static int zstd_open(struct packer *p)
{
	struct bytes nothing = bytes_of(NULL, 0);
	struct writer nowhere = writer_of(NULL, 0);

	if (p->way == UNPACK) {
		p->zd = ZSTD_createDCtx();
		if (!p->zd || ZSTD_isError(ZSTD_DCtx_setParameter(p->zd, ZSTD_d_windowLogMax, 23)))
			return ERR_FULL;
		zstd_weigh(p);
		return 0;
	}
	p->zc = ZSTD_createCCtx();
	if (!p->zc)
		return ERR_FULL;
	ZSTD_CCtx_setParameter(p->zc, ZSTD_c_compressionLevel, p->way == PACK_SMALL ? 9 : 3);
	if (p->way == PACK)
		ZSTD_CCtx_setParameter(p->zc, ZSTD_c_windowLog, 18);
	/* It shall hold from the start what it will: who is next is weighed against it. */
	return zstd_step(p, &nothing, false, &nowhere) ? ERR_FULL : 0;
}

static void zstd_close(struct packer *p)
{
	held_take(p, p->held);
	ZSTD_freeDCtx(p->zd);
	ZSTD_freeCCtx(p->zc);
}

/* ---- lzma ("alone" format) ---- */
static int lz_open(struct packer *p)
{
	lzma_options_lzma o;

	p->l = (lzma_stream)LZMA_STREAM_INIT;
	p->lz_memory = (lzma_allocator) {piece_get, piece_put, p};
	p->l.allocator = &p->lz_memory;
	if (p->way == UNPACK)
		return lzma_alone_decoder(&p->l, LZMA_MEMORY) == LZMA_OK ? 0 : ERR_FULL;
	if (lzma_lzma_preset(&o, p->way == PACK_SMALL ? 6 : 2))
		return ERR_FULL;
	return lzma_alone_encoder(&p->l, &o) == LZMA_OK ? 0 : ERR_FULL;
}

static int lz_step(struct packer *p, struct bytes *in, bool last, struct writer *out)
{
	size_t out_len = (size_t)(out->end - out->p);
	lzma_ret e;

	p->l.next_in = in->p;
	p->l.avail_in = in->len;
	p->l.next_out = out->p;
	p->l.avail_out = out_len;
	e = lzma_code(&p->l, last ? LZMA_FINISH : LZMA_RUN);
	advance(in, in->len - p->l.avail_in);
	out->p += out_len - p->l.avail_out;
	if (e == LZMA_STREAM_END)
		return 1;
	return e == LZMA_OK || e == LZMA_BUF_ERROR ? 0 : ERR_MALFORMED;
}

static void lz_close(struct packer *p)
{
	lzma_end(&p->l);
}

static const struct codec codecs[N_ENCODINGS] = {
	[ENC_IDENTITY] = {"identity", none_open, none_step, none_close},
	[ENC_DEFLATE] = {"deflate", deflate_open, z_step, z_close},
	[ENC_GZIP] = {"gzip", gzip_open, z_step, z_close},
	[ENC_ZSTD] = {"x-zstd", zstd_open, zstd_step, zstd_close},
	[ENC_LZMA] = {"x-tor-lzma", lz_open, lz_step, lz_close},
};

const char *encoding_name(enum encoding e)
{
	return codecs[e].name;
}

enum encoding encoding_find(struct bytes name)
{
	for (unsigned i = 0; i < N_ENCODINGS; i++)
		if (bytes_are(name, codecs[i].name))
			return i;
	return N_ENCODINGS;
}

struct packer *packer_new(enum encoding e, enum packer_way way)
{
	struct packer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->codec = &codecs[e];
	p->way = way;
	if (p->codec->open(p)) {
		p->codec->close(p);
		free(p);
		return NULL;
	}
	return p;
}

void packer_free(struct packer *p)
{
	if (!p)
		return;
	p->codec->close(p);
	free(p);
}

int packer_step(struct packer *p, struct bytes *in, bool last, struct writer *out)
{
	return p->codec->step(p, in, last, out);
}

static bool is_bomb(enum packer_way way, size_t in_len, size_t out_len)
{
	return way == UNPACK && out_len > BOMB_AFTER && out_len / BOMB_FACTOR > in_len;
}

struct whole { /* the work of pack_all */
	struct bytes in;
	size_t in_len, max, cap;
	struct writer out;
};

/* Room for more output, up to one byte beyond max (so that exactly max still fits). */
static int whole_grow(struct whole *w, size_t cap)
{
	size_t have = wr_len(&w->out);
	uint8_t *p;

	cap = MIN(cap, w->max + 1);
	p = realloc(w->out.start, cap + 1);
	if (!p)
		return ERR_FULL;
	w->out = writer_of(p, cap);
	w->out.p = p + have;
	w->cap = cap;
	return 0;
}

static int whole_run(struct whole *w, enum encoding e, enum packer_way way)
{
	struct packer *p = packer_new(e, way);
	int done = p ? 0 : ERR_FULL;

	while (done == 0) {
		const uint8_t *in_was = w->in.p;
		const uint8_t *out_was;

		if (w->out.p == w->out.end && whole_grow(w, w->cap * 2)) {
			done = ERR_FULL;
			break;
		}
		out_was = w->out.p;
		done = packer_step(p, &w->in, true, &w->out);
		if (wr_len(&w->out) > w->max || is_bomb(way, w->in_len, wr_len(&w->out)))
			done = ERR_FULL;
		else if (done == 0 && w->in.p == in_was && w->out.p == out_was)
			done = ERR_MALFORMED; /* cut short */
	}
	packer_free(p);
	return done;
}

int pack_all(enum encoding e, enum packer_way way, const uint8_t *p, size_t len, size_t max,
	     uint8_t **out, size_t *out_len)
{
	struct whole w = {.in = {p, len}, .in_len = len, .max = max};
	int done = whole_grow(&w, len + 1024);

	if (!done)
		do {
			done = whole_run(&w, e, way);
		} while (done == 1 && w.in.len && way == UNPACK);
	if (done < 0) {
		free(w.out.start);
		return done;
	}
	*w.out.p = 0;
	*out = w.out.start;
	*out_len = wr_len(&w.out);
	return 0;
}
