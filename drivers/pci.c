/* pci.c - the kind for network cards: a PCI address that EAL probed, or, for tests and ceilings, a
 * virtual device by DPDK's own name ("net_null", "net_ring,..."). */
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "drivers/ethdev.h"

static int find(struct port *p, const char *args, uint16_t *id, char *err)
{
	if (!strncmp(args, "net_", 4)) {
		size_t len = strcspn(args, ",");
		char driver[24];

		if (len >= sizeof(driver))
			return port_fail(err, "DataplanePort pci:%.40s: no such driver", args);
		memcpy(driver, args, len);
		driver[len] = '\0';
		return ethdev_create(p, driver, args[len] ? args + len + 1 : "", id, err);
	}
	if (rte_eth_dev_get_port_by_name(args, id) < 0)
		return port_fail(
			err,
			"DataplanePort pci:%.40s: DPDK found no such card; bind it with "
			"`dpdk-devbind.py -b vfio-pci %.40s` and write the address as there",
			args, args);
	return ethdev_adopt(p, *id, err);
}

static int pci_open(struct port *p, const char *args, const struct port_config *config, char *err)
{
	struct ethdev_opts opts = {0};
	uint16_t id;

	if (find(p, args, &id, err) < 0 || ethdev_start(p, id, &opts, config, err) < 0) {
		ethdev_close(p);
		return -1;
	}
	return 0;
}

const struct port_kind port_pci = {
	.name = "pci",
	.what = "a network card driven by DPDK",
	.args = "ADDRESS",
	.is_pci = true,
	.open = pci_open,
	.close = ethdev_close,
	.rx = ethdev_rx,
	.tx = ethdev_tx,
	.queue_of = ethdev_queue_of,
	.stats = ethdev_stats,
	.rx_mb = 20,
};
