/* The line of progress on a terminal: it fits, so that a refresh leaves nothing behind. */
#include "runtime/report.h"

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a step prints on a terminal of that width; "" where it prints nothing. */
static void show(int width, const char *term, char *out, size_t size) {
    int master = posix_openpt(O_RDWR | O_NOCTTY), n = 0;
    CU_ASSERT_FATAL(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CU_ASSERT_FATAL(slave >= 0);
    CU_ASSERT_EQUAL(ioctl(slave, TIOCSWINSZ, &(struct winsize){.ws_col = (unsigned short)width, .ws_row = 24}), 0);
    pid_t pid = fork();
    if (pid == 0) {
        zn_rt_report r;
        dup2(slave, STDERR_FILENO);
        setenv("TERM", term, 1);
        zn_rt_report_open(&r, ZN_RT_PROGRESS_AUTO, 50);
        zn_rt_report_step(&r, &(zn_rt_progress){.epoch = 3,
                                                .epochs = 30,
                                                .step = 1170,
                                                .steps = 11730,
                                                .mean_loss = 0.4321,
                                                .lr = 0.0987f,
                                                .accuracy = 87.65,
                                                .validation = (double)NAN,
                                                .validation_loss = (double)NAN,
                                                .images_per_second = 9812,
                                                .seconds_left = 3683});
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    close(slave);
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (ssize_t r; n < (int)size - 1 && (r = read(master, out + n, size - 1 - (size_t)n)) > 0;)
        n += (int)r;
    out[n] = 0;
    close(master);
}

static void the_line_fits(void) {
    char text[1024];
    static const int widths[] = {200, 120, 100, 80, 60, 40, 24, 10, 1};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        show(widths[i], "xterm", text, sizeof text);
        CU_ASSERT((int)strlen(text) < widths[i]);
        CU_ASSERT_PTR_NULL(strchr(text, '\n'));
    }
    show(200, "xterm", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "epoch  3/30   step  1170/11730   loss   0.4321   accuracy  87.65 %   lr 0.0987   "
                                 "       9 812 images/s   1:01:23 left");
    show(60, "xterm", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "epoch  3/30   step  1170/11730   loss   0.4321");
}

static void a_dumb_terminal_gets_no_line(void) {
    char text[1024];
    show(120, "dumb", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "");
}

int main(void) {
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: report", NULL, NULL);
    CU_add_test(s, "the line fits", the_line_fits);
    CU_add_test(s, "a dumb terminal gets no line", a_dumb_terminal_gets_no_line);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
