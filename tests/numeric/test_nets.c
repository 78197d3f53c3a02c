/* Whole training steps of small networks as machine code against the interpreter, bit for bit.
 *
 * usage: test_nets DIR: every DIR/NAME.znet, compiled at -O0, -O1 and -O2 and for narrower vectors. Two steps are run,
 * then one evaluation; losses, right answers and every parameter, statistic and momentum are compared after each. The
 * interpreter runs the program of -O0, and once that of -O2: passes keep bits too.
 * Networks called wino* hold Winograd convolutions, whose order is their own: there the code of -O0 is what all others
 * are compared with, and its first step lies near the interpreter's. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "ir/plan.h"
#include "passes/pass.h"
#include "tests/numeric/harness.h"

enum { STEPS = 2, LEVELS = 3 };

static bool is_wino(const char *path) {
    return !strncmp(strrchr(path, '/') + 1, "wino", 4);
}

/* Keeps every other computed value of @forward: what is fused away without, or computed again. */
static void keep_values(zn_module *m) {
    size_t i = 0;
    for (zn_value *v = zn_func_find(m, "forward")->first; v; v = v->next)
        if (!(zn_op_table[v->op].traits & ZN_T_LEAF) && v->operand[0]->op != ZN_OP_ARG)
            v->keep = i++ % 2;
}

static zn_module *compile(const char *path, const char *text, size_t n, int level, bool keep) {
    zn_diags d = {.path = path, .source = text, .source_len = n};
    zn_frontend_options o = {.dir = "."};
    zn_pass_ctx ctx = {.diags = &d};
    zn_module *m = zn_frontend_compile(text, n, &o, &d);
    if (m) {
        zn_conf_set_str(m, "select.conv", is_wino(path) ? "auto" : "direct", (zn_span){0});
        zn_conf_set_str(m, "select.gemm", "generated", (zn_span){0});
        if (keep)
            keep_values(m);
    }
    for (int i = 0; m && i < ZN_PASS_COUNT; i++)
        if (zn_pass_table[i].level <= level && !zn_pass_table[i].run(m, &ctx)) {
            zn_module_free(m);
            m = NULL;
        }
    if (!m)
        fprintf(stderr, "FAIL %s: %s\n", path, d.first ? d.first->msg : "does not compile");
    zn_diags_free(&d);
    return m;
}

/* States after each step and after the evaluation that follows the last. */
typedef struct trace {
    th_state at[STEPS + 1];
} trace;

static const char *function_of(int i) {
    return i < STEPS ? "train_step" : "eval_step";
}

static th_input *inputs_of(zn_module *m, const char *name) {
    static th_input in[STEPS + 1];
    th_random r = th_random_of(name);
    const zn_func *f = zn_func_find(m, "train_step");
    int64_t classes = 1;
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->op == ZN_OP_CROSS_ENTROPY)
            classes = v->operand[0]->type.dim[1];
    for (int i = 0; i <= STEPS; i++) {
        in[i] = th_input_make(m, &r, classes);
        in[i].position = 17u * (uint32_t)i;
        in[i].lr = 0.1f / (float)(i + 1);
    }
    return in;
}

/* A copy of s, with its results, which s gives up. */
static th_state taken(zn_module *m, th_state *s) {
    th_state copy = th_state_copy(m, s);
    copy.nresult = s->nresult;
    copy.result = s->result;
    copy.elements = s->elements;
    s->result = NULL;
    s->elements = NULL;
    s->nresult = 0;
    return copy;
}

static trace interpret(zn_module *m, const th_input *in) {
    trace t;
    th_random unused = {1};
    th_state s = th_state_make(m, &unused, true, in->seed);
    for (int i = 0; i <= STEPS; i++) {
        th_interpret(m, function_of(i), &in[i], &s);
        t.at[i] = taken(m, &s);
    }
    th_state_free(&s);
    return t;
}

/* What code at -O0 computes. */
static trace record(zn_module *m, const th_input *in) {
    trace t;
    th_random r = {1}, unused = {1};
    th_code code = th_compile(m, "native", false);
    th_state s = th_state_make(m, &unused, true, in->seed);
    for (int i = 0; i <= STEPS; i++) {
        th_execute(&code, function_of(i), &in[i], &s, &r);
        t.at[i] = taken(m, &s);
    }
    th_state_free(&s);
    th_code_free(&code);
    return t;
}

static bool has_winograd(const zn_module *m) {
    int convs = 0, all = 0;
    for (const zn_value *v = zn_func_find(m, "train_step")->first; v; v = v->next) {
        const char *algorithm = zn_conv_algorithm(v);
        all += algorithm != NULL;
        convs += algorithm && !strcmp(algorithm, "winograd");
    }
    return convs >= 3 && convs < all;
}

static void trace_free(trace *t) {
    for (int i = 0; i <= STEPS; i++)
        th_state_free(&t->at[i]);
}

static bool same_trace(const char *what, zn_module *m, const trace *a, const trace *b) {
    bool ok = true;
    for (int i = 0; i <= STEPS; i++) {
        char step[300];
        snprintf(step, sizeof step, "%s, %s %d", what, function_of(i), i);
        ok = th_same_state(step, m, &a->at[i], &b->at[i]) && ok;
    }
    return ok;
}

static bool execute(const char *what, zn_module *m, const char *march, bool in_place, const th_input *in,
                    const trace *expected) {
    th_random r = th_random_of(what), unused = {1};
    th_code code = th_compile(m, march, in_place);
    th_state s = th_state_make(m, &unused, true, in->seed);
    bool ok = true;
    for (int i = 0; i <= STEPS && ok; i++) {
        char step[300];
        snprintf(step, sizeof step, "%s, %s %d", what, function_of(i), i);
        ok = th_execute(&code, function_of(i), &in[i], &s, &r);
        ok = th_same_state(step, m, &expected->at[i], &s) && ok;
    }
    th_state_free(&s);
    th_code_free(&code);
    return ok;
}

/* Training must have moved something, or nothing was compared. */
static bool moved(zn_module *m, const trace *t, const char *name) {
    size_t i = 0;
    bool any = false;
    for (const zn_param *p = m->params; p; p = p->next, i++)
        any = any || (zn_role_trained(p->role) && memcmp(t->at[0].param[i], t->at[1].param[i],
                                                         (size_t)zn_type_count(&p->type) * sizeof(float)) != 0);
    if (!any)
        fprintf(stderr, "FAIL %s: a step of training changed no parameter\n", name);
    return any;
}

static bool check(const char *path, const char *file, bool keep) {
    static const char *const narrow[] = {"x86-64-v3", "x86-64-v4"};
    size_t n;
    char *text = th_read(path, &n), name[200];
    snprintf(name, sizeof name, "%s%s", file, keep ? ", values kept" : "");
    zn_module *level[LEVELS];
    for (int l = 0; l < LEVELS; l++)
        if (!(level[l] = compile(path, text, n, l, keep)))
            return false;
    th_input *in = inputs_of(level[0], name);
    trace expected = interpret(level[0], in), again = interpret(level[LEVELS - 1], in);
    char what[256];
    snprintf(what, sizeof what, "%s (interpreter, -O0 and -O2)", name);
    /* losses, and right answers where labels are classes */
    size_t least = zn_func_find(level[0], "train_step")->results.n;
    bool ok = keep ? expected.at[0].nresult > least + 2 : expected.at[0].nresult == least;
    if (!ok)
        fprintf(stderr, "FAIL %s: %zu results and kept values\n", name, expected.at[0].nresult);
    ok = moved(level[0], &expected, name) && ok && same_trace(what, level[0], &expected, &again);
    if (is_wino(path)) {
        trace code = record(level[0], in);
        snprintf(what, sizeof what, "%s (near the interpreter)", name);
        ok = th_near_state(what, level[0], &expected.at[0], &code.at[0], 1e-4) && ok;
        if (!has_winograd(level[0])) {
            fprintf(stderr, "FAIL %s: not some, but not all, of its convolutions are Winograd's\n", name);
            ok = false;
        }
        trace_free(&expected);
        expected = code;
    }
    for (int l = 0; l < LEVELS; l++) {
        snprintf(what, sizeof what, "%s (-O%d)", name, l);
        ok = execute(what, level[l], "native", l == LEVELS - 1, in, &expected) && ok;
    }
    for (size_t i = 0; i < 2 && !keep; i++)
        if (th_march_runs(narrow[i])) {
            snprintf(what, sizeof what, "%s (-O2, %s)", name, narrow[i]);
            ok = execute(what, level[LEVELS - 1], narrow[i], true, in, &expected) && ok;
        }
    trace_free(&expected);
    trace_free(&again);
    for (int i = 0; i <= STEPS; i++)
        th_input_free(&in[i]);
    for (int l = 0; l < LEVELS; l++)
        zn_module_free(level[l]);
    free(text);
    return ok;
}

int main(int argc, char **argv) {
    char pattern[4096];
    size_t bad = 0;
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/*.znet", argc > 1 ? argv[1] : ".");
    if (glob(pattern, 0, NULL, &g)) {
        fprintf(stderr, "no file is %s\n", pattern);
        return 1;
    }
    for (size_t i = 0; i < g.gl_pathc; i++)
        for (int keep = 0; keep < 2; keep++)
            bad += !check(g.gl_pathv[i], strrchr(g.gl_pathv[i], '/') + 1, keep);
    printf("%zu networks, %zu wrong\n", g.gl_pathc, bad);
    globfree(&g);
    return bad != 0;
}
