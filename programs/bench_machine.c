/* Where the program runs, and what the system lets it do: one CPU, real-time scheduling, memory that stays. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

static void refuse(bench_machine *machine, const char *what)
{
    snprintf(machine->refused[machine->refusals++], LINE, "%.60s: %.180s", what, strerror(errno));
}

/* An isolated CPU is not among those of a process that has not asked for it, so what is allowed is found by trying. */
void pin(bench_machine *machine, int cpu)
{
    cpu_set_t usual, one;
    char numbers[LINE] = "";
    if (sched_getaffinity(0, sizeof usual, &usual) != 0) fail("sched_getaffinity: %s", strerror(errno));
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET((size_t)i, &usual)) continue;
        const size_t length = strlen(numbers);
        snprintf(numbers + length, sizeof numbers - length, "%s%d", length ? ", " : "", i);
        machine->pinned = i;
    }
    if (cpu >= 0) machine->pinned = cpu;
    CPU_ZERO(&one);
    CPU_SET((size_t)machine->pinned, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        fail("CPU %d: %s; this process usually runs on: %s", machine->pinned, strerror(errno), numbers);
}

void lock_memory(bench_machine *machine)
{
    machine->locked = mlockall(MCL_CURRENT) == 0;
    if (!machine->locked) refuse(machine, "mlockall");
}

void use_fifo(bench_machine *machine, int priority)
{
    struct sched_param parameter;
    char what[LINE];
    memset(&parameter, 0, sizeof parameter);
    parameter.sched_priority = priority;
    snprintf(what, sizeof what, "SCHED_FIFO %d", priority);
    if (sched_setscheduler(0, SCHED_FIFO, &parameter) != 0) refuse(machine, what);
}

/* ---- facts ---------------------------------------------------------------------------------------------------------- */

/* A line for reports: no line feeds or other control characters, no spaces at its ends. */
static void clean(char *line)
{
    size_t begin = 0, end;
    for (char *c = line; *c; c++) if ((unsigned char)*c < ' ' || *c == 127) *c = ' ';
    while (line[begin] == ' ') begin++;
    memmove(line, line + begin, strlen(line + begin) + 1);
    for (end = strlen(line); end > 0 && line[end - 1] == ' '; end--) line[end - 1] = 0;
}

/* The first line of a file that the system makes up; 0, and "", if there is no such file. */
static int read_line(const char *path, char *line)
{
    FILE *file = fopen(path, "r");
    line[0] = 0;
    if (file == NULL) return 0;
    if (fgets(line, LINE, file) == NULL) line[0] = 0;
    fclose(file);
    clean(line);
    return line[0] != 0;
}

/* What /proc/cpuinfo says of one CPU: the value of the last such line that belongs to it or to all.  "": nothing. */
static void cpuinfo(int cpu, const char *key, char *value)
{
    char line[4096];
    int of = -1;
    FILE *file = fopen("/proc/cpuinfo", "r");
    value[0] = 0;
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL) continue;
        *colon = 0;
        clean(line);
        if (strcmp(line, "processor") == 0) of = atoi(colon + 1);
        if (strcmp(line, key) != 0 || (of >= 0 && of != cpu)) continue;
        snprintf(value, LINE, "%.*s", LINE - 1, colon + 1);
        clean(value);
    }
    fclose(file);
}

/* ARM's own cores by part number; the cores of others are known by the board. */
static const struct { unsigned part; const char *name; } cores[] = {
    {0xb76, "ARM1176"}, {0xc05, "Cortex-A5"}, {0xc07, "Cortex-A7"}, {0xc08, "Cortex-A8"}, {0xc09, "Cortex-A9"},
    {0xc0f, "Cortex-A15"}, {0xc0e, "Cortex-A17"}, {0xd04, "Cortex-A35"}, {0xd03, "Cortex-A53"}, {0xd05, "Cortex-A55"},
    {0xd07, "Cortex-A57"}, {0xd08, "Cortex-A72"}, {0xd09, "Cortex-A73"}, {0xd0a, "Cortex-A75"}, {0xd0b, "Cortex-A76"},
    {0xd0d, "Cortex-A77"}, {0xd41, "Cortex-A78"}, {0xd42, "Cortex-A78AE"}, {0xd44, "Cortex-X1"}, {0xd46, "Cortex-A510"},
    {0xd47, "Cortex-A710"}, {0xd4d, "Cortex-A715"}, {0xd80, "Cortex-A520"}, {0xd81, "Cortex-A720"},
    {0xd0c, "Neoverse N1"}, {0xd40, "Neoverse V1"}, {0xd49, "Neoverse N2"},
};

static void name_core(int cpu, char *name)
{
    char implementer[LINE], part[LINE];
    cpuinfo(cpu, "CPU implementer", implementer);
    cpuinfo(cpu, "CPU part", part);
    name[0] = 0;
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (strcmp(implementer, "0x41") == 0 && strtoul(part, NULL, 16) == cores[i].part)
            snprintf(name, LINE, "%s", cores[i].name);
    if (name[0] == 0) cpuinfo(cpu, "model name", name);
    if (name[0] == 0) cpuinfo(cpu, "uarch", name); /* RISC-V */
}

/* A core and the board that it is on, as far as either is known. */
static void name_cpu(bench_machine *machine)
{
    char core[LINE], board[LINE];
    name_core(machine->pinned, core);
    if (!read_line("/proc/device-tree/model", board)) cpuinfo(machine->pinned, "Model", board);
    const char *between = core[0] && board[0] ? ", " : "";
    snprintf(machine->cpu, LINE, "%.120s%s%.120s", core, between, board);
    if (machine->cpu[0] == 0) snprintf(machine->cpu, LINE, "unknown");
}

/* An emulator of a program (qemu-user) hands on the host's files: the process bears the emulator's name, or the CPU is an
 * x86 although this program is none.  An emulator of a whole machine cannot be told from the machine. */
static void find_emulator(bench_machine *machine)
{
    char name[LINE] = "";
    prctl(PR_GET_NAME, name);
    if (strncmp(name, "qemu-", 5) == 0) snprintf(machine->emulator, LINE, "%s", name);
#if !defined(__x86_64__) && !defined(__i386__)
    char vendor[LINE];
    cpuinfo(machine->pinned, "vendor_id", vendor);
    if (machine->emulator[0] == 0 && vendor[0]) snprintf(machine->emulator, LINE, "on %.200s", vendor);
#endif
}

static void name_scheduler(bench_machine *machine)
{
    static const struct { int number; const char *name; } classes[] = {
        {SCHED_OTHER, "SCHED_OTHER"}, {SCHED_FIFO, "SCHED_FIFO"}, {SCHED_RR, "SCHED_RR"}, {SCHED_BATCH, "SCHED_BATCH"},
        {SCHED_IDLE, "SCHED_IDLE"}};
    struct sched_param parameter;
    const int number = sched_getscheduler(0);
    memset(&parameter, 0, sizeof parameter);
    sched_getparam(0, &parameter);
    snprintf(machine->scheduler, LINE, "class %d", number);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].number == number) snprintf(machine->scheduler, LINE, "%s", classes[i].name);
    const size_t length = strlen(machine->scheduler);
    if (parameter.sched_priority) snprintf(machine->scheduler + length, LINE - length, " %d", parameter.sched_priority);
}

void look_around(bench_machine *machine)
{
    struct utsname system;
    if (uname(&system) != 0) fail("uname: %s", strerror(errno));
    snprintf(machine->system, LINE, "%.100s %.100s", system.sysname, system.machine);
    snprintf(machine->release, LINE, "%.200s%s", system.release,
             strstr(system.version, "PREEMPT_RT") != NULL ? " PREEMPT_RT" : "");
    name_cpu(machine);
    name_scheduler(machine);
    find_emulator(machine);
}

cpu_clock clock_of(int cpu)
{
    cpu_clock clock;
    char path[LINE], kilohertz[LINE];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", cpu);
    read_line(path, kilohertz);
    clock.megahertz = atof(kilohertz) / 1e3;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
    read_line(path, clock.governor);
    return clock;
}
