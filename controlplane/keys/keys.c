/* keys.c - opens, ticks and closes the relay's keys; the face of the room. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/keys/internal.h"

#define SECURE_HEAP (256 * 1024) /* where OpenSSL keeps private numbers: locked, not dumped */

int keys_fail(char *why, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, KEYS_WHY_MAX, fmt, args);
	va_end(args);
	return err;
}

int keys_random(void *to, size_t len)
{
	return RAND_priv_bytes(to, (int)len) == 1 ? 0 : ERR_CRYPTO;
}

EVP_PKEY *keys_rsa_new(unsigned bits)
{
	return EVP_RSA_gen(bits);
}

EVP_PKEY *keys_rsa_load(const char *path, char *why)
{
	int err;
	EVP_PKEY *key = pem_read(path, &err);

	if (key && EVP_PKEY_get_bits(key) != 1024) {
		keys_fail(why, ERR_CONFIG, "The key in %s has %d bits, not 1024", path,
			  EVP_PKEY_get_bits(key));
		EVP_PKEY_free(key);
		return NULL;
	}
	if (key)
		return key;
	if (err != ERR_UNKNOWN) {
		keys_fail(why, err, "Cannot read an RSA key from %s: %s", path,
			  err == ERR_SYSTEM ? strerror(errno) : "damaged; restore it from backup");
		return NULL;
	}
	key = keys_rsa_new(1024);
	if (!key || pem_write(path, key) < 0) {
		keys_fail(why, ERR_SYSTEM, "Cannot make and write %s: %s", path, strerror(errno));
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

int keys_pem(EVP_PKEY *key, char pem[KEYS_PEM_MAX])
{
	uint8_t der[KEYS_PEM_MAX];
	size_t len = rsa_public_der(key, der, sizeof(der));
	BIO *bio = BIO_new(BIO_s_mem());
	int n = -1;

	if (bio && len && PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, (long)len) > 0)
		n = BIO_read(bio, pem, KEYS_PEM_MAX - 1);
	BIO_free(bio);
	if (n <= 0)
		return ERR_CRYPTO;
	pem[n] = '\0';
	return 0;
}

/* A directory of ours alone: made, or closed to others, as tor does. */
static int own_dir(const char *path, const char *setting, char *why)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return keys_fail(why, ERR_SYSTEM, "Cannot make %s (%s): %s", path, setting,
				 strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return keys_fail(why, ERR_CONFIG, "%s (%s) is not a directory", path, setting);
	if (st.st_uid != geteuid())
		return keys_fail(why, ERR_CONFIG,
				 "%s (%s) belongs to user %u and we run as %u. Change "
				 "its owner, or the User setting.",
				 path, setting, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 0077) && chmod(path, 0700) < 0)
		return keys_fail(why, ERR_SYSTEM,
				 "Others may read %s (%s) and its mode cannot be "
				 "changed: %s",
				 path, setting, strerror(errno));
	return 0;
}

static struct secrets *secrets_new(void)
{
	struct secrets *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	if (mlock(s, sizeof(*s)) < 0)
		log_info("Cannot lock key memory: %s", strerror(errno));
	madvise(s, sizeof(*s), MADV_DONTDUMP);
	madvise(s, sizeof(*s), MADV_WIPEONFORK);
	return s;
}

static int keys_load(struct keys *k, int64_t now_s, char *why)
{
	int err = own_dir(k->data_dir, "DataDirectory", why);

	if (!err)
		err = own_dir(k->key_dir, "KeyDirectory", why);
	if (!err)
		err = identity_open(k, now_s, why);
	if (!err)
		err = onion_open(k, now_s, why);
	if (!err && show_renew(k, now_s) < 0)
		err = keys_fail(why, ERR_CRYPTO, "OpenSSL cannot make link certificates");
	return err;
}

struct keys *keys_open(const struct keys_config *config, int64_t now_s, char why[KEYS_WHY_MAX])
{
	struct keys *k = calloc(1, sizeof(*k));
	char path[PATH_MAX];

	if (!CRYPTO_secure_malloc_initialized())
		CRYPTO_secure_malloc_init(SECURE_HEAP, 32);
	why[0] = '\0';
	if (!k || !(k->secrets = secrets_new())) {
		free(k);
		keys_fail(why, ERR_FULL, "Out of memory");
		return NULL;
	}
	k->config = *config;
	k->data_dir = strdup(config->data_dir);
	k->key_dir =
		strdup(config->key_dir ? config->key_dir : path_of(path, config->data_dir, "keys"));
	k->nickname = strdup(config->nickname ? config->nickname : "Unnamed");
	if (!k->data_dir || !k->key_dir || !k->nickname || keys_load(k, now_s, why) < 0) {
		if (!why[0])
			keys_fail(why, ERR_FULL, "Out of memory");
		keys_close(k);
		return NULL;
	}
	return k;
}

void keys_close(struct keys *k)
{
	if (!k)
		return;
	show_close(k);
	onion_close(k);
	EVP_PKEY_free(k->rsa);
	wipe(k->secrets, sizeof(*k->secrets));
	munmap(k->secrets, sizeof(*k->secrets));
	free(k->data_dir);
	free(k->key_dir);
	free(k->nickname);
	wipe(k, sizeof(*k));
	free(k);
}

unsigned keys_tick(struct keys *k, int64_t now_s)
{
	unsigned changed = 0;

	identity_tick(k, now_s, &changed);
	onion_tick(k, now_s, &changed);
	show_tick(k, now_s, &changed);
	return changed;
}

void keys_onion_params(struct keys *k, unsigned rotation_days, unsigned grace_days)
{
	k->config.rotation_days = rotation_days;
	k->config.grace_days = grace_days;
}

int keys_reload(struct keys *k, int64_t now_s)
{
	uint8_t was[ED_CERT_MAX];
	size_t was_len = k->signing_cert_len;
	char why[KEYS_WHY_MAX];
	int err, changed = 0;

	memcpy(was, k->signing_cert, was_len);
	err = identity_reload(k, now_s, why);
	if (err) {
		log_warn("%s; keeping the signing key that was in use.", why);
		return err;
	}
	if (was_len != k->signing_cert_len || memcmp(was, k->signing_cert, was_len))
		changed |= KEYS_SIGNING;
	if (show_renew(k, now_s) == 0)
		changed |= KEYS_LINK;
	return changed;
}

const uint8_t *keys_rsa_id(const struct keys *k)
{
	return k->rsa_id;
}

const uint8_t *keys_ed_id(const struct keys *k)
{
	return k->ed_id;
}

struct bytes keys_signing_cert(const struct keys *k)
{
	return (struct bytes) {k->signing_cert, k->signing_cert_len};
}

int64_t keys_signing_expires_s(const struct keys *k)
{
	return k->signing_expires_s;
}

int64_t keys_onion_rotated_s(const struct keys *k)
{
	return k->rotated_s;
}

int keys_sign_ed(const struct keys *k, const void *msg, size_t len, uint8_t sig[64])
{
	const struct ed_key *s = &k->secrets->signing;

	return ed25519_sign(msg, len, s->secret, s->public_key, sig);
}

int keys_sign_rsa(const struct keys *k, const uint8_t *digest, size_t len,
		  uint8_t sig[KEYS_RSA_SIG])
{
	size_t sig_len = KEYS_RSA_SIG;

	return rsa_sign(k->rsa, digest, len, sig, &sig_len);
}

const char *keys_rsa_pem(const struct keys *k)
{
	return k->rsa_pem;
}

const char *keys_tap_pem(const struct keys *k)
{
	return k->tap_pem;
}
