/*
 * sysinfo.h - what this machine is and how busy it is, as the keys of `info` and `load`.
 */
#ifndef ONEOS_CLUSTER_SYSINFO_H
#define ONEOS_CLUSTER_SYSINFO_H

#include <jansson.h>

/* version, os, kernel, arch, cores, memory_bytes, hostname, boot_id: the caller's reference. */
json_t *sysinfo_info(const char *boot_id);

/* cpu_used (of all cores, 0 to 1, since the last call), memory_used_bytes, disk_free_bytes (of
 * dir), net_rx_bytes, net_tx_bytes, procs. The caller's reference. */
struct sysinfo_cpu {
    unsigned long busy, total;
};
json_t *sysinfo_load(struct sysinfo_cpu *last, const char *dir);

#endif
