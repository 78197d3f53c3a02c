/* znetc: a .znet file to a training executable, a training run, or any stage in between.
 *
 * The pipeline, in order: read, front end (frontend/), passes (driver/pipeline.c), plan (passes/plan.c), code
 * (backend/), then run (runtime/, by JIT) or link. Exit codes: 0 done, 1 errors in the program, 2 usage, 3 input or
 * output, 70 internal. */
#include <fenv.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "driver/bench.h"
#include "driver/check.h"
#include "driver/data.h"
#include "driver/draw.h"
#include "driver/explain.h"
#include "driver/files.h"
#include "driver/options.h"
#include "driver/pipeline.h"
#include "driver/plot.h"
#include "driver/render.h"
#include "driver/repro.h"
#include "driver/sources.h"
#include "driver/sweep.h"
#include "frontend/frontend.h"
#include "ir/schema.h"
#include "passes/plan.h"
#include "passes/prove/lints.h"
#include "runtime/blas.h"
#include "runtime/constants.h"
#include "runtime/pool.h"
#include "runtime/runtime.h"
#include "runtime/sha256.h"
#include "support/clock.h"
#include "support/file.h"
#include "support/ice.h"
#include "support/number.h"

typedef struct driver {
    zn_options o;
    zn_sources source;
    zn_buf log, dumps;
    zn_diags diags;
    zn_module *m;
    zn_plan *plan;
    zn_build_info info;
    zn_buf overrides, versions;
    char sha256[ZN_RT_SHA256_HEX];
    char program[PATH_MAX], dir[PATH_MAX], cache[PATH_MAX];
    double start; /* when the command began */
} driver;

static int fail(int code, char *message) {
    fprintf(stderr, "znetc: error: %s\n", message);
    free(message);
    return code;
}

/* Prints what was collected; 1 if there were errors. */
static int show(driver *d) {
    zn_buf text = {0};
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool color =
        !strcmp(d->o.color, "always") || (!strcmp(d->o.color, "auto") && isatty(2) && !(no_color && *no_color) &&
                                          terminal && strcmp(terminal, "dumb") != 0);
    zn_diags_sort(&d->diags);
    if (!strcmp(d->o.diagnostics, "json"))
        zn_render_json(&d->diags, &text);
    else
        zn_render_text(&d->diags, color, &text);
    fputs(zn_buf_str(&d->dumps), stderr);
    fputs(zn_buf_str(&d->log), stderr);
    fputs(zn_buf_str(&text), stderr);
    zn_buf_free(&text);
    zn_buf_free(&d->dumps);
    zn_buf_free(&d->log);
    return d->diags.errors > 0;
}

static void json_list(zn_buf *b, const char *key, const char *const *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        zn_buf_printf(b, i ? ", " : "%s\"%s\": [", b->n > 1 ? ", " : "", key);
        zn_buf_json(b, v[i]);
    }
    if (n)
        zn_buf_putc(b, ']');
}

static void json_option(zn_buf *b, const char *key, const char *value) {
    zn_buf_printf(b, "%s\"%s\": ", b->n > 1 ? ", " : "", key);
    zn_buf_json(b, value);
}

/* What the log's start event says of how this program was made. */
static void describe(driver *d) {
    zn_buf_putc(&d->overrides, '{');
    json_list(&d->overrides, "-D", d->o.define.at, d->o.define.n);
    json_list(&d->overrides, "--set", d->o.set.at, d->o.set.n);
    if (d->o.level != 2)
        zn_buf_printf(&d->overrides, "%s\"-O\": %d", d->overrides.n > 1 ? ", " : "", d->o.level);
    if (d->o.target)
        json_option(&d->overrides, "--target", d->o.target);
    if (strcmp(d->o.march, "native"))
        json_option(&d->overrides, "--march", d->o.march);
    zn_buf_putc(&d->overrides, '}');
    zn_buf_printf(&d->versions, "{\"znet\": \"%s\", \"llvm\": \"%s\"}", ZN_VERSION, zn_backend_llvm_version());
}

static int hash_source(driver *d) {
    zn_rt_error e = {0};
    zn_rt_sha256 h = {0};
    bool bad = zn_rt_sha256_start(&h, &e) || zn_rt_sha256_add(&h, zn_buf_str(&d->source.text), d->source.text.n, &e) ||
               zn_rt_sha256_end(&h, d->sha256, &e);
    zn_rt_sha256_free(&h);
    if (bad)
        ZN_ICE("cannot hash the source");
    return 0;
}

/* Front end and passes. stop: the last pass wanted, NULL = all. */
static bool lower(driver *d, const char *stop, bool run_passes) {
    const zn_options *o = &d->o;
    zn_frontend_options f = {o->define.n, o->define.at, o->set.n, o->set.at, d->dir};
    zn_pipeline p = {.level = o->level,
                     .passes = o->passes,
                     .stop_after = stop,
                     .print_after = o->print_after,
                     .verify_each = o->verify_each,
                     .time_passes = o->time_passes,
                     .no_loc = o->no_loc,
                     .log = o->verbose ? &d->log : NULL,
                     .dumps = &d->dumps};
    zn_ice_stage("front end");
    d->m = zn_frontend_compile(zn_buf_str(&d->source.text), d->source.text.n, &f, &d->diags);
    if (!d->m)
        return false;
    zn_conf_set_str(d->m, "select.conv", o->conv, (zn_span){0});
    zn_conf_set_str(d->m, "select.gemm", o->gemm, (zn_span){0});
    return !run_passes || zn_pipeline_run(d->m, &p, &d->diags);
}

static bool trains(const driver *d) {
    return zn_func_find(d->m, "train_step") != NULL;
}

static bool plan(driver *d) {
    zn_ice_stage("plan");
    d->plan = zn_plan_make(d->m, (zn_plan_options){.in_place = d->o.level >= 2}, &d->diags);
    return d->plan != NULL;
}

static int nothing_to_train(void) {
    fprintf(stderr, "znetc: error: the file has no `train` section (or no `data`): there is nothing to train; `znetc "
                    "check` shows the network\n");
    return 1;
}

static int write_text(const driver *d, const zn_buf *text) {
    char *error = NULL;
    const char *path = d->o.emit_path ? d->o.emit_path : d->o.out ? d->o.out : "-";
    return zn_file_write(path, zn_buf_str(text), text->n, true, &error) ? 0 : fail(3, error);
}

/* Does the path of --emit=init ask for a picture? */
static bool is_picture(const zn_options *o) {
    const char *path = o->emit_path ? o->emit_path : o->out;
    size_t n = path ? strlen(path) : 0;
    return n > 4 && !strcmp(path + n - 4, ".svg");
}

/* ast, ir, init, grad, opt, proof, plan */
static int emit_front(driver *d) {
    zn_buf text = {0};
    zn_emit_kind k = d->o.emit;
    bool ok;
    if (k == ZN_EMIT_AST) {
        ok = zn_frontend_print_ast(zn_buf_str(&d->source.text), d->source.text.n, &d->diags, &text);
    } else {
        ok = lower(d, k == ZN_EMIT_INIT ? "init" : k == ZN_EMIT_GRAD ? "grad" : NULL, k != ZN_EMIT_IR);
        if (ok && k == ZN_EMIT_PLAN) {
            if (!trains(d)) {
                show(d);
                return nothing_to_train();
            }
            ok = plan(d);
            if (ok)
                zn_plan_print(d->plan, &text);
        } else if (ok && k == ZN_EMIT_INIT && is_picture(&d->o)) {
            if (!zn_draw_start(d->m, &text)) {
                zn_buf_free(&text);
                return fail(ZN_RT_MEMORY, strdup("cannot get memory for the picture"));
            }
        } else if (ok && k == ZN_EMIT_PROOF) {
            zn_proof *proof = zn_prove(d->m, NULL);
            if (!proof) {
                show(d);
                return nothing_to_train();
            }
            zn_proof_print(proof, !d->o.no_loc, &text);
            zn_proof_free(proof);
        } else if (ok) {
            (d->o.no_loc ? zn_module_print_no_loc : zn_module_print)(d->m, &text);
        }
    }
    int code = show(d) || !ok ? 1 : write_text(d, &text);
    zn_buf_free(&text);
    return code;
}

/* Where kernels are kept: as asked for, or in the user's directory of caches; NULL where there is none. */
static const char *cache_dir(driver *d) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (d->o.no_cache)
        return NULL;
    if (d->o.cache_dir)
        return d->o.cache_dir;
    if (xdg && xdg[0] == '/')
        n = snprintf(d->cache, sizeof d->cache, "%s/znet", xdg);
    else if (home && home[0] == '/')
        n = snprintf(d->cache, sizeof d->cache, "%s/.cache/znet", home);
    return n > 0 && (size_t)n < sizeof d->cache ? d->cache : NULL;
}

static int find_target(driver *d) {
    const zn_options *o = &d->o;
    if (!zn_target_find(o->target, o->march, &d->info.target)) {
        fprintf(
            stderr,
            "znetc: error: %s%s%s--march=%s: unknown, or not for this machine (x86_64: native, x86-64-v3, x86-64-v4, "
            "at least AVX2 and FMA; aarch64: native, armv8-a)\n",
            o->target ? "--target=" : "", o->target ? o->target : "", o->target ? ", " : "", o->march);
        return 2;
    }
    if (o->emit == ZN_EMIT_EXE && !zn_target_runs_here(&d->info.target)) {
        fprintf(stderr,
                "znetc: error: --target=%s: code for another machine is not linked or run here; --emit=obj, asm and "
                "llvm write it\n",
                o->target);
        return 2;
    }
    return 0;
}

/* What code is made with. */
static int describe_build(driver *d) {
    d->info = (zn_build_info){.source_path = d->o.file,
                              .source = zn_buf_str(&d->source.text),
                              .source_sha256 = d->sha256,
                              .source_len = d->source.text.n,
                              .nfiles = d->source.files.n,
                              .files = d->source.files.at,
                              .overrides = zn_buf_str(&d->overrides),
                              .versions = zn_buf_str(&d->versions),
                              .cache_dir = cache_dir(d),
                              .peak = d->o.verb == ZN_VERB_BENCH};
    int code = find_target(d);
    if (code)
        return code;
    zn_ice_stage("code generation");
    return 0;
}

static int prepare(driver *d) {
    bool ok = lower(d, NULL, true);
    if (ok && trains(d))
        ok = plan(d);
    if (show(d) || !ok)
        return 1;
    return trains(d) ? describe_build(d) : nothing_to_train();
}

/* Objects of kernels, by as many threads as there are processors. */
static bool generate(driver *d, zn_code_part part, zn_objects *o, char **error) {
    double start = zn_seconds();
    bool ok = zn_backend_compile(d->plan, &d->info, part, zn_rt_processors(), o, error);
    if (ok && d->o.time_passes)
        fprintf(stderr, "%-10s %9.3f ms, %zu objects, %zu of them from the cache\n",
                part == ZN_CODE_EVAL ? "code, eval" : "code", (zn_seconds() - start) * 1e3, o->n, o->cached);
    return ok;
}

static int emit_back(driver *d) {
    char *error = NULL, *text;
    size_t n;
    if (d->o.emit == ZN_EMIT_OBJ) {
        zn_object o;
        if (!zn_backend_object(d->plan, &d->info, &o, &error))
            return fail(70, error);
        bool ok = zn_file_write(d->o.emit_path ? d->o.emit_path : d->o.out, o.at, o.size, false, &error);
        free(o.at);
        return ok ? 0 : fail(3, error);
    }
    text = zn_backend_text(d->plan, &d->info, d->o.emit == ZN_EMIT_ASM, &n, &error);
    if (!text)
        return fail(70, error);
    zn_buf b = {.at = text, .n = n, .cap = n};
    int code = write_text(d, &b);
    free(text);
    return code;
}

/* The directory of libzn_runtime.a: beside znetc in a build tree, ../lib/znet where it is installed. */
static void find_runtime(const driver *d, char out[PATH_MAX]) {
    char copy[PATH_MAX], probe[PATH_MAX + 32];
    snprintf(copy, sizeof copy, "%s", d->program);
    const char *dir = dirname(copy);
    snprintf(out, PATH_MAX, "%s", dir);
    snprintf(probe, sizeof probe, "%s/libzn_runtime.a", dir);
    if (access(probe, R_OK))
        snprintf(out, PATH_MAX, "%.4000s/../lib/znet", dir);
}

static int build(driver *d) {
    char *error = NULL, runtime[PATH_MAX];
    const char *out = d->o.emit_path ? d->o.emit_path : d->o.out;
    zn_objects o;
    zn_buf log = {0}, messages = {0};
    find_runtime(d, runtime);
    if (!generate(d, ZN_CODE_ALL, &o, &error))
        return fail(70, error);
    double start = zn_seconds();
    zn_link_options l = {.cc = d->o.cc,
                         .out = out,
                         .runtime_dir = runtime,
                         .libs = ZN_RUNTIME_LIBS,
                         .openblas = d->plan->uses_openblas,
                         .dry = d->o.dry,
                         .save_temps = d->o.save_temps};
    bool ok = zn_link(&o, &l, d->o.dry || d->o.verbose ? &log : NULL, &messages, &error);
    fputs(zn_buf_str(&log), stderr);
    fputs(zn_buf_str(&messages), stderr);
    zn_buf_free(&log);
    zn_buf_free(&messages);
    zn_objects_free(&o);
    if (ok && d->o.time_passes)
        fprintf(stderr, "%-10s %9.3f ms\n", "link", (zn_seconds() - start) * 1e3);
    return ok ? 0 : fail(3, error);
}

/* The compiled module in this process, without the kernels that only the evaluation runs: training can begin without
 * them. */
static int load(driver *d, zn_jit **j, const zn_module_desc **module) {
    static const zn_jit_symbol symbols[] = {
        {"zn_rt_gemm", (zn_jit_address)zn_rt_gemm},
        {"zn_rt_blas_version", (zn_jit_address)zn_rt_blas_version},
        {"zn_rt_blas_start", (zn_jit_address)zn_rt_blas_start},
    };
    char *error = NULL;
    const char *why;
    zn_objects o;
    if (d->plan->uses_openblas && !zn_rt_blas_load(&why)) {
        fprintf(stderr, "znetc: error: cannot load OpenBLAS: %s; --gemm=generated does without\n", why);
        return 3;
    }
    if (!generate(d, ZN_CODE_TRAIN, &o, &error))
        return fail(70, error);
    double start = zn_seconds();
    *j = zn_jit_load(&o, symbols, sizeof symbols / sizeof *symbols, module, &error);
    zn_objects_free(&o);
    if (!*j)
        return fail(70, error);
    if (d->o.time_passes)
        fprintf(stderr, "%-10s %9.3f ms\n", "link", (zn_seconds() - start) * 1e3);
    return 0;
}

/* What is constant in the training data, for proofs; free with free. */
static int look_into_data(driver *d, float **channel, float **pixel) {
    zn_rt_error e = {""};
    zn_jit *j;
    const zn_module_desc *module;
    bool augmented;
    int code = describe_build(d);
    if (!code)
        code = load(d, &j, &module);
    if (code)
        return code;
    const zn_input_desc *in = &module->input;
    *channel = calloc((size_t)in->channels, sizeof **channel);
    *pixel = calloc((size_t)(in->height * in->width * in->channels), sizeof **pixel);
    if (!*channel || !*pixel)
        ZN_ICE("out of memory");
    code = zn_rt_constants(module, d->o.data_dir, *channel, *pixel, &augmented, &e);
    if (code)
        fprintf(stderr, "znetc: error: %s\n", e.text);
    else if (augmented)
        fputs("znetc: note: --with-data: images are augmented, so that no pixel of them is constant\n", stderr);
    zn_jit_free(j);
    return code;
}

/* What is proven of the start, and what may be said against it. */
static int prove(driver *d, zn_proof **proof) {
    zn_known_data known = {0};
    float *channel = NULL, *pixel = NULL;
    int code = 0;
    if (d->o.with_data && !trains(d))
        return nothing_to_train();
    if (d->o.with_data)
        code = look_into_data(d, &channel, &pixel);
    known.channel = channel;
    known.pixel = pixel;
    zn_ice_stage("proofs");
    if (!code) {
        *proof = zn_prove(d->m, channel ? &known : NULL);
        if (*proof)
            zn_lint_proof(*proof, &d->diags);
        zn_lint_variance(d->m, &d->diags);
        if (d->o.deterministic_start)
            zn_lint_random(d->m, &d->diags);
    }
    free(channel);
    free(pixel);
    return code;
}

static int check(driver *d) {
    zn_buf text = {0};
    zn_proof *proof = NULL;
    bool ok = lower(d, NULL, true);
    int code = 0;
    if (ok && trains(d))
        ok = plan(d);
    if (ok)
        code = prove(d, &proof);
    if (ok && !code)
        (d->o.json ? zn_check_json : zn_check_print)(d->m, d->plan, proof, zn_rt_processors(), &text);
    zn_proof_free(proof);
    if (show(d) || !ok)
        code = code ? code : 1;
    code = code ? code : write_text(d, &text);
    zn_buf_free(&text);
    return code;
}

/* What the files of the data set are. */
static int look_at_files(driver *d) {
    zn_buf text = {0};
    char *error = NULL;
    bool ok = lower(d, NULL, false);
    if (show(d) || !ok)
        return 1;
    int code = zn_data_report(d->m, d->o.data_dir, d->o.json, &text, &error);
    int written = error ? 0 : write_text(d, &text);
    zn_buf_free(&text);
    return error ? fail(code, error) : code ? code : written;
}

/* A module whose evaluation is made when it first runs. */
typedef struct late {
    driver *d;
    zn_jit *j;
    zn_module_desc module; /* a copy, with programs and phases of its own */
    zn_program *program;
    zn_phase *phase; /* of all programs, one after the other */
} late;

static bool link_late(late *l, char **error) {
    zn_objects o;
    if (!generate(l->d, ZN_CODE_EVAL, &o, error))
        return false;
    bool ok = zn_jit_add(l->j, &o, error);
    zn_objects_free(&o);
    zn_phase *phase = l->phase;
    for (size_t k = 0; ok && k < l->d->plan->programs.n; k++) {
        const zn_program_plan *p = l->d->plan->programs.at[k];
        for (size_t i = 0; i < p->phases.n; i++, phase++) {
            char symbol[ZN_SYMBOL_MAX];
            if (phase->kernel)
                continue;
            zn_kernel_symbol(p->phases.at[i].kernel, symbol);
            phase->kernel = zn_jit_kernel(l->j, symbol);
            if (!phase->kernel)
                ZN_ICE("no kernel %s", symbol);
        }
    }
    return ok;
}

/* In a training thread, which flushes denormals: constants of kernels are not to be. */
static int make_late(void *ctx, zn_rt_error *e) {
    char *error = NULL;
    fenv_t environment;
    fegetenv(&environment);
    fesetenv(FE_DFL_ENV);
    bool ok = link_late(ctx, &error);
    fesetenv(&environment);
    if (ok)
        return 0;
    zn_rt_fail(e, 70, "%s", error);
    free(error);
    return 70;
}

static void open_late(late *l, driver *d, zn_jit *j, const zn_module_desc *module) {
    size_t n = 0;
    for (uint64_t k = 0; k < module->nprogram; k++)
        n += module->program[k].nphase;
    *l = (late){.d = d, .j = j, .module = *module, .phase = calloc(n + 1, sizeof *l->phase)};
    l->program = calloc(module->nprogram + 1, sizeof *l->program);
    if (!l->phase || !l->program)
        ZN_ICE("out of memory");
    l->module.program = l->program;
    zn_phase *phase = l->phase;
    for (uint64_t k = 0; k < module->nprogram; k++) {
        l->program[k] = module->program[k];
        memcpy(phase, module->program[k].phase, module->program[k].nphase * sizeof *phase);
        l->program[k].phase = phase;
        phase += module->program[k].nphase;
    }
}

/* The command line of the program that runs at once: what stands behind --, and what a prediction is made of. */
static char **program_arguments(const zn_options *o, int *argc) {
    static char run_name[] = "znetc run", predict_name[] = "znetc predict";
    static const char *const option[] = {"--predict", "--init-from", "--outputs", "--top"};
    const char *value[] = {o->input, o->weights, o->out, o->top};
    char **argv = calloc((size_t)o->argc + 10, sizeof *argv);
    if (!argv)
        ZN_ICE("out of memory");
    int n = 0;
    argv[n++] = o->verb == ZN_VERB_PREDICT ? predict_name : run_name;
    for (int i = 0; o->verb == ZN_VERB_PREDICT && i < 4; i++)
        if (value[i]) {
            argv[n++] = (char *)(uintptr_t)option[i];
            argv[n++] = (char *)(uintptr_t)value[i];
        }
    for (int i = 0; i < o->argc; i++)
        argv[n++] = o->argv[i];
    *argc = n;
    return argv;
}

static int run(driver *d) {
    zn_jit *j;
    const zn_module_desc *module;
    int code = load(d, &j, &module);
    if (code)
        return code;
    late l;
    open_late(&l, d, j, module);
    int argc;
    char **argv = program_arguments(&d->o, &argc);
    zn_ice_stage("training");
    code = zn_rt_main_late(&l.module, &(zn_rt_late){make_late, &l}, argc, argv);
    free(argv);
    free(l.phase);
    free(l.program);
    zn_jit_free(j);
    return code;
}

/* The numbers of the command line that only bench takes. */
static int bench_options(const driver *d, zn_rt_bench_options *o) {
    int64_t threads = 0;
    if (d->o.threads &&
        (!zn_i64_parse(d->o.threads, strlen(d->o.threads), &threads) || threads < 1 || threads > ZN_RT_MAX_THREADS)) {
        fprintf(stderr, "znetc: error: --threads takes a number from 1 to %d, not `%s`\n", ZN_RT_MAX_THREADS,
                d->o.threads);
        return 2;
    }
    o->threads = (int)threads;
    o->seconds = 5;
    if (d->o.seconds &&
        (!zn_f64_parse(d->o.seconds, strlen(d->o.seconds), &o->seconds) || !(o->seconds >= 0 && o->seconds <= 1e6))) {
        fprintf(stderr, "znetc: error: --seconds takes a number from 0 to 1e6, not `%s`\n", d->o.seconds);
        return 2;
    }
    return 0;
}

static int bench(driver *d) {
    zn_rt_bench_options o = {.phases = d->o.kernels, .start = d->start};
    zn_rt_bench result;
    zn_rt_error e = {""};
    zn_jit *j;
    const zn_module_desc *module;
    int code = bench_options(d, &o);
    if (!code)
        code = load(d, &j, &module);
    if (code)
        return code;
    o.peak = zn_jit_kernel(j, ZN_PEAK_SYMBOL);
    o.peak_flops = zn_peak_flops(&d->info.target);
    zn_ice_stage("training");
    code = zn_rt_bench_run(module, &o, &result, &e);
    if (code) {
        fprintf(stderr, "znetc bench: error: %s\n", e.text);
    } else {
        zn_buf text = {0};
        if (d->o.json)
            zn_bench_json(d->plan, &result, &text);
        else
            zn_bench_print(d->plan, &result, &text);
        code = write_text(d, &text);
        zn_buf_free(&text);
        zn_rt_bench_free(&result);
    }
    zn_jit_free(j);
    return code;
}

static int lists(const zn_options *o) {
    zn_buf b = {0};
    if (o->version)
        zn_buf_printf(&b, "znetc %s (LLVM %s)\n", ZN_VERSION, zn_backend_llvm_version());
    else if (o->help)
        zn_buf_puts(&b, zn_options_help());
    else if (o->verb == ZN_VERB_EXPLAIN)
        zn_explain(o->explain, &b);
    else if (o->list_language)
        zn_list_language(&b);
    else if (o->list_passes)
        zn_list_passes(&b);
    else
        zn_list_ops(o->list_ops_markdown, &b);
    char *error = NULL;
    bool ok = zn_file_write("-", zn_buf_str(&b), b.n, true, &error);
    zn_buf_free(&b);
    return ok ? 0 : fail(3, error);
}

/* Where the result goes, before any work is done for it. */
static bool check_output(const zn_options *o, char **error) {
    const char *out = o->emit_path ? o->emit_path : o->out;
    bool text =
        o->verb == ZN_VERB_CHECK || o->verb == ZN_VERB_DATA || (o->emit != ZN_EMIT_EXE && o->emit != ZN_EMIT_OBJ);
    return !out || zn_file_check(out, o->file, text, error);
}

static int compile(driver *d) {
    const zn_options *o = &d->o;
    char *error = NULL, copy[PATH_MAX];
    zn_pipeline names = {.passes = o->passes, .print_after = o->print_after};
    if (!zn_pipeline_check(&names, &error))
        return fail(2, error);
    if (!check_output(o, &error))
        return fail(3, error);
    if (!zn_sources_read(&d->source, o->file, true, &d->diags, &error))
        return fail(3, error);
    snprintf(copy, sizeof copy, "%s", strcmp(o->file, "-") ? o->file : ".");
    snprintf(d->dir, sizeof d->dir, "%s", strcmp(o->file, "-") ? dirname(copy) : ".");
    d->diags.werror = o->werror;
    memcpy(d->diags.off, o->off, sizeof o->off);
    hash_source(d);
    describe(d);
    if (o->verb == ZN_VERB_CHECK)
        return check(d);
    if (o->verb == ZN_VERB_DATA)
        return look_at_files(d);
    if (o->emit >= ZN_EMIT_AST && o->emit <= ZN_EMIT_PLAN)
        return emit_front(d);
    int code = prepare(d);
    if (code)
        return code;
    if (o->emit != ZN_EMIT_EXE)
        return emit_back(d);
    return o->verb == ZN_VERB_RUN || o->verb == ZN_VERB_PREDICT ? run(d)
           : o->verb == ZN_VERB_BENCH                           ? bench(d)
                                                                : build(d);
}

/* The experiment of a log once more. */
static int repro(driver *d) {
    zn_repro r;
    zn_buf text = {0};
    char *error = NULL;
    int code = zn_repro_open(&r, &d->o, &d->source, &d->diags, &error);
    if (!code) {
        snprintf(d->dir, sizeof d->dir, "%s%s%s", r.directory && d->source.dir[0] != '/' ? r.directory : "",
                 r.directory && d->source.dir[0] != '/' ? "/" : "", d->source.dir);
        hash_source(d);
        describe(d);
        code = prepare(d);
        if (!code)
            code = run(d);
        if (!code)
            code = zn_repro_compare(&r, &text, &error);
        fputs(zn_buf_str(&text), stdout);
        zn_buf_free(&text);
    }
    zn_repro_close(&r);
    return error ? fail(code, error) : code;
}

static int plot_logs(driver *d) {
    zn_buf text = {0};
    char *error = NULL;
    const char *out = d->o.out ? d->o.out : "-";
    const zn_plot_style style = {.log_scale = d->o.log_scale, .minutes = d->o.over && !strcmp(d->o.over, "minutes")};
    if (!zn_file_check(out, d->o.file, true, &error) || !zn_plot(&d->o.logs, &style, &text, &error))
        return fail(3, error);
    int code = write_text(d, &text);
    zn_buf_free(&text);
    return code;
}

/* Ends the process, and leaves nothing half-done behind. (While it trains, runtime/interrupt.c has these signals.) */
static void stop(int signal) {
    zn_link_abandon();
    zn_files_abandon();
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    raise(signal);
}

static void handle_signals(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error of writing as any other */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = stop}, old;
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int main(int argc, char **argv) {
    static driver d;
    const char *error = NULL;
    d.start = zn_seconds();
    handle_signals();
    ssize_t n = readlink("/proc/self/exe", d.program, sizeof d.program - 1);
    if (n <= 0)
        snprintf(d.program, sizeof d.program, "%s", argv[0]);
    int code;
    if (!zn_options_parse(&d.o, argc, argv, &error)) {
        fprintf(stderr, "znetc: error: %s\n(`znetc --help` lists options)\n", error);
        code = 2;
    } else if (d.o.help || d.o.version || d.o.list_ops || d.o.list_passes || d.o.list_language ||
               d.o.verb == ZN_VERB_EXPLAIN) {
        code = lists(&d.o);
    } else if (d.o.verb == ZN_VERB_REPRO) {
        code = repro(&d);
    } else if (d.o.verb == ZN_VERB_PLOT) {
        code = plot_logs(&d);
    } else {
        bool one = !zn_sweep_wanted(&d.o);
        code = one ? 0 : zn_sweep(&d.o, &one);
        if (one)
            code = compile(&d);
    }
    zn_plan_free(d.plan);
    zn_module_free(d.m);
    zn_diags_free(&d.diags);
    zn_target_free(&d.info.target);
    zn_sources_free(&d.source);
    zn_buf_free(&d.overrides);
    zn_buf_free(&d.versions);
    zn_arena_free(&d.o.arena);
    return code;
}
