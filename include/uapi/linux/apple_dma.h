/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * apple-dma-pci wire format: the registers, the command page and the batch
 * entries that a guest and its host exchange.
 *
 * This header is the only definition of the format in code. The guest module,
 * the host emulator and the tests include it. Everything is little endian.
 * Documentation/protocol.md explains how hosts behave.
 */
#ifndef _UAPI_LINUX_APPLE_DMA_H
#define _UAPI_LINUX_APPLE_DMA_H

#include <linux/types.h>

/* PCI function: class SYSTEM_OTHER, one 4 KiB 32-bit memory BAR. */
#define APPLE_DMA_PCI_VENDOR_ID		0x1b36
#define APPLE_DMA_PCI_DEVICE_ID		0x0015
#define APPLE_DMA_BAR			0
#define APPLE_DMA_BAR_SIZE		0x1000

/* BAR0 registers, 32-bit accesses only. */
#define APPLE_DMA_REG_VERSION		0x00	/* R: protocol version */
#define APPLE_DMA_REG_MANAGED_BDF	0x04	/* R: bus << 8 | devfn served */
#define APPLE_DMA_REG_MAX_ENTRIES	0x08	/* R: maximum entries in a batch */
#define APPLE_DMA_REG_STATUS		0x0c	/* R: result of the last doorbell */
#define APPLE_DMA_REG_CMD_GPA_LO	0x10	/* W: command page, bits 31:0 */
#define APPLE_DMA_REG_CMD_GPA_HI	0x14	/* W: command page, bits 63:32 */
#define APPLE_DMA_REG_DOORBELL		0x18	/* W: any value runs one batch */

#define APPLE_DMA_VERSION		2
#define APPLE_DMA_DEFAULT_MAX_ENTRIES	4096

/* Command types. */
#define APPLE_DMA_CMD_MAP		1
#define APPLE_DMA_CMD_UNMAP		2

/* Status of a batch and of an entry. */
#define APPLE_DMA_STATUS_OK		0
#define APPLE_DMA_STATUS_IOERR		1
#define APPLE_DMA_STATUS_INVAL		3

/* Platform constants that no register advertises. */
#define APPLE_DMA_GRANULE_SHIFT		14	/* the DART page, 16 KiB */
#define APPLE_DMA_GRANULE_SIZE		0x4000U
#define APPLE_DMA_DEFAULT_MAX_BYTES	0x59400000ULL	/* 1.5 GB in whole 4 MiB: 1428 MiB */
#define APPLE_DMA_CHUNK_SIZE		0x60000000ULL	/* most for one mapping: 1536 MiB */
#define APPLE_DMA_DEFAULT_MAX_MAPPINGS	65536

/**
 * struct apple_dma_cmd - the command page, in guest RAM at CMD_GPA
 * @type: APPLE_DMA_CMD_*
 * @count: entries in each of the two arrays, 1 to MAX_ENTRIES
 * @status: written by the host: APPLE_DMA_STATUS_* of the batch
 * @reserved: zero
 * @req_gpa: guest-physical address of the request array
 * @resp_gpa: guest-physical address of the response array
 */
struct apple_dma_cmd {
	__le32 type;
	__le32 count;
	__le32 status;
	__le32 reserved;
	__le64 req_gpa;
	__le64 resp_gpa;
};

/*
 * Map entries have one of two layouts, both with VERSION 2: that of the QEMU
 * RFC and a wider one. A MAP of length zero distinguishes them: no host performs
 * it, and only the status word of the response is written.
 */

/**
 * struct apple_dma_map_req - one range to map, RFC layout
 * @gpa: guest-physical address; also the handle of the mapping
 * @len: length in bytes
 * @flags: zero; hosts ignore it, as every mapping is read-write
 */
struct apple_dma_map_req {
	__le64 gpa;
	__le32 len;
	__le32 flags;
};

/**
 * struct apple_dma_map_resp - answer to one map request, RFC layout
 * @id: the handle, equal to the request's gpa
 * @dma_addr: the address the platform chose
 * @dma_len: bytes mapped at @dma_addr; fewer than requested is a failure
 * @status: APPLE_DMA_STATUS_*; the only word written on failure
 */
struct apple_dma_map_resp {
	__le64 id;
	__le64 dma_addr;
	__le32 dma_len;
	__le32 status;
};

/**
 * struct apple_dma_map_req_wide - one range to map, wide layout
 * @gpa: guest-physical address; also the handle of the mapping
 * @len: length in bytes
 * @flags: zero; hosts ignore it
 */
struct apple_dma_map_req_wide {
	__le64 gpa;
	__le64 len;
	__le32 flags;
} __attribute__((packed));

/**
 * struct apple_dma_map_resp_wide - answer to one map request, wide layout
 * @id: the handle, equal to the request's gpa
 * @dma_addr: the address the platform chose
 * @dma_len: bytes mapped at @dma_addr; fewer than requested is a failure
 * @status: APPLE_DMA_STATUS_*; the only word written on failure
 */
struct apple_dma_map_resp_wide {
	__le64 id;
	__le64 dma_addr;
	__le64 dma_len;
	__le32 status;
} __attribute__((packed));

/**
 * struct apple_dma_unmap_req - one mapping to release, both layouts
 * @id: the handle of the mapping
 * @size: its length in bytes; hosts ignore it
 */
struct apple_dma_unmap_req {
	__le64 id;
	__le64 size;
};

/**
 * struct apple_dma_unmap_resp - answer to one unmap request, both layouts
 * @id: the handle; also written on failure
 * @status: APPLE_DMA_STATUS_*
 * @reserved: not written
 */
struct apple_dma_unmap_resp {
	__le64 id;
	__le32 status;
	__le32 reserved;
};

#ifndef __cplusplus
#define APPLE_DMA_ASSERT_SIZE(type, size)				\
	_Static_assert(sizeof(struct type) == (size), "size of " #type)
#define APPLE_DMA_ASSERT_OFFSET(type, field, offset)			\
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), \
		       "offset of " #type "." #field)

APPLE_DMA_ASSERT_SIZE(apple_dma_cmd, 32);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, type, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, count, 4);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, status, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, reserved, 12);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, req_gpa, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_cmd, resp_gpa, 24);

APPLE_DMA_ASSERT_SIZE(apple_dma_map_req, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req, gpa, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req, len, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req, flags, 12);

APPLE_DMA_ASSERT_SIZE(apple_dma_map_resp, 24);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp, id, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp, dma_addr, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp, dma_len, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp, status, 20);

APPLE_DMA_ASSERT_SIZE(apple_dma_map_req_wide, 20);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req_wide, gpa, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req_wide, len, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_req_wide, flags, 16);

APPLE_DMA_ASSERT_SIZE(apple_dma_map_resp_wide, 28);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp_wide, id, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp_wide, dma_addr, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp_wide, dma_len, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_map_resp_wide, status, 24);

APPLE_DMA_ASSERT_SIZE(apple_dma_unmap_req, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_unmap_req, id, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_unmap_req, size, 8);

APPLE_DMA_ASSERT_SIZE(apple_dma_unmap_resp, 16);
APPLE_DMA_ASSERT_OFFSET(apple_dma_unmap_resp, id, 0);
APPLE_DMA_ASSERT_OFFSET(apple_dma_unmap_resp, status, 8);
APPLE_DMA_ASSERT_OFFSET(apple_dma_unmap_resp, reserved, 12);

#undef APPLE_DMA_ASSERT_SIZE
#undef APPLE_DMA_ASSERT_OFFSET
#endif /* !__cplusplus */

#endif /* _UAPI_LINUX_APPLE_DMA_H */
