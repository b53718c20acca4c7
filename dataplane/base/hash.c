/* hash.c - SipHash-1-3, and the fixed-capacity map keyed with it. */
#include "dataplane/base/base.h"

struct sip {
	uint64_t a, b, c, d;
};
/* Eight states side by side. */
typedef uint64_t lanes __attribute__((vector_size(8 * HASH_LANES)));

static inline struct sip sip_start(const struct hash_key *key)
{
	return (struct sip) {key->k[0] ^ 0x736f6d6570736575ull, key->k[1] ^ 0x646f72616e646f6dull,
			     key->k[0] ^ 0x6c7967656e657261ull, key->k[1] ^ 0x7465646279746573ull};
}

#define ROTL(v, n) ((v) << (n) | (v) >> (64 - (n)))
/* Of words or of lanes. */
#define SIP_ROUND(a, b, c, d)                                                                      \
	do {                                                                                       \
		(a) += (b);                                                                        \
		(b) = ROTL((b), 13) ^ (a);                                                         \
		(a) = ROTL((a), 32);                                                               \
		(c) += (d);                                                                        \
		(d) = ROTL((d), 16) ^ (c);                                                         \
		(a) += (d);                                                                        \
		(d) = ROTL((d), 21) ^ (a);                                                         \
		(c) += (b);                                                                        \
		(b) = ROTL((b), 17) ^ (c);                                                         \
		(c) = ROTL((c), 32);                                                               \
	} while (0)

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->d ^= word;
	SIP_ROUND(s->a, s->b, s->c, s->d);
	s->a ^= word;
}

static inline uint64_t sip_end(struct sip *s)
{
	s->c ^= 0xff;
	for (int i = 0; i < 3; i++)
		SIP_ROUND(s->a, s->b, s->c, s->d);
	return s->a ^ s->b ^ s->c ^ s->d;
}

uint64_t hash_bytes(const struct hash_key *key, const void *p, size_t len)
{
	struct sip s = sip_start(key);
	const uint8_t *b = p;
	uint64_t word, last = (uint64_t)len << 56;

	for (; len >= 8; b += 8, len -= 8) {
		memcpy(&word, b, 8);
		sip_word(&s, word);
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)b[i] << (8 * i);
	sip_word(&s, last);
	return sip_end(&s);
}

#define LAST_OF_8 ((uint64_t)8 << 56) /* the last word behind eight bytes: only their number */

uint64_t hash_u64(const struct hash_key *key, uint64_t v)
{
	struct sip s = sip_start(key);

	sip_word(&s, v);
	sip_word(&s, LAST_OF_8);
	return sip_end(&s);
}

FOR_EACH_WIDTH void hash_u64s(const struct hash_key *key, const uint64_t *v, unsigned n,
			      uint64_t *hash)
{
	const struct sip one = sip_start(key);
	const lanes all = {0};

	for (unsigned i = 0; i < n; i += HASH_LANES) {
		lanes a = all + one.a, b = all + one.b, c = all + one.c, d = all + one.d, word;

		memcpy(&word, v + i, sizeof(word));
		d ^= word;
		SIP_ROUND(a, b, c, d);
		a ^= word;
		d ^= LAST_OF_8;
		SIP_ROUND(a, b, c, d);
		a ^= LAST_OF_8;
		c ^= 0xff;
		for (int k = 0; k < 3; k++)
			SIP_ROUND(a, b, c, d);
		word = a ^ b ^ c ^ d;
		memcpy(hash + i, &word, sizeof(word));
	}
}

#define MAP_FIRST 1024

int map_init(struct map *m, uint32_t max, struct hash_key key)
{
	uint32_t cap = 16;

	while (cap < max * 2 && cap < MAP_FIRST)
		cap *= 2;
	*m = (struct map) {.key = key, .mask = cap - 1, .max = max};
	m->entries = column_new(cap, sizeof(*m->entries));
	return m->entries ? 0 : ERR_FULL;
}

void map_fini(struct map *m)
{
	if (m->entries)
		column_free(m->entries, (size_t)m->mask + 1, sizeof(*m->entries));
	*m = (struct map) {0};
}

static inline uint32_t map_home(const struct map *m, uint64_t key)
{
	return (uint32_t)hash_u64(&m->key, key) & m->mask;
}

/* From its home on: the entry of key, or the empty one where it would go. */
static inline uint32_t map_probe(const struct map *m, uint64_t key, uint32_t i)
{
	while (m->entries[i].key && m->entries[i].key != key)
		i = (i + 1) & m->mask;
	return i;
}

static uint32_t map_find(const struct map *m, uint64_t key)
{
	return map_probe(m, key, map_home(m, key));
}

static int map_grow(struct map *m)
{
	size_t cap = (size_t)m->mask + 1;
	struct map wide = *m;

	wide.entries = column_new(cap * 2, sizeof(*m->entries));
	if (!wide.entries)
		return ERR_FULL;
	wide.mask = (uint32_t)(cap * 2 - 1);
	for (size_t i = 0; i < cap; i++)
		if (m->entries[i].key)
			wide.entries[map_find(&wide, m->entries[i].key)] = m->entries[i];
	column_free(m->entries, cap, sizeof(*m->entries));
	*m = wide;
	return 0;
}

int map_put(struct map *m, uint64_t key, uint32_t value)
{
	struct map_entry *e = &m->entries[map_find(m, key)];

	if (!e->key) {
		if (m->n >= m->max)
			return ERR_FULL;
		if (m->n >= (m->mask + 1) / 2) {
			if (map_grow(m) < 0)
				return ERR_FULL;
			e = &m->entries[map_find(m, key)];
		}
		m->n++;
		e->key = key;
	}
	e->value = value;
	return 0;
}

uint32_t map_get(const struct map *m, uint64_t key)
{
	const struct map_entry *e = &m->entries[map_find(m, key)];

	return e->key ? e->value : SLOT_NONE;
}

void map_hash(const struct map *m, const uint64_t *keys, unsigned n, uint64_t *hash)
{
	hash_u64s(&m->key, keys, n, hash);
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(&m->entries[hash[i] & m->mask]);
}

uint32_t map_get_hashed(const struct map *m, uint64_t key, uint64_t hash)
{
	const struct map_entry *e = &m->entries[map_probe(m, key, (uint32_t)hash & m->mask)];

	return e->key ? e->value : SLOT_NONE;
}

uint32_t map_del(struct map *m, uint64_t key)
{
	uint32_t hole = map_find(m, key), i = hole;
	uint32_t value = m->entries[hole].value;

	if (!m->entries[hole].key)
		return SLOT_NONE;
	/* Shift back what probed over the hole, so that no tombstones are needed. */
	for (;;) {
		i = (i + 1) & m->mask;
		if (!m->entries[i].key)
			break;
		uint32_t home = map_home(m, m->entries[i].key);
		if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
			m->entries[hole] = m->entries[i];
			hole = i;
		}
	}
	m->entries[hole] = (struct map_entry) {0};
	m->n--;
	return value;
}
