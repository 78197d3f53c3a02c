/* Pictures: PNG by libpng and JPEG by libjpeg-turbo, both loaded at the first use, so that programs without pictures
 * need neither. What a file is, its first bytes say, not its name.
 *
 * Pixels are the file's own: no gamma, no profile, no orientation of a camera. Nothing is lost silently: grey becomes
 * three equal channels, three equal channels become grey, an alpha channel may go where it is opaque everywhere;
 * colours for a network that takes grey, transparency and 16 bits a channel are errors, as is another size. */
#ifndef ZN_RUNTIME_IMAGE_H
#define ZN_RUNTIME_IMAGE_H

#include "runtime/abi.h"
#include "runtime/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zn_rt_picture {
    const char *path; /* for messages */
    const uint8_t *at;
    size_t n;
} zn_rt_picture;

/* Has the name the ending of a picture: .png, .jpg, .jpeg? */
bool zn_rt_image_named(const char *name);
/* Height, width and channels (1 or 3) of a file, from its header. */
int zn_rt_image_shape(const zn_rt_picture *p, int64_t shape[3], zn_rt_error *e);
/* to: [shape], where the channels are 1 or 3. */
int zn_rt_image_decode(const zn_rt_picture *p, const int64_t shape[3], uint8_t *to, zn_rt_error *e);

/* The same of the file at path. */
int zn_rt_image_read(const char *path, const int64_t shape[3], uint8_t *to, zn_rt_error *e);
/* What pictures like that at path must be for samples of in: its shape; where it takes vectors, the picture's height
 * and width and the channels that come out. */
int zn_rt_image_fit(const char *path, const zn_input_desc *in, int64_t shape[3], zn_rt_error *e);

/* The two kinds, for image.c. A decoder calls `begin` once it knows the picture's size, and then either ends there
 * (begin gives NULL, having left a message or what was asked for) or fills the rows it got: height * width * channels
 * bytes in memory order, channels 1 grey, 2 grey and alpha, 3, 4 colours and alpha. */
typedef struct zn_rt_decoding {
    const zn_rt_picture *p;
    const int64_t *want;   /* the shape that is needed; NULL: only the header is read */
    int64_t height, width; /* of the file */
    int channels;          /* as decoded */
    uint8_t *rows;         /* of malloc; freed by image.c */
    int code;
    zn_rt_error *e;
} zn_rt_decoding;
uint8_t *zn_rt_decoding_begin(zn_rt_decoding *d, int64_t height, int64_t width, int channels);
int zn_rt_decode_png(zn_rt_decoding *d);
int zn_rt_decode_jpeg(zn_rt_decoding *d);

#endif
