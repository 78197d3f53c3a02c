/* The thread pool (see runtime/pool.h): persistent workers that claim chunks from one atomic counter.
 *
 * A job is published by its ticket: generation in the high half, chunks not yet claimed in the low half. A thread reads
 * the ticket (acquire), then the job's fields, and claims by compare-and-swap while the low half is not 0. Success
 * means that the job was not complete, so its fields, which change only between jobs, when the low half is 0, were
 * those of this job. Hence a worker that wakes late does no harm and parfor waits for chunks, not for threads. The
 * fields are atomics because a late worker may read them while the next job is being written; what it read then is
 * thrown away.
 *
 * Waiting: spin with pause for about 80 microseconds (not at all with more threads than processors), then yield between
 * looks for up to two milliseconds, longer than most jobs: waking a sleeper costs some 50. Then sleep on a condition
 * variable. A sleeper announces itself before it looks at the ticket for the last time, a
 * publisher looks for sleepers after it has written the ticket; both are sequentially consistent, so none is missed. */
#include "runtime/pool.h"

#include "runtime/pages.h"
#include "support/math.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NANOSECONDS = 80000, YIELD_NANOSECONDS = 2000000, CHUNKS_PER_THREAD = 8, LINE = 64 };

typedef struct worker {
    struct zn_rt_pool *pool;
    pthread_t thread;
    char *scratch;
} worker;

struct zn_rt_pool {
    int threads, started;
    bool spin;
    void (*start)(void);
    zn_rt_pages scratch; /* of all threads */
    size_t scratch_each, scratch_all;
    worker worker[ZN_RT_MAX_THREADS]; /* 0 is the caller */

    /* The job. */
    _Alignas(LINE) _Atomic uint64_t ticket;
    _Atomic(zn_rt_work *) work;
    _Atomic(void *) ctx;
    _Atomic int64_t outer, chunk;
    _Atomic uint32_t chunks;
    _Alignas(LINE) atomic_uint left; /* chunks not yet done */

    _Alignas(LINE) atomic_int sleepers;
    atomic_bool caller_sleeps, quit;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
};

static void relax(void) {
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t generation_of(uint64_t ticket) {
    return (uint32_t)(ticket >> 32);
}

/* Claims and runs chunks until there are none; returns the generation in which none were left. */
static uint32_t run_chunks(zn_rt_pool *p, void *scratch) {
    uint64_t ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    for (;;) {
        zn_rt_work *work = atomic_load_explicit(&p->work, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&p->ctx, memory_order_relaxed);
        int64_t outer = atomic_load_explicit(&p->outer, memory_order_relaxed);
        int64_t chunk = atomic_load_explicit(&p->chunk, memory_order_relaxed);
        uint32_t chunks = atomic_load_explicit(&p->chunks, memory_order_relaxed);
        uint32_t unclaimed = (uint32_t)ticket;
        if (unclaimed == 0)
            return generation_of(ticket);
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        int64_t begin = (int64_t)(chunks - unclaimed) * chunk, end = outer - begin < chunk ? outer : begin + chunk;
        work(ctx, begin, end, scratch);
        /* Sequentially consistent: pairs with the caller's announcement that it sleeps. */
        if (atomic_fetch_sub(&p->left, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
        ticket = atomic_load_explicit(&p->ticket, memory_order_acquire);
    }
}

static bool has_news(zn_rt_pool *p, uint32_t seen) {
    return generation_of(atomic_load(&p->ticket)) != seen || atomic_load(&p->quit);
}

static bool no_chunks_left(zn_rt_pool *p, uint32_t unused) {
    (void)unused;
    return atomic_load_explicit(&p->left, memory_order_acquire) == 0;
}

/* Waits awake, for a while: is it so in the end? */
static bool wait_awake(zn_rt_pool *p, bool (*ready)(zn_rt_pool *p, uint32_t arg), uint32_t arg) {
    if (!p->spin)
        return ready(p, arg);
    int64_t start = now(), passed = 0;
    while (passed < YIELD_NANOSECONDS) {
        for (int i = 0; i < 32; i++) {
            if (ready(p, arg))
                return true;
            relax();
        }
        if (passed > SPIN_NANOSECONDS)
            sched_yield();
        passed = now() - start;
    }
    return ready(p, arg);
}

static void wait_for_news(zn_rt_pool *p, uint32_t seen) {
    if (wait_awake(p, has_news, seen))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!has_news(p, seen))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg) {
    worker *w = arg;
    zn_rt_pool *p = w->pool;
    zn_math_flush_denormals();
    if (p->start)
        p->start();
    uint32_t seen = 0;
    for (;;) {
        wait_for_news(p, seen);
        if (atomic_load(&p->quit))
            return NULL;
        seen = run_chunks(p, w->scratch);
    }
}

static void wait_for_chunks(zn_rt_pool *p) {
    if (wait_awake(p, no_chunks_left, 0))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->left) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

void zn_rt_parfor(zn_rt_pool *p, zn_rt_work *work, void *ctx, int64_t outer, int64_t grain) {
    if (outer <= 0)
        return;
    if (grain < 1)
        grain = 1;
    if (p->threads == 1 || outer <= grain) {
        work(ctx, 0, outer, p->worker[0].scratch);
        return;
    }
    /* A multiple of the grain, a few per thread, so that the last ones even out. */
    int64_t grains = (outer - 1) / grain + 1, parts = (int64_t)p->threads * CHUNKS_PER_THREAD;
    int64_t chunk = ((grains - 1) / parts + 1) * grain;
    uint32_t chunks = (uint32_t)((outer - 1) / chunk + 1);
    atomic_store_explicit(&p->work, work, memory_order_relaxed);
    atomic_store_explicit(&p->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&p->outer, outer, memory_order_relaxed);
    atomic_store_explicit(&p->chunk, chunk, memory_order_relaxed);
    atomic_store_explicit(&p->chunks, chunks, memory_order_relaxed);
    atomic_store_explicit(&p->left, chunks, memory_order_relaxed);
    uint32_t generation = generation_of(atomic_load_explicit(&p->ticket, memory_order_relaxed)) + 1;
    atomic_store(&p->ticket, (uint64_t)generation << 32 | chunks);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    run_chunks(p, p->worker[0].scratch);
    wait_for_chunks(p);
}

/* Smallest quota of this group and those above it, in processors; 0 = none. Reads control groups, version 2. */
static int quota_v2(void) {
    char line[512], group[512] = "", path[1200];
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "0::", 3) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(group, sizeof group, "%s", line + 3);
    }
    fclose(f);
    int smallest = 0;
    for (;;) {
        long long quota, period;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(group, "/") == 0 ? "" : group);
        if ((f = fopen(path, "re"))) {
            if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
                long long n = (quota - 1) / period + 1;
                if (n < ZN_RT_MAX_THREADS && (smallest == 0 || n < smallest))
                    smallest = (int)n;
            }
            fclose(f);
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return smallest;
        *slash = '\0';
    }
}

/* The same for version 1. */
static int quota_v1(void) {
    long long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re");
    if (f) {
        if (fscanf(f, "%lld", &quota) != 1)
            quota = 0;
        fclose(f);
    }
    f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re");
    if (f) {
        if (fscanf(f, "%lld", &period) != 1)
            period = 0;
        fclose(f);
    }
    if (quota <= 0 || period <= 0)
        return 0;
    long long n = (quota - 1) / period + 1;
    return n < ZN_RT_MAX_THREADS ? (int)n : 0;
}

int zn_rt_processors(void) {
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1)
        n = 1;
    if (n > ZN_RT_MAX_THREADS)
        n = ZN_RT_MAX_THREADS;
    int quota[2] = {quota_v2(), quota_v1()};
    for (int i = 0; i < 2; i++)
        if (quota[i] > 0 && quota[i] < n)
            n = quota[i];
    return (int)n;
}

static int start_workers(zn_rt_pool *p, zn_rt_error *e) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* workers inherit it: signals go to the caller */
    int code = 0;
    for (int i = 1; i < p->threads && !code; i++) {
        int failed = pthread_create(&p->worker[i].thread, NULL, worker_main, &p->worker[i]);
        if (failed)
            code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot start thread %d of %d: %s", i + 1, p->threads, strerror(failed));
        else
            p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

int zn_rt_pool_open(zn_rt_pool **out, int threads, size_t scratch, void (*start)(void), zn_rt_error *e) {
    const size_t page = 4096;
    *out = NULL;
    zn_rt_pool *p = aligned_alloc(LINE, (sizeof *p + LINE - 1) / LINE * LINE);
    if (!p)
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get %zu bytes for the thread pool", sizeof *p);
    memset(p, 0, sizeof *p);
    p->threads = threads;
    p->spin = threads <= zn_rt_processors();
    p->start = start;
    /* One line more than whole pages, so that threads do not meet in the same sets of the cache. */
    if (scratch > SIZE_MAX / 2 / ZN_RT_MAX_THREADS - 2 * page) {
        free(p);
        return zn_rt_fail(e, ZN_RT_MEMORY, "cannot get %zu bytes of scratch for each thread", scratch);
    }
    p->scratch_each = (scratch + page - 1) / page * page + LINE;
    p->scratch_all = p->scratch_each * (size_t)threads;
    if (zn_rt_pages_get(&p->scratch, p->scratch_all)) {
        int code = zn_rt_fail(e, ZN_RT_MEMORY, "cannot get %zu bytes of scratch (%zu for each of %d threads)",
                              p->scratch_all, p->scratch_each, threads);
        free(p);
        return code;
    }
    for (int i = 0; i < threads; i++) {
        p->worker[i].pool = p;
        p->worker[i].scratch = p->scratch.at + p->scratch_each * (size_t)i;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    p->started = 1;
    zn_math_flush_denormals();
    if (start)
        start();
    int code = start_workers(p, e);
    if (code)
        zn_rt_pool_close(p);
    else
        *out = p;
    return code;
}

void zn_rt_pool_close(zn_rt_pool *p) {
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->quit, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    zn_rt_pages_free(&p->scratch);
    free(p);
}

int zn_rt_pool_threads(const zn_rt_pool *p) {
    return p->threads;
}
size_t zn_rt_pool_scratch(const zn_rt_pool *p) {
    return p->scratch_all;
}
