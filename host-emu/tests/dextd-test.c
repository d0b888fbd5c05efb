// SPDX-License-Identifier: GPL-2.0
/* dextd as a process of its own: its options, its end, and clients that die. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/apple-dext-client.h"
#include "pci/dma-engine.h"
#include "service.h"

struct daemon {
	pid_t pid;
	int said;			/* what it writes to stderr */
	char text[4096];
	size_t len;
	char path[64];
};

/* Reads until @word was said, or the end. */
static bool hear(struct daemon *d, const char *word)
{
	struct pollfd wait = { .fd = d->said, .events = POLLIN };
	ssize_t n;

	while (!strstr(d->text, word)) {
		if (d->len == sizeof(d->text) - 1 || poll(&wait, 1, 30000) != 1)
			return false;
		n = read(d->said, d->text + d->len, sizeof(d->text) - 1 - d->len);
		if (n <= 0)
			return false;
		d->len += (size_t)n;
		d->text[d->len] = '\0';
	}
	return true;
}

/* @arguments: separated by blanks; SOCKET stands for the path */
static struct daemon *run(const char *arguments)
{
	static unsigned int number;
	struct daemon *d = calloc(1, sizeof(*d));
	char copy[1024], *argv[32] = { getenv("DEXTD") }, *rest = copy;
	int pipes[2];
	int argc = 1;

	assert_non_null(d);
	if (!argv[0]) {
		fail_msg("DEXTD must name the dextd to test; make unit does");
		_exit(1);
	}
	snprintf(d->path, sizeof(d->path), "/tmp/dextd-test.%d.%u", getpid(), number++);
	snprintf(copy, sizeof(copy), "%s", arguments);
	while ((argv[argc] = strsep(&rest, " ")) != NULL) {
		if (!strcmp(argv[argc], "SOCKET"))
			argv[argc] = d->path;
		argc++;
	}
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (!d->pid) {
		dup2(pipes[1], STDERR_FILENO);
		dup2(pipes[1], STDOUT_FILENO);
		execv(argv[0], argv);
		_exit(127);
	}
	close(pipes[1]);
	d->said = pipes[0];
	setenv("APPLE_DEXT_SOCKET", d->path, 1);
	return d;
}

static struct daemon *serve(const char *devices)
{
	char arguments[1024];
	struct daemon *d;

	snprintf(arguments, sizeof(arguments), "--socket SOCKET %s", devices);
	d = run(arguments);
	if (!hear(d, "listening"))
		fail_msg("%s", d->text);
	return d;
}

/* Returns its exit status; 128 and the signal when it was killed. */
static int end(struct daemon *d, int signal)
{
	int status;

	if (signal)
		kill(d->pid, signal);
	assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
	close(d->said);
	unlink(d->path);
	free(d);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void wrong_options_are_sentences(void **state)
{
	static const struct {
		const char *arguments, *sentence;
	} cases[] = {
		{ "", "usage:" },
		{ "--socket SOCKET", "usage:" },
		{ "--device nvme", "usage:" },
		{ "--nonsense", "usage:" },
		{ "--socket SOCKET --device disk", "there is no device 'disk'" },
		{ "--socket SOCKET --device nvme,colour=red", "there is no colour" },
		{ "--socket SOCKET --device nvme,size", "'size' is not KEY=VALUE" },
		{ "--socket SOCKET --device nvme,size=1X", "size cannot be '1X'" },
		{ "--socket SOCKET --device nvme,size=-1", "size cannot be '-1'" },
		{ "--socket SOCKET --device nvme,size=99999999T", "size cannot be" },
		{ "--socket SOCKET --device nvme,block=513", "block cannot be '513'" },
		{ "--socket SOCKET --device nvme,queues=0", "queues cannot be '0'" },
		{ "--socket SOCKET --device nvme,queues=65", "queues cannot be '65'" },
		{ "--socket SOCKET --device nvme,bdf=01:20.0", "bdf cannot be '01:20.0'" },
		{ "--socket SOCKET --device nvme,bdf=1:2", "bdf cannot be '1:2'" },
		{ "--socket SOCKET --device nvme,iova=low", "iova cannot be 'low'" },
		{ "--socket SOCKET --device nvme,iova-bits=31", "iova-bits cannot be '31'" },
		{ "--socket SOCKET --device nvme,interrupts=inta", "interrupts cannot be 'inta'" },
		{ "--socket SOCKET --device nvme,root=", "root cannot be ''" },
		{ "--socket SOCKET --device nvme,reset=pm", "reset cannot be 'pm'" },
		{ "--socket SOCKET --device nvme,sgl=some", "sgl cannot be 'some'" },
		{ "--socket SOCKET --device nvme,hmb=2G", "hmb cannot be '2G'" },
		{ "--socket SOCKET --device nvme,hmb=6K", "hmb and hmb-min are multiples" },
		{ "--socket SOCKET --device nvme,hmb-min=8K", "hmb-min at most hmb" },
		{ "--socket SOCKET --device nvme,busy=maybe", "busy cannot be 'maybe'" },
		{ "--socket SOCKET --device nvme,lie=white", "lie cannot be 'white'" },
		{ "--socket SOCKET --device nvme,file=/nonexistent/x", "No such file" },
		{ "--socket SOCKET --device nvme,size=10", "not even one block" },
		{ "--socket SOCKET --device nvme --device dma-engine", "cannot have one bdf and root" },
		{ "--socket /nonexistent/x --device nvme", "cannot listen there" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct daemon *d = run(cases[i].arguments);

		if (!hear(d, cases[i].sentence))
			fail_msg("%s: %s", cases[i].arguments, d->text);
		assert_int_equal(end(d, 0), 1);
	}
}

static void help_names_every_key(void **state)
{
	static const char *const keys[] = {
		"bdf=", "file=", "size=", "block=", "queues=", "iova=", "seed=", "max-bytes=",
		"max-entries=", "max-segment=", "iova-bits=", "latency-us=", "lost-after=",
		"lie=", "lie-after=", "busy=", "interrupts=", "hmb=", "hmb-min=", "sgl=", "hold=",
		"root=", "reset=",
	};
	struct daemon *d = run("--help");

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!hear(d, keys[i]))
			fail_msg("no %s in: %s", keys[i], d->text);
	assert_int_equal(end(d, 0), 0);
}

static void a_socket_in_use_is_refused_and_a_dead_one_replaced(void **state)
{
	struct daemon *first = serve("--device dma-engine"), *second;
	char arguments[256];
	int fd;

	(void)state;
	snprintf(arguments, sizeof(arguments), "--socket %s --device dma-engine", first->path);
	second = run(arguments);
	assert_true(hear(second, "another dextd answers there"));
	assert_int_equal(end(second, 0), 1);
	kill(first->pid, SIGKILL);
	waitpid(first->pid, NULL, WNOWAIT);
	second = run(arguments);
	assert_true(hear(second, "listening"));
	assert_int_equal(end(second, SIGTERM), 0);
	assert_int_equal(end(first, 0), 128 + SIGKILL);
	/* What is no socket is not removed. */
	second = run("--help");
	fd = open(second->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	snprintf(arguments, sizeof(arguments), "--socket %s --device dma-engine", second->path);
	first = run(arguments);
	assert_true(hear(first, "cannot listen there"));
	assert_int_equal(end(first, 0), 1);
	assert_int_equal(access(second->path, F_OK), 0);
	end(second, 0);
}

static void devices_reach_the_memory_of_another_process(void **state)
{
	struct daemon *d = serve("--device nvme,bdf=01:00.0,size=1M "
				 "--device dma-engine,bdf=02:00.0");
	uint8_t *memory = service_memory(65536);
	uint64_t bus, word = 0, state_now;
	io_connect_t c;

	(void)state;
	memcpy(memory + 16384, "from the client's own memory", 29);
	assert_int_equal(apple_dext_connect(3, 0, 0), IO_OBJECT_NULL);
	c = apple_dext_connect(2, 0, 0);
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_register_dma(c, 7, (uintptr_t)memory, 65536, &bus, NULL),
			 kIOReturnSuccess);
	assert_int_equal(apple_dext_probe_dma(c, 7, 16384, &word), kIOReturnSuccess);
	assert_memory_equal(&word, "from the", 8);
	assert_int_equal(apple_dext_mmio_write(c, 1, 0, 8, 0x2174756f), kIOReturnSuccess);
	assert_int_equal(apple_dext_mmio_write(c, 0, ENGINE_CHANNEL(0) + CHANNEL_BUS_LO, 8,
					       bus + 40000), kIOReturnSuccess);
	apple_dext_mmio_write(c, 0, ENGINE_CHANNEL(0) + CHANNEL_LENGTH, 4, 8);
	apple_dext_mmio_write(c, 0, ENGINE_CHANNEL(0), 4, CHANNEL_START | CHANNEL_TO_BUS);
	do
		assert_int_equal(apple_dext_mmio_read(c, 0, ENGINE_CHANNEL(0) + CHANNEL_STATE, 4,
						      &state_now), kIOReturnSuccess);
	while (state_now == CHANNEL_RUNNING);
	assert_int_equal(state_now, CHANNEL_ENDED);
	assert_string_equal(memory + 40000, "out!");
	apple_dext_disconnect(c);
	assert_int_equal(end(d, SIGTERM), 0);
	munmap(memory, 65536);
}

static void hit(void *opaque)
{
	waiter_hit(opaque, 0);
}

static void *kill_soon(void *arg)
{
	usleep(300000);
	kill(*(pid_t *)arg, SIGKILL);
	return NULL;
}

static void killed_in_a_call_is_an_error_not_a_hang(void **state)
{
	struct daemon *d = serve("--device dma-engine,latency-us=100000");
	struct waiter waiter = WAITER;
	AppleDextInterruptNotify *notify;
	io_connect_t c = apple_dext_connect(1, 0, 0);
	pthread_t killer;
	uint64_t value;
	kern_return_t ret;

	(void)state;
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(c, NULL), kIOReturnSuccess);
	notify = apple_dext_interrupt_notify_create(c, hit, &waiter);
	assert_non_null(notify);
	pthread_create(&killer, NULL, kill_soon, &d->pid);
	do
		ret = apple_dext_config_read(c, 0, 4, &value);
	while (ret == kIOReturnSuccess);
	assert_int_equal(ret, kIOReturnIPCError);
	pthread_join(killer, NULL);
	waiter_get(&waiter, 1);
	assert_int_equal(apple_dext_interrupt_notify_rearm(notify), kIOReturnIPCError);
	apple_dext_interrupt_notify_destroy(notify);
	apple_dext_disconnect(c);
	assert_int_equal(apple_dext_connect(1, 0, 0), IO_OBJECT_NULL);
	assert_int_equal(end(d, 0), 128 + SIGKILL);
	/* Another one serves again. */
	d = serve("--device dma-engine");
	c = apple_dext_connect(1, 0, 0);
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	apple_dext_disconnect(c);
	assert_int_equal(end(d, SIGTERM), 0);
}

static void killed_client_leaves_nothing_in_the_dart(void **state)
{
	char stats[64], devices[128], text[1024] = "";
	struct daemon *d;
	io_connect_t c;
	int status, fd;
	pid_t child;

	(void)state;
	snprintf(stats, sizeof(stats), "/tmp/dextd-stats.%d", getpid());
	snprintf(devices, sizeof(devices), "--stats %s --device dma-engine,max-bytes=64K", stats);
	d = serve(devices);
	child = fork();
	if (!child) {
		uint8_t *memory = service_memory(65536);

		c = apple_dext_connect(1, 0, 0);
		if (apple_dext_claim(c) || apple_dext_register_dma(c, 1, (uintptr_t)memory, 40000,
								   NULL, NULL))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	/* Two do not fit. The limit is free again, and it was the opener that died. */
	c = apple_dext_connect(1, 0, 0);
	for (int i = 0; i < 1000; i++) {
		uint8_t *memory = service_memory(65536);

		assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
		status = apple_dext_register_dma(c, 1, (uintptr_t)memory, 40000, NULL, NULL);
		munmap(memory, 65536);
		if (status == kIOReturnSuccess)
			break;
		usleep(10000);
	}
	assert_int_equal(status, kIOReturnSuccess);
	apple_dext_disconnect(c);
	assert_int_equal(end(d, SIGTERM), 0);
	fd = open(stats, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	unlink(stats);
	assert_non_null(strstr(text, "\"model\": \"dma-engine\", \"bdf\": \"01:00.0\""));
	assert_non_null(strstr(text, "\"dart_entries\": 0"));
}

/*
 * A dextd whose statistics go to a pipe that is full, so that writing them
 * lasts until the pipe is read.
 */
struct stuck {
	struct daemon *d;
	char stats[64];
	int pipe, opened;
};

static struct stuck stuck_start(void)
{
	struct stuck s = { 0 };
	char arguments[256], part[80], blanks[4096];

	snprintf(s.stats, sizeof(s.stats), "/tmp/dextd-stats.%d", getpid());
	snprintf(part, sizeof(part), "%s.part", s.stats);
	assert_int_equal(mkfifo(part, 0600), 0);
	s.pipe = open(part, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fcntl(s.pipe, F_SETPIPE_SZ, sizeof(blanks)) == sizeof(blanks));
	memset(blanks, ' ', sizeof(blanks));
	assert_int_equal(write(s.pipe, blanks, sizeof(blanks)), sizeof(blanks));
	s.opened = inotify_init1(IN_CLOEXEC);
	assert_true(inotify_add_watch(s.opened, part, IN_OPEN) >= 0);
	snprintf(arguments, sizeof(arguments), "--stats %s --device dma-engine", s.stats);
	s.d = serve(arguments);
	return s;
}

/* Returns when it is writing them. */
static void stuck_write(struct stuck *s, int signal)
{
	struct pollfd wait = { .fd = s->opened, .events = POLLIN };

	kill(s->d->pid, signal);
	assert_int_equal(poll(&wait, 1, 30000), 1);
}

static void stuck_read(struct stuck *s)
{
	struct pollfd wait = { .fd = s->pipe, .events = POLLIN };
	char text[8192];
	size_t len = 0;

	do {
		ssize_t n;

		if (poll(&wait, 1, 30000) != 1) {
			hear(s->d, "SUMMARY");
			fail_msg("%s", s->d->text);
		}
		n = read(s->pipe, text + len, sizeof(text) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		text[len] = '\0';
	} while (!strstr(text, "]}\n"));
	assert_non_null(strstr(text, "dma-engine"));
	close(s->pipe);
	close(s->opened);
}

static void asked_again_while_it_writes_statistics(void **state)
{
	struct stuck s = stuck_start();
	struct stat status = { .st_mode = S_IFIFO };

	(void)state;
	stuck_write(&s, SIGUSR1);
	kill(s.d->pid, SIGUSR1);
	stuck_read(&s);
	/* The first ones are the pipe, in the place of the second, which are a file. */
	for (int i = 0; i < 3000 && !S_ISREG(status.st_mode); i++) {
		usleep(10000);
		stat(s.stats, &status);
	}
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(end(s.d, SIGTERM), 0);
	unlink(s.stats);
}

/* The server is gone then, and what the signal would stop with it. */
static void told_to_end_while_it_ends(void **state)
{
	struct stuck s = stuck_start();

	(void)state;
	stuck_write(&s, SIGTERM);
	kill(s.d->pid, SIGTERM);
	kill(s.d->pid, SIGINT);
	kill(s.d->pid, SIGUSR1);
	stuck_read(&s);
	assert_int_equal(end(s.d, 0), 0);
	unlink(s.stats);
}

/* Whose device is it? The model tells which service a connection is for. */
static uint64_t device_of(io_connect_t c)
{
	uint64_t id = 0;

	assert_int_equal(apple_dext_config_read(c, 2, 2, &id), kIOReturnSuccess);
	apple_dext_disconnect(c);
	return id;
}

static void devices_with_one_address_are_told_apart_by_their_root(void **state)
{
	struct daemon *d = serve("--device dma-engine,bdf=05:00.0 --device dma-engine,root=left "
				 "--device nvme,size=64K,root=right");
	char found[64], cut[8];

	(void)state;
	assert_int_equal(apple_dext_connect(1, 0, 0), IO_OBJECT_NULL);
	assert_int_equal(apple_dext_connect_below(1, 0, 0, NULL, found, sizeof(found)),
			 IO_OBJECT_NULL);
	assert_string_equal(found, "left, right");
	assert_int_equal(apple_dext_connect_below(1, 0, 0, "", cut, sizeof(cut)), IO_OBJECT_NULL);
	assert_string_equal(cut, "left, r");
	assert_int_equal(apple_dext_connect_below(1, 0, 0, "centre", found, sizeof(found)),
			 IO_OBJECT_NULL);
	assert_string_equal(found, "left, right");
	assert_int_equal(device_of(apple_dext_connect_below(1, 0, 0, "left", found,
							    sizeof(found))), ENGINE_DEVICE);
	assert_int_equal(device_of(apple_dext_connect_below(1, 0, 0, "right", found,
							    sizeof(found))), NVME_DEVICE);
	/* A root is not needed where there is one device, but must be right. */
	assert_int_equal(device_of(apple_dext_connect(5, 0, 0)), ENGINE_DEVICE);
	assert_int_equal(device_of(apple_dext_connect_below(5, 0, 0, "pcic0-bridge", found,
							    sizeof(found))), ENGINE_DEVICE);
	assert_int_equal(apple_dext_connect_below(5, 0, 0, "left", found, sizeof(found)),
			 IO_OBJECT_NULL);
	assert_string_equal(found, "pcic0-bridge");
	assert_int_equal(apple_dext_connect_below(6, 0, 0, "left", found, sizeof(found)),
			 IO_OBJECT_NULL);
	assert_string_equal(found, "");
	assert_int_equal(end(d, SIGTERM), 0);
}

static void lost_device_does_not_end_it(void **state)
{
	struct daemon *d = serve("--device dma-engine,lost-after=4");
	io_connect_t c = apple_dext_connect(1, 0, 0);
	uint64_t value;

	(void)state;
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_read(c, 0, 2, &value), kIOReturnSuccess);
	assert_int_equal(value, ENGINE_VENDOR);
	/* The device goes; the daemon stays. */
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_claim(c), kIOReturnNotAttached);
	assert_int_equal(apple_dext_connect(1, 0, 0), IO_OBJECT_NULL);
	apple_dext_disconnect(c);
	assert_int_equal(end(d, SIGINT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_options_are_sentences),
		cmocka_unit_test(help_names_every_key),
		cmocka_unit_test(a_socket_in_use_is_refused_and_a_dead_one_replaced),
		cmocka_unit_test(devices_reach_the_memory_of_another_process),
		cmocka_unit_test(killed_in_a_call_is_an_error_not_a_hang),
		cmocka_unit_test(killed_client_leaves_nothing_in_the_dart),
		cmocka_unit_test(asked_again_while_it_writes_statistics),
		cmocka_unit_test(told_to_end_while_it_ends),
		cmocka_unit_test(devices_with_one_address_are_told_apart_by_their_root),
		cmocka_unit_test(lost_device_does_not_end_it),
	};

	return cmocka_run_group_tests_name("dextd", tests, NULL, NULL);
}
