/* Matrices of signs (see support/signs.h); no memory is allocated. */
#include "support/signs.h"

#include "support/formula.h"

static int ceil_log2(int64_t n) {
    int m = 0;
    while (m < 62 && INT64_C(1) << m < n)
        m++;
    return m;
}

static bool odd(int64_t x) {
    return __builtin_parityll((unsigned long long)x);
}

static int64_t golden(int64_t n) {
    return (int64_t)(0.6180339887 * (double)n);
}

/* ---- dense_hadamard */

static int dense_bits(int64_t outputs, int64_t entries) {
    int n = ceil_log2(outputs > entries ? outputs : entries);
    return n > 0 ? n : 1;
}

int64_t zn_dense_step(int64_t outputs, int64_t entries) {
    return golden(INT64_C(1) << dense_bits(outputs, entries)) | 1;
}

/* Rows are told apart by the bits that some entry has. */
bool zn_dense_distinct(int64_t outputs, int64_t entries) {
    return outputs <= INT64_C(1) << ceil_log2(entries);
}

void zn_dense_signs(int64_t outputs, int64_t entries, int64_t j, int64_t q, bool spanning, float a, float *out) {
    int n = dense_bits(outputs, entries);
    int64_t column = spanning ? zn_spanning_index(j, n) : j, row = 0, mask = (INT64_C(1) << n) - 1;
    for (int64_t i = 0; i < outputs; i++) {
        row = (int64_t)((uint64_t)row + (uint64_t)q) & mask;
        out[i] = odd(row & column) ? -a : a;
    }
}

/* ---- gold */

/* Primitive polynomials of degree 1 ... ZN_GOLD_BITS over GF(2), with x as generator. */
static const uint32_t primitive[ZN_GOLD_BITS + 1] = {0,        0x3,      0x7,      0xb,      0x13,    0x25,    0x43,
                                                     0x89,     0x11d,    0x211,    0x409,    0x805,   0x1053,  0x201b,
                                                     0x4443,   0x8003,   0x1100b,  0x20009,  0x40081, 0x80027, 0x100009,
                                                     0x200005, 0x400003, 0x800021, 0x1000087};

static uint32_t multiply(uint32_t a, uint32_t b, int m) {
    uint32_t product = 0;
    for (; b; b >>= 1) {
        if (b & 1)
            product ^= a;
        a <<= 1;
        if (a >> m & 1)
            a ^= primitive[m];
    }
    return product;
}

static bool trace(uint32_t x, int m) {
    uint32_t sum = x;
    for (int i = 1; i < m; i++) {
        x = multiply(x, x, m);
        sum ^= x;
    }
    return sum & 1;
}

/* g^k */
static uint32_t power(int64_t k, int m) {
    uint32_t x = 1, square = 2 % (1u << m);
    if (m == 1)
        return 1;
    for (; k; k >>= 1) {
        if (k & 1)
            x = multiply(x, square, m);
        square = multiply(square, square, m);
    }
    return x;
}

void zn_gold_signs(int64_t outputs, int64_t channels, int64_t taps, int64_t c, int64_t t, float a, float *out) {
    int m = ceil_log2(outputs) > 0 ? ceil_log2(outputs) : 1;
    int64_t n = INT64_C(1) << m, centre = taps / 2, block = c / n;
    int64_t turn = block * taps + (t == centre ? 0 : t < centre ? t + 1 : t);
    int64_t j = channels < n ? zn_spanning_index(c, m) : c % n;
    if (channels < m)
        j ^= t % (INT64_C(1) << (m - channels)) << channels;
    /* Tr(a x) is linear in x: the parity of those bits of x for which Tr(a g^bit) is 1. */
    uint32_t factor = turn ? power((turn - 1) % (n - 1), m) : 0, mask = 0;
    for (int bit = 0; bit < m; bit++)
        if (trace(multiply(factor, 1u << bit, m), m))
            mask |= 1u << bit;
    for (int64_t o = 0; o < outputs; o++) {
        uint32_t x = (uint32_t)o, cube = mask ? multiply(x, multiply(x, x, m), m) : 0;
        out[o] = odd(o & j) != odd(cube & mask) ? -a : a;
    }
}

/* ---- paley */

static bool is_prime(int64_t n) {
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

static int64_t gcd(int64_t a, int64_t b) {
    return b ? gcd(b, a % b) : a;
}

/* The smallest order of one of the two constructions that is at least this. */
static zn_paley smallest_core(int64_t least) {
    zn_paley best = {.order = 0};
    for (int kind = 1; kind <= 2; kind++) {
        int64_t p = (least + kind - 1) / kind - 1, rest = kind == 1 ? 3 : 1;
        p = p < 3 ? 3 : p;
        while (p % 4 != rest || !is_prime(p))
            p++;
        if (!best.order || kind * (p + 1) < best.order)
            best = (zn_paley){.order = kind * (p + 1), .core = kind * (p + 1), .prime = p, .kind = kind};
    }
    return best;
}

zn_paley zn_paley_make(int64_t outputs, int64_t entries) {
    int64_t need = outputs > entries ? outputs : entries;
    zn_paley best = smallest_core(need);
    for (int a = 1; a < 62; a++) {
        int64_t times = INT64_C(1) << a;
        zn_paley h = times >= need ? (zn_paley){.order = 1, .core = 1} : smallest_core((need + times - 1) / times);
        h.order *= times;
        if (h.order < best.order && 2 * entries > h.order)
            best = h;
        if (times >= need)
            break;
    }
    if (need == 1)
        best = (zn_paley){.order = 1, .core = 1};
    best.step = golden(best.order) | 1;
    while (gcd(best.step, best.order) != 1)
        best.step++;
    return best;
}

/* The Legendre symbol of a modulo an odd prime, as Jacobi's: 1, -1, or 0. */
static int legendre(int64_t a, int64_t p) {
    int sign = 1;
    a %= p;
    a += a < 0 ? p : 0;
    while (a) {
        for (; a % 2 == 0; a /= 2)
            if (p % 8 == 3 || p % 8 == 5)
                sign = -sign;
        int64_t t = a;
        a = p;
        p = t;
        if (a % 4 == 3 && p % 4 == 3)
            sign = -sign;
        a %= p;
    }
    return p == 1 ? sign : 0;
}

/* I + S, S skew: first row 1, first column -1, else the symbol of column - row. */
static bool negative_first(int64_t p, int64_t row, int64_t column) {
    if (row == column || row == 0)
        return false;
    return column == 0 || legendre(column - row, p) < 0;
}

/* C x [1, 1; 1, -1] + I x [1, -1; -1, -1], C symmetric with zeros in its diagonal. */
static bool negative_second(int64_t p, int64_t row, int64_t column) {
    int64_t i = row / 2, j = column / 2;
    bool both = row % 2 && column % 2;
    if (i == j)
        return row % 2 || column % 2;
    return both != (i && j && legendre(j - i, p) < 0);
}

bool zn_paley_negative(const zn_paley *h, int64_t row, int64_t column) {
    bool doubled = odd(row / h->core & column / h->core);
    int64_t i = row % h->core, j = column % h->core;
    return doubled != (h->kind == 1   ? negative_first(h->prime, i, j)
                       : h->kind == 2 ? negative_second(h->prime, i, j)
                                      : false);
}

void zn_paley_signs(const zn_paley *h, int64_t outputs, int64_t j, float a, float *out) {
    int64_t row = 0;
    for (int64_t i = 0; i < outputs; i++) {
        row = (row + h->step) % h->order;
        out[i] = zn_paley_negative(h, row, j) ? -a : a;
    }
}
