/* steer.h - what af_xdp tells its steering program: written into the compiled object before it is
 * loaded, found there by its first bytes. Included by C and by BPF. */
#ifndef RAMSON_DRIVERS_STEER_H
#define RAMSON_DRIVERS_STEER_H

#define STEER_ADDRS  32
#define STEER_RANGES 64
#define STEER_MAGIC  "ramson-steering"
#define STEER_NAME   "ramson_steer" /* of the program, as the kernel shows it */

struct steer_addr {
	unsigned int ip[4];  /* wire order; ip[0] alone for family 4 */
	unsigned int family; /* 4 or 6 */
	unsigned int shared; /* the kernel has it too: only TCP to the ranges is ours */
};
struct steer_range {
	unsigned short lo, hi; /* host order */
};
struct steer_config {
	char magic[16];
	unsigned int n_addrs, n_ranges;
	struct steer_addr addrs[STEER_ADDRS];
	struct steer_range ranges[STEER_RANGES];
};

#endif
