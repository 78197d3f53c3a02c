/* The transforms of Winograd convolution, for vectors of channels: which input, output and kernel taps meet in which
 * products, and the sums before and after. What is read from where and written to where is the caller's.
 *
 * A form cuts the taps of a kernel into phases, in both directions alike: one phase of three taps for stride 1, and for
 * stride 2 one of the taps 0 and 2, which meet every second row, and one of tap 1, which meets the rows between
 * (polyphase). Each pair of phases (down, across) is a small convolution of stride 1 of its own; its products are the
 * positions of the form. A phase of one tap is no sum at all: all its positions share one transformed weight. */
#ifndef ZN_BACKEND_WINO_TRANSFORM_H
#define ZN_BACKEND_WINO_TRANSFORM_H

#include "backend/emit.h"

/* Largest number of positions, of outputs and of taps in one direction. */
enum { ZN_WINO_EXTENT = 6, ZN_WINO_TILE = 4, ZN_WINO_TAPS = 5 };

typedef struct zn_wino_form zn_wino_form;

/* The form of a convolution or one of its gradients, for tiles that are one row or one column smaller where a map is
 * made of tiles of two sizes. The weights of all are those of the largest. */
const zn_wino_form *zn_wino_form_of(const zn_winograd *w, bool small_down, bool small_across);
/* Rows (or columns) of y in a tile. */
int zn_wino_tile(const zn_wino_form *f, bool across);

/* Rows of inputs, and of outputs, for each row of y (or dy): where a tile starts in them. */
int64_t zn_wino_input_ratio(const zn_wino_form *f);
int64_t zn_wino_output_ratio(const zn_wino_form *f);
/* Rows (or columns) of a tile of inputs, and the first of them from where the tile starts (0, or negative: the
 * padding).
 */
int zn_wino_input_extent(const zn_wino_form *f, bool across);
int64_t zn_wino_input_origin(const zn_wino_form *f);

/* Positions that share transformed weight u: the first, and how many follow each other. */
void zn_wino_positions(zn_emit *e, const zn_wino_form *f, zn_ll u, zn_ll *first, zn_ll *count);

/* Vectors by place: row and column of a tile, taps, or (k, 0) for position or transformed weight k. */
typedef zn_ll zn_wino_read(void *ctx, zn_emit *e, int i, int j);
typedef void zn_wino_write(void *ctx, zn_emit *e, int i, int j, zn_ll v);

/* V = B^T x B: a tile of inputs to all positions. */
void zn_wino_input(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx);
/* y = A^T M A: all positions to a tile of outputs. */
void zn_wino_output(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx);
/* Z = A dy A^T: a tile of the gradient of the output to all positions. */
void zn_wino_gradient(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx);
/* U = G w G^T: the taps to all transformed weights. */
void zn_wino_weights(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx);
/* dw = G^T dU G */
void zn_wino_weights_gradient(zn_emit *e, const zn_wino_form *f, zn_wino_read *read, zn_wino_write *write, void *ctx);

#endif
