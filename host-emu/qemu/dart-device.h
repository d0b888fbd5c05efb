/* SPDX-License-Identifier: GPL-2.0 */
/* The QEMU device apple-dart, as its companion sees it. */
#ifndef APPLE_DMA_DART_DEVICE_H
#define APPLE_DMA_DART_DEVICE_H

#include "companion/backend.h"
#include "compat.h"
#include "dart-glue.h"
#include "dext/dext.h"

#define TYPE_APPLE_DART "apple-dart"
OBJECT_DECLARE_SIMPLE_TYPE(AppleDart, APPLE_DART)

/** enum apple_enforce - when accesses that no mapping covers are faults */
enum apple_enforce {
	APPLE_ENFORCE_AUTO,	/* from the first command page since the last reset */
	APPLE_ENFORCE_ON,
	APPLE_ENFORCE_OFF
};

struct AppleDart {
	DeviceState parent_obj;

	/* Properties. */
	char *port_id;
	struct dart_config config;
	uint64_t shared_bytes;
	enum apple_enforce enforce;
	enum dext_cost cost;
	struct panic_limits panic;
	char *fault_file;
	char *stats_file;

	/* From realize on. */
	struct dart_glue glue;
	struct dext *dext;
	bool programmed;		/* a command page, since the last reset */
	Notifier exit;			/* writes stats_file */
};

/** apple_dart_find() - the realized apple-dart of this id, or NULL with an error */
AppleDart *apple_dart_find(const char *id, Error **errp);

/** apple_dart_program() - the guest has given its companion a command page */
void apple_dart_program(AppleDart *dart);

/** apple_dart_enforced() - does an access that no mapping covers fault now? */
bool apple_dart_enforced(const AppleDart *dart);

/**
 * apple_dart_managed_bdf() - bus << 8 | devfn of the first function there
 *
 * As the guest has numbered the bus now; devfn 0 when there is no device, and 0
 * when the port was pulled.
 */
uint32_t apple_dart_managed_bdf(const AppleDart *dart);

/** apple_dart_backend() - for one more companion of @dart; NULL without memory */
struct backend *apple_dart_backend(AppleDart *dart);

#endif
