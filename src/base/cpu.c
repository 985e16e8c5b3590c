/* Facts about the machine: instruction set, cores this process may use, time, memory.
 *
 * The number of cores is what the affinity mask and the control group's quota leave, not what the machine has: in a
 * container with two cores of sixty-four, sixty-four threads would be many times slower than two. */
#include "base/base.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static dt_isa best_isa(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init(); /* __builtin_cpu_supports also asks whether the operating system saves the registers */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2 && avx512) return DT_ISA_AVX512;
    if (avx2) return DT_ISA_AVX2;
#endif
    return DT_ISA_PORTABLE;
}

const char *dt_isa_name(dt_isa isa)
{
    switch (isa) {
    case DT_ISA_PORTABLE: return "portable";
    case DT_ISA_AVX2: return "avx2";
    case DT_ISA_AVX512: return "avx512";
    }
    return "unknown";
}

static int cores_by_affinity(void)
{
    /* The mask may be larger than cpu_set_t on machines with more than 1024 CPUs; then count what is online. */
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

/* "200000 100000" is two cores; "max 100000" is no limit. Part of a core counts as one. */
static int cores_in_quota(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    long quota, period;
    int fields = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (fields != 2 || quota <= 0 || period <= 0) return 0;
    return (int)((quota + period - 1) / period);
}

/* The tightest limit of this process's control group (version 2) and those above it; 0: none. */
static int cores_by_quota(void)
{
    char line[512] = "", path[600];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return 0;
    char *group = NULL;
    while (!group && fgets(line, sizeof line, f))
        if (!strncmp(line, "0::", 3)) group = line + 3;
    fclose(f);
    if (!group) return 0;
    group[strcspn(group, "\n")] = '\0';
    int tightest = 0;
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        int cores = cores_in_quota(path);
        if (cores && (!tightest || cores < tightest)) tightest = cores;
        char *slash = strrchr(group, '/');
        if (!slash) return tightest;
        *slash = '\0';
    }
}

static void read_model_name(char *out, size_t bytes)
{
    snprintf(out, bytes, "unknown");
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, bytes, "%.*s", (int)bytes - 1, colon[1] == ' ' ? colon + 2 : colon + 1);
        break;
    }
    fclose(f);
}

void dt_cpu_detect(dt_cpu *out)
{
    *out = (dt_cpu){.isa = best_isa(), .cores = cores_by_affinity()};
    int quota = cores_by_quota();
    if (quota && quota < out->cores) out->cores = quota;
    if (out->cores < 1) out->cores = 1;
    read_model_name(out->model, sizeof out->model);
}

double dt_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t dt_peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (size_t)usage.ru_maxrss * 1024;
}
