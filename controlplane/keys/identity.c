/* identity.c - the RSA and Ed25519 identities and the signing key with its certificate: read from
 * tor's files, made when absent, renewed a day before the certificate ends. The master secret is
 * in memory only while it signs. */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/keys/internal.h"

#define SIGNING_LIFETIME_S (30 * DAY_S)
#define SIGNING_SLOP_S	   DAY_S
#define WARN_EVERY_S	   3600

static const char master_public[] = "ed25519_master_id_public_key";
static const char master_secret[] = "ed25519_master_id_secret_key";
static const char signing_secret[] = "ed25519_signing_secret_key";
static const char signing_cert[] = "ed25519_signing_cert";

/* Signing key and certificate as they lie on disk. */
struct signing {
	struct ed_key key;
	uint8_t cert[ED_CERT_MAX];
	size_t cert_len;
	struct ed_cert parsed; /* borrows cert */
};

int identity_certify(const struct ed_key *signer, uint8_t type, uint8_t key_type,
		     const uint8_t key[32], int64_t expires_s, bool show_signer,
		     uint8_t cert[ED_CERT_MAX])
{
	struct writer w = writer_of(cert, ED_CERT_MAX);
	size_t body_len;
	uint8_t *sig;

	ed_cert_write(&w, type, key_type, key, expires_s, show_signer ? signer->public_key : NULL);
	body_len = wr_len(&w);
	sig = wr_space(&w, ED_SIG);
	if (!sig || ed25519_sign(cert, body_len, signer->secret, signer->public_key, sig) < 0)
		return ERR_CRYPTO;
	return (int)wr_len(&w);
}

static int ed_key_new(struct ed_key *key)
{
	uint8_t seed[32];

	if (keys_random(seed, sizeof(seed)) < 0)
		return ERR_CRYPTO;
	ed25519_expand(seed, key->secret);
	ed25519_public(key->secret, key->public_key);
	wipe(seed, sizeof(seed));
	return 0;
}

/* 0 when there is a key with a certificate for it; how long that lasts is not looked at. */
static int signing_read(const struct keys *k, struct signing *s)
{
	char path[PATH_MAX];
	int n = tagged_read(path_of(path, k->key_dir, signing_secret), "ed25519v1-secret", "type4",
			    s->key.secret, sizeof(s->key.secret));

	if (n != sizeof(s->key.secret))
		return n < 0 ? n : ERR_MALFORMED;
	ed25519_public(s->key.secret, s->key.public_key);
	n = tagged_read(path_of(path, k->key_dir, signing_cert), "ed25519v1-cert", "type4", s->cert,
			sizeof(s->cert));
	if (n < 0)
		return n;
	s->cert_len = (size_t)n;
	if (ed_cert_parse(&s->parsed, s->cert, s->cert_len) < 0 ||
	    s->parsed.type != CERTS_ED_SIGNING || s->parsed.key_type != CERT_KEY_ED25519 ||
	    !s->parsed.has_signer || memcmp(s->parsed.key, s->key.public_key, 32))
		return ERR_MALFORMED;
	return ed_cert_check(&s->parsed, NULL, 0) ? 0 : ERR_CRYPTO;
}

static void signing_take(struct keys *k, const struct signing *s)
{
	k->secrets->signing = s->key;
	memcpy(k->signing_cert, s->cert, s->cert_len);
	k->signing_cert_len = s->cert_len;
	k->signing_expires_s = (int64_t)s->parsed.expires_h * 3600;
}

static int signing_make(struct keys *k, const struct ed_key *master, int64_t now_s)
{
	int64_t life = k->config.signing_lifetime_s;
	char path[PATH_MAX];
	struct signing s;
	int n = ed_key_new(&s.key);

	if (!n)
		n = identity_certify(master, CERTS_ED_SIGNING, CERT_KEY_ED25519, s.key.public_key,
				     now_s + (life ? life : SIGNING_LIFETIME_S), true, s.cert);
	if (n > 0) {
		s.cert_len = (size_t)n;
		n = ed_cert_parse(&s.parsed, s.cert, s.cert_len);
	}
	if (!n)
		n = tagged_write(path_of(path, k->key_dir, signing_secret), "ed25519v1-secret",
				 "type4", s.key.secret, sizeof(s.key.secret));
	if (!n)
		n = tagged_write(path_of(path, k->key_dir, signing_cert), "ed25519v1-cert", "type4",
				 s.cert, s.cert_len);
	if (!n)
		signing_take(k, &s);
	wipe(&s, sizeof(s));
	return n;
}

static int public_write(const struct keys *k, const uint8_t public_key[32])
{
	char path[PATH_MAX];

	return tagged_write(path_of(path, k->key_dir, master_public), "ed25519v1-public", "type0",
			    public_key, 32);
}

static int public_read(const struct keys *k, uint8_t public_key[32])
{
	char path[PATH_MAX];
	int n = tagged_read(path_of(path, k->key_dir, master_public), "ed25519v1-public", "type0",
			    public_key, 32);

	return n == 32 ? 0 : n < 0 ? n : ERR_MALFORMED;
}

/* The master key from its file: 0, ERR_UNKNOWN when it is not there, another when it is broken. */
static int master_read(const struct keys *k, struct ed_key *master)
{
	char path[PATH_MAX];
	int n;

	if (k->config.offline_master && !k->config.new_signing)
		return ERR_UNKNOWN;
	n = tagged_read(path_of(path, k->key_dir, master_secret), "ed25519v1-secret", "type0",
			master->secret, sizeof(master->secret));
	if (n != sizeof(master->secret))
		return n < 0 ? n : ERR_MALFORMED;
	ed25519_public(master->secret, master->public_key);
	return 0;
}

static int master_make(const struct keys *k, struct ed_key *master, char *why)
{
	char path[PATH_MAX], encrypted[PATH_MAX];
	int err;

	path_of(path, k->key_dir, master_secret);
	snprintf(encrypted, sizeof(encrypted), "%.*s_encrypted", PATH_MAX - 16, path);
	if (access(encrypted, F_OK) == 0)
		return keys_fail(
			why, ERR_CONFIG,
			"%s is encrypted and there is no %s/%s. Make a signing key with 'tor "
			"--keygen' and copy it, its certificate and the public key over.",
			encrypted, k->key_dir, master_public);
	err = ed_key_new(master);
	if (!err)
		err = tagged_write(path, "ed25519v1-secret", "type0", master->secret,
				   sizeof(master->secret));
	if (!err)
		err = public_write(k, master->public_key);
	return err ? keys_fail(why, err, "Cannot write the master identity key to %s: %s", path,
			       strerror(errno))
		   : 0;
}

static int no_master(const struct keys *k, bool expired, char *why)
{
	const char *state = expired ? "has expired" : "is missing";

	if (k->config.new_signing)
		return keys_fail(why, ERR_CONFIG,
				 "A new signing key needs %s/%s, which is not there.", k->key_dir,
				 master_secret);
	if (k->config.offline_master)
		return keys_fail(why, ERR_CONFIG,
				 "The Ed25519 signing key in %s %s and OfflineMasterKey "
				 "is set. Run 'tor --keygen' where the master key is kept and copy "
				 "%s and %s here.",
				 k->key_dir, state, signing_secret, signing_cert);
	return keys_fail(
		why, ERR_CONFIG,
		"The Ed25519 signing key in %s %s and %s is not there to make "
		"another. Restore it from backup, or run 'tor --keygen' where it is kept and "
		"copy %s and %s here.",
		k->key_dir, state, master_secret, signing_secret, signing_cert);
}

/* Which identity: by the public key's file, else by the master, else by the certificate. */
static int settle_public(struct keys *k, const struct ed_key *master, const struct signing *s,
			 char *why)
{
	uint8_t on_disk[32];
	int have = public_read(k, on_disk);

	if (have < 0 && have != ERR_UNKNOWN)
		return keys_fail(why, have, "Cannot read %s/%s: it is no public key file of tor's",
				 k->key_dir, master_public);
	if (!have && master && memcmp(on_disk, master->public_key, 32))
		return keys_fail(
			why, ERR_CONFIG,
			"%s/%s does not match %s. If you restored a backup, "
			"do not mix files of two relays. If the secret key is the right one, "
			"delete the public one.",
			k->key_dir, master_public, master_secret);
	if (have < 0) {
		memcpy(on_disk, master ? master->public_key : s->parsed.signer, 32);
		log_notice("Writing the Ed25519 master public key anew.");
		if (public_write(k, on_disk) < 0)
			return keys_fail(why, ERR_SYSTEM, "Cannot write %s/%s: %s", k->key_dir,
					 master_public, strerror(errno));
	}
	memcpy(k->ed_id, on_disk, 32);
	if (s && memcmp(s->parsed.signer, k->ed_id, 32))
		return keys_fail(why, ERR_CONFIG,
				 "%s/%s was signed by another master key than %s says. "
				 "Do not mix key files of two relays.",
				 k->key_dir, signing_cert, master_public);
	return 0;
}

static int ed_open(struct keys *k, int64_t now_s, struct signing *s, struct ed_key *master,
		   char *why)
{
	bool have = signing_read(k, s) == 0, need, want, have_master = false;
	uint8_t seen[32];
	int err;

	need = !have || k->config.new_signing || (int64_t)s->parsed.expires_h * 3600 < now_s;
	want = need || (int64_t)s->parsed.expires_h * 3600 < now_s + SIGNING_SLOP_S;
	if (want) {
		err = master_read(k, master);
		if (err && err != ERR_UNKNOWN)
			return keys_fail(why, err,
					 "Cannot read %s/%s: it is no secret key file of tor's",
					 k->key_dir, master_secret);
		/* A new identity only where there is no trace of an older one. */
		if (err && !have && (!k->config.offline_master || k->config.new_signing) &&
		    public_read(k, seen) == ERR_UNKNOWN)
			err = master_make(k, master, why);
		else if (err && need)
			err = no_master(k, have && !k->config.new_signing, why);
		if (err && (need || !have))
			return err;
		have_master = !err;
	}
	err = settle_public(k, have_master ? master : NULL, have ? s : NULL, why);
	if (err)
		return err;
	if (have)
		signing_take(k, s);
	if (have_master && (err = signing_make(k, master, now_s)))
		return keys_fail(why, err, "Cannot write a new signing key to %s: %s", k->key_dir,
				 strerror(errno));
	return 0;
}

static int rsa_open(struct keys *k, char *why)
{
	char path[PATH_MAX];
	uint8_t der[KEYS_PEM_MAX];
	size_t len;

	k->rsa = keys_rsa_load(path_of(path, k->key_dir, "secret_id_key"), why);
	if (!k->rsa)
		return ERR_CONFIG;
	len = rsa_public_der(k->rsa, der, sizeof(der));
	if (!len || keys_pem(k->rsa, k->rsa_pem) < 0)
		return keys_fail(why, ERR_CRYPTO, "OpenSSL cannot encode the key in %s", path);
	SHA1(der, len, k->rsa_id);
	SHA256(der, len, k->rsa_digest);
	return 0;
}

static int fingerprints_write(const struct keys *k, char *why)
{
	static const char b64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char path[PATH_MAX], line[128], id[64];
	unsigned bits = 0, word = 0, n = 0;
	int err, len;

	for (unsigned i = 0; i < KEYS_RSA_ID; i++)
		snprintf(id + 2 * i, 3, "%02X", k->rsa_id[i]);
	len = snprintf(line, sizeof(line), "%s %s\n", k->nickname, id);
	err = file_write_if_new(path_of(path, k->data_dir, "fingerprint"), line, (size_t)len);
	for (unsigned i = 0; i < KEYS_ED_ID; i++) {
		word = word << 8 | k->ed_id[i];
		for (bits += 8; bits >= 6; bits -= 6)
			id[n++] = b64[word >> (bits - 6) & 63];
	}
	id[n++] = b64[word << (6 - bits) & 63]; /* 256 bits leave four */
	id[n] = '\0';
	len = snprintf(line, sizeof(line), "%s %s\n", k->nickname, id);
	if (!err)
		err = file_write_if_new(path_of(path, k->data_dir, "fingerprint-ed25519"), line,
					(size_t)len);
	return err ? keys_fail(why, err, "Cannot write %s: %s", path, strerror(errno)) : 0;
}

int identity_open(struct keys *k, int64_t now_s, char *why)
{
	struct ed_key master;
	struct signing s;
	int err = rsa_open(k, why);

	if (!err)
		err = ed_open(k, now_s, &s, &master, why);
	wipe(&master, sizeof(master));
	wipe(&s, sizeof(s));
	return err ? err : fingerprints_write(k, why);
}

int identity_tick(struct keys *k, int64_t now_s, unsigned *changed)
{
	struct ed_key master;
	int err;

	if (k->signing_expires_s >= now_s + SIGNING_SLOP_S)
		return 0;
	err = master_read(k, &master);
	if (!err && memcmp(master.public_key, k->ed_id, 32))
		err = ERR_CRYPTO;
	if (!err)
		err = signing_make(k, &master, now_s);
	wipe(&master, sizeof(master));
	if (!err) {
		log_notice("Made a new Ed25519 signing key.");
		*changed |= KEYS_SIGNING;
		return 0;
	}
	if (now_s >= k->master_warned_s + WARN_EVERY_S || now_s < k->master_warned_s) {
		k->master_warned_s = now_s;
		log_warn("The Ed25519 signing key %s and the master key cannot be read to make "
			 "another. "
			 "Copy a new signing key and certificate to %s and send SIGHUP.",
			 k->signing_expires_s < now_s ? "has expired" : "will expire soon",
			 k->key_dir);
	}
	if (k->signing_expires_s < now_s)
		*changed |= KEYS_EXPIRED;
	return err;
}

int identity_reload(struct keys *k, int64_t now_s, char *why)
{
	struct signing s;
	int err = signing_read(k, &s);

	if (err)
		keys_fail(why, err, "Cannot read the signing key and its certificate in %s",
			  k->key_dir);
	else if (memcmp(s.parsed.signer, k->ed_id, 32))
		err = keys_fail(why, ERR_CONFIG, "%s/%s belongs to another identity", k->key_dir,
				signing_cert);
	else if ((int64_t)s.parsed.expires_h * 3600 < now_s)
		err = keys_fail(why, ERR_CONFIG, "%s/%s has expired", k->key_dir, signing_cert);
	else
		signing_take(k, &s);
	wipe(&s, sizeof(s));
	return err;
}
