// SPDX-License-Identifier: GPL-2.0
/* The client library: what it promises beyond the selectors. */
#include "service.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/apple-dext-client.h"
#include "iokit/linux.h"
#include "lib/memory.h"
#include "pci/dma-engine.h"

#define DEVICE		"dma-engine,bdf=02:03.1,max-bytes=16M"
#define BUS		2, 3, 1

struct fixture {
	struct service *service;
	io_connect_t connection;
};

static struct fixture *start(const char *device)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->service = service_start(&side_iokit, device);
	f->connection = apple_dext_connect(BUS);
	assert_int_not_equal(f->connection, IO_OBJECT_NULL);
	return f;
}

static int setup(void **state)
{
	*state = start(DEVICE);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	apple_dext_disconnect(f->connection);
	service_stop(f->service);
	free(f);
	return 0;
}

static void connect_finds_the_device_and_no_other(void **state)
{
	(void)state;
	assert_int_equal(apple_dext_connect(2, 3, 0), IO_OBJECT_NULL);
	assert_int_equal(apple_dext_connect(1, 3, 1), IO_OBJECT_NULL);
	assert_int_equal(apple_dext_connect(2, 4, 1), IO_OBJECT_NULL);
}

static io_service_t first_service(void)
{
	io_iterator_t iterator;
	io_service_t service;

	assert_int_equal(IOServiceGetMatchingServices(kIOMainPortDefault,
						      IOServiceMatching("IOUserService"),
						      &iterator), KERN_SUCCESS);
	service = IOIteratorNext(iterator);
	IOObjectRelease(iterator);
	return service;
}

static void services_open_user_clients_of_type_0_alone(void **state)
{
	const io_service_t service = first_service();
	io_connect_t connection;

	(void)state;
	for (uint32_t type = 1; type < 4; type++)
		assert_int_equal(IOServiceOpen(service, mach_task_self(), type, &connection),
				 kIOReturnUnsupported);
	assert_int_equal(IOServiceOpen(service, mach_task_self(), 0, &connection), KERN_SUCCESS);
	IOServiceClose(connection);
	IOObjectRelease(service);
}

static void registry_has_two_pci_devices_above_a_service(void **state)
{
	io_registry_entry_t entry = first_service(), above;
	io_connect_t connection;
	io_name_t name = "";
	CFTypeRef property;

	(void)state;
	assert_false(IOObjectConformsTo(entry, "IOPCIDevice"));
	assert_true(IOObjectConformsTo(entry, "IOUserService"));
	assert_int_not_equal(IORegistryEntryGetParentEntry(entry, "IOPower", &above),
			     KERN_SUCCESS);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(IORegistryEntryGetParentEntry(entry, kIOServicePlane, &above),
				 KERN_SUCCESS);
		IOObjectRelease(entry);
		entry = above;
		assert_true(IOObjectConformsTo(entry, "IOPCIDevice"));
		assert_int_equal(IORegistryEntryGetName(entry, name), KERN_SUCCESS);
	}
	assert_string_equal(name, "pcic0-bridge");
	assert_int_not_equal(IORegistryEntryGetParentEntry(entry, kIOServicePlane, &above),
			     KERN_SUCCESS);
	/* They are no services. */
	property = IORegistryEntryCreateCFProperty(entry, CFSTR("IOUserClass"),
						   kCFAllocatorDefault, 0);
	if (property)
		CFRelease(property);
	assert_null(property);
	assert_int_equal(IOServiceOpen(entry, mach_task_self(), 0, &connection),
			 kIOReturnBadArgument);
	IOObjectRelease(entry);
	assert_int_equal(IORegistryEntryGetName(entry, name), kIOReturnBadArgument);
	assert_int_equal(IORegistryEntryGetParentEntry(entry, kIOServicePlane, &above),
			 kIOReturnNotFound);
	assert_false(IOObjectConformsTo(entry, "IOPCIDevice"));
}

static void connect_without_dextd_finds_nothing(void **state)
{
	(void)state;
	setenv("APPLE_DEXT_SOCKET", "/nonexistent/socket", 1);
	assert_int_equal(apple_dext_connect(BUS), IO_OBJECT_NULL);
	unsetenv("APPLE_DEXT_SOCKET");
	assert_int_equal(apple_dext_connect(BUS), IO_OBJECT_NULL);
}

static void no_connection_is_a_bad_argument_everywhere(void **state)
{
	const uint64_t mask[4] = { 0 };
	mach_vm_address_t address;
	mach_vm_size_t size;
	uint64_t word[4];

	(void)state;
	apple_dext_disconnect(IO_OBJECT_NULL);
	assert_int_equal(apple_dext_claim(0), kIOReturnBadArgument);
	assert_int_equal(apple_dext_register_dma(0, 1, 2, 3, NULL, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_unregister_dma(0, 1), kIOReturnBadArgument);
	assert_int_equal(apple_dext_probe_dma(0, 1, 2, word), kIOReturnBadArgument);
	assert_int_equal(apple_dext_config_read(0, 0, 4, word), kIOReturnBadArgument);
	assert_int_equal(apple_dext_config_write(0, 0, 4, 0), kIOReturnBadArgument);
	assert_int_equal(apple_dext_config_read_block(0, 0, word, 8), kIOReturnBadArgument);
	assert_int_equal(apple_dext_get_bar_info(0, 0, NULL, NULL, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_map_bar(0, 0, &address, &size, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_unmap_bar(0, 0, 4096), kIOReturnBadArgument);
	assert_int_equal(apple_dext_mmio_read(0, 0, 0, 4, word), kIOReturnBadArgument);
	assert_int_equal(apple_dext_mmio_write(0, 0, 0, 4, 0), kIOReturnBadArgument);
	assert_int_equal(apple_dext_setup_interrupts(0, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_reset_device(0), kIOReturnBadArgument);
	assert_int_equal(apple_dext_set_irq_mask(0, mask), kIOReturnBadArgument);
	assert_int_equal(apple_dext_read_pending_irqs(0, word), kIOReturnBadArgument);
	assert_null(apple_dext_interrupt_notify_create(0, NULL, NULL));
	assert_int_equal(apple_dext_interrupt_notify_rearm(NULL), kIOReturnBadArgument);
	apple_dext_interrupt_notify_destroy(NULL);
}

static void null_where_a_result_goes_is_refused(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	mach_vm_address_t address;
	mach_vm_size_t size;

	assert_int_equal(apple_dext_probe_dma(c, 1, 2, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_config_read(c, 0, 4, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_config_read_block(c, 0, NULL, 4), kIOReturnBadArgument);
	assert_int_equal(apple_dext_map_bar(c, 2, NULL, &size, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_map_bar(c, 2, &address, NULL, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_map_bar(c, 6, &address, &size, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_unmap_bar(c, 2, 0), kIOReturnBadArgument);
	assert_int_equal(apple_dext_mmio_read(c, 0, 0, 4, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_set_irq_mask(c, NULL), kIOReturnBadArgument);
	assert_int_equal(apple_dext_read_pending_irqs(c, NULL), kIOReturnBadArgument);
	assert_null(apple_dext_interrupt_notify_create(c, NULL, NULL));
	/* And where it is optional it is not. */
	assert_int_equal(apple_dext_get_bar_info(c, 2, NULL, NULL, NULL), kIOReturnSuccess);
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(c, NULL), kIOReturnSuccess);
}

static void results_are_left_alone_by_errors(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	uint64_t address = 5, len = 6;
	uint8_t index = 7;

	assert_int_equal(apple_dext_register_dma(c, 1, 4096, 1, &address, &len),
			 kIOReturnNotOpen);
	assert_int_equal(address, 5);
	assert_int_equal(len, 6);
	assert_int_equal(apple_dext_get_bar_info(c, 1, &index, &len, NULL), kIOReturnNotFound);
	assert_int_equal(index, 7);
	assert_int_equal(apple_dext_config_read(c, 0, 3, &len), kIOReturnBadArgument);
	assert_int_equal(len, 6);
}

static void config_block_is_the_bytes_of_configuration_space(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	uint8_t block[70];
	uint64_t byte;

	memset(block, 0xee, sizeof(block));
	assert_int_equal(apple_dext_config_read_block(c, 0, block, 67), kIOReturnSuccess);
	for (unsigned int i = 0; i < 67; i++) {
		/* An aligned dword of a BAR is its type; the bytes are equal here. */
		assert_int_equal(apple_dext_config_read(c, i, 1, &byte), kIOReturnSuccess);
		assert_int_equal(block[i], byte);
	}
	assert_int_equal(block[67], 0xee);
	assert_int_equal(apple_dext_config_read_block(c, 3, block, 0), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_read_block(c, 0x3d, block, 2), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_write(c, 0x3c, 1, 0x77), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_read(c, 0x3c, 4, &byte), kIOReturnSuccess);
	assert_int_equal(byte, 0x77);
}

static void bar_is_mapped_and_unmapped_once(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	mach_vm_address_t address;
	mach_vm_size_t size;
	uint64_t value;
	uint8_t type;

	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_map_bar(c, 2, &address, &size, &type), kIOReturnSuccess);
	assert_int_equal(size, ENGINE_BUFFER);
	assert_int_equal(type, 0xc);
	*(uint32_t *)(uintptr_t)address = 0xabcdef01;
	assert_int_equal(apple_dext_mmio_read(c, 1, 0, 4, &value), kIOReturnSuccess);
	assert_int_equal(value, 0xabcdef01);
	assert_int_equal(apple_dext_unmap_bar(c, 4, address), kIOReturnBadArgument);
	assert_int_equal(apple_dext_unmap_bar(c, 2, address), kIOReturnSuccess);
	assert_int_equal(apple_dext_unmap_bar(c, 2, address), kIOReturnBadArgument);
	assert_int_equal(apple_dext_map_bar(c, 0, &address, &size, &type), kIOReturnUnsupported);
	assert_int_equal(apple_dext_map_bar(c, 5, &address, &size, &type), kIOReturnNotFound);
}

static void prefetchable_memory_alone_is_mapped_write_combined(void **state)
{
	struct fixture *f = *state;
	const io_connect_t c = f->connection;
	mach_vm_address_t address;
	struct dext_totals totals;
	mach_vm_size_t size;

	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(c, NULL), kIOReturnSuccess);
	assert_int_equal(IOConnectMapMemory64(c, DEXT_MEMORY_INTERRUPTS, mach_task_self(), &address,
					      &size, kIOMapAnywhere), kIOReturnSuccess);
	service_settle(f->service);
	dext_get_totals(f->service->unit.dext, &totals);
	assert_int_equal(totals.mapped, 1);
	assert_int_equal(totals.write_combined, 0);
	assert_int_equal(apple_dext_map_bar(c, 2, &address, &size, NULL), kIOReturnSuccess);
	/* Registers are asked for, too, but not that way, and not given. */
	assert_int_equal(apple_dext_map_bar(c, 0, &address, &size, NULL), kIOReturnUnsupported);
	service_settle(f->service);
	dext_get_totals(f->service->unit.dext, &totals);
	assert_int_equal(totals.mapped, 2);
	assert_int_equal(totals.write_combined, 1);
}

static void disconnect_twice_is_harmless(void **state)
{
	struct fixture *f = *state;
	const io_connect_t other = apple_dext_connect(BUS);

	assert_int_not_equal(other, IO_OBJECT_NULL);
	apple_dext_disconnect(other);
	apple_dext_disconnect(other);
	assert_int_equal(apple_dext_claim(other), kIOReturnBadArgument);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
}

static void dma_reaches_the_clients_memory(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = service_memory(65536);
	const uint64_t text = 0x0123456789abcdef;
	uint64_t address, len, word;

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_register_dma(f->connection, 9, (uintptr_t)memory + 12, 40000,
						 &address, &len), kIOReturnSuccess);
	assert_int_equal(len, 40000);
	assert_int_equal(address & 16383, ((uintptr_t)memory + 12) & 16383);
	memcpy(memory + 20, &text, sizeof(text));
	assert_int_equal(apple_dext_probe_dma(f->connection, 9, 8, &word), kIOReturnSuccess);
	assert_true(word == text);
	assert_int_equal(apple_dext_unregister_dma(f->connection, 9), kIOReturnSuccess);
	/* What is not there cannot be registered. */
	munmap(memory, 65536);
	assert_int_equal(apple_dext_register_dma(f->connection, 9, (uintptr_t)memory, 4096,
						 &address, &len), kIOReturnBadArgument);
}

static void limits_of_the_dart_are_no_space(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = service_memory(64 * MIB);

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_register_dma(f->connection, 1, (uintptr_t)memory, 17 * MIB,
						 NULL, NULL), kIOReturnNoSpace);
	assert_int_equal(apple_dext_register_dma(f->connection, 1, (uintptr_t)memory, 15 * MIB,
						 NULL, NULL), kIOReturnSuccess);
	munmap(memory, 64 * MIB);
}

static void hit(void *opaque)
{
	waiter_hit(opaque, 0);
}

static void raise_vector(io_connect_t c, uint32_t vector)
{
	assert_int_equal(apple_dext_mmio_write(c, 0, ENGINE_RAISE, 4, vector), kIOReturnSuccess);
}

static void notify_fires_once_until_it_is_armed_again(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	AppleDextInterruptNotify *notify;
	struct waiter waiter = WAITER;
	uint64_t pending[4];
	uint32_t vectors;

	/* Not set up yet. */
	assert_null(apple_dext_interrupt_notify_create(c, hit, &waiter));
	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(c, &vectors), kIOReturnSuccess);
	assert_int_equal(vectors, ENGINE_VECTORS);
	notify = apple_dext_interrupt_notify_create(c, hit, &waiter);
	assert_non_null(notify);
	raise_vector(c, 0);
	waiter_get(&waiter, 1);
	raise_vector(c, 9);
	assert_int_equal(apple_dext_read_pending_irqs(c, pending), kIOReturnSuccess);
	assert_int_equal(pending[0], 1 | 1 << 9);
	assert_int_equal(waiter_get(&waiter, 1), 1);
	assert_int_equal(apple_dext_interrupt_notify_rearm(notify), kIOReturnSuccess);
	raise_vector(c, 1);
	assert_int_equal(waiter_get(&waiter, 2), 2);
	/* One is pending: armed again, it fires at once. */
	assert_int_equal(apple_dext_interrupt_notify_rearm(notify), kIOReturnSuccess);
	assert_int_equal(waiter_get(&waiter, 3), 3);
	apple_dext_interrupt_notify_destroy(notify);
	apple_dext_interrupt_notify_destroy(notify);
	assert_int_equal(apple_dext_interrupt_notify_rearm(notify), kIOReturnBadArgument);
	raise_vector(c, 2);
	assert_int_equal(waiter_get(&waiter, 3), 3);
}

struct self {
	AppleDextInterruptNotify *notify;
	struct waiter waiter;
};

static void destroy_self(void *opaque)
{
	struct self *self = opaque;
	AppleDextInterruptNotify *notify;

	/* It may run before create has returned. */
	while (!(notify = __atomic_load_n(&self->notify, __ATOMIC_ACQUIRE)))
		usleep(100);
	apple_dext_interrupt_notify_destroy(notify);
	waiter_hit(&self->waiter, 0);
}

static void notify_can_be_destroyed_by_its_own_handler(void **state)
{
	const io_connect_t c = ((struct fixture *)*state)->connection;
	struct self self = { .waiter = WAITER };

	assert_int_equal(apple_dext_claim(c), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(c, NULL), kIOReturnSuccess);
	__atomic_store_n(&self.notify, apple_dext_interrupt_notify_create(c, destroy_self, &self),
			 __ATOMIC_RELEASE);
	assert_non_null(self.notify);
	raise_vector(c, 0);
	waiter_get(&self.waiter, 1);
	assert_int_equal(apple_dext_interrupt_notify_rearm(self.notify), kIOReturnBadArgument);
	raise_vector(c, 0);
	assert_int_equal(waiter_get(&self.waiter, 1), 1);
}

static void short_answers_are_underruns(void **state)
{
	struct fixture *f = *state;
	const struct dext_traps traps = { .lie = DEXT_LIE_SHORT_OUTPUT };
	uint8_t *memory = service_memory(4096);
	uint64_t address = 1, value = 2, pending[4] = { 3 };
	struct dart_usage usage;

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(f->connection, NULL), kIOReturnSuccess);
	dext_set_traps(f->service->unit.dext, &traps);
	assert_int_equal(apple_dext_connect(BUS), IO_OBJECT_NULL);
	assert_int_equal(apple_dext_register_dma(f->connection, 1, (uintptr_t)memory, 64, &address,
						 NULL), kIOReturnUnderrun);
	assert_int_equal(address, 1);
	dart_get_usage(f->service->unit.dart, &usage);
	assert_int_equal(usage.entries, 0);
	assert_int_equal(apple_dext_config_read(f->connection, 0, 4, &value), kIOReturnUnderrun);
	assert_int_equal(value, 2);
	assert_int_equal(apple_dext_read_pending_irqs(f->connection, pending), kIOReturnUnderrun);
	assert_int_equal(pending[0], 3);
	munmap(memory, 4096);
}

static void every_lie_is_an_error_or_an_answer(void **state)
{
	struct fixture *f = *state;
	uint8_t *memory = service_memory(4096);

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	for (int lie = 0; lie < DEXT_LIES; lie++) {
		const struct dext_traps traps = { .lie = lie };
		uint64_t address = 1, len = 1;
		kern_return_t ret;

		dext_set_traps(f->service->unit.dext, &traps);
		ret = apple_dext_register_dma(f->connection, 1, (uintptr_t)memory, 64, &address,
					      &len);
		assert_true(ret == kIOReturnSuccess || (address == 1 && len == 1));
		apple_dext_unregister_dma(f->connection, 1);
	}
	munmap(memory, 4096);
}

static void lost_device_fails_every_call(void **state)
{
	const struct dext_traps traps = { .lost_after = 2 };
	struct fixture *f = *state;
	uint64_t value;

	dext_set_traps(f->service->unit.dext, &traps);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_read(f->connection, 0, 4, &value), kIOReturnSuccess);
	assert_int_equal(apple_dext_config_read(f->connection, 0, 4, &value),
			 kIOReturnNotAttached);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnNotAttached);
	assert_int_equal(apple_dext_unregister_dma(f->connection, 1), kIOReturnNotAttached);
	assert_int_equal(apple_dext_connect(BUS), IO_OBJECT_NULL);
}

static void busy_device_is_exclusive_access(void **state)
{
	const struct dext_traps traps = { .busy = true };
	struct fixture *f = *state;

	dext_set_traps(f->service->unit.dext, &traps);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnExclusiveAccess);
}

static void shared_memory_must_not_be_able_to_shrink(void **state)
{
	struct fixture *f = *state;
	int fd;
	uint8_t *at = memory_object("share", 65536, &fd);
	FILE *other = tmpfile();
	const uint64_t text = 0x0123456789abcdef;
	uint64_t word;

	assert_non_null(at);
	assert_non_null(other);
	assert_int_equal(ftruncate(fileno(other), 65536), 0);
	assert_int_equal(iokit_share_memory(f->connection, (uintptr_t)at, 65536, fileno(other), 0),
			 kIOReturnBadArgument);
	assert_int_equal(iokit_share_memory(f->connection, (uintptr_t)at, 65536, fd, 16384),
			 kIOReturnBadArgument);
	assert_int_equal(iokit_share_memory(f->connection, (uintptr_t)at, 65536, fd, 0),
			 kIOReturnSuccess);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	memcpy(at + 4096, &text, sizeof(text));
	assert_int_equal(apple_dext_register_dma(f->connection, 1, (uintptr_t)at, 65536, NULL,
						 NULL), kIOReturnSuccess);
	assert_int_equal(apple_dext_probe_dma(f->connection, 1, 4096, &word), kIOReturnSuccess);
	assert_true(word == text);
	fclose(other);
	memory_object_free(at, 65536, fd);
}

/* A Mac keeps the old pages. The new ones are out of reach until they are registered. */
static void memory_that_was_given_back_is_out_of_reach(void **state)
{
	struct fixture *f = *state;
	uint8_t *at = service_memory(65536);
	uint64_t bus, other, va;

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_register_dma(f->connection, 1, (uintptr_t)at, 65536, &bus, NULL),
			 kIOReturnSuccess);
	assert_int_equal(iokit_discard_memory(f->connection, (uintptr_t)at + 4096, 32768 - 4096),
			 kIOReturnSuccess);
	service_settle(f->service);
	assert_true(dart_lookup(f->service->unit.dart, bus, &va));
	assert_false(dart_lookup(f->service->unit.dart, bus + 16384, &va));
	assert_true(dart_lookup(f->service->unit.dart, bus + 32768, &va));
	assert_int_equal(apple_dext_register_dma(f->connection, 2, (uintptr_t)at, 65536, &other,
						 NULL), kIOReturnSuccess);
	assert_true(dart_lookup(f->service->unit.dart, other + 16384, &va));
	assert_int_equal(iokit_discard_memory(IO_OBJECT_NULL, 0, 1), kIOReturnBadArgument);
	munmap(at, 65536);
}

static void end_of_the_server_is_an_error_and_is_notified(void **state)
{
	struct fixture *f = *state;
	struct waiter waiter = WAITER;
	AppleDextInterruptNotify *notify;
	uint64_t pending[4];

	assert_int_equal(apple_dext_claim(f->connection), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(f->connection, NULL), kIOReturnSuccess);
	notify = apple_dext_interrupt_notify_create(f->connection, hit, &waiter);
	service_halt(f->service);
	waiter_get(&waiter, 1);
	assert_int_equal(apple_dext_read_pending_irqs(f->connection, pending), kIOReturnIPCError);
	assert_int_equal(apple_dext_claim(f->connection), kIOReturnIPCError);
	assert_int_equal(apple_dext_interrupt_notify_rearm(notify), kIOReturnIPCError);
	apple_dext_interrupt_notify_destroy(notify);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(connect_finds_the_device_and_no_other),
		TEST(services_open_user_clients_of_type_0_alone),
		TEST(registry_has_two_pci_devices_above_a_service),
		TEST(connect_without_dextd_finds_nothing),
		TEST(no_connection_is_a_bad_argument_everywhere),
		TEST(null_where_a_result_goes_is_refused),
		TEST(results_are_left_alone_by_errors),
		TEST(config_block_is_the_bytes_of_configuration_space),
		TEST(bar_is_mapped_and_unmapped_once),
		TEST(prefetchable_memory_alone_is_mapped_write_combined),
		TEST(disconnect_twice_is_harmless),
		TEST(dma_reaches_the_clients_memory),
		TEST(limits_of_the_dart_are_no_space),
		TEST(notify_fires_once_until_it_is_armed_again),
		TEST(notify_can_be_destroyed_by_its_own_handler),
		TEST(short_answers_are_underruns),
		TEST(every_lie_is_an_error_or_an_answer),
		TEST(lost_device_fails_every_call),
		TEST(busy_device_is_exclusive_access),
		TEST(shared_memory_must_not_be_able_to_shrink),
		TEST(memory_that_was_given_back_is_out_of_reach),
		TEST(end_of_the_server_is_an_error_and_is_notified),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
