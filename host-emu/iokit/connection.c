// SPDX-License-Identifier: GPL-2.0
/* Connections to dextd: calls, completions and mapped memory. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"
#include "linux.h"

/* An asynchronous call, found by its token; used again for the same callback. */
struct async {
	struct async *next;
	uint64_t token;
	bool used;			/* a call with it succeeded */
	struct IONotificationPort *port;
	IOAsyncCallback function;
	void *refcon;
};

struct mapping {
	struct mapping *next;
	void *address;
	size_t size;
	uint32_t type;
};

struct connection {
	struct object object;
	int fd;
	pthread_t receiver;
	pthread_mutex_t turn;		/* who has it makes a call */
	pthread_mutex_t lock;		/* everything below */
	pthread_cond_t changed;
	bool dead;
	bool closing;			/* by this side: nothing is called back */
	bool waiting;			/* for the reply to @id */
	uint32_t id;
	struct protocol_message reply;
	int reply_fd;
	uint64_t last_token;
	struct async *asyncs;
	struct mapping *mappings;
};

int socket_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("APPLE_DEXT_SOCKET");
	int fd;

	if (!path || !*path) {
		fprintf(stderr, "iokit: APPLE_DEXT_SOCKET does not name dextd's socket\n");
		return -1;
	}
	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "iokit: APPLE_DEXT_SOCKET is too long for a socket's path\n");
		return -1;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "iokit: no dextd answers at %s: %s\n", path, strerror(errno));
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * With the lock. Call back even if no call is known to be armed: a completion and
 * the next call with the same callback may have crossed.
 */
static void complete(struct connection *c, const struct protocol_completion *completion)
{
	for (struct async *async = c->asyncs; async; async = async->next)
		if (async->token == completion->token)
			port_deliver(async->port, async->function, async->refcon,
				     (IOReturn)completion->ret);
}

/* With the lock. An unexpected reply ends the connection. */
static bool take(struct connection *c, const struct protocol_message *message, int fd)
{
	const struct protocol_header *header = &message->header;

	if (header->type == PROTOCOL_COMPLETION && fd < 0 &&
	    header->length == sizeof(message->completion)) {
		complete(c, &message->completion);
		return true;
	}
	if (header->type == PROTOCOL_ERROR && header->length <= sizeof(message->text)) {
		fprintf(stderr, "iokit: dextd says: %.*s\n", (int)header->length, message->text);
		return false;
	}
	if (!(header->type & PROTOCOL_REPLY) || !c->waiting || header->id != c->id) {
		fprintf(stderr, "iokit: dextd sent an unexpected message\n");
		return false;
	}
	c->reply = *message;
	c->reply_fd = fd;
	c->waiting = false;
	pthread_cond_broadcast(&c->changed);
	return true;
}

static void die(struct connection *c)
{
	pthread_mutex_lock(&c->lock);
	c->dead = true;
	for (struct async *async = c->asyncs; async && !c->closing; async = async->next)
		port_deliver(async->port, async->function, async->refcon, kIOReturnAborted);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	/* The other side sees the end, too. */
	shutdown(c->fd, SHUT_RDWR);
}

static void *receive(void *arg)
{
	struct connection *c = arg;
	struct protocol_message message;
	const char *why;
	bool ok = true;
	int fd, got;

	while (ok) {
		got = protocol_receive(c->fd, &message, &fd, &why);
		if (got < 0)
			fprintf(stderr, "iokit: dextd: %s\n", why);
		if (got > 0) {
			pthread_mutex_lock(&c->lock);
			ok = take(c, &message, fd);
			pthread_mutex_unlock(&c->lock);
		}
		ok = ok && got > 0;
		if (!ok && fd >= 0)
			close(fd);
	}
	die(c);
	return NULL;
}

/*
 * One request and its reply, of at least @least bytes of payload.
 * Return: false when the connection is dead, or dies of it.
 */
static bool ask(struct connection *c, uint16_t type, const void *payload, uint32_t length,
		int fd, struct protocol_message *reply, uint32_t least, int *reply_fd)
{
	int got_fd = -1;
	bool ok = false;

	pthread_mutex_lock(&c->turn);
	pthread_mutex_lock(&c->lock);
	if (!c->dead) {
		c->waiting = true;
		c->id++;
		if (protocol_send(c->fd, type, c->id, payload, length, fd, 0))
			c->dead = true;
		while (c->waiting && !c->dead)
			pthread_cond_wait(&c->changed, &c->lock);
		ok = !c->waiting;
		c->waiting = false;
	}
	if (ok) {
		*reply = c->reply;
		got_fd = c->reply_fd;
		if (reply->header.type != (type | PROTOCOL_REPLY) || reply->header.length < least) {
			fprintf(stderr, "iokit: dextd's reply is malformed\n");
			c->dead = true;
			ok = false;
			shutdown(c->fd, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_unlock(&c->turn);
	if (reply_fd && ok)
		*reply_fd = got_fd;
	else if (got_fd >= 0)
		close(got_fd);
	return ok;
}

static void destroy(struct object *object)
{
	struct connection *c = (struct connection *)object;

	while (c->asyncs) {
		struct async *async = c->asyncs;

		c->asyncs = async->next;
		object_put((struct object *)async->port);
		free(async);
	}
	while (c->mappings) {
		struct mapping *mapping = c->mappings;

		c->mappings = mapping->next;
		munmap(mapping->address, mapping->size);
		free(mapping);
	}
	close(c->fd);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->turn);
	free(c);
}

/* With Yama only a parent may access a process: allow dextd. */
static void allow_peer(int fd)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred peer;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid != getpid())
		prctl(PR_SET_PTRACER, (unsigned long)peer.pid, 0, 0, 0);
}

kern_return_t service_open(const struct service *service, uint32_t type, io_connect_t *connect)
{
	const struct protocol_open open = { .service = service->index, .type = type };
	struct connection *c = calloc(1, sizeof(*c));
	struct protocol_message reply;

	if (!c)
		return kIOReturnNoMemory;
	c->fd = socket_connect();
	if (c->fd < 0) {
		free(c);
		return kIOReturnIPCError;
	}
	allow_peer(c->fd);
	pthread_mutex_init(&c->turn, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	*connect = object_add(&c->object, OBJECT_CONNECTION, destroy);
	if (*connect == IO_OBJECT_NULL || pthread_create(&c->receiver, NULL, receive, c)) {
		object_forget(*connect, OBJECT_CONNECTION);
		destroy(&c->object);
		return kIOReturnNoResources;
	}
	if (!ask(c, PROTOCOL_OPEN, &open, sizeof(open), -1, &reply, sizeof(reply.status), NULL)) {
		IOServiceClose(*connect);
		return kIOReturnIPCError;
	}
	if (reply.status.ret != KERN_SUCCESS)
		IOServiceClose(*connect);
	return (kern_return_t)reply.status.ret;
}

kern_return_t IOServiceClose(io_connect_t connect)
{
	struct connection *c = (struct connection *)object_forget(connect, OBJECT_CONNECTION);

	if (!c)
		return kIOReturnBadArgument;
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_mutex_unlock(&c->lock);
	shutdown(c->fd, SHUT_RDWR);
	pthread_join(c->receiver, NULL);
	object_put(&c->object);
	return KERN_SUCCESS;
}

static kern_return_t call(struct connection *c, uint32_t selector, uint32_t flags, uint64_t token,
			  const uint64_t *input, uint32_t input_count, uint64_t *output,
			  uint32_t *output_count)
{
	const uint32_t before = offsetof(struct protocol_call, in);
	struct protocol_call request = {
		.selector = selector, .flags = flags, .in_count = input_count, .token = token,
		.out_count = output_count ? *output_count : 0,
	};
	struct protocol_message reply;
	uint32_t count;

	if (input_count > PROTOCOL_MAX_SCALARS)
		return kIOReturnBadArgument;
	if (request.out_count > PROTOCOL_MAX_SCALARS)
		request.out_count = PROTOCOL_MAX_SCALARS;
	if (input)
		memcpy(request.in, input, input_count * sizeof(*input));
	else
		request.flags |= PROTOCOL_NO_INPUT;
	if (!output || !output_count)
		request.flags |= PROTOCOL_NO_OUTPUT;
	if (!ask(c, PROTOCOL_CALL, &request, before + input_count * sizeof(*input), -1, &reply,
		 offsetof(struct protocol_result, out), NULL))
		return kIOReturnIPCError;
	count = reply.result.out_count;
	if (count > request.out_count || reply.header.length !=
	    offsetof(struct protocol_result, out) + count * sizeof(*output))
		return kIOReturnIPCError;
	if (output && count)
		memcpy(output, reply.result.out, count * sizeof(*output));
	if (output_count)
		*output_count = count;
	return (kern_return_t)reply.result.ret;
}

kern_return_t IOConnectCallMethod(mach_port_t connection, uint32_t selector,
				  const uint64_t *input, uint32_t inputCnt,
				  const void *inputStruct, size_t inputStructCnt,
				  uint64_t *output, uint32_t *outputCnt,
				  void *outputStruct, size_t *outputStructCnt)
{
	struct connection *c = (struct connection *)object_get(connection, OBJECT_CONNECTION);
	kern_return_t ret;

	(void)inputStruct;
	(void)outputStruct;
	if (!c)
		return kIOReturnBadArgument;
	if (inputStructCnt || (outputStructCnt && *outputStructCnt))
		ret = kIOReturnUnsupported;
	else
		ret = call(c, selector, 0, 0, input, inputCnt, output, outputCnt);
	object_put(&c->object);
	return ret;
}

/*
 * Free the callbacks of ports that are destroyed, and that of @token when no call
 * with it succeeded. With the lock.
 */
static void prune(struct connection *c, uint64_t token)
{
	struct async **link = &c->asyncs, *async;

	while ((async = *link) != NULL) {
		if (!port_is_destroyed(async->port) && (async->token != token || async->used)) {
			link = &async->next;
			continue;
		}
		*link = async->next;
		object_put((struct object *)async->port);
		free(async);
	}
}

/* A token for a callback, which may come from now on; 0 without memory. */
static uint64_t arm(struct connection *c, mach_port_t wake, const uint64_t *reference)
{
	IOAsyncCallback function =
		(IOAsyncCallback)(uintptr_t)reference[kIOAsyncCalloutFuncIndex];
	void *refcon = (void *)(uintptr_t)reference[kIOAsyncCalloutRefconIndex];
	struct object *port = object_get(wake, OBJECT_PORT);
	struct async *async;
	uint64_t token = 0;

	if (!port)
		return 0;
	pthread_mutex_lock(&c->lock);
	prune(c, 0);
	for (async = c->asyncs; async; async = async->next)
		if ((struct object *)async->port == port && async->function == function &&
		    async->refcon == refcon)
			break;
	if (!async) {
		async = calloc(1, sizeof(*async));
		if (async) {
			object_hold(port);
			*async = (struct async){
				.next = c->asyncs, .token = ++c->last_token,
				.port = (struct IONotificationPort *)port,
				.function = function, .refcon = refcon,
			};
			c->asyncs = async;
		}
	}
	if (async)
		token = async->token;
	pthread_mutex_unlock(&c->lock);
	object_put(port);
	return token;
}

static void call_ended(struct connection *c, uint64_t token, kern_return_t ret)
{
	pthread_mutex_lock(&c->lock);
	for (struct async *async = c->asyncs; async && ret == KERN_SUCCESS; async = async->next)
		async->used |= async->token == token;
	prune(c, token);
	pthread_mutex_unlock(&c->lock);
}

kern_return_t IOConnectCallAsyncMethod(mach_port_t connection, uint32_t selector,
				       mach_port_t wakePort, uint64_t *reference,
				       uint32_t referenceCnt,
				       const uint64_t *input, uint32_t inputCnt,
				       const void *inputStruct, size_t inputStructCnt,
				       uint64_t *output, uint32_t *outputCnt,
				       void *outputStruct, size_t *outputStructCnt)
{
	struct connection *c = (struct connection *)object_get(connection, OBJECT_CONNECTION);
	kern_return_t ret = kIOReturnBadArgument;
	uint64_t token = 0;

	(void)inputStruct;
	(void)outputStruct;
	if (!c)
		return kIOReturnBadArgument;
	if (reference && referenceCnt >= kIOAsyncCalloutCount && !inputStructCnt &&
	    !(outputStructCnt && *outputStructCnt))
		token = arm(c, wakePort, reference);
	if (token) {
		ret = call(c, selector, PROTOCOL_ASYNC, token, input, inputCnt, output, outputCnt);
		call_ended(c, token, ret);
	}
	object_put(&c->object);
	return ret;
}

kern_return_t IOConnectMapMemory64(io_connect_t connect, uint32_t memoryType,
				   task_port_t intoTask, mach_vm_address_t *atAddress,
				   mach_vm_size_t *ofSize, IOOptionBits options)
{
	struct connection *c = (struct connection *)object_get(connect, OBJECT_CONNECTION);
	const struct protocol_map request = { .type = memoryType, .options = options };
	kern_return_t ret = kIOReturnBadArgument;
	struct protocol_message reply;
	struct mapping *mapping;
	int fd = -1;

	if (!c)
		return ret;
	if (intoTask != mach_task_self() || !atAddress || !ofSize || !(options & kIOMapAnywhere))
		goto put;
	mapping = calloc(1, sizeof(*mapping));
	ret = mapping ? kIOReturnIPCError : kIOReturnNoMemory;
	if (!mapping || !ask(c, PROTOCOL_MAP, &request, sizeof(request), -1, &reply,
			     sizeof(reply.mapped), &fd))
		goto free_mapping;
	ret = (kern_return_t)reply.mapped.ret;
	if (ret != KERN_SUCCESS)
		goto free_mapping;
	mapping->type = memoryType;
	mapping->size = reply.mapped.size;
	mapping->address = fd < 0 ? MAP_FAILED : mmap(NULL, mapping->size, PROT_READ | PROT_WRITE,
						      MAP_SHARED, fd, 0);
	if (mapping->address == MAP_FAILED) {
		ret = kIOReturnNoMemory;
		goto free_mapping;
	}
	*atAddress = (uintptr_t)mapping->address;
	*ofSize = mapping->size;
	pthread_mutex_lock(&c->lock);
	mapping->next = c->mappings;
	c->mappings = mapping;
	pthread_mutex_unlock(&c->lock);
	mapping = NULL;

free_mapping:
	free(mapping);
	if (fd >= 0)
		close(fd);
put:
	object_put(&c->object);
	return ret;
}

kern_return_t IOConnectUnmapMemory64(io_connect_t connect, uint32_t memoryType,
				     task_port_t fromTask, mach_vm_address_t atAddress)
{
	struct connection *c = (struct connection *)object_get(connect, OBJECT_CONNECTION);
	struct mapping **link, *mapping;

	if (!c)
		return kIOReturnBadArgument;
	pthread_mutex_lock(&c->lock);
	for (link = &c->mappings; (mapping = *link) != NULL; link = &mapping->next)
		if ((uintptr_t)mapping->address == atAddress && mapping->type == memoryType &&
		    fromTask == mach_task_self())
			break;
	if (mapping)
		*link = mapping->next;
	pthread_mutex_unlock(&c->lock);
	if (mapping)
		munmap(mapping->address, mapping->size);
	object_put(&c->object);
	if (!mapping)
		return kIOReturnBadArgument;
	free(mapping);
	return KERN_SUCCESS;
}

/* One request that is answered with a status alone. */
static kern_return_t ask_status(io_connect_t connect, uint16_t type, const void *payload,
				uint32_t length, int fd)
{
	struct connection *c = (struct connection *)object_get(connect, OBJECT_CONNECTION);
	kern_return_t ret = kIOReturnIPCError;
	struct protocol_message reply;

	if (!c)
		return kIOReturnBadArgument;
	if (ask(c, type, payload, length, fd, &reply, sizeof(reply.status), NULL))
		ret = (kern_return_t)reply.status.ret;
	object_put(&c->object);
	return ret;
}

kern_return_t iokit_share_memory(io_connect_t connect, uint64_t va, uint64_t size, int fd,
				 uint64_t offset)
{
	const struct protocol_share request = { va, size, offset };

	return ask_status(connect, PROTOCOL_SHARE, &request, sizeof(request), fd);
}

kern_return_t iokit_discard_memory(io_connect_t connect, uint64_t va, uint64_t size)
{
	const struct protocol_discard request = { va, size };

	return ask_status(connect, PROTOCOL_DISCARD, &request, sizeof(request), -1);
}
