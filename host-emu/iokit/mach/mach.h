/* SPDX-License-Identifier: GPL-2.0 */
/* The types of Mach that IOKit's calls are written in. Macros as macOS has them. */
#ifndef _MACH_MACH_H_
#define _MACH_MACH_H_

#include <stdint.h>

typedef int kern_return_t;
typedef unsigned int mach_port_t;
typedef mach_port_t task_port_t;
typedef uint64_t mach_vm_address_t;
typedef uint64_t mach_vm_size_t;

#define KERN_SUCCESS		0
#define MACH_PORT_NULL		((mach_port_t)0)

/* The one task that memory can be mapped into. */
#define mach_task_self()	((mach_port_t)0x103)

#endif
