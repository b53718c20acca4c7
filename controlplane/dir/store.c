/* store.c - kept texts: shared blobs, and the table of them by digest. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "controlplane/dir/docs.h"

void digest_sha1(const void *p, size_t len, uint8_t out[20])
{
	EVP_Digest(p, len, out, NULL, EVP_sha1(), NULL);
}

void digest_sha256(const void *p, size_t len, uint8_t out[32])
{
	EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL);
}

void digest_sha3(const void *p, size_t len, uint8_t out[32])
{
	EVP_Digest(p, len, out, NULL, EVP_sha3_256(), NULL);
}

struct blob *blob_take(uint8_t *p, size_t len)
{
	struct blob *b = malloc(sizeof(*b));

	if (!b) {
		free(p);
		return NULL;
	}
	*b = (struct blob) {1, len, p};
	return b;
}

struct blob *blob_new(const void *p, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, p, len);
	copy[len] = 0;
	return blob_take(copy, len);
}

struct blob *blob_get(struct blob *b)
{
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

void blob_put(struct blob *b)
{
	if (!b || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(b->p);
	free(b);
}

int store_init(struct store *s, unsigned digest_len, struct hash_key key)
{
	memset(s, 0, sizeof(*s));
	s->digest_len = digest_len;
	s->key = key;
	return map_init(&s->by_digest, STORE_MAX, key);
}

void store_fini(struct store *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		blob_put(s->docs[i].text);
	free(s->docs);
	map_fini(&s->by_digest);
	memset(s, 0, sizeof(*s));
}

static uint64_t store_key(const struct store *s, const uint8_t *digest)
{
	uint64_t k = hash_bytes(&s->key, digest, s->digest_len);

	return k ? k : 1;
}

struct doc *store_find(const struct store *s, const uint8_t *digest)
{
	uint32_t i = map_get(&s->by_digest, store_key(s, digest));

	if (i == SLOT_NONE || memcmp(s->docs[i].digest, digest, s->digest_len) != 0)
		return NULL;
	return &s->docs[i];
}

int store_add(struct store *s, const uint8_t *digest, struct blob *text, int64_t listed_at)
{
	uint64_t key = store_key(s, digest);
	struct doc *d;

	if (map_get(&s->by_digest, key) != SLOT_NONE)
		return store_find(s, digest) ? 0 : ERR_FULL;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? MIN(2 * s->cap, STORE_MAX) : 64;

		d = s->n < cap ? realloc(s->docs, cap * sizeof(*d)) : NULL;
		if (!d)
			return ERR_FULL;
		s->docs = d;
		s->cap = cap;
	}
	if (map_put(&s->by_digest, key, s->n))
		return ERR_FULL;
	d = &s->docs[s->n++];
	memset(d, 0, sizeof(*d));
	memcpy(d->digest, digest, s->digest_len);
	d->listed_at = listed_at;
	d->text = blob_get(text);
	s->dirty = true;
	return 0;
}

void store_expire(struct store *s, int64_t since)
{
	for (uint32_t i = 0; i < s->n;) {
		struct doc *d = &s->docs[i];

		if (d->listed_at >= since) {
			i++;
			continue;
		}
		map_del(&s->by_digest, store_key(s, d->digest));
		blob_put(d->text);
		*d = s->docs[--s->n];
		if (i < s->n)
			map_put(&s->by_digest, store_key(s, d->digest), i);
		s->dirty = true;
	}
}
