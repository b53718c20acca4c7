/* check.c - what `ramson check` and `ramson keygen` need of control: keys, policy, resolver. */
#include "controlplane/main/control.h"

int control_check(struct control *c)
{
	return 0;
}

int control_keygen(struct control *c)
{
	return 0;
}
