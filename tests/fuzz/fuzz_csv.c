/* Tables as text. The first byte says what is asked for: classes or numbers, floats or bytes, a header, a label by its
 * name; the second the label's column. */
#include "runtime/csv.h"
#include "tests/fuzz/data.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 4096 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size < 2 || size > MAX_SIZE)
        return 0;
    const zn_input_desc in = {.classes = data[0] & 1 ? 10 : 0, .targets = data[0] & 1 ? 0 : 1};
    zn_rt_csv t = {.bytes = data[0] & 2,
                   .header = (zn_rt_csv_header)((data[0] >> 2) % 3),
                   .label_name = data[0] & 16 ? "y" : "",
                   .label_index = (signed char)data[1]};
    zn_rt_dataset d = {.in = &in};
    zn_rt_error e = {""};
    unsigned char *exact = malloc(size); /* so that a sanitizer sees what reads on */
    FZ_LAW(exact);
    memcpy(exact, data + 2, size - 2);
    int code = zn_rt_csv_read(&t, &d, ZN_RT_TRAINING, "input", exact, size - 2, &e);
    if (!code && data[0] & 32) /* the same as a test: it must fit itself */
        FZ_LAW(zn_rt_csv_read(&t, &d, ZN_RT_TEST, "input", exact, size - 2, &e) == 0);
    fz_outcome(code, &e);
    if (!code)
        fz_look(&d);
    zn_rt_dataset_close(&d);
    free(exact);
    return 0;
}
