/* The C tests' twenty lines of framework: CHECK, reading files, memory that ends at a forbidden page.  Include it
 * first: it asks the system's headers for mmap. */
#ifndef GRULET_TESTS_CHECK_H
#define GRULET_TESTS_CHECK_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#define GUARD_PAGES 1
#else
#define GUARD_PAGES 0 /* Windows, WebAssembly: what is read beyond the end goes unnoticed there, and finish() says so */
#endif

static int failures;

/* Print what failed (the first few times), go on, let main return non-zero. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition) && failures++ < 20) {                                                                         \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                                     \
            fflush(stdout); /* newlib knows no %zu: what follows may be wrong, or the end */                           \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

/* For what the tests themselves need: no memory, no file. */
#define REQUIRE(condition, what)                                                                                       \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: cannot go on: %s\n", __FILE__, __LINE__, (what));                                           \
            exit(2);                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline int finish(const char *test)
{
    printf("%s: %s%s\n", test, failures ? "FAILED" : "ok", GUARD_PAGES ? "" : " (without guard pages)");
    return failures != 0;
}

/* ---- memory that faults when one byte too many is touched ---------------------------------------------------------- */

typedef struct { unsigned char *data; size_t bytes; void *pages; size_t page_bytes; } guarded;

#if GUARD_PAGES
#include <sys/mman.h>
#include <unistd.h>

/* `bytes` writable bytes, rounded up to whole floats, that end where a page without rights begins. */
static inline guarded guarded_alloc(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    guarded g;
    g.bytes = bytes;
    g.page_bytes = room + page;
    g.pages = mmap(NULL, g.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    REQUIRE(g.pages != MAP_FAILED, "mmap");
    REQUIRE(mprotect((unsigned char *)g.pages + room, page, PROT_NONE) == 0, "mprotect");
    g.data = (unsigned char *)g.pages + room - (bytes + 3) / 4 * 4;
    return g;
}

static inline void guarded_read_only(guarded *g)
{
    const size_t room = g->page_bytes - (size_t)sysconf(_SC_PAGESIZE);
    REQUIRE(room == 0 || mprotect(g->pages, room, PROT_READ) == 0, "mprotect");
}

static inline void guarded_free(guarded *g) { munmap(g->pages, g->page_bytes); }
#else
static inline guarded guarded_alloc(size_t bytes)
{
    guarded g = {NULL, bytes, NULL, bytes};
    g.pages = calloc(bytes ? bytes : 1, 1);
    REQUIRE(g.pages != NULL, "memory");
    g.data = g.pages;
    return g;
}
static inline void guarded_read_only(guarded *g) { (void)g; }
static inline void guarded_free(guarded *g) { free(g->pages); }
#endif

/* ---- files ---------------------------------------------------------------------------------------------------------- */

/* A whole file, read-only, its end at a forbidden page. */
static inline guarded read_path(const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL, path);
    REQUIRE(fseek(file, 0, SEEK_END) == 0, path);
    const long bytes = ftell(file);
    REQUIRE(bytes >= 0 && fseek(file, 0, SEEK_SET) == 0, path);
    guarded g = guarded_alloc((size_t)bytes);
    REQUIRE(fread(g.data, 1, g.bytes, file) == g.bytes, path);
    fclose(file);
    guarded_read_only(&g);
    return g;
}

static inline guarded read_file(const char *folder, const char *name, const char *suffix)
{
    char path[1024];
    const int length = snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    REQUIRE(length > 0 && (size_t)length < sizeof path, "path too long");
    return read_path(path);
}

static inline FILE *open_index(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/index.txt", folder);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL, path);
    return file;
}

/* CRC-32 (zlib's), bit by bit: independent of the library's. */
static inline uint32_t test_crc32(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    uint32_t crc = 0xFFFFFFFFu;
    while (bytes--) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

#endif
