/*
 * sysinfo.c - reads /proc, uname and os-release; a value that cannot be read is left out.
 */
#include "cluster/sysinfo.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define MEMINFO "/proc/meminfo" /* what we want of it is in its first three lines */

static void os_name(char *text, size_t size)
{
    cleanup_fclose FILE *f = fopen("/etc/os-release", "re");
    char line[256];

    snprintf(text, size, "Linux");
    while (f && fgets(line, sizeof line, f)) {
        char *value = line + 12;

        if (strncmp(line, "PRETTY_NAME=", 12) != 0)
            continue;
        value[strcspn(value, "\n")] = '\0';
        if (*value == '"') {
            value++;
            value[strcspn(value, "\"")] = '\0';
        }
        snprintf(text, size, "%s", value);
    }
}

/* The start of a file of /proc, as much as fits; empty when it cannot be read. Without stdio, as
 * the load is read every second for as long as the daemon runs. */
static const char *slurp(const char *path, char *text, size_t size)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* A value of the text of /proc/meminfo in bytes; key with its colon. */
static json_int_t meminfo(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? (json_int_t)strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

json_t *sysinfo_info(const char *boot_id)
{
    struct utsname uts;
    json_t *info = json_object();
    char os[256], memory[256];

    uname(&uts);
    os_name(os, sizeof os);
    json_object_set_new(info, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(info, "hostname", json_string(uts.nodename));
    json_object_set_new(info, "os", json_string(os));
    json_object_set_new(info, "kernel", json_string(uts.release));
    json_object_set_new(info, "arch", json_string(uts.machine));
    json_object_set_new(info, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(info, "memory_bytes",
                        json_integer(meminfo(slurp(MEMINFO, memory, sizeof memory), "MemTotal:")));
    json_object_set_new(info, "boot_id", json_string(boot_id));
    return info;
}

static double cpu_used(struct sysinfo_cpu *last)
{
    unsigned long v[8] = { 0 }, total = 0, busy, dt;
    char text[256]; /* the first line is that of all cores */
    double used;

    if (sscanf(slurp("/proc/stat", text, sizeof text), "cpu %lu %lu %lu %lu %lu %lu %lu %lu", v,
               v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) < 5)
        return 0;
    for (int i = 0; i < 8; i++)
        total += v[i];
    busy = total - v[3] - v[4];
    dt = total - last->total;
    used = last->total && dt ? (double)(busy - last->busy) / (double)dt : 0;
    *last = (struct sysinfo_cpu){ busy, total };
    return used < 0 || used > 1 ? 0 : (double)(int)(used * 1000 + 0.5) / 1000;
}

/* Bytes of all interfaces but the loopback. */
static void net_bytes(json_int_t *rx, json_int_t *tx)
{
    cleanup_fclose FILE *f = fopen("/proc/net/dev", "re");
    char line[512], name[64];
    unsigned long in, out;

    *rx = *tx = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, " %63[^:]: %lu %*u %*u %*u %*u %*u %*u %*u %lu", name, &in, &out) == 3 &&
            strcmp(name, "lo") != 0) {
            *rx += (json_int_t)in;
            *tx += (json_int_t)out;
        }
}

static json_int_t proc_count(void)
{
    char text[64];
    unsigned n = 0;

    if (sscanf(slurp("/proc/loadavg", text, sizeof text), "%*f %*f %*f %*u/%u", &n) != 1)
        return 0;
    return n;
}

static json_int_t memory_used(void)
{
    char text[256];

    slurp(MEMINFO, text, sizeof text);
    return meminfo(text, "MemTotal:") - meminfo(text, "MemAvailable:");
}

json_t *sysinfo_load(struct sysinfo_cpu *last, const char *dir)
{
    json_t *load = json_object();
    json_int_t rx, tx;
    struct statvfs fs;

    net_bytes(&rx, &tx);
    json_object_set_new(load, "cpu_used", json_real(cpu_used(last)));
    json_object_set_new(load, "memory_used_bytes", json_integer(memory_used()));
    if (statvfs(dir, &fs) == 0)
        json_object_set_new(load, "disk_free_bytes",
                            json_integer((json_int_t)fs.f_bavail * (json_int_t)fs.f_frsize));
    json_object_set_new(load, "net_rx_bytes", json_integer(rx));
    json_object_set_new(load, "net_tx_bytes", json_integer(tx));
    json_object_set_new(load, "procs", json_integer(proc_count()));
    json_object_set_new(load, "clock_us", json_integer((json_int_t)wall_us()));
    return load;
}
