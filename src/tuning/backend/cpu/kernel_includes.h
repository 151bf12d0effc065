// What kernels_impl.h needs. Kernel files include this before their target region begins, so that
// no function that the rest of the program shares is compiled for instructions it may lack.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "model/safetensors/data_type.h"
#include "tuning/backend/cpu/exp_constants.h"
#include "tuning/backend/cpu/kernel_table.h"
#include "tuning/quant/codes.h"
#include "tuning/quant/frozen_matrix.h"
