/* A plugin of qemu that counts the instructions which the emulated CPU executes.
 *
 *     qemu-aarch64 -plugin ./count_instructions.so PROGRAM     stderr: "instructions: 123456", at every getpriority()
 *
 * The program marks what is to be counted: that system call has no effect, and nothing else makes it.  The numbers are
 * kept inline, per block of code when the block begins; threads would race for them, so count programs of one thread.
 *
 * Debian has no package with qemu-plugin.h: the few declarations below are this file's own, after qemu's documentation of
 * its plugin interface, version 1 (qemu 4.2 to 8.2; a later qemu refuses the plugin by its version). */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb; /* a block of translated code */
enum { INLINE_ADD = 0 };
enum { SYSCALL_GETPRIORITY = 141 }; /* of 64-bit ARM Linux */

typedef void (*block_function)(plugin_id id, struct qemu_plugin_tb *block);
typedef void (*syscall_function)(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                                 uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, block_function translated);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter, uint64_t by);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, syscall_function called);

EXPORTED int qemu_plugin_version = 1;
EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

static uint64_t executed;

static void count_block(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD, &executed, qemu_plugin_tb_n_insns(block));
}

static void print_at_mark(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                          uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == SYSCALL_GETPRIORITY) fprintf(stderr, "instructions: %" PRIu64 "\n", executed);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, print_at_mark);
    return 0;
}
