/* The structs of runtime/abi.h as constants. Field order here is field order there; sizes are compared at the end. */
#include "backend/descriptor.h"

#include <llvm-c/Target.h>
#include <stddef.h>
#include <string.h>

#include "backend/emit.h"
#include "ir/schema.h"
#include "support/ice.h"

typedef struct desc {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMTypeRef i8, i32, i64, f32, f64, ptr;
    const zn_plan *plan;
    const zn_build_info *info;
    const bool *without; /* by kernel of the plan; may be NULL */
} desc;

typedef LLVMValueRef k; /* a constant */

static k u64(desc *d, uint64_t x) {
    return LLVMConstInt(d->i64, x, 0);
}
static k i64(desc *d, int64_t x) {
    return LLVMConstInt(d->i64, (unsigned long long)x, 1);
}
static k u32(desc *d, uint32_t x) {
    return LLVMConstInt(d->i32, x, 0);
}
static k f32(desc *d, float x) {
    return LLVMConstReal(d->f32, (double)x);
}
static k f64(desc *d, double x) {
    return LLVMConstReal(d->f64, x);
}
static k null(desc *d) {
    return LLVMConstNull(d->ptr);
}
/* Where the fields of a struct of the ABI lie: what is made for it must lie there too. */
typedef struct shape {
    const char *name;
    size_t size, n;
    const size_t *at;
} shape;
#define AT(type, field) offsetof(type, field)
#define SHAPE(type, ...)                                                                                               \
    static const size_t type##_at[] = {__VA_ARGS__};                                                                   \
    static const shape type##_shape = {#type, sizeof(type), sizeof type##_at / sizeof *type##_at, type##_at};
SHAPE(zn_ref, AT(zn_ref, space), AT(zn_ref, offset), AT(zn_ref, size))
SHAPE(zn_output, AT(zn_output, buf), AT(zn_output, line), AT(zn_output, op), AT(zn_output, first),
      AT(zn_output, images), AT(zn_output, image_pitch), AT(zn_output, rows), AT(zn_output, pitch), AT(zn_output, row))
SHAPE(zn_phase, AT(zn_phase, kernel), AT(zn_phase, name), AT(zn_phase, outer), AT(zn_phase, grain),
      AT(zn_phase, scratch), AT(zn_phase, flops), AT(zn_phase, nbuf), AT(zn_phase, buf), AT(zn_phase, noutput),
      AT(zn_phase, output), AT(zn_phase, nlines), AT(zn_phase, lines), AT(zn_phase, extra))
SHAPE(zn_kept, AT(zn_kept, name), AT(zn_kept, at), AT(zn_kept, rank), AT(zn_kept, dim), AT(zn_kept, first),
      AT(zn_kept, image_pitch), AT(zn_kept, pitch))
SHAPE(zn_program, AT(zn_program, name), AT(zn_program, nphase), AT(zn_program, phase), AT(zn_program, nforward),
      AT(zn_program, loss), AT(zn_program, correct), AT(zn_program, arena_size), AT(zn_program, scratch_size),
      AT(zn_program, nkept), AT(zn_program, kept))
SHAPE(zn_tensor_desc, AT(zn_tensor_desc, name), AT(zn_tensor_desc, role), AT(zn_tensor_desc, rank),
      AT(zn_tensor_desc, dim), AT(zn_tensor_desc, offset), AT(zn_tensor_desc, formula), AT(zn_tensor_desc, a),
      AT(zn_tensor_desc, spanning), AT(zn_tensor_desc, dirac), AT(zn_tensor_desc, q), AT(zn_tensor_desc, of),
      AT(zn_tensor_desc, inner), AT(zn_tensor_desc, in_file), AT(zn_tensor_desc, trained), AT(zn_tensor_desc, line))
SHAPE(zn_calibration_desc, AT(zn_calibration_desc, kind), AT(zn_calibration_desc, a), AT(zn_calibration_desc, n),
      AT(zn_calibration_desc, tensor), AT(zn_calibration_desc, first), AT(zn_calibration_desc, end),
      AT(zn_calibration_desc, input), AT(zn_calibration_desc, output), AT(zn_calibration_desc, stride),
      AT(zn_calibration_desc, before), AT(zn_calibration_desc, groups))
SHAPE(zn_source_option, AT(zn_source_option, name), AT(zn_source_option, text), AT(zn_source_option, number))
SHAPE(zn_data_desc, AT(zn_data_desc, source), AT(zn_data_desc, noption), AT(zn_data_desc, option),
      AT(zn_data_desc, normalize), AT(zn_data_desc, nchannels), AT(zn_data_desc, mean), AT(zn_data_desc, deviation),
      AT(zn_data_desc, crop), AT(zn_data_desc, reflect), AT(zn_data_desc, flip), AT(zn_data_desc, cutout),
      AT(zn_data_desc, shift), AT(zn_data_desc, mirrored), AT(zn_data_desc, split))
SHAPE(zn_input_desc, AT(zn_input_desc, batch), AT(zn_input_desc, height), AT(zn_input_desc, width),
      AT(zn_input_desc, channels), AT(zn_input_desc, classes), AT(zn_input_desc, rank), AT(zn_input_desc, image),
      AT(zn_input_desc, first), AT(zn_input_desc, image_pitch), AT(zn_input_desc, pitch), AT(zn_input_desc, labels),
      AT(zn_input_desc, targets), AT(zn_input_desc, size))
SHAPE(zn_train_desc, AT(zn_train_desc, lr_kind), AT(zn_train_desc, lr), AT(zn_train_desc, warmup),
      AT(zn_train_desc, start), AT(zn_train_desc, end), AT(zn_train_desc, factor), AT(zn_train_desc, nat),
      AT(zn_train_desc, at), AT(zn_train_desc, by_epochs), AT(zn_train_desc, batch), AT(zn_train_desc, epochs),
      AT(zn_train_desc, seed), AT(zn_train_desc, beta1), AT(zn_train_desc, beta2), AT(zn_train_desc, nfreeze),
      AT(zn_train_desc, freeze), AT(zn_train_desc, average), AT(zn_train_desc, average_decay),
      AT(zn_train_desc, average_every), AT(zn_train_desc, average_ramp))
SHAPE(zn_source_part, AT(zn_source_part, path), AT(zn_source_part, first_line))
SHAPE(zn_module_desc, AT(zn_module_desc, abi_version), AT(zn_module_desc, name), AT(zn_module_desc, source_path),
      AT(zn_module_desc, source), AT(zn_module_desc, source_len), AT(zn_module_desc, nfile), AT(zn_module_desc, file),
      AT(zn_module_desc, source_sha256), AT(zn_module_desc, overrides), AT(zn_module_desc, versions),
      AT(zn_module_desc, init), AT(zn_module_desc, conv), AT(zn_module_desc, gemm), AT(zn_module_desc, cpu),
      AT(zn_module_desc, features), AT(zn_module_desc, ntensor), AT(zn_module_desc, tensor),
      AT(zn_module_desc, param_size), AT(zn_module_desc, ncalibration), AT(zn_module_desc, calibration),
      AT(zn_module_desc, input), AT(zn_module_desc, data), AT(zn_module_desc, train), AT(zn_module_desc, nprogram),
      AT(zn_module_desc, program), AT(zn_module_desc, blas_version), AT(zn_module_desc, blas_start))

static k record(desc *d, const shape *s, k *v, size_t n) {
    k made = LLVMConstStructInContext(d->ctx, v, (unsigned)n, 0);
    LLVMTargetDataRef layout = LLVMGetModuleDataLayout(d->mod);
    bool right = n == s->n && LLVMABISizeOfType(layout, LLVMTypeOf(made)) == s->size;
    for (size_t i = 0; i < n && right; i++)
        right = LLVMOffsetOfElement(layout, LLVMTypeOf(made), (unsigned)i) == s->at[i];
    if (!right)
        ZN_ICE("descriptor: what is made for %s is not what the ABI has", s->name);
    return made;
}
#define RECORD(d, type, ...) record(d, &type##_shape, (k[]){__VA_ARGS__}, sizeof((k[]){__VA_ARGS__}) / sizeof(k))

static k global(desc *d, k init) {
    k g = LLVMAddGlobal(d->mod, LLVMTypeOf(init), "d");
    LLVMSetInitializer(g, init);
    LLVMSetGlobalConstant(g, 1);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

static k text_n(desc *d, const char *s, size_t n) {
    k g = global(d, LLVMConstStringInContext2(d->ctx, s, n, 0));
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    return g;
}
static k text(desc *d, const char *s) {
    return s ? text_n(d, s, strlen(s)) : null(d);
}

/* A constant array of n records; NULL for none. */
static k array(desc *d, k *v, size_t n) {
    return n ? global(d, LLVMConstArray2(LLVMTypeOf(v[0]), v, n)) : null(d);
}

static k ints(desc *d, const int64_t *v, size_t n) {
    k *c = zn_new_n((zn_arena *)&d->plan->arena, k, n + 1);
    for (size_t i = 0; i < n; i++)
        c[i] = i64(d, v[i]);
    return array(d, c, n);
}
static k doubles(desc *d, const double *v, size_t n) {
    k *c = zn_new_n((zn_arena *)&d->plan->arena, k, n + 1);
    for (size_t i = 0; i < n; i++)
        c[i] = f64(d, v[i]);
    return array(d, c, n);
}

static k function(desc *d, const char *name) {
    k f = LLVMGetNamedFunction(d->mod, name);
    if (f)
        return f;
    LLVMTypeRef params[5] = {d->ptr, d->ptr, d->i64, d->i64, d->ptr};
    return LLVMAddFunction(d->mod, name, LLVMFunctionType(LLVMVoidTypeInContext(d->ctx), params, 5, 0));
}

static k ref(desc *d, const zn_buffer *b) {
    static const uint64_t space[] = {
        [ZN_PLACE_PARAM] = ZN_SPACE_PARAM, [ZN_PLACE_ARENA] = ZN_SPACE_ARENA, [ZN_PLACE_BATCH] = ZN_SPACE_BATCH};
    return RECORD(d, zn_ref, u64(d, space[b->place]), u64(d, (uint64_t)b->offset), u64(d, (uint64_t)b->size));
}

/* Of what the program does not have: size 0. */
static k ref_of(desc *d, const zn_program_plan *prog, int buffer) {
    return buffer < 0 ? RECORD(d, zn_ref, u64(d, ZN_SPACE_ARENA), u64(d, 0), u64(d, 0))
                      : ref(d, &prog->buffers.at[buffer]);
}

static k output(desc *d, const zn_program_plan *prog, const zn_phase_plan *ph, size_t i) {
    const zn_binding *b = &ph->kernel->bindings.at[i];
    const zn_buffer *buf = &prog->buffers.at[ph->buffers.at[i]];
    bool image = b->type.rank == 4 && !zn_layout_plain(&buf->layout);
    uint64_t row = image ? (uint64_t)(b->type.dim[2] * b->type.dim[3]) : (uint64_t)zn_type_count(&b->type);
    uint32_t line = ph->group->anchor->span.line;
    /* the value of this group that lies there: groups that share a join may go on differently behind it */
    for (size_t j = 0; j < ph->group->values.n && j < ph->kernel->group->values.n; j++)
        if (ph->kernel->group->values.at[j] == b->value && ph->group->values.at[j]->op == b->value->op)
            line = ph->group->values.at[j]->span.line;
    return RECORD(d, zn_output, u32(d, (uint32_t)i), u32(d, line), text(d, buf->what),
                  u64(d, (uint64_t)zn_layout_first(&b->type, &buf->layout)),
                  u64(d, image ? (uint64_t)b->type.dim[0] : 1),
                  u64(d, image ? (uint64_t)zn_layout_image(&b->type, &buf->layout) : 0),
                  u64(d, image ? (uint64_t)b->type.dim[1] : 1),
                  u64(d, image ? (uint64_t)zn_layout_row(&b->type, &buf->layout) : 0), u64(d, row));
}

static size_t lines_of(const zn_group *g, uint32_t *lines, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < g->values.n && n < max; i++) {
        uint32_t line = g->values.at[i]->span.line;
        size_t at = 0;
        while (at < n && lines[at] < line)
            at++;
        if (!line || (at < n && lines[at] == line))
            continue;
        memmove(lines + at + 1, lines + at, (n - at) * sizeof *lines);
        lines[at] = line;
        n++;
    }
    return n;
}

static k phase(desc *d, const zn_program_plan *prog, const zn_phase_plan *ph) {
    k refs[64], outputs[64], lines[64];
    uint32_t line[64];
    size_t n = ph->buffers.n, nout = 0;
    ZN_ASSERT(n <= 64);
    for (size_t i = 0; i < n; i++) {
        refs[i] = ref(d, &prog->buffers.at[ph->buffers.at[i]]);
        if (ph->kernel->bindings.at[i].kind == ZN_BIND_OUT)
            outputs[nout++] = output(d, prog, ph, i);
    }
    size_t nlines = lines_of(ph->group, line, 63);
    for (size_t i = 0; i < nlines; i++)
        lines[i] = u32(d, line[i]);
    char symbol[ZN_SYMBOL_MAX] = "zn_rt_gemm";
    if (ph->kernel->family != ZN_KERNEL_OPENBLAS)
        zn_kernel_symbol(ph->kernel, symbol);
    k kernel = d->without && d->without[ph->index] ? null(d) : function(d, symbol);
    return RECORD(d, zn_phase, kernel, text(d, ph->kernel->name), i64(d, ph->outer), i64(d, ph->grain),
                  u64(d, (uint64_t)ph->scratch), u64(d, (uint64_t)ph->flops), u64(d, n), array(d, refs, n),
                  u64(d, nout), array(d, outputs, nout), u64(d, nlines), array(d, lines, nlines),
                  ints(d, ph->extra.at, ph->extra.n));
}

static k dims(desc *d, const zn_type *t) {
    k v[4];
    for (int i = 0; i < 4; i++)
        v[i] = i64(d, i < t->rank ? t->dim[i] : 1);
    return LLVMConstArray2(d->i64, v, 4);
}

static k in_buffer(desc *d, const zn_buffer *b) {
    return RECORD(d, zn_kept, text(d, b->what), ref(d, b), u64(d, (uint64_t)b->type.rank), dims(d, &b->type),
                  u64(d, (uint64_t)zn_layout_first(&b->type, &b->layout)),
                  u64(d, (uint64_t)zn_layout_image(&b->type, &b->layout)),
                  u64(d, (uint64_t)zn_layout_row(&b->type, &b->layout)));
}

static k kept(desc *d, const zn_program_plan *prog) {
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, prog->kept.n + 1);
    for (size_t i = 0; i < prog->kept.n; i++)
        v[i] = in_buffer(d, &prog->buffers.at[prog->kept.at[i].buffer]);
    return array(d, v, prog->kept.n);
}

static k two(desc *d, const int64_t *x) {
    return LLVMConstArray2(d->i64, (k[]){i64(d, x[0]), i64(d, x[1])}, 2);
}

static k calibrated(desc *d, const zn_program_plan *prog, const zn_calibrated *c) {
    static const int64_t none[2];
    const zn_param *w = c->weight;
    bool conv = c->layer && c->layer->op == ZN_OP_CONV;
    const zn_buffer nowhere = {.place = ZN_PLACE_ARENA, .what = ""};
    return RECORD(d, zn_calibration_desc, u64(d, w->calibration.kind), f64(d, w->calibration.a),
                  i64(d, w->calibration.n), u64(d, w->index), u64(d, (uint64_t)c->first), u64(d, (uint64_t)c->end),
                  in_buffer(d, c->layer && c->input >= 0 ? &prog->buffers.at[c->input] : &nowhere),
                  in_buffer(d, c->layer ? &prog->buffers.at[c->output] : &nowhere),
                  two(d, conv ? zn_attr_of(c->layer, CONV, stride)->v : none),
                  two(d, conv ? zn_attr_of(c->layer, CONV, pad)->v : none),
                  i64(d, conv ? zn_conv_groups(c->layer) : 0));
}

static k calibrations(desc *d, size_t *n) {
    const zn_program_plan *prog = zn_plan_program(d->plan, "calibrate");
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, d->plan->m->nparams + 1);
    *n = 0;
    for (const zn_param *p = d->plan->m->params; p; p = p->next)
        if (p->calibration.kind == ZN_CALIBRATION_WHITENING)
            v[(*n)++] = calibrated(d, NULL, &(zn_calibrated){.weight = p});
    for (size_t i = 0; prog && i < prog->calibrated.n; i++)
        v[(*n)++] = calibrated(d, prog, &prog->calibrated.at[i]);
    _Static_assert((int)ZN_CALIBRATE_WHITENING == (int)ZN_CALIBRATION_WHITENING &&
                       (int)ZN_CALIBRATE_LSUV == (int)ZN_CALIBRATION_LSUV &&
                       (int)ZN_CALIBRATE_VARIANCE_AWARE == (int)ZN_CALIBRATION_VARIANCE_AWARE,
                   "kinds of the ABI");
    return array(d, v, *n);
}

static k program(desc *d, const zn_program_plan *prog) {
    size_t n = prog->phases.n;
    k *phases = zn_new_n((zn_arena *)&d->plan->arena, k, n + 1);
    for (size_t i = 0; i < n; i++)
        phases[i] = phase(d, prog, &prog->phases.at[i]);
    return RECORD(d, zn_program, text(d, prog->func->name), u64(d, n), array(d, phases, n),
                  u64(d, (uint64_t)prog->nforward), ref_of(d, prog, prog->loss), ref_of(d, prog, prog->correct),
                  u64(d, (uint64_t)prog->arena_size), u64(d, (uint64_t)prog->scratch_size), u64(d, prog->kept.n),
                  kept(d, prog));
}

static k programs(desc *d) {
    size_t n = d->plan->programs.n;
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, n + 1);
    for (size_t i = 0; i < n; i++)
        v[i] = program(d, d->plan->programs.at[i]);
    return array(d, v, n);
}

static k names(desc *d, const char *const of[2]) {
    return LLVMConstArray2(d->ptr, (k[]){text(d, of[0]), text(d, of[1])}, 2);
}

static k tensors(desc *d, size_t *n) {
    *n = 0;
    for (const zn_param *p = d->plan->m->params; p; p = p->next)
        ++*n;
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, *n + 1);
    size_t i = 0;
    for (const zn_param *p = d->plan->m->params; p; p = p->next, i++)
        v[i] = RECORD(d, zn_tensor_desc, text(d, p->name), u64(d, p->role), u64(d, (uint64_t)p->type.rank),
                      dims(d, &p->type), u64(d, (uint64_t)d->plan->param_offset[i]), u64(d, p->init.kind),
                      f32(d, p->init.a), u32(d, p->init.spanning), u64(d, p->init.dirac), i64(d, p->init.q),
                      names(d, p->init.of), i64(d, p->init.inner), u64(d, zn_role_saved(p->role)),
                      u64(d, zn_param_trained(p)), u64(d, p->span.line));
    return array(d, v, *n);
}

static k input(desc *d) {
    const zn_plan *p = d->plan;
    const zn_type *t = &p->programs.at[0]->func->args.at[0]->type;
    bool image = t->rank == 4;
    const zn_type *logits = NULL;
    for (size_t i = 0; i < p->programs.n && !logits; i++)
        for (const zn_value *v = p->programs.at[i]->func->first; v; v = v->next)
            if (v->op == ZN_OP_CORRECT)
                logits = &v->operand[0]->type;
    int64_t h = image ? t->dim[1] : 1, w = image ? t->dim[2] : 1, c = image ? t->dim[3] : t->dim[1];
    return RECORD(
        d, zn_input_desc, i64(d, t->dim[0]), i64(d, h), i64(d, w), i64(d, c), i64(d, logits ? logits->dim[1] : 0),
        u64(d, image ? 3 : 1), u64(d, 0), u64(d, (uint64_t)zn_layout_first(t, &p->image_layout)),
        u64(d, (uint64_t)zn_layout_image(t, &p->image_layout)), u64(d, (uint64_t)zn_layout_row(t, &p->image_layout)),
        u64(d, (uint64_t)p->label_offset), u64(d, (uint64_t)zn_plan_targets(p)), u64(d, (uint64_t)p->batch_size));
}

/* The position of s in a list, or `otherwise`. */
static uint64_t word(const char *s, const char *const *list, size_t n, uint64_t otherwise) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s, list[i]))
            return i;
    return otherwise;
}
#define WORD(s, otherwise, ...)                                                                                        \
    word(s, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), otherwise)

/* What the schema says the source takes, as the module has it. */
static k source_options(desc *d, const char *source, size_t *n) {
    const zn_module *m = d->plan->m;
    zn_sig_id id = source ? zn_sig_from_name(ZN_GROUP_SOURCE, source) : ZN_SIG_COUNT;
    *n = 0;
    if (id == ZN_SIG_COUNT)
        return null(d);
    zn_sig sig = zn_sig_row(id);
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, sig.n + 1);
    for (size_t i = 0; i < sig.n; i++) {
        int arg = (int)(&sig.arg[i] - zn_arg_table);
        const zn_sig_arg *a = &sig.arg[i];
        const zn_conf *given = zn_conf_get(m, a->key);
        bool is_text = a->kind == ZN_A_PATH || a->kind == ZN_A_WORD || (given && given->kind == ZN_CONF_STR);
        ZN_ASSERT(is_text || a->kind == ZN_A_INT || a->kind == ZN_A_BOOL || a->kind == ZN_A_COLUMN);
        int64_t number = is_text ? 0 : a->kind == ZN_A_BOOL ? zn_option_bool(m, arg) : zn_option_int(m, arg);
        v[i] = RECORD(d, zn_source_option, text(d, a->name), is_text ? text(d, zn_option_str(m, arg)) : null(d),
                      i64(d, number));
    }
    *n = sig.n;
    return array(d, v, sig.n);
}

static k data(desc *d) {
    const zn_module *m = d->plan->m;
    const zn_conf *mean = zn_conf_get(m, "data.mean"), *dev = zn_conf_get(m, "data.deviation");
    const char *source = zn_conf_str(m, "data.source", NULL);
    size_t noption;
    k options = source_options(d, source, &noption);
    uint64_t normalize =
        WORD(zn_conf_str(m, "data.normalize", "none"), ZN_NORMALIZE_NONE, "none", "per_channel", "given");
    uint64_t flip = !zn_conf_bool(m, "data.flip", false)               ? ZN_FLIP_NONE
                    : zn_option_bool(m, ZN_ARG_AUGMENT_FLIP_alternate) ? ZN_FLIP_ALTERNATE
                                                                       : ZN_FLIP_RANDOM;
    _Static_assert(ZN_NORMALIZE_PER_CHANNEL == 1 && ZN_NORMALIZE_GIVEN == 2, "order of the words above");
    return RECORD(d, zn_data_desc, text(d, source), u64(d, noption), options, u64(d, normalize),
                  u64(d, mean ? mean->n : 0), mean ? doubles(d, mean->v, mean->n) : null(d),
                  dev ? doubles(d, dev->v, dev->n) : null(d), i64(d, zn_option_int(m, ZN_ARG_AUGMENT_CROP_pad)),
                  u64(d, (uint64_t)zn_option_word(m, ZN_ARG_AUGMENT_CROP_fill)), u64(d, flip),
                  i64(d, zn_option_int(m, ZN_ARG_AUGMENT_CUTOUT_size)), i64(d, zn_option_int(m, ZN_ARG_VIEW_SHIFT_by)),
                  u64(d, zn_conf_bool(m, "data.views.flip", false)),
                  f64(d, zn_option_float(m, ZN_ARG_SECTION_DATA_split)));
}

static k train(desc *d) {
    const zn_module *m = d->plan->m;
    const zn_conf *at = zn_conf_get(m, "train.lr.at");
    uint64_t kind =
        WORD(zn_conf_str(m, "train.lr.kind", "constant"), ZN_LR_CONSTANT, "constant", "step", "cosine", "linear");
    _Static_assert(ZN_LR_CONSTANT == 0 && ZN_LR_STEP == 1 && ZN_LR_COSINE == 2 && ZN_LR_LINEAR == 3,
                   "order of the words above");
    uint64_t average = WORD(zn_conf_str(m, "train.average.kind", ""), ZN_AVERAGE_NONE, "", "ema", "lookahead");
    _Static_assert(ZN_AVERAGE_EMA == 1 && ZN_AVERAGE_LOOKAHEAD == 2, "order of the words above");
    double freeze[ZN_MAX_FREEZE];
    int nfreeze = zn_freeze_epochs(m, freeze);
    _Static_assert((int)ZN_MAX_FREEZE == (int)ZN_FREEZE_EPOCHS, "one number of epochs");
    return RECORD(
        d, zn_train_desc, u64(d, kind), f64(d, zn_option_float(m, ZN_ARG_SCHEDULE_CONSTANT_lr)),
        f64(d, zn_option_float(m, ZN_ARG_SCHEDULE_CONSTANT_warmup)),
        f64(d, zn_option_float(m, ZN_ARG_SCHEDULE_LINEAR_start)),
        f64(d, zn_option_float(m, ZN_ARG_SCHEDULE_COSINE_end)), f64(d, zn_option_float(m, ZN_ARG_SCHEDULE_STEP_factor)),
        u64(d, at ? at->n : 0), at ? doubles(d, at->v, at->n) : null(d),
        u64(d, zn_conf_bool(m, "train.lr.by_epochs", false)), i64(d, zn_conf_int(m, "train.batch", 1)),
        f64(d, zn_conf_float(m, "train.epochs", 1)), i64(d, zn_option_int(m, ZN_ARG_SECTION_TRAIN_seed)),
        f64(d, zn_conf_float(m, "train.beta1", 0)), f64(d, zn_conf_float(m, "train.beta2", 0)),
        u64(d, nfreeze > 0 ? (uint64_t)nfreeze : 0), doubles(d, freeze, nfreeze > 0 ? (size_t)nfreeze : 0),
        u64(d, average), f64(d, zn_option_float(m, ZN_ARG_AVERAGE_EMA_decay)),
        i64(d, zn_option_int(m, ZN_ARG_AVERAGE_EMA_every)), i64(d, zn_option_int(m, ZN_ARG_AVERAGE_LOOKAHEAD_ramp)));
}

/* The files that the source was put together from. */
static k files(desc *d) {
    size_t n = d->info->nfiles;
    k *v = zn_new_n((zn_arena *)&d->plan->arena, k, n + 1);
    for (size_t i = 0; i < n; i++)
        v[i] = RECORD(d, zn_source_part, text(d, d->info->files[i].path), u64(d, d->info->files[i].first_line));
    return array(d, v, n);
}

void zn_emit_descriptor(LLVMContextRef ctx, LLVMModuleRef mod, const zn_plan *plan, const zn_build_info *info,
                        const bool *without) {
    desc d = {.ctx = ctx, .mod = mod, .plan = plan, .info = info, .without = without};
    d.i8 = LLVMInt8TypeInContext(ctx);
    d.i32 = LLVMInt32TypeInContext(ctx);
    d.i64 = LLVMInt64TypeInContext(ctx);
    d.f32 = LLVMFloatTypeInContext(ctx);
    d.f64 = LLVMDoubleTypeInContext(ctx);
    d.ptr = LLVMPointerTypeInContext(ctx, 0);
    const zn_module *m = plan->m;
    size_t n, ncalibration;
    k list = tensors(&d, &n), calibration = calibrations(&d, &ncalibration);
    k blas_version = plan->uses_openblas ? function(&d, "zn_rt_blas_version") : null(&d),
      blas_start = plan->uses_openblas ? function(&d, "zn_rt_blas_start") : null(&d);
    k v = RECORD(&d, zn_module_desc, u64(&d, ZN_ABI_VERSION), text(&d, m->name), text(&d, info->source_path),
                 text_n(&d, info->source, info->source_len), u64(&d, info->source_len), u64(&d, info->nfiles),
                 files(&d), text(&d, info->source_sha256), text(&d, info->overrides), text(&d, info->versions),
                 text(&d, zn_conf_str(m, "init.text", "zero")), text(&d, zn_conf_str(m, "select.conv", "auto")),
                 text(&d, zn_conf_str(m, "select.gemm", "auto")), text(&d, info->target.cpu),
                 text(&d, info->target.needs), u64(&d, n), list, u64(&d, (uint64_t)plan->param_size),
                 u64(&d, ncalibration), calibration, input(&d), data(&d), train(&d), u64(&d, plan->programs.n),
                 programs(&d), blas_version, blas_start);
    k g = LLVMAddGlobal(mod, LLVMTypeOf(v), ZN_MODULE_SYMBOL);
    LLVMSetInitializer(g, v);
    LLVMSetGlobalConstant(g, 1);
}
