/* cache.c - what was fetched, on disk under tor's names; each file changes as a whole (D23). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/dir/internal.h"

#define FILE_MAX_LEN  (256u << 20)
#define WRITE_EVERY_S 600
#define STATE_EVERY_S 3600
#define MD_KEEP_S     (7 * 86400)
#define ROUTER_KEEP_S (5 * 86400)

static const struct {
	const char *consensus, *docs, *journal;
	int64_t keep_s;
} names[N_FLAVOURS] = {
	[FLAVOUR_NS] = {"cached-consensus", "cached-descriptors", "cached-descriptors.new",
			ROUTER_KEEP_S},
	[FLAVOUR_MICRODESC] = {"cached-microdesc-consensus", "cached-microdescs",
			       "cached-microdescs.new", MD_KEEP_S},
};

static bool path_of(const struct dir *d, const char *name, char path[4096])
{
	const char *at = d->config->cache_dir;

	return at && snprintf(path, 4096, "%s/%s", at, name) < 4096;
}

/* The whole file, NUL behind it; NULL when there is none to be had. */
static uint8_t *file_read(const struct dir *d, const char *name, size_t *len)
{
	char path[4096];
	struct stat st;
	uint8_t *p = NULL;
	size_t got = 0;
	int fd;

	if (!path_of(d, name, path))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= FILE_MAX_LEN)
		p = malloc((size_t)st.st_size + 1);
	while (p && got < (size_t)st.st_size) {
		ssize_t n = read(fd, p + got, (size_t)st.st_size - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	if (p)
		p[got] = 0;
	*len = got;
	return p;
}

/* ---- writing: to a new file, then over the old one ---- */
struct writing {
	FILE *f;
	char path[4096], tmp[4096 + 8];
};

static bool writing_open(struct writing *w, const struct dir *d, const char *name)
{
	int fd;

	if (!path_of(d, name, w->path))
		return false;
	snprintf(w->tmp, sizeof(w->tmp), "%s.tmp", w->path);
	fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	w->f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!w->f) {
		log_warn("Cannot write %s: %s.", w->tmp, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return w->f != NULL;
}

static bool writing_done(struct writing *w)
{
	bool good = !ferror(w->f);

	if (fclose(w->f) || !good || rename(w->tmp, w->path)) {
		log_warn("Cannot write %s: %s.", w->path, strerror(errno));
		unlink(w->tmp);
		return false;
	}
	return true;
}

void cache_write_consensus(const struct dir *d, const struct consensus *c)
{
	struct writing w;

	if (!writing_open(&w, d, names[c->flavour].consensus))
		return;
	fwrite(c->text->p, 1, c->text->len, w.f);
	writing_done(&w);
}

static void write_certs(struct dir *d)
{
	struct writing w;

	if (!writing_open(&w, d, "cached-certs"))
		return;
	for (unsigned i = 0; i < d->certs.n; i++)
		fwrite(d->certs.v[i].text->p, 1, d->certs.v[i].text->len, w.f);
	if (writing_done(&w))
		d->certs.dirty = false;
}

static void write_annotation(FILE *f, enum flavour flavour, const struct doc *doc)
{
	struct text t = {0};

	text_str(&t, flavour == FLAVOUR_NS ? "@downloaded-at " : "@last-listed ");
	text_time(&t, doc->listed_at);
	text_str(&t, "\n");
	if (!t.bad)
		fwrite(t.p, 1, t.len, f);
	text_free(&t);
}

static void write_docs(struct dir *d, enum flavour f)
{
	struct store *s = &d->docs[f];
	struct writing w;
	char journal[4096];

	if (!writing_open(&w, d, names[f].docs))
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		write_annotation(w.f, f, &s->docs[i]);
		fwrite(s->docs[i].text->p, 1, s->docs[i].text->len, w.f);
	}
	if (!writing_done(&w))
		return;
	s->dirty = false;
	/* a journal that another tor left is part of the file now */
	if (path_of(d, names[f].journal, journal))
		unlink(journal);
}

static const struct {
	const char *kind;
	size_t at;
} histories[] = {
	{"Read", offsetof(struct dir, read)},
	{"Write", offsetof(struct dir, written)},
	{"DirRead", offsetof(struct dir, dir_read)},
	{"DirWrite", offsetof(struct dir, dir_written)},
};

static struct bwhist *history(struct dir *d, unsigned i)
{
	return (struct bwhist *)((uint8_t *)d + histories[i].at);
}

void cache_tick(struct dir *d, int64_t now, bool at_once)
{
	if (at_once || now - d->cache_at >= (d->config->testing_tor_network ? 20 : WRITE_EVERY_S)) {
		d->cache_at = now;
		auth_certs_drop_expired(&d->certs, now);
		if (d->certs.dirty)
			write_certs(d);
		for (unsigned f = 0; f < N_FLAVOURS; f++) {
			if (d->current[f] && now <= d->current[f]->valid_until)
				store_expire(&d->docs[f], now - names[f].keep_s);
			if (d->docs[f].dirty)
				write_docs(d, f);
		}
	}
	if (!at_once && now - d->state_at < STATE_EVERY_S)
		return;
	d->state_at = now;
	for (unsigned i = 0; d->config->data_directory && i < ARRAY_LEN(histories); i++)
		bwhist_save(history(d, i), d->config->data_directory, histories[i].kind);
}

/* ---- at start ---- */
static void load_docs(struct dir *d, enum flavour f, const char *name, int64_t now)
{
	size_t len;
	uint8_t *p = file_read(d, name, &len);

	if (p)
		docs_accept(d, f, bytes_of(p, len), NULL, 0, now);
	free(p);
}

static void load_consensus(struct dir *d, enum flavour f, int64_t now)
{
	struct consensus *c;
	size_t len;
	uint8_t *p = file_read(d, names[f].consensus, &len);

	if (p && consensus_parse(&c, p, len) == 0) {
		if (c->flavour == f && consensus_usable(c, now))
			consensus_accept(d, c, now);
		else
			consensus_free(c);
	}
	free(p);
}

void cache_load(struct dir *d, int64_t now)
{
	size_t len;
	uint8_t *certs = file_read(d, "cached-certs", &len);

	if (certs)
		auth_certs_add(&d->certs, d->config, bytes_of(certs, len));
	free(certs);
	d->certs.dirty = false;
	for (unsigned f = 0; f < N_FLAVOURS; f++) {
		load_docs(d, f, names[f].docs, now);
		load_docs(d, f, names[f].journal, now);
		d->docs[f].dirty = false;
		load_consensus(d, f, now);
	}
	for (unsigned i = 0; d->config->data_directory && i < ARRAY_LEN(histories); i++)
		bwhist_load(history(d, i), d->config->data_directory, histories[i].kind, now);
}
