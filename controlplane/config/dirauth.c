/* dirauth.c - one DirAuthority line: who votes on us, where it listens, and its two identities. */
#include "controlplane/config/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_WORDS 24

static bool flag_value(const char *word, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncasecmp(word, name, len) != 0)
		return false;
	*value = word + len;
	return true;
}

/* orport=, v3ident=, ipv6=; the others that tor knows say nothing to a relay. */
static const char *parse_flag(struct config_dir_auth *a, const char *word, uint16_t *or_port)
{
	static const char *const skipped[] = {"upload=", "download=", "vote=", "weight="};
	const char *v;
	char *end;

	if (flag_value(word, "orport=", &v)) {
		unsigned long port = strtoul(v, &end, 10);

		if (!isdigit((unsigned char)*v) || *end || !port || port > 65535)
			return "orport= needs a port";
		*or_port = (uint16_t)port;
		return NULL;
	}
	if (flag_value(word, "v3ident=", &v)) {
		a->has_v3ident = text_hex(v, a->v3ident, 20);
		return a->has_v3ident ? NULL : "v3ident= needs 40 hex digits";
	}
	if (flag_value(word, "ipv6=", &v)) {
		if (addr_parse(&a->or6, v) < 0 || a->or6.family != 6 || !a->or6.port)
			return "ipv6= needs an address like [2001:db8::1]:9001";
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(skipped); i++) {
		if (flag_value(word, skipped[i], &v))
			return NULL;
	}
	if (strcasecmp(word, "no-v2") == 0 || strcasecmp(word, "hs") == 0 ||
	    strcasecmp(word, "no-hs") == 0 || strcasecmp(word, "bridge") == 0)
		return NULL;
	return "a flag is unknown";
}

/* The fingerprint, with or without blanks between its groups. */
static const char *parse_fingerprint(struct config_dir_auth *a, char *words[], int n)
{
	char hex[64] = "";
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(hex + len, len < sizeof(hex) ? sizeof(hex) - len : 0, "%s",
					words[i] + (i == 0 && *words[i] == '$'));
	return len < sizeof(hex) && text_hex(hex, a->rsa_id, 20)
		       ? NULL
		       : "the fingerprint needs 40 hex digits";
}

/* NULL, or what is wrong. */
static const char *parse_dir_auth(char *text, struct config_dir_auth *a)
{
	char *words[MAX_WORDS];
	const char *why = NULL;
	uint16_t or_port = 0;
	int n = text_words(text, words, MAX_WORDS), i = 0;

	if (i < n && !isdigit((unsigned char)words[i][0]) && !strchr(words[i], '=')) {
		if (strlen(words[i]) > 19)
			return "the nickname is longer than 19 letters";
		snprintf(a->nickname, sizeof(a->nickname), "%s", words[i++]);
	}
	for (; i < n && !isdigit((unsigned char)words[i][0]) && !why; i++)
		why = parse_flag(a, words[i], &or_port);
	if (why)
		return why;
	if (i == n || addr_parse(&a->dir, words[i]) < 0 || a->dir.family != 4 || !a->dir.port)
		return "an address like 192.0.2.9:80 is missing";
	if (or_port) {
		a->or4 = a->dir;
		a->or4.port = or_port;
	}
	return parse_fingerprint(a, words + i + 1, n - i - 1);
}

void derive_dir_auths(struct config *c, struct config_messages *m)
{
	c->n_dir_auths = 0;
	for (int i = 0; i < c->dir_authority_lines.n; i++) {
		struct config_dir_auth a = {0};
		char *text = strdup(c->dir_authority_lines.v[i]);
		const char *why = text ? parse_dir_auth(text, &a) : "out of memory";

		free(text);
		if (!why && c->n_dir_auths == CONFIG_DIR_AUTHS)
			why = "there are more than 32 of them";
		if (why)
			config_say(m, true, NULL, 0, "DirAuthority \"%s\": %s: correct the line",
				   c->dir_authority_lines.v[i], why);
		else
			c->dir_auth[c->n_dir_auths++] = a;
	}
}
