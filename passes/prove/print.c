/* What is proven, as comments of IR text. */
#include <inttypes.h>

#include "passes/prove/prove.h"
#include "support/number.h"

static void note_param(const zn_proof *p, const zn_param *w, zn_buf *out) {
    const zn_value *g;
    int64_t n = zn_type_count(&w->type);
    if (!zn_param_trained(w) || !p->store[w->index])
        return;
    if (p->bits.still[w->index])
        zn_buf_puts(out, "  # never moves");
    else if (zn_proof_no_gradient(p, w))
        zn_buf_puts(out, "  # gradient 0: only decays");
    else if (p->bits.still_elements[w->index])
        zn_buf_printf(out, "  # %" PRId64 " of %" PRId64 " elements never move", p->bits.still_elements[w->index], n);
    if (w->role != ZN_ROLE_WEIGHT || w->type.rank < 2 || zn_proof_gradients(p, w, &g, 1) != 1)
        return;
    int64_t most = zn_proof_full_rank(w), exact = zn_proof_rank(p, &p->exact, w), bits = zn_proof_rank(p, &p->bits, w);
    if (exact < most)
        zn_buf_printf(out, "  # rank of the change at most %" PRId64 " of %" PRId64 ", by bits %" PRId64, exact, most,
                      bits);
}

/* The number that all elements of a value are in every step, or in the first, bit for bit. */
static void note_number(const zn_proof *p, const zn_value *v, zn_buf *out) {
    const zn_cells *c = &p->bits.cell[v->id];
    const zn_fact *now = &p->bits.now[v->id], *ever = &p->bits.ever[v->id];
    char number[ZN_NUMBER_MAX];
    if (ever->n && ever->zeros == ever->n) {
        zn_buf_puts(out, "  # 0 in every step");
    } else if (c->n && c->form == ZN_CELLS_UNIFORM && zn_cell_is_number(c->one)) {
        zn_f32_text(zn_cell_number(c->one), number);
        zn_buf_printf(out, "  # %s in every step", number);
    } else if (now->n && now->zeros == now->n) {
        zn_buf_puts(out, "  # 0 in the first step");
    }
}

static void note_value(const zn_proof *p, const zn_value *v, zn_buf *out) {
    const zn_fact *now = &p->exact.now[v->id], *ever = &p->exact.ever[v->id], *bits = &p->bits.ever[v->id];
    if (!ever->classes || (ever->classes == ever->n && now->classes == now->n && bits->classes == bits->n))
        return;
    zn_buf_printf(out, "  # of %" PRId64 " distinct %" PRId64 " now, %" PRId64 " ever, by bits %" PRId64, ever->n,
                  now->classes, ever->classes, bits->classes);
    if (now->zeros)
        zn_buf_printf(out, "; 0 %" PRId64 " now, %" PRId64 " ever, by bits %" PRId64, now->zeros, ever->zeros,
                      bits->zeros);
}

static void note(void *ctx, const zn_param *w, const zn_value *v, zn_buf *out) {
    const zn_proof *p = ctx;
    if (w) {
        note_param(p, w, out);
    } else if (v->id < p->nvalues && p->value[v->id] == v && !(zn_op_table[v->op].traits & ZN_T_EFFECT)) {
        note_number(p, v, out);
        note_value(p, v, out);
    }
}

void zn_proof_print(zn_proof *p, bool loc, zn_buf *out) {
    zn_buf_printf(out,
                  "# proven of every step of @train_step, as long as all numbers are finite\n"
                  "# in exact arithmetic: %s%d; bit for bit: %s%d\n",
                  p->exact.found ? "rounds " : "nothing, after rounds ", p->exact.rounds,
                  p->bits.found ? "rounds " : "nothing, after rounds ", p->bits.rounds);
    zn_module_print_noted(p->m, loc, note, p, out);
}
