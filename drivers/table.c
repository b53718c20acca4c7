/* table.c - the kinds of port, and the way from a spec to its row. A new kind: a file, a row. */
#include <stdio.h>
#include <string.h>

#include "drivers/internal.h"

const struct port_kind *const port_kinds[] = {
	&port_af_packet, &port_af_packet_pmd, &port_af_xdp, &port_tap,
	&port_memif,	 &port_pci,	      &port_wire,   NULL,
};

static int unknown_kind(const char *spec, size_t len, char *err)
{
	char names[128] = "";

	for (const struct port_kind *const *k = port_kinds; *k; k++) {
		strncat(names, (*k)->name, sizeof(names) - strlen(names) - 1);
		if (k[1])
			strncat(names, ", ", sizeof(names) - strlen(names) - 1);
	}
	return port_fail(err, "DataplanePort %.*s: no such kind of port; use one of %s",
			 (int)(len < 40 ? len : 40), spec, names);
}

const struct port_kind *port_kind_of(const char *spec, const char **args, char *err)
{
	size_t len = strcspn(spec, ":");

	for (const struct port_kind *const *k = port_kinds; *k; k++) {
		if (strlen((*k)->name) != len || memcmp((*k)->name, spec, len))
			continue;
		*args = spec[len] ? spec + len + 1 : spec + len;
		if (**args)
			return *k;
		port_fail(err, "DataplanePort %s: it needs %s behind a colon", (*k)->name,
			  (*k)->args);
		return NULL;
	}
	unknown_kind(spec, len, err);
	return NULL;
}
