/* table.c - the machines, a row each, by the number that goes over the wire. */
#include "dataplane/padding/padding.h"

static const struct pad_machine machines[] = {
	/* Introduction circuits are made to look like ones that fetch a directory page. */
	{
		.name = "relay_ip_circ",
		.next = {[PAD_BEGIN] = {[PAD_OTHER_SENT] = PAD_FLOW},
			 [PAD_FLOW] = {[PAD_OTHER_SENT] = PAD_FLOW,
				       [PAD_DROP_SENT] = PAD_FLOW,
				       [PAD_ALL_SENT] = PAD_END}},
		.drops_min = 7,
		.drops_span = 3,
		.delay_min_us = 1000,
		.delay_span_us = 9000,
		.free_drops = 10,
		.max_percent = 1,
		.says_end = true,
	},
	/* Rendezvous circuits: one cell back for the client's one, as on an exit's first stream. */
	{
		.name = "relay_rp_circ",
		.next = {[PAD_BEGIN] = {[PAD_OTHER_SENT] = PAD_FLOW},
			 [PAD_FLOW] = {[PAD_DROP_SENT] = PAD_END, [PAD_ALL_SENT] = PAD_END}},
		.drops_min = 1,
		.drops_span = 1,
		.delay_min_us = 0,
		.delay_span_us = 1000,
		.free_drops = 1,
		.max_percent = 1,
	},
};

const struct pad_machine *pad_machine_at(unsigned number)
{
	return number < ARRAY_LEN(machines) ? &machines[number] : NULL;
}
