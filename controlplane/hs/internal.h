/* internal.h - what the files of hs/ share: the two maps and the way to answer. */
#ifndef RAMSON_HS_INTERNAL_H
#define RAMSON_HS_INTERNAL_H

#include "controlplane/door/door.h"
#include "controlplane/hs/hs.h"
#include "dataplane/wire/hs_cells.h"
#include "dataplane/wire/relay_msg.h"

/* Circuits by auth key or by cookie, under a secret hash key: both are chosen by strangers. */
struct hs_map {
	struct hash_key key;
	size_t key_len;
	struct hs_leg **buckets;
	uint32_t n, n_buckets;
};

struct hs {
	struct door *door;
	struct hs_map services, cookies;
	struct hs_figures figures;
	struct hs_settings set;
	int64_t now_s;
};

struct hs_leg *hs_map_find(const struct hs_map *m, const uint8_t *key);
/* The leg stands in the map from now on, under key. */
void hs_map_add(struct hs_map *m, struct hs_leg *leg, const uint8_t *key);
void hs_map_del(struct hs_map *m, struct hs_leg *leg);

/* ---- limit.c ---- */
/* A new introduction point: its bucket is full. */
void hs_limit_start(const struct hs *hs, struct hs_leg *leg);
/* Whether the service may be sent one more INTRODUCE2; takes a token. */
bool hs_limit_allows(const struct hs *hs, struct hs_leg *leg);

/* Sends one relay message towards the client of a circuit. 0 or ERR_FULL. */
int hs_send(struct hs *hs, wid circ, uint8_t command, const void *body, size_t len);

#endif
