/* What the Python binding adds to grulet.h: steps that take one pointer.  cffi converts and checks every argument of every
 * call, and for a small network that costs as much as the step; here all arguments lie ready in a struct.  Header only. */
#ifndef GRULET_FFI_BINDING_H
#define GRULET_FFI_BINDING_H

#include "grulet.h"

/* cffi: begin (as in grulet.h) */

/* The arguments of grulet_step. */
typedef struct { grulet_stream *stream; float *y; const float *x; } grulet_voice;

/* The arguments of grulet_step_many. */
typedef struct { grulet_stream *const *streams; size_t count; float *y; const float *x; } grulet_voices;

static int grulet_tick(const grulet_voice *voice);
static int grulet_tick_many(const grulet_voices *voices);

/* cffi: end */

static int grulet_tick(const grulet_voice *voice) { return (int)grulet_step(voice->stream, voice->y, voice->x); }

static int grulet_tick_many(const grulet_voices *voices)
{
    return (int)grulet_step_many(voices->streams, voices->count, voices->y, voices->x);
}

#endif
