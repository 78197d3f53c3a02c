/* Broken invariants in several threads at once: one message, one end. */
#include "tests/unit/unit.h"

#include "support/ice.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void *break_one(void *arg) {
    ZN_ICE("thread %d", *(int *)arg);
}

static void threads_end_once(void) {
    enum { THREADS = 16, TIMES = 20 };
    for (int t = 0; t < TIMES; t++) {
        int ends[2], status, n = 0, found = 0;
        char text[4096];
        CU_ASSERT_FATAL(pipe(ends) == 0);
        pid_t pid = fork();
        CU_ASSERT_FATAL(pid >= 0);
        if (pid == 0) {
            pthread_t thread[THREADS];
            int number[THREADS];
            dup2(ends[1], STDERR_FILENO);
            close(ends[0]);
            for (int i = 0; i < THREADS; i++) {
                number[i] = i;
                pthread_create(&thread[i], NULL, break_one, &number[i]);
            }
            pthread_join(thread[0], NULL);
            _exit(1);
        }
        close(ends[1]);
        for (ssize_t r; (r = read(ends[0], text + n, sizeof text - 1 - (size_t)n)) > 0;)
            n += (int)r;
        close(ends[0]);
        text[n] = 0;
        waitpid(pid, &status, 0);
        CU_ASSERT(WIFEXITED(status));
        ZN_EQUAL_INT(WEXITSTATUS(status), 70);
        for (const char *p = text; (p = strstr(p, "internal error")); p++)
            found++;
        ZN_EQUAL_INT(found, 1);
    }
}

#define TESTS(X) X(threads_end_once)
ZN_UNIT_MAIN("ice", TESTS)
