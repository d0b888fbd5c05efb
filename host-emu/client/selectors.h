/* SPDX-License-Identifier: GPL-2.0 */
/* The numbers and names that the driver extension and its clients share. */
#ifndef APPLE_DEXT_SELECTORS_H
#define APPLE_DEXT_SELECTORS_H

#define EXTENSION_CLASS		"VFIOUserPCIDriver"
#define EXTENSION_VECTORS	256	/* that CheckInterrupt and SetIRQMask have bits for */
#define EXTENSION_WRITE_COMBINED 0x00000400u	/* of a mapping's options */
#define EXTENSION_WORDS		(EXTENSION_VECTORS / 64)

/* The external methods, with their inputs : outputs. */
enum {
	SELECTOR_GET_IDENTITY = 0,		/* - : bus, device, function, vendor, device, class */
	SELECTOR_CLAIM = 1,			/* - */
	SELECTOR_TERMINATE = 2,			/* - */
	SELECTOR_ALLOCATE_DMA_BUFFER = 3,	/* size, alignment : size, flags, segments, address,
						 * length, class */
	SELECTOR_FREE_DMA_BUFFER = 4,		/* - */
	SELECTOR_REGISTER_DMA_REGION = 5,	/* handle, va, size : segments, address, length */
	SELECTOR_UNREGISTER_DMA_REGION = 6,	/* handle */
	SELECTOR_PROBE_DMA_REGION = 7,		/* handle, offset : word */
	SELECTOR_CONFIG_READ = 8,		/* offset, width : value */
	SELECTOR_CONFIG_WRITE = 9,		/* offset, width, value */
	SELECTOR_GET_BAR_INFO = 10,		/* bar : memory index, size, type */
	SELECTOR_MMIO_READ = 11,		/* memory index, offset, width : value */
	SELECTOR_MMIO_WRITE = 12,		/* memory index, offset, width, value */
	SELECTOR_SETUP_INTERRUPTS = 13,		/* - : vectors */
	SELECTOR_CHECK_INTERRUPT = 14,		/* - : pending word 0..3 */
	SELECTOR_WAIT_INTERRUPT = 15,		/* -, asynchronous */
	SELECTOR_SET_IRQ_MASK = 16,		/* enable word 0..3 */
	SELECTOR_RESET_DEVICE = 17,		/* - */
	SELECTORS
};

#endif
