/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The extensions of one or more devices on a UNIX socket. One thread runs all
 * of it: clients in turn, and a step of every device's work in between.
 */
#ifndef APPLE_DMA_SERVER_H
#define APPLE_DMA_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "dext/dext.h"

#define SERVER_CLIENTS	64	/* connections at a time */

struct server;

/**
 * server_create() - listen on a socket
 * @path: removed first when nobody listens there any more
 * @why: set to a sentence for NULL, of @why_size bytes
 *
 * Return: ended by server_destroy().
 */
struct server *server_create(const char *path, char *why, size_t why_size);

/**
 * server_add() - serve one more device; false when there are too many
 * @root: name of the PCI device at the root of its buses
 */
bool server_add(struct server *server, struct dext *dext, struct physical *dev, const char *root);

/** server_set_log() - a function for messages; NULL for none */
void server_set_log(struct server *server, void (*log)(const char *text));

/** server_run() - serve until the next server_stop(); false when it cannot go on */
bool server_run(struct server *server);

/** server_stop() - end server_run(); from any thread, or a signal handler */
void server_stop(struct server *server);

/**
 * server_adopt() - a client on a socket that is connected already
 * @fd: consumed, also on an error
 * @pid: the process whose memory the client registers; 0 for the peer of the socket
 * Return: false when there is no room.
 */
bool server_adopt(struct server *server, int fd, int pid);

/** server_turn() - one turn of server_run(), waiting at most so long; -1 for ever */
bool server_turn(struct server *server, int timeout_ms);

/** server_clients() - connections now; from the thread of server_run() */
unsigned int server_clients(const struct server *server);

/** server_destroy() - end it and its clients, and remove the socket; NULL is allowed */
void server_destroy(struct server *server);

#endif
