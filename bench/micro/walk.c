/* walk.c - where each nanosecond of a relayed cell goes: the sum of the stages for a middle with
 * 100 circuits on 10 links and records of 8 cells, beside what each cannot go below: its primitive,
 * as measured in the same run. */
#include "bench/micro/micro.h"

#include <stdio.h>

#define STAGES 20

struct stage {
	const char *name;
	double ns, floor;
};

static struct stage stages[STAGES];
static unsigned n_stages;

/* Times a cell: frames are shared by cells. A missing row makes the whole table void. */
static bool add(const char *name, const char *row, uint64_t size, double times, double floor)
{
	double ns = micro_took(row, size);

	if (ns < 0 || n_stages == STAGES)
		return false;
	stages[n_stages++] = (struct stage) {name, ns * times, floor < 0 ? 0 : floor};
	return true;
}

static bool collect(void)
{
	double data, acks, copy = micro_took("copy", 514), open = micro_took("gcm128 open", 8);

	stream_frames(&data, &acks);
	return add("port rx", "memif lent rx", 1514, data, 0) &&
	       add("port rx, acks", "memif lent rx", 66, acks, 0) &&
	       add("net in", "net_in", 8, 1, 0) && add("tcp in", "tcp_in", 8, 1, copy) &&
	       add("tcp read", "tcp read", 8, 1, 0) && add("tcp ack out", "tcp ack out", 8, 1, 0) &&
	       add("tls open", "tls open", 8, 1, open) && add("link cut", "link_in", 31, 1, 0) &&
	       add("circ look-up", "legs_find", 100, 1, 0) &&
	       add("onion", "onion_forward", 100, 1, micro_took("ctr", 100)) &&
	       add("sched add", "sched add", 100, 1, 0) &&
	       add("sched pick", "sched pick", 100, 1, 0) &&
	       add("pack", "pack copy", 64, 1, copy) &&
	       add("tls seal", "tls seal", 8, 1, micro_took("gcm128 seal", 8)) &&
	       add("tcp push", "tcp push", 8, 1, 0) && add("tcp out", "tcp_out", 8, 1, 0) &&
	       add("tcp ack in", "tcp ack in", 8, 1, 0) && add("net out", "net_out", 8, 1, 0) &&
	       add("port tx", "memif lent tx", 1514, data, 0) &&
	       add("port tx, acks", "memif lent tx", 66, acks, 0);
}

static void print(const struct stage *far, double sum, double floor)
{
	printf("\na relayed cell, middle, 100 circuits on 10 links, records of 8 cells\n%-16s %8s "
	       "%8s %8s %7s\n",
	       "stage", "ns", "floor", "over", "share");
	for (unsigned i = 0; i < n_stages; i++)
		printf("%-16s %8.1f %8.1f %8.1f %5.1f %%\n", stages[i].name, stages[i].ns,
		       stages[i].floor, stages[i].ns - stages[i].floor, 100 * stages[i].ns / sum);
	printf("%-16s %8.1f %8.1f %8.1f\nfarthest from its floor: %s, by %.1f ns\n", "sum", sum,
	       floor, sum - floor, far->name, far->ns - far->floor);
}

void walk_print(bool json)
{
	const struct stage *far = stages;
	double sum = 0, floor = 0;

	if (!collect()) {
		if (!json)
			printf("\nno sum: a stage of it could not be measured here\n");
		return;
	}
	for (unsigned i = 0; i < n_stages; i++) {
		sum += stages[i].ns;
		floor += stages[i].floor;
		if (stages[i].ns - stages[i].floor > far->ns - far->floor)
			far = &stages[i];
	}
	if (!json) {
		print(far, sum, floor);
		return;
	}
	printf(",\n\"walk\": [");
	for (unsigned i = 0; i < n_stages; i++)
		printf("%s\n  {\"stage\": \"%s\", \"ns\": %.2f, \"floor\": %.2f}", i ? "," : "",
		       stages[i].name, stages[i].ns, stages[i].floor);
	printf("]\n");
}
