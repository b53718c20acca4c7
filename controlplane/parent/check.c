/* check.c - the part of `ramson check` that needs no key: the port's interface, addresses that the
 * kernel holds as well, directories, the user. Keys, policy and resolver are control's part. */
#include "controlplane/parent/internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's interface of a DataplanePort, or "": memif, pci and tap have none that must exist.
 */
static void port_interface(const char *port, char name[IF_NAMESIZE])
{
	static const char *const kinds[] = {"af_packet:", "af_packet_pmd:", "af_xdp:"};

	name[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(port, kinds[i], len) == 0)
			snprintf(name, IF_NAMESIZE, "%.*s", (int)strcspn(port + len, ","),
				 port + len);
	}
}

static struct addr addr_of(const struct sockaddr *sa)
{
	struct addr a = {0};

	if (sa && sa->sa_family == AF_INET) {
		a.family = 4;
		memcpy(a.ip, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		a.family = 6;
		memcpy(a.ip, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	}
	return a;
}

/* With AF_XDP's steering the kernel and we may share an address; with the others its stack would
 * answer our peers with RST. */
static void check_addresses(const struct config *c, const char *ifname, struct config_messages *m)
{
	struct ifaddrs *all, *i;
	char text[ADDR_TEXT];

	if (strncmp(c->dataplane_port, "af_xdp:", 7) == 0 || getifaddrs(&all) < 0)
		return;
	for (i = all; i; i = i->ifa_next) {
		struct addr a = addr_of(i->ifa_addr);

		if (a.family && config_is_ours(c, &a))
			config_say(
				m, true, NULL, 0,
				"DataplaneAddress %s is held by the kernel too, on %s: "
				"give it up with \"ip addr del %s dev %s\", or use DataplanePort "
				"af_xdp:%s, which shares it",
				addr_text(&a, text), i->ifa_name, text, i->ifa_name,
				*ifname ? ifname : i->ifa_name);
	}
	freeifaddrs(all);
}

static void check_port(const struct config *c, struct config_messages *m)
{
	char name[IF_NAMESIZE];

	port_interface(c->dataplane_port, name);
	if (*name && !if_nametoindex(name))
		config_say(m, true, NULL, 0,
			   "DataplanePort %s: there is no interface %s: \"ip link\" shows "
			   "those that are there",
			   c->dataplane_port, name);
	check_addresses(c, name, m);
}

/* The directory, or the nearest parent that is there, must take what we write. */
static void check_directory(const char *option, const char *path, struct config_messages *m)
{
	struct stat st;
	char up[4096];
	char *slash;

	if (stat(path, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			config_say(m, true, NULL, 0, "%s %s is no directory: name another", option,
				   path);
		else if (access(path, R_OK | W_OK | X_OK) < 0)
			config_say(m, true, NULL, 0, "%s %s: %s: give it to User, or name another",
				   option, path, strerror(errno));
		else if (st.st_mode & 077)
			config_say(m, false, NULL, 0, "%s %s can be read by others: chmod 700 it",
				   option, path);
		return;
	}
	snprintf(up, sizeof(up), "%s", path);
	slash = strrchr(up, '/');
	if (slash)
		slash[slash == up] = '\0';
	if (access(up, W_OK | X_OK) < 0)
		config_say(m, true, NULL, 0,
			   "%s %s is not there and cannot be made in %s: %s: make it, "
			   "or name another",
			   option, path, up, strerror(errno));
}

static void check_user(const struct config *c, struct config_messages *m)
{
	struct identity id;

	if (identity_find(&id, c->user) < 0)
		config_say(m, true, NULL, 0,
			   "User %s: there is no such user: create it, or change the "
			   "line",
			   c->user);
	else if (id.has && getuid() != 0 && getuid() != id.uid)
		config_say(m, true, NULL, 0,
			   "User %s: only root can become another user: start as root, "
			   "or remove the line",
			   c->user);
	if (getuid() != 0)
		config_say(m, false, NULL, 0,
			   "not root: most kinds of DataplanePort can be opened by root "
			   "only");
}

static void check_logs(const struct config *c, struct config_messages *m)
{
	for (int i = 0; i < c->n_log_targets; i++)
		if (c->log_target[i].kind == CONFIG_LOG_SYSLOG && access("/dev/log", W_OK) < 0)
			config_say(m, false, NULL, 0,
				   "Log syslog: nobody listens at /dev/log: start a system log, or "
				   "name a file");
}

int parent_check(const struct config *c, struct config_messages *m)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	check_port(c, m);
	check_directory("DataDirectory", c->data_directory, m);
	check_user(c, m);
	check_logs(c, m);
	for (int i = 0; i < c->n_cores; i++) {
		if (c->cores[i] >= n_cpus)
			config_say(m, true, NULL, 0,
				   "DataplaneCores \"%s\": there is no core %d, the last one is "
				   "%ld: correct the line",
				   c->dataplane_cores_text, c->cores[i], n_cpus - 1);
	}
	return m->n_errors ? ERR_CONFIG : 0;
}
