/* exit.h - what leaves here: the exit policy, and names looked up for streams. It stands beside
 * the walk: BEGIN and RESOLVE come up to circ/, which asks this room. */
#ifndef RAMSON_EXIT_H
#define RAMSON_EXIT_H

#include "dataplane/base/base.h"

struct event_base;

/* ---- addresses ---- */

/* Reads "4.3.2.1.in-addr.arpa" or the 32 nibbles of an ip6.arpa name. 1 and *a (port 0) when it
 * is one, 0 when it is another name, ERR_MALFORMED when it ends so and is none. */
int addr_from_arpa(struct addr *a, const char *name);

/* ---- the policy ---- */
struct policy; /* immutable once made */

struct policy_setup {
	const char *const *lines; /* values of ExitPolicy in order; commas separate too */
	size_t n_lines;
	int exit_relay;		/* ExitRelay: 1, 0, or -1 auto (only if the operator
				 * speaks of exiting: ExitPolicy, ReducedExitPolicy, IPv6Exit) */
	bool ipv6_exit;		/* IPv6Exit */
	bool reject_private;	/* ExitPolicyRejectPrivate */
	bool reduced;		/* ReducedExitPolicy */
	const struct addr *own; /* addresses that are ours: published ones, and with
				 * ExitPolicyRejectLocalInterfaces all others */
	size_t n_own;
};
#define POLICY_ERROR 160

/* Makes the policy that tor makes of the same settings. ERR_CONFIG with a sentence in why
 * (POLICY_ERROR bytes) when a line is wrong, ERR_FULL. */
int policy_new(struct policy **p, const struct policy_setup *s, char *why);
void policy_free(struct policy *p);
/* Checks one value of ExitPolicy, for `check`. 0 or ERR_CONFIG with a sentence. */
int policy_check_line(const char *line, char *why);

/* May a stream go to this address and port? */
bool policy_allows(const struct policy *p, const struct addr *to);
/* Is everything refused? Then names are not even looked up (interop N7). */
bool policy_rejects_all(const struct policy *p);

/* Writes the accept and reject lines of a server descriptor (IPv4 rows; one "reject *:*\n" for a
 * relay that is no exit), NUL-terminated. The length, or ERR_FULL. */
int policy_lines(const struct policy *p, char *buf, size_t cap);
/* Writes the port summary of one family (4 or 6) as in "accept 80,443" (dir-spec section 3.8.2),
 * NUL-terminated; "reject 1-65535" when nothing is allowed, in which case a descriptor has no
 * ipv6-policy line. The length, or ERR_FULL. */
int policy_summary(const struct policy *p, unsigned family, char *buf, size_t cap);

/* ---- names ---- */
struct dns;

enum dns_outcome {
	DNS_OK,
	DNS_NO_SUCH,   /* permanent: END RESOLVEFAILED, RESOLVED 0xF1 */
	DNS_TRANSIENT, /* RESOLVED 0xF0 */
	DNS_TIMED_OUT, /* the limit for everything passed: END TIMEOUT */
};

/* Both families of one name, or the name of one address. An address family that failed has
 * family 0 and its own outcome. */
struct dns_answer {
	enum dns_outcome outcome4, outcome6, outcome_name;
	struct addr a4, a6;  /* port 0 */
	uint32_t ttl4, ttl6; /* clipped, with the fuzz of this entry (interop N2), seconds */
	char name[256];	     /* of a reverse look-up */
};
/* Called exactly once for each dns_ask that returned 0, on the loop's thread; possibly before
 * dns_ask returns. The answer is borrowed for the call. */
typedef void dns_fn(void *arg, const struct dns_answer *a);

struct dns_setup {
	const char *resolv_conf;  /* ServerDNSResolvConfFile; NULL: /etc/resolv.conf */
	struct addr server;	  /* instead of the file, when family is not 0 (tests) */
	bool randomize_case;	  /* ServerDNSRandomizeCase */
	uint32_t timeout_ms;	  /* exit_dns_timeout, used in whole seconds, at least 1 */
	uint32_t n_attempts;	  /* exit_dns_num_attempts: retries included */
	uint32_t n_in_flight;	  /* questions outstanding at most */
	uint32_t n_cache;	  /* names remembered at most */
	uint32_t n_waiting;	  /* askers waiting at most */
	uint32_t limit_ms;	  /* an asker waits no longer than this */
	uint32_t cache_ttl_scale; /* tests: a TTL second lasts this many ms; 0: 1000 */
};
#define DNS_SETUP_DEFAULT                                                                          \
	((struct dns_setup) {.randomize_case = true,                                               \
			     .timeout_ms = 1000,                                                   \
			     .n_attempts = 2,                                                      \
			     .n_in_flight = 8192,                                                  \
			     .n_cache = 65536,                                                     \
			     .n_waiting = 65536,                                                   \
			     .limit_ms = 300000})

/* 0, ERR_FULL, ERR_SYSTEM. A resolv.conf that cannot be read or names no server means 127.0.0.1,
 * as with tor; a warning says so. */
int dns_new(struct dns **dns, struct event_base *base, const struct dns_setup *s);
/* Askers that still wait are told DNS_TRANSIENT. NULL is allowed. */
void dns_free(struct dns *dns);
/* Reads resolv.conf again (SIGHUP); questions under way end with the old servers. */
int dns_reload(struct dns *dns);
/* New timeouts from a consensus. */
void dns_params(struct dns *dns, uint32_t timeout_ms, uint32_t n_attempts);

/* Looks up A and AAAA of a lower-case host name, or, when it is an in-addr.arpa or ip6.arpa
 * address, its PTR. 0 (fn will be called), ERR_MALFORMED when it is no name that tor would look
 * up, ERR_FULL when too many wait. */
int dns_ask(struct dns *dns, const char *name, dns_fn *fn, void *arg);

/* Resolvers in use, for the exit to refuse as destinations: writes up to max, returns how many. */
size_t dns_servers(const struct dns *dns, struct addr *servers, size_t max);

/* Bytes of the cache; drops entries until no more are left than that. Names that are being asked
 * for stay. */
size_t dns_memory(const struct dns *dns);
void dns_relieve(struct dns *dns, size_t to);

#define DNS_FIGURES(X)                                                                             \
	X(asked, "names asked for")                                                                \
	X(cached, "answers from the cache")                                                        \
	X(merged, "askers joined to a question under way")                                         \
	X(sent, "questions sent to a resolver")                                                    \
	X(answered, "answers of a resolver with an address or name")                               \
	X(no_such, "answers that there is no such name or record")                                 \
	X(failed, "failures of a resolver: SERVFAIL, REFUSED, not understood")                     \
	X(timed_out, "questions that no resolver answered")                                        \
	X(refused, "askers turned away because too many wait")                                     \
	X(relieved, "bytes of the cache freed at MaxMemInQueues")
struct dns_figures {
#define X(name, what) uint64_t name;
	DNS_FIGURES(X)
#undef X
	uint64_t n_cached, n_waiting, n_in_flight;
};
void dns_figures(const struct dns *dns, struct dns_figures *f);

#endif
