/* The command line. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: grulet-bench MODEL.grulet [options]\n"
    "\n"
    "Measure the latency of a frame: p50, p99, p99.9 and worst, of the step and its operators, hot and in real time,\n"
    "beside the cost of merely reading the weights.  The report is that of `grulet bench`, which also takes it:\n"
    "grulet bench MODEL.grulet --import board.json\n"
    "\n"
    "  --steps N          hot steps of each; default: 20,000\n"
    "  --period TIME      also in real time, a frame each 10ms, 500us, 1s or 0.01 (seconds)\n"
    "  --seconds S        how long in real time; default: 20\n"
    "  --between-bytes N  what something else touches between two frames in real time; default: 33554432 (32 MB)\n"
    "  --cpu N            the CPU to run on; default: the last that this process may use\n"
    "  --fifo PRIORITY    schedule as SCHED_FIFO, 1 to 99, if the system allows (root, or ulimit -r)\n"
    "  --isa NAME         the instruction set; default: the best\n"
    "  --input FILE       frames to run, little-endian float32 one after the other; default: 64 made up\n"
    "  --json FILE        write the report as JSON too; - : to the standard output, instead of tables\n"
    "  --help\n";

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("grulet-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

void *memory_of(size_t count, size_t bytes)
{
    void *memory = NULL;
    const size_t most = (size_t)-1 / 2;
    if (count == 0) count = 1;
    if (bytes > most / count || posix_memalign(&memory, GRULET_ALIGN, count * bytes) != 0)
        fail("there is not enough memory; fewer --steps or a shorter --seconds need less");
    memset(memory, 0, count * bytes);
    return memory;
}

static long long whole(const char *option, const char *text, long long least, long long most)
{
    const size_t length = strlen(text);
    const int digits = length > 0 && length <= 18 && strspn(text, "0123456789") == length;
    const long long number = digits ? atoll(text) : -1;
    if (!digits || number < least || number > most)
        fail("%s: a whole number from %lld to %lld was expected, not '%s'", option, least, most, text);
    return number;
}

/* Nanoseconds.  The units are those of a period; a bare number is seconds. */
static int64_t duration(const char *option, const char *text, double least, double most, const char *example)
{
    static const struct { const char *name; double seconds; } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}};
    const size_t length = strspn(text, "0123456789.");
    char *end = NULL;
    double seconds = length > 0 && length < 300 ? strtod(text, &end) : -1;
    if (end != text + length) seconds = -1;
    const char *unit = text + length + (text[length] == ' ');
    size_t known = 0;
    while (known < 4 && strcmp(unit, units[known].name) != 0) known++;
    seconds = known < 4 && seconds >= 0 ? seconds * units[known].seconds : -1;
    if (!(seconds >= least && seconds <= most)) fail("%s: %s was expected, not '%s'", option, example, text);
    return (int64_t)(seconds * 1e9 + 0.5);
}

enum { STEPS, PERIOD, SECONDS, BETWEEN, CPU, FIFO, ISA, INPUT, JSON, HELP, OPTIONS };
static const char *const names[OPTIONS] = {"steps", "period", "seconds", "between-bytes", "cpu", "fifo", "isa", "input",
                                           "json", "help"};

bench_options options_of(int count, char **arguments)
{
    bench_options o;
    int given[OPTIONS] = {0}, option;
    struct option known[OPTIONS + 1];
    memset(&o, 0, sizeof o);
    memset(known, 0, sizeof known);
    o.steps = 20000;
    o.seconds = (int64_t)20 * 1000000000;
    o.between_bytes = (size_t)32 << 20;
    o.cpu = -1;
    for (int i = 0; i < OPTIONS; i++) {
        known[i].name = names[i];
        known[i].has_arg = i == HELP ? no_argument : required_argument;
        known[i].val = i;
    }
    static char program[] = "grulet-bench"; /* what getopt says is in one line, as ours */
    if (count > 0) arguments[0] = program;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        if (option < 0 || option >= OPTIONS) exit(2); /* getopt has said why */
        given[option] = 1;
        switch (option) {
        case STEPS: o.steps = (size_t)whole("--steps", optarg, 1, 10000000); break;
        case PERIOD: o.period = duration("--period", optarg, 1e-6, 60, "a time from 1us to 60s, such as 10ms"); break;
        case SECONDS: o.seconds = duration("--seconds", optarg, 1e-3, 86400, "a time from 1ms to 86400s"); break;
        case BETWEEN: o.between_bytes = (size_t)whole("--between-bytes", optarg, 0, 1 << 30); break;
        case CPU: o.cpu = (int)whole("--cpu", optarg, 0, 1023); break;
        case FIFO: o.priority = (int)whole("--fifo", optarg, 1, 99); break;
        case ISA: o.isa = optarg; break;
        case INPUT: o.input = optarg; break;
        case JSON: o.json = optarg; break;
        default: fputs(help, stdout); exit(0);
        }
    }
    if (count - optind != 1) fail("one model was expected, not %d (see grulet-bench --help)", count - optind);
    if ((given[SECONDS] || given[BETWEEN]) && !given[PERIOD])
        fail("--%s is for runs in real time: give --period, such as 10ms", names[given[SECONDS] ? SECONDS : BETWEEN]);
    o.model = arguments[optind];
    return o;
}
