/*
 * heap.h - giving back memory that the daemon does not need any more.
 */
#ifndef ONEOS_HEAP_H
#define ONEOS_HEAP_H

/* Gives pages of freed memory back to the kernel. May take milliseconds; any thread. */
void heap_trim(void);

#endif
