/* onion.c - the onion keys: TAP, only published, and ntor, answered by the handshake threads from a
 * snapshot; rotated every 28 days, the previous ntor key accepted for seven more (tor-spec 5.1.4).
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/keys/internal.h"

#define ROTATION_DAYS 28
#define GRACE_DAYS    7

static const char tap_name[] = "secret_onion_key";
static const char tap_old_name[] = "secret_onion_key.old";
static const char ntor_name[] = "secret_onion_key_ntor";
static const char ntor_old_name[] = "secret_onion_key_ntor.old";
static const char rotated_word[] = "LastRotatedOnionKey";

static int curve_public(const uint8_t secret[32], uint8_t public_key[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, 32);
	size_t len = 32;
	int ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;

	EVP_PKEY_free(key);
	return ok ? 0 : ERR_CRYPTO;
}

/* 0, ERR_UNKNOWN when absent or empty, another when broken. */
static int ntor_read(const char *path, struct ntor_key *key)
{
	uint8_t data[64], check[32];
	int n = tagged_read(path, "c25519v1", "onion", data, sizeof(data));

	if (n == sizeof(data)) {
		n = curve_public(data, check);
		if (!n && memcmp(check, data + 32, 32))
			n = ERR_CRYPTO;
		if (!n) {
			memcpy(key->secret, data, 32);
			memcpy(key->public_key, check, 32);
		}
	} else if (n >= 0) {
		n = ERR_MALFORMED;
	}
	wipe(data, sizeof(data));
	return n;
}

static int ntor_make(const char *path, struct ntor_key *key)
{
	uint8_t data[64];
	int err = keys_random(data, 32);

	data[0] &= 248;
	data[31] = (data[31] & 127) | 64;
	if (!err)
		err = curve_public(data, data + 32);
	if (!err)
		err = tagged_write(path, "c25519v1", "onion", data, sizeof(data));
	if (!err) {
		memcpy(key->secret, data, 32);
		memcpy(key->public_key, data + 32, 32);
	}
	wipe(data, sizeof(data));
	return err;
}

static void snapshot_free(struct onion_keys *o)
{
	wipe(o, sizeof(*o));
	munmap(o, sizeof(*o));
}

void onion_keys_put(struct onion_keys *o)
{
	if (o && __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) == 0)
		snapshot_free(o);
}

struct onion_keys *keys_onion_get(struct keys *k)
{
	__atomic_add_fetch(&k->onion->refs, 1, __ATOMIC_RELAXED);
	return k->onion;
}

static int snapshot(struct keys *k)
{
	struct onion_keys *o =
		mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (o == MAP_FAILED)
		return ERR_FULL;
	mlock(o, sizeof(*o));
	madvise(o, sizeof(*o), MADV_DONTDUMP);
	o->refs = 1;
	memcpy(o->rsa_id, k->rsa_id, sizeof(o->rsa_id));
	memcpy(o->ed_id, k->ed_id, sizeof(o->ed_id));
	o->n = k->has_old ? 2 : 1;
	o->ntor[0] = k->secrets->ntor;
	if (k->has_old)
		o->ntor[1] = k->secrets->ntor_old;
	onion_keys_put(k->onion);
	k->onion = o;
	return 0;
}

static void rotated_write(struct keys *k)
{
	time_t t = (time_t)k->rotated_s;
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (state_set(k->data_dir, rotated_word, text) < 0)
		log_warn("Cannot write %s to %s/state: %s", rotated_word, k->data_dir,
			 strerror(errno));
}

/* When the keys were rotated; from now on when the state file does not know, or says a time to
 * come. */
static void rotated_read(struct keys *k, int64_t now_s)
{
	struct tm tm = {0};
	char text[64];

	if (state_get(k->data_dir, rotated_word, text, sizeof(text)) == 0 &&
	    strptime(text, "%Y-%m-%d %H:%M:%S", &tm)) {
		k->rotated_s = timegm(&tm);
		if (k->rotated_s > 100 && k->rotated_s <= now_s)
			return;
	}
	k->rotated_s = now_s;
	rotated_write(k);
}

static int ntor_open(struct keys *k, char *why)
{
	char path[PATH_MAX];
	int err = ntor_read(path_of(path, k->key_dir, ntor_name), &k->secrets->ntor);

	if (err == ERR_UNKNOWN)
		err = ntor_make(path, &k->secrets->ntor);
	if (err)
		return keys_fail(why, err,
				 "Cannot read or make the ntor onion key in %s. If the file is "
				 "damaged, move it away: a new key will be made.",
				 path);
	err = ntor_read(path_of(path, k->key_dir, ntor_old_name), &k->secrets->ntor_old);
	k->has_old = !err;
	if (err && err != ERR_UNKNOWN)
		log_warn("Cannot read the previous ntor onion key in %s; doing without.", path);
	return 0;
}

static int tap_take(struct keys *k, EVP_PKEY *key)
{
	if (!key || keys_pem(key, k->tap_pem) < 0) {
		EVP_PKEY_free(key);
		return ERR_CRYPTO;
	}
	EVP_PKEY_free(k->tap);
	k->tap = key;
	return 0;
}

int onion_open(struct keys *k, int64_t now_s, char *why)
{
	char path[PATH_MAX];
	unsigned changed = 0;
	int err = tap_take(k, keys_rsa_load(path_of(path, k->key_dir, tap_name), why));

	if (err)
		return err;
	rotated_read(k, now_s);
	err = ntor_open(k, why);
	if (!err && snapshot(k) < 0)
		err = keys_fail(why, ERR_FULL, "Out of memory");
	if (!err)
		onion_tick(k, now_s, &changed);
	return err;
}

/* tor's order: the present becomes the old, then a new one is written. A crash between leaves no
 * present key, and the next start makes one. */
static int rotate(struct keys *k, int64_t now_s)
{
	char path[PATH_MAX], old[PATH_MAX];
	EVP_PKEY *tap = keys_rsa_new(1024);
	struct ntor_key fresh;
	int err;

	if (!tap)
		return ERR_CRYPTO;
	path_of(path, k->key_dir, tap_name);
	if (rename(path, path_of(old, k->key_dir, tap_old_name)) < 0 && errno != ENOENT)
		log_warn("Cannot rename %s: %s", path, strerror(errno));
	err = pem_write(path, tap);
	if (err || (err = tap_take(k, tap))) {
		if (err == ERR_SYSTEM)
			EVP_PKEY_free(tap);
		return err;
	}
	path_of(path, k->key_dir, ntor_name);
	if (rename(path, path_of(old, k->key_dir, ntor_old_name)) < 0 && errno != ENOENT)
		log_warn("Cannot rename %s: %s", path, strerror(errno));
	err = ntor_make(path, &fresh);
	if (!err) {
		k->secrets->ntor_old = k->secrets->ntor;
		k->secrets->ntor = fresh;
		k->has_old = true;
		k->rotated_s = now_s;
		rotated_write(k);
	}
	wipe(&fresh, sizeof(fresh));
	return err;
}

static void retire_old(struct keys *k)
{
	char path[PATH_MAX];

	unlink(path_of(path, k->key_dir, tap_old_name));
	unlink(path_of(path, k->key_dir, ntor_old_name));
	wipe(&k->secrets->ntor_old, sizeof(k->secrets->ntor_old));
	k->has_old = false;
}

void onion_tick(struct keys *k, int64_t now_s, unsigned *changed)
{
	unsigned days = k->config.rotation_days ? k->config.rotation_days : ROTATION_DAYS;
	unsigned grace = k->config.grace_days ? k->config.grace_days : GRACE_DAYS;
	bool done = false;

	if (now_s >= k->rotated_s + (int64_t)days * DAY_S) {
		if (rotate(k, now_s) == 0) {
			log_notice("Rotated the onion keys.");
			done = true;
		} else {
			log_warn("Cannot rotate the onion keys in %s: %s", k->key_dir,
				 strerror(errno));
		}
	} else if (k->has_old && now_s >= k->rotated_s + (int64_t)MIN(grace, days) * DAY_S) {
		retire_old(k);
		done = true;
	}
	if (done && snapshot(k) == 0)
		*changed |= KEYS_ONION;
}

void onion_close(struct keys *k)
{
	onion_keys_put(k->onion);
	EVP_PKEY_free(k->tap);
}

int keys_tap_crosscert(const struct keys *k, uint8_t sig[KEYS_RSA_SIG])
{
	uint8_t word[KEYS_RSA_ID + KEYS_ED_ID];
	size_t len = KEYS_RSA_SIG;

	memcpy(word, k->rsa_id, KEYS_RSA_ID);
	memcpy(word + KEYS_RSA_ID, k->ed_id, KEYS_ED_ID);
	return rsa_sign(k->tap, word, sizeof(word), sig, &len);
}

int keys_ntor_crosscert(const struct keys *k, int64_t now_s, uint8_t cert[ED_CERT_MAX],
			size_t *cert_len, unsigned *sign)
{
	unsigned days = k->config.rotation_days ? k->config.rotation_days : ROTATION_DAYS;
	struct ed_key key;
	int n;

	ed25519_of_curve25519(k->secrets->ntor.secret, key.secret, key.public_key);
	*sign = key.public_key[31] >> 7;
	n = identity_certify(&key, CERT_NTOR_ID, CERT_KEY_ED25519, k->ed_id,
			     now_s + (int64_t)days * DAY_S, false, cert);
	wipe(&key, sizeof(key));
	if (n < 0)
		return n;
	*cert_len = (size_t)n;
	return 0;
}
