/* table.c - the states of RFC 9293 3.3.2 and the congestion controllers, a row each. */
#include "dataplane/tcp/internal.h"

#define OPEN (DOES_SEND | DOES_RECV | IS_SYNCED)
#define SHUT (DOES_SEND | IS_SYNCED) /* the peer has sent its FIN */

/* clang-format off */
const struct state_row state_table[N_STATES] = {
	/*                   name           can                    our FIN acked   their FIN got */
	[ST_CLOSED]      = {"CLOSED",      0,                     ST_CLOSED,      ST_CLOSED},
	[ST_SYN_SENT]    = {"SYN-SENT",    0,                     ST_SYN_SENT,    ST_SYN_SENT},
	[ST_SYN_RCVD]    = {"SYN-RCVD",    0,                     ST_SYN_RCVD,    ST_SYN_RCVD},
	[ST_ESTABLISHED] = {"ESTABLISHED", OPEN,                  ST_ESTABLISHED, ST_CLOSE_WAIT},
	[ST_FIN_WAIT_1]  = {"FIN-WAIT-1",  OPEN,                  ST_FIN_WAIT_2,  ST_CLOSING},
	[ST_FIN_WAIT_2]  = {"FIN-WAIT-2",  DOES_RECV | IS_SYNCED, ST_FIN_WAIT_2,  ST_CLOSED},
	[ST_CLOSING]     = {"CLOSING",     SHUT,                  ST_CLOSED,      ST_CLOSING},
	[ST_CLOSE_WAIT]  = {"CLOSE-WAIT",  SHUT,                  ST_CLOSE_WAIT,  ST_CLOSE_WAIT},
	[ST_LAST_ACK]    = {"LAST-ACK",    SHUT,                  ST_CLOSED,      ST_LAST_ACK},
};
/* clang-format on */

static const struct tcp_cc *const cc_table[] = {&cc_cubic, &cc_newreno};

const struct tcp_cc *cc_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(cc_table); i++)
		if (!name || strcmp(name, cc_table[i]->name) == 0)
			return cc_table[i]->state_len <= CC_STATE ? cc_table[i] : NULL;
	return NULL;
}
