/* Zeroed memory from the system (see runtime/pages.h). */
#include "runtime/pages.h"

#include <stdint.h>
#include <sys/mman.h>

static const size_t huge_page = (size_t)2 << 20;

int zn_rt_pages_get(zn_rt_pages *p, size_t size) {
    size_t slack = size >= huge_page ? huge_page : 0, whole;
    if (__builtin_add_overflow(size ? size : 1, slack, &whole))
        return -1;
    void *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -1;
    p->map = map;
    p->mapped = whole;
    p->at = map;
    if (slack) {
        p->at += (huge_page - (uintptr_t)map % huge_page) % huge_page;
        /* A wish: the kernel may have none. Of whole ones only, or the last would take memory that nobody asked for. */
        madvise(p->at, size / huge_page * huge_page, MADV_HUGEPAGE);
    }
    return 0;
}

void zn_rt_pages_free(zn_rt_pages *p) {
    if (p->map)
        munmap(p->map, p->mapped);
    *p = (zn_rt_pages){0};
}
