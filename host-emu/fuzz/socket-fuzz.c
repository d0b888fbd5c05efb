// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing dextd's socket: the input is a list of packets to two connections,
 * with headers made right most of the time, since a wrong one only ends the
 * connection. Another client must be served afterwards, and no file be left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dextd/server.h"
#include "fuzz.h"
#include "proto/protocol.h"

#define MOST_FILES	7	/* with one packet */

static unsigned int open_files(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 64; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* What the server sent is of the protocol, whatever it was sent. */
static void check_answers(int fd)
{
	struct protocol_message message;
	const char *why;
	uint8_t byte;
	int file, got;

	while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		got = protocol_receive(fd, &message, &file, &why);
		if (got < 0)
			abort();
		if (file >= 0)
			close(file);
	}
}

/* A packet as it is, also an empty one, with @count times one file. */
static void send_raw(int fd, void *bytes, size_t len, unsigned int count)
{
	union {
		char room[CMSG_SPACE(MOST_FILES * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { bytes, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count) {
		struct cmsghdr *head = &control.align;

		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (unsigned int i = 0; i < count; i++)
			memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof(fd));
	}
	sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_packet(int fd, struct fuzz_input *input)
{
	struct protocol_message message;
	const uint8_t kind = fuzz_byte(input);
	size_t len = fuzz_byte(input);

	memset(&message, 0, sizeof(message));
	len = len < input->left ? len : input->left;
	if (kind & 0x80) {
		memcpy(&message, input->at, len);
		send_raw(fd, &message, len, kind & MOST_FILES);
	} else {
		protocol_send(fd, kind & 7, kind, input->at, len, kind & 0x40 ? fd : -1,
			      MSG_DONTWAIT);
	}
	input->at += len;
	input->left -= len;
}

/* The address space of this process is not the client's: nothing is there. */
#define NOBODY	0x7ffffffe

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct protocol_open open = { 0 };
	struct unit f;
	const unsigned int before = open_files();
	struct server *server;
	char why[128];
	int fds[3];

	fuzz_unit(&f, fuzz_byte(&input) & 1 ? "nvme,size=64K" : "dma-engine");
	server = server_create(NULL, why, sizeof(why));
	if (!server || !server_add(server, f.dext, f.dev, "root"))
		abort();
	for (unsigned int i = 0; i < 3; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			abort();
		server_adopt(server, pair[0], NOBODY);
		fds[i] = pair[1];
	}
	protocol_send(fds[0], PROTOCOL_OPEN, 1, &open, sizeof(open), -1, 0);
	for (unsigned int n = 0; n < 100 && input.left; n++) {
		const int fd = fds[fuzz_byte(&input) & 1];

		send_packet(fd, &input);
		if (!server_turn(server, 0))
			abort();
		check_answers(fd);
	}
	protocol_send(fds[2], PROTOCOL_LIST, 1, NULL, 0, -1, 0);
	for (unsigned int n = 0; n < 4; n++)
		server_turn(server, 0);
	if (recv(fds[2], &why, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		abort();
	for (unsigned int i = 0; i < 3; i++)
		close(fds[i]);
	server_destroy(server);
	unit_destroy(&f);
	if (open_files() != before)
		abort();
	return 0;
}
