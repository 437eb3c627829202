/*
 * heap.h - memory that a thread keeps for itself, and that is given back.
 */
#ifndef ONEOS_HEAP_H
#define ONEOS_HEAP_H

/* The calling thread allocates so much that it shall keep pieces of its own. */
void heap_keep(void);

/* Gives pages of freed memory back to the kernel. May take milliseconds; any thread. */
void heap_trim(void);

#endif
