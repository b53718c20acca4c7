/* intro.c - the introduction point: ESTABLISH_INTRO of services, INTRODUCE1 of clients (rend-spec
 * sections 3.1 and 3.2; interop O1 to O5, O11, O12). */
#include <openssl/evp.h> /* before base.h, which steps aside for one of its names */

#include "controlplane/hs/internal.h"

static bool signature_holds(const struct establish_intro *e)
{
	uint8_t msg[sizeof(HS_SIG_PREFIX) - 1 + RELAY_BODY];
	size_t head = sizeof(HS_SIG_PREFIX) - 1;
	EVP_PKEY *key;
	EVP_MD_CTX *ctx;
	bool ok;

	if (e->signed_part.len > RELAY_BODY)
		return false;
	memcpy(msg, HS_SIG_PREFIX, head);
	memcpy(msg + head, e->signed_part.p, e->signed_part.len);
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, e->auth_key, 32);
	ctx = EVP_MD_CTX_new();
	ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	     EVP_DigestVerify(ctx, e->sig, sizeof(e->sig), msg, head + e->signed_part.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok;
}

/* SHA3-256 over the key's length, the key and the message (rend-spec section 0.3). */
static bool mac_holds(const struct establish_intro *e, const uint8_t kh[20])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t head[8], mac[32];
	bool ok;

	be64_put(head, 20);
	ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha3_256(), NULL) == 1 &&
	     EVP_DigestUpdate(ctx, head, sizeof(head)) == 1 && EVP_DigestUpdate(ctx, kh, 20) == 1 &&
	     EVP_DigestUpdate(ctx, e->maced.p, e->maced.len) == 1 &&
	     EVP_DigestFinal_ex(ctx, mac, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok && same_bytes(mac, e->mac, sizeof(mac));
}

/* A newer circuit takes the place of an older one with the same key, which is closed. */
static void replace(struct hs *hs, const uint8_t key[32])
{
	struct hs_leg *old = hs_map_find(&hs->services, key);

	if (!old)
		return;
	hs->figures.replaced++;
	hs_map_del(&hs->services, old);
	door_send(hs->door, wid_worker(old->circ), CTL_CIRC_CLOSE, old->circ, DESTROY_FINISHED,
		  NULL, 0, NULL, 0);
}

int hs_establish_intro(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m)
{
	static const uint8_t no_extensions[1];
	struct establish_intro e;

	if (leg->purpose != HS_OR || !m->edge) {
		hs->figures.est_intro_unsuitable++;
		return DESTROY_TORPROTOCOL;
	}
	if (establish_intro_get(&e, m->body, m->len) || !signature_holds(&e) ||
	    !mac_holds(&e, m->kh)) {
		hs->figures.est_intro_malformed++;
		return DESTROY_TORPROTOCOL;
	}
	if (hs_send(hs, leg->circ, RELAY_INTRO_ESTABLISHED, no_extensions, sizeof(no_extensions)))
		return DESTROY_RESOURCELIMIT;
	replace(hs, e.auth_key);
	leg->purpose = HS_INTRO_POINT;
	leg->limit = e.limit;
	hs_limit_start(hs, leg);
	hs_map_add(&hs->services, leg, e.auth_key);
	hs->figures.est_intro_success++;
	return 0;
}

/* Passes the message on to the service. */
static enum introduce_status introduce(struct hs *hs, const struct hs_msg *m)
{
	struct hs_leg *service;
	struct introduce1 i;

	if (introduce1_get(&i, m->body, m->len)) {
		hs->figures.intro1_malformed++;
		return INTRODUCE_BAD_FORMAT;
	}
	service = hs_map_find(&hs->services, i.auth_key);
	if (!service) {
		hs->figures.intro1_unknown++;
		return INTRODUCE_UNKNOWN;
	}
	if (!hs_limit_allows(hs, service)) {
		hs->figures.intro1_rate_limited++;
		return INTRODUCE_UNKNOWN;
	}
	if (hs_send(hs, service->circ, RELAY_INTRODUCE2, m->body, m->len)) {
		hs->figures.intro1_dead++;
		return INTRODUCE_UNKNOWN;
	}
	hs->figures.intro1_success++;
	return INTRODUCE_OK;
}

/* May an INTRODUCE1 come on this circuit at all? */
static bool introduce_suits(struct hs *hs, const struct hs_leg *leg, const struct hs_msg *m)
{
	uint64_t *why = NULL;

	if (m->len < 20)
		why = &hs->figures.intro1_malformed;
	else if (leg->purpose != HS_OR || !m->edge)
		why = &hs->figures.intro1_unsuitable;
	else if (leg->introduced)
		why = &hs->figures.intro1_reused;
	else if (m->from_client)
		why = &hs->figures.intro1_single_hop;
	if (why)
		++*why;
	return !why;
}

int hs_introduce1(struct hs *hs, struct hs_leg *leg, const struct hs_msg *m)
{
	uint8_t ack[INTRODUCE_ACK_LEN];

	if (!introduce_suits(hs, leg, m))
		return DESTROY_TORPROTOCOL;
	leg->introduced = true;
	introduce_ack_put(ack, introduce(hs, m));
	return hs_send(hs, leg->circ, RELAY_INTRODUCE_ACK, ack, sizeof(ack)) ? DESTROY_RESOURCELIMIT
									     : 0;
}
