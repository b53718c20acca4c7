/* addr.c - names that spell addresses. */
#include "controlplane/exit/exit.h"

static bool ends_with(const char *s, size_t len, const char *tail, size_t *head)
{
	size_t tail_len = strlen(tail);

	if (len < tail_len || memcmp(s + len - tail_len, tail, tail_len))
		return false;
	*head = len - tail_len;
	return true;
}

static int arpa4(struct addr *a, const char *name, size_t len)
{
	struct addr found = {0};
	char text[16];

	if (!len || len >= sizeof(text))
		return ERR_MALFORMED;
	memcpy(text, name, len);
	text[len] = 0;
	if (addr_parse(&found, text) || found.family != 4 || found.port)
		return ERR_MALFORMED;
	*a = (struct addr) {.family = 4};
	for (int i = 0; i < 4; i++)
		a->ip[i] = found.ip[3 - i];
	return 1;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Nibbles, lowest first, each with its dot but the last. */
static int arpa6(struct addr *a, const char *name, size_t len)
{
	struct addr found = {.family = 6};

	if (len != 63)
		return ERR_MALFORMED;
	for (size_t i = 0; i < 32; i++) {
		int v = nibble(name[2 * i]);

		if (v < 0 || (i < 31 && name[2 * i + 1] != '.'))
			return ERR_MALFORMED;
		found.ip[15 - i / 2] |= (uint8_t)(i & 1 ? v << 4 : v);
	}
	*a = found;
	return 1;
}

int addr_from_arpa(struct addr *a, const char *name)
{
	size_t len = strlen(name), head;

	if (ends_with(name, len, ".in-addr.arpa", &head))
		return arpa4(a, name, head);
	if (ends_with(name, len, ".ip6.arpa", &head))
		return arpa6(a, name, head);
	return 0;
}
