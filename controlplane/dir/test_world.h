/* test_world.h - for tests of dir: a relay's directory with keys of its own in a directory that
 * goes away, documents of a network that real tors made (testdata/), authorities whose keys the
 * test holds, and fetches that another struct dir answers. */
#ifndef RAMSON_DIR_TEST_WORLD_H
#define RAMSON_DIR_TEST_WORLD_H

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

#define REAL_NOW   1795416650 /* 2026-11-23 06:50:50: testdata/'s consensus is live */
#define REAL_AFTER 1795416640
#define FORGED_NOW 1800000000
#define N_FORGED   3

struct wait {
	struct wait *next;
	struct text request;
	struct dir_target to;
	size_t max_len;
	dir_fetched done;
	void *arg;
};
struct world {
	struct config config;
	struct keys *keys;
	struct dir *dir;
	struct wait *waits, **tail; /* fetches under way, oldest first */
	unsigned n_waits, n_changed;
	bool refuse_fetch;
	char home[64];
};
/* extra: torrc lines, the DirAuthority lines among them. cached: testdata/'s files are in the
 * cache. */
void world_open(struct world *w, const char *extra, bool cached, int64_t now);
void world_close(struct world *w);
/* Closes and opens dir again over the same files. */
void world_restart(struct world *w, int64_t now);
/* The oldest fetch, taken off; NULL: none. */
struct wait *wait_take(struct world *w);
/* Ends a fetch and frees it. */
void wait_answer(struct wait *a, int status, const void *body, size_t len);
/* Answers it by what server serves. The status. */
int wait_serve(struct wait *a, struct dir *server, int64_t now);
/* One request to d; the whole answer, NUL behind it, for free(). */
char *ask(struct dir *d, const char *request, size_t *len, int64_t now);

char *file_text(const char *name, size_t *len); /* of testdata/, for free() */
extern const char real_authorities[];		/* DirAuthority lines of testdata/ */

/* ---- authorities whose keys the test holds ---- */
struct forged {
	struct evp_pkey_st *identity[N_FORGED], *signing[N_FORGED];
	uint8_t v3ident[N_FORGED][20], signing_digest[N_FORGED][20];
	struct text torrc; /* their lines */
};
void forge_open(struct forged *f);
void forge_close(struct forged *f);
/* New signing keys. */
void forge_roll(struct forged *f);
/* Certificate of authority i; spoil: the byte at this offset from its end is changed, 0: none. */
void forge_cert(const struct forged *f, unsigned i, int64_t published, int64_t expires,
		size_t spoil, struct text *t);
/* A consensus of the interval that begins at valid_after; lines: behind the head ("params ..."),
 * nodes: its r, s, ... lines; signers: mask. */
struct forge {
	enum flavour flavour;
	int64_t valid_after, interval;
	const char *lines, *nodes;
	unsigned signers;
};
void forge_consensus(const struct forged *f, const struct forge *what, struct text *t);

#endif
