/* SPDX-License-Identifier: GPL-2.0 */
/* NVMe's registers, commands and status codes, as far as they are used. */
#ifndef APPLE_DMA_NVME_SPEC_H
#define APPLE_DMA_NVME_SPEC_H

#include <stdint.h>

/* Registers in BAR0. */
#define NVME_CAP		0x00	/* 64 bits */
#define NVME_VS			0x08
#define NVME_INTMS		0x0c
#define NVME_INTMC		0x10
#define NVME_CC			0x14
#define NVME_CSTS		0x1c
#define NVME_AQA		0x24
#define NVME_ASQ		0x28	/* 64 bits */
#define NVME_ACQ		0x30	/* 64 bits */
#define NVME_DOORBELLS		0x1000
#define NVME_MSIX_TABLE		0x2000
#define NVME_MSIX_PBA		0x3000
#define NVME_BAR_SIZE		UINT64_C(0x4000)

#define NVME_VERSION		0x00010400
#define NVME_MAX_ENTRIES	1024	/* of a queue */
#define NVME_MDTS		9	/* in powers of 2 of 4 KiB */
#define NVME_MAX_TRANSFER	(UINT32_C(4096) << NVME_MDTS)
#define NVME_MAX_PAGE_SHIFT	16

#define NVME_CC_EN		0x1
#define NVME_CC_CSS(cc)		((cc) >> 4 & 7)
#define NVME_CC_MPS(cc)		((cc) >> 7 & 15)
#define NVME_CC_AMS(cc)		((cc) >> 11 & 7)
#define NVME_CC_SHN(cc)		((cc) >> 14 & 3)
#define NVME_CC_IOSQES(cc)	((cc) >> 16 & 15)
#define NVME_CC_IOCQES(cc)	((cc) >> 20 & 15)

#define NVME_CSTS_RDY		0x1
#define NVME_CSTS_CFS		0x2
#define NVME_CSTS_SHUT_DOWN	0x8

enum nvme_admin_opcode {
	NVME_DELETE_SQ = 0x00,
	NVME_CREATE_SQ = 0x01,
	NVME_GET_LOG_PAGE = 0x02,
	NVME_DELETE_CQ = 0x04,
	NVME_CREATE_CQ = 0x05,
	NVME_IDENTIFY = 0x06,
	NVME_ABORT = 0x08,
	NVME_SET_FEATURES = 0x09,
	NVME_GET_FEATURES = 0x0a,
	NVME_ASYNC_EVENT = 0x0c
};

enum nvme_io_opcode {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_WRITE_ZEROES = 0x08
};

enum nvme_feature {
	NVME_FEATURE_ARBITRATION = 1,
	NVME_FEATURE_POWER = 2,
	NVME_FEATURE_TEMPERATURE = 4,
	NVME_FEATURE_ERROR_RECOVERY = 5,
	NVME_FEATURE_WRITE_CACHE = 6,
	NVME_FEATURE_QUEUES = 7,
	NVME_FEATURE_COALESCING = 8,
	NVME_FEATURE_VECTOR = 9,
	NVME_FEATURE_ATOMICITY = 10,
	NVME_FEATURE_EVENTS = 11,
	NVME_FEATURES,
	NVME_FEATURE_HOST_MEMORY = 13
};

/* Of the feature host memory buffer: CDW11, and what its answer has in bit 0. */
#define NVME_HOST_MEMORY_ENABLE	0x1
#define NVME_HOST_MEMORY_RETURN	0x2

/* A command's flags: data by SGL; its metadata, of which there is none, by address or SGL. */
#define NVME_FLAG_SGL		0x40
#define NVME_FLAG_SGL_METADATA	0x80

/* The status code type is in the second byte; NVME_DNR: trying again is useless. */
enum nvme_status {
	NVME_OK = 0x000,
	NVME_INVALID_OPCODE = 0x001,
	NVME_INVALID_FIELD = 0x002,
	NVME_TRANSFER_ERROR = 0x004,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_INVALID_NAMESPACE = 0x00b,
	NVME_SEQUENCE_ERROR = 0x00c,
	NVME_INVALID_SGL_SEGMENT = 0x00d,
	NVME_INVALID_SGL_COUNT = 0x00e,
	NVME_INVALID_SGL_LENGTH = 0x00f,
	NVME_INVALID_SGL_TYPE = 0x011,
	NVME_INVALID_PRP_OFFSET = 0x013,
	NVME_LBA_RANGE = 0x080,
	NVME_INVALID_CQ = 0x100,
	NVME_INVALID_QID = 0x101,
	NVME_INVALID_QUEUE_SIZE = 0x102,
	NVME_TOO_MANY_EVENTS = 0x105,
	NVME_INVALID_VECTOR = 0x108,
	NVME_INVALID_LOG_PAGE = 0x109,
	NVME_INVALID_QUEUE_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,
	NVME_DNR = 0x4000
};

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t metadata;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};

enum nvme_sgl_type {
	NVME_SGL_DATA = 0x00,
	NVME_SGL_SEGMENT = 0x20,
	NVME_SGL_LAST_SEGMENT = 0x30
};

/* The first one of a command is in the place of its PRPs. */
struct nvme_sgl {
	uint64_t address;
	uint32_t len;			/* in bytes */
	uint8_t reserved[3];
	uint8_t type;
};

/* An entry of the list of the host memory buffer. */
struct nvme_host_memory {
	uint64_t address;
	uint32_t pages;			/* of CC.MPS */
	uint32_t reserved;
};

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t cid;
	uint16_t status;		/* << 1, and the phase in bit 0 */
};

_Static_assert(sizeof(struct nvme_command) == 64, "command");
_Static_assert(sizeof(struct nvme_completion) == 16, "completion");
_Static_assert(sizeof(struct nvme_sgl) == 16, "SGL descriptor");
_Static_assert(sizeof(struct nvme_host_memory) == 16, "host memory descriptor");

#endif
