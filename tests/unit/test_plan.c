/* The plan of whole networks: memory that is live is not shared, in place only where nothing reads the old value any
 * more, halos where convolutions look, and parameters written only after the losses are checked. */
#include "tests/unit/unit.h"

#include "passes/plan.h"
#include "tests/unit/compile.h"

static const zn_program_plan *train_of(const zn_plan *p) {
    return zn_plan_program(p, "train_step");
}

static int root(const zn_program_plan *p, int b) {
    while (p->buffers.at[b].same_as >= 0)
        b = p->buffers.at[b].same_as;
    return b;
}

static bool derives(const zn_program_plan *p, int b, int from) {
    for (; b >= 0; b = p->buffers.at[b].same_as)
        if (b == from)
            return true;
    return false;
}

static void live_buffers_are_apart(const zn_program_plan *p) {
    int64_t end = 0;
    for (size_t i = 0; i < p->buffers.n; i++) {
        const zn_buffer *a = &p->buffers.at[i];
        if (a->place != ZN_PLACE_ARENA)
            continue;
        CU_ASSERT_TRUE(a->offset >= 0 && a->size > 0 && a->offset + a->size <= p->arena_size);
        if (a->same_as >= 0) { /* inside what it shares */
            const zn_buffer *r = &p->buffers.at[root(p, (int)i)];
            CU_ASSERT_TRUE(a->offset >= r->offset && a->offset + a->size <= r->offset + r->size);
            continue;
        }
        end = a->offset + a->size > end ? a->offset + a->size : end;
        CU_ASSERT_EQUAL(a->offset % 64, 0);
        CU_ASSERT_TRUE(a->offset >= p->guard);
        CU_ASSERT_TRUE(a->first >= 0 && a->first <= a->last);
        CU_ASSERT_EQUAL(a->size, zn_layout_bytes(&a->type, &a->layout));
        for (size_t j = 0; j < i; j++) {
            const zn_buffer *b = &p->buffers.at[j];
            if (b->place != ZN_PLACE_ARENA || b->same_as >= 0 || a->first > b->last || b->first > a->last)
                continue;
            bool apart = a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
            if (!apart)
                printf("@%s: buffers %zu (%s) and %zu (%s) share memory while both live\n", p->func->name, i, a->what,
                       j, b->what);
            CU_ASSERT_TRUE(apart);
        }
    }
    CU_ASSERT_TRUE(end + p->guard <= p->arena_size && p->arena_size < end + p->guard + 64);
    CU_ASSERT_TRUE(p->live_peak <= p->arena_size && p->live_peak > 0);
}

/* Whatever a phase touches lives then; what it reads was written before. */
static void touched_means_live(const zn_program_plan *p) {
    for (size_t i = 0; i < p->phases.n; i++) {
        const zn_phase_plan *ph = &p->phases.at[i];
        CU_ASSERT_EQUAL(ph->buffers.n, ph->kernel->bindings.n);
        CU_ASSERT_TRUE(ph->outer >= 1 && ph->grain >= 1);
        for (size_t j = 0; j < ph->buffers.n; j++) {
            const zn_buffer *b = &p->buffers.at[root(p, ph->buffers.at[j])];
            if (b->place != ZN_PLACE_ARENA)
                continue;
            CU_ASSERT_TRUE(b->first <= (int)i && (int)i <= b->last);
            if (ph->kernel->bindings.at[j].kind == ZN_BIND_IN)
                CU_ASSERT_TRUE(b->first < (int)i);
        }
    }
}

/* A result that takes an operand's memory: a map, elements of the same place, and no later reader of the operand. */
static int in_place_is_legal(const zn_program_plan *p) {
    int shared = 0;
    for (size_t i = 0; i < p->phases.n; i++) {
        const zn_phase_plan *ph = &p->phases.at[i];
        for (size_t o = 0; o < ph->buffers.n; o++) {
            int out = ph->buffers.at[o];
            const zn_buffer *b = &p->buffers.at[out];
            if (ph->kernel->bindings.at[o].kind != ZN_BIND_OUT || b->place != ZN_PLACE_ARENA || b->same_as < 0)
                continue;
            const zn_buffer *old = &p->buffers.at[b->same_as];
            shared++;
            ZN_EQUAL_INT(ph->kernel->family, ZN_KERNEL_MAP);
            CU_ASSERT_TRUE(zn_type_equal(&b->type, &old->type) && !memcmp(&b->layout, &old->layout, sizeof b->layout));
            for (size_t j = i + 1; j < p->phases.n; j++)
                for (size_t k = 0; k < p->phases.at[j].buffers.n; k++) {
                    int x = p->phases.at[j].buffers.at[k];
                    if (p->buffers.at[x].place == ZN_PLACE_ARENA && root(p, x) == root(p, out) &&
                        p->phases.at[j].kernel->bindings.at[k].kind == ZN_BIND_IN)
                        CU_ASSERT_TRUE(derives(p, x, out));
                }
        }
    }
    return shared;
}

static void forward_writes_no_parameter(const zn_program_plan *p) {
    CU_ASSERT_TRUE(p->nforward > 0 && p->nforward <= (int)p->phases.n);
    for (int i = 0; i < p->nforward; i++) {
        const zn_phase_plan *ph = &p->phases.at[i];
        for (size_t j = 0; j < ph->buffers.n; j++)
            if (ph->kernel->bindings.at[j].kind != ZN_BIND_IN)
                CU_ASSERT_EQUAL(p->buffers.at[ph->buffers.at[j]].place, ZN_PLACE_ARENA);
    }
    /* the losses are there by then */
    int written = -1;
    for (size_t i = 0; i < p->phases.n; i++)
        for (size_t j = 0; j < p->phases.at[i].buffers.n; j++)
            if (p->phases.at[i].kernel->bindings.at[j].kind != ZN_BIND_IN && p->phases.at[i].buffers.at[j] == p->loss)
                written = (int)i;
    CU_ASSERT_TRUE(written >= 0 && written < p->nforward);
}

/* A convolution's operand carries as many rows and columns of zeros as its padding asks for. */
static int halos_suffice(const zn_program_plan *p) {
    int checked = 0;
    for (size_t i = 0; i < p->phases.n; i++) {
        const zn_phase_plan *ph = &p->phases.at[i];
        const zn_value *v = ph->group->anchor;
        const zn_value *from = v->noperands ? zn_group_loaded(ph->group) : NULL;
        if (from && from != v->operand[0]) { /* borders are masked: what is read beyond them must be memory */
            const zn_type *t = &from->type;
            CU_ASSERT_TRUE(p->guard >= (t->dim[2] + 1) * t->dim[3] * 4);
        }
        if (ph->kernel->family != ZN_KERNEL_CONV)
            continue;
        const int64_t *pad = zn_attr_of(v, CONV, pad)->v;
        for (size_t j = 0; j < ph->buffers.n; j++) {
            const zn_buffer *b = &p->buffers.at[ph->buffers.at[j]];
            const zn_binding *at = &ph->kernel->bindings.at[j];
            if (at->kind != ZN_BIND_IN || at->value != ph->kernel->group->anchor->operand[0])
                continue;
            checked++;
            CU_ASSERT_TRUE(b->layout.top >= pad[0] && b->layout.left >= pad[1]);
            const zn_type *w = &v->operand[1]->type;
            const int64_t *s = zn_attr_of(v, CONV, stride)->v;
            CU_ASSERT_TRUE((v->type.dim[1] - 1) * s[0] + w->dim[0] - pad[0] <= b->type.dim[1] + b->layout.bottom);
            CU_ASSERT_TRUE((v->type.dim[2] - 1) * s[1] + w->dim[1] - pad[1] <= b->type.dim[2] + b->layout.right);
        }
    }
    return checked;
}

static void parameters_are_apart(const zn_plan *p) {
    int64_t end = 0;
    size_t i = 0;
    for (const zn_param *q = p->m->params; q; q = q->next, i++) {
        CU_ASSERT_TRUE(p->param_offset[i] >= end && p->param_offset[i] % 64 == 0);
        end = p->param_offset[i] + zn_type_count(&q->type) * 4;
    }
    CU_ASSERT_TRUE(end <= p->param_size);
    CU_ASSERT_TRUE(p->label_offset >= zn_layout_bytes(&p->programs.at[0]->func->args.at[0]->type, &p->image_layout));
}

static const char *const files[] = {"examples/digits.znet",
                                    "examples/resnet20.znet",
                                    "examples/resnet20_pre.znet",
                                    "examples/resnet18.znet",
                                    "examples/resnet50.znet",
                                    "examples/mnist_mlp.znet",
                                    "tests/numeric/nets/conv_zero.znet",
                                    "tests/numeric/nets/conv_kaiming.znet",
                                    "tests/numeric/nets/mlp.znet",
                                    "tests/numeric/nets/pre_activation.znet"};
enum { FILES = sizeof files / sizeof *files };

static void every_plan_is_sound(void) {
    int shared = 0, halos = 0;
    for (int i = 0; i < FILES; i++)
        for (int level = 0; level <= 2; level += 2) {
            zn_module *m = tc_compile_file(files[i], NULL, level, NULL);
            zn_diags d = {.path = files[i], .source = ""};
            zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = level == 2}, &d);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            const zn_program_plan *programs[2] = {train_of(p), zn_plan_program(p, "eval_step")};
            for (int k = 0; k < 2; k++) {
                live_buffers_are_apart(programs[k]);
                touched_means_live(programs[k]);
                forward_writes_no_parameter(programs[k]);
                int n = in_place_is_legal(programs[k]);
                if (level == 0)
                    ZN_EQUAL_INT(n, 0);
                shared += n;
                halos += halos_suffice(programs[k]);
            }
            parameters_are_apart(p);
            zn_plan_free(p);
            zn_module_free(m);
        }
    CU_ASSERT_TRUE(shared > 10);
    CU_ASSERT_TRUE(halos > 100);
}

/* Fusion and in-place results are there to need less. */
static void fusion_saves_memory(void) {
    int64_t peak[2], phases[2];
    for (int k = 0; k < 2; k++) {
        zn_module *m = tc_compile_file("examples/resnet20.znet", NULL, 2 * k, NULL);
        zn_diags d = {.path = "", .source = ""};
        zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = k == 1}, &d);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        peak[k] = train_of(p)->arena_size;
        phases[k] = (int64_t)train_of(p)->phases.n;
        zn_plan_free(p);
        zn_module_free(m);
    }
    CU_ASSERT_TRUE(peak[1] < peak[0]);
    CU_ASSERT_TRUE(phases[1] < phases[0]);
}

static int64_t arena_of(const char *file, const char *set) {
    zn_module *m = tc_compile_file(file, set, 2, NULL);
    zn_diags d = {.path = "", .source = ""};
    zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = true}, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    int64_t size = train_of(p)->arena_size;
    zn_plan_free(p);
    zn_module_free(m);
    return size;
}

/* The skips of a start from zeros and ones keep one value more for each unit, not two: 1.4 times the memory at most. */
static void skips_need_little_memory(void) {
    static const char *const of[] = {"examples/resnet20.znet", "examples/resnet18.znet", "examples/resnet50.znet",
                                     "examples/mnist_mlp.znet"};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        int64_t zero = arena_of(of[i], "init=zero"), kaiming = arena_of(of[i], "init=kaiming");
        CU_ASSERT_TRUE(10 * zero <= 14 * kaiming);
    }
}

static void equal_layers_share_kernels(void) {
    zn_module *m = tc_compile_file("examples/resnet20.znet", NULL, 2, NULL);
    zn_diags d = {.path = "", .source = ""};
    zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = true}, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_TRUE(p->kernels.n * 2 < train_of(p)->phases.n + zn_plan_program(p, "eval_step")->phases.n);
    for (size_t i = 0; i < p->kernels.n; i++)
        for (size_t j = 0; j < i; j++) {
            CU_ASSERT_STRING_NOT_EQUAL(p->kernels.at[i]->key, p->kernels.at[j]->key);
            CU_ASSERT_STRING_NOT_EQUAL(p->kernels.at[i]->name, p->kernels.at[j]->name);
        }
    zn_plan_free(p);
    zn_module_free(m);
}

static void too_much_memory_is_an_error(void) {
    static const char huge[] =
        "model net {\n  input x[1]\n  linear(2000000, bias = false) linear(2000000) linear(2)\n}\n"
        "data { source = noise(1, 1, 1, 2, 40) }\n"
        "train { loss = cross_entropy optimizer = sgd(momentum = 0.9) lr = 0.1 batch = 4 epochs = 1 }\n";
    zn_module *m = tc_compile(huge, NULL, 2, NULL);
    zn_diags d = {.path = "", .source = ""};
    zn_plan *p = zn_plan_make(m, (zn_plan_options){.in_place = true}, &d);
    bool refused = !p && d.errors == 1 && d.first->id == ZN_DIAG_MEMORY;
    bool planned = p && p->param_size >= (int64_t)2 * 4 * 2000000 * 2000000;
    CU_ASSERT_TRUE(refused || planned);
    zn_plan_free(p);
    zn_diags_free(&d);
    zn_module_free(m);
}

static zn_plan *plan_of(const char *functions, zn_module **m, zn_diags *d) {
    zn_buf b = {0};
    zn_buf_puts(&b, "zir 2\nmodule \"m\"\nparam @w : f32[4] weight init ones\n");
    zn_buf_puts(&b, functions);
    *m = zn_module_parse(zn_buf_str(&b), b.n, d);
    zn_buf_free(&b);
    return *m ? zn_plan_make(*m, (zn_plan_options){.in_place = true}, d) : NULL;
}

/* Any number of programs over one set of parameters; what they return is listed. */
static void programs(void) {
    static const char *const wrong[][2] = {
        {"func @a(%x: f32[2, 4]) { %n = neg @w : f32[4] %s = row %x {index = 0} : f32[4] store @w, %n : f32[4] "
         "return @w }",
         "returns a parameter that it overwrites"},
        {"func @a(%x: i32[2]) { return }", "takes other arguments"},
        {"func @a(%x: f32[2, 4]) { return } func @b(%x: f32[3, 4]) { return }", "takes another image"}};
    zn_diags d = {.path = "", .source = ""};
    zn_module *m;
    zn_plan *p = plan_of("func @a(%x: f32[2, 4]) { %r = relu %x : f32[2, 4] return %r } "
                         "func @b(%x: f32[2, 4]) { %n = neg %x : f32[2, 4] keep %e = exp %n : f32[2, 4] return } "
                         "func @c(%x: f32[2, 4], %labels: i32[2]) { return }",
                         &m, &d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    ZN_EQUAL_INT(p->programs.n, 3);
    CU_ASSERT_PTR_NULL(zn_plan_program(p, "train_step"));
    for (size_t i = 0; i < 3; i++) {
        ZN_EQUAL_INT(p->programs.at[i]->loss, -1);
        ZN_EQUAL_INT(p->programs.at[i]->kept.n, i < 2);
    }
    ZN_EQUAL_INT(zn_plan_arena(p), zn_plan_program(p, "b")->arena_size);
    zn_buf b = {0};
    zn_plan_print(p, &b);
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_buf_str(&b), "program @a: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_buf_str(&b), "program @c: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(zn_buf_str(&b), "  keep 1 neg"));
    zn_buf_free(&b);
    zn_plan_free(p);
    zn_module_free(m);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        p = plan_of(wrong[i][0], &m, &d);
        bool said = !p && d.last && strstr(d.last->msg, wrong[i][1]);
        if (!said)
            printf("%s: %s\n", wrong[i][1], d.last ? d.last->msg : "no error");
        CU_ASSERT_TRUE(said);
        zn_module_free(m);
    }
    zn_diags_free(&d);
}

static void layout_arithmetic(void) {
    zn_type t = zn_type_make(ZN_F32, 4, (int64_t[]){2, 3, 4, 5});
    zn_layout plain = {0}, halo = {1, 2, 3, 4};
    CU_ASSERT_TRUE(zn_layout_plain(&plain));
    CU_ASSERT_FALSE(zn_layout_plain(&halo));
    ZN_EQUAL_INT(zn_layout_row(&t, &plain), 20);
    ZN_EQUAL_INT(zn_layout_image(&t, &plain), 60);
    ZN_EQUAL_INT(zn_layout_first(&t, &plain), 0);
    ZN_EQUAL_INT(zn_layout_bytes(&t, &plain), 480);
    ZN_EQUAL_INT(zn_layout_row(&t, &halo), (2 + 4 + 4) * 5);
    ZN_EQUAL_INT(zn_layout_image(&t, &halo), (1 + 3 + 3) * 50);
    ZN_EQUAL_INT(zn_layout_first(&t, &halo), 50 + 10);
    ZN_EQUAL_INT(zn_layout_bytes(&t, &halo), 2 * 350 * 4);
}

#define TESTS(X)                                                                                                       \
    X(every_plan_is_sound)                                                                                             \
    X(fusion_saves_memory)                                                                                             \
    X(skips_need_little_memory)                                                                                        \
    X(equal_layers_share_kernels) X(too_much_memory_is_an_error) X(programs) X(layout_arithmetic)
ZN_UNIT_MAIN("plan", TESTS)
