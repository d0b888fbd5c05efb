// SPDX-License-Identifier: GPL-2.0
/* The connection to a driver extension, and what is registered through it. */
#include "extension.h"

#include <CoreFoundation/CoreFoundation.h>

#include "client/selectors.h"
#include "discard.h"
#include "iokit/linux.h"

static GSList *extensions;	/* of passthrough devices */
static struct extension_sum sum;	/* of those */

struct region {
	uint64_t handle;
	uint64_t size;
	uint64_t addr;
};

struct extension_backend {
	struct backend backend;
	struct extension *extension;
	uint32_t managed_bdf;
};

/* One or two hexadecimal digits and the character that must follow them. */
static bool parse_hex(const char **text, unsigned long most, char behind, uint8_t *value)
{
	unsigned long number;
	char *end;

	if (!g_ascii_isxdigit(**text))
		return false;
	number = strtoul(*text, &end, 16);
	if (end - *text > 2 || number > most || *end != behind)
		return false;
	*text = end + 1;
	*value = number;
	return true;
}

/* A domain in front of the address is allowed, and ignored: the extension has none. */
static const char *behind_domain(const char *text)
{
	const char *colon = strchr(text, ':');
	unsigned int digits = 0;

	while (g_ascii_isxdigit(text[digits]))
		digits++;
	return colon && strchr(colon + 1, ':') && digits && digits <= 4 && text + digits == colon ?
	       colon + 1 : text;
}

bool extension_parse(const char *host, struct extension_address *address, Error **errp)
{
	const char *text = behind_domain(host ? host : "");

	if (parse_hex(&text, 0xff, ':', &address->bus) &&
	    parse_hex(&text, 31, '.', &address->device) &&
	    parse_hex(&text, 7, '\0', &address->function))
		return true;
	error_setg(errp, "host=%s: expected is the device's address on the host, as in "
		   "host=01:00.0", host ? host : "");
	return false;
}

static bool is_extension(io_service_t service)
{
	CFTypeRef class = IORegistryEntryCreateCFProperty(service, CFSTR("IOUserClass"),
							  kCFAllocatorDefault, 0);
	bool is;

	if (!class)
		return false;
	is = CFGetTypeID(class) == CFStringGetTypeID() &&
	     CFStringCompare((CFStringRef)class, CFSTR(EXTENSION_CLASS), 0) == kCFCompareEqualTo;
	CFRelease(class);
	return is;
}

/* Does an extension run for any device? For the text of an error. */
static bool extension_runs(void)
{
	io_iterator_t services;
	io_service_t service;
	bool runs = false;

	if (IOServiceGetMatchingServices(kIOMainPortDefault, IOServiceMatching("IOUserService"),
					 &services) != KERN_SUCCESS)
		return false;
	while ((service = IOIteratorNext(services)) != IO_OBJECT_NULL) {
		runs |= is_extension(service);
		IOObjectRelease(service);
	}
	IOObjectRelease(services);
	return runs;
}

/* The passthrough device's extension, which its companions share; NULL for none. */
static struct extension *find(const char *name, const char *root)
{
	for (GSList *link = extensions; link; link = link->next) {
		struct extension *extension = link->data;

		if (!strcmp(extension->name, name) && !strcmp(extension->root, root))
			return extension;
	}
	return NULL;
}

static bool claim(io_connect_t connection, const char *name, Error **errp)
{
	const kern_return_t ret = apple_dext_claim(connection);

	if (ret == kIOReturnSuccess)
		return true;
	if (ret == kIOReturnExclusiveAccess)
		error_setg(errp, "host=%s: another driver has this device; end what uses it there",
			   name);
	else
		error_setg(errp, "host=%s: the driver extension did not open the device "
			   "(IOReturn 0x%08x)", name, (unsigned int)ret);
	return false;
}

/* The extension keeps the old pages, and cannot see by itself that they are not ours any more. */
static void discarded(void *arg, uint64_t va, uint64_t size)
{
	const struct extension *extension = arg;

	iokit_discard_memory(extension->connection, va, size);
}

/* Why there is no connection. @found are the roots of what has that address. */
static void explain(const char *name, const char *root, const char *found, Error **errp)
{
	if (!extension_runs())
		error_setg(errp, "host=%s: the driver extension (VFIOUserPCIDriver) is not running",
			   name);
	else if (!*found)
		error_setg(errp, "host=%s: no driver extension has this device; is it plugged in, is "
			   "this its address, and (on macOS) may QEMU open the extension?", name);
	else if (root)
		error_setg(errp, "host=%s: no device with this address is below host-root=%s; "
			   "such devices are below %s", name, root, found);
	else
		error_setg(errp, "host=%s: several devices have this address; add host-root=, "
			   "which is one of %s", name, found);
}

/* Takes the connection. */
static struct extension *make(io_connect_t connection, const char *name, const char *root,
			      Error **errp)
{
	struct extension *extension;

	if (!claim(connection, name, errp)) {
		apple_dext_disconnect(connection);
		return NULL;
	}
	extension = g_new0(struct extension, 1);
	extension->connection = connection;
	extension->name = g_strdup(name);
	extension->root = g_strdup(root);
	extension->users = 1;
	extension->regions = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	discard_watch(discarded, extension);
	return extension;
}

struct extension *extension_open(const struct extension_address *address, bool share, Error **errp)
{
	g_autofree char *name = g_strdup_printf("%02x:%02x.%x", address->bus, address->device,
						address->function);
	const char *root = address->root && *address->root ? address->root : NULL;
	struct extension *extension;
	io_connect_t connection;
	char found[256];

	connection = apple_dext_connect_below(address->bus, address->device, address->function,
					      root, found, sizeof(found));
	if (connection == IO_OBJECT_NULL) {
		explain(name, root, found, errp);
		return NULL;
	}
	/* Without host-root it is the only one with that address. */
	root = root ?: found;
	extension = find(name, root);
	if (extension) {
		apple_dext_disconnect(connection);
		if (share) {
			extension->users++;
			return extension;
		}
		/* The extension itself would allow a second user. */
		error_setg(errp, "host=%s is in this machine already", name);
		return NULL;
	}
	extension = make(connection, name, root, errp);
	if (extension && !share)
		extensions = g_slist_prepend(extensions, extension);
	return extension;
}

void extension_put(struct extension *extension)
{
	if (--extension->users)
		return;
	discard_unwatch(extension);
	extensions = g_slist_remove(extensions, extension);
	sum.bytes -= extension->bytes;
	apple_dext_disconnect(extension->connection);
	g_hash_table_destroy(extension->regions);
	g_free(extension->root);
	g_free(extension->name);
	g_free(extension);
}

bool extension_failed(struct extension *extension, kern_return_t ret, const char *what)
{
	if (ret == kIOReturnSuccess)
		return false;
	if (extension->gone)
		return true;
	/* The extension has ended or has lost its device. */
	if (ret == kIOReturnIPCError || ret == kIOReturnAborted || ret == kIOReturnNotAttached ||
	    ret == kIOReturnNoDevice) {
		extension->gone = true;
		error_report("vfio-apple-pci %s: the device is gone (%s: IOReturn 0x%08x); the "
			     "guest reads all ones from it. Start the driver extension, and then "
			     "QEMU, again", extension->name, what, (unsigned int)ret);
	}
	return true;
}

struct extension_sum extension_sum(void)
{
	return sum;
}

static struct extension *of(struct backend *backend)
{
	return container_of(backend, struct extension_backend, backend)->extension;
}

static IOReturn map(struct backend *backend, uint64_t handle, uint64_t va, uint64_t size,
		    uint64_t *addr, uint64_t *len)
{
	struct extension *extension = of(backend);
	struct region *region;
	kern_return_t ret;

	ret = apple_dext_register_dma(extension->connection, handle, va, size, addr, len);
	if (extension_failed(extension, ret, "RegisterDMARegion")) {
		/* A guest that wakes asks for what is registered. */
		if (ret == kIOReturnStillOpen || extension->gone)
			return ret;
		if (!extension->refused)
			warn_report("vfio-apple-pci %s: the extension did not register guest memory "
				    "at 0x%" PRIx64 ", 0x%" PRIx64 " bytes: IOReturn 0x%08x; the "
				    "guest is told. Later ones are not shown",
				    extension->name, handle, size, (unsigned int)ret);
		extension->refused = true;
		return ret;
	}
	region = g_new(struct region, 1);
	*region = (struct region){ .handle = handle, .size = size, .addr = *addr };
	g_hash_table_replace(extension->regions, &region->handle, region);
	extension->bytes += size;
	sum.bytes += size;
	sum.peak = MAX(sum.peak, sum.bytes);
	return ret;
}

static IOReturn unmap(struct backend *backend, uint64_t handle)
{
	struct extension *extension = of(backend);
	const struct region *region = g_hash_table_lookup(extension->regions, &handle);
	const kern_return_t ret = apple_dext_unregister_dma(extension->connection, handle);

	if (!extension_failed(extension, ret, "UnregisterDMARegion") && region) {
		extension->bytes -= region->size;
		sum.bytes -= region->size;
		g_hash_table_remove(extension->regions, &handle);
	}
	return ret;
}

static bool other(struct backend *backend, uint64_t handle, uint64_t *addr)
{
	const struct region *region;
	GHashTableIter iterator;
	gpointer value;

	g_hash_table_iter_init(&iterator, of(backend)->regions);
	while (g_hash_table_iter_next(&iterator, NULL, &value)) {
		region = value;
		if (region->handle != handle) {
			*addr = region->addr;
			return true;
		}
	}
	return false;
}

/* The extension does not report the DART's own counts, such as faults. */
static void usage(struct backend *backend, struct backend_usage *usage)
{
	const struct extension *extension = of(backend);

	*usage = (struct backend_usage){
		.regions = g_hash_table_size(extension->regions),
		.bytes = extension->bytes,
		.enforced = true,
		.dart_unknown = true,
	};
}

static uint32_t managed_bdf(struct backend *backend)
{
	return container_of(backend, struct extension_backend, backend)->managed_bdf;
}

static void release(struct backend *backend)
{
	struct extension_backend *this = container_of(backend, struct extension_backend, backend);

	extension_put(this->extension);
	g_free(this);
}

struct backend *extension_backend(struct extension *extension, uint32_t managed_bdf_)
{
	static const struct backend_ops ops = {
		map, unmap, other, usage, NULL, managed_bdf, release,
	};
	struct extension_backend *this = g_new0(struct extension_backend, 1);

	this->backend.ops = &ops;
	this->extension = extension;
	this->managed_bdf = managed_bdf_;
	extension->users++;
	return &this->backend;
}
