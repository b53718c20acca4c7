/* fuzz_policy.c - any text as a value of ExitPolicy, asked, written and summarised; and any text as
 * a name that spells an address. */
#include <stdlib.h>

#include "controlplane/exit/exit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), why[POLICY_ERROR];
	static char buf[1 << 20];
	const char *lines[1] = {text};
	struct policy_setup s = {.lines = lines, .n_lines = 1, .exit_relay = 1, .ipv6_exit = true};
	struct addr a = {.family = 4, .port = 80, .ip = {1, 2, 3, 4}};
	struct policy *p;

	if (!text)
		return 0;
	memcpy(text, data, len);
	text[len] = 0;
	if (addr_from_arpa(&a, text) == 1 && a.family != 4 && a.family != 6)
		abort();
	if (len < 4096 && !policy_new(&p, &s, why)) {
		a.port = 80;
		policy_allows(p, &a);
		if (policy_lines(p, buf, sizeof(buf)) < 1 ||
		    policy_summary(p, 4, buf, sizeof(buf)) > 1000 ||
		    policy_summary(p, 6, buf, sizeof(buf)) > 1000)
			abort();
		policy_free(p);
	}
	free(text);
	return 0;
}
