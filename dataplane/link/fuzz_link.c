/* fuzz_link.c - a link's bytes in every state: the first byte picks state and the split. */
#include <stdlib.h>

#include "dataplane/link/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct counts counts;
	static int64_t params[N_CTL_PARAMS] = {
#define X(name, value) [CTL_PARAM_##name] = value,
		CTL_PARAMS(X)
#undef X
	};
	struct ctl_conn_ready ready = {.link_proto = 5};
	struct cell cells[LINK_CELLS_MAX];
	uint8_t seed[32] = {1}, *copy, *held;
	struct link_config cf = {2, &counts, NULL, params};
	struct rng rng;
	struct links l;
	size_t cut, n;

	if (len < 2)
		return 0;
	rng_seed(&rng, seed);
	cf.rng = &rng;
	if (links_init(&l, &cf, 1) < 0)
		return 0;
	link_start(&l, 1, 1);
	link_secured(&l, 1);
	copy = malloc(len);
	memcpy(copy, data, len);
	for (size_t at = 2; at < len; at += cut) {
		cut = MIN((size_t)data[0] * 8 + 1, len - at);
		if (link_in(&l, 1, copy + at, cut, cells) < 0)
			break;
		if (link_ready(&l, 1, &ready, 2) == 0) {
			n = link_take_held(&l, 1, &held);
			if (n)
				link_in(&l, 1, held, n, cells);
			free(held);
		}
	}
	free(copy);
	links_fini(&l);
	return 0;
}
