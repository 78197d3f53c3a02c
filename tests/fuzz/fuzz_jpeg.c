/* JPEG files. */
#include "tests/fuzz/pictures.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size <= FZ_MAX_PICTURE)
        fz_picture(data, size);
    return 0;
}
