/* test_world.c - for tests of dir: its surroundings. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/dir/test_world.h"

const char real_authorities[] =
	"DirAuthority a1 orport=28000 v3ident=690194E9ACC8BCF0EFBA079E861323C10E5BEDD3 "
	"127.0.0.1:28001 3D13E3BE2C441CD0499327A4D1716EE9225510DF\n"
	"DirAuthority a2 orport=28010 v3ident=27A5EDB6DF3A3C791DD60B24C4C5F0A7A9F729E4 "
	"127.0.0.1:28011 3E007B6D58BB81E3CFCEC8C1E16F09898B3AB09C\n"
	"DirAuthority a3 orport=28020 v3ident=22E03F2E3D9AD4E4C8FC305BA9612836132A1F82 "
	"127.0.0.1:28021 1E0D1B2C6B188EF0E2796AFC4EF4472921A9ECA6\n";

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "test_world: %s\n", what);
	abort();
}

static void run(const char *fmt, const char *a, const char *b)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), fmt, a, b);
	must(system(cmd) == 0, cmd);
}

static int world_fetch(void *ctx, const struct dir_target *to, const uint8_t *request, size_t len,
		       size_t max_len, dir_fetched done, void *arg)
{
	struct world *w = ctx;
	struct wait *a;

	if (w->refuse_fetch)
		return ERR_FULL;
	a = calloc(1, sizeof(*a));
	text_add(&a->request, request, len);
	a->to = *to;
	a->max_len = max_len;
	a->done = done;
	a->arg = arg;
	*w->tail = a;
	w->tail = &a->next;
	w->n_waits++;
	return 0;
}

static void world_changed(void *ctx)
{
	((struct world *)ctx)->n_changed++;
}

static void dir_open(struct world *w, int64_t now)
{
	struct dir_setup s = {.config = &w->config,
			      .keys = w->keys,
			      .fetch = world_fetch,
			      .fetch_ctx = w,
			      .changed = world_changed,
			      .changed_ctx = w,
			      .since = now - 60};

	w->dir = dir_new(&s, now);
	must(w->dir != NULL, "dir_new");
}

static void replace(char **where, const char *value)
{
	free(*where);
	*where = strdup(value);
}

void world_open(struct world *w, const char *extra, bool cached, int64_t now)
{
	struct config_messages m = {0};
	struct text torrc = {0};
	struct keys_config kc = {0};
	char why[KEYS_WHY_MAX];

	memset(w, 0, sizeof(*w));
	w->tail = &w->waits;
	text_printf(&torrc,
		    "Nickname ours\nORPort 10.0.0.9:9001\nAddress 10.0.0.9\nDataplanePort tap:x\n"
		    "DataplaneAddress 10.0.0.9/24\nAssumeReachable 1\n%s",
		    extra);
	if (config_parse(torrc.p, torrc.len, &w->config, &m))
		must(false, m.n ? m.v[0].text : "torrc");
	config_messages_free(&m);
	text_free(&torrc);
	snprintf(w->home, sizeof(w->home), "/tmp/test_dir.XXXXXX");
	must(mkdtemp(w->home) != NULL, "mkdtemp");
	if (cached)
		run("cp %s/cached-* %s", TESTDATA, w->home);
	kc.data_dir = w->home;
	kc.nickname = "ours";
	w->keys = keys_open(&kc, now, why);
	must(w->keys != NULL, why);
	replace(&w->config.data_directory, w->home);
	replace(&w->config.cache_dir, w->home);
	dir_open(w, now);
}

static void waits_drop(struct world *w)
{
	struct wait *a;

	while ((a = wait_take(w))) {
		text_free(&a->request);
		free(a);
	}
}

void world_close(struct world *w)
{
	/* uploads own their argument: let them end */
	struct wait *a;

	while ((a = wait_take(w)))
		wait_answer(a, ERR_SYSTEM, NULL, 0);
	dir_free(w->dir);
	waits_drop(w);
	keys_close(w->keys);
	config_free(&w->config);
	run("rm -r %s%s", w->home, "");
}

void world_restart(struct world *w, int64_t now)
{
	struct wait *a;

	while ((a = wait_take(w)))
		wait_answer(a, ERR_SYSTEM, NULL, 0);
	dir_free(w->dir);
	waits_drop(w);
	dir_open(w, now);
}

struct wait *wait_take(struct world *w)
{
	struct wait *a = w->waits;

	if (!a)
		return NULL;
	w->waits = a->next;
	if (!w->waits)
		w->tail = &w->waits;
	w->n_waits--;
	return a;
}

void wait_answer(struct wait *a, int status, const void *body, size_t len)
{
	a->done(a->arg, status, body, len);
	text_free(&a->request);
	free(a);
}

int wait_serve(struct wait *a, struct dir *server, int64_t now)
{
	uint8_t *raw, *body = NULL;
	size_t len = 0;
	long n = dir_serve_whole(server, (uint8_t *)a->request.p, a->request.len, NULL, now, &raw);
	int status;

	must(n > 0, "the server has no answer");
	status = dir_http_answer(raw, (size_t)n, a->max_len, &body, &len);
	free(raw);
	wait_answer(a, status, body, len);
	free(body);
	return status;
}

char *ask(struct dir *d, const char *request, size_t *len, int64_t now)
{
	struct addr peer = {.family = 4, .ip = {8, 8, 4, 4}};
	uint8_t *raw;
	long n = dir_serve_whole(d, (const uint8_t *)request, strlen(request), &peer, now, &raw);

	must(n > 0, "no answer");
	raw = realloc(raw, (size_t)n + 1);
	raw[n] = 0;
	*len = (size_t)n;
	return (char *)raw;
}

char *file_text(const char *name, size_t *len)
{
	char path[512], *p;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", TESTDATA, name);
	f = fopen(path, "r");
	must(f != NULL, path);
	p = malloc(1 << 20);
	*len = fread(p, 1, (1 << 20) - 1, f);
	p[*len] = 0;
	fclose(f);
	return p;
}

/* ---- forging ---- */
static void key_digest(struct evp_pkey_st *key, uint8_t digest[20])
{
	uint8_t der[2048];

	digest_sha1(der, rsa_public_der(key, der, sizeof(der)), digest);
}

void forge_open(struct forged *f)
{
	memset(f, 0, sizeof(*f));
	text_str(&f->torrc, "TestingTorNetwork 1\n");
	for (unsigned i = 0; i < N_FORGED; i++) {
		f->identity[i] = EVP_RSA_gen(2048);
		key_digest(f->identity[i], f->v3ident[i]);
		text_printf(&f->torrc, "DirAuthority f%u orport=5000 v3ident=", i);
		text_base16(&f->torrc, f->v3ident[i], 20);
		text_printf(&f->torrc, " 10.0.0.%u:80 %040u\n", i + 1, i + 1);
	}
	forge_roll(f);
}

void forge_roll(struct forged *f)
{
	for (unsigned i = 0; i < N_FORGED; i++) {
		EVP_PKEY_free(f->signing[i]);
		f->signing[i] = EVP_RSA_gen(2048);
		key_digest(f->signing[i], f->signing_digest[i]);
	}
}

void forge_close(struct forged *f)
{
	for (unsigned i = 0; i < N_FORGED; i++) {
		EVP_PKEY_free(f->identity[i]);
		EVP_PKEY_free(f->signing[i]);
	}
	text_free(&f->torrc);
}

static void put_sig(struct text *t, const char *tag, struct evp_pkey_st *key, const uint8_t *digest,
		    size_t len)
{
	uint8_t sig[512];
	size_t sig_len = sizeof(sig);

	must(rsa_sign(key, digest, len, sig, &sig_len) == 0, "rsa_sign");
	text_object(t, tag, sig, sig_len);
}

static void put_key(struct text *t, const char *keyword, struct evp_pkey_st *key)
{
	uint8_t der[2048];

	text_printf(t, "%s\n", keyword);
	text_object(t, "RSA PUBLIC KEY", der, rsa_public_der(key, der, sizeof(der)));
}

void forge_cert(const struct forged *f, unsigned i, int64_t published, int64_t expires,
		size_t spoil, struct text *t)
{
	size_t start = t->len;
	uint8_t digest[20];

	text_str(t, "dir-key-certificate-version 3\nfingerprint ");
	text_base16(t, f->v3ident[i], 20);
	text_str(t, "\ndir-key-published ");
	text_time(t, published);
	text_str(t, "\ndir-key-expires ");
	text_time(t, expires);
	text_str(t, "\n");
	put_key(t, "dir-identity-key", f->identity[i]);
	put_key(t, "dir-signing-key", f->signing[i]);
	text_str(t, "dir-key-crosscert\n");
	put_sig(t, "ID SIGNATURE", f->signing[i], f->v3ident[i], 20);
	text_str(t, "dir-key-certification\n");
	digest_sha1(t->p + start, t->len - start, digest);
	put_sig(t, "SIGNATURE", f->identity[i], digest, 20);
	if (spoil)
		t->p[t->len - spoil] ^= 1;
}

void forge_consensus(const struct forged *f, const struct forge *what, struct text *t)
{
	size_t start = t->len;
	uint8_t digest[32];

	text_printf(t, "network-status-version 3%s\nvote-status consensus\nvalid-after ",
		    what->flavour == FLAVOUR_MICRODESC ? " microdesc" : "");
	text_time(t, what->valid_after);
	text_str(t, "\nfresh-until ");
	text_time(t, what->valid_after + what->interval);
	text_str(t, "\nvalid-until ");
	text_time(t, what->valid_after + 3 * what->interval);
	text_printf(t, "\n%s%sdirectory-footer\n", what->lines ? what->lines : "",
		    what->nodes ? what->nodes : "");
	text_str(t, "directory-signature ");
	digest_sha256(t->p + start, t->len - start, digest);
	t->len -= strlen("directory-signature ");
	for (unsigned i = 0; i < N_FORGED; i++) {
		if (!(what->signers & 1u << i))
			continue;
		text_str(t, "directory-signature sha256 ");
		text_base16(t, f->v3ident[i], 20);
		text_str(t, " ");
		text_base16(t, f->signing_digest[i], 20);
		text_str(t, "\n");
		put_sig(t, "SIGNATURE", f->signing[i], digest, 32);
	}
}
