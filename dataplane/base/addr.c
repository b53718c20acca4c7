/* addr.c - addresses to and from text, which of them are private; constant-time comparison, wiping.
 */
#include "dataplane/base/base.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* A decimal port 0..65535 and nothing after it. */
static bool port_parse(const char *text, uint16_t *port)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return false;
	v = strtoul(text, &end, 10);
	if (*end || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

int addr_parse(struct addr *a, const char *text)
{
	struct addr out = {0};
	char host[64];
	const char *port = NULL, *end;
	bool bracket = text[0] == '[';
	size_t len;

	if (bracket) {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return ERR_MALFORMED;
		port = end[1] ? end + 2 : NULL;
	} else {
		end = strchr(text, ':');
		if (end && !strchr(end + 1, ':'))
			port = end + 1;
		else
			end = text + strlen(text);
	}
	len = (size_t)(end - text);
	if (len >= sizeof(host))
		return ERR_MALFORMED;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!bracket && inet_pton(AF_INET, host, out.ip) == 1)
		out.family = 4;
	else if (inet_pton(AF_INET6, host, out.ip) == 1 && (bracket || !port))
		out.family = 6;
	else
		return ERR_MALFORMED;
	if (port && !port_parse(port, &out.port))
		return ERR_MALFORMED;
	*a = out;
	return 0;
}

const char *addr_text(const struct addr *a, char buf[ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "none";

	if (a->family == 4 || a->family == 6)
		inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	if (!a->port)
		snprintf(buf, ADDR_TEXT, "%s", ip);
	else if (a->family == 6)
		snprintf(buf, ADDR_TEXT, "[%s]:%u", ip, a->port);
	else
		snprintf(buf, ADDR_TEXT, "%s:%u", ip, a->port);
	return buf;
}

void wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

bool same_bytes(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

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
