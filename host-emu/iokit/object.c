// SPDX-License-Identifier: GPL-2.0
/* Objects by name. */
#include "internal.h"

#define OBJECTS		1024

/* A name has a slot and its use count, so that an old name finds nothing. */
static struct {
	struct object *object;
	uint32_t uses;
} places[OBJECTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

io_object_t object_add(struct object *object, enum object_type type,
		       void (*destroy)(struct object *object))
{
	static unsigned int hint;
	io_object_t name;
	unsigned int at, tried = 0;

	object->type = type;
	object->references = 1;
	object->destroy = destroy;
	pthread_mutex_lock(&lock);
	at = hint % OBJECTS;
	while (places[at].object && ++tried < OBJECTS)
		at = (at + 1) % OBJECTS;
	if (places[at].object) {
		pthread_mutex_unlock(&lock);
		return IO_OBJECT_NULL;
	}
	hint = at + 1;
	places[at].uses = (places[at].uses + 1) % (UINT32_MAX / OBJECTS - 1);
	name = (places[at].uses + 1) * OBJECTS + at;
	places[at].object = object;
	pthread_mutex_unlock(&lock);
	return name;
}

/* The slot of a name of this type. With the lock. */
static struct object **find(io_object_t name, enum object_type type)
{
	const unsigned int at = name % OBJECTS;

	if (!places[at].object || places[at].object->type != type ||
	    name / OBJECTS != places[at].uses + 1)
		return NULL;
	return &places[at].object;
}

struct object *object_get(io_object_t name, enum object_type type)
{
	struct object **place, *object = NULL;

	pthread_mutex_lock(&lock);
	place = find(name, type);
	if (place) {
		object = *place;
		object->references++;
	}
	pthread_mutex_unlock(&lock);
	return object;
}

void object_hold(struct object *object)
{
	pthread_mutex_lock(&lock);
	object->references++;
	pthread_mutex_unlock(&lock);
}

void object_put(struct object *object)
{
	bool last;

	pthread_mutex_lock(&lock);
	last = !--object->references;
	pthread_mutex_unlock(&lock);
	if (last)
		object->destroy(object);
}

struct object *object_forget(io_object_t name, enum object_type type)
{
	struct object **place, *object = NULL;

	pthread_mutex_lock(&lock);
	place = find(name, type);
	if (place) {
		object = *place;
		*place = NULL;
	}
	pthread_mutex_unlock(&lock);
	return object;
}
