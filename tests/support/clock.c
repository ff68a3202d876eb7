/* Preloaded into a test server: a wall clock that the test moves while the server runs.
 *
 * The file that RL_TEST_CLOCK names holds one 64-bit word, shared with the test:
 *   even: the real time plus word / 2 microseconds
 *   odd:  frozen at word / 2 microseconds since 1970
 * One word, so that no reader ever sees half of a change. CLOCK_MONOTONIC stays true: event loops and timeouts need it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t no_change = 0;
static const _Atomic int64_t *setting = &no_change;

__attribute__((constructor)) static void open_setting(void) {
    const char *path = getenv("RL_TEST_CLOCK");
    if (!path) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *word = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (word == MAP_FAILED) abort(); /* Rather none than a server on the wrong time. */
    close(fd);
    setting = word;
}

/* A plain system call: no lookup of the real function, so nothing that allocates (jemalloc asks the time early). */
static int64_t now_us(void) {
    int64_t word = atomic_load(setting);
    if (word & 1) return word >> 1;
    struct timespec real;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    return (int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000 + (word >> 1);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, out);
    int64_t now = now_us();
    out->tv_sec = now / 1000000;
    out->tv_nsec = now % 1000000 * 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    int64_t now = now_us();
    out->tv_sec = now / 1000000;
    out->tv_usec = now % 1000000;
    return 0;
}

time_t time(time_t *out) {
    time_t now = now_us() / 1000000;
    if (out) *out = now;
    return now;
}

/* Valkey 9 counts time by the processor where /proc/cpuinfo says constant_tsc, and looks at the wall clock only once a
 * millisecond. Where that file says nothing, it asks the clock each time. */
static FILE *open_stream(const char *name, const char *path, const char *mode) {
    FILE *(*open_real)(const char *, const char *);
    *(void **)&open_real = dlsym(RTLD_NEXT, name);
    return open_real(strcmp(path, "/proc/cpuinfo") ? path : "/dev/null", mode);
}

FILE *fopen(const char *restrict path, const char *restrict mode) { return open_stream("fopen", path, mode); }

FILE *fopen64(const char *restrict path, const char *restrict mode) { return open_stream("fopen64", path, mode); }
