/* fuzz_consensus.c - a consensus of either flavour, its parameters and protocol lists. */
#include <stdlib.h>

#include "controlplane/dir/docs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int32_t values[N_DIR_PARAMS];
	char missing[64], flags[160];
	struct consensus *c;

	if (consensus_parse(&c, data, size))
		return 0;
	params_read(values, c->params);
	for (unsigned i = 0; i < N_DIR_PARAMS; i++)
		if (values[i] < dir_param_row_at(i)->min || values[i] > dir_param_row_at(i)->max)
			abort();
	protocols_met(c->required_relay, missing);
	for (unsigned i = 0; i < c->n_nodes; i++) {
		dir_flags_text(c->nodes[i].flags, flags);
		if (consensus_find(c, c->nodes[i].rsa_id) != &c->nodes[i])
			abort();
	}
	if (c->signed_len > size)
		abort();
	consensus_free(c);
	return 0;
}
