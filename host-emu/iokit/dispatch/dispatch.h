/* SPDX-License-Identifier: GPL-2.0 */
/* Serial queues of libdispatch, each a thread here. */
#ifndef __DISPATCH_PUBLIC__
#define __DISPATCH_PUBLIC__

typedef struct dispatch_queue_s *dispatch_queue_t;
typedef struct dispatch_queue_attr_s *dispatch_queue_attr_t;
typedef void (*dispatch_function_t)(void *context);

#define DISPATCH_QUEUE_SERIAL	((dispatch_queue_attr_t)0)

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t attr);
void dispatch_retain(dispatch_queue_t queue);
void dispatch_release(dispatch_queue_t queue);
void dispatch_async_f(dispatch_queue_t queue, void *context, dispatch_function_t work);
void dispatch_sync_f(dispatch_queue_t queue, void *context, dispatch_function_t work);

/* One key for each queue. */
void dispatch_queue_set_specific(dispatch_queue_t queue, const void *key, void *context,
				 dispatch_function_t destructor);
void *dispatch_get_specific(const void *key);

#endif
