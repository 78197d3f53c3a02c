/* What people who come from elsewhere write, and what it is called here. */
#include <string.h>

#include "frontend/sema.h"

/* Names in small letters without underscores. One name may mean several things: that one counts which may stand there.
 */
static const struct {
    const char *theirs, *ours;
} table[] = {
    /* layers */
    {"conv2d", "conv"},
    {"convolution", "conv"},
    {"convolution2d", "conv"},
    {"conv1d", "conv"},
    {"dense", "linear"},
    {"fc", "linear"},
    {"fullyconnected", "linear"},
    {"affine", "linear"},
    {"batchnorm1d", "bn"},
    {"batchnorm2d", "bn"},
    {"batchnorm", "bn"},
    {"batchnormalization", "bn"},
    {"norm", "bn"},
    {"rectify", "relu"},
    {"relu6", "relu"},
    {"lrelu", "leaky_relu"},
    {"maxpool2d", "maxpool"},
    {"maxpooling2d", "maxpool"},
    {"maxpooling", "maxpool"},
    {"avgpool2d", "avgpool"},
    {"averagepool", "avgpool"},
    {"averagepooling", "avgpool"},
    {"averagepooling2d", "avgpool"},
    {"globalavgpool", "avgpool"},
    {"globalaveragepooling2d", "avgpool"},
    {"adaptiveavgpool2d", "avgpool"},
    {"gap", "avgpool"},
    {"dropout2d", "dropout"},
    {"reshape", "flatten"},
    {"view", "flatten"},
    {"resblock", "residual"},
    {"skip", "residual"},
    {"nop", "identity"},
    /* their arguments */
    {"filters", "out"},
    {"channels", "out"},
    {"outchannels", "out"},
    {"outfeatures", "out"},
    {"features", "out"},
    {"units", "out"},
    {"width", "out"},
    {"kernel", "k"},
    {"kernelsize", "k"},
    {"ksize", "k"},
    {"poolsize", "k"},
    {"window", "k"},
    {"size", "k"},
    {"strides", "stride"},
    {"padding", "pad"},
    {"usebias", "bias"},
    {"epsilon", "eps"},
    {"negativeslope", "slope"},
    {"alpha", "slope"},
    {"rate", "p"},
    {"prob", "p"},
    {"projection", "project"},
    {"zeropad", "pad"},
    {"none", "identity"},
    /* sections and what stands in them */
    {"learningrate", "lr"},
    {"lrschedule", "lr"},
    {"lrscheduler", "lr"},
    {"scheduler", "lr"},
    {"schedule", "lr"},
    {"batchsize", "batch"},
    {"bs", "batch"},
    {"epoch", "epochs"},
    {"numepochs", "epochs"},
    {"nepochs", "epochs"},
    {"weightdecay", "decay"},
    {"wd", "decay"},
    {"l2", "decay"},
    {"optim", "optimizer"},
    {"optimiser", "optimizer"},
    {"criterion", "loss"},
    {"objective", "loss"},
    {"randomseed", "seed"},
    {"dataset", "source"},
    {"normalise", "normalize"},
    {"normalization", "normalize"},
    {"augmentation", "augment"},
    {"augmentations", "augment"},
    {"transform", "augment"},
    {"transforms", "augment"},
    {"crossentropyloss", "cross_entropy"},
    {"categoricalcrossentropy", "cross_entropy"},
    {"softmaxcrossentropy", "cross_entropy"},
    {"nll", "cross_entropy"},
    {"ce", "cross_entropy"},
    {"labelsmoothing", "smoothing"},
    {"cosineannealing", "cosine"},
    {"cosineannealinglr", "cosine"},
    {"multistep", "step"},
    {"multisteplr", "step"},
    {"steplr", "step"},
    {"milestones", "at"},
    {"gamma", "factor"},
    {"etamin", "end"},
    {"minlr", "end"},
    {"warmupepochs", "warmup"},
    {"cifar", "cifar10"},
    {"synthetic", "noise"},
    {"random", "noise"},
    {"randomcrop", "crop"},
    {"randomhorizontalflip", "flip"},
    {"hflip", "flip"},
    {"mirror", "flip"},
    {"he", "kaiming"},
    {"henormal", "kaiming"},
    {"kaimingnormal", "kaiming"},
    {"glorot", "xavier"},
    {"glorotuniform", "xavier"},
    {"xavieruniform", "xavier"},
    {"zeros", "zero"},
    {"zeroinit", "zero"},
};

const char *zn_foreign_name(const char *name, const char *const *names, size_t n) {
    char plain[32];
    size_t k = 0;
    for (; *name; name++) {
        if (*name == '_')
            continue;
        if (k + 1 == sizeof plain)
            return NULL;
        plain[k++] = *name >= 'A' && *name <= 'Z' ? (char)(*name + ('a' - 'A')) : *name;
    }
    plain[k] = '\0';
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t j = 0; j < n && !strcmp(plain, table[i].theirs); j++)
            if (!strcmp(table[i].ours, names[j]))
                return names[j];
    return NULL;
}

/* "conv(out, k, stride = 1, ...)" as a note: what there is. */
static void list_args(zn_sema *s, zn_diag *x, const zn_sig *sig) {
    zn_buf b = {0};
    bool any = false;
    for (size_t i = 0; i < sig->n; i++) {
        const zn_sig_arg *a = &sig->arg[i];
        const char *value = a->value ? a->value : a->shown && *a->shown ? a->shown : NULL;
        if (a->planned)
            continue;
        zn_buf_printf(&b, "%s%s%s%s", any ? ", " : "", a->name, value ? " = " : "", value ? value : "");
        any = true;
    }
    if (any)
        zn_sema_note(s, x, ZN_NOTE_NOTE, (zn_span){0}, "there is %s(%s)", sig->name, zn_buf_str(&b));
    else
        zn_sema_note(s, x, ZN_NOTE_NOTE, (zn_span){0}, "`%s` takes no arguments", sig->name);
    zn_buf_free(&b);
}

void zn_explain_arg(zn_sema *s, zn_diag *x, const zn_sig *sig, const char *name) {
    static const char *const activation[] = {"activation", "act", "nonlinearity"};
    static const char *const incoming[] = {"in_channels", "in_features", "input_shape", "input_dim", "num_features"};
    list_args(s, x, sig);
    if (sig->group != ZN_GROUP_LAYER)
        return;
    for (size_t i = 0; i < sizeof activation / sizeof *activation; i++)
        if (!strcmp(name, activation[i]))
            zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "an activation is a layer of its own: `%s(...) relu`",
                         sig->name);
    for (size_t i = 0; i < sizeof incoming / sizeof *incoming; i++)
        if (!strcmp(name, incoming[i]))
            zn_sema_note(s, x, ZN_NOTE_HELP, (zn_span){0}, "leave it out: what comes in is known");
}
