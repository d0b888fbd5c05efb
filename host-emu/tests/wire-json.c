// SPDX-License-Identifier: GPL-2.0
/* Print the wire format, as the header has it, for tests that are not in C. */
#include <stddef.h>
#include <stdio.h>

#include <linux/apple_dma.h>

static const char *between = "";

#define NUMBER(name) printf("%s\n  \"%s\": %llu", between, #name, \
			    (unsigned long long)APPLE_DMA_##name), between = ","
#define FIELD(type, name) printf("%s\"%s\": [%zu, %zu]", comma, #name, \
				 offsetof(struct apple_dma_##type, name), \
				 sizeof(((struct apple_dma_##type *)0)->name)), comma = ", "
#define STRUCT(type, fields) do { \
		const char *comma = ""; \
		printf("%s\n  \"%s\": {\"size\": %zu, \"fields\": {", between, #type, \
		       sizeof(struct apple_dma_##type)); \
		fields; \
		printf("}}"); \
		between = ","; \
	} while (0)

int main(void)
{
	printf("{");
	NUMBER(PCI_VENDOR_ID);
	NUMBER(PCI_DEVICE_ID);
	NUMBER(BAR_SIZE);
	NUMBER(REG_VERSION);
	NUMBER(REG_MANAGED_BDF);
	NUMBER(REG_MAX_ENTRIES);
	NUMBER(REG_STATUS);
	NUMBER(REG_CMD_GPA_LO);
	NUMBER(REG_CMD_GPA_HI);
	NUMBER(REG_DOORBELL);
	NUMBER(VERSION);
	NUMBER(DEFAULT_MAX_ENTRIES);
	NUMBER(CMD_MAP);
	NUMBER(CMD_UNMAP);
	NUMBER(STATUS_OK);
	NUMBER(STATUS_IOERR);
	NUMBER(STATUS_INVAL);
	NUMBER(GRANULE_SIZE);
	NUMBER(DEFAULT_MAX_BYTES);
	NUMBER(DEFAULT_MAX_MAPPINGS);
	STRUCT(cmd, (FIELD(cmd, type), FIELD(cmd, count), FIELD(cmd, status),
		     FIELD(cmd, reserved), FIELD(cmd, req_gpa), FIELD(cmd, resp_gpa)));
	STRUCT(map_req, (FIELD(map_req, gpa), FIELD(map_req, len), FIELD(map_req, flags)));
	STRUCT(map_resp, (FIELD(map_resp, id), FIELD(map_resp, dma_addr),
			  FIELD(map_resp, dma_len), FIELD(map_resp, status)));
	STRUCT(map_req_wide, (FIELD(map_req_wide, gpa), FIELD(map_req_wide, len),
			      FIELD(map_req_wide, flags)));
	STRUCT(map_resp_wide, (FIELD(map_resp_wide, id), FIELD(map_resp_wide, dma_addr),
			       FIELD(map_resp_wide, dma_len), FIELD(map_resp_wide, status)));
	STRUCT(unmap_req, (FIELD(unmap_req, id), FIELD(unmap_req, size)));
	STRUCT(unmap_resp, (FIELD(unmap_resp, id), FIELD(unmap_resp, status),
			    FIELD(unmap_resp, reserved)));
	printf("\n}\n");
	return 0;
}
