/* Nothing allocates: noalloc VECTORS_FOLDER.
 *
 * The linker routes malloc, calloc, realloc, free and mmap of everything linked in, the library included, through the
 * functions below, which count while the flag is set.  On Linux a child process then runs frames with no system call
 * permitted but write and exit (strict seccomp): an allocation, a lock that waits, a log line would kill it. */
#define _GNU_SOURCE 1
#include "check.h"
#include "grulet.h"

#include <math.h>
#ifdef __linux__
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#endif

static volatile int watching, calls; /* compilers believe that malloc touches no variables */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void *__real_mmap(void *at, size_t bytes, int rights, int flags, int file, off_t offset);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);
void *__wrap_mmap(void *at, size_t bytes, int rights, int flags, int file, off_t offset);

void *__wrap_malloc(size_t bytes) { return calls += watching, __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return calls += watching, __real_calloc(count, bytes); }
void *__wrap_realloc(void *memory, size_t bytes) { return calls += watching, __real_realloc(memory, bytes); }
void __wrap_free(void *memory) { calls += watching, __real_free(memory); }
void *__wrap_mmap(void *at, size_t bytes, int rights, int flags, int file, off_t offset)
{
    return calls += watching, __real_mmap(at, bytes, rights, flags, file, offset);
}

typedef struct {
    const guarded *file;
    const float *x;
    float *bad, *y;
    unsigned char *memory, *blob;
    size_t memory_bytes, blob_bytes, frames, width;
} job;

/* Frames of a stream's block: whole sequences must fit, others need not. */
static size_t block_of(const grulet_model *model, size_t frames) { return grulet_needs_sequence(model) ? frames : 4; }

/* Everything a program may do with a model: open, init, step, step many, run, save, restore, reset, bad frames and blobs. */
static int all_calls(const job *j)
{
    grulet_model model;
    grulet_stream *stream;
    int good = grulet_model_open(&model, j->file->data, j->file->bytes) == GRULET_OK;
    const size_t block = block_of(&model, j->frames);
    const grulet_status step = grulet_needs_sequence(&model) ? GRULET_NEEDS_SEQUENCE : GRULET_OK;
    const grulet_status bad_step = grulet_needs_sequence(&model) ? GRULET_NEEDS_SEQUENCE : GRULET_BAD_FRAME;
    good &= grulet_stream_init(&stream, j->memory, j->memory_bytes, &model, block) == GRULET_OK;
    for (size_t f = 0; f < j->frames; f++) good &= grulet_step(stream, j->y, j->x + f * j->width) == step;
    good &= grulet_step_many(&stream, 1, j->y, j->x) == step;
    good &= grulet_run(stream, j->y, j->x, j->frames) == GRULET_OK;
    good &= grulet_save(stream, j->blob, j->blob_bytes) == GRULET_OK;
    good &= grulet_restore(stream, j->blob, j->blob_bytes) == GRULET_OK;
    good &= grulet_restore(stream, j->blob, j->blob_bytes - 1) == GRULET_BAD_STATE;
    good &= grulet_step(stream, j->y, j->bad) == bad_step;
    good &= grulet_step_many(&stream, 1, j->y, j->bad) == bad_step;
    good &= grulet_run(stream, j->y, j->bad, 1) == GRULET_BAD_FRAME;
    good &= grulet_model_open(&model, j->file->data, j->file->bytes - 1) == GRULET_WRONG_SIZE;
    good &= grulet_isa_name(0) != NULL && grulet_isa_used() != NULL && grulet_status_text(GRULET_OK) != NULL;
    grulet_stream_reset(stream);
    return good;
}

#ifdef __linux__
static void check_no_system_call(const job *j, const char *name)
{
    fflush(stdout);
    const pid_t child = fork();
    REQUIRE(child >= 0, "fork");
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 77);
        syscall(SYS_exit, all_calls(j) ? 0 : 1);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("%-16s SKIPPED without system calls: strict seccomp is not to be had here\n", name);
        return;
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s on %s: a system call, or a wrong answer (status %x)", name,
          grulet_isa_used(), (unsigned)status);
}
#else
static void check_no_system_call(const job *j, const char *name) { (void)j, (void)name; }
#endif

static void check_vector(const char *folder, const char *name, size_t frames)
{
    guarded file = read_file(folder, name, ".grulet"), x = read_file(folder, name, ".input.f32");
    grulet_model model;
    job j = {&file, (const float *)(void *)x.data, NULL, NULL, NULL, NULL, 0, 0, frames, 0};
    REQUIRE(grulet_model_open(&model, file.data, file.bytes) == GRULET_OK, name);
    j.width = grulet_input_width(&model);
    j.memory_bytes = grulet_stream_bytes(&model, block_of(&model, frames));
    j.blob_bytes = grulet_save_bytes(&model);
    j.memory = malloc(j.memory_bytes);
    j.blob = malloc(j.blob_bytes);
    j.y = malloc(frames * grulet_output_width(&model) * sizeof(float));
    j.bad = malloc(j.width * sizeof(float));
    REQUIRE(j.memory && j.blob && j.y && j.bad, "memory");
    for (size_t i = 0; i < j.width; i++) j.bad[i] = NAN;
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
        watching = 1, calls = 0;
        grulet_isa_use(grulet_isa_name(i));
        const int good = all_calls(&j);
        watching = 0;
        CHECK(good, "%s on %s: a wrong answer", name, grulet_isa_used());
        CHECK(calls == 0, "%s on %s: %d calls of the allocator", name, grulet_isa_used(), calls);
        check_no_system_call(&j, name);
    }
    free(j.memory), free(j.blob), free(j.y), free(j.bad);
    guarded_free(&file), guarded_free(&x);
}

int main(int count, char **arguments)
{
    REQUIRE(count == 2, "usage: noalloc VECTORS_FOLDER");
    watching = 1; /* does the hook work at all? */
    void *volatile probe = malloc(1);
    free(probe);
    watching = 0;
    CHECK(calls == 2, "the allocator is not hooked: %d calls seen of 2", calls);
    FILE *index = open_index(arguments[1]);
    char name[64];
    unsigned long frames, crc;
    while (fscanf(index, "%63s %lu %lx", name, &frames, &crc) == 3) check_vector(arguments[1], name, frames);
    fclose(index);
    return finish("noalloc");
}
