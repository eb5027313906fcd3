/* Floats one by one in plain C99: for any CPU, and the oracle of all others. */
#include "generic/grulet_scalar_lanes.h"
#include "generic/grulet_scalar_sums.h"
#include "generic/grulet_plain_f16.h"

#define FLOATS_TABLE grulet_floats_generic

#include "grulet_floats_body.h"
