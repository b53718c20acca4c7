/* descriptor.c - our server descriptor, line by line in tor's order, and the two signatures that
 * end it and the extra-info (dir-spec section 2.1.1, interop 2.6). */
#include <inttypes.h>
#include <stdlib.h>

#include "controlplane/dir/internal.h"
#include "controlplane/keys/keys.h"

#define SIG_PREFIX "Tor router descriptor signature v1"

/* ---- signatures, the same for both documents ---- */
void own_identity(const struct dir *d, struct text *t)
{
	struct bytes cert = keys_signing_cert(d->keys);

	text_str(t, "identity-ed25519\n");
	text_object(t, "ED25519 CERT", cert.p, cert.len);
}

static int sign_ed(const struct dir *d, struct text *t)
{
	struct text msg = {0};
	uint8_t digest[32], sig[64];

	text_str(t, "router-sig-ed25519 ");
	text_str(&msg, SIG_PREFIX);
	text_add(&msg, t->p, t->len);
	if (t->bad || msg.bad) {
		text_free(&msg);
		return ERR_FULL;
	}
	digest_sha256(msg.p, msg.len, digest);
	text_free(&msg);
	keys_sign_ed(d->keys, digest, sizeof(digest), sig);
	text_base64(t, sig, sizeof(sig), false);
	text_str(t, "\n");
	return 0;
}

int own_sign(const struct dir *d, struct text *t, uint8_t sha1[20])
{
	uint8_t sig[KEYS_RSA_SIG];
	int error = sign_ed(d, t);

	if (error)
		return error;
	text_str(t, "router-signature\n");
	if (t->bad)
		return ERR_FULL;
	digest_sha1(t->p, t->len, sha1);
	if (keys_sign_rsa(d->keys, sha1, 20, sig))
		return ERR_CRYPTO;
	text_object(t, "SIGNATURE", sig, sizeof(sig));
	return t->bad ? ERR_FULL : 0;
}

/* ---- the lines ---- */
static void put_router(const struct dir *d, const struct own_document *o, struct text *t)
{
	const struct config_or_port *p4 = advertised(d->config, 4);
	struct addr ip = d->config->address4;
	char buf[ADDR_TEXT];

	ip.port = 0;
	text_printf(t, "router %s %s %u 0 0\n", d->config->nickname, addr_text(&ip, buf),
		    p4 ? p4->at.port : d->config->address4.port);
	own_identity(d, t);
	text_str(t, "master-key-ed25519 ");
	text_base64(t, keys_ed_id(d->keys), KEYS_ED_ID, false);
	text_str(t, "\n");
	if (o->with_or6)
		text_printf(t, "or-address %s\n", addr_text(&d->config->address6, buf));
}

static void put_fingerprint(const struct dir *d, struct text *t)
{
	const uint8_t *id = keys_rsa_id(d->keys);

	text_str(t, "fingerprint");
	for (unsigned i = 0; i < KEYS_RSA_ID; i += 2) {
		text_str(t, " ");
		text_base16(t, id + i, 2);
	}
	text_str(t, "\n");
}

static void put_facts(const struct dir *d, const struct own_document *o,
		      const uint8_t extra_sha1[20], const uint8_t extra_sha256[32], struct text *t)
{
	text_printf(t, "platform Ramson 0.1.0 on Linux\nproto %s\npublished ", dir_proto_line);
	text_time(t, o->published);
	text_str(t, "\n");
	put_fingerprint(d, t);
	text_printf(t, "uptime %" PRId64 "\nbandwidth %u %u %u\nextra-info-digest ", o->uptime,
		    o->rate, o->burst, o->observed);
	text_base16(t, extra_sha1, 20);
	text_str(t, " ");
	text_base64(t, extra_sha256, 32, false);
	text_str(t, "\n");
}

static int put_keys(const struct dir *d, const struct own_document *o, struct text *t)
{
	bool with_tap = dir_param(d, DIR_PARAM_publish_dummy_tap_key);
	uint8_t cross[KEYS_RSA_SIG], cert[ED_CERT_MAX];
	size_t cert_len;
	unsigned sign;

	if (with_tap)
		text_printf(t, "onion-key\n%s", keys_tap_pem(d->keys));
	text_printf(t, "signing-key\n%s", keys_rsa_pem(d->keys));
	if (with_tap) {
		if (keys_tap_crosscert(d->keys, cross))
			return ERR_CRYPTO;
		text_str(t, "onion-key-crosscert\n");
		text_object(t, "CROSSCERT", cross, sizeof(cross));
	}
	if (keys_ntor_crosscert(d->keys, o->published, cert, &cert_len, &sign))
		return ERR_CRYPTO;
	text_printf(t, "ntor-onion-key-crosscert %u\n", sign);
	text_object(t, "ED25519 CERT", cert, cert_len);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "$" and forty upper-case digits; anything else is left as the operator wrote it. */
static void family_name(const char *name, char out[64])
{
	uint8_t id[20];
	const char *hex = name + (*name == '$');
	struct text t = {0};

	if (hex_get(bytes_of(hex, strnlen(hex, 40)), id, 20) == 0) {
		text_str(&t, "$");
		text_base16(&t, id, 20);
	} else {
		for (const char *p = name; *p && t.len < 40; p++)
			text_printf(&t, "%c", *p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	}
	bytes_copy(bytes_of(t.p, t.bad ? 0 : t.len), out, 64);
	text_free(&t);
}

/* The members, ourselves among them, each once, in order. */
static void put_family(const struct dir *d, struct text *t)
{
	const struct config_list *l = &d->config->my_family;
	char(*names)[64] = l->n > 0 ? calloc((size_t)l->n + 1, sizeof(*names)) : NULL;
	char **sorted = names ? calloc((size_t)l->n + 1, sizeof(*sorted)) : NULL;
	int n = 0;

	if (!sorted) {
		free(names);
		return;
	}
	for (int i = 0; i < l->n; i++)
		if (strcasecmp(l->v[i], d->config->nickname) != 0)
			family_name(l->v[i], names[n++]);
	names[n][0] = '$';
	for (unsigned i = 0; i < KEYS_RSA_ID; i++) {
		static const char hex[] = "0123456789ABCDEF";

		names[n][1 + 2 * i] = hex[keys_rsa_id(d->keys)[i] >> 4];
		names[n][2 + 2 * i] = hex[keys_rsa_id(d->keys)[i] & 15];
	}
	n++;
	for (int i = 0; i < n; i++)
		sorted[i] = names[i];
	qsort(sorted, (size_t)n, sizeof(*sorted), by_text);
	text_str(t, "family");
	for (int i = 0; i < n; i++)
		if (*sorted[i] && (!i || strcmp(sorted[i], sorted[i - 1]) != 0))
			text_printf(t, " %s", sorted[i]);
	text_str(t, "\n");
	free(sorted);
	free(names);
}

static void put_rest(const struct dir *d, const struct own_document *o, struct text *t)
{
	struct onion_keys *onion = keys_onion_get(d->keys);

	put_family(d, t);
	if (o->hibernating)
		text_str(t, "hibernating 1\n");
	if (d->config->contact_info && *d->config->contact_info)
		text_printf(t, "contact %s\n", d->config->contact_info);
	text_str(t, "ntor-onion-key ");
	text_base64(t, onion->ntor[0].public_key, 32, false);
	text_printf(t, "\n%s", o->policy);
	onion_keys_put(onion);
	if (o->policy6)
		text_printf(t, "ipv6-policy %s\n", o->policy6);
	if (o->tunnelled_dir)
		text_str(t, "tunnelled-dir-server\n");
	if (o->overload_hour) {
		text_str(t, "overload-general 1 ");
		text_time(t, o->overload_hour);
		text_str(t, "\n");
	}
}

int descriptor_build(const struct dir *d, const struct own_document *o,
		     const uint8_t extra_sha1[20], const uint8_t extra_sha256[32], struct text *t)
{
	uint8_t sha1[20];
	int error;

	put_router(d, o, t);
	put_facts(d, o, extra_sha1, extra_sha256, t);
	error = put_keys(d, o, t);
	if (error)
		return error;
	put_rest(d, o, t);
	error = own_sign(d, t, sha1);
	text_str(t, "\n"); /* one more ends the document */
	return error ? error : t->bad ? ERR_FULL : 0;
}
