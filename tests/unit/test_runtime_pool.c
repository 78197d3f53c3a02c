/* The thread pool: every unit once, in every number of threads, whatever the grain; and memory that is refused. */
#include "runtime/memory.h"
#include "runtime/pool.h"

#include "tests/unit/fake_module.h"

#include <CUnit/Basic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { UNITS = 5000 };

typedef struct tally {
    atomic_int seen[UNITS];
    atomic_long ranges, misfits;
    int64_t outer, grain;
} tally;

static void count_range(void *ctx, int64_t begin, int64_t end, void *scratch) {
    tally *t = ctx;
    atomic_fetch_add(&t->ranges, 1);
    if (begin >= end || (end - begin < t->grain && end != t->outer))
        atomic_fetch_add(&t->misfits, 1);
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&t->seen[i], 1);
    *(volatile char *)scratch = 1; /* a race here would be one of the pool */
}

static atomic_int started;
static void count_start(void) {
    atomic_fetch_add(&started, 1);
}

static void check_pool(int threads) {
    static tally t;
    zn_rt_pool *p;
    zn_rt_error e = {""};
    const int64_t shape[][2] = {{0, 1}, {1, 1}, {7, 100}, {UNITS, 1}, {UNITS, 7}, {UNITS, UNITS - 1}, {3, 2}, {999, 0}};
    atomic_store(&started, 0);
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&p, threads, 100, count_start, &e), 0);
    CU_ASSERT_EQUAL(zn_rt_pool_threads(p), threads);
    CU_ASSERT_TRUE(zn_rt_pool_scratch(p) >= (size_t)threads * 100);
    for (int round = 0; round < 60; round++) {
        for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
            memset(&t, 0, sizeof t);
            t.outer = shape[s][0];
            t.grain = shape[s][1];
            zn_rt_parfor(p, count_range, &t, t.outer, t.grain);
            int bad = 0;
            for (int64_t i = 0; i < UNITS; i++)
                bad += atomic_load(&t.seen[i]) != (i < t.outer);
            CU_ASSERT_EQUAL(bad, 0);
            CU_ASSERT_EQUAL(atomic_load(&t.misfits), 0);
            if (t.outer <= t.grain)
                CU_ASSERT_TRUE(atomic_load(&t.ranges) <= 1);
        }
    }
    zn_rt_pool_close(p);
    CU_ASSERT_EQUAL(atomic_load(&started), threads);
}

static void every_unit_once(void) {
    check_pool(1);
    check_pool(2);
    check_pool(3);
    check_pool(17);
}

static void nap(void *ctx, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    for (int64_t i = begin; i < end; i++) {
        struct timespec t = {0, 300000};
        nanosleep(&t, NULL);
        atomic_fetch_add((atomic_int *)ctx, 1);
    }
}

/* Long chunks: the caller and the workers go to sleep and are woken. */
static void sleepers(void) {
    zn_rt_pool *p;
    zn_rt_error e;
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&p, 2, 0, NULL, &e), 0);
    for (int i = 0; i < 20; i++) {
        atomic_int n = 0;
        struct timespec t = {0, 500000};
        zn_rt_parfor(p, nap, &n, 3, 1);
        CU_ASSERT_EQUAL(n, 3);
        nanosleep(&t, NULL);
    }
    zn_rt_pool_close(p);
    CU_ASSERT_TRUE(zn_rt_processors() >= 1);
}

static void memory(void) {
    zn_rt_memory mem;
    zn_rt_error e;
    fake_options o = fake_default();
    zn_module_desc m = *fake_module(&o);
    CU_ASSERT_EQUAL_FATAL(zn_rt_memory_open(&mem, &m, &e), 0);
    CU_ASSERT_EQUAL((size_t)mem.param % ZN_ALIGN, 0);
    CU_ASSERT_EQUAL(mem.step[ZN_RT_TRAIN][0][0].buf[5], mem.param);
    CU_ASSERT_EQUAL(mem.step[ZN_RT_TRAIN][0][0].buf[3], mem.batch[0]);
    CU_ASSERT_EQUAL(mem.step[ZN_RT_EVAL][1][0].buf[3], mem.batch[1]);
    CU_ASSERT_EQUAL(mem.step[ZN_RT_EVAL][1][0].phase, &m.program[FAKE_EVAL].phase[0]);
    zn_rt_memory_close(&mem);
    zn_program program[2] = {m.program[FAKE_TRAIN], m.program[FAKE_EVAL]};
    m.program = program;
    for (int i = 0; i < 2; i++) /* the last buffer begins inside of the arena and ends outside */
        program[i].arena_size -= sizeof(float);
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_INTERNAL);
    m.nprogram = 1;
    program[FAKE_TRAIN].arena_size += sizeof(float);
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_INTERNAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "no program for evaluation"));
    m.nprogram = 2;
    program[FAKE_EVAL].arena_size += sizeof(float);
    m.param_size = (uint64_t)1 << 60;
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_MEMORY);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "1152921504606846976"));
    m.param_size = UINT64_MAX;
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_MEMORY);
    m.param_size = 100;
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_INTERNAL);
    m = *fake_module(&o);
    m.input.size = m.input.labels;
    CU_ASSERT_EQUAL(zn_rt_memory_open(&mem, &m, &e), ZN_RT_INTERNAL);
}

/* Zeroed, whole, and where it is large at the start of a huge page. */
static void pages(void) {
    const size_t sizes[] = {0, 1, 4096, ((size_t)2 << 20) - 1, (size_t)2 << 20, ((size_t)5 << 20) + 64};
    zn_rt_pages p = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CU_ASSERT_EQUAL_FATAL(zn_rt_pages_get(&p, sizes[i]), 0);
        size_t last = sizes[i] ? sizes[i] - 1 : 0;
        CU_ASSERT_EQUAL(p.at[0] | p.at[last], 0);
        p.at[0] = p.at[last] = 1;
        CU_ASSERT_EQUAL((uintptr_t)p.at % (sizes[i] >= (size_t)2 << 20 ? (size_t)2 << 20 : 4096), 0);
        zn_rt_pages_free(&p);
        CU_ASSERT_PTR_NULL(p.map);
    }
    zn_rt_pages_free(&p);
    CU_ASSERT_EQUAL(zn_rt_pages_get(&p, SIZE_MAX), -1);
    CU_ASSERT_EQUAL(zn_rt_pages_get(&p, SIZE_MAX / 2), -1);
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: pool and memory", NULL, NULL);
    CU_add_test(s, "every unit once", every_unit_once);
    CU_add_test(s, "sleepers", sleepers);
    CU_add_test(s, "memory", memory);
    CU_add_test(s, "pages", pages);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
