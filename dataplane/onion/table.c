/* table.c - the relay-crypto schemes: a row each, by the number that CIRC_ADD carries. */
#include "dataplane/onion/internal.h"

const struct onion_row *const onion_rows[N_ONION_SCHEMES] = {
	[ONION_TOR1] = &onion_tor1,
	[ONION_CGO] = &onion_cgo,
};
