// SPDX-License-Identifier: GPL-2.0
/* Messages on the socket, for both sides. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int protocol_send(int socket, uint16_t type, uint32_t id, const void *payload, uint32_t length,
		  int fd, int flags)
{
	struct protocol_header header = {
		PROTOCOL_MAGIC, PROTOCOL_VERSION, type, length, id,
	};
	struct iovec parts[2] = {
		{ &header, sizeof(header) }, { (void *)(uintptr_t)payload, length },
	};
	union control control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = length ? 2 : 1 };
	struct cmsghdr *head;
	ssize_t sent;

	if (fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof(control.room);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? errno : 0;
}

/* Count the files that came and close all but the first, which the caller closes. */
static unsigned int take_files(struct msghdr *message, int *fd)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	unsigned int count = 0;
	int file;

	if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return 0;
	/* The kernel may deliver one file more than was asked for. */
	for (size_t at = CMSG_LEN(0); at + sizeof(file) <= head->cmsg_len; at += sizeof(file)) {
		memcpy(&file, (const uint8_t *)head + at, sizeof(file));
		if (count++)
			close(file);
		else
			*fd = file;
	}
	return count;
}

static const char *check(const struct protocol_message *message, ssize_t len, int flags,
			 unsigned int files)
{
	const struct protocol_header *header = &message->header;

	if (flags & MSG_TRUNC)
		return "the message is longer than any";
	if (flags & MSG_CTRUNC || files > 1)
		return "the message has more than one file";
	if ((size_t)len < sizeof(*header))
		return "the message is shorter than its header";
	if (header->magic != PROTOCOL_MAGIC)
		return "the message does not begin as one of this protocol";
	if (header->version != PROTOCOL_VERSION)
		return "the message is of another version of the protocol";
	if (header->length != (size_t)len - sizeof(*header))
		return "the message does not have the length that its header says";
	return NULL;
}

int protocol_receive(int socket, struct protocol_message *message, int *fd, const char **why)
{
	struct iovec part = { message, sizeof(*message) };
	union control control;
	struct msghdr head = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control.room, .msg_controllen = sizeof(control.room),
	};
	unsigned int files;
	ssize_t len;

	*fd = -1;
	do
		len = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return 0;
	/* An empty packet looks like the end of the connection, but may carry files. */
	files = take_files(&head, fd);
	if (!len && !files)
		return 0;
	*why = check(message, len, head.msg_flags, files);
	return *why ? -1 : 1;
}
