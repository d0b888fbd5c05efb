// SPDX-License-Identifier: GPL-2.0
/* The registers of a companion. */
#include "registers.h"

static uint64_t with_half(uint64_t value, unsigned int shift, uint32_t half)
{
	return (value & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)half << shift;
}

static uint32_t value_of(struct registers *regs, uint64_t offset)
{
	switch (offset) {
	case APPLE_DMA_REG_VERSION:
		return regs->version;
	case APPLE_DMA_REG_MANAGED_BDF:
		return regs->bdf_fixed ? regs->bdf :
					 regs->backend->ops->managed_bdf(regs->backend);
	case APPLE_DMA_REG_MAX_ENTRIES:
		return regs->batch_entries;
	case APPLE_DMA_REG_STATUS:
		return regs->status;
	default:
		return 0;
	}
}

uint32_t registers_read(struct registers *regs, uint64_t offset)
{
	uint32_t value;

	if (!regs->backend)
		return UINT32_MAX;
	value = value_of(regs, offset);
	return offset / 4 < LIE_REGISTERS ? lie_register(&regs->lie, offset / 4, value) : value;
}

void registers_write(struct registers *regs, uint64_t offset, uint32_t value)
{
	if (!regs->backend)
		return;
	switch (offset) {
	case APPLE_DMA_REG_CMD_GPA_LO:
		regs->cmd_gpa = with_half(regs->cmd_gpa, 0, value);
		break;
	case APPLE_DMA_REG_CMD_GPA_HI:
		regs->cmd_gpa = with_half(regs->cmd_gpa, 32, value);
		break;
	case APPLE_DMA_REG_DOORBELL:
		registers_doorbell(regs);
		return;
	default:
		return;
	}
	if (value && regs->backend->ops->program)
		regs->backend->ops->program(regs->backend);
}
