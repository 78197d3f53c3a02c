/* Groups and their order: sorted topologically, the one whose first value is earliest first; a group that overwrites a
 * parameter comes after every group that reads its old value.
 *
 * Whether a store may be in place is a question of reachability in a graph that grows with every answer. Groups are
 * kept in a topological order meanwhile (Pearce and Kelly, A Dynamic Topological Sort Algorithm for Directed Acyclic
 * Graphs, JEA 2006), so that a question looks only at groups between the two it is about: a step of training updates a
 * parameter close to its last reader. */
#include <stdlib.h>
#include <string.h>

#include "passes/planner.h"
#include "support/ice.h"

static zn_kernel_family family_of(const zn_value *v) {
    if (v->op == ZN_OP_MATMUL && !strcmp(zn_attr_of(v, MATMUL, algo)->s, "openblas"))
        return ZN_KERNEL_OPENBLAS;
    return zn_op_table[v->op].kernel;
}

bool zn_pl_is_view(const zn_planner *p, const zn_value *v) {
    return zn_op_table[v->op].kernel == ZN_KERNEL_ALIAS ||
           (zn_op_table[v->op].kernel == ZN_KERNEL_COPY && zn_layout_plain(&p->layout[v->id]) &&
            zn_layout_plain(&p->layout[v->operand[0]->id]));
}

void zn_pl_make_groups(zn_planner *p) {
    int *by_number = zn_new_n(ZN_PL_ARENA(p), int, (size_t)p->nvalues + 1); /* group number of fuse -> index + 1 */
    for (zn_value *v = p->f->first; v; v = v->next) {
        zn_kernel_family k = family_of(v);
        p->group[v->id] = -1;
        p->source[v->id] = zn_pl_is_view(p, v) ? p->source[v->operand[0]->id] : v;
        if (k == ZN_KERNEL_NONE || zn_pl_is_view(p, v))
            continue;
        int i = v->group >= 0 && v->group < p->nvalues ? by_number[v->group] - 1 : -1;
        if (i < 0) {
            zn_group *g = zn_new(ZN_PL_ARENA(p), zn_group);
            g->anchor = v;
            g->family = k;
            i = (int)p->prog->groups.n;
            zn_vec_push(ZN_PL_ARENA(p), &p->prog->groups, g);
            if (v->group >= 0 && v->group < p->nvalues)
                by_number[v->group] = i + 1;
        }
        zn_group *g = p->prog->groups.at[i];
        if (k != ZN_KERNEL_MAP && !zn_is_channel_sum(v)) { /* the one value that is more than a map names the kernel */
            g->anchor = v;
            g->family = k;
        } else if (zn_is_channel_sum(v) && g->values.n) {
            zn_vec_push(ZN_PL_ARENA(p), &g->reduces, v);
        }
        p->group[v->id] = i;
        zn_vec_push(ZN_PL_ARENA(p), &g->values, v);
    }
}

/* ---- the graph of groups */

typedef struct graph {
    zn_arena arena;
    int n;
    zn_pl_ints *needs, *users; /* by group */
    int *rank, *at_rank;       /* by group: place in a topological order; and its inverse */
    int *mark, stamp;          /* by group: seen by the search of that stamp */
    zn_pl_ints before, behind; /* what a search found */
    int *ranks, *groups;       /* scratch of order_before */
    zn_pl_ints *readers;       /* by parameter: groups that read its old value, ascending */
} graph;

static void connect(graph *g, int before, int after) {
    zn_vec_push(&g->arena, &g->needs[after], before);
    zn_vec_push(&g->arena, &g->users[before], after);
}

static graph graph_of(zn_planner *p) {
    graph g = {.n = (int)p->prog->groups.n};
    size_t n = (size_t)g.n + 1;
    g.needs = zn_new_n(&g.arena, zn_pl_ints, n);
    g.users = zn_new_n(&g.arena, zn_pl_ints, n);
    g.rank = zn_new_n(&g.arena, int, n);
    g.at_rank = zn_new_n(&g.arena, int, n);
    g.ranks = zn_new_n(&g.arena, int, n);
    g.groups = zn_new_n(&g.arena, int, n);
    g.mark = zn_new_n(&g.arena, int, n);
    g.readers = zn_new_n(&g.arena, zn_pl_ints, p->m->nparams + 1);
    for (int i = 0; i < g.n; i++) {
        const zn_group *group = p->prog->groups.at[i];
        for (size_t k = 0; k < group->values.n; k++)
            for (int j = 0; j < group->values.at[k]->noperands; j++) {
                const zn_value *u = group->values.at[k]->operand[j];
                int d = p->group[p->source[u->id]->id]; /* who makes the memory */
                if (d >= 0 && d != i)
                    connect(&g, d, i);
                u = p->source[u->id];
                if (u->op != ZN_OP_PARAM)
                    continue;
                zn_pl_ints *r = &g.readers[zn_param_find(p->m, zn_attr_of(u, PARAM, name)->s)->index];
                if (!r->n || r->at[r->n - 1] != i)
                    zn_vec_push(&g.arena, r, i);
            }
    }
    return g;
}

/* A heap of group numbers, smallest first. */
static void heap_push(graph *g, zn_pl_ints *h, int x) {
    zn_vec_push(&g->arena, h, x);
    size_t i = h->n - 1;
    for (; i && h->at[(i - 1) / 2] > x; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = x;
}
static int heap_pop(zn_pl_ints *h) {
    int top = h->at[0], x = h->at[--h->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < h->n && h->at[child + 1] < h->at[child])
            child++;
        if (child >= h->n || h->at[child] >= x)
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    if (h->n)
        h->at[i] = x;
    return top;
}

/* Ranks by Kahn's algorithm: always the ready group with the earliest first value. */
static void rank_groups(graph *g, const zn_func *f) {
    int *waits = zn_new_n(&g->arena, int, (size_t)g->n + 1), rank = 0;
    zn_pl_ints ready = {0};
    for (int i = 0; i < g->n; i++) {
        waits[i] = (int)g->needs[i].n;
        if (!waits[i])
            heap_push(g, &ready, i);
    }
    while (ready.n) {
        int i = heap_pop(&ready);
        g->at_rank[rank] = i;
        g->rank[i] = rank++;
        for (size_t j = 0; j < g->users[i].n; j++)
            if (!--waits[g->users[i].at[j]])
                heap_push(g, &ready, g->users[i].at[j]);
    }
    if (rank < g->n)
        ZN_ICE("kernels of @%s depend on each other in a circle", f->name);
}

/* All groups from `from` on along needs (or users) with ranks in [lo, hi], `from` included, into found. */
static void search(graph *g, int from, const zn_pl_ints *edges, int lo, int hi, zn_pl_ints *found) {
    g->stamp++;
    g->mark[from] = g->stamp;
    found->n = 0;
    zn_vec_push(&g->arena, found, from);
    for (size_t k = 0; k < found->n; k++) {
        const zn_pl_ints *next = &edges[found->at[k]];
        for (size_t i = 0; i < next->n; i++) {
            int x = next->at[i];
            if (g->mark[x] == g->stamp || g->rank[x] < lo || g->rank[x] > hi)
                continue;
            g->mark[x] = g->stamp;
            zn_vec_push(&g->arena, found, x);
        }
    }
}

/* Does group a come after group b? */
static bool comes_after(graph *g, int a, int b) {
    if (g->rank[a] < g->rank[b])
        return false;
    search(g, a, g->needs, g->rank[b], g->rank[a], &g->before);
    return g->mark[b] == g->stamp;
}

static int ascending(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Appends the ranks of the list, sorted, to `ranks`, and their groups to `groups`. */
static void by_rank(const graph *g, const zn_pl_ints *list, int *ranks, int *groups) {
    for (size_t i = 0; i < list->n; i++)
        ranks[i] = g->rank[list->at[i]];
    qsort(ranks, list->n, sizeof *ranks, ascending);
    for (size_t i = 0; i < list->n; i++)
        groups[i] = g->at_rank[ranks[i]];
}

/* From now on x comes before y, which does not come before x: what x needs takes the first of the places that lie
 * between the two, what needs y the others. */
static void order_before(graph *g, int x, int y) {
    connect(g, x, y);
    if (g->rank[x] < g->rank[y])
        return;
    int lo = g->rank[y], hi = g->rank[x];
    search(g, x, g->needs, lo, hi, &g->before);
    search(g, y, g->users, lo, hi, &g->behind);
    size_t nb = g->before.n, n = nb + g->behind.n;
    by_rank(g, &g->before, g->ranks, g->groups);
    by_rank(g, &g->behind, g->ranks + nb, g->groups + nb);
    qsort(g->ranks, n, sizeof *g->ranks, ascending);
    for (size_t i = 0; i < n; i++) {
        g->rank[g->groups[i]] = g->ranks[i];
        g->at_rank[g->ranks[i]] = g->groups[i];
    }
}

/* ---- stores */

static bool reads_param(const zn_value *u, const char *name) {
    return u->op == ZN_OP_PARAM && !strcmp(zn_attr_of(u, PARAM, name)->s, name);
}

/* Inside the group that makes the new value the old one may only be read element for element, in a kernel that writes
 * it so. */
static bool may_overwrite(const zn_planner *p, const zn_group *g, const zn_value *v, const char *name) {
    bool by_element = g->family == ZN_KERNEL_MAP || g->family == ZN_KERNEL_CONV_GRAD_W ||
                      g->family == ZN_KERNEL_BN_RUNNING ||
                      (g->family == ZN_KERNEL_MATMUL && zn_attr_of(g->anchor, MATMUL, trans_a)->i);
    for (size_t i = 0; i < g->values.n; i++)
        for (int j = 0; j < g->values.at[i]->noperands; j++) {
            const zn_value *u = g->values.at[i]->operand[j];
            if (reads_param(p->source[u->id], name) && (!by_element || !zn_type_equal(&u->type, &v->type)))
                return false;
        }
    return true;
}

/* In place where every reader of the old value can come first, else a copy at the end. */
static void place_store(zn_planner *p, graph *g, const zn_value *s) {
    const zn_value *v = s->operand[0];
    int w = p->group[v->id];
    const char *name = zn_attr_of(s, STORE, name)->s;
    const zn_pl_ints *readers = &g->readers[zn_param_find(p->m, name)->index];
    bool ok = w >= 0 && !zn_pl_is_view(p, v) && !p->stored[v->id] && zn_layout_plain(&p->layout[v->id]) &&
              may_overwrite(p, p->prog->groups.at[w], v, name);
    for (size_t i = 0; ok && i < readers->n; i++)
        ok = readers->at[i] == w || !comes_after(g, readers->at[i], w);
    if (!ok) {
        zn_vec_push(ZN_PL_ARENA(p), &p->late, s);
        return;
    }
    p->stored[v->id] = s;
    for (size_t i = 0; i < readers->n; i++)
        if (readers->at[i] != w)
            order_before(g, readers->at[i], w);
}

void zn_pl_order_groups(zn_planner *p) {
    graph g = graph_of(p);
    rank_groups(&g, p->f);
    for (zn_value *s = p->f->first; s; s = s->next)
        if (s->op == ZN_OP_STORE)
            place_store(p, &g, s);
    rank_groups(&g, p->f);
    zn_group **order = zn_new_n(&g.arena, zn_group *, (size_t)g.n + 1);
    for (int i = 0; i < g.n; i++)
        order[g.rank[i]] = p->prog->groups.at[i];
    for (int i = 0; i < g.n; i++)
        p->prog->groups.at[i] = order[i];
    for (int i = 0; i < p->nvalues; i++)
        if (p->group[i] >= 0)
            p->group[i] = g.rank[p->group[i]];
    zn_arena_free(&g.arena);
}
