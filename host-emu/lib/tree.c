// SPDX-License-Identifier: GPL-2.0
/* A treap: a binary tree by key that is a heap by a hash of the key. */
#include "tree.h"

/* splitmix64's finaliser: spreads well, and gives the same value in every run. */
static uint64_t hash(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t max_of(const struct tree_node *node)
{
	return node ? node->max : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct tree_node *update(struct tree_node *node)
{
	node->max = larger(node->size, larger(max_of(node->left), max_of(node->right)));
	return node;
}

/* Keys below @key go to @low, the others to @high. */
static void split(struct tree_node *node, uint64_t key, struct tree_node **low,
		  struct tree_node **high)
{
	if (!node) {
		*low = NULL;
		*high = NULL;
	} else if (node->key < key) {
		split(node->right, key, &node->right, high);
		*low = update(node);
	} else {
		split(node->left, key, low, &node->left);
		*high = update(node);
	}
}

/* Every key in @low is below every key in @high. */
static struct tree_node *merge(struct tree_node *low, struct tree_node *high)
{
	if (!low)
		return high;
	if (!high)
		return low;
	if (low->priority > high->priority) {
		low->right = merge(low->right, high);
		return update(low);
	}
	high->left = merge(low, high->left);
	return update(high);
}

static struct tree_node *insert(struct tree_node *at, struct tree_node *node)
{
	if (!at || node->priority > at->priority) {
		split(at, node->key, &node->left, &node->right);
		return update(node);
	}
	if (node->key < at->key)
		at->left = insert(at->left, node);
	else
		at->right = insert(at->right, node);
	return update(at);
}

bool tree_insert(struct tree *tree, struct tree_node *node)
{
	if (tree_find(tree, node->key))
		return false;
	node->left = NULL;
	node->right = NULL;
	node->priority = hash(node->key);
	tree->root = insert(tree->root, node);
	tree->count++;
	return true;
}

static struct tree_node *remove_from(struct tree_node *at, struct tree_node *node)
{
	if (at == node)
		return merge(node->left, node->right);
	if (node->key < at->key)
		at->left = remove_from(at->left, node);
	else
		at->right = remove_from(at->right, node);
	return update(at);
}

void tree_remove(struct tree *tree, struct tree_node *node)
{
	tree->root = remove_from(tree->root, node);
	tree->count--;
}

struct tree_node *tree_find(const struct tree *tree, uint64_t key)
{
	struct tree_node *node = tree->root;

	while (node && node->key != key)
		node = key < node->key ? node->left : node->right;
	return node;
}

struct tree_node *tree_floor(const struct tree *tree, uint64_t key)
{
	struct tree_node *node = tree->root, *best = NULL;

	while (node) {
		if (node->key <= key) {
			best = node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return best;
}

static struct tree_node *fit(struct tree_node *node, uint64_t from, uint64_t size)
{
	struct tree_node *found;

	if (max_of(node) < size || !node)
		return NULL;
	if (node->key < from)
		return fit(node->right, from, size);
	found = fit(node->left, from, size);
	if (found)
		return found;
	return node->size >= size ? node : fit(node->right, from, size);
}

struct tree_node *tree_fit(const struct tree *tree, uint64_t from, uint64_t size)
{
	return fit(tree->root, from, size);
}

struct tree_node *tree_first(const struct tree *tree)
{
	struct tree_node *node = tree->root;

	while (node && node->left)
		node = node->left;
	return node;
}
