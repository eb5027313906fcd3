/* The model's file: opening it, its frames and answers, and what its operators are called. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- words ---------------------------------------------------------------------------------------------------------- */

static const char *const kinds[] = {"?", "gru", "dense", "activation", "lstm", "rnn", "binary", "affine", "prelu", "concat",
                                    "slice", "select", "embedding", "layer_norm", "history", "depthwise", "state_read",
                                    "state_write", "first_frame"};
static const char *const weights[] = {"none", "f32", "int8", "int4", "f16"};
static const char *const activations[] = {"f32", "int16", "int8"};
static const char *const functions[] = {"none", "relu", "leaky_relu", "sigmoid", "tanh", "softmax", "clip", "elu",
                                        "hard_sigmoid", "softplus", "softsign", "thresholded_relu", "exp", "log", "sqrt",
                                        "abs", "reciprocal", "add", "sub", "mul", "div", "min", "max"};

/* An opened file holds numbers of these tables only. */
const char *kind_name(uint32_t kind) { return kinds[kind]; }
const char *weights_name(uint32_t format) { return weights[format]; }
const char *activations_name(uint32_t format) { return activations[format]; }
const char *function_name(uint32_t function) { return functions[function]; }

size_t operator_bytes(const grulet_op *op)
{
    if (op->kind != GRULET_OP_EMBEDDING) return op->data_bytes;
    return (size_t)op->inputs * (size_t)grulet_weight_bytes_of(op->weights, op->units / op->inputs);
}

/* ---- names of operators --------------------------------------------------------------------------------------------- */

/* The quotation mark that ends the JSON string which begins at `at`; NULL if none does. */
static const char *end_of_string(const char *at, const char *end)
{
    for (at++; at < end && (unsigned char)*at >= ' '; at++) {
        if (*at == '"') return at;
        if (*at == '\\') at++;
    }
    return NULL;
}

/* Where the array of operators' names begins in the file's JSON text (docs/format.md): behind that key of the outermost
 * object.  NULL if there is none. */
static const char *names_in(const char *at, const char *end)
{
    static const char key[] = "\"operators\":[";
    const size_t length = sizeof key - 1;
    for (int depth = 0; at < end; at++) {
        if (*at == '{' || *at == '[') depth++;
        if (*at == '}' || *at == ']') depth--;
        if (*at != '"') continue;
        if (depth == 1 && (size_t)(end - at) > length && memcmp(at, key, length) == 0) return at + length;
        at = end_of_string(at, end);
        if (at == NULL) return NULL;
    }
    return NULL;
}

/* What the escape \u and its four digits stand for: only control characters are written so; anything else is a question
 * mark. */
static char control_character(const char *digits)
{
    char hexadecimal[5] = "";
    memcpy(hexadecimal, digits, 4);
    const long code = strspn(hexadecimal, "0123456789abcdefABCDEF") == 4 ? strtol(hexadecimal, NULL, 16) : 0;
    return code > 0 && code < 128 ? (char)code : '?';
}

/* The text that `length` bytes of JSON between quotation marks stand for; `to` has room for them and a NUL. */
static void unescape(char *to, const char *json, size_t length)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    for (size_t i = 0; i < length; i++) {
        if (json[i] != '\\') {
            *to++ = json[i];
            continue;
        }
        const char escaped = json[++i], *letter = strchr(letters, escaped);
        if (escaped == 'u' && length - i > 4) {
            *to++ = control_character(json + i + 1);
            i += 4;
        } else {
            *to++ = letter != NULL ? meant[letter - letters] : escaped;
        }
    }
    *to = 0;
}

/* Opening a file does not check its text, so a name may be missing: then it is the operator's number. */
static void read_names(bench_model *model)
{
    const grulet_header *header = model->tables.header;
    const char *text = (const char *)(model->tables.values + header->values), *end = text + header->text_bytes;
    const char *at = names_in(text, end);
    model->names = (char **)memory_of(header->ops, sizeof *model->names);
    for (uint32_t o = 0; o < header->ops; o++) {
        const char *close = at != NULL && at < end && *at == '"' ? end_of_string(at, end) : NULL;
        const size_t length = close != NULL ? (size_t)(close - at - 1) : 0, room = length + 24;
        model->names[o] = (char *)memory_of(room, 1);
        if (length) unescape(model->names[o], at + 1, length);
        else snprintf(model->names[o], room, "operator %u", (unsigned)o);
        at = close != NULL ? close + 2 : NULL; /* behind the comma */
    }
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

/* A number without a pattern, from 0, 1, 2, ...: the finish of MurmurHash3, as in runtime/grulet/measuring/answers.py. */
static uint32_t mixed(uint32_t number)
{
    number += 0x9E3779B9u;
    number = (number ^ number >> 16) * 0x85EBCA6Bu;
    number = (number ^ number >> 13) * 0xC2B2AE35u;
    return number ^ number >> 16;
}

/* Numbers from -2 to 2; where an input takes tokens, any of them. */
static void make_frames(bench_model *model)
{
    const grulet_tables *t = &model->tables;
    uint32_t number = 0;
    float *to;
    model->frame_count = FRAMES;
    to = model->frames = (float *)memory_of(FRAMES * model->inputs, sizeof *model->frames);
    for (size_t f = 0; f < FRAMES; f++) {
        for (uint32_t p = 0; p < t->header->inputs; p++) {
            const uint32_t width = t->values[t->ports[p].value].width, tokens = t->ports[p].limit;
            for (uint32_t i = 0; i < width; i++) {
                const uint32_t bits = mixed(number++);
                *to++ = tokens ? (float)(bits % tokens) : (float)(bits >> 8) * 0x1p-22f - 2.0f;
            }
        }
    }
}

static unsigned char *contents_of(const char *path, size_t *bytes)
{
    struct stat is;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &is) != 0) fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(is.st_mode)) fail("%s: this is not a plain file", path);
    unsigned char *contents = (unsigned char *)memory_of((size_t)is.st_size, 1);
    *bytes = fread(contents, 1, (size_t)is.st_size, file);
    if (ferror(file)) fail("%s: cannot be read: %s", path, strerror(errno));
    fclose(file);
    return contents;
}

static void read_frames(bench_model *model, const char *path)
{
    const size_t frame_bytes = model->inputs * sizeof *model->frames;
    size_t bytes;
    model->frames = (float *)(void *)contents_of(path, &bytes);
    model->frame_count = bytes / frame_bytes;
    if (bytes == 0 || bytes % frame_bytes)
        fail("%s: %zu bytes are not whole frames of %zu float32, %zu bytes each", path, bytes, model->inputs, frame_bytes);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static grulet_stream *stream_of(const grulet_model *model)
{
    const size_t bytes = grulet_stream_bytes(model, 1);
    grulet_stream *stream;
    const grulet_status status = grulet_stream_init(&stream, memory_of(bytes, 1), bytes, model, 1);
    if (status != GRULET_OK) fail("%s", grulet_status_text(status));
    return stream;
}

static void use_isa(const char *isa)
{
    char known[LINE] = "";
    if (grulet_isa_use(isa) == GRULET_OK) return;
    for (size_t i = 0; grulet_isa_name(i) != NULL; i++) {
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", grulet_isa_name(i));
    }
    fail("no instruction set '%s' here; there are: %s", isa, known);
}

void open_model(bench_model *model, const bench_options *options)
{
    size_t bytes;
    const unsigned char *file = contents_of(options->model, &bytes);
    const grulet_status status = grulet_model_open(&model->opened, file, bytes);
    if (status != GRULET_OK) fail("%s: %s", options->model, grulet_status_text(status));
    if (grulet_needs_sequence(&model->opened))
        fail("%s: %s; a frame of it has no latency", options->model, grulet_status_text(GRULET_NEEDS_SEQUENCE));
    if (options->isa != NULL) use_isa(options->isa);
    model->path = options->model;
    model->tables = grulet_tables_of(file);
    model->inputs = grulet_input_width(&model->opened);
    model->outputs = grulet_output_width(&model->opened);
    model->output = (float *)memory_of(model->outputs, sizeof *model->output);
    for (size_t s = TICK; s <= CONTESTANTS; s++) model->streams[s] = stream_of(&model->opened);
    read_names(model);
    if (options->input != NULL) read_frames(model, options->input);
    else make_frames(model);
}

void answer_frames(bench_model *model)
{
    grulet_stream *stream = model->streams[STEP];
    for (size_t f = 0; f < model->frame_count; f++) {
        const float *frame = model->frames + f * model->inputs;
        const grulet_status status = grulet_step(stream, model->output, frame);
        if (status != GRULET_OK) fail("frame %zu of %zu: %s", f, model->frame_count, grulet_status_text(status));
        model->inputs_crc32 = grulet_crc32(model->inputs_crc32, frame, model->inputs * sizeof *frame);
        model->outputs_crc32 = grulet_crc32(model->outputs_crc32, model->output, model->outputs * sizeof *model->output);
    }
    grulet_stream_reset(stream);
}
