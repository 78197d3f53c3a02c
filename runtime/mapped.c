/* Mapping files (see runtime/mapped.h). */
#include "runtime/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int zn_rt_map_fd(zn_rt_mapped *m, int fd, size_t size) {
    static const uint8_t nothing[1] = {0};
    *m = (zn_rt_mapped){nothing, 0};
    if (size == 0)
        return 0;
    void *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return -1;
    *m = (zn_rt_mapped){at, size};
    return 0;
}

int zn_rt_map(zn_rt_mapped *m, const char *path, zn_rt_error *e) {
    struct stat st;
    int code = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer would wait */
    *m = (zn_rt_mapped){0};
    if (fd < 0)
        return zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0)
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot open: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: is a %s, not a regular file", path,
                          S_ISDIR(st.st_mode)    ? "directory"
                          : S_ISFIFO(st.st_mode) ? "FIFO"
                                                 : "device");
    else if (zn_rt_map_fd(m, fd, (size_t)st.st_size) != 0)
        code = zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot map its %lld bytes: %s", path, (long long)st.st_size,
                          strerror(errno));
    close(fd);
    return code;
}

void zn_rt_unmap(zn_rt_mapped *m) {
    if (m->size)
        munmap((void *)(uintptr_t)m->at, m->size);
    *m = (zn_rt_mapped){0};
}
