/* Files of numpy. The first byte says what the network takes; then, as two bytes say how long the first one is, a file
 * of images and one of labels; or else one alone, of which all elements are looked at. */
#include "runtime/npy.h"
#include "tests/fuzz/data.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 4096 };

static void alone(const unsigned char *data, size_t size) {
    unsigned char *exact = malloc(size + !size); /* so that a sanitizer sees what reads on */
    zn_rt_npy a = {0};
    zn_rt_error e = {""};
    bool fits;
    volatile double sum = 0;
    FZ_LAW(exact);
    memcpy(exact, data, size);
    int code = zn_rt_npy_parse(&a, "input", exact, size, &e);
    fz_outcome(code, &e);
    FZ_LAW(code || a.offset + (size_t)a.count * (size_t)a.size == size);
    for (int64_t i = 0; !code && i < a.count; i++)
        sum += zn_rt_npy_double(&a, exact, i) +
               (a.type == ZN_RT_NPY_FLOAT ? 0 : (double)zn_rt_npy_int(&a, exact, i, &fits));
    free(exact);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const char *const name[4] = {"images", "labels", "test_images", "test_labels"};
    if (size < 3 || size > MAX_SIZE)
        return 0;
    const zn_input_desc in = {.classes = data[0] & 1 ? 0 : 10, .targets = data[0] & 2 ? 1 : 0};
    if (data[0] & 4) {
        alone(data + 1, size - 1);
        return 0;
    }
    size_t n = (size_t)data[1] | (size_t)data[2] << 8;
    n = n < size - 3 ? n : size - 3;
    const char *images = fz_file(0, data + 3, n), *labels = fz_file(1, data + 3 + n, size - 3 - n);
    fz_read(zn_rt_read_npy, &in, 4, name, (const char *const[]){images, labels, images, labels});
    return 0;
}
