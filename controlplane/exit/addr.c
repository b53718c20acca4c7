/* addr.c - addresses that never leave, and names that spell addresses. */
#include "controlplane/exit/exit.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static const struct {
	uint32_t net, mask;
} private4[] = {
	{0x00000000, 0xff000000}, {0x0a000000, 0xff000000}, {0x7f000000, 0xff000000},
	{0x64400000, 0xffc00000}, {0xa9fe0000, 0xffff0000}, {0xac100000, 0xfff00000},
	{0xc0a80000, 0xffff0000},
};

static bool is_private4(uint32_t ip)
{
	for (size_t i = 0; i < ARRAY_LEN(private4); i++)
		if ((ip & private4[i].mask) == private4[i].net)
			return true;
	return false;
}

bool addr_is_private(const struct addr *a)
{
	static const uint8_t zero[15];
	uint16_t top = be16_get(a->ip);

	if (a->family == 4)
		return is_private4(be32_get(a->ip));
	if (a->family != 6)
		return true;
	if (!memcmp(a->ip, mapped, sizeof(mapped)))
		return is_private4(be32_get(a->ip + 12));
	return (top & 0xfe00) == 0xfc00 || (top & 0xffc0) == 0xfe80 || (top & 0xffc0) == 0xfec0 ||
	       (!memcmp(a->ip, zero, sizeof(zero)) && a->ip[15] <= 1);
}

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
