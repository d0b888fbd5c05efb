// SPDX-License-Identifier: GPL-2.0
/* dextd's socket: connections, their messages, and the turn that serves all. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/memory.h"
#include "pci/physical.h"
#include "proto/protocol.h"

struct connection {
	int fd;				/* -1 for a free place */
	bool ended;			/* to be closed when this turn is over */
	struct server *server;
	struct dext_client *client;	/* NULL before PROTOCOL_OPEN */
	struct memory_peer peer;
	int pid;
};

struct service {
	struct dext *dext;
	struct physical *dev;
	char root[PROTOCOL_NAME];
};

struct server {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int listener;			/* -1 for none */
	int wake;
	bool stop;
	void (*log)(const char *text);
	struct service services[PROTOCOL_MAX_SERVICES];
	unsigned int service_count;
	struct connection connections[SERVER_CLIENTS];
};

static void say(const struct server *server, const struct connection *c, const char *text)
{
	char line[PROTOCOL_TEXT + 64];

	if (!server->log)
		return;
	snprintf(line, sizeof(line), "the client of process %d: %s", c->pid, text);
	server->log(line);
}

/* The client is at fault: tell it why, and close it at the end of the turn. */
static void refuse(struct connection *c, const char *why)
{
	if (c->ended)
		return;
	say(c->server, c, why);
	protocol_send(c->fd, PROTOCOL_ERROR, 0, why, strlen(why), -1, MSG_DONTWAIT);
	c->ended = true;
}

static void drop(struct connection *c)
{
	dext_close(c->client);
	memory_peer_fini(&c->peer);
	close(c->fd);
	*c = (struct connection){ .fd = -1 };
}

/* A client that does not read its answers must not stop the others. */
static void answer(struct connection *c, uint16_t type, uint32_t id, const void *payload,
		   uint32_t length, int fd)
{
	const int error = protocol_send(c->fd, type, id, payload, length, fd, MSG_DONTWAIT);

	if (!error || c->ended)
		return;
	if (error == EAGAIN)
		say(c->server, c, "it does not read its answers");
	c->ended = true;
}

static void answer_status(struct connection *c, const struct protocol_header *header, IOReturn ret)
{
	const struct protocol_status status = { .ret = (uint32_t)ret };

	answer(c, header->type | PROTOCOL_REPLY, header->id, &status, sizeof(status), -1);
}

static void complete(void *arg, uint64_t token, IOReturn ret)
{
	const struct protocol_completion completion = { .token = token, .ret = (uint32_t)ret };

	answer(arg, PROTOCOL_COMPLETION, 0, &completion, sizeof(completion), -1);
}

static void list(struct connection *c, const struct protocol_message *message)
{
	struct protocol_services services = { .count = c->server->service_count };

	for (unsigned int i = 0; i < services.count; i++) {
		strcpy(services.class[i], EXTENSION_CLASS);
		strcpy(services.root[i], c->server->services[i].root);
	}
	answer(c, PROTOCOL_LIST | PROTOCOL_REPLY, message->header.id, &services, sizeof(services),
	       -1);
}

static void open_service(struct connection *c, const struct protocol_message *message)
{
	const uint32_t index = message->open.service;

	if (c->client) {
		refuse(c, "a connection is one user client, and it has one already");
		return;
	}
	if (index >= c->server->service_count) {
		answer_status(c, &message->header, kIOReturnNotFound);
		return;
	}
	if (message->open.type) {
		answer_status(c, &message->header, kIOReturnUnsupported);
		return;
	}
	c->client = dext_open_for(c->server->services[index].dext, &c->peer.memory);
	answer_status(c, &message->header, c->client ? kIOReturnSuccess : kIOReturnNoMemory);
}

static void call(struct connection *c, const struct protocol_message *message)
{
	const struct protocol_call *m = &message->call;
	const struct dext_completion completion = { complete, c, m->token };
	const uint32_t room = m->flags & PROTOCOL_NO_OUTPUT ? 0 : m->out_count;
	struct protocol_result result = { .out_count = room };

	result.ret = dext_call_async(c->client, m->selector,
				     m->flags & PROTOCOL_NO_INPUT ? NULL : m->in, m->in_count,
				     m->flags & PROTOCOL_NO_OUTPUT ? NULL : result.out,
				     m->flags & PROTOCOL_NO_OUTPUT ? NULL : &result.out_count,
				     m->flags & PROTOCOL_ASYNC ? &completion : NULL);
	if (m->flags & PROTOCOL_NO_OUTPUT || result.ret != kIOReturnSuccess)
		result.out_count = 0;
	answer(c, PROTOCOL_CALL | PROTOCOL_REPLY, message->header.id, &result,
	       offsetof(struct protocol_result, out) + sizeof(result.out[0]) * result.out_count, -1);
}

static void map(struct connection *c, const struct protocol_message *message)
{
	struct protocol_mapped mapped = { 0 };
	int fd = -1;

	mapped.ret = dext_get_memory(c->client, message->map.type, message->map.options, &fd,
				     &mapped.size);
	answer(c, PROTOCOL_MAP | PROTOCOL_REPLY, message->header.id, &mapped, sizeof(mapped),
	       mapped.ret == kIOReturnSuccess ? fd : -1);
}

static void share(struct connection *c, const struct protocol_message *message, int fd)
{
	const struct protocol_share *m = &message->share;
	const char *why;

	if (fd < 0) {
		refuse(c, "shared memory comes with a file");
		return;
	}
	why = memory_peer_share(&c->peer, m->va, m->size, fd, m->offset);
	if (why)
		say(c->server, c, why);
	answer_status(c, &message->header, why ? kIOReturnBadArgument : kIOReturnSuccess);
}

static void discard(struct connection *c, const struct protocol_message *message)
{
	dext_discard(c->client, message->discard.va, message->discard.size);
	answer_status(c, &message->header, kIOReturnSuccess);
}

/* Is the payload exactly that of its type? */
static bool fits(const struct protocol_message *message)
{
	const uint32_t length = message->header.length;
	const uint32_t least = offsetof(struct protocol_call, in);

	switch (message->header.type) {
	case PROTOCOL_LIST:
		return length == 0;
	case PROTOCOL_OPEN:
		return length == sizeof(message->open);
	case PROTOCOL_CALL:
		return length >= least && message->call.in_count <= PROTOCOL_MAX_SCALARS &&
		       message->call.out_count <= PROTOCOL_MAX_SCALARS &&
		       length == least + 8 * message->call.in_count;
	case PROTOCOL_MAP:
		return length == sizeof(message->map);
	case PROTOCOL_SHARE:
		return length == sizeof(message->share);
	case PROTOCOL_DISCARD:
		return length == sizeof(message->discard);
	default:
		return false;
	}
}

static void serve(struct connection *c)
{
	struct protocol_message message;
	const char *why;
	int fd, got;

	got = protocol_receive(c->fd, &message, &fd, &why);
	if (got == 0)
		c->ended = true;
	else if (got < 0)
		refuse(c, why);
	else if (!fits(&message))
		refuse(c, "the message has no known type, or not the length of its type");
	else if (message.header.type == PROTOCOL_LIST)
		list(c, &message);
	else if (message.header.type == PROTOCOL_OPEN)
		open_service(c, &message);
	else if (!c->client)
		refuse(c, "it must open a service first");
	else if (message.header.type == PROTOCOL_CALL)
		call(c, &message);
	else if (message.header.type == PROTOCOL_MAP)
		map(c, &message);
	else if (message.header.type == PROTOCOL_DISCARD)
		discard(c, &message);
	else
		share(c, &message, fd);
	if (fd >= 0)
		close(fd);
}

bool server_adopt(struct server *server, int fd, int pid)
{
	static const char full[] = "dextd has as many clients as it can have";
	socklen_t size = sizeof(struct ucred);
	struct ucred peer = { 0 };

	if (!pid && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		pid = peer.pid;
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++) {
		struct connection *c = &server->connections[i];

		if (c->fd >= 0)
			continue;
		*c = (struct connection){ .fd = fd, .server = server, .pid = pid };
		memory_peer_init(&c->peer, pid);
		return true;
	}
	protocol_send(fd, PROTOCOL_ERROR, 0, full, sizeof(full) - 1, -1, MSG_DONTWAIT);
	close(fd);
	return false;
}

static void accept_client(struct server *server)
{
	const int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		server_adopt(server, fd, 0);
}

static bool work(struct server *server)
{
	bool more = false;

	for (unsigned int i = 0; i < server->service_count; i++)
		more |= physical_work(server->services[i].dev);
	return more;
}

static void drain(int wake)
{
	uint64_t count;
	ssize_t done = read(wake, &count, sizeof(count));

	(void)done;
}

bool server_turn(struct server *server, int timeout_ms)
{
	struct pollfd fds[SERVER_CLIENTS + 2] = {
		{ .fd = server->wake, .events = POLLIN },
		{ .fd = server->listener, .events = POLLIN },
	};

	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		fds[i + 2] = (struct pollfd){ .fd = server->connections[i].fd, .events = POLLIN };
	if (work(server))
		timeout_ms = 0;
	/* A completion may have ended a connection, which is dropped below. */
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		if (server->connections[i].fd >= 0 && server->connections[i].ended)
			timeout_ms = 0;
	if (poll(fds, SERVER_CLIENTS + 2, timeout_ms) < 0)
		return errno == EINTR;
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++) {
		struct connection *c = &server->connections[i];

		if (c->fd >= 0 && fds[i + 2].revents && !c->ended)
			serve(c);
	}
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		if (server->connections[i].fd >= 0 && server->connections[i].ended)
			drop(&server->connections[i]);
	if (fds[0].revents)
		drain(server->wake);
	if (fds[1].revents)
		accept_client(server);
	return true;
}

bool server_run(struct server *server)
{
	while (!__atomic_exchange_n(&server->stop, false, __ATOMIC_ACQ_REL))
		if (!server_turn(server, -1))
			return false;
	return true;
}

void server_stop(struct server *server)
{
	const uint64_t one = 1;
	ssize_t done;

	__atomic_store_n(&server->stop, true, __ATOMIC_RELEASE);
	done = write(server->wake, &one, sizeof(one));
	(void)done;
}

/* Does another process listen at the address? A stale socket is removed. */
static bool in_use(const struct sockaddr_un *address)
{
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct stat status;
	bool used = false;

	if (fd < 0)
		return false;
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		used = true;
	else if (errno == ECONNREFUSED && !lstat(address->sun_path, &status) &&
		 S_ISSOCK(status.st_mode))
		unlink(address->sun_path);
	close(fd);
	return used;
}

static bool listen_at(struct server *server, char *why, size_t why_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int failed;

	strcpy(address.sun_path, server->path);
	if (in_use(&address)) {
		snprintf(why, why_size, "%s: another dextd answers there", server->path);
		return false;
	}
	server->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0) {
		snprintf(why, why_size, "no socket can be made: %s", strerror(errno));
		return false;
	}
	mask = umask(077);
	failed = bind(server->listener, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (failed || listen(server->listener, SERVER_CLIENTS)) {
		snprintf(why, why_size, "%s: cannot listen there: %s", server->path,
			 strerror(errno));
		close(server->listener);
		server->listener = -1;
		return false;
	}
	return true;
}

struct server *server_create(const char *path, char *why, size_t why_size)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server) {
		snprintf(why, why_size, "no memory");
		return NULL;
	}
	server->listener = -1;
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		server->connections[i].fd = -1;
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (path && strlen(path) >= sizeof(server->path)) {
		snprintf(why, why_size, "%s: a socket's path has at most %zu characters", path,
			 sizeof(server->path) - 1);
		server_destroy(server);
		return NULL;
	}
	if (path) {
		strcpy(server->path, path);
		if (!listen_at(server, why, why_size)) {
			server_destroy(server);
			return NULL;
		}
	}
	return server;
}

bool server_add(struct server *server, struct dext *dext, struct physical *dev, const char *root)
{
	struct service *service = &server->services[server->service_count];

	if (server->service_count == PROTOCOL_MAX_SERVICES)
		return false;
	server->service_count++;
	*service = (struct service){ .dext = dext, .dev = dev };
	snprintf(service->root, sizeof(service->root), "%s", root);
	return true;
}

void server_set_log(struct server *server, void (*log)(const char *text))
{
	server->log = log;
}

unsigned int server_clients(const struct server *server)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		count += server->connections[i].fd >= 0;
	return count;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	for (unsigned int i = 0; i < SERVER_CLIENTS; i++)
		if (server->connections[i].fd >= 0)
			drop(&server->connections[i]);
	if (server->listener >= 0) {
		close(server->listener);
		unlink(server->path);
	}
	if (server->wake >= 0)
		close(server->wake);
	free(server);
}
