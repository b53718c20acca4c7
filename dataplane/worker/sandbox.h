/* sandbox.h - what the dataplane gives away before the first packet. */
#ifndef RAMSON_SANDBOX_H
#define RAMSON_SANDBOX_H

/* Not dumpable, no new privileges, no capability; then a list of system calls that remain. user:
 * whom to become, or NULL. 0, or -1 with errno. Threads exist already: all of them are bound. */
int sandbox_enter(const char *user);

#endif
