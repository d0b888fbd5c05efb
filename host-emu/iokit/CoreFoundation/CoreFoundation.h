/* SPDX-License-Identifier: GPL-2.0 */
/* The part of CoreFoundation that looking for a service needs. */
#ifndef __COREFOUNDATION_COREFOUNDATION__
#define __COREFOUNDATION_COREFOUNDATION__

#include <stdint.h>

typedef const void *CFTypeRef;
typedef const struct __CFAllocator *CFAllocatorRef;
typedef const struct __CFString *CFStringRef;
typedef const struct __CFDictionary *CFDictionaryRef;
typedef struct __CFDictionary *CFMutableDictionaryRef;
typedef unsigned long CFTypeID;
typedef unsigned long CFOptionFlags;
typedef CFOptionFlags CFStringCompareFlags;
typedef uint32_t CFStringEncoding;
typedef long CFIndex;
typedef CFIndex CFComparisonResult;

#define kCFAllocatorDefault	((CFAllocatorRef)0)
#define kCFStringEncodingUTF8	((CFStringEncoding)0x08000100)

enum { kCFCompareLessThan = -1, kCFCompareEqualTo = 0, kCFCompareGreaterThan = 1 };

/* Of this implementation alone: what CFSTR() makes. */
struct __CFString {
	CFTypeID type;
	long references;		/* 0 for a constant */
	const char *text;
};

#define __CF_STRING		7

#define CFSTR(s) \
	(__extension__({ \
		static const struct __CFString __cfstr = { __CF_STRING, 0, "" s }; \
		(CFStringRef)&__cfstr; \
	}))

CFTypeRef CFRetain(CFTypeRef object);
void CFRelease(CFTypeRef object);
CFTypeID CFGetTypeID(CFTypeRef object);
CFTypeID CFStringGetTypeID(void);
CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char *text,
				      CFStringEncoding encoding);
CFComparisonResult CFStringCompare(CFStringRef a, CFStringRef b, CFStringCompareFlags options);

#endif
