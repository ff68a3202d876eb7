// Preloaded into a server whose instructions are counted: it then draws the same "random" numbers in every run, so its
// hash tables have the same shape, and a look-up in them costs the same.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef FILE *open_file(const char *path, const char *mode);

static FILE *open_instead(const char *function, const char *path, const char *mode) {
    open_file *next = (open_file *)dlsym(RTLD_NEXT, function);
    return next(strcmp(path, "/dev/urandom") == 0 ? "/dev/zero" : path, mode);
}

FILE *fopen(const char *path, const char *mode) { return open_instead("fopen", path, mode); }

FILE *fopen64(const char *path, const char *mode) { return open_instead("fopen64", path, mode); }

// Seeds of the heights of skiplist nodes, among others.
void srandom(unsigned seed) { (void)seed; }

void srand(unsigned seed) { (void)seed; }
