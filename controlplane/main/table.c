/* table.c - message from the dataplane to handler: the one table that knows all rooms. */
#include "controlplane/main/control.h"

static void on_refused(void *ctx, const struct ctl_head *head, const void *body, struct bytes tail)
{
	const struct ctl_refused *r = body;

	log_info("the dataplane refused a %s (%d)", door_type_name(r->type), r->error);
}

const struct door_row control_table[] = {
	{CTL_CTL_REFUSED, on_refused},
	{0, NULL},
};
