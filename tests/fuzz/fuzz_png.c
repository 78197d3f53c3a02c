/* PNG files: as they are, and with the checksums of all chunks made right, which no fuzzer guesses. */
#include "tests/fuzz/pictures.h"

#include <zlib.h>

static size_t number(const unsigned char *at) {
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/* A chunk is its length, its name, so many bytes, and the CRC of name and bytes. */
static void mend(unsigned char *at, size_t size) {
    for (size_t i = 8; i + 12 <= size;) {
        size_t n = number(at + i);
        if (n > size - i - 12)
            return;
        uLong crc = crc32_z(crc32_z(0, NULL, 0), at + i + 4, n + 4);
        for (int k = 0; k < 4; k++)
            at[i + 8 + n + (size_t)k] = (unsigned char)(crc >> (24 - 8 * k));
        i += n + 12;
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static unsigned char copy[FZ_MAX_PICTURE];
    if (size > FZ_MAX_PICTURE)
        return 0;
    fz_picture(data, size);
    memcpy(copy, data, size);
    mend(copy, size);
    if (memcmp(copy, data, size) != 0)
        fz_picture(copy, size);
    return 0;
}
