/* An Intel 82576, or another one of its kind, in C; see intel_model.h. */
#pragma once

#include "tests/host/intel_model.h"

/* device: IGB_82576, IGB_I350 ... */
void igb_model_init(struct intel_model *model, uint16_t device);
