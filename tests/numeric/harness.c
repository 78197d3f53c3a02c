/* See harness.h. Spaces of memory end at an inaccessible page and begin behind a band of a pattern, so that a kernel
 * that reads or writes past the end stops the program, and one that writes before the beginning is found afterwards. */
#include "tests/numeric/harness.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/abi.h"
#include "support/math.h"

static const char *now_running = "?";

_Noreturn static void stop(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s: %s\n", now_running, what, detail);
    exit(1);
}

static void *get(size_t n) {
    void *p = calloc(n ? n : 1, 1);
    if (!p)
        stop("memory", "out of memory");
    return p;
}

/* ---- random numbers: xorshift64* */

th_random th_random_of(const char *name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return (th_random){h ? h : 1};
}

uint32_t th_random_u32(th_random *r) {
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return (uint32_t)(x * 0x2545F4914F6CDD1Du >> 32);
}

double th_random_range(th_random *r, double lo, double hi) {
    return lo + (hi - lo) * ((double)th_random_u32(r) / 4294967296.0);
}

int64_t th_random_below(th_random *r, int64_t n) {
    return (int64_t)(th_random_u32(r) % (uint64_t)n);
}

static float ordinary(th_random *r) {
    uint32_t kind = th_random_u32(r) % 32;
    return kind == 0 ? 0.0f : kind == 1 ? -0.0f : (float)th_random_range(r, -1, 1);
}

static float special(th_random *r, bool denormals) {
    static const float rare[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f, -1e-40f};
    uint32_t kind = th_random_u32(r) % 32;
    return kind < (denormals ? 7 : 5) ? rare[kind] : kind < 16 ? (float)((int)(kind % 3) - 1) * 0.5f : ordinary(r);
}

/* ---- modules */

char *th_read(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    now_running = path;
    if (!f)
        stop("cannot open", path);
    size_t cap = 4096;
    char *text = get(cap);
    *n = 0;
    for (size_t k; (k = fread(text + *n, 1, cap - *n - 1, f)) > 0;) {
        *n += k;
        if (cap - *n < 2) {
            cap *= 2;
            text = realloc(text, cap);
            if (!text)
                stop("memory", "out of memory");
        }
    }
    text[*n] = 0;
    fclose(f);
    return text;
}

static zn_module *parse(const char *name, const char *text, size_t n) {
    zn_diags d = {.path = name, .source = text, .source_len = n};
    zn_module *m = zn_module_parse(text, n, &d);
    if (!m)
        stop(name, d.first ? d.first->msg : "cannot be read");
    zn_diags_free(&d);
    return m;
}

zn_module *th_parse(const char *name, const char *text, size_t n) {
    zn_module *m = parse(name, text, n);
    if (!zn_func_find(m, "train_step") || zn_func_find(m, "eval_step"))
        return m;
    zn_buf b = {0};
    zn_module_print(m, &b);
    zn_module_free(m);
    const char *from = strstr(zn_buf_str(&b), "func @train_step("), *end = strstr(from, "\n}\n");
    zn_buf all = {0};
    zn_buf_puts(&all, zn_buf_str(&b));
    zn_buf_puts(&all, "func @eval_step(");
    zn_buf_add(&all, from + strlen("func @train_step("), (size_t)(end + 3 - from) - strlen("func @train_step("));
    m = parse(name, zn_buf_str(&all), all.n);
    zn_buf_free(&b);
    zn_buf_free(&all);
    return m;
}

zn_module *th_copy(zn_module *m) {
    zn_buf b = {0};
    zn_module_print(m, &b);
    zn_module *copy = parse(m->name, zn_buf_str(&b), b.n);
    zn_buf_free(&b);
    return copy;
}

/* ---- inputs and state */

static const zn_type *argument(zn_module *m, size_t i) {
    zn_func *f = zn_func_find(m, "train_step");
    return f && i < f->args.n ? &f->args.at[i]->type : NULL;
}

th_input th_input_make(zn_module *m, th_random *r, int64_t classes) {
    const zn_type *image = argument(m, 0), *labels = argument(m, 1);
    if (!image || !labels)
        stop(m->name, "@train_step takes an image and labels");
    th_input in = {
        .lr = 0.1f, .correction1 = 1.75f, .correction2 = 3.5f, .epoch = 3, .position = 1000, .seed = 0x123456789ABCu};
    int64_t n = zn_type_count(image), k = zn_type_count(labels);
    in.image = get((size_t)n * sizeof *in.image);
    in.labels = get((size_t)k * sizeof *in.labels);
    for (int64_t i = 0; i < n; i++)
        in.image[i] = ordinary(r);
    for (int64_t i = 0; i < k; i++) {
        float target = ordinary(r);
        in.labels[i] = (int32_t)th_random_below(r, classes);
        if (labels->dtype == ZN_F32)
            memcpy(&in.labels[i], &target, sizeof target);
    }
    return in;
}

void th_input_free(th_input *in) {
    free(in->image);
    free(in->labels);
}

void th_fill(const zn_param *p, th_random *r, float *out) {
    bool special_too = !strncmp(p->name, "special", 7), rare = special_too || !strncmp(p->name, "rare", 4);
    for (int64_t i = 0, n = zn_type_count(&p->type); i < n; i++)
        out[i] = p->role == ZN_ROLE_RUNNING_VAR ? (float)th_random_range(r, 0.1, 1.1)
                 : rare                         ? special(r, special_too)
                                                : ordinary(r);
}

static size_t count_params(const zn_module *m) {
    size_t n = 0;
    for (const zn_param *p = m->params; p; p = p->next)
        n++;
    return n;
}

th_state th_state_make(zn_module *m, th_random *r, bool by_formula, uint64_t seed) {
    th_state s = {.nparam = count_params(m)};
    s.param = get(s.nparam * sizeof *s.param);
    size_t i = 0;
    for (const zn_param *p = m->params; p; p = p->next, i++) {
        s.param[i] = get((size_t)zn_type_count(&p->type) * sizeof(float));
        if (by_formula)
            zn_formula_eval(&p->init, p->type.rank, p->type.dim, p->name, seed, s.param[i]);
        else
            th_fill(p, r, s.param[i]);
    }
    return s;
}

th_state th_state_copy(zn_module *m, const th_state *from) {
    th_state s = {.nparam = from->nparam};
    s.param = get(s.nparam * sizeof *s.param);
    size_t i = 0;
    for (const zn_param *p = m->params; p; p = p->next, i++) {
        size_t bytes = (size_t)zn_type_count(&p->type) * sizeof(float);
        s.param[i] = get(bytes);
        memcpy(s.param[i], from->param[i], bytes);
    }
    return s;
}

static void free_results(th_state *s) {
    for (size_t i = 0; i < s->nresult; i++)
        free(s->result[i]);
    free(s->result);
    free(s->elements);
    s->result = NULL;
    s->elements = NULL;
    s->nresult = 0;
}

/* Takes data, which is on the heap. */
static void add_result(th_state *s, const zn_type *type, float *data) {
    s->result = realloc(s->result, (s->nresult + 1) * sizeof *s->result);
    s->elements = realloc(s->elements, (s->nresult + 1) * sizeof *s->elements);
    if (!s->result || !s->elements)
        stop("results", "out of memory");
    s->result[s->nresult] = data;
    s->elements[s->nresult++] = zn_type_count(type);
}

static void add_copy(th_state *s, const zn_value *v) {
    size_t bytes = (size_t)zn_type_count(&v->type) * sizeof(float);
    float *data = get(bytes);
    memcpy(data, zn_interp_value(v), bytes);
    add_result(s, &v->type, data);
}

void th_state_free(th_state *s) {
    free_results(s);
    for (size_t i = 0; i < s->nparam; i++)
        free(s->param[i]);
    free(s->param);
}

/* ---- by the interpreter */

void th_interpret(zn_module *m, const char *name, const th_input *in, th_state *s) {
    zn_interp it = {.m = m,
                    .param = s->param,
                    .lr = in->lr,
                    .correction1 = in->correction1,
                    .correction2 = in->correction2,
                    .epoch = in->epoch,
                    .position = in->position,
                    .seed = in->seed};
    zn_func *f = zn_func_find(m, name);
    if (!f)
        stop(m->name, name);
    const void *args[] = {in->image, in->labels};
    free_results(s);
    if (!zn_interp_run(&it, f, args))
        stop(m->name, "the interpreter refuses");
    for (size_t i = 0; i < f->results.n; i++)
        add_copy(s, f->results.at[i]);
    for (const zn_value *v = f->first; v; v = v->next)
        if (v->keep)
            add_copy(s, v);
    zn_interp_release(f);
}

/* ---- as code */

bool th_march_runs(const char *march) {
    if (!strcmp(march, "x86-64-v4"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return true;
}

th_code th_compile(zn_module *m, const char *march, bool in_place) {
    th_code c = {0};
    zn_diags d = {.path = m->name, .source = ""};
    char *error = NULL;
    zn_build_info info = {
        .source_path = "test.znet", .source = "", .source_sha256 = "", .overrides = "{}", .versions = "{}"};
    bool narrow = !strcmp(march, TH_NARROW);
    if (!zn_target_find(NULL, narrow ? "native" : march, &info.target))
        stop(march, "unknown target");
    if (narrow) {
        info.target.lanes = 4;
        info.target.registers = 32;
    }
    c.plan = zn_plan_make(m, (zn_plan_options){.in_place = in_place}, &d);
    if (!c.plan)
        stop(m->name, "no plan");
    if (!zn_backend_compile(c.plan, &info, ZN_CODE_ALL, 1, &c.objects, &error))
        stop("code generation", error);
    c.jit = zn_jit_load(&c.objects, NULL, 0, &c.desc, &error);
    if (!c.jit)
        stop("JIT", error);
    zn_target_free(&info.target);
    zn_diags_free(&d);
    return c;
}

void th_code_free(th_code *c) {
    zn_jit_free(c->jit);
    zn_objects_free(&c->objects);
    zn_plan_free(c->plan);
}

enum { BAND = 4096, PATTERN = 0xA5 };

typedef struct space {
    char *map, *base;
    size_t map_size, size, padded; /* as asked; up to the inaccessible page */
} space;

static space space_open(uint64_t size, int fill) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    space s = {.size = size, .padded = (size + ZN_ALIGN - 1) / ZN_ALIGN * ZN_ALIGN};
    s.map_size = BAND + (s.padded + page - 1) / page * page + page;
    s.map = mmap(NULL, s.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s.map == MAP_FAILED || mprotect(s.map + s.map_size - page, page, PROT_NONE))
        stop("memory", "mmap");
    s.base = s.map + s.map_size - page - s.padded;
    memset(s.map, PATTERN, (size_t)(s.base - s.map));
    memset(s.base, fill, s.size);
    memset(s.base + s.size, PATTERN, s.padded - s.size);
    return s;
}

static bool space_close(space *s, const char *what) {
    bool ok = true;
    for (const char *p = s->map; ok && p < s->base; p++)
        ok = *p == (char)PATTERN;
    for (const char *p = s->base + s->size; ok && p < s->base + s->padded; p++)
        ok = *p == (char)PATTERN;
    if (!ok)
        fprintf(stderr, "%s: a kernel wrote outside of %s\n", now_running, what);
    munmap(s->map, s->map_size);
    return ok;
}

static void put_batch(const zn_input_desc *d, const th_input *in, char *base) {
    float *image = (float *)(void *)(base + d->image) + d->first;
    const float *from = in->image;
    memset(base, 0, d->size);
    for (int64_t n = 0; n < d->batch; n++)
        for (int64_t y = 0; y < d->height; y++, from += d->width * d->channels)
            memcpy(image + (uint64_t)n * d->image_pitch + (uint64_t)y * d->pitch, from,
                   (size_t)(d->width * d->channels) * sizeof *from);
    memcpy(base + d->labels, in->labels, (size_t)d->batch * (d->targets ? d->targets : 1) * sizeof *in->labels);
}

/* Cuts [0, outer) at random, runs the pieces in random order. */
static void run_phase(const zn_step *step, const zn_args *args, void *scratch, th_random *r) {
    enum { MOST = 64 };
    int64_t outer = step->phase->outer, cut[MOST + 1] = {0}, n = 0;
    for (int64_t at = 0; at < outer; n++) {
        int64_t left = outer - at, longest = outer / 8 > 4 ? outer / 8 : 4;
        at += n == MOST - 1 ? left : 1 + th_random_below(r, left < longest ? left : longest);
        cut[n + 1] = at;
    }
    int64_t order[MOST];
    for (int64_t i = 0; i < n; i++) {
        int64_t j = th_random_below(r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int64_t i = 0; i < n; i++)
        step->phase->kernel(step, args, cut[order[i]], cut[order[i] + 1], scratch);
}

static float *gather(const zn_buffer *b, const char *base) {
    const zn_type *t = &b->type;
    int64_t images = t->rank == 4 ? t->dim[0] : 1, rows = t->rank == 4 ? t->dim[1] : 1, n = zn_type_count(t),
            row = n / images / rows;
    float *out = get((size_t)n * sizeof *out), *at = out;
    const float *from = (const float *)(const void *)base;
    for (int64_t i = 0; i < images; i++)
        for (int64_t y = 0; y < rows; y++, at += row)
            memcpy(at,
                   t->rank == 4 ? from + zn_layout_first(t, &b->layout) + i * zn_layout_image(t, &b->layout) +
                                      y * zn_layout_row(t, &b->layout)
                                : from,
                   (size_t)row * sizeof *at);
    return out;
}

static void on_fault(int sig) {
    (void)sig;
    static const char text[] = ": a kernel touched memory outside of its space\n";
    ssize_t n = write(2, now_running, strlen(now_running));
    n += write(2, text, sizeof text - 1);
    _exit(n > 0 ? 1 : 2);
}

bool th_execute(const th_code *c, const char *name, const th_input *in, th_state *s, th_random *r) {
    const zn_program_plan *pp = zn_plan_program(c->plan, name);
    const zn_program *p = NULL;
    for (uint64_t k = 0; k < c->desc->nprogram; k++)
        if (!strcmp(c->desc->program[k].name, name))
            p = &c->desc->program[k];
    if (!p || !pp)
        stop("descriptor", "a program is missing");
    space space_of[ZN_SPACE_COUNT] = {space_open(c->desc->param_size, 0xFF), space_open(p->arena_size, 0xFF),
                                      space_open(c->desc->input.size, 0xFF)};
    space scratch = space_open(p->scratch_size, 0xFF);
    zn_args args = {.lr = in->lr,
                    .correction1 = in->correction1,
                    .correction2 = in->correction2,
                    .epoch = in->epoch,
                    .position = in->position,
                    .count = (uint32_t)c->desc->input.batch,
                    .seed_lo = (uint32_t)in->seed,
                    .seed_hi = (uint32_t)(in->seed >> 32)};
    size_t i = 0;
    char *params = space_of[ZN_SPACE_PARAM].base;
    now_running = c->desc->name;
    signal(SIGSEGV, on_fault);
    if (c->desc->ntensor != s->nparam)
        stop("descriptor", "another number of parameters");
    for (const zn_param *q = c->plan->m->params; q; q = q->next, i++) {
        if (strcmp(q->name, c->desc->tensor[i].name))
            stop("descriptor", "parameters in another order");
        memcpy(params + c->desc->tensor[i].offset, s->param[i], (size_t)zn_type_count(&q->type) * sizeof(float));
    }
    put_batch(&c->desc->input, in, space_of[ZN_SPACE_BATCH].base);
    zn_math_flush_denormals();
    for (uint64_t k = 0; k < p->nphase; k++) {
        const zn_phase *phase = &p->phase[k];
        void **buf = get((size_t)phase->nbuf * sizeof *buf);
        for (uint64_t j = 0; j < phase->nbuf; j++)
            buf[j] = space_of[phase->buf[j].space].base + phase->buf[j].offset;
        run_phase(&(zn_step){buf, phase}, &args, scratch.base, r);
        free(buf);
    }
    i = 0;
    for (const zn_param *q = c->plan->m->params; q; q = q->next, i++)
        memcpy(s->param[i], params + c->desc->tensor[i].offset, (size_t)zn_type_count(&q->type) * sizeof(float));
    free_results(s);
    if (pp->loss >= 0) {
        const zn_buffer *loss = &pp->buffers.at[pp->loss];
        add_result(s, &loss->type, gather(loss, space_of[p->loss.space].base + p->loss.offset));
        const zn_buffer *correct = pp->correct >= 0 ? &pp->buffers.at[pp->correct] : NULL;
        if (correct)
            add_result(s, &correct->type, gather(correct, space_of[p->correct.space].base + p->correct.offset));
    }
    for (uint64_t k = 0; k < p->nkept; k++) {
        const zn_buffer *b = &pp->buffers.at[pp->kept.at[k].buffer];
        add_result(s, &b->type, gather(b, space_of[p->kept[k].at.space].base + p->kept[k].at.offset));
    }
    bool ok = space_close(&space_of[ZN_SPACE_PARAM], "the parameters");
    ok = space_close(&space_of[ZN_SPACE_ARENA], "the arena") && ok;
    ok = space_close(&space_of[ZN_SPACE_BATCH], "the batch") && ok;
    return space_close(&scratch, "the scratch memory") && ok;
}

/* ---- comparing */

bool th_same(const char *what, const char *item, const float *expected, const float *actual, int64_t n) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, &expected[i], sizeof a);
        memcpy(&b, &actual[i], sizeof b);
        if (a == b || (isnan(expected[i]) && isnan(actual[i])))
            continue;
        if (wrong++ < 4)
            fprintf(stderr, "FAIL %s: %s[%lld]: expected %.9g (%08x), got %.9g (%08x)\n", what, item, (long long)i,
                    (double)expected[i], a, (double)actual[i], b);
    }
    if (wrong > 4)
        fprintf(stderr, "FAIL %s: %s: %lld of %lld elements differ\n", what, item, (long long)wrong, (long long)n);
    return wrong == 0;
}

static const char *result_name(size_t i) {
    static char name[32];
    snprintf(name, sizeof name, i < 2 ? "result %zu" : "kept value %zu", i < 2 ? i : i - 2);
    return name;
}

/* How many can be compared; all, if the two have the same. */
static size_t count_results(const char *what, const th_state *expected, const th_state *actual) {
    if (expected->nresult == actual->nresult)
        return expected->nresult;
    fprintf(stderr, "FAIL %s: %zu results, expected %zu\n", what, actual->nresult, expected->nresult);
    return 0;
}

bool th_same_state(const char *what, zn_module *m, const th_state *expected, const th_state *actual) {
    bool ok = true;
    size_t i = 0;
    for (const zn_param *p = m->params; p; p = p->next, i++)
        ok = th_same(what, p->name, expected->param[i], actual->param[i], zn_type_count(&p->type)) && ok;
    for (i = 0; i < count_results(what, expected, actual); i++)
        ok = th_same(what, result_name(i), expected->result[i], actual->result[i], expected->elements[i]) && ok;
    return ok && i == expected->nresult;
}

static bool near_values(const char *what, const char *item, const float *expected, const float *actual, int64_t n,
                        double error) {
    double largest = 0, worst = 0;
    int64_t where = 0;
    for (int64_t i = 0; i < n && !isnan(worst); i++) {
        double d = fabs((double)expected[i] - (double)actual[i]);
        largest = fabs((double)expected[i]) > largest ? fabs((double)expected[i]) : largest;
        if (!(d <= worst)) {
            worst = d;
            where = i;
        }
    }
    if (worst <= error * largest)
        return true;
    fprintf(stderr, "FAIL %s: %s[%lld]: expected %.9g, got %.9g; differs by %.3g of the largest element\n", what, item,
            (long long)where, (double)expected[where], (double)actual[where], worst / largest);
    return false;
}

bool th_near_state(const char *what, zn_module *m, const th_state *expected, const th_state *actual, double error) {
    bool ok = true;
    size_t i = 0;
    for (const zn_param *p = m->params; p; p = p->next, i++)
        ok = near_values(what, p->name, expected->param[i], actual->param[i], zn_type_count(&p->type), error) && ok;
    for (i = 0; i < count_results(what, expected, actual); i++)
        ok = near_values(what, result_name(i), expected->result[i], actual->result[i], expected->elements[i], error) &&
             ok;
    return ok && i == expected->nresult;
}
