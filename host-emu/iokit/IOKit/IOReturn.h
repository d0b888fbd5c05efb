/* SPDX-License-Identifier: GPL-2.0 */
/* Results, with macOS's values. */
#ifndef __IOKIT_IORETURN_H
#define __IOKIT_IORETURN_H

#include <mach/mach.h>

typedef kern_return_t IOReturn;

#define iokit_common_err(code)	((IOReturn)(0xe0000000u | (code)))

#define kIOReturnSuccess	KERN_SUCCESS
#define kIOReturnError		iokit_common_err(0x2bc)
#define kIOReturnNoMemory	iokit_common_err(0x2bd)
#define kIOReturnNoResources	iokit_common_err(0x2be)
#define kIOReturnIPCError	iokit_common_err(0x2bf)
#define kIOReturnNoDevice	iokit_common_err(0x2c0)
#define kIOReturnBadArgument	iokit_common_err(0x2c2)
#define kIOReturnExclusiveAccess iokit_common_err(0x2c5)
#define kIOReturnUnsupported	iokit_common_err(0x2c7)
#define kIOReturnNotOpen	iokit_common_err(0x2cd)
#define kIOReturnNotAligned	iokit_common_err(0x2d0)
#define kIOReturnStillOpen	iokit_common_err(0x2d2)
#define kIOReturnNotReady	iokit_common_err(0x2d8)
#define kIOReturnNotAttached	iokit_common_err(0x2d9)
#define kIOReturnNoSpace	iokit_common_err(0x2db)
#define kIOReturnUnderrun	iokit_common_err(0x2e7)
#define kIOReturnOverrun	iokit_common_err(0x2e8)
#define kIOReturnAborted	iokit_common_err(0x2eb)
#define kIOReturnNotFound	iokit_common_err(0x2f0)

#endif
