/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, in the group apple_dma. Addresses are in hex, all else is
 * decimal; @iova is a device address. Their format is stable: keys and fields
 * are not renamed, new ones come at the end.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM apple_dma

#if !defined(APPLE_DMA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define APPLE_DMA_TRACE_H

#include <linux/device.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

/*
 * Strings are arrays in the record: macros for strings of any length differ
 * between kernels, and a pointer would mean nothing to the reader.
 */
#define APPLE_DMA_TRACE_COMPANION	__array(char, companion, 20)
#define APPLE_DMA_TRACE_NAME(dev)					\
	strscpy(__entry->companion, dev_name(dev), sizeof(__entry->companion))

/* A mapping was made; @hit: in a window that was there. */
TRACE_EVENT(map,
	    TP_PROTO(const struct device *dev, u64 phys, u64 iova, u64 size,
		     bool hit),
	    TP_ARGS(dev, phys, iova, size, hit),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, phys)
			     __field(u64, iova)
			     __field(u64, size)
			     __field(u8, hit)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->phys = phys;
			   __entry->iova = iova;
			   __entry->size = size;
			   __entry->hit = hit;
	    ),
	    TP_printk("companion=%s phys=0x%llx iova=0x%llx size=%llu hit=%u",
		      __entry->companion, __entry->phys, __entry->iova,
		      __entry->size, __entry->hit));

/* A mapping was ended by the driver; those it left behind are not here. */
TRACE_EVENT(unmap,
	    TP_PROTO(const struct device *dev, u64 iova, u64 size),
	    TP_ARGS(dev, iova, size),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, iova)
			     __field(u64, size)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->iova = iova;
			   __entry->size = size;
	    ),
	    TP_printk("companion=%s iova=0x%llx size=%llu",
		      __entry->companion, __entry->iova, __entry->size));

/* The host has registered a window. */
TRACE_EVENT(window_create,
	    TP_PROTO(const struct device *dev, u64 phys, u64 iova, u64 size),
	    TP_ARGS(dev, phys, iova, size),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, phys)
			     __field(u64, iova)
			     __field(u64, size)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->phys = phys;
			   __entry->iova = iova;
			   __entry->size = size;
	    ),
	    TP_printk("companion=%s phys=0x%llx iova=0x%llx size=%llu",
		      __entry->companion, __entry->phys, __entry->iova,
		      __entry->size));

/* A block of 64 KiB or more was mapped in a new window; @aligned as the block is? */
TRACE_EVENT(align,
	    TP_PROTO(const struct device *dev, u64 phys, u64 iova, u64 size,
		     bool aligned),
	    TP_ARGS(dev, phys, iova, size, aligned),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, phys)
			     __field(u64, iova)
			     __field(u64, size)
			     __field(u8, aligned)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->phys = phys;
			   __entry->iova = iova;
			   __entry->size = size;
			   __entry->aligned = aligned;
	    ),
	    TP_printk("companion=%s phys=0x%llx iova=0x%llx size=%llu aligned=%u",
		      __entry->companion, __entry->phys, __entry->iova,
		      __entry->size, __entry->aligned));

/*
 * A window is gone from the host. @cause: age (idle for idle_ms), room (for
 * others), align (it kept a place, or was not aligned), flush, suspend, mode (it
 * was changed), unmap (the last one, in strict mode), offline (its memory goes),
 * close (the driver or the companion goes).
 */
TRACE_EVENT(window_evict,
	    TP_PROTO(const struct device *dev, u64 phys, u64 iova, u64 size,
		     const char *cause),
	    TP_ARGS(dev, phys, iova, size, cause),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, phys)
			     __field(u64, iova)
			     __field(u64, size)
			     __array(char, cause, 12)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->phys = phys;
			   __entry->iova = iova;
			   __entry->size = size;
			   strscpy(__entry->cause, cause, sizeof(__entry->cause));
	    ),
	    TP_printk("companion=%s phys=0x%llx iova=0x%llx size=%llu cause=%s",
		      __entry->companion, __entry->phys, __entry->iova,
		      __entry->size, __entry->cause));

/* A doorbell was rung, @op map or unmap; the write took @ns. */
TRACE_EVENT(doorbell,
	    TP_PROTO(const struct device *dev, const char *op,
		     unsigned int requests, u64 bytes, u64 ns),
	    TP_ARGS(dev, op, requests, bytes, ns),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __array(char, op, 8)
			     __field(u32, requests)
			     __field(u64, bytes)
			     __field(u64, ns)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   strscpy(__entry->op, op, sizeof(__entry->op));
			   __entry->requests = requests;
			   __entry->bytes = bytes;
			   __entry->ns = ns;
	    ),
	    TP_printk("companion=%s op=%s requests=%u bytes=%llu ns=%llu",
		      __entry->companion, __entry->op, __entry->requests,
		      __entry->bytes, __entry->ns));

/*
 * The host refused a window, or broke the protocol. @address: the handle, or
 * the first of a batch if the whole batch is wrong.
 */
TRACE_EVENT(host_error,
	    TP_PROTO(const struct device *dev, u64 address, const char *what),
	    TP_ARGS(dev, address, what),
	    TP_STRUCT__entry(APPLE_DMA_TRACE_COMPANION
			     __field(u64, address)
			     __array(char, what, 64)
	    ),
	    TP_fast_assign(APPLE_DMA_TRACE_NAME(dev);
			   __entry->address = address;
			   strscpy(__entry->what, what, sizeof(__entry->what));
	    ),
	    TP_printk("companion=%s address=0x%llx what=\"%s\"",
		      __entry->companion, __entry->address, __entry->what));

#endif /* APPLE_DMA_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
