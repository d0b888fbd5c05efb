// SPDX-License-Identifier: GPL-2.0
/* CoreFoundation: strings, and the dictionary that IOServiceMatching() makes. */
#include <CoreFoundation/CoreFoundation.h>

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define CF_DICTIONARY	18

/* A dictionary is a string with another type: the class to match. */
struct __CFDictionary {
	struct __CFString class;
};

static struct __CFString *create(CFTypeID type, const char *text)
{
	const size_t size = strlen(text) + 1;
	struct __CFString *string = malloc(sizeof(*string) + size);

	if (!string)
		return NULL;
	string->type = type;
	string->references = 1;
	string->text = memcpy(string + 1, text, size);
	return string;
}

CFTypeRef CFRetain(CFTypeRef object)
{
	struct __CFString *string = (struct __CFString *)(uintptr_t)object;

	if (string->references)
		__atomic_add_fetch(&string->references, 1, __ATOMIC_RELAXED);
	return object;
}

void CFRelease(CFTypeRef object)
{
	struct __CFString *string = (struct __CFString *)(uintptr_t)object;

	if (string->references && !__atomic_sub_fetch(&string->references, 1, __ATOMIC_ACQ_REL))
		free(string);
}

CFTypeID CFGetTypeID(CFTypeRef object)
{
	return ((const struct __CFString *)object)->type;
}

CFTypeID CFStringGetTypeID(void)
{
	return __CF_STRING;
}

CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char *text,
				      CFStringEncoding encoding)
{
	(void)allocator;
	(void)encoding;
	return create(__CF_STRING, text);
}

CFComparisonResult CFStringCompare(CFStringRef a, CFStringRef b, CFStringCompareFlags options)
{
	const int order = strcmp(a->text, b->text);

	(void)options;
	return (order > 0) - (order < 0);
}

CFMutableDictionaryRef IOServiceMatching(const char *name)
{
	return name ? (CFMutableDictionaryRef)create(CF_DICTIONARY, name) : NULL;
}

bool matching_is(CFDictionaryRef matching, const char *class)
{
	return !strcmp(matching->class.text, class);
}
