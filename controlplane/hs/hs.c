/* hs.c - the two maps of circuits that wait for a partner, and the way back to the client. */
#include "controlplane/hs/internal.h"

#include <stdlib.h>

#define BUCKETS_FIRST 256

static int map_init_empty(struct hs_map *m, struct hash_key key, size_t key_len)
{
	*m = (struct hs_map) {.key = key, .key_len = key_len, .n_buckets = BUCKETS_FIRST};
	m->buckets = calloc(m->n_buckets, sizeof(*m->buckets));
	return m->buckets ? 0 : ERR_FULL;
}

static struct hs_leg **bucket_of(const struct hs_map *m, const uint8_t *key)
{
	return &m->buckets[hash_bytes(&m->key, key, m->key_len) & (m->n_buckets - 1)];
}

struct hs_leg *hs_map_find(const struct hs_map *m, const uint8_t *key)
{
	struct hs_leg *leg = *bucket_of(m, key);

	while (leg && memcmp(leg->key, key, m->key_len))
		leg = leg->next;
	return leg;
}

/* Twice the buckets; when memory is short the chains just grow. */
static void map_grow(struct hs_map *m)
{
	struct hs_map wide = *m;

	wide.n_buckets *= 2;
	wide.buckets = calloc(wide.n_buckets, sizeof(*wide.buckets));
	if (!wide.buckets)
		return;
	for (uint32_t i = 0; i < m->n_buckets; i++)
		for (struct hs_leg *leg = m->buckets[i], *next; leg; leg = next) {
			struct hs_leg **b = bucket_of(&wide, leg->key);

			next = leg->next;
			leg->next = *b;
			*b = leg;
		}
	free(m->buckets);
	*m = wide;
}

void hs_map_add(struct hs_map *m, struct hs_leg *leg, const uint8_t *key)
{
	struct hs_leg **b;

	if (m->n >= m->n_buckets)
		map_grow(m);
	memcpy(leg->key, key, m->key_len);
	b = bucket_of(m, leg->key);
	leg->next = *b;
	*b = leg;
	leg->listed = true;
	m->n++;
}

void hs_map_del(struct hs_map *m, struct hs_leg *leg)
{
	struct hs_leg **at = bucket_of(m, leg->key);

	while (*at && *at != leg)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = leg->next;
	leg->listed = false;
	m->n--;
}

int hs_send(struct hs *hs, wid circ, uint8_t command, const void *body, size_t len)
{
	struct ctl_circ_msg m = {.command = command};

	return door_send(hs->door, wid_worker(circ), CTL_CIRC_SEND, circ, 0, &m, sizeof(m), body,
			 len);
}

int hs_new(struct hs **room, struct door *door, const uint8_t hash_seed[16])
{
	struct hs *hs = calloc(1, sizeof(*hs));
	struct hash_key key;

	if (!hs)
		return ERR_FULL;
	memcpy(&key, hash_seed, sizeof(key));
	hs->door = door;
	if (map_init_empty(&hs->services, key, 32) ||
	    map_init_empty(&hs->cookies, key, HS_COOKIE_LEN)) {
		hs_free(hs);
		return ERR_FULL;
	}
	*room = hs;
	return 0;
}

void hs_free(struct hs *hs)
{
	if (!hs)
		return;
	free(hs->services.buckets);
	free(hs->cookies.buckets);
	free(hs);
}

void hs_now(struct hs *hs, int64_t now_s)
{
	hs->now_s = now_s;
}

const struct hs_figures *hs_figures(const struct hs *hs)
{
	return &hs->figures;
}

int hs_restore(struct hs *hs, struct hs_leg *leg, uint8_t purpose, const uint8_t key[32])
{
	struct hs_map *m = purpose == HS_INTRO_POINT	? &hs->services
			   : purpose == HS_REND_WAITING ? &hs->cookies
							: NULL;

	if (purpose > HS_REND_JOINED || (m && hs_map_find(m, key)))
		return ERR_MALFORMED;
	leg->purpose = purpose;
	hs_limit_start(hs, leg);
	if (m)
		hs_map_add(m, leg, key);
	return 0;
}

void hs_leg_gone(struct hs *hs, struct hs_leg *leg)
{
	if (leg->listed)
		hs_map_del(leg->purpose == HS_INTRO_POINT ? &hs->services : &hs->cookies, leg);
}
