/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first include of driver/main.c in the test module: suites call its init
 * and exit, and register its PCI driver; see board.h.
 */
#ifndef APPLE_DMA_MAIN_SEAM_H
#define APPLE_DMA_MAIN_SEAM_H

#include <linux/init.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "board.h"
#include "seam.h"

#undef __init
#define __init
#undef __exit
#define __exit

#undef module_init
#define module_init(function)						\
int seam_main_init(void)						\
{									\
	return function();						\
}

#undef module_exit
#define module_exit(function)						\
void seam_main_exit(void)						\
{									\
	function();							\
}

#undef pci_register_driver
#define pci_register_driver(driver)	seam_keep_driver(driver)
#undef pci_unregister_driver
#define pci_unregister_driver(driver)	seam_keep_driver(NULL)

#endif /* APPLE_DMA_MAIN_SEAM_H */
