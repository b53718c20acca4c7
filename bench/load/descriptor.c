/* descriptor.c - whom we measure, as its server descriptor says (dir-spec section 2.1.1). */
#include <openssl/evp.h>
#include <stdio.h>

#include "bench/load/load.h"

/* Where the line of a keyword begins behind it; NULL: there is none. */
static const char *line_of(const char *text, const char *keyword)
{
	size_t n = strlen(keyword);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, "opt ", 4))
			p += 4;
		if (!strncmp(p, keyword, n) && p[n] == ' ')
			return p + n + 1;
	}
	return NULL;
}

/* 32 bytes in base64, with or without the padding. */
static bool base64_32(uint8_t to[32], const char *p)
{
	uint8_t raw[36];
	char text[45];
	size_t n = p ? strcspn(p, "= \r\n") : 0;

	if (n != 43)
		return false;
	memcpy(text, p, 43);
	text[43] = '=';
	if (EVP_DecodeBlock(raw, (const uint8_t *)text, 44) != 33)
		return false;
	memcpy(to, raw, 32);
	return true;
}

static bool fingerprint(uint8_t to[20], const char *p)
{
	for (unsigned i = 0; p && i < 20; i++) {
		p += *p == ' ';
		if (sscanf(p, "%2hhx", &to[i]) != 1)
			return false;
		p += 2;
	}
	return p != NULL;
}

static bool address(struct addr *at, const char *p)
{
	char ip[64], text[80];
	unsigned port;

	if (!p || sscanf(p, "%*s %63s %u", ip, &port) != 2)
		return false;
	snprintf(text, sizeof(text), "%s:%u", ip, port);
	return addr_parse(at, text) == 0;
}

int relay_read(struct relay *r, const char *text, const char **why)
{
	struct relay got = *r;

	*why = "router";
	if (!got.at.family && !address(&got.at, line_of(text, "router")))
		return ERR_MALFORMED;
	*why = "fingerprint";
	if (!fingerprint(got.keys.rsa_id, line_of(text, "fingerprint")))
		return ERR_MALFORMED;
	*why = "master-key-ed25519";
	if (!base64_32(got.keys.ed_id, line_of(text, "master-key-ed25519")))
		return ERR_MALFORMED;
	*why = "ntor-onion-key";
	if (!base64_32(got.keys.onion, line_of(text, "ntor-onion-key")))
		return ERR_MALFORMED;
	got.known = true;
	*r = got;
	return 0;
}
