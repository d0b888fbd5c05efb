/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A balanced tree of ranges, ordered by key, that finds the first range of at
 * least a given size. Nodes belong to the caller, embedded as the first member
 * of what they describe.
 */
#ifndef APPLE_DMA_TREE_H
#define APPLE_DMA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct tree_node - one range
 * @key: its start; unique in a tree, not changed while it is in one
 * @size: its size; not changed while it is in a tree
 *
 * The other members belong to the tree.
 */
struct tree_node {
	uint64_t key;
	uint64_t size;
	uint64_t max;
	uint64_t priority;
	struct tree_node *left;
	struct tree_node *right;
};

/**
 * struct tree - all zero is an empty tree
 * @root: NULL when empty
 * @count: number of nodes
 */
struct tree {
	struct tree_node *root;
	size_t count;
};

/**
 * tree_insert() - add a node; its key and size are set
 * Return: false when the key is there already, and nothing is changed.
 */
bool tree_insert(struct tree *tree, struct tree_node *node);

/** tree_remove() - take a node out; it must be in @tree */
void tree_remove(struct tree *tree, struct tree_node *node);

/** tree_find() - the node with this key, or NULL */
struct tree_node *tree_find(const struct tree *tree, uint64_t key);

/** tree_floor() - the node with the largest key not above @key, or NULL */
struct tree_node *tree_floor(const struct tree *tree, uint64_t key);

/**
 * tree_fit() - the first node with a key of @from or more and at least @size
 * Return: NULL when there is none.
 */
struct tree_node *tree_fit(const struct tree *tree, uint64_t from, uint64_t size);

/** tree_first() - the node with the smallest key, or NULL */
struct tree_node *tree_first(const struct tree *tree);

#endif
