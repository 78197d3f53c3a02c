/* IDX files, plain and compressed: two bytes say how long that of the images is, behind it come the labels. */
#include "tests/fuzz/data.h"

enum { MAX_SIZE = 4096 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const char *const name[4] = {"train_images", "train_labels", "test_images", "test_labels"};
    static const zn_input_desc in = {.classes = 10};
    if (size < 2 || size > MAX_SIZE)
        return 0;
    size_t n = (size_t)data[0] | (size_t)data[1] << 8;
    n = n < size - 2 ? n : size - 2;
    const char *images = fz_file(0, data + 2, n), *labels = fz_file(1, data + 2 + n, size - 2 - n);
    fz_read(zn_rt_read_idx, &in, 4, name, (const char *const[]){images, labels, images, labels});
    return 0;
}
