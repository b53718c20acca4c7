/* internal.h - what the files of exit/ share: the rules of a policy, the channel to resolvers. */
#ifndef RAMSON_EXIT_INTERNAL_H
#define RAMSON_EXIT_INTERNAL_H

#include "controlplane/exit/exit.h"

/* ---- one channel of c-ares in the event loop (resolver.c) ---- */
struct resolver;

/* One answer as it came, or a status of c-ares without one. */
typedef void resolver_fn(void *arg, int status, const uint8_t *answer, size_t len);

int resolver_new(struct resolver **r, struct event_base *base, const struct dns_setup *s);
/* Ends all questions: each is called back with ARES_EDESTRUCTION. */
void resolver_free(struct resolver *r);
/* Asks the servers; fn is called once, maybe before this returns. */
void resolver_ask(struct resolver *r, const char *name, int type, resolver_fn *fn, void *arg);
uint32_t resolver_n_asked(const struct resolver *r); /* in flight */
size_t resolver_servers(const struct resolver *r, struct addr *servers, size_t max);

/* ---- rules (rule.c) ---- */
#define RULES_MAX 8192 /* of one policy: a torrc of a sane length stays far below */

struct rule {
	bool accept;
	uint8_t bits;	 /* of the prefix */
	uint16_t lo, hi; /* ports */
	struct addr net; /* port 0 */
};
struct policy {
	struct rule *rules;
	size_t n, cap;
};

/* The networks that "private" stands for; ends with family 0. */
extern const struct rule policy_private[];

bool rule_covers_addr(const struct rule *r, const struct addr *a);
/* Does a match all that b matches? */
bool rule_covers(const struct rule *a, const struct rule *b);
bool rule_meets(const struct rule *a, const struct rule *b);

/* Reads one value of ExitPolicy, items apart by commas, into p. 0, ERR_CONFIG with a sentence, or
 * ERR_FULL. */
int policy_parse(struct policy *p, const char *line, char *why);
int policy_add(struct policy *p, const struct rule *r);
/* Drops rules that never decide anything. */
void policy_prune(struct policy *p);

#endif
