/* A weights file of a small network, with and without --map. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/weights.h"
#include "tests/fuzz/law.h"

enum { MAX_SIZE = 4096, ELEMENTS = 38 };

static const zn_tensor_desc tensors[] = {
    {.name = "conv.weight", .rank = 4, .dim = {1, 2, 3, 4}, .in_file = 1, .trained = 1},
    {.name = "head.weight", .rank = 2, .dim = {3, 4}, .offset = 96, .in_file = 1, .trained = 1},
    {.name = "head.bias", .rank = 1, .dim = {2}, .offset = 144, .in_file = 1, .trained = 1}};
static const zn_module_desc module = {.name = "net", .ntensor = 3, .tensor = tensors};

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const char *const map[] = {"fc=head", "conv1.weight=conv.weight"};
    if (size > MAX_SIZE)
        return 0;
    char path[64];
    float param[ELEMENTS];
    int fd = memfd_create("weights", MFD_CLOEXEC);
    FZ_LAW(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int nmap = 0; nmap < 3; nmap++) {
        zn_rt_error e = {""};
        memset(param, 0x55, sizeof param);
        int code = zn_rt_weights_read(&module, (char *)param, path, map, nmap, &e);
        FZ_LAW(code == 0 || code == ZN_RT_INPUT || code == ZN_RT_MISFIT);
        FZ_LAW((code == 0) == (e.text[0] == '\0'));
        unsigned char first;
        memcpy(&first, param, 1);
        FZ_LAW(code == 0 || first == 0x55); /* nothing changes on failure */
    }
    close(fd);
    return 0;
}
