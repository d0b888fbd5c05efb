/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The messages between dextd and the Linux IOKit, on a UNIX socket of type
 * SOCK_SEQPACKET, in the byte order of the machine. One packet is one message:
 * a header, and exactly the payload that its type says. Documentation/dext.md
 * has the rules. One connection is one user client.
 */
#ifndef APPLE_DMA_PROTOCOL_H
#define APPLE_DMA_PROTOCOL_H

#include <stdint.h>

#define PROTOCOL_MAGIC		UINT32_C(0x54584441)	/* "ADXT" */
#define PROTOCOL_VERSION	1
#define PROTOCOL_MAX_SCALARS	16
#define PROTOCOL_MAX_SERVICES	16
#define PROTOCOL_NAME		64
#define PROTOCOL_TEXT		256

/**
 * enum protocol_type - a reply has the type of its request, with PROTOCOL_REPLY
 * @PROTOCOL_LIST: none : struct protocol_services
 * @PROTOCOL_OPEN: struct protocol_open : struct protocol_status
 * @PROTOCOL_CALL: struct protocol_call : struct protocol_result
 * @PROTOCOL_MAP: struct protocol_map : struct protocol_mapped, with a file for Success
 * @PROTOCOL_SHARE: struct protocol_share, with a file : struct protocol_status
 * @PROTOCOL_DISCARD: struct protocol_discard : struct protocol_status
 * @PROTOCOL_COMPLETION: from dextd alone: struct protocol_completion
 * @PROTOCOL_ERROR: from dextd alone: a sentence; it closes the connection
 */
enum protocol_type {
	PROTOCOL_LIST = 1,
	PROTOCOL_OPEN,
	PROTOCOL_CALL,
	PROTOCOL_MAP,
	PROTOCOL_SHARE,
	PROTOCOL_DISCARD,
	PROTOCOL_REPLY = 0x80,
	PROTOCOL_COMPLETION = 0xc0,
	PROTOCOL_ERROR
};

/**
 * struct protocol_header - of every message
 * @length: of the payload, in bytes
 * @id: chosen by the client, the same in the reply
 */
struct protocol_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t length;
	uint32_t id;
};

struct protocol_services {
	uint32_t count;
	uint32_t reserved;
	char class[PROTOCOL_MAX_SERVICES][PROTOCOL_NAME];	/* with a NUL */
	char root[PROTOCOL_MAX_SERVICES][PROTOCOL_NAME];	/* of their buses; the same */
};

/** struct protocol_open - @type is that of the user client; the extension knows 0 only */
struct protocol_open {
	uint32_t service;
	uint32_t type;
};

struct protocol_status {
	uint32_t ret;
	uint32_t reserved;
};

#define PROTOCOL_ASYNC		1	/* complete it with a message that has the token */
#define PROTOCOL_NO_INPUT	2	/* the caller gave NULL */
#define PROTOCOL_NO_OUTPUT	4

/** struct protocol_call - only @in_count of @in are sent */
struct protocol_call {
	uint32_t selector;
	uint32_t flags;
	uint32_t in_count;
	uint32_t out_count;
	uint64_t token;
	uint64_t in[PROTOCOL_MAX_SCALARS];
};

/** struct protocol_result - only @out_count of @out are sent */
struct protocol_result {
	uint32_t ret;
	uint32_t out_count;
	uint64_t out[PROTOCOL_MAX_SCALARS];
};

struct protocol_map {
	uint32_t type;
	uint32_t options;
};

struct protocol_mapped {
	uint32_t ret;
	uint32_t reserved;
	uint64_t size;
};

struct protocol_share {
	uint64_t va;
	uint64_t size;
	uint64_t offset;
};

/** struct protocol_discard - the client lost this memory, whole pages of a DART */
struct protocol_discard {
	uint64_t va;
	uint64_t size;
};

struct protocol_completion {
	uint64_t token;
	uint32_t ret;
	uint32_t reserved;
};

struct protocol_message {
	struct protocol_header header;
	union {
		struct protocol_services services;
		struct protocol_open open;
		struct protocol_status status;
		struct protocol_call call;
		struct protocol_result result;
		struct protocol_map map;
		struct protocol_mapped mapped;
		struct protocol_share share;
		struct protocol_discard discard;
		struct protocol_completion completion;
		char text[PROTOCOL_TEXT];
	};
};

_Static_assert(sizeof(struct protocol_header) == 16, "header");
_Static_assert(sizeof(struct protocol_call) == 24 + 8 * PROTOCOL_MAX_SCALARS, "call");
_Static_assert(sizeof(struct protocol_result) == 8 + 8 * PROTOCOL_MAX_SCALARS, "result");

/**
 * protocol_send() - one message, and a file with it
 * @fd: of the file, not closed; negative for none
 * @flags: for sendmsg(), e.g. MSG_DONTWAIT
 * Return: 0, or an errno.
 */
int protocol_send(int socket, uint16_t type, uint32_t id, const void *payload, uint32_t length,
		  int fd, int flags);

/**
 * protocol_receive() - one message
 * @fd: set to the file that came with it, or to -1; the caller closes it
 * @why: set to a sentence when the message is not one
 *
 * Blocks on a blocking socket. Only the header and the length are checked here.
 * Return: 1, or 0 at the end of the connection, or -1 for what is no message.
 */
int protocol_receive(int socket, struct protocol_message *message, int *fd, const char **why);

#endif
