// SPDX-License-Identifier: GPL-2.0
/* Serial dispatch queues. */
#include <dispatch/dispatch.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct item {
	struct item *next;
	void *context;
	dispatch_function_t work;
};

struct dispatch_queue_s {
	pthread_mutex_t lock;		/* everything below */
	pthread_cond_t changed;
	struct item *first;
	struct item **end;
	unsigned int references;
	const void *key;
	void *specific;
};

static __thread dispatch_queue_t current;

static void destroy(dispatch_queue_t queue)
{
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

/* The next item; NULL when there is none and never will be. */
static struct item *next(dispatch_queue_t queue)
{
	struct item *item;

	pthread_mutex_lock(&queue->lock);
	while (!queue->first && queue->references)
		pthread_cond_wait(&queue->changed, &queue->lock);
	item = queue->first;
	if (item) {
		queue->first = item->next;
		if (!queue->first)
			queue->end = &queue->first;
	}
	pthread_mutex_unlock(&queue->lock);
	return item;
}

static void *run(void *arg)
{
	dispatch_queue_t queue = arg;
	struct item *item;

	current = queue;
	while ((item = next(queue)) != NULL) {
		item->work(item->context);
		free(item);
	}
	destroy(queue);
	return NULL;
}

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t attr)
{
	dispatch_queue_t queue = calloc(1, sizeof(*queue));
	pthread_t thread;

	(void)label;
	(void)attr;
	if (!queue)
		return NULL;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->changed, NULL);
	queue->end = &queue->first;
	queue->references = 1;
	if (pthread_create(&thread, NULL, run, queue)) {
		destroy(queue);
		return NULL;
	}
	pthread_detach(thread);
	return queue;
}

void dispatch_retain(dispatch_queue_t queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->references++;
	pthread_mutex_unlock(&queue->lock);
}

/* The thread finishes what is queued, frees the queue and ends. */
void dispatch_release(dispatch_queue_t queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->references--;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

void dispatch_async_f(dispatch_queue_t queue, void *context, dispatch_function_t work)
{
	struct item *item = malloc(sizeof(*item));

	/* libdispatch aborts here, too: the call cannot report an error. */
	if (!item)
		abort();
	*item = (struct item){ NULL, context, work };
	pthread_mutex_lock(&queue->lock);
	*queue->end = item;
	queue->end = &item->next;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

struct sync {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	void *context;
	dispatch_function_t work;
};

static void run_sync(void *arg)
{
	struct sync *sync = arg;

	sync->work(sync->context);
	pthread_mutex_lock(&sync->lock);
	sync->done = true;
	pthread_cond_signal(&sync->changed);
	pthread_mutex_unlock(&sync->lock);
}

void dispatch_sync_f(dispatch_queue_t queue, void *context, dispatch_function_t work)
{
	struct sync sync = { .context = context, .work = work };

	pthread_mutex_init(&sync.lock, NULL);
	pthread_cond_init(&sync.changed, NULL);
	dispatch_async_f(queue, &sync, run_sync);
	pthread_mutex_lock(&sync.lock);
	while (!sync.done)
		pthread_cond_wait(&sync.changed, &sync.lock);
	pthread_mutex_unlock(&sync.lock);
	pthread_cond_destroy(&sync.changed);
	pthread_mutex_destroy(&sync.lock);
}

void dispatch_queue_set_specific(dispatch_queue_t queue, const void *key, void *context,
				 dispatch_function_t destructor)
{
	(void)destructor;
	pthread_mutex_lock(&queue->lock);
	queue->key = key;
	queue->specific = context;
	pthread_mutex_unlock(&queue->lock);
}

void *dispatch_get_specific(const void *key)
{
	return current && current->key == key ? current->specific : NULL;
}
