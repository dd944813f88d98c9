/* An Intel 82574L in C, see intel_model.h. */
#pragma once

#include "tests/host/intel_model.h"

void e1000e_model_init(struct intel_model *model);
