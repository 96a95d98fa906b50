/* cpu.c -- what this processor and this process may use: the ISA level, how many processors, and
 * how large a cache.
 *
 * Three ISA levels are compiled in; the best one that both the processor and the system support is
 * taken, and TAPER_ISA=base|v3|v4 lowers it. Processors are counted as the scheduler will grant
 * them: the affinity mask, capped by the CPU quota of the cgroup (version 1 or 2) and of its
 * parents. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/base.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined __x86_64__
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

/* ---- instruction set ------------------------------------------------------------------------- */

static const char *const isa_name[TP__ISA_COUNT] = {"base", "v3", "v4"};

const char *tp__isa_name(tp__isa isa) {
    return isa_name[isa];
}

const char *tp_isa(void) {
    return isa_name[tp__cpu_isa()];
}

#if defined __x86_64__
/* The parts of x86-64-v3 that __builtin_cpu_supports knows only in newer compilers. */
static bool has_small_v3(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_MOVBE) || !(c & bit_F16C)) return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

/* __builtin_cpu_supports also asks the system (xgetbv) whether it saves the registers. */
static tp__isa best_isa(void) {
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    has_small_v3();
    if (!v3) return TP__ISA_BASE;
    const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    return v4 ? TP__ISA_V4 : TP__ISA_V3;
}

/* AMD's family 25 computes 512 bits, where it has them, as two halves; others mostly begin two, as
 * all do whose vectors are shorter. */
static tp__pace own_pace(void) {
    enum { HALVES = 25 };
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_is("amd")) return TP__PACE_TWO;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return TP__PACE_TWO;
    const unsigned family = (a >> 8 & 15) + (a >> 20 & 255);
    return family == HALVES ? TP__PACE_ONE : TP__PACE_TWO;
}

void tp__cpu_pause(void) {
    __builtin_ia32_pause();
}

/* The lower bits say what has happened, the others what is to. */
static const uint32_t HAPPENED = 0x3f, FLUSH = 0x8040; /* results, operands */

uint32_t tp__cpu_rounding(void) {
    return __builtin_ia32_stmxcsr() & ~HAPPENED;
}
void tp__cpu_set_rounding(uint32_t r) {
    const uint32_t now = __builtin_ia32_stmxcsr();
    if ((now & ~HAPPENED) != r) __builtin_ia32_ldmxcsr((now & HAPPENED) | r);
}

bool tp_set_flush_denormal(bool on) {
    const uint32_t now = tp__cpu_rounding();
    tp__cpu_set_rounding(on ? now | FLUSH : now & ~FLUSH);
    return (now & FLUSH) == FLUSH;
}
#else
uint32_t tp__cpu_rounding(void) {
    return 0;
}
void tp__cpu_set_rounding(uint32_t r) {
    (void)r;
}
bool tp_set_flush_denormal(bool on) {
    (void)on;
    return false;
}

static tp__isa best_isa(void) {
    return TP__ISA_BASE;
}
static tp__pace own_pace(void) {
    return TP__PACE_TWO;
}

void tp__cpu_pause(void) {}
#endif

static tp__isa chosen_isa(void) {
    const tp__isa best = best_isa();
    const char *want = getenv("TAPER_ISA");
    if (!want || !*want) return best;
    for (int i = 0; i < TP__ISA_COUNT; i++) {
        if (strcmp(want, isa_name[i]) != 0) continue;
        if (i > (int)best)
            tp__log("TAPER_ISA=%s: this processor has only %s, which is used", want,
                    isa_name[best]);
        return i < (int)best ? (tp__isa)i : best;
    }
    tp__log("TAPER_ISA=%s is not base, v3 or v4; using %s", want, isa_name[best]);
    return best;
}

tp__isa tp__cpu_isa(void) {
    static atomic_int known = -1; /* two threads may both find out: the same answer */
    int isa = atomic_load_explicit(&known, memory_order_relaxed);
    if (TP__UNLIKELY(isa < 0)) {
        isa = (int)chosen_isa();
        atomic_store_explicit(&known, isa, memory_order_relaxed);
    }
    return (tp__isa)isa;
}

static atomic_int pace = -1;

void tp__cpu_set_pace(int to) {
    atomic_store_explicit(&pace, to, memory_order_relaxed);
}

tp__pace tp__cpu_pace(void) {
    int now = atomic_load_explicit(&pace, memory_order_relaxed);
    if (TP__UNLIKELY(now < 0)) {
        now = (int)own_pace();
        atomic_store_explicit(&pace, now, memory_order_relaxed);
    }
    return (tp__pace)now;
}

/* ---- how many processors --------------------------------------------------------------------- */

#ifdef __linux__
static int affinity_count(void) {
    for (int cpus = 1024; cpus <= 1 << 20;
         cpus *= 2) { /* the kernel wants a mask as long as its own */
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set) return 0;
        const size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        const int n = sched_getaffinity(0, size, set) ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (n) return n;
    }
    return 0;
}
#else
static int affinity_count(void) {
    return 0;
}
#endif

/* The first word of dir/name into `word`; false if there is no such file. `rest` may be NULL. */
static bool read_words(const char *dir, const char *name, char word[32], char rest[32]) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const int got = rest ? fscanf(f, "%31s %31s", word, rest) : fscanf(f, "%31s", word);
    fclose(f);
    return got == (rest ? 2 : 1);
}

/* Processors' worth of time that the quota of one cgroup allows; 0: no limit. */
static double folder_quota(const char *dir) {
    char quota[32], period[32];
    const bool v2 = read_words(dir, "cpu.max", quota, period);
    const bool v1 = !v2 && read_words(dir, "cpu.cfs_quota_us", quota, NULL) &&
                    read_words(dir, "cpu.cfs_period_us", period, NULL);
    if (!v1 && !v2) return 0;
    const double q = strtod(quota, NULL), p = strtod(period, NULL); /* "max" and -1: no limit */
    return q > 0 && p > 0 ? q / p : 0;
}

/* The smallest quota from the cgroup `dir` up to `top`, a prefix of it. */
static double quota_upwards(char *dir, size_t top) {
    double least = 0;
    for (;;) {
        const double q = folder_quota(dir);
        if (q > 0 && (least == 0 || q < least)) least = q;
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + top) return least;
        *slash = '\0';
    }
}

/* Lines are "number:controllers:path"; version 2 has no controllers and one tree for all. */
static double line_quota(char *line, const char *mount) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return 0;
    *path++ = '\0';
    controllers++;
    const bool v1 = !strcmp(controllers, "cpu") || !strcmp(controllers, "cpu,cpuacct") ||
                    !strcmp(controllers, "cpuacct,cpu");
    if (!v1 && *controllers) return 0;
    char dir[4096];
    const int top = snprintf(dir, sizeof dir, "%s%s%s", mount, v1 ? "/" : "", controllers);
    if (top < 0 || (size_t)top + strlen(path) >= sizeof dir) return 0;
    strcpy(dir + top, path);
    return quota_upwards(dir, (size_t)top);
}

int tp__cpu_quota(const char *cgroups, const char *mount) {
    FILE *f = fopen(cgroups, "re");
    if (!f) return 0;
    double least = 0;
    char line[4096];
    while (fgets(line, sizeof line, f)) {
        const double q = line_quota(line, mount);
        if (q > 0 && (least == 0 || q < least)) least = q;
    }
    fclose(f);
    const int whole = (int)(least < 1e6 ? least : 1e6);
    return whole + (least > whole); /* a part of a processor is worth a thread */
}

int tp__cpu_count(void) {
    int n = affinity_count();
    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) n = 1;
    const int quota = tp__cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < n ? quota : n;
}

/* ---- cache ----------------------------------------------------------------------------------- */

static _Atomic int64_t set_cache = -1;

void tp__cpu_set_cache(int64_t bytes) {
    atomic_store(&set_cache, bytes);
}

int64_t tp__cpu_cache(void) {
    const int64_t set = atomic_load(&set_cache);
    if (set >= 0) return set;
#ifdef _SC_LEVEL3_CACHE_SIZE
    const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? bytes : 0;
#else
    return 0;
#endif
}
