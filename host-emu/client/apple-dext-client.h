/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client of VFIOUserPCIDriver, the driver extension that owns a physical
 * PCI device: find it, claim the device, let it reach memory of this process,
 * use its configuration space, BARs and interrupts.
 *
 * It uses only what macOS has (-framework IOKit -framework CoreFoundation), but was
 * not built there by us. On Linux it is built with IOKit on a socket (host-emu/iokit).
 * On macOS the program needs the entitlement
 * com.apple.developer.driverkit.userclient-access; without it no connection opens.
 *
 * Every function may be called from any thread; those with a result return
 * kIOReturnSuccess or the reason, and what they hand out is written only with
 * kIOReturnSuccess. An answer of the extension that is too short is
 * kIOReturnUnderrun. A connection that is IO_OBJECT_NULL is kIOReturnBadArgument.
 *
 * The order of calls: connect, claim, then get_bar_info, map_bar and config_read_block;
 * setup_interrupts and interrupt_notify_create; register_dma and unregister_dma while
 * the device works. At the end interrupt_notify_destroy, unmap_bar, disconnect.
 *
 * What the extension answers besides kIOReturnSuccess:
 *   NotOpen         nobody has claimed the device, or who claimed it first has gone
 *   ExclusiveAccess claim: another driver has the device
 *   StillOpen       register_dma: the handle is taken; setup_interrupts: twice
 *   NoSpace         register_dma: 65,536 regions, or no room in the DART
 *   NotAligned      register_dma: the memory did not come as one piece
 *   NotFound        unknown handle; setup_interrupts: the device has no vectors
 *   NotReady        interrupts are not set up
 *   Overrun         probe_dma: behind the end of the region
 *   BadArgument     a size, width or address that cannot be
 * The device reaches whole granules of 16 KiB around a region. The device address keeps
 * the offset in a granule.
 */
#ifndef APPLE_DEXT_CLIENT_H
#define APPLE_DEXT_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <IOKit/IOKitLib.h>

/**
 * apple_dext_connect() - open a user client of the extension for a device
 * @bus: of the device on the host
 * @device: the same
 * @function: the same
 *
 * Return: IO_OBJECT_NULL when no extension has this device, when several have one
 * with that address, or when it cannot be opened. Ended by apple_dext_disconnect().
 */
io_connect_t apple_dext_connect(uint8_t bus, uint8_t device, uint8_t function);

/**
 * apple_dext_connect_below() - the same, where several devices have one address
 * @root: name of the PCI device at the root of the device's buses; NULL or empty
 *	for the only device with that address
 * @found: set to the roots of all devices with that address, as "a, b"; empty
 *	for no device. What does not fit is cut off
 * @size: of @found in bytes, not 0
 *
 * Return: IO_OBJECT_NULL also when there are several and no @root.
 */
io_connect_t apple_dext_connect_below(uint8_t bus, uint8_t device, uint8_t function,
				      const char *root, char *found, size_t size);

/**
 * apple_dext_disconnect() - close it, with everything that it registered
 * @connection: may be IO_OBJECT_NULL, but not one that is closed already
 *
 * Its interrupt notification must be destroyed before.
 */
void apple_dext_disconnect(io_connect_t connection);

/**
 * apple_dext_claim() - let the extension open the device
 *
 * Needed before registering memory, interrupts and reset. The claim is one of
 * the whole extension, held by whoever claimed first.
 */
kern_return_t apple_dext_claim(io_connect_t connection);

/**
 * apple_dext_register_dma() - let the device reach memory of this process
 * @iova: handle of the region, unique among those of this connection
 * @client_va: where the memory is here; it must stay until it is unregistered
 * @size: in bytes
 * @out_bus_addr: set to the address that the device is to use; may be NULL
 * @out_bus_len: set to the length that it holds for; may be NULL. It is less than
 *	@size only for more than 1536 MiB. The rest has an address that cannot be
 *	asked for, so unregister the region then
 *
 * When @out_bus_addr or @out_bus_len could not be told, the region is
 * unregistered again.
 */
kern_return_t apple_dext_register_dma(io_connect_t connection, uint64_t iova, uint64_t client_va,
				      uint64_t size, uint64_t *out_bus_addr,
				      uint64_t *out_bus_len);

/**
 * apple_dext_unregister_dma() - end a region
 * @iova: its handle
 */
kern_return_t apple_dext_unregister_dma(io_connect_t connection, uint64_t iova);

/**
 * apple_dext_probe_dma() - what the extension reads in a region
 * @iova: its handle
 * @offset: in bytes
 * @out_word: set to the 8 bytes there
 */
kern_return_t apple_dext_probe_dma(io_connect_t connection, uint64_t iova, uint64_t offset,
				   uint64_t *out_word);

/**
 * apple_dext_config_read() - of configuration space
 * @offset: in bytes
 * @width: 1, 2 or 4 bytes
 * @out_value: set to the value; of a BAR, read as 4 aligned bytes, its type only
 */
kern_return_t apple_dext_config_read(io_connect_t connection, uint64_t offset, uint64_t width,
				     uint64_t *out_value);

/**
 * apple_dext_config_write() - to configuration space, not filtered
 * @offset: in bytes
 * @width: 1, 2 or 4 bytes
 * @value: to write
 */
kern_return_t apple_dext_config_write(io_connect_t connection, uint64_t offset, uint64_t width,
				      uint64_t value);

/**
 * apple_dext_config_read_block() - a range of configuration space
 * @offset: where it begins
 * @buf: room for @len bytes; written in part when a read fails
 * @len: in bytes; 0 is allowed
 */
kern_return_t apple_dext_config_read_block(io_connect_t connection, uint64_t offset, void *buf,
					   size_t len);

/**
 * apple_dext_get_bar_info() - what a BAR is
 * @bar: 0 to 5
 * @out_mem_idx: set to the index for MMIO; may be NULL
 * @out_size: set to its size in bytes; may be NULL
 * @out_type: set to its type, as in its low bits; may be NULL
 */
kern_return_t apple_dext_get_bar_info(io_connect_t connection, uint8_t bar, uint8_t *out_mem_idx,
				      uint64_t *out_size, uint8_t *out_type);

/**
 * apple_dext_map_bar() - map a BAR into this process
 * @bar: 0 to 5
 * @out_addr: set to where it is
 * @out_size: set to its size in bytes
 * @out_type: set to its type; may be NULL
 *
 * Write-combined where it is prefetchable. Ended by apple_dext_unmap_bar().
 */
kern_return_t apple_dext_map_bar(io_connect_t connection, uint8_t bar,
				 mach_vm_address_t *out_addr, mach_vm_size_t *out_size,
				 uint8_t *out_type);

/**
 * apple_dext_unmap_bar() - end what apple_dext_map_bar() made
 * @bar: the same
 * @addr: where it was mapped
 */
kern_return_t apple_dext_unmap_bar(io_connect_t connection, uint8_t bar, mach_vm_address_t addr);

/**
 * apple_dext_mmio_read() - of a BAR, by the extension
 * @mem_idx: from apple_dext_get_bar_info()
 * @offset: in bytes
 * @width: 1, 2, 4 or 8 bytes
 * @out_value: set to the value
 */
kern_return_t apple_dext_mmio_read(io_connect_t connection, uint8_t mem_idx, uint64_t offset,
				   uint64_t width, uint64_t *out_value);

/**
 * apple_dext_mmio_write() - to a BAR, by the extension
 * @mem_idx: from apple_dext_get_bar_info()
 * @offset: in bytes
 * @width: 1, 2, 4 or 8 bytes
 * @value: to write
 */
kern_return_t apple_dext_mmio_write(io_connect_t connection, uint8_t mem_idx, uint64_t offset,
				    uint64_t width, uint64_t value);

/**
 * apple_dext_setup_interrupts() - once for a connection, after the claim
 * @out_num_vectors: set to how many there are; may be NULL
 *
 * All of them are enabled.
 */
kern_return_t apple_dext_setup_interrupts(io_connect_t connection, uint32_t *out_num_vectors);

/**
 * apple_dext_reset_device() - function level reset, or else a hot reset
 *
 * Registered memory stays registered.
 */
kern_return_t apple_dext_reset_device(io_connect_t connection);

/**
 * apple_dext_set_irq_mask() - which vectors may become pending
 * @mask: a bit for each of 256 vectors, 1 enables
 *
 * A vector that fires while its bit is 0 is lost.
 */
kern_return_t apple_dext_set_irq_mask(io_connect_t connection, const uint64_t mask[4]);

/**
 * apple_dext_read_pending_irqs() - take the vectors that fired
 * @pending: set to a bit for each of 256 vectors
 */
kern_return_t apple_dext_read_pending_irqs(io_connect_t connection, uint64_t pending[4]);

/** AppleDextInterruptNotify - a handler to notify of pending vectors */
typedef struct AppleDextInterruptNotify AppleDextInterruptNotify;

/**
 * apple_dext_interrupt_notify_create() - ask for one notification
 * @connection: with interrupts set up
 * @handler_fn: called on a queue of its own when a vector is pending, and also
 *	when the wait ends with an error, as IOKit on a socket does when the
 *	connection has died: then taking the vectors fails
 * @opaque: for @handler_fn
 *
 * After each call, take the vectors and re-arm.
 * Return: NULL when it cannot be armed.
 */
AppleDextInterruptNotify *apple_dext_interrupt_notify_create(io_connect_t connection,
							     void (*handler_fn)(void *opaque),
							     void *opaque);

/**
 * apple_dext_interrupt_notify_rearm() - ask for one more notification
 * @notify: NULL is kIOReturnBadArgument, and so is one that is being destroyed
 *
 * After an error it may be tried again.
 */
kern_return_t apple_dext_interrupt_notify_rearm(AppleDextInterruptNotify *notify);

/**
 * apple_dext_interrupt_notify_destroy() - end the notifications
 * @notify: NULL is allowed; one that is destroyed already is not
 *
 * The handler does not run any more when this returns, unless it is the
 * handler that calls it.
 */
void apple_dext_interrupt_notify_destroy(AppleDextInterruptNotify *notify);

#endif
