/* What direct kernels of convolutions share. */
#ifndef ZN_BACKEND_CONV_H
#define ZN_BACKEND_CONV_H

#include "backend/emit.h"

/* out[oh0 + step_h i][ow0 + step_w j] = sum over taps of in[i in_sh + in_h + kh][j in_sw + in_w + kw] w[kh][kw] */
typedef struct zn_conv_class {
    int64_t out_h, out_w, step_h, step_w; /* of the output */
    int64_t rows, cols;                   /* positions */
    int64_t in_h, in_w, in_sh, in_sw;     /* of the input, before its halo is added */
    int64_t kh, kw, weights;              /* taps; floats to the class's first weight */
} zn_conv_class;
typedef ZN_VEC(zn_conv_class) zn_conv_classes_list;

/* Those of a convolution (one) or its gradient by data (one for each phase of the stride). */
zn_conv_classes_list zn_conv_classes(const zn_value *v, zn_arena *scratch);
/* Where the weights lie that the classes name, turned for the gradient by data. */
zn_ll zn_conv_weights(const zn_emit *e, const zn_value *v);

#endif
