/* Batches of CIFAR-10, of as many records as the first byte says. */
#include "runtime/cifar.h"
#include "tests/fuzz/data.h"

#include <stdlib.h>

enum { MAX_RECORDS = 3, IMAGE = 32 * 32 * 3, MAX_SIZE = 4 * (IMAGE + 1) };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size < 1 || size > MAX_SIZE)
        return 0;
    size_t records = data[0] % (MAX_RECORDS + 1);
    uint8_t *pixels = malloc(records * IMAGE + 1), *labels = malloc(records + 1);
    zn_rt_error e = {""};
    FZ_LAW(pixels && labels);
    int code = zn_rt_cifar_batch(fz_file(0, data + 1, size - 1), (int64_t)records, pixels, labels, &e);
    fz_outcome(code, &e);
    FZ_LAW(code || size - 1 == records * (IMAGE + 1));
    for (size_t i = 0; i < records && !code; i++) {
        FZ_LAW(labels[i] == data[1 + i * (IMAGE + 1)] && labels[i] < 10);
        FZ_LAW(pixels[i * IMAGE + 3 * 7 + 2] == data[1 + i * (IMAGE + 1) + 1 + 2 * 1024 + 7]);
    }
    free(pixels);
    free(labels);
    return 0;
}
