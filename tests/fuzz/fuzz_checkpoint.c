/* A checkpoint of a small network. The input is what stands before the digest, which is made right, so that what is
 * read behind that check is reached; one bit of its first byte asks for a digest that is wrong. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/checkpoint.h"
#include "tests/fuzz/law.h"

enum { MAX_SIZE = 4096, BYTES = 192 };

static const zn_tensor_desc tensors[] = {{.name = "w", .rank = 2, .dim = {3, 4}, .in_file = 1, .trained = 1},
                                         {.name = "scalar", .rank = 0, .offset = 64, .in_file = 1, .trained = 1},
                                         {.name = "w.momentum", .rank = 2, .dim = {3, 4}, .offset = 128}};
static const zn_module_desc module = {.name = "net",
                                      .source_sha256 = "aa",
                                      .overrides = "{\"-D\": [\"a=1\"], \"-O\": 1}",
                                      .versions = "{}",
                                      .conv = "auto",
                                      .gemm = "auto",
                                      .ntensor = 3,
                                      .tensor = tensors};

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const zn_rt_identity id = {&module, "dd", NULL, 7, 2.5, 100};
    if (size > MAX_SIZE)
        return 0;
    char path[64], digest[ZN_RT_SHA256_HEX], param[BYTES];
    zn_rt_error e = {""};
    zn_rt_sha256 h;
    zn_rt_reached at = {.step = -2};
    FZ_LAW(!zn_rt_sha256_start(&h, &e) && !zn_rt_sha256_add(&h, data, size, &e) && !zn_rt_sha256_end(&h, digest, &e));
    bool wrong = size > 0 && (data[0] & 0x80);
    digest[5] = (char)(digest[5] ^ (wrong ? 1 : 0));
    digest[64] = '\n';
    int fd = memfd_create("checkpoint", MFD_CLOEXEC);
    FZ_LAW(fd >= 0 && write(fd, data, size) == (ssize_t)size && write(fd, digest, 65) == 65);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    memset(param, 0x55, sizeof param);
    int code = zn_rt_checkpoint_read(path, &id, &at, param, &e);
    FZ_LAW(code == 0 || code == ZN_RT_INPUT || code == ZN_RT_MISFIT);
    FZ_LAW((code == 0) == (e.text[0] == '\0'));
    FZ_LAW(!wrong || code == ZN_RT_INPUT);
    FZ_LAW(code == 0 ? at.step >= 0 && at.step <= 100 : param[0] == 0x55);
    close(fd);
    return 0;
}
