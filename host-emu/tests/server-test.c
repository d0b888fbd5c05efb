// SPDX-License-Identifier: GPL-2.0
/* dextd's socket: what is no message of the protocol, and too much of it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/protocol.h"

#define DEVICE	"dma-engine"
#define MOST_FILES	253	/* of one packet: SCM_MAX_FD of Linux */

static int setup(void **state)
{
	*state = service_start(&side_iokit, DEVICE);
	return 0;
}

static int teardown(void **state)
{
	struct service *s = *state;

	/* Whatever happened to others, this client was served all the time. */
	assert_int_equal(simple(s, SELECTOR_TERMINATE), kIOReturnSuccess);
	service_stop(s);
	return 0;
}

static int dial(struct service *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool has_answer(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 30000) == 1;
}

/* The server says why, and ends the connection. */
static void is_refused(int fd)
{
	struct protocol_message message;
	const char *why;
	int file;

	assert_true(has_answer(fd));
	assert_int_equal(protocol_receive(fd, &message, &file, &why), 1);
	assert_int_equal(message.header.type, PROTOCOL_ERROR);
	assert_true(message.header.length > 10);
	assert_true(has_answer(fd));
	assert_int_equal(protocol_receive(fd, &message, &file, &why), 0);
	close(fd);
}

static IOReturn status_of(int fd)
{
	struct protocol_message message;
	const char *why;
	int file;

	assert_true(has_answer(fd));
	assert_int_equal(protocol_receive(fd, &message, &file, &why), 1);
	return (IOReturn)message.status.ret;
}

static int opened(struct service *s)
{
	const struct protocol_open open = { 0 };
	const int fd = dial(s);

	assert_int_equal(protocol_send(fd, PROTOCOL_OPEN, 1, &open, sizeof(open), -1, 0), 0);
	assert_int_equal(status_of(fd), kIOReturnSuccess);
	return fd;
}

static void malformed_headers_are_refused(void **state)
{
	static const struct protocol_header headers[] = {
		{ 0, PROTOCOL_VERSION, PROTOCOL_LIST, 0, 1 },
		{ PROTOCOL_MAGIC, 0, PROTOCOL_LIST, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION + 1, PROTOCOL_LIST, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_LIST, 1, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_LIST, UINT32_MAX, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, 0, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_DISCARD + 1, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_COMPLETION, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, 0xffff, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_OPEN, 0, 1 },
		{ PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_CALL, 0, 1 },
	};
	struct service *s = *state;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		const int fd = dial(s);

		assert_int_equal(send(fd, &headers[i], sizeof(headers[i]), 0), sizeof(headers[i]));
		is_refused(fd);
	}
}

static void short_and_long_packets_are_refused(void **state)
{
	static const uint8_t bytes[8192];
	struct service *s = *state;
	const size_t sizes[] = {
		1, sizeof(struct protocol_header) - 1, sizeof(struct protocol_message) + 1, 8192,
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const int fd = dial(s);

		assert_int_equal(send(fd, bytes, sizes[i], 0), sizes[i]);
		is_refused(fd);
	}
}

static void payloads_must_have_the_length_of_their_type(void **state)
{
	const uint32_t before = offsetof(struct protocol_call, in);
	const struct protocol_call calls[] = {
		{ .selector = 1, .in_count = 1 },
		{ .selector = 1, .in_count = PROTOCOL_MAX_SCALARS + 1 },
		{ .selector = 1, .in_count = UINT32_MAX },
		{ .selector = 1, .out_count = PROTOCOL_MAX_SCALARS + 1 },
	};
	struct service *s = *state;
	int fd;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		fd = opened(s);
		protocol_send(fd, PROTOCOL_CALL, 2, &calls[i], before, -1, 0);
		is_refused(fd);
	}
	for (unsigned int type = PROTOCOL_OPEN; type <= PROTOCOL_DISCARD; type++) {
		fd = opened(s);
		protocol_send(fd, (uint16_t)type, 2, calls, 5, -1, 0);
		is_refused(fd);
	}
}

static void user_clients_of_another_type_are_unsupported(void **state)
{
	const struct protocol_open other = { .type = 1 }, open = { 0 };
	struct service *s = *state;
	int fd = dial(s);

	protocol_send(fd, PROTOCOL_OPEN, 1, &other, sizeof(other), -1, 0);
	assert_int_equal(status_of(fd), kIOReturnUnsupported);
	/* The connection is no user client yet. */
	protocol_send(fd, PROTOCOL_OPEN, 1, &open, sizeof(open), -1, 0);
	assert_int_equal(status_of(fd), kIOReturnSuccess);
	close(fd);
}

static void messages_in_the_wrong_order_are_refused(void **state)
{
	const struct protocol_open open = { 0 }, none = { .service = 1 };
	const struct protocol_map map = { 0 };
	struct service *s = *state;
	int fd = dial(s);

	protocol_send(fd, PROTOCOL_MAP, 1, &map, sizeof(map), -1, 0);
	is_refused(fd);
	fd = opened(s);
	protocol_send(fd, PROTOCOL_OPEN, 1, &open, sizeof(open), -1, 0);
	is_refused(fd);
	fd = dial(s);
	protocol_send(fd, PROTOCOL_OPEN, 1, &none, sizeof(none), -1, 0);
	assert_int_equal(status_of(fd), kIOReturnNotFound);
	close(fd);
}

static unsigned int open_files(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void files_that_nobody_asked_for_are_closed(void **state)
{
	const struct protocol_share share = { .va = 4096, .size = 4096 };
	struct service *s = *state;
	const unsigned int before = open_files();
	int fd = opened(s);

	for (int i = 0; i < 100; i++) {
		assert_int_equal(protocol_send(fd, PROTOCOL_LIST, 1, NULL, 0, fd, 0), 0);
		status_of(fd);
	}
	protocol_send(fd, PROTOCOL_SHARE, 1, &share, sizeof(share), -1, 0);
	is_refused(fd);
	simple(s, SELECTOR_TERMINATE);
	assert_int_equal(open_files(), before);
}

/* A packet as it is, with @count times one file. */
static void send_files(int fd, const void *bytes, size_t len, unsigned int count)
{
	static union {
		char room[CMSG_SPACE(MOST_FILES * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = { (void *)(uintptr_t)bytes, len };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (unsigned int i = 0; i < count; i++)
		memcpy(CMSG_DATA(head) + i * sizeof(int), &fd, sizeof(fd));
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), len);
}

/* As many as there is room for, one more, more than that, and an empty packet. */
static void more_files_than_one_are_refused_and_closed(void **state)
{
	const struct protocol_header header = {
		PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_LIST, 0, 1,
	};
	struct service *s = *state;
	const unsigned int before = open_files();
	const unsigned int counts[] = { 2, 3, 4, MOST_FILES };

	for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++) {
		const int fd = dial(s);

		send_files(fd, &header, i % 2 ? sizeof(header) : 0, counts[i / 2]);
		is_refused(fd);
		simple(s, SELECTOR_TERMINATE);
		assert_int_equal(open_files(), before);
	}
}

static void a_file_with_an_empty_or_wrong_packet_is_closed(void **state)
{
	const struct protocol_header header = {
		PROTOCOL_MAGIC, PROTOCOL_VERSION, PROTOCOL_SHARE, 0, 1,
	};
	struct service *s = *state;
	const unsigned int before = open_files();

	for (size_t len = 0; len <= sizeof(header); len++) {
		const int fd = opened(s);

		send_files(fd, &header, len, 1);
		is_refused(fd);
		simple(s, SELECTOR_TERMINATE);
		assert_int_equal(open_files(), before);
	}
}

/* Whatever the message is, and whether it succeeds. */
static void a_file_with_any_message_is_closed(void **state)
{
	const struct protocol_open open = { 0 };
	const struct protocol_call call = { .selector = 99 };
	const struct protocol_map map = { .type = 77 };
	const struct protocol_share share = { .va = 4096, .size = 4096 };
	struct service *s = *state;
	const unsigned int before = open_files();
	const int fd = dial(s);

	protocol_send(fd, PROTOCOL_LIST, 1, NULL, 0, fd, 0);
	status_of(fd);
	protocol_send(fd, PROTOCOL_OPEN, 1, &open, sizeof(open), fd, 0);
	assert_int_equal(status_of(fd), kIOReturnSuccess);
	protocol_send(fd, PROTOCOL_CALL, 1, &call, offsetof(struct protocol_call, in), fd, 0);
	assert_int_not_equal(status_of(fd), kIOReturnSuccess);
	protocol_send(fd, PROTOCOL_MAP, 1, &map, sizeof(map), fd, 0);
	assert_int_not_equal(status_of(fd), kIOReturnSuccess);
	/* A socket is nothing to be shared. */
	protocol_send(fd, PROTOCOL_SHARE, 1, &share, sizeof(share), fd, 0);
	assert_int_equal(status_of(fd), kIOReturnBadArgument);
	protocol_send(fd, PROTOCOL_COMPLETION, 1, NULL, 0, fd, 0);
	is_refused(fd);
	simple(s, SELECTOR_TERMINATE);
	assert_int_equal(open_files(), before);
}

static void one_client_too_many_is_told_so(void **state)
{
	struct service *s = *state;
	int fds[SERVER_CLIENTS];

	/* One is the test's own. */
	for (unsigned int i = 0; i < SERVER_CLIENTS - 1; i++)
		fds[i] = opened(s);
	is_refused(dial(s));
	for (unsigned int i = 0; i < SERVER_CLIENTS - 1; i++)
		close(fds[i]);
	/* There is room again when they are seen to be gone. */
	for (int i = 0; i < 10; i++)
		simple(s, SELECTOR_TERMINATE);
	close(opened(s));
}

static void client_that_does_not_read_is_dropped(void **state)
{
	struct service *s = *state;
	const int fd = opened(s);
	int error = 0;

	for (int i = 0; i < 1000000 && !error; i++)
		error = protocol_send(fd, PROTOCOL_LIST, 1, NULL, 0, -1, 0);
	assert_true(error == EPIPE || error == ECONNRESET);
	close(fd);
}

static void random_packets_do_no_harm(void **state)
{
	struct service *s = *state;
	uint64_t random = 88172645463325252ull;

	for (int i = 0; i < 2000; i++) {
		struct protocol_message message;
		uint8_t *bytes = (uint8_t *)&message;
		const int fd = i % 2 ? opened(s) : dial(s);
		size_t len;

		for (size_t n = 0; n < sizeof(message.header) + 64; n++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[n] = (uint8_t)random;
		}
		len = sizeof(message.header) + random % 65;
		if (i % 8) {
			message.header.magic = PROTOCOL_MAGIC;
			message.header.version = PROTOCOL_VERSION;
			message.header.type = random >> 32 & 7;
			message.header.length = len - sizeof(message.header);
			message.call.in_count = random >> 40 & 7;
			message.call.out_count = random >> 44 & 15;
			message.call.selector = random >> 48 & 31;
		}
		send(fd, bytes, len, MSG_NOSIGNAL);
		close(fd);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(malformed_headers_are_refused),
		TEST(short_and_long_packets_are_refused),
		TEST(payloads_must_have_the_length_of_their_type),
		TEST(user_clients_of_another_type_are_unsupported),
		TEST(messages_in_the_wrong_order_are_refused),
		TEST(files_that_nobody_asked_for_are_closed),
		TEST(more_files_than_one_are_refused_and_closed),
		TEST(a_file_with_an_empty_or_wrong_packet_is_closed),
		TEST(a_file_with_any_message_is_closed),
		TEST(one_client_too_many_is_told_so),
		TEST(client_that_does_not_read_is_dropped),
		TEST(random_packets_do_no_harm),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
